/* Blocks of transformers (transformer.h): loading by a table of names, attention and MLP.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer.h"

enum { PARTS = 3 }; /* query, key, value */

/* ---- load ---- */
cot_status transformer_init(transformer_block *b, cot_device *device, const weight_source *source, const char *prefix,
                            const transformer_names *names, const transformer_sizes *sizes, bool apart, cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    const size_t width = sizes->width, inner = sizes->inner;
    const char *const parts[PARTS] = {names->query, names->key, names->value};
    const weight_source s = {source->file, full, source->where}; /* of this block */
    snprintf(full, sizeof full, "%s%s", source->prefix, prefix);
    b->sizes = *sizes;
    if (apart) {
        COT_TRY(source_linear(&b->query, device, &s, names->query, width, width, true, err));
        COT_TRY(source_stacked(&b->kv, device, &s, parts + 1, PARTS - 1, width, width, err));
    } else
        COT_TRY(source_stacked(&b->qkv, device, &s, parts, PARTS, width, width, err));
    COT_TRY(source_linear(&b->out, device, &s, names->out, width, width, true, err));
    COT_TRY(source_linear(&b->fc1, device, &s, names->fc1, inner, width, true, err));
    COT_TRY(source_linear(&b->fc2, device, &s, names->fc2, width, inner, true, err));
    COT_TRY(norm_init(&b->norm1, device, &s, names->norm1, width, sizes->eps, err));
    COT_TRY(norm_init(&b->norm2, device, &s, names->norm2, width, sizes->eps, err));
done:
    return status;
}

void transformer_fini(transformer_block *b)
{
    cot_weights *const weights[] = {b->qkv, b->query, b->kv, b->out, b->fc1, b->fc2};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) cot_weights_destroy(weights[i]);
    norm_fini(&b->norm1);
    norm_fini(&b->norm2);
}

/* ---- plan ---- */
cot_status transformer_plan(transformer_acts *a, cot_arena *arena, size_t rows, const transformer_sizes *sizes,
                            cot_error *err)
{
    cot_status status;
    size_t stream = 0, qkv = 0, inner = 0;
    if (!cot_mul(&stream, rows, sizes->width) || !cot_mul(&qkv, stream, PARTS) || !cot_mul(&inner, rows, sizes->inner))
        return cot_fail(err, COT_E_LIMIT, "model: %zu rows of %zu floats are too many", rows, sizes->width);
    COT_TRY(cot_arena_reserve(arena, &a->x, stream, err));
    COT_TRY(cot_arena_reserve(arena, &a->h, stream, err));
    COT_TRY(cot_arena_reserve(arena, &a->qkv, qkv, err));
    COT_TRY(cot_arena_reserve(arena, &a->inner, inner, err));
done:
    return status;
}

/* ---- forward ---- */
cot_status transformer_attend(cot_buffer *y, const transformer_block *b, const transformer_acts *a, const cot_buffer *x,
                              const cot_buffer *mask, size_t items, size_t tokens, cot_error *err)
{
    cot_status status;
    const size_t width = b->sizes.width;
    const cot_attention_shape shape = {.items = items,
                                       .tokens = tokens,
                                       .queries = tokens,
                                       .heads = b->sizes.heads,
                                       .width = width,
                                       .q_stride = 3 * width,
                                       .q_at = 0,
                                       .kv_stride = 3 * width,
                                       .k_at = width,
                                       .v_at = 2 * width};
    COT_TRY(cot_linear_forward(a->qkv, x, b->qkv, items * tokens, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_attention_forward(y, a->qkv, a->qkv, mask, &shape, err));
done:
    return status;
}

cot_status transformer_mlp(cot_buffer *y, const transformer_block *b, const transformer_acts *a, const cot_buffer *x,
                           const cot_buffer *residual, size_t rows, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_linear_forward(a->inner, x, b->fc1, rows, NULL, b->sizes.act, err));
    COT_TRY(cot_linear_forward(y, a->inner, b->fc2, rows, residual, COT_ACT_NONE, err));
done:
    return status;
}
