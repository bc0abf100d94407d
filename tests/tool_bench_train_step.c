/* links: engine opencl config */
/* Times whole training steps of the encoder stage (pictures on the host to AdamW) with random pictures, as
 * bench/resnet_peer.py does with PyTorch: tool_bench_train_step [device [seconds [width [batch [size]]]]]. One JSON line.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HEADS = 7, RUNS_MOST = 10000 };
static const size_t classes[HEADS] = {4, 4, 6, 7, 5, 7, 9};

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

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static encoder_batch batch_of(size_t n, size_t size)
{
    float *pictures = malloc(n * size * size * sizeof *pictures);
    int *labels = malloc(n * HEADS * sizeof *labels);
    uint64_t *image = malloc(n * sizeof *image);
    uint32_t r = 1;
    if (!pictures || !labels || !image) exit(1);
    for (size_t i = 0; i < n * size * size; i++) {
        r = r * 1664525u + 1013904223u;
        pictures[i] = (float)(r >> 8) / 16777216.0f;
    }
    for (size_t i = 0; i < n * HEADS; i++) labels[i] = (int)(i % classes[i % HEADS]);
    for (size_t i = 0; i < n; i++) image[i] = i;
    return (encoder_batch){n, pictures, labels, image, 0, NULL};
}

int main(int argc, char **argv)
{
    static double took[RUNS_MOST];
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    encoder_stage *stage = NULL;
    cot_device_options device_options = COT_DEVICE_OPTIONS_INIT;
    device_options.match = argc > 1 ? argv[1] : "cpu";
    const double seconds = argc > 2 ? atof(argv[2]) : 15;
    const encoder_stage_options options = {.size = argc > 5 ? (size_t)atoi(argv[5]) : 224,
                                           .width = argc > 3 ? (size_t)atoi(argv[3]) : 32,
                                           .dim = 512,
                                           .n_steps = HEADS,
                                           .classes = classes,
                                           .max_batch = argc > 4 ? (size_t)atoi(argv[4]) : 32,
                                           .mean = 0.5f,
                                           .std = 0.25f,
                                           .dropout = 0.3f,
                                           .augment = AUGMENT_OPTIONS_INIT,
                                           .seed = 1};
    const optimiser_options adamw = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.05f, 1.0f};
    must(cot_device_open(&device, &device_options, &err), &err);
    must(encoder_stage_create(&stage, device, &options, &err), &err);
    must(parameters_init(encoder_stage_parameters(stage), "", 1, &err), &err);
    encoder_batch batch = batch_of(options.max_batch, options.size);
    double losses[HEADS], end = 0;
    size_t runs = 0;
    for (int warm = 0; warm < 2; warm++) must(encoder_stage_step(losses, stage, &batch, &adamw, &err), &err);
    for (end = now() + seconds; runs < RUNS_MOST && (now() < end || runs < 3); batch.epoch++) {
        const double start = now();
        must(encoder_stage_step(losses, stage, &batch, &adamw, &err), &err);
        took[runs++] = now() - start;
    }
    qsort(took, runs, sizeof *took, ascending);
    printf("{\"stepcot\": \"%s\", \"batch\": %zu, \"width\": %zu, \"size\": %zu, \"runs\": %zu, \"median_ms\": %.1f, "
           "\"best_ms\": %.1f, \"images_per_s\": %.1f}\n",
           cot_device_about(device)->name, batch.n, options.width, options.size, runs, 1e3 * took[runs / 2],
           1e3 * took[0], (double)batch.n / took[runs / 2]);
    encoder_stage_destroy(stage);
    cot_device_close(device);
    return 0;
}
