/* The teacher in training (teacher_train.h): teacher.c's equations, each with its gradient beneath.
 *     N     = (t_1 … t_S, m)                          prompts of the steps and the memory as nodes
 *     N    <- GAT(N)                                  eqs. 9-11; h_s, m: rows of N
 *     c_s   = D(ReLU(LayerNorm(W_f (h_s | m) + b_f))) the step's context; D: dropout
 *     v_s   = D(ReLU(LayerNorm(W_v v + b_v)))         the step's view of the image feature v
 *     l_s   = W_s F_s(v_s | c_s) + b_s                the step's answer
 *     m    <- GRU(W_m (softmax(l_s) . W_s) + b_m, m)  the answer becomes part of the memory
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher_train.h"

static const float drop_projection = 0.3f, drop_context = 0.2f, drop_alpha = 0.1f;

/* ---- dropout ---- */
/* Places that draw, of each step; alpha's layers have numbers of their own behind all steps. */
typedef enum draw_place { DRAW_CONTEXT, DRAW_IMAGE, DRAW_HIDDEN, DRAW_FUSED, DRAW_PLACES } draw_place;

static cot_dropout draw(const teacher_train *m, size_t s, draw_place place, float p)
{
    cot_dropout drop = m->drop;
    drop.layer += (uint32_t)(s * DRAW_PLACES + (size_t)place);
    drop.p = m->drop.p > 0.0f ? p : 0.0f;
    return drop;
}

static cot_dropout draw_alpha(const teacher_train *m, size_t s)
{
    cot_dropout drop = m->drop;
    drop.layer += (uint32_t)(m->n_steps * DRAW_PLACES + s * m->memory_gat.n_layers);
    drop.p = m->drop.p > 0.0f ? drop_alpha : 0.0f;
    return drop;
}

static float rate(const teacher_train *m, float p)
{
    return m->drop.p > 0.0f ? p : 0.0f;
}

/* ---- N <- GAT(N) ---- */
/* The first pass has prompts and memory_init alone: without dropout one item serves all. */
static cot_status nodes_forward(teacher_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const size_t floats = m->nodes * m->dim, last = m->nodes - 1;
    const cot_dropout drop = draw_alpha(m, s);
    const bool shared = s == 0 && drop.p == 0.0f;
    if (s == 0) {
        COT_TRY(cot_copy(m->start, last * m->dim, m->memory_init->value, 0, m->dim, err));
        COT_TRY(cot_repeat(t->pass.x[0], m->start, shared ? 1 : n, floats, err));
    } else {
        COT_TRY(cot_copy(t->pass.x[0], 0, m->step[s - 1].nodes, 0, n * floats, err));
        COT_TRY(cot_row_write(t->pass.x[0], m->step[s - 1].next, n, m->nodes, last, m->dim, err));
    }
    COT_TRY(gat_train_forward(&m->memory_gat, &t->pass, shared ? 1 : n, &drop, err));
    cot_buffer *result = t->pass.x[m->memory_gat.n_layers];
    if (s == 0)
        COT_TRY(shared ? cot_repeat(t->nodes, result, n, floats, err)
                       : cot_copy(t->nodes, 0, result, 0, n * floats, err));
done:
    return status;
}

/* dnodes: of step s's nodes, overwritten. Behind it dnext is the gradient of the memory that step s-1 wrote, and *dbefore
 * that of step s-1's nodes. */
static cot_status nodes_backward(cot_buffer **dbefore, teacher_train *m, size_t s, cot_buffer *dnodes, size_t n,
                                 cot_error *err)
{
    cot_status status;
    const step_train *t = &m->step[s];
    const size_t floats = m->nodes * m->dim, last = m->nodes - 1, items = t->pass.items;
    if (items < n) { /* shared */
        COT_TRY(cot_buffer_zero(m->dfirst, err));
        COT_TRY(cot_repeat_backward(m->dfirst, dnodes, n, floats, err));
        dnodes = m->dfirst;
    }
    COT_TRY(gat_train_backward(dbefore, &m->memory_gat, &t->pass, dnodes, err));
    COT_TRY(cot_buffer_zero(m->dnext, err));
    COT_TRY(cot_row_write_backward(*dbefore, m->dnext, items, m->nodes, last, m->dim, err));
    if (s == 0 && m->memory_init->grad)
        COT_TRY(cot_repeat_backward(m->memory_init->grad, m->dnext, items, m->dim, err));
done:
    return status;
}

/* ---- c_s ---- */
static cot_status context_forward(teacher_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const cot_dropout drop = draw(m, s, DRAW_CONTEXT, drop_context);
    COT_TRY(cot_row_forward(m->drow, t->nodes, n, m->nodes, s, m->dim, err));
    COT_TRY(cot_row_forward(t->memory, t->nodes, n, m->nodes, m->nodes - 1, m->dim, err));
    COT_TRY(cot_concat_forward(t->pair, m->drow, m->dim, t->memory, m->dim, n, err));
    COT_TRY(projection_train_forward(t->context, t->context_linear, &m->fusion_proj, t->pair, n, &drop, err));
done:
    return status;
}

/* From dcontext; dnodes gets h_s and m's part; dmemory has the GRU's part of m already. */
static cot_status context_backward(cot_buffer *dnodes, teacher_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    const step_train *t = &m->step[s];
    COT_TRY(cot_buffer_zero(m->dpair, err));
    COT_TRY(projection_train_backward(m->dpair, m->dlinear, &m->fusion_proj, m->dcontext, t->context, t->context_linear,
                                      t->pair, n, rate(m, drop_context), err));
    COT_TRY(cot_buffer_zero(m->drow, err));
    COT_TRY(cot_concat_backward(m->drow, m->dim, m->dmemory, m->dim, m->dpair, n, err));
    COT_TRY(cot_row_backward(dnodes, m->drow, n, m->nodes, s, m->dim, err));
    COT_TRY(cot_row_backward(dnodes, m->dmemory, n, m->nodes, m->nodes - 1, m->dim, err));
done:
    return status;
}

/* ---- v_s, l_s ---- */
static cot_status answer_forward(teacher_train *m, size_t s, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const cot_dropout image = draw(m, s, DRAW_IMAGE, drop_projection);
    const cot_dropout hidden = draw(m, s, DRAW_HIDDEN, drop_projection);
    const cot_dropout fused = draw(m, s, DRAW_FUSED, drop_projection);
    COT_TRY(projection_train_forward(t->image, t->image_linear, &t->img_proj, feature, n, &image, err));
    COT_TRY(cot_concat_forward(t->heard, t->image, m->dim, t->context, m->dim, n, err));
    COT_TRY(projection_train_forward(t->hidden, t->hidden_linear, &t->fusion_head[0], t->heard, n, &hidden, err));
    COT_TRY(projection_train_forward(t->fused, t->fused_linear, &t->fusion_head[1], t->hidden, n, &fused, err));
    COT_TRY(linear_train_forward(t->logits, &t->classifier, t->fused, n, err));
done:
    return status;
}

/* From dlogits to dcontext. */
static cot_status answer_backward(teacher_train *m, size_t s, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    const step_train *t = &m->step[s];
    const float p = rate(m, drop_projection);
    cot_buffer *const fresh[] = {m->dfused, m->dhidden, m->dheard, m->dimage, m->dcontext};
    for (size_t i = 0; i < sizeof fresh / sizeof *fresh; i++) COT_TRY(cot_buffer_zero(fresh[i], err));
    COT_TRY(linear_train_backward(m->dfused, &t->classifier, t->dlogits, t->fused, n, err));
    COT_TRY(projection_train_backward(m->dhidden, m->dlinear, &t->fusion_head[1], m->dfused, t->fused, t->fused_linear,
                                      t->hidden, n, p, err));
    COT_TRY(projection_train_backward(m->dheard, m->dlinear, &t->fusion_head[0], m->dhidden, t->hidden,
                                      t->hidden_linear, t->heard, n, p, err));
    COT_TRY(cot_concat_backward(m->dimage, m->dim, m->dcontext, m->dim, m->dheard, n, err));
    COT_TRY(projection_train_backward(NULL, m->dlinear, &t->img_proj, m->dimage, t->image, t->image_linear, feature, n,
                                      p, err));
    COT_TRY(cot_buffer_zero(t->dlogits, err));
done:
    return status;
}

cot_status teacher_train_image(cot_buffer *y, teacher_train *m, size_t s, size_t n, const cot_dropout *drop,
                               cot_error *err)
{
    cot_status status;
    const step_train *t = &m->step[s];
    COT_TRY(norm_train_forward(y, &t->img_proj.norm, t->image_linear, n, COT_ACT_RELU, err));
    if (drop && drop->p > 0.0f) {
        const cot_dropout own = {drop->seed, drop->step, drop->layer + (uint32_t)s, drop_projection};
        COT_TRY(cot_dropout_forward(y, y, n * m->dim, &own, err));
    }
done:
    return status;
}

/* ---- m <- GRU(W_m (softmax(l_s) . W_s) + b_m, m) ---- */
static cot_status write_forward(teacher_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const cot_buffer *W = t->classifier.weight->value;
    COT_TRY(cot_softmax_forward(t->p, t->logits, n, t->classes, err));
    COT_TRY(cot_matmul(t->said, t->p, false, W, false, n, m->dim, t->classes, false, err));
    COT_TRY(linear_train_forward(t->written, &m->pred2mem, t->said, n, err));
    COT_TRY(linear_train_forward(t->gi, &m->ih, t->written, n, err));
    COT_TRY(linear_train_forward(t->gh, &m->hh, t->memory, n, err));
    COT_TRY(cot_gru_forward(t->next, t->gi, t->gh, t->memory, n, m->dim, err));
done:
    return status;
}

/* From dnext to dlogits (added) and dmemory (written). */
static cot_status write_backward(teacher_train *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const parameter *W = t->classifier.weight;
    cot_buffer *const fresh[] = {m->dgi, m->dgh, m->dmemory, m->dwritten, m->dsaid, m->dp};
    for (size_t i = 0; i < sizeof fresh / sizeof *fresh; i++) COT_TRY(cot_buffer_zero(fresh[i], err));
    COT_TRY(cot_gru_backward(m->dgi, m->dgh, m->dmemory, m->dnext, t->gi, t->gh, t->memory, n, m->dim, err));
    COT_TRY(linear_train_backward(m->dmemory, &m->hh, m->dgh, t->memory, n, err));
    COT_TRY(linear_train_backward(m->dwritten, &m->ih, m->dgi, t->written, n, err));
    COT_TRY(linear_train_backward(m->dsaid, &m->pred2mem, m->dwritten, t->said, n, err));
    COT_TRY(cot_matmul(m->dp, m->dsaid, false, W->value, true, n, t->classes, m->dim, true, err));
    if (W->grad) COT_TRY(cot_matmul(W->grad, t->p, true, m->dsaid, false, t->classes, m->dim, n, true, err));
    COT_TRY(cot_softmax_backward(t->dlogits, m->dp, t->p, n, t->classes, err));
done:
    return status;
}

/* ---- the chain ---- */
cot_status teacher_train_forward(teacher_train *m, const cot_buffer *feature, size_t n, const cot_dropout *drop,
                                 cot_error *err)
{
    cot_status status = COT_OK;
    if (!n || n > m->max_batch)
        return cot_fail(err, COT_E_BUG, "teacher: %zu images, planned for 1 to %zu", n, m->max_batch);
    m->drop = *drop;
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(nodes_forward(m, s, n, err));
        COT_TRY(context_forward(m, s, n, err));
        COT_TRY(answer_forward(m, s, feature, n, err));
        if (s + 1 < m->n_steps) COT_TRY(write_forward(m, s, n, err)); /* nothing hears the memory behind the last */
    }
done:
    return status;
}

cot_status teacher_train_backward(teacher_train *m, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    cot_buffer *dnodes = m->dnodes; /* of step s's nodes */
    COT_TRY(cot_buffer_zero(dnodes, err));
    COT_TRY(cot_buffer_zero(m->dmemory, err));
    for (size_t s = m->n_steps; s-- > 0;) {
        if (s + 1 < m->n_steps) COT_TRY(write_backward(m, s, n, err));
        COT_TRY(answer_backward(m, s, feature, n, err));
        COT_TRY(context_backward(dnodes, m, s, n, err));
        COT_TRY(nodes_backward(&dnodes, m, s, dnodes, n, err));
    }
done:
    return status;
}
