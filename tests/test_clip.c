/* links: engine config
 * CLIP's image tower against the transformers library (golden/transformers) and the oracle (golden/tiny), under its own
 * names and OpenAI's, in three channels and folded into one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/clip.h"
#include "tests/encoder_world.h"

enum { BATCH = 4 };

typedef struct tower {
    cot_device *device;
    safetensors *file;
    clip clip;
    cot_arena *arena;
    cot_buffer *image, *feature;
} tower;

static cot_status load(tower *t, const weight_source *source, size_t heads, const clip_normalisation *grey,
                       cot_error *err)
{
    cot_status status;
    clip_shape shape;
    COT_TRY(clip_shape_find(&shape, source->file, source->where, source->prefix, heads, err));
    COT_TRY(clip_init(&t->clip, t->device, source, &shape, grey, err));
    const size_t pixels = t->clip.channels * shape.resolution * shape.resolution;
    COT_TRY(cot_arena_create(&t->arena, t->device, err));
    COT_TRY(clip_plan(&t->clip, t->arena, BATCH, err));
    COT_TRY(cot_arena_reserve(t->arena, &t->image, BATCH * pixels, err));
    COT_TRY(cot_arena_reserve(t->arena, &t->feature, BATCH * shape.features, err));
    COT_TRY(cot_arena_commit(t->arena, err));
done:
    return status;
}

static cot_status open_tower(tower *t, const char *path, size_t heads, const clip_normalisation *grey, cot_error *err)
{
    cot_status status;
    *t = (tower){0};
    COT_TRY(open_device(&t->device, err));
    COT_TRY(safetensors_open(&t->file, path, err));
    const weight_source source = {t->file, "", path};
    COT_TRY(load(t, &source, heads, grey, err));
done:
    return status;
}

static void close_tower(tower *t)
{
    clip_fini(&t->clip);
    cot_arena_destroy(t->arena);
    cot_device_close(t->device);
    safetensors_close(t->file);
}

/* The first n images of `expected` must give the first n features; any n up to the number there. */
static void check_features(tower *t, const char *expected, const char *input, const char *output)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *golden = NULL;
    size_t pixels = 0, floats = 0;
    REQUIRE_OK(safetensors_open(&golden, expected, &err));
    float *x = floats_of(golden, input, &pixels), *want = floats_of(golden, output, &floats);
    const size_t features = t->clip.shape.features, n = floats / features;
    float *got = calloc(floats + 1, sizeof *got);
    if (x && want && got && n && n <= BATCH) {
        for (size_t k = 1; k <= n; k++) {
            CHECK_OK(cot_buffer_write(t->image, 0, x, pixels / n * k, &err));
            CHECK_OK(clip_forward(t->feature, &t->clip, t->image, k, &err));
            CHECK_OK(cot_buffer_read(t->feature, 0, got, features * k, &err));
            CHECK_NEAR(relative_error(got, want, features * k), 0, encoder_bound);
        }
    } else
        CHECK(!"golden tensors are there");
    free(x);
    free(want);
    free(got);
    safetensors_close(golden);
}

static void check_file(const char *weights, const char *expected, size_t heads, const clip_normalisation *grey,
                       const char *input, const char *output)
{
    cot_error err = COT_ERROR_INIT;
    tower t;
    CHECK_OK(open_tower(&t, weights, heads, grey, &err));
    if (!err.text[0]) check_features(&t, expected, input, output);
    close_tower(&t);
}

TEST(clip_equals_the_transformers_library)
{
    check_file(TRANSFORMERS "clip/model.safetensors", TRANSFORMERS "expected.safetensors", 3, NULL, "images", "clip");
}

TEST(clip_of_a_grey_image_equals_three_normalised_channels)
{
    check_file(TRANSFORMERS "clip/model.safetensors", TRANSFORMERS "expected.safetensors", 3, &clip_published, "grey",
               "clip_grey");
}

TEST(clip_equals_the_oracle)
{
    check_file(TINY_GOLDEN "clip.safetensors", TINY_GOLDEN "expected.safetensors", 4, NULL, "images", "image_features");
}

/* Renamed, split, transposed, written as a package would have it, read back: the features of the half-precision tower. */
TEST(clip_under_openai_names_equals_the_transformers_library)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL, *ours = NULL;
    named_tensors list = {0};
    clip_shape shape;
    tower t = {0};
    unsigned char *bytes = NULL;
    size_t size = 0;
    naming_claim claims[128] = {NAMING_UNKNOWN};
    REQUIRE_OK(safetensors_open(&file, TRANSFORMERS "openai.safetensors", &err));
    REQUIRE(safetensors_count(file) <= 128);
    REQUIRE_OK(naming_clip(&list, &shape, claims, file, "openai", "clip.", 3, &err));
    REQUIRE_OK(naming_finish(claims, file, "openai", &err));
    REQUIRE_OK(safetensors_build(&bytes, &size, list.tensors, list.n, &err));
    REQUIRE_OK(safetensors_parse(&ours, (cot_blob){bytes, size}, "renamed", &err));
    REQUIRE_OK(open_device(&t.device, &err));
    const weight_source source = {ours, "clip.", "renamed"};
    REQUIRE_OK(load(&t, &source, 3, NULL, &err));
    check_features(&t, TRANSFORMERS "expected.safetensors", "images", "openai");
    close_tower(&t);
    named_tensors_fini(&list);
    safetensors_close(ours);
    safetensors_close(file);
    free(bytes);
}

TEST(clip_forward_allocates_nothing_on_the_device)
{
    cot_error err = COT_ERROR_INIT;
    tower t;
    REQUIRE_OK(open_tower(&t, TINY_GOLDEN "clip.safetensors", 4, NULL, &err));
    const cot_device_ledger before = cot_device_ledger_read(t.device);
    for (size_t n = 1; n <= BATCH; n++) CHECK_OK(clip_forward(t.feature, &t.clip, t.image, n, &err));
    CHECK_OK(cot_device_finish(t.device, &err));
    const cot_device_ledger after = cot_device_ledger_read(t.device);
    CHECK_NUMBER(after.bytes, before.bytes);
    CHECK_NUMBER(after.buffers, before.buffers);
    CHECK(after.launches > before.launches);
    close_tower(&t);
}

CHECK_MAIN
