/* links: engine opencl config */
/* Three training steps of a small ResNet-18 with the student's heads against PyTorch (golden/resnet18_train): masked steps,
 * class weights, label smoothing, clipping; losses within 1e-4, weights within 1e-3 of each tensor's largest, running
 * statistics and the logits of the evaluation. And: the same bits again, no memory after the first step, what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_stage.h"
#include "tests/check.h"
#include "tests/reference.h"

enum { WIDTH = 8, SIZE = 32, BATCH = 4, DIM = 24, HEADS = 3, STEPS = 3, PIXELS = SIZE * SIZE, KEPT = 64, LOGITS = 9 };
static const size_t classes[HEADS] = {3, 4, 2};
static const optimiser_options adamw = {1e-3f, 0.9f, 0.999f, 1e-3f, 0.05f, 1.0f};

static cot_device *device;
static cot_device *the_device(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    if (!device) CHECK_OK(cot_device_open(&device, &options, &err));
    return device;
}

/* ---- the recipe of generate.py ---- */
static bool ends(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool about_one(const char *name)
{
    return ends(name, "running_var") || ends(name, "bn1.weight") || ends(name, "bn2.weight") ||
           ends(name, "downsample.1.weight") || ends(name, "img_proj.1.weight");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(parameter *const *)a)->name, (*(parameter *const *)b)->name);
}

static void start_values(parameters *table)
{
    cot_error err = COT_ERROR_INIT;
    parameter *sorted[256];
    const size_t n = parameters_count(table);
    REQUIRE(n <= 256);
    for (size_t i = 0; i < n; i++) sorted[i] = parameters_at(table, i);
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++) {
        const parameter *p = sorted[i];
        float *x = malloc(p->count * sizeof *x);
        double scale = 1.0 / 16;
        if (p->spec.rank > 1) scale = 1.5 / sqrt((double)(p->count / p->spec.shape[0]));
        ref_fill(x, p->count, (uint32_t)i + 1);
        for (size_t k = 0; k < p->count; k++)
            x[k] = about_one(p->name) ? 1.0f + x[k] / 4 : (float)((double)x[k] * scale);
        CHECK_OK(parameter_write(sorted[i], x, &err));
        free(x);
    }
}

static encoder_stage *stage_open(const augment_options *augment, float dropout)
{
    static const float weights[4] = {1.0f, 1.5f, 2.0f, 2.5f};
    static const float *const all[HEADS] = {weights, weights, weights};
    cot_error err = COT_ERROR_INIT;
    encoder_stage *stage = NULL;
    encoder_stage_options options = {.size = SIZE,
                                     .width = WIDTH,
                                     .dim = DIM,
                                     .n_steps = HEADS,
                                     .classes = classes,
                                     .max_batch = BATCH,
                                     .mean = 0.5f,
                                     .std = 0.25f,
                                     .dropout = dropout,
                                     .label_smoothing = 0.1f,
                                     .class_weights = all,
                                     .augment = *augment,
                                     .seed = 7};
    CHECK_OK(encoder_stage_create(&stage, the_device(), &options, &err));
    if (stage) start_values(encoder_stage_parameters(stage));
    return stage;
}

static void pictures_of(float *pictures, size_t n, uint32_t seed)
{
    ref_fill(pictures, n * PIXELS, seed);
    for (size_t i = 0; i < n * PIXELS; i++) pictures[i] = pictures[i] / 2 + 0.5f;
}

static void step_of(encoder_stage *stage, int step, double losses[HEADS])
{
    cot_error err = COT_ERROR_INIT;
    static float pictures[BATCH * PIXELS];
    static const uint64_t image[BATCH] = {11, 5, 700, 2};
    int labels[BATCH * HEADS];
    pictures_of(pictures, BATCH, 1000 + (uint32_t)step);
    for (int i = 0; i < BATCH; i++)
        for (int s = 0; s < HEADS; s++)
            labels[i * HEADS + s] =
                (i + s + step) % 4 == 3 || (step == 1 && s == 1) ? -1 : (i * 5 + s + step) % (int)classes[s];
    const encoder_batch batch = {BATCH, pictures, labels, image, 3, NULL};
    CHECK_OK(encoder_stage_step(losses, stage, &batch, &adamw, &err));
}

/* ---- against PyTorch ---- */
static void compare(const safetensors *golden, const char *name, const float *got, size_t count, size_t apart,
                    double bound)
{
    const tensor *t = safetensors_find(golden, name);
    REQUIRE(t && t->count == (count + apart - 1) / apart);
    float want[256];
    double scale = 0, worst = 0;
    REQUIRE(t->count <= 256 && tensor_floats(want, t));
    for (size_t i = 0; i < t->count; i++) {
        scale = fmax(scale, fabs((double)want[i]));
        worst = fmax(worst, fabs((double)got[i * apart] - (double)want[i]));
    }
    check_count++;
    if (!(worst <= bound * scale)) CHECK_FAIL_("%s: off by %.3g of %.3g", name, worst, scale);
}

static void compare_tensors(encoder_stage *stage, const safetensors *golden)
{
    cot_error err = COT_ERROR_INIT;
    const parameters *table = encoder_stage_parameters(stage);
    for (size_t i = 0; i < parameters_count(table); i++) {
        const parameter *p = parameters_at(table, i);
        char name[PARAMETER_NAME_MAX + 8];
        float *x = malloc(p->count * sizeof *x);
        snprintf(name, sizeof name, "after.%s", p->name);
        CHECK_OK(parameter_read(p, x, &err));
        compare(golden, name, x, p->count, p->count / KEPT + 1, p->spec.kind == PARAMETER_STATE ? 1e-4 : 1e-3);
        free(x);
    }
}

TEST(three_steps_of_training_give_pytorchs_losses_weights_and_running_statistics)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options none = AUGMENT_OPTIONS_NONE;
    safetensors *golden = NULL;
    CHECK_OK(safetensors_open(&golden, COT_SOURCE_DIR "/tests/golden/resnet18_train/expected.safetensors", &err));
    encoder_stage *stage = stage_open(&none, 0.0f);
    REQUIRE(golden && stage);
    for (int step = 0; step < STEPS; step++) {
        double losses[HEADS];
        float got[HEADS];
        char name[32];
        step_of(stage, step, losses);
        for (int s = 0; s < HEADS; s++) got[s] = (float)losses[s];
        snprintf(name, sizeof name, "losses.%d", step);
        compare(golden, name, got, HEADS, 1, 1e-4);
        if (step == 1) CHECK(losses[1] == 0.0);
    }
    compare_tensors(stage, golden);
    static float pictures[3 * PIXELS];
    float logits[3 * LOGITS];
    pictures_of(pictures, 3, 2000);
    CHECK_OK(encoder_stage_logits(logits, stage, pictures, 3, &err));
    compare(golden, "logits", logits, 3 * LOGITS, 1, 1e-3);
    encoder_stage_destroy(stage);
    safetensors_close(golden);
}

/* ---- what a run relies on ---- */
TEST(the_same_steps_give_the_same_bits_and_take_no_further_memory)
{
    const augment_options augment = AUGMENT_OPTIONS_INIT;
    cot_error err = COT_ERROR_INIT;
    float *first = NULL;
    for (int run = 0; run < 2; run++) {
        double losses[HEADS];
        encoder_stage *stage = stage_open(&augment, 0.3f);
        REQUIRE(stage);
        step_of(stage, 0, losses);
        const cot_device_ledger before = cot_device_ledger_read(the_device());
        step_of(stage, 1, losses);
        step_of(stage, 2, losses);
        CHECK_NUMBER(cot_device_ledger_read(the_device()).buffers, before.buffers);
        CHECK_NUMBER(cot_device_ledger_read(the_device()).bytes, before.bytes);
        const parameter *p = parameters_find(encoder_stage_parameters(stage), "cnn.layer1.0.conv1.weight");
        REQUIRE(p);
        float *now = malloc(p->count * sizeof *now);
        CHECK_OK(parameter_read(p, now, &err));
        if (run) CHECK(memcmp(first, now, p->count * sizeof *now) == 0);
        free(first);
        first = now;
        encoder_stage_destroy(stage);
    }
    free(first);
}

TEST(a_new_model_starts_as_torchvisions_does)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options none = AUGMENT_OPTIONS_NONE;
    encoder_stage *stage = stage_open(&none, 0.0f);
    REQUIRE(stage);
    parameters *table = encoder_stage_parameters(stage);
    CHECK_OK(parameters_init(table, "", 5, &err));
    const parameter *w = parameters_find(table, "cnn.layer4.1.conv2.weight"),
                    *v = parameters_find(table, "cnn.layer4.1.bn2.running_var");
    REQUIRE(w && v && w->count == 64 * 64 * 9 && v->count == 64);
    static float x[64 * 64 * 9];
    double squares = 0;
    CHECK_OK(parameter_read(w, x, &err));
    for (size_t i = 0; i < w->count; i++) squares += (double)x[i] * (double)x[i] / (double)w->count;
    CHECK(fabs(sqrt(squares / (2.0 / (64 * 9))) - 1) < 0.02);
    CHECK_OK(parameter_read(v, x, &err));
    for (size_t i = 0; i < v->count; i++) CHECK(x[i] == 1.0f);
    encoder_stage_destroy(stage);
}

/* Which half of a picture is brighter, each picture augmented anew; judged with running statistics. */
TEST(forty_steps_learn_which_half_of_a_picture_is_bright)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options augment = AUGMENT_OPTIONS_INIT;
    optimiser_options fast = adamw;
    static float pictures[BATCH * PIXELS];
    int labels[BATCH * HEADS];
    uint64_t image[BATCH];
    float logits[BATCH * LOGITS];
    double losses[HEADS];
    fast.lr = 3e-3f, fast.eps = 1e-8f;
    encoder_stage *stage = stage_open(&augment, 0.1f);
    REQUIRE(stage);
    CHECK_OK(parameters_init(encoder_stage_parameters(stage), "", 5, &err));
    int right = 0, judged = 0;
    for (uint32_t step = 0; step < 46; step++) {
        pictures_of(pictures, BATCH, 3000 + step);
        for (int i = 0; i < BATCH; i++) {
            const int top = (i + (int)step / 2) % 2;
            for (int k = 0; k < PIXELS; k++) pictures[i * PIXELS + k] *= (k < PIXELS / 2) == (top == 1) ? 1.0f : 0.3f;
            image[i] = step * BATCH + (uint64_t)i;
            for (int s = 0; s < HEADS; s++) labels[i * HEADS + s] = s < 2 ? top : -1;
        }
        const encoder_batch batch = {BATCH, pictures, labels, image, 0, NULL};
        if (step < 40) {
            CHECK_OK(encoder_stage_step(losses, stage, &batch, &fast, &err));
            continue;
        }
        CHECK_OK(encoder_stage_logits(logits, stage, pictures, BATCH, &err));
        for (int i = 0; i < BATCH; i++, judged++)
            right += (logits[i * LOGITS + 1] > logits[i * LOGITS]) == (labels[i * HEADS] == 1);
    }
    CHECK_NUMBER(right, judged);
    encoder_stage_destroy(stage);
}

TEST(evaluation_takes_any_number_of_pictures_and_changes_nothing)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options augment = AUGMENT_OPTIONS_INIT;
    enum { N = 2 * BATCH + 1 };
    static float pictures[N * PIXELS];
    float many[N * LOGITS], one[LOGITS];
    encoder_stage *stage = stage_open(&augment, 0.3f);
    REQUIRE(stage);
    pictures_of(pictures, N, 5);
    CHECK_OK(encoder_stage_logits(many, stage, pictures, N, &err));
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(encoder_stage_logits(one, stage, pictures + i * PIXELS, 1, &err));
        CHECK_FLOATS(one, many + i * LOGITS, LOGITS, 2e-5);
    }
    encoder_stage_destroy(stage);
}

TEST(heads_behind_the_last_label_are_left_alone)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options none = AUGMENT_OPTIONS_NONE;
    static float pictures[2 * PIXELS];
    int labels[2 * HEADS] = {1, -1, -1, 2, -1, -1};
    const uint64_t image[2] = {0, 1};
    float before[8 * DIM], after[8 * DIM];
    encoder_stage *stage = stage_open(&none, 0.0f);
    REQUIRE(stage);
    pictures_of(pictures, 2, 9);
    const encoder_batch batch = {2, pictures, labels, image, 0, NULL};
    const parameter *head = parameters_find(encoder_stage_parameters(stage), "student.step_heads.1.weight");
    REQUIRE(head && head->count == 4 * DIM);
    CHECK_OK(parameter_read(head, before, &err));
    CHECK_OK(encoder_stage_step(NULL, stage, &batch, &adamw, &err));
    CHECK_OK(parameter_read(head, after, &err));
    CHECK(memcmp(before, after, head->count * sizeof *after) == 0);
    encoder_stage_destroy(stage);
}

TEST(what_a_stage_cannot_do_is_refused)
{
    cot_error err = COT_ERROR_INIT;
    const augment_options none = AUGMENT_OPTIONS_NONE;
    static float pictures[2 * PIXELS];
    int labels[2 * HEADS] = {3, -1, -1, 2, -1, -1};
    const uint64_t image[2] = {0, 1};
    encoder_stage *stage = stage_open(&none, 0.0f), *other = NULL;
    REQUIRE(stage);
    encoder_batch batch = {1, pictures, labels, image, 0, NULL};
    CHECK_FAILS(encoder_stage_step(NULL, stage, &batch, &adamw, &err), COT_E_BUG, "a batch of 1");
    batch.n = 5;
    CHECK_FAILS(encoder_stage_step(NULL, stage, &batch, &adamw, &err), COT_E_BUG, "a batch of 5");
    batch.n = 2;
    CHECK_FAILS(encoder_stage_step(NULL, stage, &batch, &adamw, &err), COT_E_BUG, "label 3 of a step with 3");
    encoder_stage_options options = {.size = SIZE,
                                     .width = WIDTH,
                                     .dim = DIM,
                                     .n_steps = HEADS,
                                     .classes = classes,
                                     .max_batch = 1,
                                     .mean = 0.5f,
                                     .std = 0.25f};
    CHECK_FAILS(encoder_stage_create(&other, the_device(), &options, &err), COT_E_CONFIG, "batch of 1");
    options.max_batch = 2, options.size = 4;
    CHECK_FAILS(encoder_stage_create(&other, the_device(), &options, &err), COT_E_CONFIG, "sides 8 to 4096");
    CHECK(!other);
    encoder_stage_destroy(stage);
}

TEST(the_device_closes)
{
    cot_device_close(device);
    CHECK(device != NULL);
}
CHECK_MAIN
