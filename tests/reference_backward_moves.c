/* Plain-C twins of training's layers (reference_backward.h): pools, moves, attention.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void give(double *grad, size_t at, double v)
{
    if (grad) grad[at] += v;
}

/* ---- pools ---- */
/* Where the first maximum of result i's window lies in x. */
static size_t maximum_of(const twin_pass *p, size_t i)
{
    const size_t h = p->size[1], w = p->size[2], c = p->size[3], kernel = p->size[4], stride = p->size[5],
                 pad = p->size[6];
    const size_t oh = cot_conv_out(h, kernel, stride, pad), ow = cot_conv_out(w, kernel, stride, pad);
    const size_t ox = i / c % ow, oy = i / c / ow % oh, image = i / c / ow / oh;
    size_t best = SIZE_MAX;
    for (size_t k = 0; k < kernel * kernel; k++) {
        const size_t iy = oy * stride + k / kernel, ix = ox * stride + k % kernel;
        if (iy < pad || ix < pad || iy - pad >= h || ix - pad >= w) continue;
        const size_t at = ((image * h + iy - pad) * w + ix - pad) * c + i % c;
        if (best == SIZE_MAX || p->in[0][at] > p->in[0][best]) best = at;
    }
    return best;
}

static size_t max_pool_floats(const twin_pass *p)
{
    return p->size[0] * p->size[3] * cot_conv_out(p->size[1], p->size[4], p->size[5], p->size[6]) *
           cot_conv_out(p->size[2], p->size[4], p->size[5], p->size[6]);
}

void twin_max_pool(twin_pass *p)
{
    for (size_t i = 0; i < max_pool_floats(p); i++) p->y[i] = p->in[0][maximum_of(p, i)];
}

void twin_max_pool_backward(twin_pass *p)
{
    for (size_t i = 0; i < max_pool_floats(p); i++) give(p->grad[0], maximum_of(p, i), p->dy[i]);
}

void twin_mean_pool(twin_pass *p)
{
    const size_t pixels = p->size[1], c = p->size[2];
    memset(p->y, 0, p->size[0] * c * sizeof *p->y);
    for (size_t i = 0; i < p->size[0] * pixels * c; i++)
        p->y[i / c / pixels * c + i % c] += p->in[0][i] / (double)pixels;
}

void twin_mean_pool_backward(twin_pass *p)
{
    const size_t pixels = p->size[1], c = p->size[2];
    for (size_t i = 0; i < p->size[0] * pixels * c; i++)
        give(p->grad[0], i, p->dy[i / c / pixels * c + i % c] / (double)pixels);
}

/* ---- moves: y[i] = x[from(i)] ---- */
static size_t patch_from(const twin_pass *p, size_t i)
{
    const size_t channels = p->size[1], size = p->size[2], patch = p->size[3], grid = size / patch;
    const size_t x = i % patch, y = i / patch % patch, c = i / patch / patch % channels;
    const size_t row = i / patch / patch / channels, px = row % grid, py = row / grid % grid;
    return ((row / grid / grid * channels + c) * size + py * patch + y) * size + px * patch + x;
}

static size_t patch_floats(const twin_pass *p)
{
    const size_t side = p->size[2] / p->size[3] * p->size[3];
    return p->size[0] * p->size[1] * side * side;
}

void twin_patches(twin_pass *p)
{
    for (size_t i = 0; i < patch_floats(p); i++) p->y[i] = p->in[0][patch_from(p, i)];
}

void twin_patches_backward(twin_pass *p)
{
    for (size_t i = 0; i < patch_floats(p); i++) give(p->grad[0], patch_from(p, i), p->dy[i]);
}

void twin_tokens(twin_pass *p)
{
    const size_t patches = p->size[1], width = p->size[2], item = (patches + 1) * width;
    for (size_t i = 0; i < p->size[0] * item; i++) {
        const size_t at = i % item;
        p->y[i] = p->in[2][at] + (at < width ? p->in[1][at] : p->in[0][i / item * patches * width + at - width]);
    }
}

void twin_tokens_backward(twin_pass *p)
{
    const size_t patches = p->size[1], width = p->size[2], item = (patches + 1) * width;
    for (size_t i = 0; i < p->size[0] * item; i++) {
        const size_t at = i % item;
        give(p->grad[2], at, p->dy[i]);
        if (at < width) give(p->grad[1], at, p->dy[i]);
        if (at >= width) give(p->grad[0], i / item * patches * width + at - width, p->dy[i]);
    }
}

void twin_row(twin_pass *p)
{
    const size_t rows = p->size[1], at = p->size[2], width = p->size[3];
    for (size_t i = 0; i < p->size[0] * width; i++) p->y[i] = p->in[0][(i / width * rows + at) * width + i % width];
}

void twin_row_backward(twin_pass *p)
{
    const size_t rows = p->size[1], at = p->size[2], width = p->size[3];
    for (size_t i = 0; i < p->size[0] * width; i++)
        give(p->grad[0], (i / width * rows + at) * width + i % width, p->dy[i]);
}

void twin_row_write(twin_pass *p)
{
    const size_t rows = p->size[1], at = p->size[2], width = p->size[3];
    for (size_t i = 0; i < p->size[0] * rows * width; i++)
        p->y[i] = i / width % rows == at ? p->in[1][i / width / rows * width + i % width] : p->in[0][i];
}

void twin_row_write_backward(twin_pass *p)
{
    const size_t rows = p->size[1], at = p->size[2], width = p->size[3];
    for (size_t i = 0; i < p->size[0] * rows * width; i++) {
        const bool written = i / width % rows == at;
        give(p->grad[written ? 1 : 0], written ? i / width / rows * width + i % width : i, p->dy[i]);
    }
}

void twin_concat(twin_pass *p)
{
    const size_t a = p->size[1], b = p->size[2];
    for (size_t i = 0; i < p->size[0] * (a + b); i++) {
        const size_t row = i / (a + b), at = i % (a + b);
        p->y[i] = at < a ? p->in[0][row * a + at] : p->in[1][row * b + at - a];
    }
}

void twin_concat_backward(twin_pass *p)
{
    const size_t a = p->size[1], b = p->size[2];
    for (size_t i = 0; i < p->size[0] * (a + b); i++) {
        const size_t row = i / (a + b), at = i % (a + b);
        if (at < a) give(p->grad[0], row * a + at, p->dy[i]);
        if (at >= a) give(p->grad[1], row * b + at - a, p->dy[i]);
    }
}

/* ---- softmax over j of scores, for both attentions ---- */
static void softmax_row(double *x, size_t n)
{
    double top = -INFINITY, sum = 0.0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[i]);
    for (size_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - top);
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static void softmax_row_backward(double *dx, const double *y, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += dx[i] * y[i];
    for (size_t i = 0; i < n; i++) dx[i] = y[i] * (dx[i] - sum);
}

/* One query of one head: forward into y, or backward into the gradients. */
static void attend(twin_pass *p, size_t item, size_t query, size_t head, double *work, bool backward)
{
    const cot_attention_shape *s = p->attention;
    const size_t depth = s->width / s->heads, row = item * s->queries + query, y = row * s->width + head * depth,
                 q = row * s->q_stride + s->q_at + head * depth;
    const double *kv = p->in[1], scale = 1.0 / sqrt((double)depth);
    double *alpha = work, *d = work + s->tokens, *dkv = p->in[1] == p->in[0] ? p->grad[0] : p->grad[1];
    for (size_t t = 0; t < s->tokens; t++) {
        const size_t at = (item * s->tokens + t) * s->kv_stride + head * depth;
        const bool masked = p->mask && p->mask[item * s->tokens + t] == 0.0;
        alpha[t] = masked ? -INFINITY : 0.0;
        d[t] = 0.0;
        for (size_t c = 0; c < depth; c++) alpha[t] += scale * p->in[0][q + c] * kv[at + s->k_at + c];
        if (backward)
            for (size_t c = 0; c < depth; c++) d[t] += p->dy[y + c] * kv[at + s->v_at + c];
    }
    softmax_row(alpha, s->tokens);
    softmax_row_backward(d, alpha, s->tokens);
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t c = 0; c < depth; c++) {
            const size_t at = (item * s->tokens + t) * s->kv_stride + head * depth + c;
            if (!backward) {
                p->y[y + c] += alpha[t] * kv[at + s->v_at];
                continue;
            }
            give(dkv, at + s->v_at, alpha[t] * p->dy[y + c]);
            give(p->grad[0], q + c, scale * d[t] * kv[at + s->k_at]);
            give(dkv, at + s->k_at, scale * d[t] * p->in[0][q + c]);
        }
}

static void attention_walk(twin_pass *p, bool backward)
{
    const cot_attention_shape *s = p->attention;
    double *work = calloc(2 * s->tokens, sizeof *work);
    if (!backward) memset(p->y, 0, s->items * s->queries * s->width * sizeof *p->y);
    for (size_t i = 0; i < s->items * s->queries * s->heads; i++)
        attend(p, i / s->heads / s->queries, i / s->heads % s->queries, i % s->heads, work, backward);
    free(work);
}

void twin_attention(twin_pass *p)
{
    attention_walk(p, false);
}

void twin_attention_backward(twin_pass *p)
{
    attention_walk(p, true);
}

/* One node of one head; z0: the item's first float of this head. */
static void listen(twin_pass *p, size_t z0, size_t head, size_t i, double *work, bool backward)
{
    const size_t nodes = p->size[1], out = p->size[3], row = p->size[2] * out;
    const double *z = p->in[0] + z0, *src = p->in[1] + head * out, *dst = p->in[2] + head * out;
    double *alpha = work, *d = work + nodes, *score = work + 2 * nodes;
    for (size_t j = 0; j < nodes; j++) {
        score[j] = d[j] = 0.0;
        for (size_t c = 0; c < out; c++) score[j] += z[i * row + c] * src[c] + z[j * row + c] * dst[c];
        for (size_t c = 0; backward && c < out; c++) d[j] += p->dy[z0 + i * row + c] * z[j * row + c];
        alpha[j] = score[j] > 0.0 ? score[j] : 0.2 * score[j];
    }
    softmax_row(alpha, nodes);
    softmax_row_backward(d, alpha, nodes);
    for (size_t j = 0; j < nodes; j++) {
        const double g = d[j] * (score[j] > 0.0 ? 1.0 : 0.2);
        for (size_t c = 0; c < out; c++) {
            if (!backward) {
                p->y[z0 + i * row + c] += alpha[j] * z[j * row + c];
                continue;
            }
            give(p->grad[0], z0 + j * row + c, alpha[j] * p->dy[z0 + i * row + c] + g * dst[c]);
            give(p->grad[0], z0 + i * row + c, g * src[c]);
            give(p->grad[1], head * out + c, g * z[i * row + c]);
            give(p->grad[2], head * out + c, g * z[j * row + c]);
        }
    }
}

static void graph_walk(twin_pass *p, bool backward)
{
    const size_t nodes = p->size[1], heads = p->size[2], out = p->size[3], row = heads * out;
    double *work = calloc(3 * nodes, sizeof *work);
    for (size_t i = 0; i < p->size[0] * nodes * row; i++) {
        if (!backward) p->y[i] = p->in[3][i % row];
        if (backward) give(p->grad[3], i % row, p->dy[i]);
    }
    for (size_t i = 0; i < p->size[0] * heads * nodes; i++) {
        const size_t head = i / nodes % heads;
        listen(p, i / nodes / heads * nodes * row + head * out, head, i % nodes, work, backward);
    }
    free(work);
}

void twin_graph_attention(twin_pass *p)
{
    graph_walk(p, false);
}

void twin_graph_attention_backward(twin_pass *p)
{
    graph_walk(p, true);
}
