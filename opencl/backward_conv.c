/* Convolutions in training: with the tile kernels (backward_conv_tile.c), or, where CLBlast multiplies and for the
 * weights of few channels, as plain products over im2col's rows: y = cols · wᵀ, dw = dyᵀ · cols, dcols = dy · w and back
 * by a gather. Images go in chunks, so that the copies stay within a bound. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

/* Floats of the copies at a time, unless one image needs more: what a CPU's cache still holds when the product reads it. */
#define CHUNK_CPU ((size_t)1 << 19)
#define CHUNK_GPU ((size_t)1 << 24)

typedef struct conv_plan {
    const cot_conv_shape *s;
    size_t pixels, taps; /* of one result image; floats of one row of the copies */
    size_t chunk;        /* images at a time */
    bool direct;         /* 1x1: the image is its own im2col */
} conv_plan;

static cot_status plan_make(conv_plan *p, const cot_device *device, const cot_conv_shape *s, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t most = 1 << 15;
    size_t one = 0, all = 0;
    if (!s->in_c || !s->out_c || !s->kernel || !s->stride || s->kernel > 64 || s->stride > 64 || s->pad > 64 ||
        s->in_h > most || s->in_w > most || s->in_h + 2 * s->pad < s->kernel || s->in_w + 2 * s->pad < s->kernel)
        return cot_fail(err, COT_E_BUG, "convolution: kernel %zu, stride %zu, pad %zu, %zu to %zu channels on %zux%zu",
                        s->kernel, s->stride, s->pad, s->in_c, s->out_c, s->in_h, s->in_w);
    p->s = s;
    p->pixels =
        cot_conv_out(s->in_h, s->kernel, s->stride, s->pad) * cot_conv_out(s->in_w, s->kernel, s->stride, s->pad);
    COT_TRY(backward_count(&p->taps, s->kernel, s->kernel, s->in_c, 1, "convolution", err));
    COT_TRY(backward_count(&one, p->pixels, p->taps, 1, 1, "convolution", err));
    COT_TRY(backward_count(&all, n, s->in_h, s->in_w, s->in_c, "convolution", err));
    COT_TRY(backward_count(&all, n, p->pixels, s->out_c, 1, "convolution", err));
    p->direct = s->kernel == 1 && s->stride == 1 && s->pad == 0;
    const size_t most_floats = device->info.type == COT_DEVICE_CPU ? CHUNK_CPU : CHUNK_GPU;
    p->chunk = one && most_floats / one ? most_floats / one : 1;
    if (p->chunk > n || p->direct) p->chunk = n;
done:
    return status;
}

static cl_int8 shape_arg(const cot_conv_shape *s)
{
    const cl_int8 in = {{(cl_int)s->in_h, (cl_int)s->in_w, (cl_int)s->in_c, (cl_int)s->kernel, (cl_int)s->stride,
                         (cl_int)s->pad, (cl_int)cot_conv_out(s->in_h, s->kernel, s->stride, s->pad),
                         (cl_int)cot_conv_out(s->in_w, s->kernel, s->stride, s->pad)}};
    return in;
}

static cot_status cols_read(cot_buffer *cols, const cot_buffer *x, const conv_plan *p, size_t first, size_t n,
                            cot_error *err)
{
    const cl_int8 in = shape_arg(p->s);
    const cl_int from = (cl_int)first, rows = (cl_int)(n * p->pixels);
    const kernel_arg args[] = {ARG_BUFFER(cols), ARG_BUFFER(x), ARG_VALUE(in), ARG_VALUE(from), ARG_VALUE(rows)};
    return BACKWARD_LAUNCH(x->device, BACKWARD_IM2COL, args, n * p->pixels, 1, err);
}

static cot_status cols_return(cot_buffer *dx, const cot_buffer *cols, const conv_plan *p, size_t first, size_t n,
                              cot_error *err)
{
    const cl_int8 in = shape_arg(p->s);
    const cl_int from = (cl_int)first;
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(cols), ARG_VALUE(in), ARG_VALUE(from)};
    return BACKWARD_LAUNCH(dx->device, BACKWARD_COL2IM, args, backward_vectors(dx->device, p->s->in_c),
                           n * p->s->in_h * p->s->in_w, err);
}

static cot_status conv_check(const cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const conv_plan *p,
                             size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(buffer_check(y, y->device, n * p->pixels * p->s->out_c, "convolution: result or its gradient", err));
    if (x) COT_TRY(buffer_check(x, y->device, n * p->s->in_h * p->s->in_w * p->s->in_c, "convolution: input", err));
    if (w) COT_TRY(buffer_check(w, y->device, p->s->out_c * p->taps, "convolution: weights", err));
done:
    return status;
}

static bool tiled(const cot_buffer *y)
{
    return y->device->gemm == COT_GEMM_TILE;
}

static cot_status scratch_for(cot_buffer **cols, const cot_buffer *y, const conv_plan *p, cot_error *err)
{
    if (p->direct) return COT_OK;
    return backward_scratch(cols, y->device, SCRATCH_LAYER, p->chunk * p->pixels * p->taps, err);
}

cot_status cot_conv_plain_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_conv_shape *shape,
                                  size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    conv_plan p;
    cot_buffer *cols = NULL;
    COT_TRY(plan_make(&p, y->device, shape, n, err));
    COT_TRY(conv_check(y, x, w, &p, n, err));
    if (n == 0) goto done;
    if (tiled(y)) {
        COT_TRY(conv_tile_forward(y, x, w, shape, n, err));
        goto done;
    }
    COT_TRY(scratch_for(&cols, y, &p, err));
    for (size_t first = 0; first < n; first += p.chunk) {
        const size_t part = n - first < p.chunk ? n - first : p.chunk;
        const product_at at = {first * p.pixels * shape->out_c, 0, 0};
        if (!p.direct) COT_TRY(cols_read(cols, x, &p, first, part, err));
        COT_TRY(
            product_run(y, p.direct ? x : cols, false, w, true, part * p.pixels, shape->out_c, p.taps, false, at, err));
    }
done:
    return status;
}

cot_status cot_conv_input_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *w,
                                   const cot_conv_shape *shape, size_t n, bool add, cot_error *err)
{
    cot_status status = COT_OK;
    conv_plan p;
    cot_buffer *cols = NULL;
    COT_TRY(plan_make(&p, dy->device, shape, n, err));
    COT_TRY(conv_check(dy, dx, w, &p, n, err));
    if (n == 0) goto done;
    if (tiled(dy)) {
        COT_TRY(conv_tile_input(dx, dy, w, shape, n, add, err));
        goto done;
    }
    if (!add) COT_TRY(cot_buffer_zero(dx, err));
    COT_TRY(scratch_for(&cols, dy, &p, err));
    for (size_t first = 0; first < n; first += p.chunk) {
        const size_t part = n - first < p.chunk ? n - first : p.chunk;
        const product_at at = {0, first * p.pixels * shape->out_c, 0};
        COT_TRY(product_run(p.direct ? dx : cols, dy, false, w, false, part * p.pixels, p.taps, shape->out_c, p.direct,
                            at, err));
        if (!p.direct) COT_TRY(cols_return(dx, cols, &p, first, part, err));
    }
done:
    return status;
}

cot_status cot_conv_weights_backward(cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x,
                                     const cot_conv_shape *shape, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    conv_plan p;
    cot_buffer *cols = NULL;
    COT_TRY(plan_make(&p, dy->device, shape, n, err));
    COT_TRY(conv_check(dy, x, dw, &p, n, err));
    if (n == 0) goto done;
    if (tiled(dy) && conv_tile_gives_weights(dy->device, shape)) {
        COT_TRY(conv_tile_weights(dw, dy, x, shape, n, err));
        goto done;
    }
    COT_TRY(scratch_for(&cols, dy, &p, err));
    for (size_t first = 0; first < n; first += p.chunk) {
        const size_t part = n - first < p.chunk ? n - first : p.chunk;
        const product_at at = {0, first * p.pixels * shape->out_c, 0};
        if (!p.direct) COT_TRY(cols_read(cols, x, &p, first, part, err));
        COT_TRY(product_run(dw, dy, true, p.direct ? x : cols, false, shape->out_c, p.taps, part * p.pixels, true, at,
                            err));
    }
done:
    return status;
}

cot_status cot_conv_backward(cot_buffer *dx, cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x,
                             const cot_buffer *w, const cot_conv_shape *shape, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    if (dw) COT_TRY(cot_conv_weights_backward(dw, dy, x, shape, n, err));
    if (dx) COT_TRY(cot_conv_input_backward(dx, dy, w, shape, n, true, err));
done:
    return status;
}
