/* The part of a device's self-test that the golden folder has not: convolutions, as encoders use them. The host computes what
 * is expected, in double precision and by the definition, from numbers of a fixed generator.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGES = 2 };
typedef struct conv_case {
    cot_conv_shape shape;
    bool residual;
} conv_case;
/* A stem on one grey channel, a block's two, its downsample, and one whose channels fill no vector. */
static const conv_case cases[] = {
    {{1, 9, 7, 2, 3, 21, 18}, false}, {{9, 33, 3, 2, 1, 11, 9}, false}, {{33, 33, 3, 1, 1, 6, 5}, true},
    {{9, 33, 1, 2, 0, 11, 9}, false}, {{16, 64, 1, 1, 0, 7, 7}, false},
};

typedef struct conv_data {
    size_t nx, nw, ny;
    float *x, *w, *scale, *shift, *residual, *y;
} conv_data;

/* Numbers in [-1, 1) of a linear congruence. */
static float *numbers(size_t n, uint32_t seed)
{
    float *v = malloc(n * sizeof *v);
    for (size_t i = 0; v && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    return v;
}

static void data_fini(conv_data *d)
{
    float *const all[] = {d->x, d->w, d->scale, d->shift, d->residual, d->y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static cot_status data_init(conv_data *d, const cot_conv_shape *s, cot_error *err)
{
    const size_t oh = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad),
                 ow = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad);
    *d = (conv_data){.nx = IMAGES * s->in_h * s->in_w * s->in_c,
                     .nw = s->out_c * s->in_c * s->kernel * s->kernel,
                     .ny = IMAGES * oh * ow * s->out_c};
    d->x = numbers(d->nx, 1);
    d->w = numbers(d->nw, 2);
    d->scale = numbers(s->out_c, 3);
    d->shift = numbers(s->out_c, 4);
    d->residual = numbers(d->ny, 5);
    d->y = calloc(d->ny, sizeof *d->y);
    const bool all = d->x && d->w && d->scale && d->shift && d->residual && d->y;
    return all ? COT_OK : cot_fail(err, COT_E_MEMORY, "self-test: no memory");
}

/* One float of relu(conv(x) * scale + shift (+ residual)). */
static double expected(const conv_data *d, const conv_case *c, size_t at)
{
    const cot_conv_shape *s = &c->shape;
    const size_t ow = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad),
                 oh = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad);
    const size_t o = at % s->out_c, x = at / s->out_c % ow, y = at / s->out_c / ow % oh,
                 image = at / s->out_c / ow / oh;
    double sum = 0;
    for (size_t t = 0; t < s->kernel * s->kernel; t++) {
        const size_t row = y * s->stride + t / s->kernel, column = x * s->stride + t % s->kernel;
        if (row < s->pad || row - s->pad >= s->in_h || column < s->pad || column - s->pad >= s->in_w) continue;
        const float *pixel = d->x + ((image * s->in_h + row - s->pad) * s->in_w + column - s->pad) * s->in_c;
        for (size_t i = 0; i < s->in_c; i++)
            sum += (double)pixel[i] * (double)d->w[(o * s->in_c + i) * s->kernel * s->kernel + t];
    }
    sum = sum * (double)d->scale[o] + (double)d->shift[o] + (c->residual ? (double)d->residual[at] : 0.0);
    return sum > 0 ? sum : 0;
}

static cot_status on_device(conv_data *d, const conv_case *c, cot_device *device, cot_error *err)
{
    cot_status status;
    cot_weights *w = NULL;
    cot_buffer *x = NULL, *y = NULL, *residual = NULL, *scratch = NULL;
    COT_TRY(cot_conv_prepare(&w, device, d->w, d->scale, d->shift, &c->shape, err));
    COT_TRY(cot_buffer_create(&x, device, d->nx, err));
    COT_TRY(cot_buffer_create(&y, device, d->ny, err));
    COT_TRY(cot_buffer_create(&residual, device, d->ny, err));
    COT_TRY(cot_buffer_create(&scratch, device, cot_conv_scratch(w, IMAGES) + 1, err));
    COT_TRY(cot_buffer_write(x, 0, d->x, d->nx, err));
    COT_TRY(cot_buffer_write(residual, 0, d->residual, d->ny, err));
    COT_TRY(cot_conv_forward(y, x, w, IMAGES, c->residual ? residual : NULL, COT_ACT_RELU, scratch, err));
    COT_TRY(cot_buffer_read(y, 0, d->y, d->ny, err));
done:
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_buffer_destroy(residual);
    cot_buffer_destroy(scratch);
    cot_weights_destroy(w);
    return status;
}

static cot_status convolve(const conv_case *c, cot_device *device, double bound, cot_error *err)
{
    cot_status status;
    conv_data d = {0};
    const cot_conv_shape *s = &c->shape;
    double most = 0, scale = 0;
    COT_TRY(data_init(&d, s, err));
    COT_TRY(on_device(&d, c, device, err));
    for (size_t i = 0; i < d.ny; i++) {
        const double want = expected(&d, c, i), error = fabs((double)d.y[i] - want);
        if (!(error <= most)) most = isfinite(error) ? error : (double)INFINITY;
        scale = fmax(scale, want);
    }
    if (!(most <= bound * scale))
        status = cot_fail(
            err, COT_E_DEVICE,
            "it computes wrongly: a %zux%zu convolution, stride %zu, %zu to %zu channels, differs by %.2g from "
            "the known answer, %.0e is allowed; another driver version may help",
            s->kernel, s->kernel, s->stride, s->in_c, s->out_c, most / scale, bound);
done:
    data_fini(&d);
    return status;
}

cot_status golden_convolve(cot_device *device, double bound, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) COT_TRY(convolve(&cases[i], device, bound, err));
done:
    return status;
}
