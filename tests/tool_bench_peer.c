/* links: engine opencl config
 * A model driven line by line from a script, so that it can take turns with other programs (tests/bench/peers.py). Commands on
 * standard input, each answered by one line, or one line per input:
 *     load FILE   normalised inputs, float32, as cot_model_logits takes them       -> "ok COUNT"
 *     logits N    of the first N inputs                                            -> N lines of numbers
 *     run N TIMES milliseconds from inputs in host memory to logits there, each    -> TIMES numbers
 *     peak        GF/s of fused multiply-adds, of a tenth of a second              -> one number
 * Use: tool_bench_peer PACKAGE [most [match [student|teacher|both]]]     most: the largest N (default 32)
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct peer {
    cot_device *device;
    cot_model *model;
    cot_steps *steps;
    cot_package *package;
    size_t most, count; /* count: inputs loaded */
    float *inputs, *logits;
} peer;

/* A bench that cannot run has nothing to say: it ends with the reason. */
static void must(cot_status status, const cot_error *err)
{
    if (status == COT_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void load(peer *p, const char *path)
{
    cot_error err = COT_ERROR_INIT;
    char *bytes = NULL;
    size_t size = 0;
    const size_t one = cot_model_input_size(p->model) * cot_model_input_size(p->model) * sizeof(float);
    must(cot_file_read(&bytes, &size, path, (size_t)1 << 30, &err), &err);
    free(p->inputs);
    p->inputs = malloc(size + 1);
    if (!p->inputs) exit(1);
    memcpy(p->inputs, bytes, size);
    free(bytes);
    p->count = size / one;
    printf("ok %zu\n", p->count);
}

static void print_logits(peer *p, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    const size_t each = cot_model_logit_count(p->model);
    must(cot_model_logits(p->model, p->logits, p->inputs, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < each; k++) printf("%.9g%s", (double)p->logits[i * each + k], k + 1 < each ? " " : "\n");
}

static void run(peer *p, size_t n, size_t times)
{
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < times; i++) {
        const double start = now_ms();
        must(cot_model_logits(p->model, p->logits, p->inputs, n, &err), &err);
        printf("%s%.4f", i ? " " : "", now_ms() - start);
    }
    puts("");
}

static bool serve(peer *p, const char *line)
{
    char path[900];
    size_t n = 0, times = 0;
    double peak = 0;
    cot_error err = COT_ERROR_INIT;
    if (sscanf(line, "load %899s", path) == 1)
        load(p, path);
    else if (sscanf(line, "logits %zu", &n) == 1 && n && n <= p->count && n <= p->most)
        print_logits(p, n);
    else if (sscanf(line, "run %zu %zu", &n, &times) == 2 && n && n <= p->count && n <= p->most)
        run(p, n, times);
    else if (!strncmp(line, "peak", 4)) {
        must(cot_device_peak(p->device, 0.1, &peak, &err), &err);
        printf("%.2f\n", peak);
    } else
        return false;
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    peer p = {.most = argc > 2 ? strtoul(argv[2], NULL, 10) : 32};
    char line[1024];
    if (argc < 2) {
        fputs("usage: tool_bench_peer PACKAGE [most [match [student|teacher|both]]]\n", stderr);
        return 2;
    }
    const char *who = argc > 4 ? argv[4] : "student";
    const cot_readers readers = !strcmp(who, "teacher") ? COT_READ_TEACHER
                                : !strcmp(who, "both")  ? COT_READ_BOTH
                                                        : COT_READ_STUDENT;
    options.match = argc > 3 ? argv[3] : NULL;
    must(cot_steps_load(&p.steps, NULL, &err), &err);
    must(cot_package_open(&p.package, argv[1], p.steps, &err), &err);
    must(cot_device_open(&p.device, &options, &err), &err);
    must(cot_model_create_for(&p.model, p.device, p.package, p.steps, readers, p.most, &err), &err);
    p.logits = calloc(p.most * cot_model_logit_count(p.model), sizeof *p.logits);
    bool ok = p.logits != NULL;
    printf("ready %zu\n", cot_model_input_size(p.model));
    fflush(stdout);
    while (ok && fgets(line, sizeof line, stdin))
        if (!(ok = serve(&p, line))) fprintf(stderr, "tool_bench_peer: not understood: %s", line);
    free(p.inputs);
    free(p.logits);
    cot_model_destroy(p.model);
    cot_device_close(p.device);
    cot_package_close(p.package);
    cot_steps_destroy(p.steps);
    return !ok;
}
