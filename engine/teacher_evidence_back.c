/* From each step's chosen logit back to the feature, all questions side by side (teacher_evidence.h). Rows are blocks of the
 * chunk's images; block b is that of the b-th step from behind. Each layer's backward stands for its forward in teacher.c and
 * gat.c; of no parameter is a gradient wanted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher_evidence.h"
#include "opencl/learning.h"

#include <string.h>

typedef struct way { /* back, as far as it has come */
    teacher_evidence *e;
    size_t n, blocks; /* images; questions that have joined */
    size_t nodes;     /* which of grads.nodes is the gradient of the nodes */
} way;

static cot_status spread(cot_buffer *to, const cot_buffer *trace, const way *w, size_t width, cot_error *err)
{
    return cot_repeat(to, trace, w->blocks, w->n * width, err);
}

/* ---- layers ---- */
/* dx, written, of y = act(norm(x)); dy is overwritten; x and y as spread. `items` of `rows` times the norm's width */
static cot_status norm_back(cot_buffer *dx, const norm_layer *norm, cot_buffer *dy, const cot_buffer *y,
                            cot_buffer *spread_x, const cot_buffer *x, const way *w, size_t rows, cot_activation act,
                            cot_error *err)
{
    cot_status status;
    const size_t all = w->blocks * w->n * rows;
    COT_TRY(spread(spread_x, y, w, rows * norm->width, err));
    COT_TRY(cot_activation_backward_from(dy, dy, spread_x, all * norm->width, act, 1.0f, err));
    COT_TRY(spread(spread_x, x, w, rows * norm->width, err));
    COT_TRY(cot_buffer_zero(dx, err));
    COT_TRY(cot_layer_norm_backward(dx, NULL, NULL, dy, spread_x, norm->scale, all, norm->width, norm->eps, err));
done:
    return status;
}

/* dx of y = ReLU(norm(linear)), linear = W x + b; written, or added with `add`. dy is overwritten. */
static cot_status projection_back(cot_buffer *dx, const projection *p, const cot_weights *back, cot_buffer *dy,
                                  const cot_buffer *y, const cot_buffer *linear, const way *w, bool add, cot_error *err)
{
    cot_status status;
    teacher_grads *g = &w->e->grads;
    COT_TRY(norm_back(g->linear, &p->norm, dy, y, g->spread_x, linear, w, 1, COT_ACT_RELU, err));
    COT_TRY(cot_linear_forward(dx, g->linear, back, w->blocks * w->n, add ? dx : NULL, COT_ACT_NONE, err));
done:
    return status;
}

/* ---- m <- GRU(W_m (softmax(l_s) . W_s) + b_m, m) ---- */
/* From next, the gradient of the memory that step s wrote, to logits and memory, both written. */
static cot_status write_back(way *w, size_t s, cot_error *err)
{
    cot_status status;
    const teacher *m = w->e->model;
    const teacher_trace *t = &w->e->trace[s];
    teacher_grads *g = &w->e->grads;
    const size_t rows = w->blocks * w->n, classes = m->step[s].classes;
    cot_buffer *const fresh[] = {g->memory, g->logits, g->gi, g->gh};
    for (size_t i = 0; i < sizeof fresh / sizeof *fresh; i++) COT_TRY(cot_buffer_zero(fresh[i], err));
    if (!w->blocks || w->e->rows.forgets) goto done; /* nothing was written */
    COT_TRY(spread(g->spread_gi, t->gi, w, 3 * m->dim, err));
    COT_TRY(spread(g->spread_gh, t->gh, w, 3 * m->dim, err));
    COT_TRY(spread(g->spread_x, t->memory, w, m->dim, err));
    COT_TRY(
        cot_gru_backward(g->gi, g->gh, g->memory, g->next, g->spread_gi, g->spread_gh, g->spread_x, rows, m->dim, err));
    COT_TRY(cot_linear_forward(g->memory, g->gh, w->e->back.hh, rows, g->memory, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(g->p, g->gi, m->step[s].gates_back, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(spread(g->spread_p, t->p, w, classes, err));
    COT_TRY(cot_softmax_backward(g->logits, g->p, g->spread_p, rows, classes, err));
done:
    return status;
}

/* The question of step s: 1 for each image's chosen logit. */
static cot_status join(way *w, size_t s, const size_t *answers, cot_error *err)
{
    const size_t classes = w->e->classes[s];
    float *ones = w->e->host;
    memset(ones, 0, w->n * classes * sizeof *ones);
    for (size_t i = 0; i < w->n; i++) ones[i * classes + answers[s * w->n + i]] = 1;
    return cot_buffer_write(w->e->grads.logits, w->blocks++ * w->n * classes, ones, w->n * classes, err);
}

/* ---- v_s, l_s ---- */
/* From logits to context, written, and feature, added. */
static cot_status answer_back(way *w, size_t s, cot_error *err)
{
    cot_status status;
    const teacher *m = w->e->model;
    const step_model *step = &m->step[s];
    const teacher_trace *t = &w->e->trace[s];
    const teacher_back *back = &w->e->back;
    teacher_grads *g = &w->e->grads;
    const size_t rows = w->blocks * w->n;
    COT_TRY(cot_linear_forward(g->fused, g->logits, step->write, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(projection_back(g->hidden, &step->fusion_head[1], back->head[1][s], g->fused, t->fused, t->fused_linear, w,
                            false, err));
    COT_TRY(projection_back(g->pair, &step->fusion_head[0], back->head[0][s], g->hidden, t->hidden, t->hidden_linear, w,
                            false, err));
    COT_TRY(cot_buffer_zero(g->image, err));
    COT_TRY(cot_buffer_zero(g->context, err));
    COT_TRY(cot_concat_backward(g->image, m->dim, g->context, m->dim, g->pair, rows, err));
    COT_TRY(projection_back(g->feature, &step->img_proj, back->image[s], g->image, t->image, t->image_linear, w, true,
                            err));
done:
    return status;
}

/* ---- c_s ---- */
/* From context and memory to the nodes, added. */
static cot_status context_back(way *w, size_t s, cot_error *err)
{
    cot_status status;
    const teacher *m = w->e->model;
    const teacher_trace *t = &w->e->trace[s];
    teacher_grads *g = &w->e->grads;
    cot_buffer *nodes = g->nodes[w->nodes];
    const size_t rows = w->blocks * w->n;
    COT_TRY(projection_back(g->pair, &m->fusion_proj, w->e->back.fusion_proj, g->context, t->context, t->context_linear,
                            w, false, err));
    COT_TRY(cot_buffer_zero(g->row, err));
    COT_TRY(cot_concat_backward(g->row, m->dim, g->memory, m->dim, g->pair, rows, err));
    COT_TRY(cot_row_backward(nodes, g->row, rows, m->nodes, s, m->dim, err));
    COT_TRY(cot_row_backward(nodes, g->memory, rows, m->nodes, m->nodes - 1, m->dim, err));
done:
    return status;
}

/* ---- N <- GAT(N) ---- */
static cot_status layer_back(way *w, size_t s, size_t l, cot_error *err)
{
    cot_status status;
    const teacher *m = w->e->model;
    const gat_layer *layer = &m->memory_gat.layer[l];
    const teacher_trace *t = &w->e->trace[s];
    const teacher_back *back = &w->e->back;
    teacher_grads *g = &w->e->grads;
    cot_buffer *dy = g->nodes[w->nodes], *dx = g->nodes[1 - w->nodes];
    const size_t items = w->blocks * w->n, rows = items * m->nodes;
    COT_TRY(norm_back(g->sum, &layer->norm, dy, t->out[l], g->spread, t->sum[l], w, m->nodes, COT_ACT_ELU, err));
    COT_TRY(spread(g->spread, t->z[l], w, m->nodes * m->dim, err));
    COT_TRY(cot_buffer_zero(g->z, err));
    COT_TRY(cot_graph_attention_backward(g->z, NULL, NULL, NULL, g->sum, g->spread, layer->a_src, layer->a_dst, items,
                                         m->nodes, m->memory_gat.heads, m->dim / m->memory_gat.heads, err));
    COT_TRY(cot_linear_forward(dx, g->sum, back->proj[l], rows, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(dx, g->z, back->W[l], rows, dx, COT_ACT_NONE, err));
    w->nodes = 1 - w->nodes;
done:
    return status;
}

/* Behind it next is the gradient of the memory that step s - 1 wrote, and nodes that of step s - 1's nodes. */
static cot_status graph_back(way *w, size_t s, cot_error *err)
{
    cot_status status = COT_OK;
    const teacher *m = w->e->model;
    teacher_grads *g = &w->e->grads;
    for (size_t l = m->memory_gat.n_layers; l-- > 0;) COT_TRY(layer_back(w, s, l, err));
    COT_TRY(cot_buffer_zero(g->next, err));
    COT_TRY(cot_row_write_backward(g->nodes[w->nodes], g->next, w->blocks * w->n, m->nodes, m->nodes - 1, m->dim, err));
done:
    return status;
}

/* ---- the chain ---- */
static cot_status give(float *gradients, const way *w, cot_error *err)
{
    cot_status status;
    teacher_evidence *e = w->e;
    const size_t features = e->model->image_dim, steps = e->model->n_steps;
    COT_TRY(cot_buffer_read(e->grads.feature, 0, e->host, w->blocks * w->n * features, err));
    for (size_t s = e->last + 1, b = 0; s-- > 0;) {
        if (!e->available[s]) continue;
        for (size_t i = 0; i < w->n; i++)
            memcpy(gradients + (i * steps + s) * features, e->host + (b * w->n + i) * features,
                   features * sizeof *gradients);
        b++;
    }
done:
    return status;
}

/* A block that joins finds zeros: each buffer's rows are only written by the blocks before it. */
cot_status teacher_evidence_back(teacher_evidence *e, float *gradients, const size_t *answers, size_t n, cot_error *err)
{
    cot_status status;
    way w = {e, n, 0, 0};
    cot_buffer *const fresh[] = {e->grads.nodes[0], e->grads.nodes[1], e->grads.feature};
    for (size_t i = 0; i < sizeof fresh / sizeof *fresh; i++) COT_TRY(cot_buffer_zero(fresh[i], err));
    for (size_t s = e->last + 1; s-- > 0;) {
        COT_TRY(write_back(&w, s, err));
        if (e->available[s]) COT_TRY(join(&w, s, answers, err));
        COT_TRY(answer_back(&w, s, err));
        if (!s) break; /* the first context depends on no image */
        COT_TRY(context_back(&w, s, err));
        COT_TRY(graph_back(&w, s, err));
    }
    COT_TRY(give(gradients, &w, err));
done:
    return status;
}
