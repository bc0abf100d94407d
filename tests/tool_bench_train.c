/* links: opencl config */
/* Times what one training step of ResNet-18 does, layer by layer: each convolution's forward and both gradients, and
 * each batch norm's two passes, alternating, medians of the rounds: tool_bench_train [device [rounds [width [batch]]]].
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static cot_device *device;
static double wall;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(cot_status status, const cot_error *err)
{
    if (status == COT_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static cot_buffer *filled(size_t n, float scale)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *b = NULL;
    uint32_t r = 12345;
    float *x = malloc(n * sizeof *x);
    if (!x) exit(1);
    for (size_t i = 0; i < n; i++) {
        r = r * 1664525u + 1013904223u;
        x[i] = scale * ((float)(r >> 8) / 8388608.0f - 1.0f);
    }
    must(cot_buffer_create(&b, device, n, &err), &err);
    must(cot_buffer_write(b, 0, x, n, &err), &err);
    free(x);
    return b;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { PASSES = 5, ROUNDS_MOST = 200 };
static double seconds[PASSES][ROUNDS_MOST];

static double median(int pass, int rounds)
{
    qsort(seconds[pass], (size_t)rounds, sizeof **seconds, ascending);
    return seconds[pass][rounds / 2];
}

#define TIMED(pass, call)                                                                                              \
    do {                                                                                                               \
        must(cot_device_finish(device, &err), &err);                                                                   \
        const double start_ = now();                                                                                   \
        must(call, &err);                                                                                              \
        must(cot_device_finish(device, &err), &err);                                                                   \
        if (r >= 0) seconds[pass][r] = now() - start_;                                                                 \
    } while (0)

/* `times`: how often the network has this layer. */
static void layer(cot_conv_shape s, size_t n, size_t times, int rounds)
{
    cot_error err = COT_ERROR_INIT;
    const size_t side = cot_conv_out(s.in_h, s.kernel, s.stride, s.pad), rows = n * side * side, ny = rows * s.out_c;
    const size_t nx = n * s.in_h * s.in_w * s.in_c, nw = s.out_c * s.in_c * s.kernel * s.kernel;
    cot_buffer *x = filled(nx, 1), *y = filled(ny, 1), *w = filled(nw, 0.1f), *dx = filled(nx, 1), *dw = filled(nw, 1),
               *z = filled(ny, 1), *one = filled(8 * s.out_c, 1);
    cot_buffer *saved = filled(2 * s.out_c, 1), *gamma = filled(s.out_c, 1), *mean = filled(s.out_c, 1),
               *var = filled(s.out_c, 1);
    const cot_norm norm = {s.out_c, gamma, gamma, mean, var, saved, 1e-5f, 0.1f, true};
    for (int r = -1; r < rounds; r++) {
        TIMED(0, cot_conv_plain_forward(y, x, w, &s, n, &err));
        TIMED(1, s.in_c > 1 ? cot_conv_input_backward(dx, y, w, &s, n, false, &err) : COT_OK);
        TIMED(2, cot_conv_weights_backward(dw, y, x, &s, n, &err));
        TIMED(3, cot_norm_forward(z, &norm, y, NULL, true, rows, &err));
        TIMED(4, cot_norm_backward(z, one, one, z, NULL, &norm, y, true, rows, &err));
    }
    const double flops = 2.0 * (double)(rows * nw);
    double t[PASSES], all = 0;
    for (int i = 0; i < PASSES; i++) all += t[i] = median(i, rounds);
    printf("%zux%zu/%zu %3zu->%3zu on %3zu x%zu: forward %6.2f ms %4.0f GF/s  dx %6.2f ms %4.0f  dw %6.2f ms %4.0f  "
           "norm %5.2f %5.2f ms  all %7.1f ms\n",
           s.kernel, s.kernel, s.stride, s.in_c, s.out_c, s.in_h, times, 1e3 * t[0], flops / t[0] * 1e-9, 1e3 * t[1],
           s.in_c > 1 ? flops / t[1] * 1e-9 : 0.0, 1e3 * t[2], flops / t[2] * 1e-9, 1e3 * t[3], 1e3 * t[4],
           1e3 * all * (double)times);
    fflush(stdout);
    wall += all * (double)times;
    cot_buffer *const made[] = {x, y, w, dx, dw, z, one, saved, gamma, mean, var};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) cot_buffer_destroy(made[i]);
}

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.match = argc > 1 ? argv[1] : "cpu";
    options.gemm = COT_GEMM_TILE;
    const int asked = argc > 2 ? atoi(argv[2]) : 5, rounds = asked < 1 ? 1 : asked > ROUNDS_MOST ? ROUNDS_MOST : asked;
    const size_t width = argc > 3 ? (size_t)atoi(argv[3]) : 32, n = argc > 4 ? (size_t)atoi(argv[4]) : 32;
    double peak = 0;
    must(cot_device_open(&device, &options, &err), &err);
    must(cot_device_peak(device, 0.5, &peak, &err), &err);
    printf("%s, peak %.0f GF/s, batch %zu\n", cot_device_about(device)->name, peak, n);
    layer((cot_conv_shape){1, width, 7, 2, 3, 224, 224}, n, 1, rounds);
    layer((cot_conv_shape){width, width, 3, 1, 1, 56, 56}, n, 4, rounds);
    for (size_t i = 1, side = 56; i < 4; i++, side /= 2) {
        const size_t in = width << (i - 1), out = width << i;
        layer((cot_conv_shape){in, out, 3, 2, 1, side, side}, n, 1, rounds);
        layer((cot_conv_shape){in, out, 1, 2, 0, side, side}, n, 1, rounds);
        layer((cot_conv_shape){out, out, 3, 1, 1, side / 2, side / 2}, n, 3, rounds);
    }
    printf("all %.1f ms\n", 1e3 * wall);
    cot_device_close(device);
    return 0;
}
