/* links: engine config
 * Times a joint training step on cached features: teacher 768, student 512, seven steps, projection 256.
 *     tool_bench_train [BATCH] [STEPS] [CACHE]     milliseconds, one line each: dropout off, dropout on
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/joint.h"
#include "tests/reference.h"

#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static cot_status run(cot_device *device, size_t n, size_t steps, bool dropout, cot_error *err)
{
    cot_status status;
    joint *j = NULL;
    const size_t classes[] = {4, 4, 6, 7, 5, 7, 9};
    const teacher_shape t = {512, 768, 4, 2, 7, classes};
    const student_shape s = {512, 512, 7, classes};
    joint_options options = JOINT_OPTIONS_INIT;
    float *features = malloc(n * 512 * sizeof *features), *prompts = malloc(sizeof *prompts * 7 * 768);
    int *labels = calloc(n * 7, sizeof *labels);
    double *ms = calloc(steps, sizeof *ms);
    joint_losses losses;
    options.max_batch = n;
    options.dropout = dropout;
    ref_fill(features, n * 512, 1);
    ref_fill(prompts, 7 * 768, 2);
    for (size_t i = 0; i < n * 7; i++) labels[i] = (int)((i / 7 + i) % classes[i % 7]);
    const joint_batch batch = {n, features, labels};
    COT_TRY(joint_create(&j, device, &t, &s, &options, err));
    COT_TRY(joint_init(j, 1, err));
    COT_TRY(joint_prompts(j, prompts, err));
    COT_TRY(joint_step(j, &batch, &losses, err)); /* builds kernels */
    for (size_t i = 0; i < steps; i++) {
        const double start = now();
        COT_TRY(joint_step(j, &batch, &losses, err));
        ms[i] = now() - start;
    }
    qsort(ms, steps, sizeof *ms, by_size);
    printf("ours, batch %zu, dropout %s: %.1f ms (%.1f to %.1f), teacher's loss then %.4f\n", n, dropout ? "on" : "off",
           ms[steps / 2], ms[0], ms[steps - 1], losses.teacher);
done:
    joint_destroy(j);
    free(features);
    free(prompts);
    free(labels);
    free(ms);
    return status;
}

int main(int argc, char **argv)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    const size_t n = argc > 1 ? (size_t)atoi(argv[1]) : 32, steps = argc > 2 ? (size_t)atoi(argv[2]) : 9;
    options.cache_dir = argc > 3 ? argv[3] : NULL;
    COT_TRY(cot_device_open(&device, &options, &err));
    COT_TRY(run(device, n, steps ? steps : 1, false, &err));
    COT_TRY(run(device, n, steps ? steps : 1, true, &err));
done:
    if (status != COT_OK) fprintf(stderr, "%s\n", err.text);
    cot_device_close(device);
    return status == COT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
