/* Plain-C twins of training's layers (reference_backward.h): the shortest loops that say what is meant.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds to a gradient that may not be wanted. */
static void give(double *grad, size_t at, double v)
{
    if (grad) grad[at] += v;
}

/* ---- products ---- */
void twin_matmul(double *c, const double *a, bool a_t, const double *b, bool b_t, size_t m, size_t n, size_t k,
                 bool add)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = add ? c[i * n + j] : 0.0;
            for (size_t s = 0; s < k; s++) sum += a[a_t ? s * m + i : i * k + s] * b[b_t ? j * k + s : s * n + j];
            c[i * n + j] = sum;
        }
}

void twin_linear(twin_pass *p)
{
    const size_t rows = p->size[0], out = p->size[1], in = p->size[2];
    for (size_t i = 0; i < rows * out; i++) p->y[i] = p->in[2] ? p->in[2][i % out] : 0.0;
    twin_matmul(p->y, p->in[0], false, p->in[1], true, rows, out, in, true);
}

void twin_linear_backward(twin_pass *p)
{
    const size_t rows = p->size[0], out = p->size[1], in = p->size[2];
    if (p->grad[0]) twin_matmul(p->grad[0], p->dy, false, p->in[1], false, rows, in, out, true);
    if (p->grad[1]) twin_matmul(p->grad[1], p->dy, true, p->in[0], false, out, in, rows, true);
    for (size_t i = 0; i < rows * out; i++) give(p->grad[2], i % out, p->dy[i]);
}

/* Every product of a convolution: forward adds to y, backward to both gradients. */
static void conv_walk(twin_pass *p, bool backward)
{
    const cot_conv_shape *s = p->conv;
    const size_t oh = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad),
                 ow = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad), taps = s->kernel * s->kernel;
    if (!backward) memset(p->y, 0, p->size[0] * oh * ow * s->out_c * sizeof *p->y);
    for (size_t i = 0; i < p->size[0] * oh * ow * s->out_c; i++)
        for (size_t t = 0; t < taps * s->in_c; t++) {
            const size_t o = i % s->out_c, pixel = i / s->out_c, c = t % s->in_c;
            const size_t iy = pixel / ow % oh * s->stride + t / s->in_c / s->kernel;
            const size_t ix = pixel % ow * s->stride + t / s->in_c % s->kernel;
            if (iy < s->pad || ix < s->pad || iy - s->pad >= s->in_h || ix - s->pad >= s->in_w) continue;
            const size_t x = ((pixel / ow / oh * s->in_h + iy - s->pad) * s->in_w + ix - s->pad) * s->in_c + c;
            const size_t w = o * taps * s->in_c + t;
            if (!backward) p->y[i] += p->in[0][x] * p->in[1][w];
            if (backward) give(p->grad[0], x, p->dy[i] * p->in[1][w]);
            if (backward) give(p->grad[1], w, p->dy[i] * p->in[0][x]);
        }
}

void twin_plain_conv(twin_pass *p)
{
    conv_walk(p, false);
}

void twin_plain_conv_backward(twin_pass *p)
{
    conv_walk(p, true);
}

/* ---- float by float ---- */
static double logistic(double v)
{
    return 1.0 / (1.0 + exp(-v));
}

static double normal_below(double v)
{
    return 0.5 * erfc(-v / sqrt(2.0));
}

void twin_activation(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0]; i++) {
        const double x = p->in[0][i];
        switch (p->act) {
        case COT_ACT_NONE: p->y[i] = x; break;
        case COT_ACT_RELU: p->y[i] = x > 0.0 ? x : 0.0; break;
        case COT_ACT_TANH: p->y[i] = tanh(x); break;
        case COT_ACT_GELU: p->y[i] = x * normal_below(x); break;
        case COT_ACT_QUICK_GELU: p->y[i] = x * logistic(1.702 * x); break;
        case COT_ACT_ELU: p->y[i] = x > 0.0 ? x : expm1(x); break;
        case COT_ACT_SIGMOID: p->y[i] = logistic(x); break;
        }
    }
}

static double slope_of(double x, cot_activation act)
{
    const double s = logistic(act == COT_ACT_QUICK_GELU ? 1.702 * x : x);
    switch (act) {
    case COT_ACT_NONE: return 1.0;
    case COT_ACT_RELU: return x > 0.0 ? 1.0 : 0.0;
    case COT_ACT_TANH: return 1.0 - tanh(x) * tanh(x);
    case COT_ACT_GELU: return normal_below(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * acos(-1.0));
    case COT_ACT_QUICK_GELU: return s + 1.702 * x * s * (1.0 - s);
    case COT_ACT_ELU: return x > 0.0 ? 1.0 : exp(x);
    case COT_ACT_SIGMOID: return s * (1.0 - s);
    }
    return NAN;
}

void twin_activation_backward(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0]; i++) give(p->grad[0], i, p->dy[i] * slope_of(p->in[0][i], p->act));
}

void twin_add_tanh(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0]; i++) p->y[i] = p->in[0][i] + tanh(p->in[1][i]);
}

void twin_add_tanh_backward(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0]; i++) {
        give(p->grad[0], i, p->dy[i]);
        give(p->grad[1], i, p->dy[i] * slope_of(p->in[1][i], COT_ACT_TANH));
    }
}

static void softmax_row(double *y, const double *x, size_t n)
{
    double top = -INFINITY, sum = 0.0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[i]);
    for (size_t i = 0; i < n; i++) sum += y[i] = exp(x[i] - top);
    for (size_t i = 0; i < n; i++) y[i] /= sum;
}

/* The gradient of a softmax's input from its result y: y * (dy - dy·y). */
static void softmax_row_backward(double *dx, const double *dy, const double *y, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += dy[i] * y[i];
    for (size_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - sum);
}

void twin_softmax(twin_pass *p)
{
    for (size_t r = 0; r < p->size[0]; r++) softmax_row(p->y + r * p->size[1], p->in[0] + r * p->size[1], p->size[1]);
}

void twin_softmax_backward(twin_pass *p)
{
    const size_t n = p->size[1];
    double *y = calloc(2 * n, sizeof *y), *dx = y + n;
    for (size_t r = 0; r < p->size[0]; r++) {
        softmax_row(y, p->in[0] + r * n, n);
        softmax_row_backward(dx, p->dy + r * n, y, n);
        for (size_t i = 0; i < n; i++) give(p->grad[0], r * n + i, dx[i]);
    }
    free(y);
}

typedef struct gates {
    double r, z, fresh;
} gates;

static gates gates_at(const twin_pass *p, size_t at, size_t dim)
{
    const double *gi = p->in[0] + at, *gh = p->in[1] + at;
    gates g = {logistic(gi[0] + gh[0]), logistic(gi[dim] + gh[dim]), 0.0};
    g.fresh = tanh(gi[2 * dim] + g.r * gh[2 * dim]);
    return g;
}

void twin_gru(twin_pass *p)
{
    const size_t dim = p->size[1];
    for (size_t i = 0; i < p->size[0] * dim; i++) {
        const gates g = gates_at(p, i / dim * 3 * dim + i % dim, dim);
        p->y[i] = (1.0 - g.z) * g.fresh + g.z * p->in[2][i];
    }
}

void twin_gru_backward(twin_pass *p)
{
    const size_t dim = p->size[1];
    for (size_t i = 0; i < p->size[0] * dim; i++) {
        const size_t at = i / dim * 3 * dim + i % dim;
        const gates g = gates_at(p, at, dim);
        const double fresh = p->dy[i] * (1.0 - g.z) * (1.0 - g.fresh * g.fresh);
        const double z = p->dy[i] * (p->in[2][i] - g.fresh) * g.z * (1.0 - g.z);
        const double r = fresh * p->in[1][at + 2 * dim] * g.r * (1.0 - g.r);
        const double di[3] = {r, z, fresh}, dh[3] = {r, z, fresh * g.r};
        for (size_t k = 0; k < 3; k++) {
            give(p->grad[0], at + k * dim, di[k]);
            give(p->grad[1], at + k * dim, dh[k]);
        }
        give(p->grad[2], i, p->dy[i] * g.z);
    }
}

/* ---- normalisations: n floats `step` apart, gamma and beta `par` apart ---- */
static void moments(const double *x, size_t n, size_t step, double *mean, double *var)
{
    *mean = *var = 0.0;
    for (size_t i = 0; i < n; i++) *mean += x[i * step] / (double)n;
    for (size_t i = 0; i < n; i++) *var += (x[i * step] - *mean) * (x[i * step] - *mean) / (double)n;
}

static void norm_line(twin_pass *p, size_t at, size_t n, size_t step, size_t g0, size_t par, double mean, double var)
{
    for (size_t i = 0; i < n; i++)
        p->y[at + i * step] =
            (p->in[0][at + i * step] - mean) / sqrt(var + p->eps) * p->in[1][g0 + i * par] + p->in[2][g0 + i * par];
}

/* `moving`: mean and variance are those of the line itself. */
static void norm_line_backward(twin_pass *p, size_t at, size_t n, size_t step, size_t g0, size_t par, double mean,
                               double var, bool moving)
{
    const double scale = 1.0 / sqrt(var + p->eps);
    double flat = 0.0, tilt = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double xhat = (p->in[0][at + i * step] - mean) * scale, g = p->dy[at + i * step] * p->in[1][g0 + i * par];
        flat += g / (double)n;
        tilt += g * xhat / (double)n;
        give(p->grad[1], g0 + i * par, p->dy[at + i * step] * xhat);
        give(p->grad[2], g0 + i * par, p->dy[at + i * step]);
    }
    for (size_t i = 0; i < n; i++) {
        const double xhat = (p->in[0][at + i * step] - mean) * scale, g = p->dy[at + i * step] * p->in[1][g0 + i * par];
        give(p->grad[0], at + i * step, scale * (moving ? g - flat - xhat * tilt : g));
    }
}

void twin_layer_norm(twin_pass *p)
{
    double mean, var;
    for (size_t r = 0; r < p->size[0]; r++) {
        moments(p->in[0] + r * p->size[1], p->size[1], 1, &mean, &var);
        norm_line(p, r * p->size[1], p->size[1], 1, 0, 1, mean, var);
    }
}

void twin_layer_norm_backward(twin_pass *p)
{
    double mean, var;
    for (size_t r = 0; r < p->size[0]; r++) {
        moments(p->in[0] + r * p->size[1], p->size[1], 1, &mean, &var);
        norm_line_backward(p, r * p->size[1], p->size[1], 1, 0, 1, mean, var, true);
    }
}

void twin_batch_norm(twin_pass *p)
{
    double mean, var;
    for (size_t c = 0; c < p->size[1]; c++) {
        moments(p->in[0] + c, p->size[0], p->size[1], &mean, &var);
        norm_line(p, c, p->size[0], p->size[1], c, 0, p->train ? mean : p->mean[c], p->train ? var : p->var[c]);
    }
}

void twin_batch_norm_backward(twin_pass *p)
{
    double mean, var;
    for (size_t c = 0; c < p->size[1]; c++) {
        moments(p->in[0] + c, p->size[0], p->size[1], &mean, &var);
        norm_line_backward(p, c, p->size[0], p->size[1], c, 0, p->train ? mean : p->mean[c], p->train ? var : p->var[c],
                           p->train);
    }
}
