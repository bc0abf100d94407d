/* Gradients float by float: activations, residuals, the student's write-back, softmax, the GRU's gates. Each checks its
 * buffers' sizes, then binds and enqueues. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

cot_status cot_activation_forward(cot_buffer *y, const cot_buffer *x, size_t n, cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    COT_TRY(backward_count(&all, n, 1, 1, 1, "activation", err));
    COT_TRY(buffer_check(y, y->device, n, "activation: result", err));
    COT_TRY(buffer_check(x, y->device, n, "activation: input", err));
    const cl_int count = (cl_int)n, what = (cl_int)act;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(count), ARG_VALUE(what)};
    COT_TRY(BACKWARD_LAUNCH(y->device, BACKWARD_ACTIVATION_FORWARD, args, backward_vectors(y->device, n), 1, err));
done:
    return status;
}

cot_status cot_activation_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *x, size_t n,
                                   cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    COT_TRY(backward_count(&all, n, 1, 1, 1, "activation backward", err));
    COT_TRY(buffer_check(dx, dy->device, n, "activation backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, n, "activation backward: gradient", err));
    COT_TRY(buffer_check(x, dy->device, n, "activation backward: input", err));
    const cl_int count = (cl_int)n, what = (cl_int)act, replace = dx->mem == dy->mem;
    const kernel_arg args[] = {ARG_BUFFER(dx),   ARG_BUFFER(dy),  ARG_BUFFER(x),
                               ARG_VALUE(count), ARG_VALUE(what), ARG_VALUE(replace)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_ACTIVATION, args, backward_vectors(dy->device, n), 1, err));
done:
    return status;
}

cot_status cot_accumulate(cot_buffer *y, const cot_buffer *x, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    COT_TRY(backward_count(&all, n, 1, 1, 1, "accumulate", err));
    COT_TRY(buffer_check(y, y->device, n, "accumulate: sum", err));
    COT_TRY(buffer_check(x, y->device, n, "accumulate: addend", err));
    const cl_int count = (cl_int)n;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(count)};
    COT_TRY(BACKWARD_LAUNCH(y->device, BACKWARD_ADD, args, backward_vectors(y->device, n), 1, err));
done:
    return status;
}

cot_status cot_add_tanh_backward(cot_buffer *da, cot_buffer *db, const cot_buffer *dy, const cot_buffer *b, size_t n,
                                 cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    COT_TRY(backward_count(&all, n, 1, 1, 1, "add tanh backward", err));
    COT_TRY(buffer_check(dy, dy->device, n, "add tanh backward: gradient", err));
    if (db) {
        COT_TRY(buffer_check(db, dy->device, n, "add tanh backward: update's gradient", err));
        COT_TRY(buffer_check(b, dy->device, n, "add tanh backward: update", err));
        if (db->mem == dy->mem) return cot_fail(err, COT_E_BUG, "add tanh backward: the update's gradient is dy");
        const cl_int count = (cl_int)n;
        const kernel_arg args[] = {ARG_BUFFER(db), ARG_BUFFER(dy), ARG_BUFFER(b), ARG_VALUE(count)};
        COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_ADD_TANH, args, backward_vectors(dy->device, n), 1, err));
    }
    if (da && da->mem != dy->mem) COT_TRY(cot_accumulate(da, dy, n, err));
done:
    return status;
}

cot_status cot_softmax_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *y, size_t rows, size_t classes,
                                cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    if (classes == 0) return cot_fail(err, COT_E_BUG, "softmax backward: no classes");
    COT_TRY(backward_count(&n, rows, classes, 1, 1, "softmax backward", err));
    COT_TRY(buffer_check(dx, dy->device, n, "softmax backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, n, "softmax backward: gradient", err));
    COT_TRY(buffer_check(y, dy->device, n, "softmax backward: probabilities", err));
    const cl_int r = (cl_int)rows, c = (cl_int)classes, replace = dx->mem == dy->mem;
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(dy), ARG_BUFFER(y),
                               ARG_VALUE(r),   ARG_VALUE(c),   ARG_VALUE(replace)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_SOFTMAX, args, rows, 1, err));
done:
    return status;
}

cot_status cot_gru_backward(cot_buffer *dgi, cot_buffer *dgh, cot_buffer *dh, const cot_buffer *dy,
                            const cot_buffer *gi, const cot_buffer *gh, const cot_buffer *h, size_t n, size_t dim,
                            cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    size_t states = 0, gates = 0;
    if (dim == 0) return cot_fail(err, COT_E_BUG, "gru backward: a state of no size");
    COT_TRY(backward_count(&gates, n, dim, 3, 1, "gru backward", err));
    states = gates / 3;
    COT_TRY(buffer_check(dy, device, states, "gru backward: gradient", err));
    COT_TRY(buffer_check(gi, device, gates, "gru backward: input's gates", err));
    COT_TRY(buffer_check(gh, device, gates, "gru backward: state's gates", err));
    COT_TRY(buffer_check(h, device, states, "gru backward: state", err));
    if (dgi) COT_TRY(buffer_check(dgi, device, gates, "gru backward: input's gates' gradient", err));
    if (dgh) COT_TRY(buffer_check(dgh, device, gates, "gru backward: state's gates' gradient", err));
    if (dh) COT_TRY(buffer_check(dh, device, states, "gru backward: state's gradient", err));
    if ((dh && dh->mem == dy->mem) || (dgi && dgi->mem == gi->mem) || (dgh && dgh->mem == gh->mem))
        return cot_fail(err, COT_E_BUG, "gru backward: a gradient is one of the inputs");
    const cl_int d = (cl_int)dim, wanted = (dgi ? 1 : 0) | (dgh ? 2 : 0) | (dh ? 4 : 0);
    const kernel_arg args[] = {ARG_BUFFER(dgi ? dgi : dy),
                               ARG_BUFFER(dgh ? dgh : dy),
                               ARG_BUFFER(dh ? dh : dy),
                               ARG_BUFFER(dy),
                               ARG_BUFFER(gi),
                               ARG_BUFFER(gh),
                               ARG_BUFFER(h),
                               ARG_VALUE(d),
                               ARG_VALUE(wanted)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_GRU, args, backward_vectors(device, dim), n, err));
done:
    return status;
}
