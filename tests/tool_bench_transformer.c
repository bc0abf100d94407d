/* links: opencl config
 * Times the passes of one ViT-B/32 block alone (50 tokens, width 768, 12 heads), each alternating with the device's peak,
 * so that other load hits both. One CSV line per pass: milliseconds and GF/s of the best run, its share of the best peak,
 * the median of the shares of all rounds, and the share by processor time (a CPU device only: what is left when other
 * processes take the cores).
 * Use: tool_bench_transformer [match [rounds [tile|clblast [images]]]]
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MOST = 200, LAUNCHES = 10, TOKENS = 50, WIDTH = 768, HEADS = 12 };

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

/* One pass: what it is called, its multiply-adds * 2, and everything that a run needs. */
typedef struct pass {
    const char *name;
    double flops;
    cot_status (*run)(const struct pass *p, cot_error *err);
    cot_buffer *y, *x, *more;
    cot_weights *w;
    size_t images, rows, in, out;
    cot_activation act;
    bool residual;
} pass;

typedef struct bench {
    cot_device *device;
    size_t rounds;
    double peak; /* best seen */
} bench;

static cot_status run_linear(const pass *p, cot_error *err)
{
    return cot_linear_forward(p->y, p->x, p->w, p->rows, p->residual ? p->more : NULL, p->act, err);
}

static cot_status run_attention(const pass *p, cot_error *err)
{
    const cot_attention_shape s = {.items = p->images,
                                   .tokens = TOKENS,
                                   .queries = p->rows / p->images,
                                   .heads = HEADS,
                                   .width = WIDTH,
                                   .q_stride = 3 * WIDTH,
                                   .k_at = WIDTH,
                                   .kv_stride = 3 * WIDTH,
                                   .v_at = 2 * WIDTH};
    return cot_attention_forward(p->y, p->x, p->x, NULL, &s, err);
}

static cot_status run_norm(const pass *p, cot_error *err)
{
    return cot_layer_norm_forward(p->y, p->x, p->more, p->more, p->rows, p->in, 1e-5f, COT_ACT_NONE, err);
}

/* Seconds of one run: the mean over LAUNCHES that are enqueued together, as in a model. */
static double time_once(const bench *b, const pass *p, double *cpu_best)
{
    cot_error err = COT_ERROR_INIT;
    const double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < LAUNCHES; i++) must(p->run(p, &err), &err);
    must(cot_device_finish(b->device, &err), &err);
    *cpu_best = fmin(*cpu_best, (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / LAUNCHES);
    return (now(CLOCK_MONOTONIC) - start) / LAUNCHES;
}

static void bench_pass(bench *b, const pass *p)
{
    cot_error err = COT_ERROR_INIT;
    double shares[ROUNDS_MOST], best = INFINITY, top = 0, peak = 0, cpu = INFINITY;
    time_once(b, p, &cpu);
    for (size_t i = 0; i < b->rounds; i++) {
        must(cot_device_peak(b->device, 0.01, &peak, &err), &err);
        const double took = time_once(b, p, &cpu);
        shares[i] = p->flops / took * 1e-9 / peak;
        best = fmin(best, took);
        top = fmax(top, peak);
    }
    b->peak = fmax(b->peak, top);
    qsort(shares, b->rounds, sizeof *shares, by_size);
    const double core = b->peak / (double)cot_device_about(b->device)->compute_units;
    printf("%zu,%s,%.3f,%.1f,%.0f%%,%.0f%%,%.0f%%\n", p->images, p->name, best * 1e3, p->flops / best * 1e-9,
           100.0 * p->flops / best * 1e-9 / top, 100.0 * shares[b->rounds / 2], 100.0 * p->flops / cpu * 1e-9 / core);
    fflush(stdout);
}

static cot_buffer *filled(const bench *b, size_t n, uint32_t seed)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *buffer = NULL;
    float *host = malloc(n * sizeof *host);
    ref_fill(host, n, seed);
    must(cot_buffer_create(&buffer, b->device, n, &err), &err);
    must(cot_buffer_write(buffer, 0, host, n, &err), &err);
    free(host);
    return buffer;
}

/* Input, result and residual of the sizes that the pass has, then its weights; timed, and given back. */
static void bench_sized(bench *b, pass p)
{
    cot_error err = COT_ERROR_INIT;
    p.x = filled(b, p.rows * p.in, 1);
    p.y = filled(b, p.rows * p.out, 2);
    p.more = filled(b, p.rows * p.out, 3);
    if (p.run == run_linear) {
        float *w = malloc(p.in * p.out * sizeof *w);
        ref_fill(w, p.in * p.out, 4);
        must(cot_linear_prepare(&p.w, b->device, w, w, p.out, p.in, &err), &err);
        free(w);
        p.flops = 2.0 * (double)p.rows * (double)p.in * (double)p.out;
    }
    bench_pass(b, &p);
    cot_buffer_destroy(p.x), cot_buffer_destroy(p.y), cot_buffer_destroy(p.more);
    cot_weights_destroy(p.w);
}

static void bench_block(bench *b, size_t n)
{
    const size_t rows = n * TOKENS;
    const double scores = 4.0 * (double)rows * TOKENS * WIDTH;
    const pass passes[] = {
        {.name = "qkv 768x2304", .run = run_linear, .in = WIDTH, .out = 3 * WIDTH},
        {.name = "out 768x768 + residual", .run = run_linear, .in = WIDTH, .out = WIDTH, .residual = true},
        {.name = "fc1 768x3072 QuickGELU", .run = run_linear, .in = WIDTH, .out = 4 * WIDTH, .act = COT_ACT_QUICK_GELU},
        {.name = "fc1 768x3072 GELU", .run = run_linear, .in = WIDTH, .out = 4 * WIDTH, .act = COT_ACT_GELU},
        {.name = "fc2 3072x768 + residual", .run = run_linear, .in = 4 * WIDTH, .out = WIDTH, .residual = true},
        {.name = "attention 12x64", .run = run_attention, .in = 3 * WIDTH, .out = WIDTH, .flops = scores},
        {.name = "layer norm 768", .run = run_norm, .in = WIDTH, .out = WIDTH, .flops = 8.0 * (double)rows * WIDTH}};
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        pass p = passes[i];
        p.images = n;
        p.rows = rows;
        bench_sized(b, p);
    }
    bench_sized(b, (pass){.name = "patches 3072x768",
                          .run = run_linear,
                          .images = n,
                          .rows = n * (TOKENS - 1),
                          .in = 4 * WIDTH,
                          .out = WIDTH});
}

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    bench b = {NULL, argc > 2 ? strtoul(argv[2], NULL, 10) : 20, 0};
    const size_t only = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    options.match = argc > 1 ? argv[1] : NULL;
    options.gemm = argc > 3 && !strcmp(argv[3], "clblast") ? COT_GEMM_CLBLAST : COT_GEMM_TILE;
    if (b.rounds < 1 || b.rounds > ROUNDS_MOST) b.rounds = ROUNDS_MOST;
    must(cot_device_open(&b.device, &options, &err), &err);
    printf("images,pass,ms best,GF/s best,share of peak (bests),share (median round),share in CPU time\n");
    for (size_t n = 1; n <= 32; n = n == 1 ? 8 : n * 4)
        if (!only || only == n) bench_block(&b, n);
    printf("peak %.1f GF/s on %s\n", b.peak, cot_device_about(b.device)->name);
    cot_device_close(b.device);
    return 0;
}
