/* Everything in double over the float weights: a difference of two probabilities must not be rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/student_host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double norm_eps = 1e-5; /* as projection.c */

/* ---- load ---- */
static cot_status load_heads(student_host *m, const weight_source *source, cot_error *err)
{
    cot_status status = COT_OK;
    char name[64];
    float *w = NULL, *b = NULL;
    for (size_t s = 0, at = 0; s < m->n_steps; at += m->classes[s++]) {
        snprintf(name, sizeof name, "step_heads.%zu.weight", s);
        COT_TRY(source_floats(&w, source, name, (const size_t[]){m->classes[s], m->dim}, 2, err));
        snprintf(name, sizeof name, "step_heads.%zu.bias", s);
        COT_TRY(source_floats(&b, source, name, &m->classes[s], 1, err));
        memcpy(m->head_w + at * m->dim, w, m->classes[s] * m->dim * sizeof *w);
        memcpy(m->head_b + at, b, m->classes[s] * sizeof *b);
        free(w);
        free(b);
        w = b = NULL;
    }
done:
    free(w);
    free(b);
    return status;
}

static bool allocate(student_host *m)
{
    m->classes = calloc(m->n_steps + 1, sizeof *m->classes);
    m->head_w = calloc(m->n_logits * m->dim + 1, sizeof *m->head_w);
    m->head_b = calloc(m->n_logits + 1, sizeof *m->head_b);
    m->normal = calloc(m->dim + 1, sizeof *m->normal);
    m->feat = calloc((m->n_steps + 1) * m->dim, sizeof *m->feat);
    m->written = calloc((m->n_steps + 1) * m->dim, sizeof *m->written);
    m->logits = calloc(2 * m->n_logits + 1, sizeof *m->logits);
    m->gradient = calloc(2 * m->dim + 1, sizeof *m->gradient);
    return m->classes && m->head_w && m->head_b && m->normal && m->feat && m->written && m->logits && m->gradient;
}

cot_status student_host_init(student_host *m, const weight_source *source, const student_shape *shape, cot_error *err)
{
    cot_status status;
    *m = (student_host){.features = shape->features, .dim = shape->dim, .n_steps = shape->n_steps};
    for (size_t s = 0; s < shape->n_steps; s++) m->n_logits += shape->classes[s];
    if (!allocate(m)) return cot_fail(err, COT_E_MEMORY, "model: no memory for the student on the host");
    memcpy(m->classes, shape->classes, m->n_steps * sizeof *m->classes);
    COT_TRY(source_floats(&m->proj_w, source, "img_proj.0.weight", (const size_t[]){m->dim, m->features}, 2, err));
    COT_TRY(source_floats(&m->proj_b, source, "img_proj.0.bias", &m->dim, 1, err));
    COT_TRY(source_floats(&m->scale, source, "img_proj.1.weight", &m->dim, 1, err));
    COT_TRY(source_floats(&m->shift, source, "img_proj.1.bias", &m->dim, 1, err));
    COT_TRY(load_heads(m, source, err));
done:
    return status;
}

void student_host_fini(student_host *m)
{
    free(m->classes);
    free(m->proj_w);
    free(m->proj_b);
    free(m->scale);
    free(m->shift);
    free(m->head_w);
    free(m->head_b);
    free(m->normal);
    free(m->feat);
    free(m->written);
    free(m->logits);
    free(m->gradient);
    *m = (student_host){.features = 0};
}

/* ---- forward ---- */
/* f = ReLU(LayerNorm(W_p v + b_p)); normal keeps the normalised values */
static void project(student_host *m, const float *v)
{
    double mean = 0, square = 0;
    for (size_t d = 0; d < m->dim; d++) {
        const float *w = m->proj_w + d * m->features;
        double sum = (double)m->proj_b[d];
        for (size_t i = 0; i < m->features; i++) sum += (double)w[i] * (double)v[i];
        m->normal[d] = sum;
        mean += sum;
    }
    mean /= (double)m->dim;
    for (size_t d = 0; d < m->dim; d++) square += (m->normal[d] - mean) * (m->normal[d] - mean);
    m->deviation = sqrt(square / (double)m->dim + norm_eps);
    for (size_t d = 0; d < m->dim; d++) {
        m->normal[d] = (m->normal[d] - mean) / m->deviation;
        const double y = (double)m->scale[d] * m->normal[d] + (double)m->shift[d];
        m->feat[d] = y > 0 ? y : 0;
    }
}

/* l = W f + b of the step whose first row is `at` */
static void answer(double *logits, const student_host *m, size_t at, size_t classes, const double *feat)
{
    for (size_t k = 0; k < classes; k++) {
        const float *w = m->head_w + (at + k) * m->dim;
        double sum = (double)m->head_b[at + k];
        for (size_t d = 0; d < m->dim; d++) sum += (double)w[d] * feat[d];
        logits[k] = sum;
    }
}

/* tanh(l . W) */
static void write_back(double *written, const student_host *m, size_t at, size_t classes, const double *logits)
{
    memset(written, 0, m->dim * sizeof *written);
    for (size_t k = 0; k < classes; k++) {
        const float *w = m->head_w + (at + k) * m->dim;
        for (size_t d = 0; d < m->dim; d++) written[d] += logits[k] * (double)w[d];
    }
    for (size_t d = 0; d < m->dim; d++) written[d] = tanh(written[d]);
}

void student_host_forward(student_host *m, const float *feature)
{
    project(m, feature);
    for (size_t s = 0, at = 0; s < m->n_steps; at += m->classes[s++]) {
        const double *feat = m->feat + s * m->dim;
        double *written = m->written + s * m->dim;
        answer(m->logits + at, m, at, m->classes[s], feat);
        write_back(written, m, at, m->classes[s], m->logits + at);
        for (size_t d = 0; d < m->dim; d++) m->feat[(s + 1) * m->dim + d] = feat[d] + written[d];
    }
}

void student_host_without(student_host *m, float *logits, size_t step)
{
    double *feat = m->gradient, *written = m->gradient + m->dim, *l = m->logits + m->n_logits;
    memcpy(feat, m->feat + step * m->dim, m->dim * sizeof *feat);
    for (size_t s = 0, at = 0; s < m->n_steps; at += m->classes[s++]) {
        if (s <= step) {
            for (size_t k = 0; k < m->classes[s]; k++) logits[at + k] = (float)m->logits[at + k];
            continue;
        }
        answer(l, m, at, m->classes[s], feat);
        for (size_t k = 0; k < m->classes[s]; k++) logits[at + k] = (float)l[k];
        write_back(written, m, at, m->classes[s], l);
        for (size_t d = 0; d < m->dim; d++) feat[d] += written[d];
    }
}

/* ---- backward ---- */
/* Through f + tanh((W f + b) . W), read upwards: g stands for df and becomes the one before. */
static void write_back_backward(double *g, double *inner, const student_host *m, size_t at, size_t classes,
                                const double *written)
{
    for (size_t d = 0; d < m->dim; d++) inner[d] = g[d] * (1 - written[d] * written[d]);
    for (size_t k = 0; k < classes; k++) {
        const float *w = m->head_w + (at + k) * m->dim;
        double dlogit = 0;
        for (size_t d = 0; d < m->dim; d++) dlogit += (double)w[d] * inner[d];
        for (size_t d = 0; d < m->dim; d++) g[d] += dlogit * (double)w[d];
    }
}

/* Through ReLU, norm and linear layer of the projection. */
static void project_backward(float *dv, double *g, const student_host *m)
{
    double mean = 0, slope = 0;
    for (size_t d = 0; d < m->dim; d++) {
        g[d] = m->feat[d] > 0 ? g[d] * (double)m->scale[d] : 0;
        mean += g[d];
        slope += g[d] * m->normal[d];
    }
    mean /= (double)m->dim;
    slope /= (double)m->dim;
    for (size_t d = 0; d < m->dim; d++) g[d] = (g[d] - mean - m->normal[d] * slope) / m->deviation;
    for (size_t i = 0; i < m->features; i++) dv[i] = 0;
    for (size_t d = 0; d < m->dim; d++)
        for (size_t i = 0; i < m->features; i++) dv[i] += (float)g[d] * m->proj_w[d * m->features + i];
}

void student_host_gradient(student_host *m, float *dfeature, size_t step, size_t option)
{
    double *g = m->gradient, *inner = m->gradient + m->dim;
    size_t at = 0;
    for (size_t s = 0; s < step; s++) at += m->classes[s];
    for (size_t d = 0; d < m->dim; d++) g[d] = (double)m->head_w[(at + option) * m->dim + d];
    for (size_t s = step; s-- > 0;) {
        at -= m->classes[s];
        write_back_backward(g, inner, m, at, m->classes[s], m->written + s * m->dim);
    }
    project_backward(dfeature, g, m);
}
