/* Twins of training (reference_training.h): the formulas as they are written. SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference_training.h"

#include <math.h>
#include <stdlib.h>

twin_targets twin_target;

static void log_softmax(double *y, const double *x, size_t n, double temperature)
{
    double top = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) top = fmax(top, x[i] / temperature);
    for (size_t i = 0; i < n; i++) sum += exp(x[i] / temperature - top);
    for (size_t i = 0; i < n; i++) y[i] = x[i] / temperature - top - log(sum);
}

/* ---- moves ---- */
void twin_repeat(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0] * p->size[1]; i++) p->y[i] = p->in[0][i % p->size[1]];
}

void twin_repeat_backward(twin_pass *p)
{
    for (size_t i = 0; i < p->size[0] * p->size[1]; i++) p->grad[0][i % p->size[1]] += p->dy[i];
}

void twin_activation_from(twin_pass *p)
{
    twin_activation(p);
    for (size_t i = 0; i < p->size[0]; i++) p->y[i] *= p->eps;
}

void twin_activation_from_backward(twin_pass *p)
{
    twin_activation_from(p);
    for (size_t i = 0; i < p->size[0]; i++) {
        const double y = p->y[i], below = p->act == COT_ACT_ELU ? y + p->eps : 0; /* scale * exp(x), or nothing */
        p->grad[0][i] += p->dy[i] * (y > 0 ? p->eps : below);
    }
}

/* ---- cross-entropy ---- */
static double weight_of(size_t c)
{
    return twin_target.weights ? twin_target.weights[c] : 1.0;
}

/* Both directions: the loss into *y, or dy of it into grad[0]. */
static void cross_entropy(twin_pass *p, bool backward)
{
    const size_t rows = p->size[0], classes = p->size[1];
    const double e = twin_target.smoothing, *labels = twin_target.labels;
    double lp[64], all = 0, loss = 0;
    for (size_t r = 0; r < rows; r++)
        if (labels[r] >= 0) all += weight_of((size_t)labels[r]);
    for (size_t r = 0; r < rows; r++) {
        if (labels[r] < 0) continue;
        const size_t y = (size_t)labels[r];
        log_softmax(lp, p->in[0] + r * classes, classes, 1.0);
        for (size_t c = 0; c < classes; c++) {
            const double q = (c == y ? (1 - e) * weight_of(y) : 0) + e / (double)classes * weight_of(c);
            loss -= q * lp[c] / all;
            for (size_t k = 0; backward && k < classes; k++) /* of -q log p_c by x_k */
                p->grad[0][r * classes + k] += p->dy[0] * q / all * (exp(lp[k]) - (k == c ? 1 : 0));
        }
    }
    if (!backward) p->y[0] = loss;
}

void twin_cross_entropy(twin_pass *p)
{
    cross_entropy(p, false);
}

void twin_cross_entropy_backward(twin_pass *p)
{
    cross_entropy(p, true);
}

/* ---- softened KL ---- */
static void soft_kl(twin_pass *p, bool backward)
{
    const size_t rows = p->size[0], classes = p->size[1];
    const double t = twin_target.temperature, *labels = twin_target.labels;
    double ls[64], lt[64], valid = 0, loss = 0;
    for (size_t r = 0; r < rows; r++) valid += labels[r] >= 0;
    for (size_t r = 0; r < rows; r++) {
        if (labels[r] < 0) continue;
        log_softmax(ls, p->in[0] + r * classes, classes, t);
        log_softmax(lt, twin_target.teacher + r * classes, classes, t);
        for (size_t c = 0; c < classes; c++) {
            loss += exp(lt[c]) * (lt[c] - ls[c]) * t * t / valid;
            if (backward) p->grad[0][r * classes + c] += p->dy[0] * t / valid * (exp(ls[c]) - exp(lt[c]));
        }
    }
    if (!backward) p->y[0] = loss;
}

void twin_soft_kl(twin_pass *p)
{
    soft_kl(p, false);
}

void twin_soft_kl_backward(twin_pass *p)
{
    soft_kl(p, true);
}

/* ---- alignment: the oracle's own way, Gram matrices centred behind the product ---- */
static void gram(double *k, const double *u, size_t n, size_t width)
{
    double *rows = calloc(n + 1, sizeof *rows), all = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            k[i * n + j] = 0;
            for (size_t c = 0; c < width; c++) k[i * n + j] += u[i * width + c] * u[j * width + c];
            rows[i] += k[i * n + j] / (double)n;
            all += k[i * n + j] / (double)(n * n);
        }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) k[i * n + j] += all - rows[i] - rows[j];
    free(rows);
}

static double inner(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* One step over its n valid rows; dkv [n,width] NULL: not wanted. */
static double align_step(double *dkv, const double *ku, const double *kv, size_t n, size_t width)
{
    const double tiny = 1e-12;
    double *u = calloc(n * n, sizeof *u), *v = calloc(n * n, sizeof *v), kl = 0;
    gram(u, ku, n, width);
    gram(v, kv, n, width);
    const double uv = inner(u, v, n * n), uu = inner(u, u, n * n), vv = inner(v, v, n * n);
    const double d = sqrt((uu + tiny) * (vv + tiny)), w = uv / (d + tiny);
    for (size_t i = 0; i < n * width; i++) kl += ku[i] * (log(ku[i]) - log(kv[i] + tiny)) / (double)n;
    for (size_t i = 0; dkv && i < n; i++)
        for (size_t c = 0; c < width; c++) {
            dkv[i * width + c] = -w * ku[i * width + c] / (kv[i * width + c] + tiny) / (double)n;
            for (size_t j = 0; j < n; j++) { /* dV_ij = kv_i dkv_j + dkv_i kv_j, centring is its own transpose */
                const double dw = u[i * n + j] / (d + tiny) -
                                  uv / ((d + tiny) * (d + tiny)) * (uu + tiny) / (2 * d) * 2 * v[i * n + j];
                dkv[i * width + c] += kl * 2 * dw * kv[j * width + c];
            }
        }
    free(u);
    free(v);
    return w * kl;
}

static void alignment(twin_pass *p, bool backward)
{
    const size_t steps = p->size[0], rows = p->size[1], width = p->size[2];
    double *ku = calloc(rows * width, sizeof *ku), *kv = calloc(rows * width, sizeof *kv);
    double *dkv = calloc(rows * width, sizeof *dkv), loss = 0;
    for (size_t s = 0; s < steps; s++) {
        size_t n = 0;
        for (size_t r = 0; r < rows; r++) {
            if (twin_target.labels[s * rows + r] < 0) continue;
            log_softmax(ku + n * width, twin_target.teacher + (s * rows + r) * width, width, twin_target.temperature);
            log_softmax(kv + n * width, p->in[0] + r * width, width, twin_target.temperature);
            n++;
        }
        if (n < 2) continue;
        for (size_t i = 0; i < n * width; i++) ku[i] = exp(ku[i]), kv[i] = exp(kv[i]);
        loss += align_step(backward ? dkv : NULL, ku, kv, n, width);
        for (size_t r = 0, i = 0; backward && r < rows; r++) {
            if (twin_target.labels[s * rows + r] < 0) continue;
            const double along = inner(dkv + i * width, kv + i * width, width);
            for (size_t c = 0; c < width; c++)
                p->grad[0][r * width + c] +=
                    p->dy[0] * kv[i * width + c] * (dkv[i * width + c] - along) / twin_target.temperature;
            i++;
        }
    }
    if (!backward) p->y[0] = loss;
    free(ku);
    free(kv);
    free(dkv);
}

void twin_alignment(twin_pass *p)
{
    alignment(p, false);
}

void twin_alignment_backward(twin_pass *p)
{
    alignment(p, true);
}

/* ---- dropout ---- */
void twin_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                                  (uint32_t)a};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

double twin_dropout(const cot_dropout *drop, size_t i)
{
    uint32_t numbers[4];
    const uint32_t counter[4] = {(uint32_t)(i / 4), drop->layer, (uint32_t)drop->step, (uint32_t)(drop->step >> 32)};
    const uint32_t key[2] = {(uint32_t)drop->seed, (uint32_t)(drop->seed >> 32)};
    twin_philox(numbers, counter, key);
    return (double)numbers[i % 4] < floor((double)drop->p * 4294967296.0) ? 0.0 : 1.0 / (1.0 - (double)drop->p);
}

/* ---- AdamW, as torch's documentation writes it ---- */
void twin_adamw(double *value, double *m, double *v, const double *g, size_t n, double clip, const cot_adamw_options *o)
{
    const double b1 = (double)o->beta1, b2 = (double)o->beta2, t = (double)o->step;
    for (size_t i = 0; i < n; i++) {
        value[i] -= (double)o->lr * (double)o->weight_decay * value[i];
        m[i] = b1 * m[i] + (1 - b1) * g[i] * clip;
        v[i] = b2 * v[i] + (1 - b2) * g[i] * clip * g[i] * clip;
        const double mean = m[i] / (1 - pow(b1, t)), square = v[i] / (1 - pow(b2, t));
        value[i] -= (double)o->lr * mean / (sqrt(square) + (double)o->eps);
    }
}
