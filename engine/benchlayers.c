/* Times every convolution and matrix product of a model by itself, on the buffers and shapes the model runs with.
 * Counts 2 floating-point operations per multiply-add of the layer as written, without any saved by an algorithm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"

#include <stdlib.h>

enum { RUNS_MIN = 7, RUNS_MAX = 200, TOGETHER = 8 };
static const double budget_ms = 150; /* per layer, so that all are timed in a few seconds */

typedef struct bench {
    cot_model *model;
    size_t n;
    double peak_gflops;
    FILE *stream;
} bench;

/* Runs one layer once; `layer` is what the function knows. */
typedef cot_status (*layer_run)(cot_model *model, const void *layer, size_t n, cot_error *err);

static cot_status run_conv(cot_model *m, const void *layer, size_t n, cot_error *err)
{
    const conv_layer *c = layer;
    const resnet18_acts *a = &m->encoder.resnet18.acts;
    if (c == &m->encoder.resnet18.stem) return conv_forward(a->mid, c, m->input, n, NULL, COT_ACT_RELU, err);
    return conv_forward(a->mid, c, a->in, n, NULL, COT_ACT_RELU, err);
}

typedef struct linear_case {
    cot_buffer *y;
    const cot_buffer *x;
    const cot_weights *w;
    size_t rows; /* of one image */
} linear_case;

static cot_status run_linear(cot_model *m, const void *layer, size_t n, cot_error *err)
{
    (void)m;
    const linear_case *c = layer;
    return cot_linear_forward(c->y, c->x, c->w, n * c->rows, NULL, COT_ACT_NONE, err);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds of one run, after one to warm up. TOGETHER runs are enqueued before the device is waited for, as
 * the layers of a model are: waking the waiting thread is not the layer's cost. */
static cot_status median_ms(double *out, const bench *b, layer_run run, const void *layer, cot_error *err)
{
    cot_status status;
    double ms[RUNS_MAX], all = 0, start, end;
    size_t runs = 0;
    COT_TRY(run(b->model, layer, b->n, err));
    while (runs < RUNS_MIN || (runs < RUNS_MAX && all < budget_ms)) {
        COT_TRY(model_clock(&start, b->model, err)); /* timing is on: waits for the device */
        for (int i = 0; i < TOGETHER; i++) COT_TRY(run(b->model, layer, b->n, err));
        COT_TRY(model_clock(&end, b->model, err));
        all += end - start;
        ms[runs++] = (end - start) / TOGETHER;
    }
    qsort(ms, runs, sizeof *ms, by_value);
    *out = ms[runs / 2];
done:
    return status;
}

static cot_status print_line(const bench *b, const char *kind, const char *name, const char *shape, double ms,
                             double flops, cot_error *err)
{
    const double gflops = flops / (ms * 1e6);
    const int n = fprintf(b->stream,
                          "{\"kind\":\"%s\",\"name\":\"%s\",\"batch\":%zu,\"shape\":\"%s\",\"ms\":%.4f,\"gflops\":%.1f,"
                          "\"share_of_peak\":%.3f}\n",
                          kind, name, b->n, shape, ms, gflops, b->peak_gflops > 0 ? gflops / b->peak_gflops : 0.0);
    return n < 0 ? cot_fail(err, COT_E_IO, "bench: writing failed") : COT_OK;
}

static cot_status bench_conv(const bench *b, const conv_layer *c, cot_error *err)
{
    cot_status status;
    double ms;
    char shape[128];
    const cot_conv_shape *s = &c->shape;
    snprintf(shape, sizeof shape, "%zux%zux%zu -> %zux%zux%zu, %zux%zu/%zu", s->in_h, s->in_w, s->in_c, conv_out_h(c),
             conv_out_w(c), s->out_c, s->kernel, s->kernel, s->stride);
    COT_TRY(median_ms(&ms, b, run_conv, c, err));
    const double flops = 2.0 * (double)(b->n * conv_out_floats(c)) * (double)(s->in_c * s->kernel * s->kernel);
    COT_TRY(print_line(b, "conv", c->spec.conv + sizeof "cnn." - 1, shape, ms, flops, err));
done:
    return status;
}

static cot_status bench_linear(const bench *b, const char *name, const linear_case *c, size_t out_features,
                               size_t in_features, cot_error *err)
{
    cot_status status;
    double ms;
    char shape[64];
    snprintf(shape, sizeof shape, "%zux%zu -> %zu", b->n * c->rows, in_features, out_features);
    COT_TRY(median_ms(&ms, b, run_linear, c, err));
    COT_TRY(print_line(b, "gemm", name, shape, ms, 2.0 * (double)(b->n * c->rows * in_features) * (double)out_features,
                       err));
done:
    return status;
}

static cot_status bench_student(const bench *b, cot_error *err)
{
    cot_status status;
    const student *m = &b->model->student;
    const student_acts *a = &m->acts;
    if (b->model->readers == COT_READ_TEACHER) return COT_OK;
    const linear_case img_proj = {a->projected, b->model->feature, m->img_proj.linear, 1};
    COT_TRY(bench_linear(b, "img_proj.0", &img_proj, m->dim, m->features, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        char name[48];
        const linear_case head = {a->logits[s], a->feat, m->head[s], 1};
        const linear_case write = {a->written, a->logits[s], m->write[s], 1};
        snprintf(name, sizeof name, "step_heads.%zu", s);
        COT_TRY(bench_linear(b, name, &head, m->classes[s], m->dim, err));
        snprintf(name, sizeof name, "step_heads.%zu write-back", s);
        COT_TRY(bench_linear(b, name, &write, m->dim, m->classes[s], err));
    }
done:
    return status;
}

/* The products of one block stand for those of all but the last, which are alike. */
static cot_status bench_clip(const bench *b, cot_error *err)
{
    cot_status status;
    const clip *m = &b->model->encoder.clip;
    const transformer_acts *a = &m->acts.block;
    const transformer_block *t = &m->block[0];
    const size_t width = m->shape.width, inner = m->shape.inner, pixels = m->shape.patch * m->shape.patch;
    const linear_case patches = {a->qkv, a->inner, m->patch_embedding, m->tokens - 1};
    const linear_case qkv = {a->qkv, a->h, t->qkv, m->tokens}, out = {a->x, a->h, t->out, m->tokens};
    const linear_case fc1 = {a->inner, a->h, t->fc1, m->tokens}, fc2 = {a->x, a->inner, t->fc2, m->tokens};
    const linear_case visual = {b->model->feature, m->acts.cls_h, m->projection, 1};
    COT_TRY(bench_linear(b, "patch_embedding", &patches, width, m->channels * pixels, err));
    if (t->qkv) COT_TRY(bench_linear(b, "layers.0.qkv", &qkv, 3 * width, width, err));
    COT_TRY(bench_linear(b, "layers.0.out_proj", &out, width, width, err));
    COT_TRY(bench_linear(b, "layers.0.fc1", &fc1, inner, width, err));
    COT_TRY(bench_linear(b, "layers.0.fc2", &fc2, width, inner, err));
    COT_TRY(bench_linear(b, "visual_projection", &visual, m->shape.features, width, err));
done:
    return status;
}

cot_status cot_model_bench_layers(cot_model *model, size_t n, double peak_gflops, FILE *stream, cot_error *err)
{
    cot_status status = COT_OK;
    const bench b = {model, n, peak_gflops, stream};
    const bool timing = model->timing;
    if (!n || n > model->max_batch)
        return cot_fail(err, COT_E_BUG, "bench: a batch of %zu, planned for 1 to %zu", n, model->max_batch);
    model->timing = true;
    if (model->encoder.kind == ENCODER_CLIP) COT_TRY(bench_clip(&b, err));
    for (size_t i = 0; model->encoder.kind == ENCODER_RESNET18 && resnet18_conv(&model->encoder.resnet18, i); i++)
        COT_TRY(bench_conv(&b, resnet18_conv(&model->encoder.resnet18, i), err));
    COT_TRY(bench_student(&b, err));
done:
    model->timing = timing;
    return status;
}
