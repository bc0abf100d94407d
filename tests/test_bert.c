/* links: engine config
 * BERT against the transformers library (golden/transformers) and the oracle (golden/tiny); what it refuses.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/bert.h"
#include "tests/encoder_world.h"

enum { TOKENS_MAX = 128 };

typedef struct text {
    cot_device *device;
    safetensors *file, *golden;
    bert bert;
    cot_arena *arena;
    cot_buffer *cls;
} text;

static cot_status open_text(text *t, const char *weights, const char *golden, size_t heads, cot_error *err)
{
    cot_status status;
    bert_shape shape;
    *t = (text){0};
    COT_TRY(open_device(&t->device, err));
    COT_TRY(safetensors_open(&t->file, weights, err));
    COT_TRY(safetensors_open(&t->golden, golden, err));
    const weight_source source = {t->file, "", weights};
    COT_TRY(bert_shape_find(&shape, t->file, weights, "", heads, err));
    COT_TRY(bert_init(&t->bert, t->device, &source, &shape, err));
    COT_TRY(cot_arena_create(&t->arena, t->device, err));
    COT_TRY(bert_plan(&t->bert, t->arena, TOKENS_MAX, err));
    COT_TRY(cot_arena_reserve(t->arena, &t->cls, TOKENS_MAX * shape.width, err));
    COT_TRY(cot_arena_commit(t->arena, err));
done:
    return status;
}

static void close_text(text *t)
{
    bert_fini(&t->bert);
    cot_arena_destroy(t->arena);
    cot_device_close(t->device);
    safetensors_close(t->file);
    safetensors_close(t->golden);
}

/* I64 values of a golden tensor; caller frees. */
static int64_t *numbers_of(const text *t, const char *name)
{
    const tensor *values = safetensors_find(t->golden, name);
    if (!values || values->type != TENSOR_I64) return NULL;
    int64_t *v = malloc(values->bytes + 1);
    if (v) memcpy(v, values->data, values->bytes);
    return v;
}

static void check_text(text *t, const char *output)
{
    cot_error err = COT_ERROR_INIT;
    const tensor *shape = safetensors_find(t->golden, "ids");
    int64_t *ids = numbers_of(t, "ids"), *mask = numbers_of(t, "mask");
    size_t floats = 0;
    float *want = floats_of(t->golden, output, &floats), *got = calloc(floats + 1, sizeof *got);
    if (shape && ids && mask && want && got && floats == shape->shape[0] * t->bert.shape.width) {
        CHECK_OK(bert_forward(t->cls, &t->bert, ids, mask, shape->shape[0], shape->shape[1], &err));
        CHECK_OK(cot_buffer_read(t->cls, 0, got, floats, &err));
        CHECK_NEAR(relative_error(got, want, floats), 0, encoder_bound);
    } else
        CHECK(!"golden tensors are there");
    free(ids);
    free(mask);
    free(want);
    free(got);
}

TEST(bert_equals_the_transformers_library)
{
    cot_error err = COT_ERROR_INIT;
    text t;
    CHECK_OK(open_text(&t, TRANSFORMERS "bert/model.safetensors", TRANSFORMERS "expected.safetensors", 3, &err));
    if (!err.text[0]) check_text(&t, "bert");
    close_text(&t);
}

TEST(bert_equals_the_oracle)
{
    cot_error err = COT_ERROR_INIT;
    text t;
    CHECK_OK(open_text(&t, TINY_GOLDEN "bert.safetensors", TINY_GOLDEN "expected.safetensors", 4, &err));
    if (!err.text[0]) check_text(&t, "prompt_features");
    close_text(&t);
}

TEST(bert_refuses_token_numbers_and_lengths_that_it_does_not_have)
{
    cot_error err = COT_ERROR_INIT;
    text t;
    REQUIRE_OK(open_text(&t, TINY_GOLDEN "bert.safetensors", TINY_GOLDEN "expected.safetensors", 4, &err));
    int64_t ids[40] = {0}, mask[40];
    for (size_t i = 0; i < 40; i++) mask[i] = 1;
    CHECK_OK(bert_forward(t.cls, &t.bert, ids, mask, 2, 20, &err));
    ids[3] = 61;
    CHECK_FAILS(bert_forward(t.cls, &t.bert, ids, mask, 1, 4, &err), COT_E_INPUT, "token number 61, the model has 61");
    ids[3] = -1;
    CHECK_FAILS(bert_forward(t.cls, &t.bert, ids, mask, 1, 4, &err), COT_E_INPUT, "token number -1");
    ids[3] = 0;
    CHECK_FAILS(bert_forward(t.cls, &t.bert, ids, mask, 1, 40, &err), COT_E_LIMIT, "the model has 32 positions");
    CHECK_FAILS(bert_forward(t.cls, &t.bert, ids, mask, 0, 4, &err), COT_E_BUG, "0 texts");
    mask[0] = 0;
    CHECK_OK(bert_forward(t.cls, &t.bert, ids, mask, 1, 4, &err));
    mask[0] = 2;
    CHECK_FAILS(bert_forward(t.cls, &t.bert, ids, mask, 1, 4, &err), COT_E_INPUT, "0 and 1");
    close_text(&t);
}

CHECK_MAIN
