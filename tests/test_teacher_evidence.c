/* links: engine config
 * The teacher's evidence against a teacher in double: influences are what removing a write by hand gives, gradients are central
 * differences in the feature, and a map of them lies where the image's part that matters is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/chain.h"
#include "engine/evidence.h"
#include "engine/safetensors.h"
#include "engine/teacher_evidence.h"
#include "tests/check.h"
#include "tests/reference_teacher.h"

enum { MOST_STEPS = 8, MOST_LOGITS = 64, MOST_FEATURES = 64 };

/* Sizes of a folder under tests/golden, as its expected.json has them. */
typedef struct folder {
    const char *name;
    teacher_shape shape;
    size_t batch;
} folder;
static const folder folders[] = {
    {"tiny", {20, 20, 4, 2, 7, (const size_t[]){4, 4, 6, 7, 5, 7, 9}}, 3},
    {"odd", {19, 32, 2, 3, 3, (const size_t[]){2, 3, 5}}, 1},
    {"batch17", {33, 18, 9, 1, 4, (const size_t[]){3, 1, 4, 6}}, 17}, /* more than a chunk */
    {"one_step", {5, 6, 1, 2, 1, (const size_t[]){2}}, 2},
};
enum { FOLDERS = sizeof folders / sizeof *folders };

static cot_device *device;
__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

typedef struct bench {
    const folder *folder;
    char path[2][256]; /* teacher, expected */
    safetensors *weights, *expected;
    weight_source source;
    cot_arena *arena;
    cot_buffer *feature;
    float *features, *prompts, *gradients;
    teacher m;
    teacher_evidence evidence;
    ref_teacher reference;
    cot_steps steps;
    cot_step step[MOST_STEPS];
    cot_option option[MOST_LOGITS];
    cot_chain **chains;
    size_t n_logits;
} bench;

/* ---- a teacher, its twin, and chains as it answers ---- */
static cot_status open_files(bench *b, cot_error *err)
{
    cot_status status;
    const folder *f = b->folder;
    snprintf(b->path[0], sizeof b->path[0], COT_SOURCE_DIR "/tests/golden/%s/teacher.safetensors", f->name);
    snprintf(b->path[1], sizeof b->path[1], COT_SOURCE_DIR "/tests/golden/%s/expected.safetensors", f->name);
    COT_TRY(safetensors_open(&b->weights, b->path[0], err));
    COT_TRY(safetensors_open(&b->expected, b->path[1], err));
    const weight_source expected = {b->expected, "", b->path[1]};
    const size_t features[] = {f->batch, f->shape.image_dim}, prompts[] = {f->shape.n_steps, f->shape.dim};
    COT_TRY(source_floats(&b->features, &expected, "image_features", features, 2, err));
    COT_TRY(source_floats(&b->prompts, &expected, "prompt_features", prompts, 2, err));
done:
    return status;
}

static cot_status open_teacher(bench *b, const bool *available, cot_error *err)
{
    cot_status status = COT_OK;
    const folder *f = b->folder;
    b->source = (weight_source){b->weights, "", b->path[0]};
    if (!device) {
        const cot_device_options options = COT_DEVICE_OPTIONS_INIT;
        COT_TRY(cot_device_open(&device, &options, err));
    }
    COT_TRY(teacher_init(&b->m, device, &b->source, &f->shape, err));
    COT_TRY(cot_arena_create(&b->arena, device, err));
    COT_TRY(cot_arena_reserve(b->arena, &b->feature, f->batch * f->shape.image_dim, err));
    COT_TRY(teacher_plan(&b->m, b->arena, f->batch, err));
    COT_TRY(cot_arena_commit(b->arena, err));
    COT_TRY(teacher_prompts(&b->m, b->prompts, err));
    COT_TRY(cot_buffer_write(b->feature, 0, b->features, f->batch * f->shape.image_dim, err));
    COT_TRY(teacher_evidence_init(&b->evidence, &b->m, &b->source, available, f->batch, err));
    b->reference = (ref_teacher){.source = &b->source, .shape = f->shape, .prompts = b->prompts};
done:
    return status;
}

static cot_status open_chains(bench *b, const bool *available, cot_error *err)
{
    cot_status status = COT_OK;
    const folder *f = b->folder;
    b->steps = (cot_steps){.n_steps = f->shape.n_steps, .steps = b->step};
    b->chains = calloc(f->batch, sizeof(cot_chain *));
    b->gradients = calloc(f->batch * f->shape.n_steps * f->shape.image_dim, sizeof *b->gradients);
    if (!b->chains || !b->gradients) return cot_fail(err, COT_E_MEMORY, "no memory");
    for (size_t s = 0; s < f->shape.n_steps; s++) {
        b->step[s].n_options = f->shape.classes[s];
        b->step[s].options = b->option + b->n_logits;
        b->n_logits += f->shape.classes[s];
    }
    for (size_t i = 0; i < f->batch; i++) {
        COT_TRY(cot_chain_create(&b->chains[i], &b->steps, err));
        for (size_t s = 0; s < f->shape.n_steps; s++) {
            b->chains[i]->answers[s].available = available[s];
            b->chains[i]->answers[s].answer = (i + s) % f->shape.classes[s]; /* any: not only the likeliest */
        }
    }
done:
    return status;
}

static cot_status bench_open(bench *b, const folder *f, const bool *available, cot_error *err)
{
    cot_status status;
    memset(b, 0, sizeof *b);
    b->folder = f;
    COT_TRY(open_files(b, err));
    COT_TRY(open_teacher(b, available, err));
    COT_TRY(open_chains(b, available, err));
    COT_TRY(teacher_forward(&b->m, b->feature, f->batch, err)); /* as in a reading */
done:
    return status;
}

static void bench_close(bench *b)
{
    teacher_evidence_fini(&b->evidence);
    teacher_fini(&b->m);
    cot_arena_destroy(b->arena);
    for (size_t i = 0; b->chains && i < b->folder->batch; i++) cot_chain_destroy(b->chains[i]);
    ref_teacher_close(&b->reference);
    safetensors_close(b->weights);
    safetensors_close(b->expected);
    free(b->chains);
    free(b->gradients);
    free(b->features);
    free(b->prompts);
}

static void run_reference(bench *b, double *logits, size_t image, size_t channel, double more, size_t without)
{
    double feature[MOST_FEATURES];
    const size_t features = b->folder->shape.image_dim;
    for (size_t c = 0; c < features; c++) feature[c] = (double)b->features[image * features + c];
    feature[channel] += more;
    ref_teacher_forward(&b->reference, logits, feature, without);
}

static size_t column_of(const bench *b, size_t s)
{
    size_t at = 0;
    for (size_t k = 0; k < s; k++) at += b->folder->shape.classes[k];
    return at;
}

static double chosen(const bench *b, const double *logits, size_t image, size_t s, double degree)
{
    double l[MOST_LOGITS], p[MOST_LOGITS];
    const size_t n = b->folder->shape.classes[s];
    for (size_t k = 0; k < n; k++) l[k] = logits[column_of(b, s) + k] / degree;
    ref_softmax_double(p, l, n);
    return p[b->chains[image]->answers[s].answer];
}

static const bool all_steps[MOST_STEPS] = {true, true, true, true, true, true, true, true};

/* ---- the twin is the oracle's teacher ---- */
TEST(the_reference_gives_the_logits_of_pytorch)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t f = 0; f < FOLDERS; f++) {
        bench b;
        double logits[MOST_LOGITS];
        REQUIRE_OK(bench_open(&b, &folders[f], all_steps, &err));
        const weight_source expected = {b.expected, "", b.path[1]};
        for (size_t i = 0; i < b.folder->batch; i++) {
            run_reference(&b, logits, i, 0, 0, b.folder->shape.n_steps);
            for (size_t s = 0; s < b.folder->shape.n_steps; s++) {
                char name[64];
                float *want = NULL;
                const size_t n = b.folder->shape.classes[s];
                snprintf(name, sizeof name, "teacher_logits.%zu", s);
                REQUIRE_OK(source_floats(&want, &expected, name, (const size_t[]){b.folder->batch, n}, 2, &err));
                for (size_t k = 0; k < n; k++) CHECK_NEAR(logits[column_of(&b, s) + k], want[i * n + k], 1e-5);
                free(want);
            }
        }
        bench_close(&b);
    }
}

/* ---- influences ---- */
static void check_influences(bench *b, const bool *available, const float *degrees, double *most)
{
    double own[MOST_LOGITS], without[MOST_LOGITS];
    for (size_t i = 0; i < b->folder->batch; i++) {
        run_reference(b, own, i, 0, 0, b->folder->shape.n_steps);
        for (size_t s = 0, answered = 0; s < b->folder->shape.n_steps; answered += available[s++]) {
            const cot_answer *a = &b->chains[i]->answers[s];
            CHECK(a->weighed == available[s]);
            CHECK_NUMBER(a->n_influences, available[s] ? answered : 0);
            for (size_t k = 0; k < a->n_influences; k++) {
                const cot_influence *one = &a->influences[k];
                REQUIRE(one->step < s && available[one->step]);
                if (k) CHECK(fabsf(one->change) <= fabsf(one[-1].change));
                run_reference(b, without, i, 0, 0, one->step);
                const double degree = degrees ? (double)degrees[s] : 1;
                CHECK_NEAR(one->change, chosen(b, own, i, s, degree) - chosen(b, without, i, s, degree), 2e-6);
                *most = fmax(*most, fabs((double)one->change));
            }
        }
    }
}

TEST(influences_are_what_removing_a_memory_write_by_hand_gives)
{
    cot_error err = COT_ERROR_INIT;
    static const bool some[MOST_STEPS] = {true, true, false, true, false, true, false}, last[MOST_STEPS] = {[3] = true};
    static const bool *const cases[] = {all_steps, some, last};
    static const float degrees[MOST_STEPS] = {1, 2, 1, 0.5f, 1, 1.5f, 1, 1};
    double most = 0;
    for (size_t f = 0; f < FOLDERS; f++)
        for (size_t c = 0; c < 3; c++) {
            bench b;
            REQUIRE_OK(bench_open(&b, &folders[f], cases[c], &err));
            const float *degree = c == 1 ? degrees : NULL;
            CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, b.folder->batch, degree, NULL, &err));
            check_influences(&b, cases[c], degree, &most);
            bench_close(&b);
        }
    CHECK(most > 1e-3); /* what is compared is no zero */
}

/* ---- gradients ---- */
static void check_gradient(bench *b, size_t i, size_t s, double *memory)
{
    double up[MOST_LOGITS], down[MOST_LOGITS], most = 0, error = 0, through = 0;
    const double step = 1e-5;
    const size_t features = b->folder->shape.image_dim, steps = b->folder->shape.n_steps;
    const size_t at = column_of(b, s) + b->chains[i]->answers[s].answer;
    const float *got = b->gradients + (i * steps + s) * features;
    for (size_t c = 0; c < features; c++) {
        run_reference(b, up, i, c, step, steps);
        run_reference(b, down, i, c, -step, steps);
        const double want = (up[at] - down[at]) / (2 * step);
        most = fmax(most, fabs(want));
        error = fmax(error, fabs((double)got[c] - want));
        run_reference(b, up, i, c, step, SIZE_MAX);
        run_reference(b, down, i, c, -step, SIZE_MAX);
        through = fmax(through, fabs(want - (up[at] - down[at]) / (2 * step)));
    }
    CHECK_NEAR(error, 0, 1e-4 * most + 1e-6);
    *memory = fmax(*memory, through / (most + 1e-12));
}

TEST(gradients_are_central_differences_in_the_feature)
{
    cot_error err = COT_ERROR_INIT;
    static const bool some[MOST_STEPS] = {true, false, false, true, false, true, false};
    static const bool *const cases[] = {all_steps, some};
    double memory = 0;
    for (size_t f = 0; f < FOLDERS; f++)
        for (size_t c = 0; c < 2; c++) {
            bench b;
            REQUIRE_OK(bench_open(&b, &folders[f], cases[c], &err));
            const size_t n = b.folder->batch, features = b.folder->shape.image_dim;
            CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, n, NULL, b.gradients, &err));
            for (size_t i = 0; i < n; i++)
                for (size_t s = 0; s < b.folder->shape.n_steps; s++) {
                    const float *got = b.gradients + (i * b.folder->shape.n_steps + s) * features;
                    if (cases[c][s])
                        check_gradient(&b, i, s, &memory);
                    else
                        for (size_t k = 0; k < features; k++) CHECK(got[k] == 0);
                }
            bench_close(&b);
        }
    CHECK(memory > 1e-3); /* part of what is compared runs through the memory, not only through the step's own view */
}

TEST(a_teacher_that_forgets_owes_nothing_to_earlier_answers)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    double up[MOST_LOGITS], down[MOST_LOGITS];
    REQUIRE_OK(bench_open(&b, &folders[0], all_steps, &err));
    b.m.forgets = true;
    CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, 3, NULL, b.gradients, &err));
    for (size_t s = 0; s < 7; s++)
        for (size_t k = 0; k < b.chains[0]->answers[s].n_influences; k++)
            CHECK_NEAR(b.chains[0]->answers[s].influences[k].change, 0, 1e-6);
    for (size_t c = 0; c < 20; c++) {
        const size_t at = column_of(&b, 5) + b.chains[0]->answers[5].answer;
        run_reference(&b, up, 0, c, 1e-5, SIZE_MAX);
        run_reference(&b, down, 0, c, -1e-5, SIZE_MAX);
        CHECK_NEAR(b.gradients[5 * 20 + c], (up[at] - down[at]) / 2e-5, 1e-5);
    }
    bench_close(&b);
}

/* Explaining does not change the next reading, and again gives the same bits. */
TEST(evidence_leaves_the_teacher_as_it_was)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    float before[MOST_LOGITS * 17], after[MOST_LOGITS * 17], *first = NULL;
    REQUIRE_OK(bench_open(&b, &folders[2], all_steps, &err));
    const size_t n = 17, floats = n * 4 * 33;
    REQUIRE_OK(cot_buffer_read(b.m.acts.logits[3], 0, before, n * 6, &err));
    CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, n, NULL, b.gradients, &err));
    REQUIRE((first = malloc(floats * sizeof *first)));
    memcpy(first, b.gradients, floats * sizeof *first);
    REQUIRE_OK(teacher_forward(&b.m, b.feature, n, &err));
    REQUIRE_OK(cot_buffer_read(b.m.acts.logits[3], 0, after, n * 6, &err));
    CHECK(!memcmp(before, after, n * 6 * sizeof *before));
    const cot_device_ledger held = cot_device_ledger_read(device);
    CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, n, NULL, b.gradients, &err));
    CHECK(!memcmp(first, b.gradients, floats * sizeof *first));
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, held.bytes);
    free(first);
    bench_close(&b);
}

/* ---- where ---- */
/* All that the teacher is given of the image comes from one cell. */
TEST(what_the_teacher_owes_to_one_cell_is_found_there)
{
    enum { SIDE = 5, CELL = SIDE + 4 };
    cot_error err = COT_ERROR_INIT;
    bench b;
    float activation[SIDE * SIDE * 20] = {0}, maps[7 * SIDE * SIDE];
    size_t found = 0;
    REQUIRE_OK(bench_open(&b, &folders[0], all_steps, &err));
    CHECK_OK(teacher_evidence_weigh(&b.evidence, b.chains, b.feature, 3, NULL, b.gradients, &err));
    for (size_t c = 0; c < 20; c++) activation[CELL * 20 + c] = b.features[c] * (float)(SIDE * SIDE);
    for (size_t s = 0; s < 7; s++)
        evidence_grad_cam(maps + s * SIDE * SIDE, activation, SIDE * SIDE, b.gradients + s * 20, 20);
    const evidence_maps what = {maps, SIDE, true};
    b.chains[0]->rows = 300;
    b.chains[0]->cols = 200;
    CHECK_OK(evidence_locate(b.chains[0], &b.steps, &what, &err));
    for (size_t s = 0; s < 7; s++) {
        const cot_answer *a = &b.chains[0]->answers[s];
        double owed = 0;
        for (size_t c = 0; c < 20; c++) owed += (double)b.gradients[s * 20 + c] * (double)b.features[c];
        CHECK(a->located);
        CHECK_NUMBER(a->n_regions, owed > 0); /* an answer that the image speaks against has no region */
        if (!a->n_regions) continue;
        const cot_point middle = {(4 + 0.5f) * 200 / SIDE, (1 + 0.5f) * 300 / SIDE};
        for (size_t i = 0; i < a->regions[0].n_points; i++) {
            CHECK_NEAR(a->regions[0].points[i].column, middle.column, 40);
            CHECK_NEAR(a->regions[0].points[i].row, middle.row, 60);
        }
        found++;
    }
    CHECK(found > 0);
    bench_close(&b);
}

CHECK_MAIN
