/* The student in training (student_train.h): student.c's equations, each with its gradient beneath.
 *     h      = ReLU(LayerNorm(W_p v + b_p)),  f = dropout(h)
 *     l_s    = W_s f + b_s,  f <- f + tanh(l_s . W_s)
 * W_s is used both ways, so its gradient comes from both.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/student_train.h"

#include <stdlib.h>
#include <string.h>

/* ---- parameters ---- */
static cot_status allocate_steps(student_train *m, const student_shape *shape, cot_error *err)
{
    const size_t n = shape->n_steps + 1;
    m->features = shape->features;
    m->dim = shape->dim;
    m->n_steps = shape->n_steps;
    m->classes = calloc(n, sizeof *m->classes);
    m->head = calloc(n, sizeof *m->head);
    m->feat = calloc(n, sizeof *m->feat);
    m->said = calloc(n, sizeof *m->said);
    m->logits = calloc(n, sizeof *m->logits);
    m->dlogits = calloc(n, sizeof *m->dlogits);
    if (!m->classes || !m->head || !m->feat || !m->said || !m->logits || !m->dlogits)
        return cot_fail(err, COT_E_MEMORY, "student: no memory for %zu steps", m->n_steps);
    memcpy(m->classes, shape->classes, m->n_steps * sizeof *m->classes);
    return COT_OK;
}

cot_status student_train_init(student_train *m, parameters *table, const char *under, const student_shape *shape,
                              cot_error *err)
{
    cot_status status;
    char name[PARAMETER_NAME_MAX];
    COT_TRY(allocate_steps(m, shape, err));
    snprintf(name, sizeof name, "%simg_proj", under);
    COT_TRY(projection_train_init(&m->img_proj, table, name, 0, m->dim, m->features, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        snprintf(name, sizeof name, "%sstep_heads.%zu", under, s);
        COT_TRY(linear_train_init(&m->head[s], table, name, m->classes[s], m->dim, true, err));
    }
done:
    return status;
}

void student_train_fini(student_train *m)
{
    projection_train_fini(&m->img_proj);
    for (size_t s = 0; m->head && s < m->n_steps; s++) linear_train_fini(&m->head[s]);
    free(m->classes);
    free(m->head);
    free(m->feat);
    free(m->said);
    free(m->logits);
    free(m->dlogits);
}

void student_train_idle(student_train *m, size_t from)
{
    if (from == 0) projection_train_idle(&m->img_proj, true);
    for (size_t s = from; s < m->n_steps; s++) m->head[s].weight->idle = m->head[s].bias->idle = true;
}

/* ---- plan ---- */
cot_status student_train_plan(student_train *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    const size_t n = m->dim * max_batch;
    cot_buffer **vectors[] = {&m->linear, &m->projected, &m->dprojected, &m->dlinear, &m->dfeat, &m->dsaid};
    m->max_batch = max_batch;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) COT_TRY(cot_arena_reserve(arena, vectors[i], n, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(cot_arena_reserve(arena, &m->feat[s], n, err));
        COT_TRY(cot_arena_reserve(arena, &m->said[s], n, err));
        COT_TRY(cot_arena_reserve(arena, &m->logits[s], m->classes[s] * max_batch, err));
        COT_TRY(cot_arena_reserve(arena, &m->dlogits[s], m->classes[s] * max_batch, err));
    }
done:
    return status;
}

/* ---- h, f ---- */
static cot_status feature_forward(student_train *m, const cot_buffer *feature, size_t n, const cot_dropout *drop,
                                  cot_error *err)
{
    cot_status status;
    const cot_dropout none = {0, 0, 0, 0.0f};
    m->drop = *drop;
    COT_TRY(projection_train_forward(m->projected, m->linear, &m->img_proj, feature, n, &none, err));
    COT_TRY(cot_dropout_forward(m->feat[0], m->projected, n * m->dim, drop, err));
done:
    return status;
}

static cot_status feature_backward(cot_buffer *dfeature, student_train *m, const cot_buffer *feature, size_t n,
                                   cot_error *err)
{
    cot_status status;
    COT_TRY(cot_dropout_backward(m->dprojected, m->dfeat, n * m->dim, &m->drop, err));
    COT_TRY(projection_train_backward(dfeature, m->dlinear, &m->img_proj, m->dprojected, m->projected, m->linear,
                                      feature, n, 0.0f, err));
    COT_TRY(cot_buffer_zero(m->dprojected, err));
done:
    return status;
}

/* ---- l_s = W_s f + b_s ---- */
static cot_status head_forward(student_train *m, size_t s, size_t n, cot_error *err)
{
    return linear_train_forward(m->logits[s], &m->head[s], m->feat[s], n, err);
}

static cot_status head_backward(student_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    COT_TRY(linear_train_backward(m->dfeat, &m->head[s], m->dlogits[s], m->feat[s], n, err));
    COT_TRY(cot_buffer_zero(m->dlogits[s], err));
done:
    return status;
}

/* ---- f <- f + tanh(l_s . W_s) ---- */
static cot_status write_forward(student_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    const cot_buffer *W = m->head[s].weight->value;
    COT_TRY(cot_matmul(m->said[s], m->logits[s], false, W, false, n, m->dim, m->classes[s], false, err));
    COT_TRY(cot_add_tanh_forward(m->feat[s + 1], m->feat[s], m->said[s], n * m->dim, err));
done:
    return status;
}

/* dfeat stays the gradient of f, before as after. */
static cot_status write_backward(student_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    const parameter *W = m->head[s].weight;
    const size_t c = m->classes[s];
    COT_TRY(cot_buffer_zero(m->dsaid, err));
    COT_TRY(cot_add_tanh_backward(NULL, m->dsaid, m->dfeat, m->said[s], n * m->dim, err));
    COT_TRY(cot_matmul(m->dlogits[s], m->dsaid, false, W->value, true, n, c, m->dim, true, err));
    if (W->grad) COT_TRY(cot_matmul(W->grad, m->logits[s], true, m->dsaid, false, c, m->dim, n, true, err));
done:
    return status;
}

/* ---- the chain ---- */
cot_status student_train_forward(student_train *m, const cot_buffer *feature, size_t n, const cot_dropout *drop,
                                 cot_error *err)
{
    cot_status status;
    if (!n || n > m->max_batch)
        return cot_fail(err, COT_E_BUG, "student: %zu images, planned for 1 to %zu", n, m->max_batch);
    COT_TRY(feature_forward(m, feature, n, drop, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(head_forward(m, s, n, err));
        if (s + 1 < m->n_steps) COT_TRY(write_forward(m, s, n, err)); /* nothing reads the feature behind the last */
    }
done:
    return status;
}

cot_status student_train_backward(cot_buffer *dfeature, student_train *m, const cot_buffer *feature, size_t n,
                                  cot_error *err)
{
    cot_status status;
    COT_TRY(cot_buffer_zero(m->dfeat, err));
    for (size_t s = m->n_steps; s-- > 0;) {
        if (s + 1 < m->n_steps) COT_TRY(write_backward(m, s, n, err));
        COT_TRY(head_backward(m, s, n, err));
    }
    COT_TRY(feature_backward(dfeature, m, feature, n, err));
done:
    return status;
}
