/* What the two transformers of this folder share: CLIP's image tower (clip.c, layer norm before each part) and BERT
 * (bert.c, behind it). A block is attention and a two-layer MLP over rows of tokens, each added to what came in:
 *     a = softmax(q kT / sqrt(d)) v W_o + b_o,   q|k|v = x W_qkv + b_qkv
 *     m = act(x W_1 + b_1) W_2 + b_2
 * Query, key and value are one product: their weights are stacked and packed once at load.
 * Both encoders are frozen in training, so forward passes have no backward here.
 * Threads: the device's thread. Forward passes enqueue work and allocate nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TRANSFORMER_H
#define COT_ENGINE_TRANSFORMER_H
#include "engine/source.h"

typedef struct transformer_sizes {
    size_t width, heads, inner; /* heads divides width; inner: of the MLP */
    float eps;
    cot_activation act;
} transformer_sizes;
typedef struct transformer_names { /* of a checkpoint, behind the block's own prefix */
    const char *query, *key, *value, *out, *norm1, *fc1, *fc2, *norm2;
} transformer_names;
typedef struct transformer_block {
    transformer_sizes sizes;
    cot_weights *qkv;        /* NULL when query and kv are apart: a block of which only one token is read */
    cot_weights *query, *kv; /* NULL when they are in qkv */
    cot_weights *out, *fc1, *fc2;
    norm_layer norm1, norm2;
} transformer_block;
/* What forward writes; one set serves all blocks in turn. */
typedef struct transformer_acts {
    cot_buffer *x;     /* [rows,width] the residual stream */
    cot_buffer *h;     /* [rows,width] normalised, or attended */
    cot_buffer *qkv;   /* [rows,3*width] */
    cot_buffer *inner; /* [rows,inner] */
} transformer_acts;

/* `prefix`: of this block, e.g. "encoder.layer.3."; apart: query apart from key and value. */
cot_status transformer_init(transformer_block *b, cot_device *device, const weight_source *source, const char *prefix,
                            const transformer_names *names, const transformer_sizes *sizes, bool apart, cot_error *err);
void transformer_fini(transformer_block *b);
cot_status transformer_plan(transformer_acts *a, cot_arena *arena, size_t rows, const transformer_sizes *sizes,
                            cot_error *err);
/* y [items*tokens,width] = attention over x W_qkv + b_qkv, before the output projection; uses a->qkv. mask or NULL.
 * y may be x. */
cot_status transformer_attend(cot_buffer *y, const transformer_block *b, const transformer_acts *a, const cot_buffer *x,
                              const cot_buffer *mask, size_t items, size_t tokens, cot_error *err);
/* y [rows,width] = act(x W_1 + b_1) W_2 + b_2 + residual; uses a->inner. y may be residual. */
cot_status transformer_mlp(cot_buffer *y, const transformer_block *b, const transformer_acts *a, const cot_buffer *x,
                           const cot_buffer *residual, size_t rows, cot_error *err);
#endif
