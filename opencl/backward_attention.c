/* Gradients of attention over tokens and of graph attention; probabilities are computed again. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/learning_device.h"

#include <math.h>

/* Floats of q and kv that the shape reaches. */
static cot_status shape_check(const cot_attention_shape *s, size_t *n_y, size_t *n_q, size_t *n_kv, cot_error *err)
{
    cot_status status = COT_OK;
    if (!s->heads || !s->width || s->width % s->heads || !s->tokens || !s->queries || s->q_at > s->q_stride ||
        s->width > s->q_stride - s->q_at || s->k_at > s->kv_stride || s->width > s->kv_stride - s->k_at ||
        s->v_at > s->kv_stride || s->width > s->kv_stride - s->v_at)
        return cot_fail(err, COT_E_BUG, "attention backward: %zu heads of width %zu, %zu tokens, strides %zu and %zu",
                        s->heads, s->width, s->tokens, s->q_stride, s->kv_stride);
    COT_TRY(backward_count(n_y, s->items, s->queries, s->width, 1, "attention backward", err));
    COT_TRY(backward_count(n_q, s->items, s->queries, s->q_stride, 1, "attention backward", err));
    COT_TRY(backward_count(n_kv, s->items, s->tokens, s->kv_stride, 1, "attention backward", err));
done:
    return status;
}

cot_status cot_attention_backward(cot_buffer *dq, cot_buffer *dkv, const cot_buffer *dy, const cot_buffer *q,
                                  const cot_buffer *kv, const cot_buffer *mask, const cot_attention_shape *shape,
                                  cot_error *err)
{
    cot_status status = COT_OK;
    const cot_attention_shape *s = shape;
    cot_device *device = dy->device;
    cot_buffer *kept = NULL;
    size_t n_y = 0, n_q = 0, n_kv = 0;
    COT_TRY(shape_check(s, &n_y, &n_q, &n_kv, err));
    COT_TRY(buffer_check(dy, device, n_y, "attention backward: gradient", err));
    COT_TRY(buffer_check(q, device, n_q, "attention backward: queries", err));
    COT_TRY(buffer_check(kv, device, n_kv, "attention backward: keys and values", err));
    if (mask) COT_TRY(buffer_check(mask, device, s->items * s->tokens, "attention backward: mask", err));
    if (dq) COT_TRY(buffer_check(dq, device, n_q, "attention backward: queries' gradient", err));
    if (dkv) COT_TRY(buffer_check(dkv, device, n_kv, "attention backward: keys' and values' gradient", err));
    const size_t rows = s->items * s->queries * s->heads, columns = s->items * s->tokens * s->heads;
    COT_TRY(backward_scratch(&kept, device, SCRATCH_LAYER, 2 * rows, err));
    const size_t depth = s->width / s->heads;
    const cl_int8 sizes = {{(cl_int)s->tokens, (cl_int)s->queries, (cl_int)s->heads, (cl_int)depth, (cl_int)s->q_stride,
                            (cl_int)s->kv_stride, mask != NULL, dq != NULL}};
    const cl_int4 at = {{(cl_int)s->q_at, (cl_int)s->k_at, (cl_int)s->v_at, 0}};
    const cl_float scale = (float)(1.0 / sqrt((double)depth));
    const cl_int n_rows = (cl_int)rows, n_columns = (cl_int)columns;
    const kernel_arg queries[] = {
        ARG_BUFFER(dq ? dq : kept),   ARG_BUFFER(kept), ARG_BUFFER(dy), ARG_BUFFER(q),     ARG_BUFFER(kv),
        ARG_BUFFER(mask ? mask : dy), ARG_VALUE(sizes), ARG_VALUE(at),  ARG_VALUE(n_rows), ARG_VALUE(scale)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_ATTENTION_QUERIES, queries, rows, 1, err));
    if (!dkv) goto done;
    const kernel_arg keys[] = {ARG_BUFFER(dkv),  ARG_BUFFER(kept), ARG_BUFFER(dy),
                               ARG_BUFFER(q),    ARG_BUFFER(kv),   ARG_BUFFER(mask ? mask : dy),
                               ARG_VALUE(sizes), ARG_VALUE(at),    ARG_VALUE(n_columns),
                               ARG_VALUE(scale)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_ATTENTION_KEYS, keys, columns, 1, err));
done:
    return status;
}

/* ---- graph attention ---- */
typedef struct graph_plan {
    cot_buffer *alpha, *dl, *ends;
    size_t rows, columns, ends_n; /* items*nodes, heads*out, items*heads*nodes */
} graph_plan;

static cot_status graph_check(graph_plan *p, const cot_buffer *dy, const cot_buffer *z, const cot_buffer *a_src,
                              const cot_buffer *a_dst, size_t items, size_t nodes, size_t heads, size_t out,
                              cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0, pairs = 0;
    if (!nodes || !heads || !out)
        return cot_fail(err, COT_E_BUG, "graph attention backward: %zu nodes, %zu heads of %zu", nodes, heads, out);
    COT_TRY(backward_count(&n, items, nodes, heads, out, "graph attention backward", err));
    COT_TRY(backward_count(&pairs, items, heads, nodes, nodes, "graph attention backward", err));
    p->rows = items * nodes;
    p->columns = heads * out;
    p->ends_n = items * heads * nodes;
    COT_TRY(buffer_check(dy, dy->device, n, "graph attention backward: gradient", err));
    COT_TRY(buffer_check(z, dy->device, n, "graph attention backward: nodes", err));
    COT_TRY(buffer_check(a_src, dy->device, p->columns, "graph attention backward: a_src", err));
    COT_TRY(buffer_check(a_dst, dy->device, p->columns, "graph attention backward: a_dst", err));
    COT_TRY(backward_scratch(&p->alpha, dy->device, SCRATCH_LAYER, pairs, err));
    COT_TRY(backward_scratch(&p->dl, dy->device, SCRATCH_PAIRS, pairs, err));
    COT_TRY(backward_scratch(&p->ends, dy->device, SCRATCH_ENDS, 2 * p->ends_n, err));
done:
    return status;
}

/* da_src, da_dst from the nodes' sums. */
static cot_status graph_vectors(cot_buffer *da_src, cot_buffer *da_dst, const cot_buffer *z, const graph_plan *p,
                                cl_int4 sizes, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = z->device;
    cot_buffer *partial = NULL;
    const size_t slices = backward_slices(device, p->rows, p->columns), width = 2 * p->columns;
    if (!da_src && !da_dst) return COT_OK;
    if (da_src) COT_TRY(buffer_check(da_src, device, p->columns, "graph attention backward: a_src's gradient", err));
    if (da_dst) COT_TRY(buffer_check(da_dst, device, p->columns, "graph attention backward: a_dst's gradient", err));
    COT_TRY(backward_scratch(&partial, device, SCRATCH_SUMS, slices * width, err));
    const cl_int rows = (cl_int)p->rows, n_slices = (cl_int)slices;
    const kernel_arg args[] = {ARG_BUFFER(partial), ARG_BUFFER(p->ends), ARG_BUFFER(z),
                               ARG_VALUE(sizes),    ARG_VALUE(rows),     ARG_VALUE(n_slices)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_GRAPH_VECTORS, args, p->columns, slices, err));
    COT_TRY(backward_fold(da_src, partial, slices, width, 0, p->columns, true, err));
    COT_TRY(backward_fold(da_dst, partial, slices, width, p->columns, p->columns, true, err));
done:
    return status;
}

cot_status graph_attention_masked_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst, cot_buffer *dbias,
                                           const cot_buffer *dy, const cot_buffer *z, const cot_buffer *a_src,
                                           const cot_buffer *a_dst, const cot_buffer *factors, size_t items,
                                           size_t nodes, size_t heads, size_t out, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    graph_plan p = {NULL, NULL, NULL, 0, 0, 0};
    cot_buffer *partial = NULL;
    size_t slices = 0;
    COT_TRY(graph_check(&p, dy, z, a_src, a_dst, items, nodes, heads, out, err));
    if (dz) COT_TRY(buffer_check(dz, device, p.rows * p.columns, "graph attention backward: nodes' gradient", err));
    if (dz && (dz->mem == dy->mem || dz->mem == z->mem))
        return cot_fail(err, COT_E_BUG, "graph attention backward: the result is one of the inputs");
    const cl_int4 sizes = {{(cl_int)nodes, (cl_int)heads, (cl_int)out, (dz ? 1 : 0) | (factors ? 2 : 0)}};
    const cl_int n = (cl_int)p.ends_n;
    const kernel_arg scores[] = {ARG_BUFFER(p.alpha),
                                 ARG_BUFFER(p.dl),
                                 ARG_BUFFER(dy),
                                 ARG_BUFFER(z),
                                 ARG_BUFFER(a_src),
                                 ARG_BUFFER(a_dst),
                                 ARG_BUFFER(factors ? factors : z),
                                 ARG_VALUE(sizes),
                                 ARG_VALUE(n)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_GRAPH_SCORES, scores, p.ends_n, 1, err));
    const kernel_arg sums[] = {ARG_BUFFER(dz ? dz : p.ends),
                               ARG_BUFFER(p.ends),
                               ARG_BUFFER(p.alpha),
                               ARG_BUFFER(p.dl),
                               ARG_BUFFER(dy),
                               ARG_BUFFER(a_src),
                               ARG_BUFFER(a_dst),
                               ARG_VALUE(sizes),
                               ARG_VALUE(n)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_GRAPH_NODES, sums, p.ends_n, 1, err));
    COT_TRY(graph_vectors(da_src, da_dst, z, &p, sizes, err));
    if (dbias) {
        COT_TRY(buffer_check(dbias, device, p.columns, "graph attention backward: bias", err));
        COT_TRY(backward_columns(&partial, &slices, dy, NULL, NULL, false, p.rows, p.columns, err));
        COT_TRY(backward_fold(dbias, partial, slices, p.columns, 0, p.columns, true, err));
    }
done:
    return status;
}

cot_status cot_graph_attention_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst, cot_buffer *dbias,
                                        const cot_buffer *dy, const cot_buffer *z, const cot_buffer *a_src,
                                        const cot_buffer *a_dst, size_t items, size_t nodes, size_t heads, size_t out,
                                        cot_error *err)
{
    return graph_attention_masked_backward(dz, da_src, da_dst, dbias, dy, z, a_src, a_dst, NULL, items, nodes, heads,
                                           out, err);
}
