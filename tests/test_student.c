/* links: engine config
 * The student against PyTorch (golden/resnet18), on the default model and on a tiny one of other sizes; and what a
 * reading contains and costs. Golden values and their recipe: tests/golden/README.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/engine.h"
#include "engine/package.h"
#include "engine/safetensors.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

#define GOLDEN COT_SOURCE_DIR "/tests/golden/resnet18/"
enum { BATCH = 5, SEEDS = 3, NIH_SIDE = 512, CROP_AT = 56, CROP_COLS = 400 };
static const double logit_bound = 1e-4, end_to_end_bound = 1e-3;

/* ---- one device and both models for all tests ---- */
static struct {
    bool ready;
    cot_device *device;
    cot_steps *steps;
    cot_package *package, *tiny_package;
    cot_model *model, *tiny;
    safetensors *golden;
    float *nih; /* [512,512] 0..1 */
    char folder[64];
} world;

static cot_status open_tiny(cot_error *err)
{
    char out[128];
    if (!make_folder(world.folder)) return cot_fail(err, COT_E_IO, "mkdtemp");
    snprintf(out, sizeof out, "%s/tiny", world.folder);
    const cot_import_options options = {.source = TINY_SOURCE, .out = out};
    cot_status status;
    COT_TRY(cot_package_import(&options, tiny_steps(), err));
    COT_TRY(cot_package_open(&world.tiny_package, out, tiny_steps(), err));
    COT_TRY(cot_model_create(&world.tiny, world.device, world.tiny_package, tiny_steps(), SEEDS, err));
done:
    remove_folder(world.folder); /* the weights stay mapped */
    return status;
}

static cot_status open_picture(cot_error *err)
{
    char *bytes = NULL;
    size_t size = 0;
    const size_t pixels = NIH_SIDE * NIH_SIDE;
    cot_status status;
    COT_TRY(cot_file_read(&bytes, &size, GOLDEN "nih.pgm", 1 << 20, err));
    world.nih = malloc(pixels * sizeof *world.nih);
    if (size < pixels || !world.nih) status = cot_fail(err, COT_E_IO, "nih.pgm is too small");
    for (size_t i = 0; status == COT_OK && i < pixels; i++)
        world.nih[i] = (float)(unsigned char)bytes[size - pixels + i] / 255.0f;
done:
    free(bytes);
    return status;
}

static cot_status open_world(cot_error *err)
{
    cot_status status = COT_OK;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE; /* the same kernels on every machine that runs this; CLBlast has a test below */
    if (world.ready) return COT_OK;
    COT_TRY(cot_steps_load(&world.steps, NULL, err));
    COT_TRY(cot_package_open(&world.package, NULL, world.steps, err));
    COT_TRY(safetensors_open(&world.golden, GOLDEN "expected.safetensors", err));
    COT_TRY(open_picture(err));
    COT_TRY(cot_device_open(&world.device, &options, err));
    COT_TRY(cot_model_create(&world.model, world.device, world.package, world.steps, BATCH, err));
    COT_TRY(open_tiny(err));
    world.ready = true;
done:
    return status;
}

__attribute__((destructor)) static void close_world(void)
{
    cot_model_destroy(world.tiny);
    cot_model_destroy(world.model);
    cot_device_close(world.device);
    cot_package_close(world.tiny_package);
    cot_package_close(world.package);
    cot_steps_destroy(world.steps);
    safetensors_close(world.golden);
    free(world.nih);
}

/* ---- helpers ---- */
/* splitmix64 of a counter in [-2,2), as generate.py has it. */
static void fill_uniform(float *to, uint64_t seed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = ((uint64_t)i + 1 + (seed << 32)) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        to[i] = (float)(z >> 40) * 0x1p-22f - 2.0f;
    }
}

/* Golden tensor as floats; NULL when it is not there. Caller frees. */
static float *golden(const char *name, size_t *n)
{
    const tensor *t = safetensors_find(world.golden, name);
    float *v = t ? malloc(t->bytes + 1) : NULL;
    if (!v || !tensor_floats(v, t)) return NULL;
    *n = t->count;
    return v;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static double largest_value(const float *a, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i]));
    return most;
}

/* Random inputs 1..SEEDS, repeated until `n` inputs are there; each must give its golden logits, in any batch. */
static void check_random(cot_model *model, const char *name, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    const size_t pixels = cot_model_input_size(model) * cot_model_input_size(model),
                 outs = cot_model_logit_count(model);
    size_t golden_n = 0;
    float *want = golden(name, &golden_n), *x = malloc(n * pixels * sizeof *x), *got = malloc(n * outs * sizeof *got);
    REQUIRE(want && x && got && golden_n == SEEDS * outs);
    for (size_t i = 0; i < n; i++) fill_uniform(x + i * pixels, 1 + i % SEEDS, pixels);
    CHECK_OK(cot_model_logits(model, got, x, n, &err));
    for (size_t i = 0; i < n; i++) {
        const float *w = want + (i % SEEDS) * outs;
        const double difference = largest_difference(got + i * outs, w, outs);
        CHECK_NEAR(difference, 0, logit_bound);
        CHECK_NEAR(difference / largest_value(w, outs), 0, logit_bound);
    }
    free(want);
    free(x);
    free(got);
}

/* What a model's logits of a step are divided by; 1 where it is not calibrated. */
static double temperature(const cot_package *package, size_t step)
{
    const float degree = package_card(package)->temperature[step];
    return degree > 0 ? (double)degree : 1;
}

/* Log-probabilities of the available steps must be the golden logits, tempered and normalised, within the end-to-end bound. */
static void check_chain(const cot_chain *chain, const cot_package *package, const float *logits, size_t n)
{
    size_t at = 0;
    for (size_t s = 0; s < chain->n_steps; s++) {
        const cot_answer *a = &chain->answers[s];
        double sum = 0, total = 0;
        for (size_t o = 0; o < a->n_options; o++) sum += exp((double)logits[at + o] / temperature(package, s));
        for (size_t o = 0; a->available && o < a->n_options; o++) {
            CHECK_NEAR(log((double)a->probability[o]), (double)logits[at + o] / temperature(package, s) - log(sum),
                       end_to_end_bound);
            CHECK(a->probability[o] <= a->probability[a->answer]);
            total += (double)a->probability[o];
        }
        if (a->available) CHECK_NEAR(total, 1, 1e-5);
        at += a->n_options;
    }
    CHECK_NUMBER(at, n);
}

/* ---- equality with PyTorch ---- */
TEST(student_of_the_default_model_equals_pytorch_on_batch_1)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    check_random(world.model, "random.logits", 1);
}

TEST(student_of_the_default_model_equals_pytorch_on_batch_3)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    check_random(world.model, "random.logits", 3);
}

TEST(student_of_the_default_model_equals_pytorch_on_the_largest_batch)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    check_random(world.model, "random.logits", BATCH);
}

TEST(student_of_a_tiny_model_with_other_sizes_equals_pytorch)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    CHECK_NUMBER(cot_model_logit_count(world.tiny), 10);
    CHECK_NUMBER(cot_model_input_size(world.tiny), 75);
    for (size_t n = 1; n <= SEEDS; n++) check_random(world.tiny, "tiny.random.logits", n);
}

TEST(student_equals_pytorch_on_a_preprocessed_radiograph)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    size_t n = 0, pixels = 0;
    float got[64], *want = golden("nih.logits", &n), *x = golden("nih.input", &pixels);
    REQUIRE(want && x && n == cot_model_logit_count(world.model) && n <= 64);
    CHECK_OK(cot_model_logits(world.model, got, x, 1, &err));
    CHECK_FLOATS(got, want, n, logit_bound);
    free(want);
    free(x);
}

/* A redone job may be read in another batch, and its report must be the same object: equal to the last bit. */
TEST(student_gives_the_same_bits_in_any_batch)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    const size_t pixels = cot_model_input_size(world.model) * cot_model_input_size(world.model);
    const size_t outs = cot_model_logit_count(world.model);
    float *x = malloc(BATCH * pixels * sizeof *x), *alone = malloc(outs * sizeof *alone);
    float *together = malloc(BATCH * outs * sizeof *together);
    REQUIRE(x && alone && together);
    for (size_t i = 0; i < BATCH; i++) fill_uniform(x + i * pixels, 1 + i, pixels);
    for (size_t n = 1; n <= BATCH; n++) {
        CHECK_OK(cot_model_logits(world.model, together, x, n, &err));
        CHECK_OK(cot_model_logits(world.model, alone, x + (n - 1) * pixels, 1, &err));
        CHECK(!memcmp(alone, together + (n - 1) * outs, outs * sizeof *alone));
    }
    free(x);
    free(alone);
    free(together);
}

/* The other implementation of GEMM and convolution, chosen by hand on the same device. */
TEST(student_equals_pytorch_with_clblast_too)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_CLBLAST;
    cot_device *device = NULL;
    cot_model *model = NULL;
    REQUIRE_OK(cot_device_open(&device, &options, &err));
    CHECK_NUMBER(cot_device_gemm(device), COT_GEMM_CLBLAST);
    CHECK_OK(cot_model_create(&model, device, world.package, world.steps, SEEDS, &err));
    if (model) check_random(model, "random.logits", SEEDS);
    cot_model_destroy(model);
    cot_device_close(device);
}

/* ---- pictures to answers ---- */
TEST(reading_of_radiographs_equals_pytorch_and_pillow)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    size_t n = 0, m = 0;
    float *whole = golden("nih.logits", &n), *cropped = golden("nih.crop.logits", &m);
    float *crop = malloc(NIH_SIDE * CROP_COLS * sizeof *crop);
    cot_chain *chains[2] = {NULL, NULL};
    REQUIRE(whole && cropped && crop && n == m);
    for (size_t r = 0; r < NIH_SIDE; r++)
        memcpy(crop + r * CROP_COLS, world.nih + r * NIH_SIDE + CROP_AT, CROP_COLS * sizeof *crop);
    const cot_picture pictures[] = {{world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED},
                                    {crop, NIH_SIDE, CROP_COLS, COT_ORIENTATION_ASSUMED}};
    REQUIRE_OK(cot_model_read(world.model, chains, pictures, 2, &err));
    check_chain(chains[0], world.package, whole, n);
    check_chain(chains[1], world.package, cropped, n);
    cot_chain_destroy(chains[0]);
    cot_chain_destroy(chains[1]);
    free(whole);
    free(cropped);
    free(crop);
}

TEST(reading_by_a_tiny_model_equals_pytorch_and_pillow)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    size_t n = 0;
    float *want = golden("tiny.nih.logits", &n);
    cot_chain *chain = NULL;
    const cot_picture picture = {world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE(want);
    REQUIRE_OK(cot_model_read(world.tiny, &chain, &picture, 1, &err));
    check_chain(chain, world.tiny_package, want, n);
    CHECK_NUMBER(chain->n_steps, 3);
    CHECK(chain->answers[0].available && !chain->answers[1].available && chain->answers[2].available);
    cot_chain_destroy(chain);
    free(want);
}

TEST(reading_says_which_steps_are_not_available_and_why)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chain = NULL;
    const cot_picture picture = {world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_read(world.model, &chain, &picture, 1, &err));
    CHECK_NUMBER(chain->state, COT_CHAIN_PARTIAL);
    CHECK_TEXT(chain->schema_id, world.steps->id);
    for (size_t s = 0; s < chain->n_steps; s++) {
        const cot_answer *a = &chain->answers[s];
        const bool trained = package_card(world.package)->supervised[s];
        CHECK(a->available == trained);
        if (trained) {
            CHECK_HAS(a->rationale, world.steps->steps[s].options[a->answer].label);
            CHECK(!strchr(a->rationale, '{'));
            continue;
        }
        CHECK_TEXT(a->reason, "not trained: the training data has no labels for this step");
        CHECK_TEXT(a->rationale, "");
        for (size_t o = 0; o < a->n_options; o++) CHECK(a->probability[o] == 0.0f);
        CHECK_HAS(chain->summary, world.steps->steps[s].title);
    }
    CHECK_HAS(chain->summary, "Not available: ");
    CHECK_HAS(chain->summary, "Certainties were calibrated on validation images");
    CHECK_HAS(chain->reader.notice, "not a medical device");
    CHECK_HAS(chain->reader.device, " / ");
    CHECK_NUMBER(strlen(chain->reader.package_sha256), 64);
    cot_chain_destroy(chain);
}

TEST(rationale_fills_the_phrase_from_computed_facts)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chain = NULL;
    char want[256];
    const cot_picture picture = {world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_read(world.tiny, &chain, &picture, 1, &err));
    const cot_answer *a = &chain->answers[0];
    snprintf(want, sizeof want, "Of 2: Option 0.%zu %.1f%%, then Option 0.%zu %.1f%% {unknown}", a->answer,
             100.0 * (double)a->probability[a->answer], a->second, 100.0 * (double)a->probability[a->second]);
    CHECK_TEXT(a->rationale, want);
    CHECK_HAS(chain->summary, "Title 2: Option 2.");
    CHECK(strstr(chain->summary, "Title 2:") < strstr(chain->summary, "Title 0:"));
    CHECK_HAS(chain->summary, "Not available: Title 1 (not trained");
    cot_chain_destroy(chain);
}

/* ---- cost and refusals ---- */
TEST(reading_again_allocates_nothing_on_the_device)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chains[BATCH];
    cot_picture pictures[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        pictures[i] = (cot_picture){world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    cot_device_ledger first = {0}, later;
    for (size_t round = 0; round < 4; round++) {
        const size_t n = round % 2 ? 2 : BATCH;
        REQUIRE_OK(cot_model_read(world.model, chains, pictures, n, &err));
        for (size_t i = 0; i < n; i++) cot_chain_destroy(chains[i]);
        later = cot_device_ledger_read(world.device);
        if (!round) first = later;
        CHECK_NUMBER(later.bytes, first.bytes);
        CHECK_NUMBER(later.buffers, first.buffers);
    }
    CHECK(later.launches > first.launches);
}

/* Measured on PoCL: 16.8 MB (weights 11.8, activations 2.9, the rest tables and padding) and 46 launches. */
TEST(reading_stays_within_its_launches_and_device_bytes)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chain = NULL;
    cot_device *device = NULL;
    cot_model *model = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    const cot_picture picture = {world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    options.gemm = COT_GEMM_TILE;
    REQUIRE_OK(cot_device_open(&device, &options, &err));
    const cot_device_ledger before = cot_device_ledger_read(device);
    REQUIRE_OK(cot_model_create(&model, device, world.package, world.steps, 1, &err));
    const cot_device_ledger loaded = cot_device_ledger_read(device);
    CHECK_OK(cot_model_read(model, &chain, &picture, 1, &err));
    const cot_device_ledger after = cot_device_ledger_read(device);
    CHECK(after.bytes - before.bytes < (size_t)24 << 20);
    CHECK(after.launches - loaded.launches <= 56);
    cot_chain_destroy(chain);
    cot_model_destroy(model);
    const cot_device_ledger end = cot_device_ledger_read(device);
    CHECK_NUMBER(end.bytes, before.bytes);
    CHECK_NUMBER(end.buffers, before.buffers);
    cot_device_close(device);
}

TEST(reading_reports_the_time_of_each_stage_when_asked)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chain = NULL;
    const cot_picture picture = {world.nih, NIH_SIDE, NIH_SIDE, COT_ORIENTATION_ASSUMED};
    cot_model_timing(world.model, true);
    CHECK_OK(cot_model_read(world.model, &chain, &picture, 1, &err));
    cot_model_timing(world.model, false);
    const cot_model_times t = cot_model_times_read(world.model);
    CHECK(t.preprocess > 0 && t.encoder > 0 && t.heads > 0);
    cot_chain_destroy(chain);
}

TEST(reading_refuses_what_is_no_picture)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    cot_chain *chain = NULL;
    const cot_picture empty = {world.nih, 0, 10, COT_ORIENTATION_ASSUMED};
    CHECK_FAILS(cot_model_read(world.model, &chain, &empty, 1, &err), COT_E_INPUT, "0 rows");
    float *broken = malloc(64 * 64 * sizeof *broken);
    REQUIRE(broken);
    for (size_t i = 0; i < 64 * 64; i++) broken[i] = 0.5f;
    broken[100] = NAN;
    const cot_picture not_finite = {broken, 64, 64, COT_ORIENTATION_ASSUMED};
    CHECK_FAILS(cot_model_read(world.model, &chain, &not_finite, 1, &err), COT_E_INPUT, "not finite");
    CHECK(chain == NULL);
    CHECK_FAILS(cot_model_read(world.model, &chain, &empty, BATCH + 1, &err), COT_E_BUG, "planned for 1 to 5");
    free(broken);
}

TEST(bench_prints_one_json_line_per_layer)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_world(&err));
    char *text = NULL;
    size_t size = 0, lines = 0;
    FILE *stream = open_memstream(&text, &size);
    REQUIRE(stream);
    CHECK_OK(cot_model_bench_layers(world.tiny, 2, 100.0, stream, &err));
    fclose(stream);
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    CHECK_NUMBER(lines, 20 + 1 + 2 * 3);
    CHECK_HAS(text, "{\"kind\":\"conv\",\"name\":\"layer4.1.conv2\",\"batch\":2,\"shape\":\"3x3x64 -> 3x3x64, 3x3/1\"");
    CHECK_HAS(text, "\"share_of_peak\":");
    free(text);
}

CHECK_MAIN
