/* links: engine config
 * A teacher in a package: imported under the published names, it reads as the oracle's does, alone or second; what does not
 * fit is named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/model.h"
#include "engine/package.h"
#include "engine/prompts.h"
#include "tests/encoder_world.h"
#include "tests/tensor_files.h"
#include "tests/tiny_model.h"

#include <sys/stat.h>

enum { IMAGES = 3 };

static const char summary[] =
    "{\"supervised_steps\": [1, 2, 3, 4, 5, 6, 7], \"name\": \"tiny\", \"training\": \"none\","
    " \"teacher\": {\"supervised_steps\": [1, 2, 3, 4, 5, 7]}}";

/* ---- the golden folder as a package ---- */
static struct {
    char folder[64], source[96], clip[96], teacher[96], package[96];
    cot_device *device;
    cot_steps *steps;
    safetensors *golden, *golden_teacher;
} world;

/* The student and the encoder of the golden folder; the teacher with the prompts that the oracle's BERT gave. */
static cot_status make_source(cot_error *err)
{
    cot_status status;
    tensor_list *list = calloc(1, sizeof *list);
    safetensors *heads = NULL, *tower = NULL;
    COT_TRY(safetensors_open(&heads, TINY_GOLDEN "student.safetensors", err));
    COT_TRY(safetensors_open(&tower, TINY_GOLDEN "clip.safetensors", err));
    add_file(list, "", heads);
    COT_TRY(write_list(world.source, "weights.safetensors", list, err));
    COT_TRY(write_text(world.source, "summary.json", summary, err));
    list->n = 0;
    add_file(list, "", tower);
    COT_TRY(write_list(world.clip, "model.safetensors", list, err));
    COT_TRY(write_text(world.clip, "config.json", "{\"vision_config\": {\"num_attention_heads\": 4}}", err));
    list->n = 0;
    add_file(list, "", world.golden_teacher);
    add(list, "", "prompts", safetensors_find(world.golden, "prompt_features"));
    COT_TRY(write_list(world.teacher, "teacher.safetensors", list, err));
done:
    safetensors_close(heads);
    safetensors_close(tower);
    free(list);
    return status;
}

static cot_status import(const char *teacher_path, const char *bert_path, cot_error *err)
{
    const cot_import_options options = {.source = world.source,
                                        .out = world.package,
                                        .clip = world.clip,
                                        .teacher = teacher_path,
                                        .bert = bert_path,
                                        .device = world.device};
    return cot_package_import(&options, world.steps, err);
}

static cot_status open_world(cot_error *err)
{
    cot_status status;
    if (!make_folder(world.folder)) return cot_fail(err, COT_E_IO, "mkdtemp");
    snprintf(world.source, sizeof world.source, "%s/source", world.folder);
    snprintf(world.clip, sizeof world.clip, "%s/clip", world.folder);
    snprintf(world.teacher, sizeof world.teacher, "%s/teacher", world.folder);
    snprintf(world.package, sizeof world.package, "%s/package", world.folder);
    if (mkdir(world.source, 0700) || mkdir(world.clip, 0700) || mkdir(world.teacher, 0700))
        return cot_fail(err, COT_E_IO, "mkdir");
    COT_TRY(open_device(&world.device, err));
    COT_TRY(cot_steps_load(&world.steps, NULL, err));
    COT_TRY(safetensors_open(&world.golden, TINY_GOLDEN "expected.safetensors", err));
    COT_TRY(safetensors_open(&world.golden_teacher, TINY_GOLDEN "teacher.safetensors", err));
    COT_TRY(make_source(err));
    COT_TRY(import(world.teacher, NULL, err));
done:
    return status;
}

static bool world_ready(void)
{
    static int state;
    cot_error err = COT_ERROR_INIT;
    if (!state) {
        state = open_world(&err) == COT_OK ? 1 : 2;
        if (state == 2) fprintf(stderr, "world: %s\n", err.text);
    }
    return state == 1;
}

static void check_logits(const float *got, const char *name)
{
    for (size_t s = 0, at = 0; s < world.steps->n_steps; at += world.steps->steps[s++].n_options) {
        char key[64];
        size_t n = 0;
        const size_t classes = world.steps->steps[s].n_options;
        snprintf(key, sizeof key, "%s.%zu", name, s);
        float *want = floats_of(world.golden, key, &n), rows[IMAGES * 16];
        REQUIRE(want && n == IMAGES * classes);
        for (size_t i = 0; i < IMAGES; i++) memcpy(rows + i * classes, got + i * 42 + at, classes * sizeof *rows);
        CHECK_NEAR(relative_error(rows, want, n), 0, encoder_bound);
        free(want);
    }
}

TEST(both_readers_of_a_package_give_the_oracles_logits_from_one_feature)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_model *model = NULL;
    size_t n = 0;
    REQUIRE(world_ready());
    float *feature = floats_of(world.golden, "image_features", &n);
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    for (cot_readers readers = COT_READ_STUDENT; readers < COT_READERS; readers++) {
        REQUIRE_OK(cot_model_create_for(&model, world.device, package, world.steps, readers, IMAGES + 1, &err));
        CHECK_NUMBER(cot_model_logit_count(model), 42);
        CHECK_OK(cot_buffer_write(model->feature, 0, feature, n, &err));
        CHECK_OK(model_heads(model, IMAGES, &err));
        check_logits(model->logits, readers == COT_READ_TEACHER ? "teacher_logits" : "student_logits");
        if (readers == COT_READ_BOTH) check_logits(model->other_logits, "teacher_logits");
        cot_model_destroy(model);
    }
    cot_package_close(package);
    free(feature);
}

static cot_status read_as(cot_chain **chains, const cot_package *package, cot_readers readers, const float *grey,
                          cot_error *err)
{
    cot_status status;
    cot_model *model = NULL;
    cot_picture pictures[IMAGES];
    for (size_t i = 0; i < IMAGES; i++)
        pictures[i] = (cot_picture){grey + i * 40 * 30, 40, 30, COT_ORIENTATION_ASSUMED};
    COT_TRY(cot_model_create_for(&model, world.device, package, world.steps, readers, IMAGES, err));
    COT_TRY(cot_model_read(model, chains, pictures, IMAGES, err));
done:
    cot_model_destroy(model);
    return status;
}

/* What one chain of `both` must have of the two read alone. */
static size_t compare_chains(const cot_chain *both, const cot_chain *first_alone, const cot_chain *second_alone)
{
    size_t disagreements = 0;
    CHECK(both->has_other && !first_alone->has_other && !second_alone->has_other);
    CHECK_TEXT(both->reader.role, "student");
    CHECK_TEXT(both->other.role, "teacher");
    CHECK_TEXT(second_alone->reader.role, "teacher");
    CHECK_TEXT(both->other.device, both->reader.device);
    CHECK_TEXT(both->other.package_sha256, both->reader.package_sha256);
    CHECK_HAS(both->other.training, "none. Prompts: as stored with the teacher's weights.");
    for (size_t s = 0; s < both->n_steps; s++) {
        const cot_answer *b = &both->answers[s], *first = &first_alone->answers[s], *second = &second_alone->answers[s];
        CHECK(!memcmp(b->probability, first->probability, b->n_options * sizeof *b->probability));
        CHECK(b->other.available == second->available && second->available == (s != 5));
        CHECK(!second->available == (second->reason[0] != 0));
        if (!b->other.available) continue;
        CHECK(!memcmp(b->other.probability, second->probability, b->n_options * sizeof *b->probability));
        CHECK_NUMBER(b->other.answer, second->answer);
        CHECK(b->disagreement == (b->answer != second->answer));
        CHECK((strstr(b->rationale, "The second reader (teacher) disagrees: it answers \"") != NULL) ==
              b->disagreement);
        if (b->disagreement) CHECK_HAS(both->summary, world.steps->steps[s].title);
        disagreements += b->disagreement;
    }
    return disagreements;
}

TEST(the_second_reader_answers_as_it_does_alone_and_disagreement_is_said)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_chain *chains[COT_READERS][IMAGES];
    static float grey[IMAGES * 40 * 30];
    char want[80];
    unsigned seed = 3;
    size_t all = 0;
    REQUIRE(world_ready());
    for (size_t i = 0; i < IMAGES * 40 * 30; i++) grey[i] = 0.5f + number(&seed) / 2;
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    for (cot_readers r = COT_READ_STUDENT; r < COT_READERS; r++) REQUIRE_OK(read_as(chains[r], package, r, grey, &err));
    for (size_t i = 0; i < IMAGES; i++) {
        const cot_chain *both = chains[COT_READ_BOTH][i];
        const size_t n = compare_chains(both, chains[COT_READ_STUDENT][i], chains[COT_READ_TEACHER][i]);
        snprintf(want, sizeof want, "The two readers disagree on %zu of the 6 steps that both answered: ", n);
        CHECK_HAS(both->summary, n ? want : "gives the same answers to all 6 steps");
        CHECK_HAS(both->summary, "not calibrated");
        all += n;
    }
    CHECK(all > 0);
    for (cot_readers r = COT_READ_STUDENT; r < COT_READERS; r++)
        for (size_t i = 0; i < IMAGES; i++) cot_chain_destroy(chains[r][i]);
    cot_package_close(package);
}

/* ---- what its answers rest on ---- */
static void check_evidence(const cot_chain *plain, const cot_chain *explained)
{
    for (size_t s = 0, answered = 0; s < plain->n_steps; s++) {
        const cot_answer *a = &explained->answers[s];
        CHECK(!memcmp(a->probability, plain->answers[s].probability, a->n_options * sizeof *a->probability));
        CHECK(!plain->answers[s].located && !plain->answers[s].weighed);
        CHECK(a->located == a->available && a->weighed == a->available && (a->map != NULL) == a->available);
        CHECK_NUMBER(a->n_influences, a->available ? answered : 0);
        for (size_t k = 0; k < a->n_influences; k++) {
            CHECK(a->influences[k].step < s && explained->answers[a->influences[k].step].available);
            CHECK(a->influences[k].change != 0);
        }
        answered += a->available;
        if (s && a->available) CHECK(strstr(a->rationale, "arlier answer") != NULL);
    }
}

/* Its own chain, not the student's: other influences, of the steps that it was trained for. */
TEST(a_teacher_that_reads_alone_says_what_its_answers_rest_on)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_model *model = NULL;
    cot_chain *plain[IMAGES] = {NULL}, *explained[IMAGES] = {NULL}, *alone = NULL;
    cot_picture pictures[IMAGES];
    static float grey[IMAGES * 40 * 30];
    unsigned seed = 5;
    REQUIRE(world_ready());
    for (size_t i = 0; i < IMAGES * 40 * 30; i++) grey[i] = 0.5f + number(&seed) / 2;
    for (size_t i = 0; i < IMAGES; i++)
        pictures[i] = (cot_picture){grey + i * 40 * 30, 40, 30, COT_ORIENTATION_STANDARD};
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    REQUIRE_OK(cot_model_create_for(&model, world.device, package, world.steps, COT_READ_TEACHER, IMAGES, &err));
    REQUIRE_OK(cot_model_read(model, plain, pictures, IMAGES, &err));
    REQUIRE_OK(cot_model_explain(model, true, true, &err));
    REQUIRE_OK(cot_model_read(model, explained, pictures, IMAGES, &err));
    for (size_t i = 0; i < IMAGES; i++) check_evidence(plain[i], explained[i]);
    REQUIRE_OK(cot_model_read(model, &alone, &pictures[2], 1, &err));
    for (size_t s = 0; s < alone->n_steps; s++) {
        const cot_answer *a = &alone->answers[s], *b = &explained[2]->answers[s];
        REQUIRE(a->n_regions == b->n_regions && a->n_influences == b->n_influences);
        for (size_t k = 0; k < a->n_influences; k++) CHECK_NEAR(a->influences[k].change, b->influences[k].change, 1e-5);
        for (size_t p = 0; a->map && p < a->map_rows * a->map_cols; p++) CHECK_NEAR(a->map[p], b->map[p], 1e-3);
    }
    cot_chain_destroy(alone);
    for (size_t i = 0; i < IMAGES; i++) {
        cot_chain_destroy(plain[i]);
        cot_chain_destroy(explained[i]);
    }
    cot_model_destroy(model);
    cot_package_close(package);
}

/* Where both read, the chain's evidence is the student's, and every rationale with evidence says so. */
TEST(with_two_readers_the_evidence_says_whose_it_is)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    size_t said = 0;
    static float grey[40 * 30];
    unsigned seed = 7;
    cot_chain *chains[COT_READERS] = {NULL};
    REQUIRE(world_ready());
    for (size_t i = 0; i < 40 * 30; i++) grey[i] = 0.5f + number(&seed) / 2;
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    for (cot_readers r = COT_READ_STUDENT; r < COT_READERS; r++) {
        cot_model *model = NULL;
        const cot_picture picture = {grey, 40, 30, COT_ORIENTATION_STANDARD};
        REQUIRE_OK(cot_model_create_for(&model, world.device, package, world.steps, r, 1, &err));
        REQUIRE_OK(cot_model_explain(model, true, false, &err));
        REQUIRE_OK(cot_model_read(model, &chains[r], &picture, 1, &err));
        cot_model_destroy(model);
    }
    for (size_t s = 0; s < world.steps->n_steps; s++) {
        const cot_answer *both = &chains[COT_READ_BOTH]->answers[s], *one = &chains[COT_READ_STUDENT]->answers[s];
        REQUIRE(both->n_influences == one->n_influences);
        for (size_t k = 0; k < both->n_influences; k++)
            CHECK(both->influences[k].step == one->influences[k].step &&
                  both->influences[k].change == one->influences[k].change);
        const bool has = strstr(one->rationale, "arlier answer") || strstr(one->rationale, "relevance map");
        const char *whose = strstr(both->rationale, "evidence of the answer of the first reader (student)");
        CHECK((whose != NULL) == has && !strstr(one->rationale, "first reader"));
        if (whose) CHECK_HAS(whose, "none was computed for that of the second (teacher)");
        said += whose != NULL;
    }
    CHECK(said >= 6);
    for (cot_readers r = COT_READ_STUDENT; r < COT_READERS; r++) cot_chain_destroy(chains[r]);
    cot_package_close(package);
}

TEST(a_package_without_a_teacher_says_so_and_what_to_do)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_model *model = NULL;
    REQUIRE(world_ready());
    REQUIRE_OK(cot_package_open(&package, NULL, world.steps, &err));
    CHECK_OK(cot_package_offers(package, COT_READ_STUDENT, &err));
    CHECK_FAILS(cot_package_offers(package, COT_READ_BOTH, &err), COT_E_MODEL,
                "default model: the package has no teacher");
    CHECK_FAILS(cot_model_create_for(&model, world.device, package, world.steps, COT_READ_TEACHER, 1, &err),
                COT_E_MODEL, "--teacher FILE");
    cot_package_close(package);
}

/* ---- the package's description ---- */
TEST(the_description_shows_the_teacher_its_prompts_and_its_steps)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    char *text = NULL;
    size_t size = 0;
    REQUIRE(world_ready());
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    FILE *stream = open_memstream(&text, &size);
    CHECK_OK(cot_package_print(package, stream, true, &err));
    fclose(stream);
    CHECK_HAS(text, "Teacher         tiny, teacher; feature 20, graph of 2 layers, 4 heads");
    CHECK_HAS(text, "Prompts       as stored with the teacher's weights");
    CHECK_HAS(text, "Trained steps detection, distribution, pattern, location, morphology, diagnosis;");
    CHECK_HAS(text, "teacher.step_models.6.fusion_head.4.weight");
    CHECK_HAS(text, "prompts");
    free(text);
    cot_package_close(package);
}

/* ---- prompts without a BERT, and with one that does not fit ---- */
TEST(without_a_bert_the_prompts_are_random_and_the_package_says_so)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    char kept[96];
    float *want = NULL;
    size_t n = 0;
    REQUIRE(world_ready());
    memcpy(kept, world.package, sizeof kept);
    snprintf(world.package, sizeof world.package, "%s/random", world.folder);
    REQUIRE_OK(import(TINY_GOLDEN "teacher.safetensors", NULL, &err));
    REQUIRE_OK(cot_package_open(&package, world.package, world.steps, &err));
    CHECK_HAS(cot_package_reader_of(package, COT_READ_TEACHER)->training, "Prompts: fixed random unit vectors");
    const weight_source source = package_source(package, "");
    const tensor *stored = source_find(&source, "prompts");
    float *got = malloc(stored->count * sizeof *got);
    REQUIRE_OK(prompts_random(&want, 7, 20, &err));
    tensor_floats(got, stored);
    CHECK(stored->count == 140 && !memcmp(got, want, 140 * sizeof *got));
    (void)n;
    free(got);
    free(want);
    cot_package_close(package);
    snprintf(world.package, sizeof world.package, "%s/none", world.folder);
    CHECK_FAILS(import(world.teacher, TRANSFORMERS "bert", &err), COT_E_USAGE, "it stores its prompts");
    CHECK_FAILS(import(TINY_GOLDEN "teacher.safetensors", TRANSFORMERS "bert", &err), COT_E_MODEL,
                "24 values, the teacher's nodes 20");
    CHECK_FAILS(import(NULL, TRANSFORMERS "bert", &err), COT_E_USAGE, "--teacher");
    memcpy(world.package, kept, sizeof kept);
}

/* ---- what does not fit is named ---- */
/* Imports the golden teacher with tensor `name` left out (rows 0) or with other sizes, and `extra` added. */
static cot_status import_spoilt(const char *name, size_t rows, const char *extra, cot_error *err)
{
    cot_status status;
    tensor_list *list = calloc(1, sizeof *list);
    static const float zeros[4096];
    for (size_t i = 0; i < safetensors_count(world.golden_teacher); i++) {
        tensor t = *safetensors_at(world.golden_teacher, i);
        const bool spoil = name && !strcmp(t.name, name);
        if (spoil && !rows) continue;
        if (spoil) {
            t.count = t.count / t.shape[0] * rows;
            t.bytes = t.count * sizeof(float);
            t.shape[0] = rows;
            t.data = (const unsigned char *)zeros;
        }
        add(list, "", t.name, &t);
    }
    if (extra) add(list, "", extra, safetensors_find(world.golden_teacher, "pred2mem.bias"));
    COT_TRY(write_list(world.folder, "spoilt.safetensors", list, err));
    char path[128];
    snprintf(path, sizeof path, "%s/spoilt.safetensors", world.folder);
    status = import(path, NULL, err);
done:
    free(list);
    return status;
}

TEST(a_tensor_that_is_missing_extra_or_misshapen_is_named)
{
    static const struct {
        const char *name;
        size_t rows;
        const char *extra, *error;
    } cases[] = {
        {"memory_init", 0, NULL, "memory_init is missing: no teacher in this file"},
        {"memory_init", 2, NULL, "memory_init has shape [2,20]"},
        {"memory_gat.layers.0.a_src", 0, NULL, "memory_gat.layers.0.a_src of the teacher is missing"},
        {"memory_gat.layers.0.a_src", 3, NULL, "3 heads of 5"},
        {"memory_gat.layers.1.a_dst", 5, NULL, "memory_gat.layers.1.a_dst has shape [5,5]"},
        {"step_models.6.classifier.weight", 8, NULL, "step_models.6.classifier.weight has shape [8,20]"},
        {"mem_gru.bias_hh", 0, NULL, "mem_gru.bias_hh [60] is missing"},
        {NULL, 0, "step_models.7.classifier.bias", "step_models.7.classifier.bias belongs to none"},
        {NULL, 0, "other.memory_init", "begin a teacher"},
        {NULL, 0, "prompts", "prompts has shape [20], the architecture and step schema need [7,20]"},
        {NULL, 0, "cnn.conv1.weight", "cnn.conv1.weight belongs to none"},
    };
    cot_error err = COT_ERROR_INIT;
    char kept[96];
    REQUIRE(world_ready());
    memcpy(kept, world.package, sizeof kept);
    snprintf(world.package, sizeof world.package, "%s/none", world.folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_FAILS(import_spoilt(cases[i].name, cases[i].rows, cases[i].extra, &err), COT_E_MODEL, cases[i].error);
    memcpy(world.package, kept, sizeof kept);
}

/* ---- a damaged package ---- */
/* `from` becomes `to`, of the same length, in the package's model.json; the package is opened; and back. */
static void check_card(const char *from, const char *to, const char *error)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    char *text = card_of(world.package), *at = text ? strstr(text, from) : NULL;
    REQUIRE(at && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
    CHECK_OK(write_text(world.package, "model.json", text, &err));
    CHECK_FAILS(cot_package_open(&package, world.package, world.steps, &err), COT_E_MODEL, error);
    memcpy(at, from, strlen(from));
    CHECK_OK(write_text(world.package, "model.json", text, &err));
    free(text);
}

TEST(a_description_that_is_not_the_teachers_is_refused)
{
    REQUIRE(world_ready());
    check_card("\"heads\":\t4,\n\t\t\"layers\":\t2", "\"heads\":\t3,\n\t\t\"layers\":\t2",
               "must divide its \"dim\" 20");
    check_card("\"heads\":\t4,\n\t\t\"layers\":\t2", "\"heads\":\t2,\n\t\t\"layers\":\t2", "a_src has shape [4,5]");
    check_card("\"layers\":\t2,\n\t\t\"supervised\"", "\"layers\":\t3,\n\t\t\"supervised\"",
               "memory_gat.layers.2.W.weight [20,20] is missing");
    check_card("\"layers\":\t2,\n\t\t\"supervised\"", "\"layers\":\t0,\n\t\t\"supervised\"",
               "\"layers\" must be a number");
    check_card("\"layers\":\t2,\n\t\t\"supervised\"", "\"layers\":\t2,\n\t\t\"survivised\"",
               "\"supervised\" must list");
    check_card("\"teacher\":\t{", "\"teachee\":\t{", "is not of the architecture");
    check_card("\"prompts\":\t\"as", "\"promps\":\t\"ass", "\"prompts\" must be a text");
}

/* Last: the world ends. */
TEST(the_world_is_taken_down)
{
    REQUIRE(world_ready());
    safetensors_close(world.golden);
    safetensors_close(world.golden_teacher);
    cot_steps_destroy(world.steps);
    cot_device_close(world.device);
    remove_folder(world.folder);
}

CHECK_MAIN
