/* links: opencl config
 * Times ResNet-18's 3x3 convolutions alone, each alternating with the device's peak, so that other load hits both.
 * One CSV line per shape: GF/s of the best run, its share of the best peak, the median of the shares of all rounds, and the share
 * by processor time (a CPU device only: what is left when other processes take the cores).
 * Use: tool_bench_conv [match [rounds [tile|clblast [images]]]]
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MOST = 200, LAUNCHES = 10 };

/* A bench that cannot run has nothing to say: it ends with the reason. */
static void must(cot_status status, const cot_error *err)
{
    if (status == COT_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct bench {
    cot_device *device;
    size_t rounds;
    double peak; /* best seen */
    double cpu;  /* seconds of all cores that the last timing took */
} bench;

/* Seconds of one forward pass: the mean over LAUNCHES that are enqueued together, as in a model. */
static double time_once(bench *b, cot_buffer *y, cot_buffer *x, cot_weights *w, size_t n, cot_buffer *scratch)
{
    cot_error err = COT_ERROR_INIT;
    const double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < LAUNCHES; i++) must(cot_conv_forward(y, x, w, n, NULL, COT_ACT_RELU, scratch, &err), &err);
    must(cot_device_finish(b->device, &err), &err);
    b->cpu = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / LAUNCHES;
    return (now(CLOCK_MONOTONIC) - start) / LAUNCHES;
}

static void bench_conv(bench *b, const cot_conv_shape *s, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    const size_t oh = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad);
    const size_t ow = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad);
    const size_t nx = n * s->in_h * s->in_w * s->in_c, nw = s->out_c * s->in_c * s->kernel * s->kernel;
    const double flops = 2.0 * (double)(n * oh * ow) * (double)nw;
    float *host = malloc((nx > nw ? nx : nw) * sizeof *host);
    cot_weights *w = NULL;
    cot_buffer *x = NULL, *y = NULL, *scratch = NULL;
    double shares[ROUNDS_MOST], best = 0, top = 0, peak = 0, cpu = 1e9;
    ref_fill(host, nw, 1);
    must(cot_conv_prepare(&w, b->device, host, NULL, NULL, s, &err), &err);
    must(cot_buffer_create(&x, b->device, nx, &err), &err);
    must(cot_buffer_create(&y, b->device, n * oh * ow * s->out_c, &err), &err);
    must(cot_buffer_create(&scratch, b->device, cot_conv_scratch(w, n), &err), &err);
    ref_fill(host, nx, 2);
    must(cot_buffer_write(x, 0, host, nx, &err), &err);
    time_once(b, y, x, w, n, scratch);
    for (size_t i = 0; i < b->rounds; i++) {
        must(cot_device_peak(b->device, 0.01, &peak, &err), &err);
        const double gflops = flops / time_once(b, y, x, w, n, scratch) * 1e-9;
        shares[i] = gflops / peak;
        best = fmax(best, gflops);
        cpu = fmin(cpu, b->cpu);
        top = fmax(top, peak);
    }
    b->peak = fmax(b->peak, top);
    qsort(shares, b->rounds, sizeof *shares, by_size);
    printf("%zu,%zux%zu,%zux%zux%zu,%zu,stride %zu,%.1f,%.0f%%,%.0f%%,%.0f%%\n", n, s->kernel, s->kernel, s->in_h,
           s->in_w, s->in_c, s->out_c, s->stride, best, 100.0 * best / top, 100.0 * shares[b->rounds / 2],
           100.0 * flops / cpu * 1e-9 / (b->peak / (double)cot_device_about(b->device)->compute_units));
    fflush(stdout);
    cot_buffer_destroy(x), cot_buffer_destroy(y), cot_buffer_destroy(scratch);
    cot_weights_destroy(w);
    free(host);
}

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    bench b = {NULL, argc > 2 ? strtoul(argv[2], NULL, 10) : 20, 0, 0};
    options.match = argc > 1 ? argv[1] : NULL;
    options.gemm = argc > 3 && !strcmp(argv[3], "clblast") ? COT_GEMM_CLBLAST : COT_GEMM_TILE;
    if (b.rounds < 1 || b.rounds > ROUNDS_MOST) b.rounds = ROUNDS_MOST;
    if (cot_device_open(&b.device, &options, &err) != COT_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("images,kernel,input,out,stride,GF/s best,share of peak (bests),share (median round),share in CPU time\n");
    for (size_t n = 1; n <= 8; n += 7)
        for (size_t width = 32; width <= 64; width *= 2) {
            if (argc > 4 && strtoul(argv[4], NULL, 10) != n) continue;
            const cot_conv_shape stem = {1, width, 7, 2, 3, 224, 224};
            bench_conv(&b, &stem, n);
            for (size_t size = 56, c = width; size >= 7; size /= 2, c *= 2) {
                const cot_conv_shape same = {c, c, 3, 1, 1, size, size}, down = {c, c * 2, 3, 2, 1, size, size};
                bench_conv(&b, &same, n);
                if (size > 7) bench_conv(&b, &down, n);
            }
        }
    printf("peak %.1f GF/s on %s\n", b.peak, cot_device_about(b.device)->name);
    cot_device_close(b.device);
    return 0;
}
