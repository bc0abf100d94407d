/* links: engine opencl config
 * What a teacher's evidence costs beside the encoding: medians in milliseconds, and per encoding.
 * Use: tool_bench_evidence PACKAGE [batch [runs]]
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/model.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS_MOST = 1000, PARTS = 4 };
static const char *const names[PARTS] = {"encoder", "teacher", "influences", "gradients"};

/* A bench that cannot run has nothing to say: it ends with the reason. */
static void must(cot_status status, const cot_error *err)
{
    if (status == COT_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static double now_ms(cot_device *device)
{
    struct timespec t;
    cot_error err = COT_ERROR_INIT;
    must(cot_device_finish(device, &err), &err);
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One reading in parts, each behind the one before. */
static void measure(double took[PARTS], cot_model *m, size_t n, float *gradients, const size_t *answers)
{
    cot_error err = COT_ERROR_INIT;
    teacher_evidence *e = &m->evidence.teacher;
    double at[PARTS + 1];
    at[0] = now_ms(m->device);
    must(encoder_forward(m->feature, &m->encoder, m->input, n, &err), &err);
    at[1] = now_ms(m->device);
    must(teacher_forward(&m->teacher, m->feature, n, &err), &err);
    at[2] = now_ms(m->device);
    must(teacher_evidence_forward(e, n, &err), &err);
    at[3] = now_ms(m->device);
    must(teacher_evidence_back(e, gradients, answers, n, &err), &err);
    at[4] = now_ms(m->device);
    for (size_t i = 0; i < PARTS; i++) took[i] = at[i + 1] - at[i];
}

int main(int argc, char **argv)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    cot_steps *steps = NULL;
    cot_package *package = NULL;
    cot_device *device = NULL;
    cot_model *m = NULL;
    static double took[RUNS_MOST][PARTS], one[RUNS_MOST];
    const size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 8;
    const size_t runs = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 20;
    if (argc < 2 || !n || n > TEACHER_EVIDENCE_CHUNK || !runs || runs > RUNS_MOST) {
        fprintf(stderr, "tool_bench_evidence PACKAGE [batch, at most %d [runs]]\n", TEACHER_EVIDENCE_CHUNK);
        return 2;
    }
    must(cot_steps_load(&steps, NULL, &err), &err);
    must(cot_package_open(&package, argv[1], steps, &err), &err);
    must(cot_device_open(&device, &options, &err), &err);
    must(cot_model_create_for(&m, device, package, steps, COT_READ_TEACHER, n, &err), &err);
    must(cot_model_explain(m, true, false, &err), &err);
    float *gradients = calloc(n * steps->n_steps * m->encoder.features, sizeof *gradients);
    size_t *answers = calloc(n * steps->n_steps, sizeof *answers);
    if (!gradients || !answers) return 1;
    measure(took[0], m, n, gradients, answers); /* builds kernels */
    for (size_t r = 0; r < runs; r++) measure(took[r], m, n, gradients, answers);
    printf("{\"batch\":%zu,\"runs\":%zu", n, runs);
    double encoding = 0;
    for (size_t p = 0; p < PARTS; p++) {
        for (size_t r = 0; r < runs; r++) one[r] = took[r][p];
        qsort(one, runs, sizeof *one, ascending);
        if (!p) encoding = one[runs / 2];
        printf(",\"%s_ms\":%.2f,\"%s_per_encoding\":%.3f", names[p], one[runs / 2], names[p], one[runs / 2] / encoding);
    }
    puts("}");
    free(gradients);
    free(answers);
    cot_model_destroy(m);
    cot_device_close(device);
    cot_package_close(package);
    cot_steps_destroy(steps);
    return 0;
}
