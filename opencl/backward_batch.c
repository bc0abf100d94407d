/* Batch norm in training with what stands behind it in one pass: a residual and ReLU, or ReLU and a max pool.
 * One thread per device. SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

/* As in kernels/batch_training.cl. */
enum { NORM_RESIDUAL = 1, NORM_RELU = 2, NORM_MASK_Y = 4, NORM_MOVING = 8 };

static cot_status norm_check(const cot_norm *m, const cot_device *device, size_t rows, cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0;
    if (m->train && rows < 2) return cot_fail(err, COT_E_BUG, "batch norm: %zu rows have no variance", rows);
    COT_TRY(backward_count(&floats, rows, m->channels, 1, 1, "batch norm", err));
    COT_TRY(buffer_check(m->gamma, device, m->channels, "batch norm: gamma", err));
    COT_TRY(buffer_check(m->beta, device, m->channels, "batch norm: beta", err));
    COT_TRY(buffer_check(m->running_mean, device, m->channels, "batch norm: running mean", err));
    COT_TRY(buffer_check(m->running_var, device, m->channels, "batch norm: running variance", err));
    COT_TRY(buffer_check(m->saved, device, 2 * m->channels, "batch norm: statistics", err));
done:
    return status;
}

static cot_status statistics(const cot_norm *m, const cot_buffer *x, size_t rows, cot_error *err)
{
    return batch_statistics(m->saved, m->running_mean, m->running_var, x, rows, m->channels, m->eps, m->momentum,
                            m->train, err);
}

static cl_int4 sizes_arg(const cot_norm *m, size_t rows, size_t slices, int flags)
{
    const cl_int4 s = {{(cl_int)rows, (cl_int)m->channels, (cl_int)slices, flags}};
    return s;
}

cot_status cot_norm_forward(cot_buffer *y, const cot_norm *norm, const cot_buffer *x, const cot_buffer *residual,
                            bool relu, size_t rows, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    COT_TRY(norm_check(norm, device, rows, err));
    COT_TRY(buffer_check(y, device, rows * norm->channels, "batch norm: result", err));
    COT_TRY(buffer_check(x, device, rows * norm->channels, "batch norm: input", err));
    if (residual) COT_TRY(buffer_check(residual, device, rows * norm->channels, "batch norm: residual", err));
    if (y->mem == x->mem) return cot_fail(err, COT_E_BUG, "batch norm: the result is the input, which training needs");
    COT_TRY(statistics(norm, x, rows, err));
    const size_t slices = batch_slices(device, rows, norm->channels);
    const cl_int4 s = sizes_arg(norm, rows, slices, (residual ? NORM_RESIDUAL : 0) | (relu ? NORM_RELU : 0));
    const kernel_arg args[] = {ARG_BUFFER(y),
                               ARG_BUFFER(x),
                               ARG_BUFFER(residual ? residual : x),
                               ARG_BUFFER(norm->saved),
                               ARG_BUFFER(norm->gamma),
                               ARG_BUFFER(norm->beta),
                               ARG_VALUE(s)};
    COT_TRY(
        BACKWARD_LAUNCH(device, BACKWARD_NORM_FORWARD, args, backward_vectors(device, norm->channels), slices, err));
done:
    return status;
}

/* *sums [2*channels] = of g | of g * xhat over these rows; dgamma and dbeta += them. */
static cot_status gradient_sums(cot_buffer **sums, cot_buffer *dgamma, cot_buffer *dbeta, cot_buffer *dy,
                                const cot_buffer *y, const cot_norm *m, const cot_buffer *x, int flags, size_t rows,
                                cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *partial = NULL;
    const size_t c = m->channels, slices = batch_slices(device, rows, c);
    const cl_int4 s = sizes_arg(m, rows, slices, flags);
    if (dgamma) COT_TRY(buffer_check(dgamma, device, c, "batch norm backward: gamma's gradient", err));
    if (dbeta) COT_TRY(buffer_check(dbeta, device, c, "batch norm backward: beta's gradient", err));
    COT_TRY(backward_scratch(sums, device, SCRATCH_LAYER, 2 * c, err));
    COT_TRY(backward_scratch(&partial, device, SCRATCH_SUMS, slices * c * 2, err));
    const kernel_arg args[] = {ARG_BUFFER(partial),  ARG_BUFFER(dy),       ARG_BUFFER(y ? y : x), ARG_BUFFER(x),
                               ARG_BUFFER(m->saved), ARG_BUFFER(m->gamma), ARG_BUFFER(m->beta),   ARG_VALUE(s)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_NORM_SUMS, args, backward_vectors(device, c), slices, err));
    COT_TRY(backward_fold(*sums, partial, slices, 2 * c, 0, 2 * c, false, err));
    COT_TRY(backward_fold(dbeta, *sums, 1, 0, 0, c, true, err));
    COT_TRY(backward_fold(dgamma, *sums, 1, 0, c, c, true, err));
done:
    return status;
}

cot_status cot_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, cot_buffer *dy, const cot_buffer *y,
                             const cot_norm *norm, const cot_buffer *x, bool relu, size_t rows, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *sums = NULL;
    COT_TRY(norm_check(norm, device, rows, err));
    const size_t floats = rows * norm->channels, slices = batch_slices(device, rows, norm->channels);
    COT_TRY(buffer_check(dx, device, floats, "batch norm backward: result", err));
    COT_TRY(buffer_check(dy, device, floats, "batch norm backward: gradient", err));
    COT_TRY(buffer_check(x, device, floats, "batch norm backward: input", err));
    if (y) COT_TRY(buffer_check(y, device, floats, "batch norm backward: forward's result", err));
    if (dx->mem == x->mem || (y && (dx->mem == dy->mem || dx->mem == y->mem || !relu)))
        return cot_fail(err, COT_E_BUG, "batch norm backward: the result is one of the inputs, or y without ReLU");
    const int flags = (relu ? NORM_RELU : 0) | (y ? NORM_MASK_Y : 0) | (norm->train ? NORM_MOVING : 0);
    COT_TRY(gradient_sums(&sums, dgamma, dbeta, dy, y, norm, x, flags, rows, err));
    const cl_int4 s = sizes_arg(norm, rows, slices, flags);
    const kernel_arg args[] = {
        ARG_BUFFER(dx),          ARG_BUFFER(dy),         ARG_BUFFER(x),    ARG_BUFFER(norm->saved),
        ARG_BUFFER(norm->gamma), ARG_BUFFER(norm->beta), ARG_BUFFER(sums), ARG_VALUE(s)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_NORM, args, backward_vectors(device, norm->channels), slices, err));
done:
    return status;
}

/* ---- with a pool behind ---- */
static cot_status pool_check(cl_int8 *arg, size_t *windows, const cot_pool_shape *p, const cot_norm *m, cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0;
    if (!p->kernel || !p->stride || p->kernel > 64 || p->stride > 64 || 2 * p->pad > p->kernel || p->h > 1 << 15 ||
        p->w > 1 << 15 || p->h + 2 * p->pad < p->kernel || p->w + 2 * p->pad < p->kernel)
        return cot_fail(err, COT_E_BUG, "max pool: kernel %zu, stride %zu, pad %zu on %zux%zu", p->kernel, p->stride,
                        p->pad, p->h, p->w);
    COT_TRY(backward_count(&floats, p->n, p->h, p->w, m->channels, "max pool", err));
    const size_t oh = cot_conv_out(p->h, p->kernel, p->stride, p->pad);
    const size_t ow = cot_conv_out(p->w, p->kernel, p->stride, p->pad);
    COT_TRY(backward_count(&floats, p->n, oh, ow, m->channels, "max pool", err));
    *windows = p->n * oh * ow;
    *arg = (cl_int8){{(cl_int)p->h, (cl_int)p->w, (cl_int)m->channels, (cl_int)oh, (cl_int)ow, (cl_int)p->kernel,
                      (cl_int)p->stride, (cl_int)p->pad}};
done:
    return status;
}

cot_status cot_norm_relu_pool_forward(cot_buffer *y, cot_buffer *peak, cot_buffer *where, const cot_norm *norm,
                                      const cot_buffer *x, const cot_pool_shape *pool, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    cl_int8 s;
    size_t windows = 0;
    const size_t rows = pool->n * pool->h * pool->w;
    COT_TRY(pool_check(&s, &windows, pool, norm, err));
    COT_TRY(norm_check(norm, device, rows, err));
    COT_TRY(buffer_check(y, device, windows * norm->channels, "max pool: result", err));
    COT_TRY(buffer_check(peak, device, windows * norm->channels, "max pool: peaks", err));
    COT_TRY(buffer_check(where, device, windows * norm->channels, "max pool: places", err));
    COT_TRY(buffer_check(x, device, rows * norm->channels, "max pool: input", err));
    COT_TRY(statistics(norm, x, rows, err));
    const kernel_arg args[] = {ARG_BUFFER(y),           ARG_BUFFER(peak),        ARG_BUFFER(where),      ARG_BUFFER(x),
                               ARG_BUFFER(norm->saved), ARG_BUFFER(norm->gamma), ARG_BUFFER(norm->beta), ARG_VALUE(s)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_NORM_POOL_FORWARD, args, backward_vectors(device, norm->channels), windows,
                            err));
done:
    return status;
}

cot_status cot_norm_relu_pool_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, cot_buffer *dy,
                                       const cot_buffer *y, const cot_buffer *peak, const cot_buffer *where,
                                       const cot_norm *norm, const cot_buffer *x, const cot_pool_shape *pool,
                                       cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *sums = NULL;
    cl_int8 s;
    size_t windows = 0;
    const size_t rows = pool->n * pool->h * pool->w, c = norm->channels;
    COT_TRY(pool_check(&s, &windows, pool, norm, err));
    COT_TRY(norm_check(norm, device, rows, err));
    COT_TRY(buffer_check(dx, device, rows * c, "max pool backward: result", err));
    COT_TRY(buffer_check(x, device, rows * c, "max pool backward: input", err));
    COT_TRY(buffer_check(dy, device, windows * c, "max pool backward: gradient", err));
    COT_TRY(buffer_check(y, device, windows * c, "max pool backward: forward's result", err));
    COT_TRY(buffer_check(peak, device, windows * c, "max pool backward: peaks", err));
    COT_TRY(buffer_check(where, device, windows * c, "max pool backward: places", err));
    if (dx->mem == x->mem || dx->mem == dy->mem)
        return cot_fail(err, COT_E_BUG, "max pool backward: the result is one of the inputs");
    COT_TRY(gradient_sums(&sums, dgamma, dbeta, dy, y, norm, peak, NORM_RELU | NORM_MASK_Y, windows, err));
    const cl_int all = (cl_int)rows, moving = norm->train;
    const kernel_arg args[] = {ARG_BUFFER(dx),          ARG_BUFFER(dy),          ARG_BUFFER(where), ARG_BUFFER(x),
                               ARG_BUFFER(norm->saved), ARG_BUFFER(norm->gamma), ARG_BUFFER(sums),  ARG_VALUE(s),
                               ARG_VALUE(all),          ARG_VALUE(moving)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_NORM_POOL, args, backward_vectors(device, c), rows, err));
done:
    return status;
}
