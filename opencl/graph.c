/* Launches for the teacher's memory: graph attention over few nodes, and the gates of its GRU cell. Each checks its
 * buffers' sizes, then binds and enqueues; nothing is allocated. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/learning_device.h"

static cot_status product_of(size_t *floats, size_t a, size_t b, size_t c, size_t d, const char *what, cot_error *err)
{
    if (cot_mul(floats, a, b) && cot_mul(floats, *floats, c) && cot_mul(floats, *floats, d) && *floats <= FLOATS_MOST)
        return COT_OK;
    return cot_fail(err, COT_E_LIMIT, "%s: %zux%zux%zux%zu is more than one launch takes; lower the batch", what, a, b,
                    c, d);
}

cot_status graph_attention_masked_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src,
                                          const cot_buffer *a_dst, const cot_buffer *bias, const cot_buffer *residual,
                                          const cot_buffer *factors, size_t items, size_t nodes, size_t heads,
                                          size_t out, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t n = 0;
    if (nodes > GRAPH_NODES_MOST)
        return cot_fail(err, COT_E_LIMIT, "graph attention: %zu nodes; at most %d are handled", nodes,
                        (int)GRAPH_NODES_MOST);
    COT_TRY(product_of(&n, items, nodes, heads, out, "graph attention", err));
    COT_TRY(buffer_check(y, device, n, "graph attention: result", err));
    COT_TRY(buffer_check(z, device, n, "graph attention: nodes", err));
    if (residual) COT_TRY(buffer_check(residual, device, n, "graph attention: residual", err));
    if (n == 0) goto done;
    COT_TRY(buffer_check(a_src, device, heads * out, "graph attention: a_src", err));
    COT_TRY(buffer_check(a_dst, device, heads * out, "graph attention: a_dst", err));
    COT_TRY(buffer_check(bias, device, heads * out, "graph attention: bias", err));
    if (factors) COT_TRY(buffer_check(factors, device, items * heads * nodes * nodes, "graph attention: factors", err));
    const cl_int has_residual = residual != NULL, has_factors = factors != NULL, i = (cl_int)items, m = (cl_int)nodes,
                 h = (cl_int)heads, o = (cl_int)out;
    const kernel_arg args[] = {ARG_BUFFER(y),
                               ARG_BUFFER(z),
                               ARG_BUFFER(a_src),
                               ARG_BUFFER(a_dst),
                               ARG_BUFFER(bias),
                               ARG_BUFFER(residual ? residual : z),
                               ARG_BUFFER(factors ? factors : z),
                               ARG_VALUE(has_residual),
                               ARG_VALUE(has_factors),
                               ARG_VALUE(i),
                               ARG_VALUE(m),
                               ARG_VALUE(h),
                               ARG_VALUE(o)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_GRAPH_ATTENTION, args, items * heads, 1, err));
done:
    return status;
}

cot_status cot_graph_attention_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src,
                                       const cot_buffer *a_dst, const cot_buffer *bias, const cot_buffer *residual,
                                       size_t items, size_t nodes, size_t heads, size_t out, cot_error *err)
{
    return graph_attention_masked_forward(y, z, a_src, a_dst, bias, residual, NULL, items, nodes, heads, out, err);
}

cot_status cot_gru_forward(cot_buffer *y, const cot_buffer *gi, const cot_buffer *gh, const cot_buffer *h, size_t n,
                           size_t dim, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t gates = 0;
    COT_TRY(product_of(&gates, n, dim, 3, 1, "GRU cell", err));
    COT_TRY(buffer_check(y, device, n * dim, "GRU cell: result", err));
    COT_TRY(buffer_check(gi, device, gates, "GRU cell: gates of the input", err));
    COT_TRY(buffer_check(gh, device, gates, "GRU cell: gates of the state", err));
    COT_TRY(buffer_check(h, device, n * dim, "GRU cell: state", err));
    const cl_int width = (cl_int)dim;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(gi), ARG_BUFFER(gh), ARG_BUFFER(h), ARG_VALUE(width)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_GRU, args, (dim + device->tile.vector - 1) / device->tile.vector, n, err));
done:
    return status;
}
