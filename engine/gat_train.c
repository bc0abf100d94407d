/* Graph attention in training (gat_train.h), gat.c's equations:
 *     z_i     = W x_i                                                     per head
 *     e_ij    = LeakyReLU(a_src . z_i + a_dst . z_j),  alpha_ij = dropout(softmax_j(e_ij))
 *     GAT(x)_i = sum_j alpha_ij z_j + b                                   heads side by side
 *     x      <- ELU(LayerNorm(GAT(x) + W_p x + b_p))
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/gat_train.h"

#include <stdlib.h>

/* ---- parameters ---- */
static cot_status init_layer(gat_layer_train *l, const gat_train *m, size_t i, parameters *table, const char *name,
                             cot_error *err)
{
    cot_status status;
    char part[PARAMETER_NAME_MAX];
    const size_t out = m->dim / m->heads;
    /* as torch.nn.init.xavier_uniform_ sees a matrix [heads,out] */
    const parameter_spec vectors = {
        .rank = 2, .shape = {m->heads, out}, .init = INIT_XAVIER, .fan_in = out, .fan_out = m->heads};
    const parameter_spec bias = {.rank = 1, .shape = {m->dim}, .init = INIT_ZEROS};
    snprintf(part, sizeof part, "%s.layers.%zu.W", name, i);
    COT_TRY(linear_train_init(&l->W, table, part, m->dim, m->dim, false, err));
    l->W.weight->spec.init = INIT_XAVIER;
    snprintf(part, sizeof part, "%s.layers.%zu", name, i);
    COT_TRY(parameter_named(&l->a_src, table, part, ".a_src", &vectors, err));
    COT_TRY(parameter_named(&l->a_dst, table, part, ".a_dst", &vectors, err));
    COT_TRY(parameter_named(&l->bias, table, part, ".bias", &bias, err));
    snprintf(part, sizeof part, "%s.projs.%zu", name, i);
    COT_TRY(linear_train_init(&l->proj, table, part, m->dim, m->dim, true, err));
    snprintf(part, sizeof part, "%s.norms.%zu", name, i);
    COT_TRY(norm_train_init(&l->norm, table, part, m->dim, err));
done:
    return status;
}

cot_status gat_train_init(gat_train *m, parameters *table, const char *name, size_t dim, size_t heads, size_t n_layers,
                          cot_error *err)
{
    cot_status status = COT_OK;
    if (!dim || !heads || dim % heads || !n_layers)
        return cot_fail(err, COT_E_MODEL, "%s: %zu layers, %zu heads for a width of %zu", name, n_layers, heads, dim);
    m->dim = dim;
    m->heads = heads;
    m->layer = calloc(n_layers, sizeof *m->layer);
    if (!m->layer) return cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu layers", name, n_layers);
    m->n_layers = n_layers;
    for (size_t i = 0; i < n_layers; i++) COT_TRY(init_layer(&m->layer[i], m, i, table, name, err));
done:
    return status;
}

void gat_train_fini(gat_train *m)
{
    for (size_t l = 0; m->layer && l < m->n_layers; l++) {
        linear_train_fini(&m->layer[l].W);
        linear_train_fini(&m->layer[l].proj);
    }
    free(m->layer);
}

/* ---- plan ---- */
cot_status gat_train_plan(gat_train *m, cot_arena *arena, size_t max_items, size_t nodes, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer **const own[] = {&m->side, &m->dsum, &m->dz, &m->dx[0], &m->dx[1]};
    m->nodes = nodes;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        COT_TRY(cot_arena_reserve(arena, own[i], max_items * nodes * m->dim, err));
done:
    return status;
}

cot_status gat_pass_plan(gat_pass *p, const gat_train *m, cot_arena *arena, size_t max_items, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t floats = max_items * m->nodes * m->dim, n = m->n_layers;
    p->x = calloc(n + 1, sizeof(cot_buffer *));
    p->z = calloc(n, sizeof(cot_buffer *));
    p->sum = calloc(n, sizeof(cot_buffer *));
    if (!p->x || !p->z || !p->sum) return cot_fail(err, COT_E_MEMORY, "graph attention: no memory");
    for (size_t i = 0; i <= n; i++) COT_TRY(cot_arena_reserve(arena, &p->x[i], floats, err));
    for (size_t i = 0; i < n; i++) {
        COT_TRY(cot_arena_reserve(arena, &p->z[i], floats, err));
        COT_TRY(cot_arena_reserve(arena, &p->sum[i], floats, err));
    }
done:
    return status;
}

void gat_pass_fini(gat_pass *p)
{
    free(p->x);
    free(p->z);
    free(p->sum);
}

/* ---- one layer ---- */
static cot_dropout drop_of(const gat_pass *p, size_t l)
{
    cot_dropout drop = p->drop;
    drop.layer += (uint32_t)l;
    return drop;
}

static cot_status layer_forward(gat_train *m, gat_pass *p, size_t l, cot_error *err)
{
    cot_status status;
    gat_layer_train *layer = &m->layer[l];
    const size_t rows = p->items * m->nodes;
    const cot_dropout drop = drop_of(p, l);
    COT_TRY(linear_train_forward(p->z[l], &layer->W, p->x[l], rows, err));
    COT_TRY(linear_train_forward(m->side, &layer->proj, p->x[l], rows, err));
    COT_TRY(cot_graph_attention_training_forward(p->sum[l], p->z[l], layer->a_src->value, layer->a_dst->value,
                                                 layer->bias->value, m->side, p->items, m->nodes, m->heads,
                                                 m->dim / m->heads, &drop, err));
    COT_TRY(norm_train_forward(p->x[l + 1], &layer->norm, p->sum[l], rows, COT_ACT_ELU, err));
done:
    return status;
}

/* dx is written. */
static cot_status layer_backward(cot_buffer *dx, gat_train *m, const gat_pass *p, size_t l, cot_buffer *dy,
                                 cot_error *err)
{
    cot_status status;
    const gat_layer_train *layer = &m->layer[l];
    const size_t rows = p->items * m->nodes;
    const cot_dropout drop = drop_of(p, l);
    COT_TRY(norm_train_backward(m->dsum, &layer->norm, dy, p->x[l + 1], p->sum[l], rows, COT_ACT_ELU, 1.0f, err));
    COT_TRY(cot_buffer_zero(m->dz, err));
    COT_TRY(cot_graph_attention_training_backward(m->dz, layer->a_src->grad, layer->a_dst->grad, layer->bias->grad,
                                                  m->dsum, p->z[l], layer->a_src->value, layer->a_dst->value, p->items,
                                                  m->nodes, m->heads, m->dim / m->heads, &drop, err));
    COT_TRY(cot_buffer_zero(dx, err));
    COT_TRY(linear_train_backward(dx, &layer->proj, m->dsum, p->x[l], rows, err));
    COT_TRY(linear_train_backward(dx, &layer->W, m->dz, p->x[l], rows, err));
done:
    return status;
}

/* ---- the stack ---- */
cot_status gat_train_forward(gat_train *m, gat_pass *p, size_t items, const cot_dropout *drop, cot_error *err)
{
    cot_status status = COT_OK;
    p->items = items;
    p->drop = *drop;
    for (size_t l = 0; l < m->n_layers; l++) COT_TRY(layer_forward(m, p, l, err));
done:
    return status;
}

cot_status gat_train_backward(cot_buffer **dx, gat_train *m, const gat_pass *p, cot_buffer *dy, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t l = m->n_layers; l-- > 0;) {
        *dx = dy == m->dx[0] ? m->dx[1] : m->dx[0];
        COT_TRY(layer_backward(*dx, m, p, l, dy, err));
        dy = *dx;
    }
done:
    return status;
}
