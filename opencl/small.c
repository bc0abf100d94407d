/* The small kernels' launches: batch norm, pooling, layer norm, softmax, the student's write-back. Each checks its
 * buffers' sizes, then binds and enqueues; nothing is allocated. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

/* floats = a*b*c*d, bounded so that kernels may count in 32 bits. */
static cot_status count(size_t *floats, size_t a, size_t b, size_t c, size_t d, const char *what, cot_error *err)
{
    if (cot_mul(floats, a, b) && cot_mul(floats, *floats, c) && cot_mul(floats, *floats, d) && *floats <= FLOATS_MOST)
        return COT_OK;
    return cot_fail(err, COT_E_LIMIT, "%s: %zux%zux%zux%zu is more than one launch takes; lower the batch", what, a, b,
                    c, d);
}

cot_status cot_batch_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *scale, const cot_buffer *shift,
                                  size_t rows, size_t channels, cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t n = 0;
    COT_TRY(count(&n, rows, channels, 1, 1, "batch norm", err));
    COT_TRY(buffer_check(y, device, n, "batch norm: result", err));
    COT_TRY(buffer_check(x, device, n, "batch norm: input", err));
    COT_TRY(buffer_check(scale, device, channels, "batch norm: scale", err));
    COT_TRY(buffer_check(shift, device, channels, "batch norm: shift", err));
    const cl_int all = (cl_int)n, c = (cl_int)channels, what = (cl_int)act;
    const kernel_arg args[] = {ARG_BUFFER(y),  ARG_BUFFER(x), ARG_BUFFER(scale), ARG_BUFFER(shift),
                               ARG_VALUE(all), ARG_VALUE(c),  ARG_VALUE(what)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_BATCH_NORM, args, n, 1, err));
done:
    return status;
}

cot_status cot_max_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t h, size_t w, size_t c,
                                size_t kernel, size_t stride, size_t pad, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t nx = 0, ny = 0;
    /* a window must always touch the image, else its maximum would be -inf */
    if (!kernel || !stride || kernel > 64 || stride > 64 || pad * 2 > kernel || h + 2 * pad < kernel ||
        w + 2 * pad < kernel)
        return cot_fail(err, COT_E_BUG, "max pool: kernel %zu, stride %zu, pad %zu on %zux%zu", kernel, stride, pad, h,
                        w);
    const size_t oh = cot_conv_out(h, kernel, stride, pad), ow = cot_conv_out(w, kernel, stride, pad);
    COT_TRY(count(&nx, n, h, w, c, "max pool", err));
    COT_TRY(count(&ny, n, oh, ow, c, "max pool", err));
    COT_TRY(buffer_check(y, device, ny, "max pool: result", err));
    COT_TRY(buffer_check(x, device, nx, "max pool: input", err));
    const cl_int8 shape = {
        {(cl_int)h, (cl_int)w, (cl_int)c, (cl_int)oh, (cl_int)ow, (cl_int)kernel, (cl_int)stride, (cl_int)pad}};
    const cl_int images = (cl_int)n;
    const size_t blocks = (c + device->tile.vector - 1) / device->tile.vector;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(images), ARG_VALUE(shape)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_MAX_POOL, args, n * oh * ow * blocks, 1, err));
done:
    return status;
}

cot_status cot_mean_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t pixels, size_t c, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t nx = 0;
    if (pixels == 0) return cot_fail(err, COT_E_BUG, "mean pool: no pixels");
    COT_TRY(count(&nx, n, pixels, c, 1, "mean pool", err));
    COT_TRY(buffer_check(y, device, n * c, "mean pool: result", err));
    COT_TRY(buffer_check(x, device, nx, "mean pool: input", err));
    const cl_int images = (cl_int)n, area = (cl_int)pixels, channels = (cl_int)c;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(images), ARG_VALUE(area), ARG_VALUE(channels)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_MEAN_POOL, args, n * c, 1, err));
done:
    return status;
}

cot_status slice_floats(size_t *floats, cot_slice slice, size_t rows, size_t c, const char *what, cot_error *err)
{
    size_t end = 0;
    if (!cot_add(&end, slice.at, c) || end > slice.apart)
        return cot_fail(err, COT_E_BUG, "%s: channels %zu to %zu of rows of %zu", what, slice.at, slice.at + c,
                        slice.apart);
    return count(floats, rows, slice.apart, 1, 1, what, err);
}

cot_status cot_norm_pool_forward(cot_buffer *y, cot_slice to, const cot_buffer *x, cot_slice from,
                                 const cot_buffer *scale, const cot_buffer *shift, size_t n, size_t h, size_t w,
                                 size_t c, size_t window, cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t nx = 0, ny = 0, rows = 0;
    if (!window || window > h || window > w || !c)
        return cot_fail(err, COT_E_BUG, "norm pool: window %zu on %zux%zux%zu", window, h, w, c);
    const size_t pixels = (h / window) * (w / window);
    COT_TRY(count(&rows, n, h, w, 1, "norm pool", err));
    COT_TRY(slice_floats(&nx, from, rows, c, "norm pool: input", err));
    COT_TRY(slice_floats(&ny, to, n * pixels, c, "norm pool: result", err));
    COT_TRY(buffer_check(x, device, nx, "norm pool: input", err));
    COT_TRY(buffer_check(y, device, ny, "norm pool: result", err));
    if (scale) COT_TRY(buffer_check(scale, device, c, "norm pool: scale", err));
    if (scale) COT_TRY(buffer_check(shift, device, c, "norm pool: shift", err));
    const cl_int8 s = {{(cl_int)h, (cl_int)w, (cl_int)c, (cl_int)window, (cl_int)from.apart, (cl_int)from.at,
                        (cl_int)to.apart, (cl_int)to.at}};
    /* neighbours on a GPU read neighbouring channels; a core walks along a pixel's row, if there are pixels for all */
    const bool whole = device->tile.local == 1 && n * pixels >= 4 * (size_t)device->info.compute_units;
    const size_t share = whole ? c : device->tile.vector;
    const cl_int images = (cl_int)n, part = (cl_int)share, normed = scale != NULL, what = (cl_int)act;
    const kernel_arg args[] = {ARG_BUFFER(y),
                               ARG_BUFFER(x),
                               ARG_BUFFER(scale ? scale : x),
                               ARG_BUFFER(scale ? shift : x),
                               ARG_VALUE(images),
                               ARG_VALUE(s),
                               ARG_VALUE(part),
                               ARG_VALUE(normed),
                               ARG_VALUE(what)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_NORM_POOL, args, n * pixels * ((c + share - 1) / share), 1, err));
done:
    return status;
}

cot_status cot_layer_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *gamma, const cot_buffer *beta,
                                  size_t rows, size_t width, float eps, cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t n = 0;
    if (width == 0) return cot_fail(err, COT_E_BUG, "layer norm: rows of no width");
    COT_TRY(count(&n, rows, width, 1, 1, "layer norm", err));
    COT_TRY(buffer_check(y, device, n, "layer norm: result", err));
    COT_TRY(buffer_check(x, device, n, "layer norm: input", err));
    COT_TRY(buffer_check(gamma, device, width, "layer norm: gamma", err));
    COT_TRY(buffer_check(beta, device, width, "layer norm: beta", err));
    const cl_int r = (cl_int)rows, c = (cl_int)width, what = (cl_int)act;
    const cl_float small = eps;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_BUFFER(gamma), ARG_BUFFER(beta),
                               ARG_VALUE(r),  ARG_VALUE(c),  ARG_VALUE(small),  ARG_VALUE(what)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_LAYER_NORM, args, rows, 1, err));
done:
    return status;
}

cot_status cot_softmax_forward(cot_buffer *y, const cot_buffer *x, size_t rows, size_t classes, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    size_t n = 0;
    if (classes == 0) return cot_fail(err, COT_E_BUG, "softmax: no classes");
    COT_TRY(count(&n, rows, classes, 1, 1, "softmax", err));
    COT_TRY(buffer_check(y, device, n, "softmax: result", err));
    COT_TRY(buffer_check(x, device, n, "softmax: input", err));
    const cl_ulong r = rows, c = classes;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(r), ARG_VALUE(c)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_SOFTMAX, args, rows, 1, err));
done:
    return status;
}

cot_status cot_add_tanh_forward(cot_buffer *y, const cot_buffer *a, const cot_buffer *b, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    COT_TRY(buffer_check(y, device, n, "add tanh: result", err));
    COT_TRY(buffer_check(a, device, n, "add tanh: state", err));
    COT_TRY(buffer_check(b, device, n, "add tanh: update", err));
    const cl_ulong all = n;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(a), ARG_BUFFER(b), ARG_VALUE(all)};
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_ADD_TANH, args, n, 1, err));
done:
    return status;
}
