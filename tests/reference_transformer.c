/* Plain-C twins of the passes that transformers and graphs need (reference_transformer.h): the shortest loops that say
 * what is meant, sums in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference_transformer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ref_attention_forward(float *y, const float *q, const float *kv, const float *mask, const cot_attention_shape *s)
{
    const size_t depth = s->width / s->heads;
    double *p = malloc(s->tokens * sizeof *p);
    if (!p) return;
    for (size_t i = 0; i < s->items * s->queries * s->heads; i++) {
        const size_t head = i % s->heads, row = i / s->heads, item = row / s->queries;
        const float *one = q + row * s->q_stride + s->q_at + head * depth;
        double top = -INFINITY, sum = 0.0;
        for (size_t t = 0; t < s->tokens; t++) {
            const float *k = kv + (item * s->tokens + t) * s->kv_stride + s->k_at + head * depth;
            double score = 0.0;
            for (size_t e = 0; e < depth; e++) score += (double)one[e] * (double)k[e];
            p[t] = mask && mask[item * s->tokens + t] == 0.0f ? -(double)FLT_MAX : score / sqrt((double)depth);
            top = fmax(top, p[t]);
        }
        for (size_t t = 0; t < s->tokens; t++) sum += p[t] = exp(p[t] - top);
        for (size_t e = 0; e < depth; e++) {
            double v = 0.0;
            for (size_t t = 0; t < s->tokens; t++)
                v += p[t] / sum * (double)kv[(item * s->tokens + t) * s->kv_stride + s->v_at + head * depth + e];
            y[row * s->width + head * depth + e] = (float)v;
        }
    }
    free(p);
}

void ref_patches_forward(float *y, const float *x, size_t n, size_t channels, size_t size, size_t patch)
{
    const size_t side = size / patch;
    for (size_t i = 0; i < n * side * side; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < patch * patch; p++) {
                const size_t down = i / side % side * patch + p / patch, across = i % side * patch + p % patch;
                y[(i * channels + c) * patch * patch + p] =
                    x[((i / side / side * channels + c) * size + down) * size + across];
            }
}

void ref_tokens_forward(float *y, const float *patches, const float *cls, const float *position, size_t items,
                        size_t n_patches, size_t width)
{
    for (size_t i = 0; i < items * (1 + n_patches) * width; i++) {
        const size_t e = i % width, token = i / width % (1 + n_patches), item = i / width / (1 + n_patches);
        y[i] = (token ? patches[(item * n_patches + token - 1) * width + e] : cls[e]) + position[token * width + e];
    }
}

void ref_row_forward(float *y, const float *x, size_t items, size_t rows, size_t at, size_t width)
{
    for (size_t i = 0; i < items; i++) memcpy(y + i * width, x + (i * rows + at) * width, width * sizeof *y);
}

void ref_row_write(float *y, const float *x, size_t items, size_t rows, size_t at, size_t width)
{
    for (size_t i = 0; i < items; i++) memcpy(y + (i * rows + at) * width, x + i * width, width * sizeof *y);
}

void ref_concat_forward(float *y, const float *a, size_t a_width, const float *b, size_t b_width, size_t rows)
{
    for (size_t r = 0; r < rows; r++, y += a_width + b_width) {
        memcpy(y, a + r * a_width, a_width * sizeof *y);
        memcpy(y + a_width, b + r * b_width, b_width * sizeof *y);
    }
}

/* a · z of one node and head. */
static double part_score(const float *a, const float *z, size_t out)
{
    double sum = 0.0;
    for (size_t e = 0; e < out; e++) sum += (double)a[e] * (double)z[e];
    return sum;
}

void ref_graph_attention_forward(float *y, const float *z, const float *a_src, const float *a_dst, const float *bias,
                                 const float *residual, size_t items, size_t nodes, size_t heads, size_t out)
{
    const size_t width = heads * out;
    double *alpha = malloc(nodes * sizeof *alpha);
    if (!alpha) return;
    for (size_t i = 0; i < items * nodes * heads; i++) {
        const size_t head = i % heads, node = i / heads, at = head * out;
        const float *item = z + node / nodes * nodes * width + at;
        double top = -INFINITY, sum = 0.0;
        for (size_t j = 0; j < nodes; j++) {
            const double v =
                part_score(a_src + at, z + node * width + at, out) + part_score(a_dst + at, item + j * width, out);
            alpha[j] = v < 0.0 ? 0.2 * v : v;
            top = fmax(top, alpha[j]);
        }
        for (size_t j = 0; j < nodes; j++) sum += alpha[j] = exp(alpha[j] - top);
        for (size_t e = 0; e < out; e++) {
            double v = (double)bias[at + e] + (residual ? (double)residual[node * width + at + e] : 0.0);
            for (size_t j = 0; j < nodes; j++) v += alpha[j] / sum * (double)item[j * width + e];
            y[node * width + at + e] = (float)v;
        }
    }
    free(alpha);
}

void ref_gru_forward(float *y, const float *gi, const float *gh, const float *h, size_t n, size_t dim)
{
    for (size_t i = 0; i < n * dim; i++) {
        const float *in = gi + i / dim * 3 * dim + i % dim, *state = gh + i / dim * 3 * dim + i % dim;
        const double r = 1.0 / (1.0 + exp(-(double)in[0] - (double)state[0]));
        const double z = 1.0 / (1.0 + exp(-(double)in[dim] - (double)state[dim]));
        const double new = tanh((double)in[2 * dim] + r * (double)state[2 * dim]);
        y[i] = (float)((1.0 - z) * new + z *(double)h[i]);
    }
}
