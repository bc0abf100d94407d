/* Graph attention over the complete graph of step nodes and memory (gat.h), eqs. 9-11:
 *     z_i     = W x_i                                                     per head
 *     e_ij    = LeakyReLU(a_src . z_i + a_dst . z_j),  alpha_ij = softmax_j(e_ij)
 *     GAT(x)_i = sum_j alpha_ij z_j + b                                   heads side by side
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/gat.h"

#include <stdlib.h>

static const float norm_eps = 1e-5f; /* torch.nn.LayerNorm's default */

/* ---- load ---- */
/* [heads,out] as the flat vector that the kernel reads. */
static cot_status load_heads(cot_buffer **out, cot_device *device, const weight_source *source, const char *name,
                             size_t heads, size_t each, cot_error *err)
{
    cot_status status;
    float *v = NULL;
    COT_TRY(source_floats(&v, source, name, (const size_t[]){heads, each}, 2, err));
    COT_TRY(cot_buffer_create(out, device, heads * each, err));
    COT_TRY(cot_buffer_write(*out, 0, v, heads * each, err));
done:
    free(v);
    return status;
}

static cot_status load_layer(gat_layer *l, const gat_stack *m, size_t i, cot_device *device,
                             const weight_source *source, const char *name, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    snprintf(part, sizeof part, "%s.layers.%zu.W", name, i);
    COT_TRY(source_linear(&l->W, device, source, part, m->dim, m->dim, false, err));
    snprintf(part, sizeof part, "%s.layers.%zu.a_src", name, i);
    COT_TRY(load_heads(&l->a_src, device, source, part, m->heads, m->dim / m->heads, err));
    snprintf(part, sizeof part, "%s.layers.%zu.a_dst", name, i);
    COT_TRY(load_heads(&l->a_dst, device, source, part, m->heads, m->dim / m->heads, err));
    snprintf(part, sizeof part, "%s.layers.%zu.bias", name, i);
    COT_TRY(source_vector(&l->bias, device, source, part, m->dim, err));
    snprintf(part, sizeof part, "%s.projs.%zu", name, i);
    COT_TRY(source_linear(&l->proj, device, source, part, m->dim, m->dim, true, err));
    snprintf(part, sizeof part, "%s.norms.%zu", name, i);
    COT_TRY(norm_init(&l->norm, device, source, part, m->dim, norm_eps, err));
done:
    return status;
}

cot_status gat_init(gat_stack *m, cot_device *device, const weight_source *source, const char *name, size_t dim,
                    size_t heads, size_t n_layers, cot_error *err)
{
    cot_status status = COT_OK;
    if (!dim || !heads || dim % heads)
        return cot_fail(err, COT_E_MODEL, "%s: %s: %zu heads do not divide a width of %zu", source->where, name, heads,
                        dim);
    m->dim = dim;
    m->heads = heads;
    m->layer = calloc(n_layers + 1, sizeof *m->layer);
    if (!m->layer) return cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu layers", source->where, n_layers);
    m->n_layers = n_layers;
    for (size_t i = 0; i < n_layers; i++) COT_TRY(load_layer(&m->layer[i], m, i, device, source, name, err));
done:
    return status;
}

void gat_fini(gat_stack *m)
{
    for (size_t i = 0; m->layer && i < m->n_layers; i++) {
        gat_layer *l = &m->layer[i];
        cot_weights_destroy(l->W);
        cot_weights_destroy(l->proj);
        cot_buffer_destroy(l->a_src);
        cot_buffer_destroy(l->a_dst);
        cot_buffer_destroy(l->bias);
        norm_fini(&l->norm);
    }
    free(m->layer);
    m->layer = NULL;
}

/* ---- plan ---- */
cot_status gat_plan(gat_stack *m, cot_arena *arena, size_t max_items, size_t nodes, cot_error *err)
{
    cot_status status;
    const size_t floats = max_items * nodes * m->dim;
    m->nodes = nodes;
    COT_TRY(cot_arena_reserve(arena, &m->acts.z, floats, err));
    COT_TRY(cot_arena_reserve(arena, &m->acts.side, floats, err));
    COT_TRY(cot_arena_reserve(arena, &m->acts.sum, floats, err));
done:
    return status;
}

/* ---- forward ---- */
cot_status gat_layer_forward(cot_buffer *y, gat_stack *m, size_t layer, const cot_buffer *x, size_t items,
                             cot_error *err)
{
    cot_status status;
    const gat_layer *l = &m->layer[layer];
    gat_acts *a = &m->acts;
    const size_t rows = items * m->nodes;
    COT_TRY(cot_linear_forward(a->z, x, l->W, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(a->side, x, l->proj, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_graph_attention_forward(a->sum, a->z, l->a_src, l->a_dst, l->bias, a->side, items, m->nodes, m->heads,
                                        m->dim / m->heads, err));
    COT_TRY(norm_forward(y, &l->norm, a->sum, rows, COT_ACT_ELU, err));
done:
    return status;
}

cot_status gat_forward(cot_buffer *y, gat_stack *m, const cot_buffer *x, size_t items, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < m->n_layers; i++) COT_TRY(gat_layer_forward(y, m, i, i ? y : x, items, err));
done:
    return status;
}
