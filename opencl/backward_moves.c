/* Gradients of pools and of what only moves: patches, tokens, rows, halves of a concatenation. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

cot_status cot_max_pool_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *x, size_t n, size_t h,
                                 size_t w, size_t c, size_t kernel, size_t stride, size_t pad, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *where = NULL;
    size_t nx = 0, ny = 0;
    if (!kernel || !stride || kernel > 64 || stride > 64 || pad * 2 > kernel || h + 2 * pad < kernel ||
        w + 2 * pad < kernel)
        return cot_fail(err, COT_E_BUG, "max pool backward: kernel %zu, stride %zu, pad %zu on %zux%zu", kernel, stride,
                        pad, h, w);
    const size_t oh = cot_conv_out(h, kernel, stride, pad), ow = cot_conv_out(w, kernel, stride, pad);
    COT_TRY(backward_count(&nx, n, h, w, c, "max pool backward", err));
    COT_TRY(backward_count(&ny, n, oh, ow, c, "max pool backward", err));
    COT_TRY(buffer_check(dx, dy->device, nx, "max pool backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, ny, "max pool backward: gradient", err));
    COT_TRY(buffer_check(x, dy->device, nx, "max pool backward: input", err));
    const cl_int8 shape = {
        {(cl_int)h, (cl_int)w, (cl_int)c, (cl_int)oh, (cl_int)ow, (cl_int)kernel, (cl_int)stride, (cl_int)pad}};
    COT_TRY(backward_scratch(&where, dy->device, SCRATCH_LAYER, ny, err));
    const size_t vectors = backward_vectors(dy->device, c);
    const kernel_arg find[] = {ARG_BUFFER(where), ARG_BUFFER(x), ARG_VALUE(shape)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_MAX_POOL_WHERE, find, vectors, n * oh * ow, err));
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(dy), ARG_BUFFER(where), ARG_VALUE(shape)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_MAX_POOL, args, vectors, n * h * w, err));
done:
    return status;
}

cot_status cot_mean_pool_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, size_t pixels, size_t c,
                                  cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0;
    if (pixels == 0) return cot_fail(err, COT_E_BUG, "mean pool backward: no pixels");
    COT_TRY(backward_count(&nx, n, pixels, c, 1, "mean pool backward", err));
    COT_TRY(buffer_check(dx, dy->device, nx, "mean pool backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, n * c, "mean pool backward: gradient", err));
    const cl_int all = (cl_int)nx, area = (cl_int)pixels, channels = (cl_int)c;
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(dy), ARG_VALUE(all), ARG_VALUE(area), ARG_VALUE(channels)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_MEAN_POOL, args, nx, 1, err));
done:
    return status;
}

cot_status cot_patches_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, size_t channels, size_t size,
                                size_t patch, cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0;
    if (patch == 0 || patch > size)
        return cot_fail(err, COT_E_BUG, "patches backward: patches of %zu in images of %zu", patch, size);
    const size_t side = size / patch * patch;
    COT_TRY(backward_count(&nx, n, channels, size, size, "patches backward", err));
    COT_TRY(buffer_check(dx, dy->device, nx, "patches backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, n * channels * side * side, "patches backward: gradient", err));
    const cl_int all = (cl_int)nx, c = (cl_int)channels, s = (cl_int)size, p = (cl_int)patch;
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(dy), ARG_VALUE(all),
                               ARG_VALUE(c),   ARG_VALUE(s),   ARG_VALUE(p)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, BACKWARD_PATCHES, args, nx, 1, err));
done:
    return status;
}

/* ---- rows and blocks ---- */
/* `width` floats of each item: rows of `stride` floats, from `at` on. */
typedef struct block {
    const cot_buffer *buffer;
    size_t stride, at;
} block;

/* to += from; `clear`: then from = 0. `to.buffer` NULL: only cleared. */
static cot_status block_add(block to, block from, size_t items, size_t width, bool clear, const char *what,
                            cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = from.buffer->device;
    size_t n = 0;
    COT_TRY(backward_count(&n, items, from.stride, 1, 1, what, err));
    COT_TRY(buffer_check(from.buffer, device, n, what, err));
    if (to.buffer) {
        COT_TRY(backward_count(&n, items, to.stride, 1, 1, what, err));
        COT_TRY(buffer_check(to.buffer, device, n, what, err));
        if (to.buffer->mem == from.buffer->mem)
            return cot_fail(err, COT_E_BUG, "%s: the result is the gradient itself", what);
    }
    const cl_int wide = (cl_int)width, y_stride = (cl_int)to.stride, y_at = (cl_int)to.at;
    const cl_int x_stride = (cl_int)from.stride, x_at = (cl_int)from.at;
    const cl_int flags = (to.buffer ? 1 : 0) | (clear ? 2 : 0);
    const kernel_arg args[] = {ARG_BUFFER(to.buffer ? to.buffer : from.buffer),
                               ARG_BUFFER(from.buffer),
                               ARG_VALUE(wide),
                               ARG_VALUE(y_stride),
                               ARG_VALUE(y_at),
                               ARG_VALUE(x_stride),
                               ARG_VALUE(x_at),
                               ARG_VALUE(flags)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_BLOCK, args, width, items, err));
done:
    return status;
}

cot_status cot_tokens_backward(cot_buffer *dpatches, cot_buffer *dcls, cot_buffer *dposition, const cot_buffer *dy,
                               size_t items, size_t n_patches, size_t width, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *partial = NULL;
    size_t n = 0, slices = 0;
    COT_TRY(backward_count(&n, items, n_patches + 1, width, 1, "tokens backward", err));
    COT_TRY(buffer_check(dy, dy->device, n, "tokens backward: gradient", err));
    const size_t item = (n_patches + 1) * width, patches = n_patches * width;
    if (dcls) COT_TRY(buffer_check(dcls, dy->device, width, "tokens backward: class token", err));
    if (dposition) COT_TRY(buffer_check(dposition, dy->device, item, "tokens backward: positions", err));
    if (dpatches) {
        const block to = {dpatches, patches, 0}, from = {dy, item, width};
        COT_TRY(block_add(to, from, items, patches, false, "tokens backward: patches", err));
    }
    if (!dcls && !dposition) goto done;
    COT_TRY(backward_columns(&partial, &slices, dy, NULL, NULL, false, items, item, err));
    COT_TRY(backward_fold(dcls, partial, slices, item, 0, width, true, err));
    COT_TRY(backward_fold(dposition, partial, slices, item, 0, item, true, err));
done:
    return status;
}

cot_status cot_row_backward(cot_buffer *dx, const cot_buffer *dy, size_t items, size_t rows, size_t at, size_t width,
                            cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    if (at >= rows) return cot_fail(err, COT_E_BUG, "row backward: row %zu of %zu", at, rows);
    COT_TRY(backward_count(&n, items, rows, width, 1, "row backward", err));
    const block to = {dx, rows * width, at * width}, from = {dy, width, 0};
    COT_TRY(block_add(to, from, items, width, false, "row backward", err));
done:
    return status;
}

cot_status cot_row_write_backward(cot_buffer *dy, cot_buffer *dx, size_t items, size_t rows, size_t at, size_t width,
                                  cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    if (at >= rows) return cot_fail(err, COT_E_BUG, "row write backward: row %zu of %zu", at, rows);
    COT_TRY(backward_count(&n, items, rows, width, 1, "row write backward", err));
    const block to = {dx, width, 0}, from = {dy, rows * width, at * width};
    COT_TRY(block_add(to, from, items, width, true, "row write backward", err));
done:
    return status;
}

cot_status cot_concat_backward(cot_buffer *da, size_t a_width, cot_buffer *db, size_t b_width, const cot_buffer *dy,
                               size_t rows, cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0, both = 0;
    if (!cot_add(&both, a_width, b_width)) return cot_fail(err, COT_E_LIMIT, "concat backward: rows too wide");
    COT_TRY(backward_count(&n, rows, both, 1, 1, "concat backward", err));
    const block a = {da, a_width, 0}, b = {db, b_width, 0}, left = {dy, both, 0}, right = {dy, both, a_width};
    if (da) COT_TRY(block_add(a, left, rows, a_width, false, "concat backward: left", err));
    if (db) COT_TRY(block_add(b, right, rows, b_width, false, "concat backward: right", err));
done:
    return status;
}
