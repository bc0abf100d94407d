/* Normalisations in training: batch norm with its statistics, and the gradients of both norms. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

cot_status cot_layer_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, const cot_buffer *dy,
                                   const cot_buffer *x, const cot_buffer *gamma, size_t rows, size_t width, float eps,
                                   cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *stats = NULL, *partial = NULL;
    size_t n = 0, slices = 0;
    if (width == 0) return cot_fail(err, COT_E_BUG, "layer norm backward: rows of no width");
    COT_TRY(backward_count(&n, rows, width, 1, 1, "layer norm backward", err));
    COT_TRY(buffer_check(dy, device, n, "layer norm backward: gradient", err));
    COT_TRY(buffer_check(x, device, n, "layer norm backward: input", err));
    COT_TRY(buffer_check(gamma, device, width, "layer norm backward: gamma", err));
    if (dx) COT_TRY(buffer_check(dx, device, n, "layer norm backward: result", err));
    if (dgamma) COT_TRY(buffer_check(dgamma, device, width, "layer norm backward: gamma's gradient", err));
    if (dbeta) COT_TRY(buffer_check(dbeta, device, width, "layer norm backward: beta's gradient", err));
    if (dx && (dx->mem == dy->mem || dx->mem == x->mem))
        return cot_fail(err, COT_E_BUG, "layer norm backward: the result is one of the inputs");
    COT_TRY(backward_scratch(&stats, device, SCRATCH_LAYER, 2 * rows, err));
    const cl_int r = (cl_int)rows, c = (cl_int)width, want_dx = dx != NULL;
    const cl_float small = eps;
    const kernel_arg args[] = {ARG_BUFFER(dx ? dx : stats), ARG_BUFFER(stats), ARG_BUFFER(dy), ARG_BUFFER(x),
                               ARG_BUFFER(gamma),           ARG_VALUE(r),      ARG_VALUE(c),   ARG_VALUE(small),
                               ARG_VALUE(want_dx)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_LAYER_NORM, args, rows, 1, err));
    if (!dgamma && !dbeta) goto done;
    COT_TRY(backward_columns(&partial, &slices, dy, x, stats, true, rows, width, err));
    COT_TRY(backward_fold(dbeta, partial, slices, 2 * width, 0, width, true, err));
    COT_TRY(backward_fold(dgamma, partial, slices, 2 * width, width, width, true, err));
done:
    return status;
}

/* ---- batch norm ---- */
size_t batch_slices(const cot_device *device, size_t rows, size_t channels)
{
    const size_t cached = (size_t)32 << 10; /* floats */
    const size_t busy = backward_slices(device, rows, channels), small = rows * channels / cached;
    return device->info.type == COT_DEVICE_CPU && small > busy ? small : busy;
}

static cot_status running_statistics(cot_buffer *saved, const cot_buffer *running_mean, const cot_buffer *running_var,
                                     size_t channels, float eps, cot_error *err)
{
    const cl_int c = (cl_int)channels;
    const cl_float small = eps;
    const kernel_arg args[] = {ARG_BUFFER(saved), ARG_BUFFER(running_mean), ARG_BUFFER(running_var), ARG_VALUE(c),
                               ARG_VALUE(small)};
    return BACKWARD_LAUNCH(saved->device, BACKWARD_BATCH_RUNNING, args, channels, 1, err);
}

cot_status batch_statistics(cot_buffer *saved, cot_buffer *running_mean, cot_buffer *running_var, const cot_buffer *x,
                            size_t rows, size_t channels, float eps, float momentum, bool train, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = x->device;
    cot_buffer *partial = NULL;
    if (!train) return running_statistics(saved, running_mean, running_var, channels, eps, err);
    const size_t slices = batch_slices(device, rows, channels);
    COT_TRY(backward_scratch(&partial, device, SCRATCH_SUMS, slices * channels * 2, err));
    const cl_int r = (cl_int)rows, c = (cl_int)channels, s = (cl_int)slices;
    const cl_float small = eps, part = momentum;
    const kernel_arg sums[] = {ARG_BUFFER(partial), ARG_BUFFER(x), ARG_VALUE(r), ARG_VALUE(c), ARG_VALUE(s)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_BATCH_SLICES, sums, backward_vectors(device, channels), slices, err));
    const kernel_arg merge[] = {ARG_BUFFER(saved),
                                ARG_BUFFER(running_mean),
                                ARG_BUFFER(running_var),
                                ARG_BUFFER(partial),
                                ARG_VALUE(r),
                                ARG_VALUE(c),
                                ARG_VALUE(s),
                                ARG_VALUE(small),
                                ARG_VALUE(part)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_BATCH_MERGE, merge, channels, 1, err));
done:
    return status;
}

cot_status cot_batch_norm_training_forward(cot_buffer *y, cot_buffer *saved, cot_buffer *running_mean,
                                           cot_buffer *running_var, const cot_buffer *x, const cot_buffer *gamma,
                                           const cot_buffer *beta, size_t rows, size_t channels, float eps,
                                           float momentum, bool train, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t n = 0;
    if (train && rows < 2) return cot_fail(err, COT_E_BUG, "batch norm: %zu rows have no variance", rows);
    COT_TRY(backward_count(&n, rows, channels, 1, 1, "batch norm", err));
    COT_TRY(buffer_check(y, device, n, "batch norm: result", err));
    COT_TRY(buffer_check(x, device, n, "batch norm: input", err));
    COT_TRY(buffer_check(saved, device, 2 * channels, "batch norm: statistics", err));
    COT_TRY(buffer_check(running_mean, device, channels, "batch norm: running mean", err));
    COT_TRY(buffer_check(running_var, device, channels, "batch norm: running variance", err));
    COT_TRY(buffer_check(gamma, device, channels, "batch norm: gamma", err));
    COT_TRY(buffer_check(beta, device, channels, "batch norm: beta", err));
    if (y->mem == x->mem) return cot_fail(err, COT_E_BUG, "batch norm: the result is the input, which training needs");
    const size_t slices = backward_slices(device, rows, channels);
    const cl_int r = (cl_int)rows, c = (cl_int)channels, s = (cl_int)slices;
    COT_TRY(batch_statistics(saved, running_mean, running_var, x, rows, channels, eps, momentum, train, err));
    const kernel_arg args[] = {ARG_BUFFER(y),    ARG_BUFFER(x), ARG_BUFFER(saved), ARG_BUFFER(gamma),
                               ARG_BUFFER(beta), ARG_VALUE(r),  ARG_VALUE(c),      ARG_VALUE(s)};
    COT_TRY(
        BACKWARD_LAUNCH(device, BACKWARD_BATCH_NORM_FORWARD, args, backward_vectors(device, channels), slices, err));
done:
    return status;
}

static cot_status batch_norm_check(const cot_buffer *dx, const cot_buffer *dgamma, const cot_buffer *dbeta,
                                   const cot_buffer *dy, const cot_buffer *x, const cot_buffer *gamma,
                                   const cot_buffer *saved, size_t n, size_t channels, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_device *device = dy->device;
    COT_TRY(buffer_check(dy, device, n, "batch norm backward: gradient", err));
    COT_TRY(buffer_check(x, device, n, "batch norm backward: input", err));
    COT_TRY(buffer_check(gamma, device, channels, "batch norm backward: gamma", err));
    COT_TRY(buffer_check(saved, device, 2 * channels, "batch norm backward: statistics", err));
    if (dx) COT_TRY(buffer_check(dx, device, n, "batch norm backward: result", err));
    if (dgamma) COT_TRY(buffer_check(dgamma, device, channels, "batch norm backward: gamma's gradient", err));
    if (dbeta) COT_TRY(buffer_check(dbeta, device, channels, "batch norm backward: beta's gradient", err));
    if (dx && (dx->mem == dy->mem || dx->mem == x->mem))
        return cot_fail(err, COT_E_BUG, "batch norm backward: the result is one of the inputs");
done:
    return status;
}

cot_status cot_batch_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, const cot_buffer *dy,
                                   const cot_buffer *x, const cot_buffer *gamma, const cot_buffer *saved, size_t rows,
                                   size_t channels, bool train, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *partial = NULL, *sums = NULL;
    size_t n = 0, slices = 0;
    COT_TRY(backward_count(&n, rows, channels, 1, 1, "batch norm backward", err));
    COT_TRY(batch_norm_check(dx, dgamma, dbeta, dy, x, gamma, saved, n, channels, err));
    COT_TRY(backward_scratch(&sums, device, SCRATCH_LAYER, 2 * channels, err));
    COT_TRY(backward_columns(&partial, &slices, dy, x, saved, false, rows, channels, err));
    COT_TRY(backward_fold(sums, partial, slices, 2 * channels, 0, 2 * channels, false, err));
    COT_TRY(backward_fold(dbeta, sums, 1, 0, 0, channels, true, err));
    COT_TRY(backward_fold(dgamma, sums, 1, 0, channels, channels, true, err));
    if (!dx) goto done;
    const cl_int r = (cl_int)rows, c = (cl_int)channels, s = (cl_int)slices, moving = train;
    const kernel_arg args[] = {ARG_BUFFER(dx),   ARG_BUFFER(dy), ARG_BUFFER(x), ARG_BUFFER(gamma), ARG_BUFFER(saved),
                               ARG_BUFFER(sums), ARG_VALUE(r),   ARG_VALUE(c),  ARG_VALUE(s),      ARG_VALUE(moving)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_BATCH_NORM, args, backward_vectors(device, channels), slices, err));
done:
    return status;
}
