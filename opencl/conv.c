/* Convolutions over NHWC: an implicit GEMM with the tile kernel (taps outside of the image read a row of zeros), or
 * im2col and CLBlast. With few channels, as in a stem on one grey channel, whole rows of taps are contiguous in a copy
 * with a border, so the sum runs over kernel*channels floats at once. Strides, pads and kernels are free.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <math.h>
#include <stdlib.h>

#define FEW_CHANNELS  8
#define IM2COL_FLOATS ((size_t)1 << 24) /* scratch of one chunk of images, unless one image needs more */

typedef struct conv_sizes {
    size_t out_h, out_w, pixels; /* of one result image */
    size_t border_h, border_w;
} conv_sizes;

bool conv_few_channels(const cot_conv_shape *shape)
{
    return shape->in_c < FEW_CHANNELS && shape->kernel > 1;
}

static conv_sizes sizes_of(const cot_conv_shape *s)
{
    conv_sizes z;
    z.out_h = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad);
    z.out_w = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad);
    z.pixels = z.out_h * z.out_w;
    z.border_h = s->in_h + 2 * s->pad;
    z.border_w = s->in_w + 2 * s->pad;
    return z;
}

/* Bounds every product that is formed later. */
static cot_status shape_check(const cot_conv_shape *s, cot_error *err)
{
    const size_t most = 1 << 15;
    if (!s->in_c || !s->out_c || !s->kernel || !s->stride || !s->in_h || !s->in_w)
        return cot_fail(err, COT_E_BUG, "convolution: a size is zero");
    if (s->in_c > most || s->out_c > most || s->kernel > 64 || s->stride > 64 || s->pad > 64 || s->in_h > most ||
        s->in_w > most)
        return cot_fail(err, COT_E_LIMIT,
                        "convolution %zux%zu over %zu channels on %zux%zu: larger than this program handles", s->kernel,
                        s->kernel, s->in_c, s->in_h, s->in_w);
    if (s->in_h + 2 * s->pad < s->kernel || s->in_w + 2 * s->pad < s->kernel)
        return cot_fail(err, COT_E_BUG, "convolution: a %zu-pixel kernel does not fit into %zux%zu", s->kernel, s->in_h,
                        s->in_w);
    const conv_sizes z = sizes_of(s);
    if (z.border_h * z.border_w * s->in_c > FLOATS_MOST || z.pixels * s->out_c > FLOATS_MOST ||
        s->kernel * s->kernel * s->in_c > FLOATS_MOST / 32)
        return cot_fail(err, COT_E_LIMIT, "convolution: an image of %zux%zux%zu is larger than one launch takes",
                        s->in_h, s->in_w, s->in_c);
    return COT_OK;
}

/* [out_c, in_c, k, k] -> [out_c, k, k, in_c], times scale. */
static void reorder(float *to, const float *from, const float *scale, const cot_conv_shape *s)
{
    const size_t taps = s->kernel * s->kernel;
    for (size_t o = 0; o < s->out_c; o++)
        for (size_t c = 0; c < s->in_c; c++)
            for (size_t t = 0; t < taps; t++)
                to[(o * taps + t) * s->in_c + c] = from[(o * s->in_c + c) * taps + t] * (scale ? scale[o] : 1.0f);
}

cot_status cot_conv_prepare(cot_weights **out, cot_device *device, const float *w, const float *scale,
                            const float *shift, const cot_conv_shape *shape, cot_error *err)
{
    cot_status status = COT_OK;
    float *rows = NULL;
    *out = NULL;
    COT_TRY(shape_check(shape, err));
    COT_TRY(weights_create(out, device, shape->out_c, shape->kernel * shape->kernel * shape->in_c, err));
    (*out)->is_conv = true;
    (*out)->shape = *shape;
    (*out)->border = (*out)->choice == COT_GEMM_TILE && conv_few_channels(shape);
    rows = malloc((*out)->out * (*out)->in * sizeof *rows);
    if (!rows) {
        status = cot_fail(err, COT_E_MEMORY, "prepare convolution: no memory");
        goto done;
    }
    reorder(rows, w, scale, shape);
    COT_TRY(weights_upload(*out, rows, shift, err));
    if ((*out)->choice == COT_GEMM_TILE)
        COT_TRY(cot_buffer_create(&(*out)->zeros, device, shape->in_c * shape->kernel, err));
done:
    free(rows);
    if (status != COT_OK) {
        cot_weights_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* ---- scratch ---- */
static bool is_plain(const cot_conv_shape *s)
{
    return s->kernel == 1 && s->stride == 1 && s->pad == 0;
}

/* Images per im2col chunk. */
static size_t chunk_of(const cot_weights *w, size_t n)
{
    const size_t one = sizes_of(&w->shape).pixels * w->in;
    const size_t fit = IM2COL_FLOATS / one ? IM2COL_FLOATS / one : 1;
    return n < fit ? n : fit;
}

size_t cot_conv_scratch(const cot_weights *w, size_t n)
{
    const conv_sizes z = sizes_of(&w->shape);
    size_t floats = 0;
    if (!w->is_conv) return 0;
    if (w->choice == COT_GEMM_CLBLAST && !is_plain(&w->shape))
        return cot_mul(&floats, chunk_of(w, n), z.pixels * w->in) ? floats : SIZE_MAX;
    if (w->border && w->shape.pad > 0)
        return cot_mul(&floats, n, z.border_h * z.border_w * w->shape.in_c) ? floats : SIZE_MAX;
    return 0;
}

/* ---- forward ---- */
cot_status conv_border(cot_buffer *to, const cot_buffer *x, const cot_weights *w, size_t n, cot_error *err)
{
    const cot_conv_shape *s = &w->shape;
    const conv_sizes z = sizes_of(s);
    const cl_int h = (cl_int)s->in_h, width = (cl_int)s->in_w, c = (cl_int)s->in_c, pad = (cl_int)s->pad;
    const cl_int images = (cl_int)n;
    const kernel_arg args[] = {ARG_BUFFER(to),   ARG_BUFFER(x), ARG_VALUE(images), ARG_VALUE(h),
                               ARG_VALUE(width), ARG_VALUE(c),  ARG_VALUE(pad)};
    return KERNEL_LAUNCH(w->device, KERNEL_BORDER, args, n * z.border_h, 1, err);
}

static cot_status tile_into(cot_buffer *y, cot_slice to, const cot_buffer *x, const cot_weights *w, size_t n,
                            const cot_buffer *residual, cot_activation act, cot_error *err)
{
    cot_device *device = w->device;
    const cot_conv_shape *s = &w->shape;
    const conv_sizes z = sizes_of(s);
    const size_t rows = n * z.pixels, panels = tile_panels(device, w->out);
    const unsigned height = tile_height_apart(device, rows, panels, s->in_c * s->stride);
    cl_int8 in = {{(cl_int)s->in_h, (cl_int)s->in_w, (cl_int)s->in_c, (cl_int)s->in_c, (cl_int)s->kernel,
                   (cl_int)s->kernel, (cl_int)s->stride, (cl_int)s->pad}};
    if (w->border) { /* rows of taps are contiguous: one run of kernel*channels floats per row */
        in.s[0] = (cl_int)z.border_h;
        in.s[1] = (cl_int)z.border_w;
        in.s[3] = (cl_int)(s->kernel * s->in_c);
        in.s[5] = 1;
        in.s[7] = 0;
    }
    const cl_int8 out = {
        {(cl_int)rows, (cl_int)z.out_h, (cl_int)z.out_w, (cl_int)w->out, (cl_int)to.apart, (cl_int)to.at, 0, 0}};
    const bool inside = w->border || s->pad == 0;
    const cl_int flags = tile_order(w) | (residual ? TILE_RESIDUAL : 0) | (inside ? TILE_ALL_INSIDE : 0);
    const cl_int what = (cl_int)act;
    const cl_float lowest = act == COT_ACT_RELU ? 0.0f : -INFINITY;
    const kernel_arg args[] = {ARG_BUFFER(y),
                               ARG_BUFFER(x),
                               ARG_BUFFER(w->w),
                               ARG_BUFFER(w->bias),
                               ARG_BUFFER(residual ? residual : y),
                               ARG_BUFFER(w->zeros),
                               ARG_VALUE(flags),
                               ARG_VALUE(lowest),
                               ARG_VALUE(what),
                               ARG_VALUE(in),
                               ARG_VALUE(out)};
    return tile_launch(device, KERNEL_CONV, args, sizeof args / sizeof *args, height, rows, panels, flags, err);
}

cot_status conv_tile(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n, const cot_buffer *residual,
                     cot_activation act, cot_error *err)
{
    return tile_into(y, (cot_slice){w->out, 0}, x, w, n, residual, act, err);
}

static cot_status im2col(cot_buffer *to, const cot_buffer *x, const cot_weights *w, size_t first, size_t n,
                         cot_error *err)
{
    const cot_conv_shape *s = &w->shape;
    const conv_sizes z = sizes_of(s);
    const cl_int8 in = {{(cl_int)s->in_h, (cl_int)s->in_w, (cl_int)s->in_c, (cl_int)s->kernel, (cl_int)s->stride,
                         (cl_int)s->pad, (cl_int)z.out_h, (cl_int)z.out_w}};
    const cl_ulong from = first, rows = n * z.pixels;
    const kernel_arg args[] = {ARG_BUFFER(to), ARG_BUFFER(x), ARG_VALUE(in), ARG_VALUE(from), ARG_VALUE(rows)};
    return KERNEL_LAUNCH(w->device, KERNEL_IM2COL, args, rows, s->kernel * s->kernel, err);
}

static cot_status blast_conv(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n,
                             const cot_buffer *residual, cot_activation act, cot_buffer *scratch, cot_error *err)
{
    cot_status status = COT_OK;
    const conv_sizes z = sizes_of(&w->shape);
    const size_t chunk = is_plain(&w->shape) ? n : chunk_of(w, n);
    const bool in_place = residual && residual->mem == y->mem;
    for (size_t first = 0; first < n; first += chunk) {
        const size_t part = n - first < chunk ? n - first : chunk;
        if (is_plain(&w->shape)) {
            COT_TRY(clblast_product(y->mem, 0, x->mem, w, n * z.pixels, in_place, err));
        } else {
            COT_TRY(im2col(scratch, x, w, first, part, err));
            COT_TRY(
                clblast_product(y->mem, first * z.pixels * w->out, scratch->mem, w, part * z.pixels, in_place, err));
        }
    }
    COT_TRY(epilogue_forward(y, w, n * z.pixels, in_place ? NULL : residual, act, err));
done:
    return status;
}

static cot_status conv_check(const cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n,
                             const cot_buffer *residual, const cot_buffer *scratch, cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0, ny = 0;
    if (!w->is_conv) return cot_fail(err, COT_E_BUG, "convolution: these weights are a linear layer's");
    const conv_sizes z = sizes_of(&w->shape);
    if (!cot_mul(&nx, n, z.border_h * z.border_w * w->shape.in_c) || !cot_mul(&ny, n, z.pixels * w->out) ||
        nx > FLOATS_MOST || ny > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "convolution: %zu images are more than one launch takes; lower the batch", n);
    if (y) COT_TRY(buffer_check(y, w->device, ny, "convolution: result", err)); /* else the caller has looked */
    COT_TRY(buffer_check(x, w->device, n * w->shape.in_h * w->shape.in_w * w->shape.in_c, "convolution: input", err));
    if (residual) COT_TRY(buffer_check(residual, w->device, ny, "convolution: residual", err));
    const size_t need = cot_conv_scratch(w, n);
    if (need) COT_TRY(buffer_check(scratch, w->device, need, "convolution: scratch", err));
done:
    return status;
}

size_t cot_conv_room(const cot_weights *w, size_t n)
{
    size_t floats = 0;
    if (!w->is_conv || w->choice != COT_GEMM_CLBLAST) return 0;
    return cot_mul(&floats, n, sizes_of(&w->shape).pixels * w->out) ? floats : SIZE_MAX;
}

cot_status cot_conv_forward_into(cot_buffer *y, cot_slice to, const cot_buffer *x, const cot_weights *w, size_t n,
                                 cot_activation act, cot_buffer *scratch, cot_buffer *room, cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0;
    if (!w->is_conv) return cot_fail(err, COT_E_BUG, "convolution: these weights are a linear layer's");
    const conv_sizes z = sizes_of(&w->shape);
    if (w->choice == COT_GEMM_CLBLAST) { /* it writes whole rows only */
        COT_TRY(cot_conv_forward(room, x, w, n, NULL, act, scratch, err));
        COT_TRY(cot_norm_pool_forward(y, to, room, (cot_slice){w->out, 0}, NULL, NULL, n, z.out_h, z.out_w, w->out, 1,
                                      COT_ACT_NONE, err));
        goto done;
    }
    COT_TRY(slice_floats(&floats, to, n * z.pixels, w->out, "convolution: result", err));
    COT_TRY(conv_check(NULL, x, w, n, NULL, scratch, err));
    COT_TRY(buffer_check(y, w->device, floats, "convolution: result", err));
    if (n == 0) goto done;
    if (w->border && w->shape.pad > 0) {
        COT_TRY(conv_border(scratch, x, w, n, err));
        x = scratch;
    }
    COT_TRY(tile_into(y, to, x, w, n, NULL, act, err));
done:
    return status;
}

cot_status cot_conv_forward(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n,
                            const cot_buffer *residual, cot_activation act, cot_buffer *scratch, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(conv_check(y, x, w, n, residual, scratch, err));
    if (n == 0) goto done;
    if (w->choice == COT_GEMM_CLBLAST) {
        COT_TRY(blast_conv(y, x, w, n, residual, act, scratch, err));
        goto done;
    }
    if (w->border && w->shape.pad > 0) {
        COT_TRY(conv_border(scratch, x, w, n, err));
        x = scratch;
    }
    COT_TRY(conv_tile(y, x, w, n, residual, act, err));
done:
    return status;
}
