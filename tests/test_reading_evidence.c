/* links: engine config
 * Evidence joined to a reading: the answers stay what they are, what an encoder took its feature from is what maps are made of,
 * and the evidence of a batch is that of each image alone. SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/model.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

#define TORCHVISION COT_SOURCE_DIR "/tests/golden/torchvision/"
enum { BATCH = 3, SIDE = 512, ROWS = 300, COLS = 200 };

static struct {
    cot_device *device;
    float *nih, *drawn; /* [SIDE,SIDE] a radiograph; [ROWS,COLS] */
} world;

static cot_status open_world(cot_error *err)
{
    cot_status status = COT_OK;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    char *bytes = NULL;
    size_t size = 0;
    if (world.device) return COT_OK;
    COT_TRY(cot_file_read(&bytes, &size, COT_SOURCE_DIR "/tests/golden/resnet18/nih.pgm", 1 << 20, err));
    world.nih = malloc(SIDE * SIDE * sizeof *world.nih);
    world.drawn = malloc(ROWS * COLS * sizeof *world.drawn);
    if (size < SIDE * SIDE || !world.nih || !world.drawn) {
        status = cot_fail(err, COT_E_IO, "nih.pgm");
        goto done;
    }
    for (size_t i = 0; i < SIDE * SIDE; i++)
        world.nih[i] = (float)(unsigned char)bytes[size - SIDE * SIDE + i] / 255.0f;
    for (size_t i = 0; i < ROWS * COLS; i++) world.drawn[i] = i % COLS > 120 && i / COLS < 90 ? 0.9f : 0.2f;
    COT_TRY(cot_device_open(&world.device, &options, err));
done:
    free(bytes);
    return status;
}

__attribute__((destructor)) static void close_world(void)
{
    cot_device_close(world.device);
    free(world.nih);
    free(world.drawn);
}

/* ---- a model of one's own ---- */
typedef struct scene {
    char folder[64];
    cot_package *package;
    cot_model *model;
    const cot_steps *steps;
} scene;

/* kind: a folder of golden/torchvision, or NULL: golden/resnet18/tiny */
static cot_status open_scene(scene *s, const char *kind, cot_error *err)
{
    cot_status status;
    char source[512], file[560], out[128];
    *s = (scene){.steps = tiny_steps()};
    COT_TRY(open_world(err));
    if (!make_folder(s->folder)) return cot_fail(err, COT_E_IO, "mkdtemp");
    snprintf(source, sizeof source, "%s%s", kind ? TORCHVISION : TINY_SOURCE, kind ? kind : "");
    snprintf(file, sizeof file, "%s/model.safetensors", source);
    snprintf(out, sizeof out, "%s/package", s->folder);
    const cot_import_options options = {.source = source, .out = out, .encoder = kind ? file : NULL};
    COT_TRY(cot_package_import(&options, s->steps, err));
    COT_TRY(cot_package_open(&s->package, out, s->steps, err));
    COT_TRY(cot_model_create(&s->model, world.device, s->package, s->steps, BATCH, err));
done:
    return status;
}

static void close_scene(scene *s)
{
    cot_model_destroy(s->model);
    cot_package_close(s->package);
    remove_folder(s->folder);
}

static void read_both(scene *s, cot_chain *chains[2])
{
    cot_error err = COT_ERROR_INIT;
    const cot_picture pictures[2] = {{world.nih, SIDE, SIDE, COT_ORIENTATION_STANDARD},
                                     {world.drawn, ROWS, COLS, COT_ORIENTATION_STANDARD}};
    REQUIRE_OK(cot_model_read(s->model, chains, pictures, 2, &err));
}

static void destroy_both(cot_chain *chains[2])
{
    for (size_t i = 0; i < 2; i++) cot_chain_destroy(chains[i]);
}

static void check_regions(const cot_chain *chain, const cot_answer *a)
{
    float shares = 0;
    for (size_t r = 0; r < a->n_regions; r++) {
        shares += a->regions[r].share;
        for (size_t i = 0; i < a->regions[r].n_points; i++) {
            const cot_point p = a->regions[r].points[i];
            CHECK(p.column >= 0 && p.column <= (float)chain->cols && p.row >= 0 && p.row <= (float)chain->rows);
        }
    }
    CHECK(shares <= 1.0001f);
}

static void check_same_evidence(const cot_answer *a, const cot_answer *b)
{
    REQUIRE(a->n_regions == b->n_regions && a->n_influences == b->n_influences);
    CHECK(a->located == b->located && a->weighed == b->weighed);
    for (size_t r = 0; r < a->n_regions; r++) CHECK_NEAR(a->regions[r].share, b->regions[r].share, 1e-4);
    for (size_t i = 0; i < a->n_influences; i++) {
        CHECK_NUMBER(a->influences[i].step, b->influences[i].step);
        CHECK_NEAR(a->influences[i].change, b->influences[i].change, 1e-5);
    }
}

/* ---- what every encoder must do ---- */
static void check_scene(scene *s)
{
    cot_error err = COT_ERROR_INIT;
    cot_chain *plain[2] = {NULL}, *explained[2] = {NULL}, *alone = NULL;
    read_both(s, plain);
    CHECK_OK(cot_model_explain(s->model, true, true, &err));
    read_both(s, explained);
    for (size_t i = 0; i < 2; i++) {
        CHECK_NUMBER(explained[i]->rows, i ? ROWS : SIDE);
        CHECK_NUMBER(explained[i]->cols, i ? COLS : SIDE);
        for (size_t k = 0; k < s->steps->n_steps; k++) {
            const cot_answer *a = &explained[i]->answers[k], *b = &plain[i]->answers[k];
            CHECK(a->available == b->available && !b->located && !b->weighed && !b->map);
            CHECK(!memcmp(a->probability, b->probability, a->n_options * sizeof *a->probability));
            CHECK(a->located == a->available && a->weighed == a->available && (a->map != NULL) == a->available);
            check_regions(explained[i], a);
        }
    }
    const cot_picture second = {world.drawn, ROWS, COLS, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_read(s->model, &alone, &second, 1, &err));
    for (size_t k = 0; k < s->steps->n_steps; k++) check_same_evidence(&alone->answers[k], &explained[1]->answers[k]);
    cot_chain_destroy(alone);
    destroy_both(plain);
    destroy_both(explained);
    CHECK_OK(cot_model_explain(s->model, false, false, &err));
    read_both(s, plain);
    CHECK(!plain[0]->answers[0].located && !plain[0]->answers[0].weighed);
    destroy_both(plain);
}

/* The feature is the mean of what maps are made of; by gradients of one, a map adds up to that mean times the cells. */
static void check_mean(scene *s)
{
    cot_error err = COT_ERROR_INIT;
    cot_model *m = s->model;
    cot_chain *chains[2] = {NULL};
    const size_t features = m->encoder.features, steps = s->steps->n_steps;
    CHECK_OK(cot_model_explain(m, true, false, &err));
    read_both(s, chains);
    const encoder_evidence *e = &m->evidence.encoder;
    const size_t cells = e->side * e->side;
    float *feature = calloc(2 * features, sizeof *feature), *ones = calloc(2 * steps * features, sizeof *ones);
    float *maps = calloc(2 * steps * cells, sizeof *maps);
    REQUIRE(feature && ones && maps);
    for (size_t i = 0; i < 2 * steps * features; i++) ones[i] = 1;
    CHECK_OK(cot_buffer_read(m->feature, 0, feature, 2 * features, &err));
    CHECK_OK(encoder_evidence_maps(maps, &m->evidence.encoder, &m->encoder, ones, 2, &err));
    for (size_t i = 0; i < 2; i++) {
        double want = 0, got = 0;
        for (size_t c = 0; c < features; c++) want += (double)feature[i * features + c] * (double)cells;
        for (size_t p = 0; p < cells; p++) got += (double)maps[i * steps * cells + p];
        CHECK(want > 0);
        CHECK_NEAR(got / want, 1, 1e-4);
    }
    free(feature);
    free(ones);
    free(maps);
    destroy_both(chains);
}

static void check_encoder(const char *kind)
{
    cot_error err = COT_ERROR_INIT;
    scene s;
    REQUIRE_OK(open_scene(&s, kind, &err));
    check_scene(&s);
    check_mean(&s);
    close_scene(&s);
}

TEST(a_resnet_says_what_its_answers_rest_on)
{
    check_encoder(NULL);
    check_encoder("resnet18");
}

TEST(a_densenet_says_what_its_answers_rest_on)
{
    check_encoder("densenet");
}

/* An answer rests on the answered steps before it, and on no step that was not answered. */
TEST(the_default_model_names_only_steps_that_it_answered)
{
    cot_error err = COT_ERROR_INIT;
    scene s = {.folder = ""};
    cot_steps *steps = NULL;
    cot_chain *chain = NULL;
    REQUIRE_OK(open_world(&err));
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE_OK(cot_package_open(&s.package, NULL, steps, &err));
    REQUIRE_OK(cot_model_create(&s.model, world.device, s.package, steps, 1, &err));
    REQUIRE_OK(cot_model_explain(s.model, true, false, &err));
    const cot_picture picture = {world.nih, SIDE, SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_read(s.model, &chain, &picture, 1, &err));
    size_t answered = 0;
    for (size_t k = 0; k < steps->n_steps; k++) {
        const cot_answer *answer = &chain->answers[k];
        CHECK(answer->weighed == answer->available);
        CHECK_NUMBER(answer->n_influences, answer->available ? answered : 0);
        for (size_t i = 0; i < answer->n_influences; i++) {
            CHECK(answer->influences[i].step < k && chain->answers[answer->influences[i].step].available);
            CHECK(answer->influences[i].change != 0);
        }
        answered += answer->available;
    }
    CHECK(answered > 1 && answered < steps->n_steps);
    for (size_t k = 0; k < steps->n_steps; k++) CHECK(!chain->answers[k].map);
    cot_chain_destroy(chain);
    cot_model_destroy(s.model);
    cot_package_close(s.package);
    cot_steps_destroy(steps);
}
CHECK_MAIN
