/* links: engine config
 * The teacher alone, on the oracle's image and prompt features: equal to PyTorch, in any batch of one plan, again and again,
 * with nothing allocated; and what it says of weights that do not fit. Golden values: tests/golden/README.md.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/safetensors.h"
#include "engine/teacher.h"
#include "tests/check.h"

enum { MOST_STEPS = 8, MOST_LOGITS = 1024 };
static const double bound = 1e-5; /* one model alone; measured 2e-6 */

/* Sizes of a folder under tests/golden, as its expected.json has them. */
typedef struct folder {
    const char *name;
    teacher_shape shape;
    size_t batch;
} folder;
static const folder folders[] = {
    {"tiny", {20, 20, 4, 2, 7, (const size_t[]){4, 4, 6, 7, 5, 7, 9}}, 3},
    {"odd", {19, 32, 2, 3, 3, (const size_t[]){2, 3, 5}}, 1},
    {"batch17", {33, 18, 9, 1, 4, (const size_t[]){3, 1, 4, 6}}, 17},
    {"one_step", {5, 6, 1, 2, 1, (const size_t[]){2}}, 2},
};
enum { FOLDERS = sizeof folders / sizeof *folders };

static cot_device *device;
__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

typedef struct bench {
    char path[2][256]; /* teacher, expected */
    safetensors *weights, *expected;
    cot_arena *arena;
    cot_buffer *feature;
    float *features, *prompts;
    teacher m;
} bench;

static cot_status bench_files(bench *b, const folder *f, cot_error *err)
{
    cot_status status;
    memset(b, 0, sizeof *b);
    snprintf(b->path[0], sizeof b->path[0], COT_SOURCE_DIR "/tests/golden/%s/teacher.safetensors", f->name);
    snprintf(b->path[1], sizeof b->path[1], COT_SOURCE_DIR "/tests/golden/%s/expected.safetensors", f->name);
    if (!device) {
        cot_device_options options = COT_DEVICE_OPTIONS_INIT;
        options.gemm = COT_GEMM_TILE;
        COT_TRY(cot_device_open(&device, &options, err));
    }
    COT_TRY(safetensors_open(&b->weights, b->path[0], err));
    COT_TRY(safetensors_open(&b->expected, b->path[1], err));
done:
    return status;
}

static cot_status bench_open(bench *b, const folder *f, cot_error *err)
{
    cot_status status;
    COT_TRY(bench_files(b, f, err));
    const weight_source weights = {b->weights, "", b->path[0]}, expected = {b->expected, "", b->path[1]};
    const size_t features[] = {f->batch, f->shape.image_dim}, prompts[] = {f->shape.n_steps, f->shape.dim};
    COT_TRY(source_floats(&b->features, &expected, "image_features", features, 2, err));
    COT_TRY(source_floats(&b->prompts, &expected, "prompt_features", prompts, 2, err));
    COT_TRY(teacher_init(&b->m, device, &weights, &f->shape, err));
    COT_TRY(cot_arena_create(&b->arena, device, err));
    COT_TRY(cot_arena_reserve(b->arena, &b->feature, f->batch * f->shape.image_dim, err));
    COT_TRY(teacher_plan(&b->m, b->arena, f->batch, err));
    COT_TRY(cot_arena_commit(b->arena, err));
    COT_TRY(teacher_prompts(&b->m, b->prompts, err));
done:
    return status;
}

static void bench_close(bench *b)
{
    teacher_fini(&b->m);
    cot_arena_destroy(b->arena);
    safetensors_close(b->weights);
    safetensors_close(b->expected);
    free(b->features);
    free(b->prompts);
}

/* Reads n images from image `at` on; logits[s] of [n,classes]. */
static void run(float logits[MOST_STEPS][MOST_LOGITS], bench *b, const folder *f, size_t at, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    const size_t dim = f->shape.image_dim;
    REQUIRE_OK(cot_buffer_write(b->feature, 0, b->features + at * dim, n * dim, &err));
    REQUIRE_OK(teacher_forward(&b->m, b->feature, n, &err));
    for (size_t s = 0; s < f->shape.n_steps; s++)
        REQUIRE_OK(cot_buffer_read(b->m.acts.logits[s], 0, logits[s], n * f->shape.classes[s], &err));
}

static float logits[MOST_STEPS][MOST_LOGITS], other[MOST_STEPS][MOST_LOGITS];

TEST(teacher_equals_pytorch_in_every_golden_folder)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < FOLDERS; i++) {
        const folder *f = &folders[i];
        bench b;
        REQUIRE_OK(bench_open(&b, f, &err));
        run(logits, &b, f, 0, f->batch);
        for (size_t s = 0; s < f->shape.n_steps; s++) {
            char name[64];
            float *want = NULL, most = 0;
            const size_t shape[] = {f->batch, f->shape.classes[s]}, n = shape[0] * shape[1];
            const weight_source expected = {b.expected, "", b.path[1]};
            snprintf(name, sizeof name, "teacher_logits.%zu", s);
            REQUIRE_OK(source_floats(&want, &expected, name, shape, 2, &err));
            for (size_t k = 0; k < n; k++) most = fmaxf(most, fabsf(want[k]));
            CHECK_FLOATS(logits[s], want, n, bound * (double)most);
            free(want);
        }
        bench_close(&b);
    }
}

/* What a forward leaves in the plan (the memory row of the first pass) must not reach the next. */
TEST(teacher_gives_the_same_bits_again_and_in_any_batch)
{
    cot_error err = COT_ERROR_INIT;
    const folder *f = &folders[2];
    bench b;
    REQUIRE_OK(bench_open(&b, f, &err));
    run(logits, &b, f, 0, f->batch);
    run(other, &b, f, 0, f->batch);
    for (size_t s = 0; s < f->shape.n_steps; s++)
        CHECK(!memcmp(other[s], logits[s], f->batch * f->shape.classes[s] * sizeof(float)));
    for (size_t at = 0; at < f->batch; at += 3) {
        const size_t n = f->batch - at < 3 ? f->batch - at : 3;
        run(other, &b, f, at, n);
        for (size_t s = 0; s < f->shape.n_steps; s++)
            CHECK(!memcmp(other[s], logits[s] + at * f->shape.classes[s], n * f->shape.classes[s] * sizeof(float)));
    }
    bench_close(&b);
}

TEST(teacher_forward_allocates_nothing_on_the_device)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    REQUIRE_OK(bench_open(&b, &folders[0], &err));
    const cot_device_ledger before = cot_device_ledger_read(device);
    for (size_t n = 1; n <= 3; n++) run(logits, &b, &folders[0], 0, n);
    const cot_device_ledger after = cot_device_ledger_read(device);
    CHECK_NUMBER(after.bytes, before.bytes);
    CHECK_NUMBER(after.buffers, before.buffers);
    CHECK(after.launches > before.launches);
    bench_close(&b);
}

TEST(teacher_computes_the_first_graph_pass_once)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    size_t launches[2];
    const folder *f = &folders[3]; /* one step: nothing of the graph is left for forward */
    REQUIRE_OK(bench_open(&b, f, &err));
    for (size_t i = 0; i < 2; i++) {
        const cot_device_ledger before = cot_device_ledger_read(device);
        run(logits, &b, f, 0, i + 1);
        launches[i] = cot_device_ledger_read(device).launches - before.launches;
    }
    CHECK_NUMBER(launches[0], launches[1]);
    CHECK(launches[0] <= 10); /* three projections of linear and norm, one concatenation, the classifier */
    bench_close(&b);
}

TEST(teacher_takes_no_more_than_its_plan)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    REQUIRE_OK(bench_open(&b, &folders[1], &err));
    CHECK_FAILS(teacher_forward(&b.m, b.feature, 2, &err), COT_E_BUG, "2 images, planned for 1 to 1");
    CHECK_FAILS(teacher_forward(&b.m, b.feature, 0, &err), COT_E_BUG, "0 images");
    bench_close(&b);
}

static void refuse(const teacher_shape *shape, const char *text)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    teacher m;
    memset(&m, 0, sizeof m);
    REQUIRE_OK(bench_files(&b, &folders[1], &err));
    const weight_source weights = {b.weights, "", b.path[0]};
    CHECK_FAILS(teacher_init(&m, device, &weights, shape, &err), COT_E_MODEL, text);
    teacher_fini(&m);
    bench_close(&b);
}

TEST(teacher_names_the_tensor_that_does_not_fit)
{
    teacher_shape s = folders[1].shape;
    s.n_steps = 4;
    s.classes = (const size_t[]){2, 3, 5, 2};
    refuse(&s, "tensor step_models.3.img_proj.0.weight [32,19] is missing");
    s = folders[1].shape;
    s.classes = (const size_t[]){2, 4, 5};
    refuse(&s, "tensor step_models.1.classifier.weight has shape [3,32]");
    s = folders[1].shape;
    s.layers = 4;
    refuse(&s, "tensor memory_gat.layers.3.W.weight [32,32] is missing");
    s = folders[1].shape;
    s.heads = 4;
    refuse(&s, "tensor memory_gat.layers.0.a_src has shape [2,16]");
    s = folders[1].shape;
    s.heads = 3;
    refuse(&s, "3 heads do not divide a width of 32");
    s = folders[1].shape;
    s.dim = 16;
    refuse(&s, "tensor memory_init has shape [1,32]");
}

CHECK_MAIN
