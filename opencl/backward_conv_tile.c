/* Convolutions in training with the tile kernels: the images are read where they lie, the weights (small) are packed on
 * the device at each step. The gradient of the image is a convolution of dy with the weights turned round; a stride
 * splits it into one such convolution per phase. The gradient of the weights sums over pixels in slices that a core's
 * cache holds, and the slices in order. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

#define SLICE_FLOATS   ((size_t)96 << 10) /* of image and dy, what half of a second-level cache holds */
#define PARTIAL_FLOATS ((size_t)4 << 20)  /* of all slices' sums, unless one is larger */
enum { PACK_ROWS = 16, FOLDED = 4 };      /* as in kernels/batch_training.cl */
#define ITEMS_GPU ((size_t)4096)

static size_t width_of(const cot_device *device)
{
    return (size_t)device->tile.vector * 2;
}

/* Weights' gradient: columns are the image's channels, or, turned, dy's. */
static bool is_turned(const cot_device *device, const cot_conv_shape *s)
{
    return s->in_c < width_of(device);
}

bool conv_tile_gives_weights(const cot_device *device, const cot_conv_shape *s)
{
    return s->in_c >= width_of(device) || s->out_c >= width_of(device);
}

/* ---- packing ---- */
typedef struct pack_steps {
    size_t columns, run, taps, across;           /* what is packed */
    size_t first;                                /* floats of w before tap 0 */
    ptrdiff_t column, row, tap_down, tap_across; /* floats of w to the next one */
} pack_steps;

static cot_status pack(cot_buffer **packed, const cot_buffer *w, const pack_steps *p, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t panels = tile_panels(w->device, p->columns);
    size_t floats = 0;
    COT_TRY(backward_count(&floats, panels * width_of(w->device), p->taps, p->run, 1, "convolution's weights", err));
    COT_TRY(backward_scratch(packed, w->device, SCRATCH_PACKED, floats, err));
    const cl_int4 s = {{(cl_int)p->columns, (cl_int)p->run, (cl_int)p->across, (cl_int)p->first}};
    const cl_int4 step = {{(cl_int)p->column, (cl_int)p->row, (cl_int)p->tap_down, (cl_int)p->tap_across}};
    const cl_int taps = (cl_int)p->taps;
    const kernel_arg args[] = {ARG_BUFFER(*packed), ARG_BUFFER(w), ARG_VALUE(s), ARG_VALUE(taps), ARG_VALUE(step)};
    COT_TRY(
        BACKWARD_LAUNCH(w->device, BACKWARD_PACK, args, (p->run + PACK_ROWS - 1) / PACK_ROWS, panels * p->taps, err));
done:
    return status;
}

/* ---- forward ---- */
cot_status conv_tile_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_conv_shape *s, size_t n,
                             cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = y->device;
    const size_t taps = s->kernel * s->kernel, total = taps * s->in_c;
    cot_buffer *packed = NULL, *zeros = NULL, *bordered = NULL;
    const pack_steps steps = {s->out_c, total, 1, 1, 0, (ptrdiff_t)total, 1, 0, 0};
    const size_t columns = tile_panels(device, s->out_c) * width_of(device), run = s->kernel * s->in_c;
    COT_TRY(pack(&packed, w, &steps, err));
    COT_TRY(backward_scratch(&zeros, device, SCRATCH_ZEROS, columns > run ? columns : run, err));
    const cot_weights weights = {device, COT_GEMM_TILE, true,  packed, zeros,
                                 zeros,  s->out_c,      total, *s,     conv_few_channels(s)};
    if (weights.border && s->pad > 0) {
        size_t floats = 0;
        COT_TRY(backward_count(&floats, n, s->in_h + 2 * s->pad, s->in_w + 2 * s->pad, s->in_c, "convolution", err));
        COT_TRY(backward_scratch(&bordered, device, SCRATCH_LAYER, floats, err));
        COT_TRY(conv_border(bordered, x, &weights, n, err));
        x = bordered;
    }
    COT_TRY(conv_tile(y, x, &weights, n, NULL, COT_ACT_NONE, err));
done:
    return status;
}

/* ---- gradient of the image ---- */
/* Along one axis, pixels `phase`, phase + stride, …: `count` of them, reached by taps r, r + stride, … of `taps`. */
typedef struct axis_phase {
    size_t phase, count, taps, r;
    ptrdiff_t pad;
} axis_phase;

static axis_phase phase_of(const cot_conv_shape *s, size_t size, size_t phase)
{
    axis_phase p = {phase, size > phase ? (size - phase + s->stride - 1) / s->stride : 0, 0, 0, 0};
    p.r = (phase + s->pad) % s->stride;
    p.taps = s->kernel > p.r ? (s->kernel - p.r + s->stride - 1) / s->stride : 0;
    p.pad = (ptrdiff_t)p.taps - 1 - (ptrdiff_t)((phase + s->pad) / s->stride);
    return p;
}

static cot_status phase_run(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *w, const cot_conv_shape *s,
                            size_t n, const axis_phase *down, const axis_phase *across, bool add, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *packed = NULL, *zeros = NULL;
    const ptrdiff_t c = (ptrdiff_t)s->in_c, k = (ptrdiff_t)s->kernel, stride = (ptrdiff_t)s->stride;
    const size_t last_down = down->r + s->stride * (down->taps - 1),
                 last_across = across->r + s->stride * (across->taps - 1);
    const pack_steps steps = {
        s->in_c, s->out_c,  down->taps * across->taps, across->taps, (last_down * s->kernel + last_across) * s->in_c,
        1,       k * k * c, -stride * k * c,           -stride * c};
    const size_t rows = n * down->count * across->count, panels = tile_panels(device, s->in_c);
    if (rows == 0) return COT_OK;
    COT_TRY(pack(&packed, w, &steps, err));
    COT_TRY(backward_scratch(&zeros, device, SCRATCH_ZEROS, s->out_c, err));
    const unsigned height = tile_height_apart(device, rows, panels, s->out_c);
    const size_t tiles = (rows + device->tile.heights[height] - 1) / device->tile.heights[height];
    const cot_weights like = {.device = device, .out = s->in_c, .in = s->out_c * steps.taps};
    const cl_int flags = tile_order(&like);
    const cl_int8 in = {{(cl_int)cot_conv_out(s->in_h, s->kernel, s->stride, s->pad),
                         (cl_int)cot_conv_out(s->in_w, s->kernel, s->stride, s->pad), (cl_int)s->out_c,
                         (cl_int)down->taps, (cl_int)across->taps, (cl_int)down->pad, (cl_int)across->pad, add}};
    const cl_int4 out = {{(cl_int)rows, (cl_int)down->count, (cl_int)across->count, (cl_int)s->in_c}};
    const cl_int4 phase = {{(cl_int)s->stride, (cl_int)down->phase, (cl_int)across->phase, 0}};
    const cl_int2 full = {{(cl_int)s->in_h, (cl_int)s->in_w}};
    const kernel_arg args[] = {ARG_BUFFER(dx), ARG_BUFFER(dy), ARG_BUFFER(packed), ARG_BUFFER(zeros), ARG_VALUE(flags),
                               ARG_VALUE(in),  ARG_VALUE(out), ARG_VALUE(phase),   ARG_VALUE(full)};
    const bool turned = flags & TILE_PANELS_FIRST;
    COT_TRY(BACKWARD_LAUNCH(device, (backward_id)(BACKWARD_CONV_INPUT + height), args, turned ? panels : tiles,
                            turned ? tiles : panels, err));
done:
    return status;
}

cot_status conv_tile_input(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *w, const cot_conv_shape *s, size_t n,
                           bool add, cot_error *err)
{
    cot_status status = COT_OK;
    bool gaps = false; /* phases that no tap reaches */
    for (size_t i = 0; i < s->stride; i++) gaps = gaps || !phase_of(s, s->in_h, i).taps;
    if (gaps && !add) {
        COT_TRY(cot_buffer_zero(dx, err));
        add = true;
    }
    for (size_t i = 0; i < s->stride * s->stride; i++) {
        const axis_phase down = phase_of(s, s->in_h, i / s->stride), across = phase_of(s, s->in_w, i % s->stride);
        if (down.taps && across.taps) COT_TRY(phase_run(dx, dy, w, s, n, &down, &across, add, err));
    }
done:
    return status;
}

/* ---- gradient of the weights ---- */
typedef struct weights_plan {
    cl_int8 in;
    cl_int4 out;
    size_t rows, columns, taps, slices, tiles, panels;
    unsigned height;
    bool turned;
} weights_plan;

static void weights_plan_make(weights_plan *p, const cot_device *device, const cot_conv_shape *s, size_t n, bool border)
{
    const size_t out_h = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad);
    const size_t out_w = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad), lines = n * out_h;
    const size_t edge = border ? 2 * s->pad : 0, run = border ? s->kernel * s->in_c : s->in_c;
    p->turned = is_turned(device, s);
    p->rows = p->turned ? run : s->out_c;
    p->columns = p->turned ? s->out_c : s->in_c;
    p->taps = s->kernel * (border ? 1 : s->kernel);
    p->panels = tile_panels(device, p->columns);
    p->height = tile_height(device, p->rows, p->panels);
    p->tiles = (p->rows + device->tile.heights[p->height] - 1) / device->tile.heights[p->height];
    p->in = (cl_int8){{(cl_int)(s->in_h + edge), (cl_int)(s->in_w + edge), (cl_int)s->in_c, (cl_int)s->kernel,
                       (cl_int)(border ? 1 : s->kernel), (cl_int)s->stride, (cl_int)(border ? 0 : s->pad), p->turned}};
    p->out = (cl_int4){{(cl_int)lines, (cl_int)out_h, (cl_int)out_w, (cl_int)s->out_c}};
    const size_t line = out_w * (s->stride * s->stride * s->in_c + s->out_c), sums = p->taps * p->rows * p->columns;
    size_t wanted = lines * line / SLICE_FLOATS + 1;
    if (device->info.type != COT_DEVICE_CPU) wanted = ITEMS_GPU / (p->taps * p->tiles * p->panels) + 1;
    if (wanted > PARTIAL_FLOATS / sums) wanted = PARTIAL_FLOATS / sums;
    if (wanted > lines) wanted = lines;
    p->slices = wanted ? wanted : 1;
}

static cot_status weights_run(cot_buffer *to, const cot_buffer *dy, const cot_buffer *x, const weights_plan *p,
                              bool add, cot_error *err)
{
    const cl_int4 size = {{(cl_int)p->rows, (cl_int)p->columns, (cl_int)p->slices, add}};
    const kernel_arg args[] = {ARG_BUFFER(to),   ARG_BUFFER(dy),    ARG_BUFFER(x),
                               ARG_VALUE(p->in), ARG_VALUE(p->out), ARG_VALUE(size)};
    return BACKWARD_LAUNCH(to->device, (backward_id)(BACKWARD_CONV_WEIGHTS + p->height), args,
                           p->taps * p->tiles * p->panels, p->slices, err);
}

static cot_status weights_fold(cot_buffer *dw, const cot_buffer *partial, size_t slices, size_t n, cot_error *err)
{
    const cl_int s = (cl_int)slices, all = (cl_int)n;
    const kernel_arg args[] = {ARG_BUFFER(dw), ARG_BUFFER(partial), ARG_VALUE(s), ARG_VALUE(all)};
    const size_t items = (backward_vectors(dw->device, n) + FOLDED - 1) / FOLDED;
    return BACKWARD_LAUNCH(dw->device, BACKWARD_FOLD_WEIGHTS, args, items, 1, err);
}

cot_status conv_tile_weights(cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x, const cot_conv_shape *s,
                             size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = dy->device;
    cot_buffer *bordered = NULL, *partial = NULL;
    weights_plan p;
    const bool border = is_turned(device, s) && conv_few_channels(s);
    weights_plan_make(&p, device, s, n, border);
    const size_t sums = p.taps * p.rows * p.columns;
    if (border && s->pad > 0) {
        size_t floats = 0;
        const cot_weights like = {.device = device, .shape = *s};
        COT_TRY(backward_count(&floats, n, s->in_h + 2 * s->pad, s->in_w + 2 * s->pad, s->in_c, "convolution", err));
        COT_TRY(backward_scratch(&bordered, device, SCRATCH_LAYER, floats, err));
        COT_TRY(conv_border(bordered, x, &like, n, err));
        x = bordered;
    }
    if (p.slices == 1 && !p.turned) {
        COT_TRY(weights_run(dw, dy, x, &p, true, err));
        goto done;
    }
    COT_TRY(backward_scratch(&partial, device, SCRATCH_SUMS, p.slices * sums, err));
    COT_TRY(weights_run(partial, dy, x, &p, false, err));
    if (!p.turned) {
        COT_TRY(weights_fold(dw, partial, p.slices, sums, err));
        goto done;
    }
    const cl_int slices = (cl_int)p.slices, rows = (cl_int)(p.taps * p.rows), columns = (cl_int)p.columns;
    const kernel_arg args[] = {ARG_BUFFER(dw), ARG_BUFFER(partial), ARG_VALUE(slices), ARG_VALUE(rows),
                               ARG_VALUE(columns)};
    COT_TRY(BACKWARD_LAUNCH(device, BACKWARD_FOLD_TURNED, args, p.columns, p.taps * p.rows, err));
done:
    return status;
}
