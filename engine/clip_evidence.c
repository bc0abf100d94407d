/* Products on the device, row by row work between them on the host (clip_evidence.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/clip_evidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- prepare ---- */
static cot_status prepare_weights(clip_evidence *e, cot_device *device, const weight_source *source, const clip *m,
                                  cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    const size_t width = m->shape.width, inner = m->shape.inner;
    const weight_source block = {source->file, full, source->where};
    snprintf(full, sizeof full, "%svision_model.encoder.layers.%zu.", source->prefix, m->shape.layers - 1);
    COT_TRY(source_linear_back(&e->out, device, &block, "self_attn.out_proj", width, width, err));
    COT_TRY(source_linear_back(&e->fc1, device, &block, "mlp.fc1", inner, width, err));
    COT_TRY(source_linear_back(&e->fc2, device, &block, "mlp.fc2", width, inner, err));
    COT_TRY(source_linear_back(&e->projection, device, source, "visual_projection", m->shape.features, width, err));
    COT_TRY(cot_buffer_read(m->post_norm.scale, 0, e->post_scale, width, err));
    COT_TRY(cot_buffer_read(m->block[m->shape.layers - 1].norm2.scale, 0, e->norm2_scale, width, err));
done:
    return status;
}

static size_t widest_of(const clip *m)
{
    const size_t width = m->shape.width, inner = m->shape.inner, features = m->shape.features;
    const size_t most = inner > width ? inner : width;
    return features > most ? features : most;
}

static bool allocate(clip_evidence *e, const clip *m, size_t n)
{
    const size_t width = m->shape.width;
    e->post_scale = calloc(width + 1, sizeof *e->post_scale);
    e->norm2_scale = calloc(width + 1, sizeof *e->norm2_scale);
    e->wide = calloc(e->rows * widest_of(m) + 1, sizeof *e->wide);
    e->narrow = calloc(e->rows * width + 1, sizeof *e->narrow);
    e->cls = calloc(n * width + 1, sizeof *e->cls);
    e->mid = calloc(n * width + 1, sizeof *e->mid);
    e->query = calloc(n * width + 1, sizeof *e->query);
    e->pre = calloc(n * m->shape.inner + 1, sizeof *e->pre);
    e->kv = calloc(n * m->tokens * 2 * width + 1, sizeof *e->kv);
    e->attention = calloc(m->tokens + 1, sizeof *e->attention);
    return e->post_scale && e->norm2_scale && e->wide && e->narrow && e->cls && e->mid && e->query && e->pre && e->kv &&
           e->attention;
}

cot_status clip_evidence_init(clip_evidence *e, cot_device *device, const weight_source *source, const clip *m,
                              size_t max_batch, size_t per_image, cot_error *err)
{
    cot_status status;
    size_t floats;
    if (!cot_mul(&e->rows, max_batch, per_image) || !cot_mul(&floats, e->rows, widest_of(m)))
        return cot_fail(err, COT_E_LIMIT, "evidence: %zu images of %zu steps are too many", max_batch, per_image);
    if (!allocate(e, m, max_batch)) return cot_fail(err, COT_E_MEMORY, "evidence: no memory for relevance maps");
    COT_TRY(prepare_weights(e, device, source, m, err));
    COT_TRY(cot_buffer_create(&e->from, device, floats, err));
    COT_TRY(cot_buffer_create(&e->to, device, floats, err));
done:
    return status;
}

void clip_evidence_fini(clip_evidence *e)
{
    cot_weights *const weights[] = {e->projection, e->fc2, e->fc1, e->out};
    float *const floats[] = {e->post_scale, e->norm2_scale, e->wide, e->narrow, e->cls,
                             e->mid,        e->query,       e->pre,  e->kv,     e->attention};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) cot_weights_destroy(weights[i]);
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) free(floats[i]);
    cot_buffer_destroy(e->from);
    cot_buffer_destroy(e->to);
    memset(e, 0, sizeof *e);
}

/* ---- from the logit to the heads ---- */
/* to [rows,out_floats] = from [rows,in_floats] through a layer; to may be from. */
static cot_status multiply(float *to, clip_evidence *e, const cot_weights *w, const float *from, size_t rows,
                           size_t in_floats, size_t out_floats, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_buffer_write(e->from, 0, from, rows * in_floats, err));
    COT_TRY(cot_linear_forward(e->to, e->from, w, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_buffer_read(e->to, 0, to, rows * out_floats, err));
done:
    return status;
}

/* g [width] = gradient in x of a layer norm, from that in its result; in place */
static void norm_backward(float *g, const float *x, const float *scale, size_t width, float eps)
{
    double mean = 0, square = 0, along = 0, level = 0;
    for (size_t i = 0; i < width; i++) mean += (double)x[i];
    mean /= (double)width;
    for (size_t i = 0; i < width; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double deviation = sqrt(square / (double)width + (double)eps);
    for (size_t i = 0; i < width; i++) {
        const double dy = (double)g[i] * (double)scale[i];
        level += dy;
        along += dy * ((double)x[i] - mean) / deviation;
    }
    level /= (double)width;
    along /= (double)width;
    for (size_t i = 0; i < width; i++) {
        const double normal = ((double)x[i] - mean) / deviation;
        g[i] = (float)(((double)g[i] * (double)scale[i] - level - normal * along) / deviation);
    }
}

/* What forward left on the device, and once more what the MLP's activation was given. */
static cot_status read_forward(clip_evidence *e, const clip *m, size_t n, cot_error *err)
{
    cot_status status;
    const clip_acts *a = &m->acts;
    const transformer_block *last = &m->block[m->shape.layers - 1];
    const size_t width = m->shape.width;
    COT_TRY(norm_forward(a->cls_h, &last->norm2, a->mid, n, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(a->block.inner, a->cls_h, last->fc1, n, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_buffer_read(a->block.inner, 0, e->pre, n * m->shape.inner, err));
    COT_TRY(cot_buffer_read(a->cls, 0, e->cls, n * width, err));
    COT_TRY(cot_buffer_read(a->mid, 0, e->mid, n * width, err));
    COT_TRY(cot_buffer_read(a->query, 0, e->query, n * width, err));
    COT_TRY(cot_buffer_read(a->block.qkv, 0, e->kv, n * m->tokens * 2 * width, err));
done:
    return status;
}

/* d(x . sigmoid(k x))/dx */
static float quick_gelu_slope(float x)
{
    const float k = 1.702f, s = 1 / (1 + expf(-k * x));
    return s + k * x * s * (1 - s);
}

cot_status clip_evidence_attended(clip_evidence *e, const clip *m, const float *gradients, size_t n, size_t per_image,
                                  cot_error *err)
{
    cot_status status;
    const size_t width = m->shape.width, inner = m->shape.inner, rows = n * per_image;
    const float post_eps = m->post_norm.eps, eps = m->block[m->shape.layers - 1].norm2.eps;
    COT_TRY(read_forward(e, m, n, err));
    COT_TRY(multiply(e->narrow, e, e->projection, gradients, rows, m->shape.features, width, err));
    for (size_t r = 0; r < rows; r++)
        norm_backward(e->narrow + r * width, e->cls + r / per_image * width, e->post_scale, width, post_eps);
    COT_TRY(multiply(e->wide, e, e->fc2, e->narrow, rows, width, inner, err));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < inner; k++) {
            const float slope = quick_gelu_slope(e->pre[i * inner + k]);
            for (size_t s = 0; s < per_image; s++) e->wide[(i * per_image + s) * inner + k] *= slope;
        }
    COT_TRY(multiply(e->wide, e, e->fc1, e->wide, rows, inner, width, err));
    for (size_t r = 0; r < rows; r++) {
        float *g = e->wide + r * width;
        norm_backward(g, e->mid + r / per_image * width, e->norm2_scale, width, eps);
        for (size_t k = 0; k < width; k++) g[k] += e->narrow[r * width + k]; /* the way around the MLP */
    }
    COT_TRY(multiply(e->narrow, e, e->out, e->wide, rows, width, width, err));
done:
    return status;
}

/* ---- from the heads to the map ---- */
static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Attention of one head of the class token to all tokens. */
static void attend(float *a, const float *query, const float *kv, size_t tokens, size_t stride, size_t depth)
{
    const float scale = 1 / sqrtf((float)depth);
    float top = -INFINITY;
    double sum = 0;
    for (size_t t = 0; t < tokens; t++) {
        a[t] = scale * dot(query, kv + t * stride, depth);
        top = a[t] > top ? a[t] : top;
    }
    for (size_t t = 0; t < tokens; t++) sum += (double)(a[t] = expf(a[t] - top));
    for (size_t t = 0; t < tokens; t++) a[t] = (float)((double)a[t] / sum);
}

/* Adds what one head gives to the maps of one image. */
static void add_head(float *maps, clip_evidence *e, const clip *m, size_t image, size_t head, size_t per_image)
{
    const size_t width = m->shape.width, depth = width / m->shape.heads, at = head * depth, tokens = m->tokens;
    const float *kv = e->kv + image * tokens * 2 * width + at;
    attend(e->attention, e->query + image * width + at, kv, tokens, 2 * width, depth);
    for (size_t s = 0; s < per_image; s++) {
        const float *gradient = e->narrow + (image * per_image + s) * width + at;
        float *map = maps + (image * per_image + s) * (tokens - 1);
        for (size_t t = 1; t < tokens; t++)
            map[t - 1] += e->attention[t] * dot(kv + t * 2 * width + width, gradient, depth);
    }
}

cot_status clip_evidence_maps(float *maps, clip_evidence *e, const clip *m, const float *gradients, size_t n,
                              size_t per_image, cot_error *err)
{
    cot_status status;
    const size_t floats = n * per_image * (m->tokens - 1);
    if (!n || !per_image || per_image > e->rows / n)
        return cot_fail(err, COT_E_BUG, "evidence: %zu images of %zu steps, planned for %zu in all", n, per_image,
                        e->rows);
    COT_TRY(clip_evidence_attended(e, m, gradients, n, per_image, err));
    memset(maps, 0, floats * sizeof *maps);
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < m->shape.heads; h++) add_head(maps, e, m, i, h, per_image);
    for (size_t k = 0; k < floats; k++) maps[k] = maps[k] > 0 ? maps[k] / (float)m->shape.heads : 0;
done:
    return status;
}
