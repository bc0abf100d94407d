/* CLIP's image tower (Radford et al. 2021), a vision transformer, under the names of the transformers library.
 *     x      = LN_pre((cls | patches W_e) + position)
 *     x     <- x + attention(LN_1 x),   x <- x + W_2 quick_gelu(W_1 LN_2 x + b_1) + b_2      for every block
 *     v      = W_v LN_post(x of cls)
 * Behind the last block only the class token is read: there its key and value need all tokens, all else only this one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/clip.h"

#include <stdlib.h>

static const float norm_eps = 1e-5f;
const clip_normalisation clip_published = {{0.48145466f, 0.4578275f, 0.40821073f},
                                           {0.26862954f, 0.26130258f, 0.27577711f}};
static const transformer_names names = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
    "layer_norm1",      "mlp.fc1",          "mlp.fc2",          "layer_norm2",
};

size_t clip_patches(const clip_shape *shape)
{
    const size_t side = shape->resolution / shape->patch;
    return side * side;
}

/* ---- load ---- */
/* [width,3,p,p] for three normalised channels -> [width,p,p] and a bias for one grey channel:
 * sum_c w_c (g - mean_c)/std_c = (sum_c w_c/std_c) g - sum_c w_c mean_c/std_c. In place. */
static void fold_channels(float *w, float *bias, size_t width, size_t taps, const clip_normalisation *grey)
{
    for (size_t o = 0; o < width; o++) {
        double shift = 0;
        for (size_t t = 0; t < taps; t++) {
            double sum = 0;
            for (size_t c = 0; c < CLIP_CHANNELS; c++) {
                const double v = (double)w[(o * CLIP_CHANNELS + c) * taps + t] / (double)grey->std[c];
                sum += v;
                shift -= v * (double)grey->mean[c];
            }
            w[o * taps + t] = (float)sum; /* never ahead of what is still to be read */
        }
        bias[o] = (float)shift;
    }
}

static cot_status load_patches(clip *m, cot_device *device, const weight_source *source, const clip_normalisation *grey,
                               cot_error *err)
{
    cot_status status;
    const size_t width = m->shape.width, side = m->shape.patch;
    float *w = NULL, *bias = NULL;
    COT_TRY(source_floats(&w, source, "vision_model.embeddings.patch_embedding.weight",
                          (const size_t[]){width, CLIP_CHANNELS, side, side}, 4, err));
    if (grey) {
        bias = calloc(width + 1, sizeof *bias);
        if (!bias) {
            status = cot_fail(err, COT_E_MEMORY, "%s: no memory for the patch embedding", source->where);
            goto done;
        }
        fold_channels(w, bias, width, side * side, grey);
    }
    COT_TRY(cot_linear_prepare(&m->patch_embedding, device, w, bias, width, m->channels * side * side, err));
done:
    free(w);
    free(bias);
    return status;
}

static cot_status load_positions(clip *m, cot_device *device, const weight_source *source, cot_error *err)
{
    cot_status status;
    float *v = NULL;
    const size_t shape[] = {m->tokens, m->shape.width};
    COT_TRY(source_floats(&v, source, "vision_model.embeddings.position_embedding.weight", shape, 2, err));
    COT_TRY(cot_buffer_create(&m->position, device, shape[0] * shape[1], err));
    COT_TRY(cot_buffer_write(m->position, 0, v, shape[0] * shape[1], err));
done:
    free(v);
    return status;
}

static cot_status load_blocks(clip *m, cot_device *device, const weight_source *source, cot_error *err)
{
    cot_status status = COT_OK;
    char prefix[64];
    const transformer_sizes sizes = {m->shape.width, m->shape.heads, m->shape.inner, norm_eps, COT_ACT_QUICK_GELU};
    m->block = calloc(m->shape.layers, sizeof *m->block);
    if (!m->block) return cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu blocks", source->where, m->shape.layers);
    for (size_t i = 0; i < m->shape.layers; i++) {
        snprintf(prefix, sizeof prefix, "vision_model.encoder.layers.%zu.", i);
        COT_TRY(transformer_init(&m->block[i], device, source, prefix, &names, &sizes, i + 1 == m->shape.layers, err));
    }
done:
    return status;
}

cot_status clip_init(clip *m, cot_device *device, const weight_source *source, const clip_shape *shape,
                     const clip_normalisation *grey, cot_error *err)
{
    cot_status status;
    m->shape = *shape;
    m->channels = grey ? 1 : CLIP_CHANNELS;
    m->tokens = clip_patches(shape) + 1;
    const size_t width = shape->width;
    COT_TRY(load_patches(m, device, source, grey, err));
    COT_TRY(source_vector(&m->cls, device, source, "vision_model.embeddings.class_embedding", width, err));
    COT_TRY(load_positions(m, device, source, err));
    COT_TRY(norm_init(&m->pre_norm, device, source, "vision_model.pre_layrnorm", width, norm_eps, err));
    COT_TRY(load_blocks(m, device, source, err));
    COT_TRY(norm_init(&m->post_norm, device, source, "vision_model.post_layernorm", width, norm_eps, err));
    COT_TRY(source_linear(&m->projection, device, source, "visual_projection", shape->features, width, false, err));
done:
    return status;
}

void clip_fini(clip *m)
{
    for (size_t i = 0; m->block && i < m->shape.layers; i++) transformer_fini(&m->block[i]);
    free(m->block);
    cot_weights_destroy(m->patch_embedding);
    cot_weights_destroy(m->projection);
    cot_buffer_destroy(m->cls);
    cot_buffer_destroy(m->position);
    norm_fini(&m->pre_norm);
    norm_fini(&m->post_norm);
}

/* ---- plan ---- */
cot_status clip_plan(clip *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    clip_acts *a = &m->acts;
    const size_t width = m->shape.width, pixels = m->channels * m->shape.patch * m->shape.patch;
    /* The MLP's buffer also holds the unfolded patches, which are gone before it is needed. */
    transformer_sizes sizes = m->block[0].sizes;
    if (sizes.inner < pixels) sizes.inner = pixels;
    COT_TRY(transformer_plan(&a->block, arena, max_batch * m->tokens, &sizes, err));
    COT_TRY(cot_arena_reserve(arena, &a->cls, max_batch * width, err));
    COT_TRY(cot_arena_reserve(arena, &a->cls_h, max_batch * width, err));
    COT_TRY(cot_arena_reserve(arena, &a->query, max_batch * width, err));
    COT_TRY(cot_arena_reserve(arena, &a->mid, max_batch * width, err));
done:
    return status;
}

/* ---- forward ---- */
/* x = LN_pre((cls | patches W_e) + position) */
static cot_status embed(clip *m, const cot_buffer *image, size_t n, cot_error *err)
{
    cot_status status;
    transformer_acts *a = &m->acts.block;
    const size_t patches = m->tokens - 1;
    COT_TRY(cot_patches_forward(a->inner, image, n, m->channels, m->shape.resolution, m->shape.patch, err));
    COT_TRY(cot_linear_forward(a->qkv, a->inner, m->patch_embedding, n * patches, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_tokens_forward(a->h, a->qkv, m->cls, m->position, n, patches, m->shape.width, err));
    COT_TRY(norm_forward(a->x, &m->pre_norm, a->h, n * m->tokens, COT_ACT_NONE, err));
done:
    return status;
}

/* x = x + attention(LN_1 x);  x = x + mlp(LN_2 x) */
static cot_status block_forward(clip *m, const transformer_block *b, size_t n, cot_error *err)
{
    cot_status status;
    const transformer_acts *a = &m->acts.block;
    const size_t rows = n * m->tokens;
    COT_TRY(norm_forward(a->h, &b->norm1, a->x, rows, COT_ACT_NONE, err));
    COT_TRY(transformer_attend(a->h, b, a, a->h, NULL, n, m->tokens, err));
    COT_TRY(cot_linear_forward(a->x, a->h, b->out, rows, a->x, COT_ACT_NONE, err));
    COT_TRY(norm_forward(a->h, &b->norm2, a->x, rows, COT_ACT_NONE, err));
    COT_TRY(transformer_mlp(a->x, b, a, a->h, a->x, rows, err));
done:
    return status;
}

/* The same for the class token alone: cls = row 0 of what block_forward would leave in x. */
static cot_status last_block_forward(clip *m, const transformer_block *b, size_t n, cot_error *err)
{
    cot_status status;
    const clip_acts *c = &m->acts;
    const transformer_acts *a = &c->block;
    const size_t width = m->shape.width;
    const cot_attention_shape shape = {.items = n,
                                       .tokens = m->tokens,
                                       .queries = 1,
                                       .heads = m->shape.heads,
                                       .width = width,
                                       .q_stride = width,
                                       .kv_stride = 2 * width,
                                       .v_at = width};
    COT_TRY(norm_forward(a->h, &b->norm1, a->x, n * m->tokens, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(a->qkv, a->h, b->kv, n * m->tokens, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_row_forward(c->cls_h, a->h, n, m->tokens, 0, width, err));
    COT_TRY(cot_linear_forward(c->query, c->cls_h, b->query, n, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_attention_forward(c->cls_h, c->query, a->qkv, NULL, &shape, err));
    COT_TRY(cot_row_forward(c->cls, a->x, n, m->tokens, 0, width, err));
    COT_TRY(cot_linear_forward(c->mid, c->cls_h, b->out, n, c->cls, COT_ACT_NONE, err));
    COT_TRY(norm_forward(c->cls_h, &b->norm2, c->mid, n, COT_ACT_NONE, err));
    COT_TRY(transformer_mlp(c->cls, b, a, c->cls_h, c->mid, n, err));
done:
    return status;
}

cot_status clip_forward(cot_buffer *feature, clip *m, const cot_buffer *image, size_t n, cot_error *err)
{
    cot_status status;
    const clip_acts *a = &m->acts;
    const size_t last = m->shape.layers - 1;
    COT_TRY(embed(m, image, n, err));
    for (size_t i = 0; i < last; i++) COT_TRY(block_forward(m, &m->block[i], n, err));
    COT_TRY(last_block_forward(m, &m->block[last], n, err));
    COT_TRY(norm_forward(a->cls_h, &m->post_norm, a->cls, n, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(feature, a->cls_h, m->projection, n, NULL, COT_ACT_NONE, err));
done:
    return status;
}
