/* A golden folder computed again on a device, from pixels and tokens to logits: each model is loaded, run and freed before
 * the next, and what one gives the next one reads, so that errors add up as in a reading.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/bert.h"
#include "engine/clip.h"
#include "engine/golden.h"
#include "engine/layers.h"
#include "engine/teacher.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct golden_run {
    const cot_golden *golden;
    cot_device *device;
    cot_golden_output *outputs; /* [COT_GOLDEN_OUTPUTS] */
    float *features;            /* [batch,image_dim], computed */
    float *prompts;             /* [n_steps,teacher], computed */
} golden_run;

/* ---- compare ---- */
/* The largest |got - expected| of n values, over the largest |expected|; INFINITY for what is not a number. */
static double relative_error(const float *got, const float *expected, size_t n)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)expected[i]);
        if (!(d <= most)) most = isfinite(d) ? d : (double)INFINITY;
        scale = fmax(scale, fabs((double)expected[i]));
    }
    return most > 0 ? most / scale : 0; /* zeros expected and something else got: infinite */
}

/* Takes the worst tensor of an output over. */
static cot_status compare(cot_golden_output *output, const golden_run *run, const char *name, const float *got,
                          size_t rows, size_t columns, cot_error *err)
{
    cot_status status;
    float *expected = NULL;
    const weight_source source = golden_source(run->golden, GOLDEN_EXPECTED);
    COT_TRY(source_floats(&expected, &source, name, (const size_t[]){rows, columns}, 2, err));
    const double error = relative_error(got, expected, rows * columns);
    output->values += rows * columns;
    if (!output->worst[0] || error > output->error) {
        output->error = error;
        snprintf(output->worst, sizeof output->worst, "%s", name);
    }
done:
    free(expected);
    return status;
}

static cot_status compare_logits(cot_golden_output *output, const golden_run *run, const char *prefix,
                                 cot_buffer *const *logits, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_golden *g = run->golden;
    float *got = calloc(g->sizes.batch * GOLDEN_CLASSES_MAX, sizeof *got);
    if (!got) return cot_fail(err, COT_E_MEMORY, "%s: no memory for logits", g->folder);
    for (size_t s = 0; s < g->n_steps; s++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%zu", prefix, s);
        COT_TRY(cot_buffer_read(logits[s], 0, got, g->sizes.batch * g->classes[s], err));
        COT_TRY(compare(output, run, name, got, g->sizes.batch, g->classes[s], err));
    }
done:
    free(got);
    return status;
}

/* ---- image features ---- */
static cot_status forward_clip(golden_run *run, clip *m, cot_arena *arena, cot_error *err)
{
    cot_status status;
    const golden_sizes *z = &run->golden->sizes;
    const weight_source weights = golden_source(run->golden, GOLDEN_CLIP);
    const weight_source inputs = golden_source(run->golden, GOLDEN_EXPECTED);
    const clip_shape shape = {z->resolution, z->patch, z->width, z->layers, z->heads, 4 * z->width, z->image_dim};
    const size_t image[] = {z->batch, CLIP_CHANNELS, z->resolution, z->resolution};
    const size_t floats = image[0] * image[1] * image[2] * image[3];
    cot_buffer *images = NULL, *feature = NULL;
    float *pixels = NULL;
    COT_TRY(source_floats(&pixels, &inputs, "images", image, 4, err));
    COT_TRY(clip_init(m, run->device, &weights, &shape, NULL, err));
    COT_TRY(cot_arena_reserve(arena, &images, floats, err));
    COT_TRY(cot_arena_reserve(arena, &feature, z->batch * z->image_dim, err));
    COT_TRY(clip_plan(m, arena, z->batch, err));
    COT_TRY(cot_arena_commit(arena, err));
    COT_TRY(cot_buffer_write(images, 0, pixels, floats, err));
    COT_TRY(clip_forward(feature, m, images, z->batch, err));
    COT_TRY(cot_buffer_read(feature, 0, run->features, z->batch * z->image_dim, err));
    COT_TRY(compare(&run->outputs[0], run, "image_features", run->features, z->batch, z->image_dim, err));
done:
    free(pixels);
    return status;
}

static cot_status run_clip(golden_run *run, cot_error *err)
{
    cot_status status;
    clip m;
    cot_arena *arena = NULL;
    memset(&m, 0, sizeof m);
    COT_TRY(cot_arena_create(&arena, run->device, err));
    COT_TRY(forward_clip(run, &m, arena, err));
done:
    clip_fini(&m);
    cot_arena_destroy(arena);
    return status;
}

/* ---- prompt features ---- */
/* ids or mask: [n_steps,tokens] of I64. */
static cot_status read_integers(int64_t *to, const golden_run *run, const char *name, cot_error *err)
{
    char shape[96];
    const cot_golden *g = run->golden;
    const tensor *t = safetensors_find(g->file[GOLDEN_EXPECTED], name);
    if (!t) return cot_fail(err, COT_E_MODEL, "%s: tensor %s is missing", g->where[GOLDEN_EXPECTED], name);
    tensor_shape_text(shape, sizeof shape, t->shape, t->rank);
    if (t->type != TENSOR_I64 || t->rank != 2 || t->shape[0] != g->n_steps || t->shape[1] != g->sizes.tokens)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s is %s %s, must be I64 [%zu,%zu]", g->where[GOLDEN_EXPECTED],
                        name, tensor_type_name(t->type), shape, g->n_steps, g->sizes.tokens);
    memcpy(to, t->data, t->bytes);
    return COT_OK;
}

static cot_status forward_bert(golden_run *run, bert *m, cot_arena *arena, int64_t *words, cot_error *err)
{
    cot_status status;
    const golden_sizes *z = &run->golden->sizes;
    const size_t texts = run->golden->n_steps, n = texts * z->tokens;
    const weight_source weights = golden_source(run->golden, GOLDEN_BERT);
    const bert_shape shape = {z->vocab,      z->positions,     2, z->bert_width, z->bert_layers,
                              z->bert_heads, 4 * z->bert_width};
    cot_buffer *cls = NULL;
    COT_TRY(read_integers(words, run, "ids", err));
    COT_TRY(read_integers(words + n, run, "mask", err));
    COT_TRY(bert_init(m, run->device, &weights, &shape, err));
    COT_TRY(cot_arena_reserve(arena, &cls, texts * z->bert_width, err));
    COT_TRY(bert_plan(m, arena, n, err));
    COT_TRY(cot_arena_commit(arena, err));
    status = bert_forward(cls, m, words, words + n, texts, z->tokens, err);
    if (status == COT_E_INPUT || status == COT_E_MODEL) { /* words and weights both came from the folder */
        cot_fail_in(err, "%s", run->golden->where[status == COT_E_INPUT ? GOLDEN_EXPECTED : GOLDEN_BERT]);
        if (err) err->status = COT_E_MODEL;
        status = COT_E_MODEL;
    }
    if (status != COT_OK) goto done;
    COT_TRY(cot_buffer_read(cls, 0, run->prompts, texts * z->bert_width, err));
    COT_TRY(compare(&run->outputs[1], run, "prompt_features", run->prompts, texts, z->bert_width, err));
done:
    return status;
}

static cot_status run_bert(golden_run *run, cot_error *err)
{
    cot_status status;
    bert m;
    cot_arena *arena = NULL;
    memset(&m, 0, sizeof m);
    int64_t *words = calloc(2 * run->golden->n_steps * run->golden->sizes.tokens, sizeof *words);
    if (!words) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the prompts", run->golden->folder);
    COT_TRY(cot_arena_create(&arena, run->device, err));
    COT_TRY(forward_bert(run, &m, arena, words, err));
done:
    bert_fini(&m);
    cot_arena_destroy(arena);
    free(words);
    return status;
}

/* ---- teacher and student ---- */
static cot_status forward_teacher(golden_run *run, teacher *m, cot_arena *arena, cot_error *err)
{
    cot_status status;
    const cot_golden *g = run->golden;
    const golden_sizes *z = &g->sizes;
    const weight_source weights = golden_source(g, GOLDEN_TEACHER);
    const teacher_shape shape = {z->image_dim, z->teacher, z->gat_heads, z->gat_layers, g->n_steps, g->classes};
    cot_buffer *feature = NULL;
    COT_TRY(teacher_init(m, run->device, &weights, &shape, err));
    COT_TRY(cot_arena_reserve(arena, &feature, z->batch * z->image_dim, err));
    COT_TRY(teacher_plan(m, arena, z->batch, err));
    COT_TRY(cot_arena_commit(arena, err));
    COT_TRY(teacher_prompts(m, run->prompts, err));
    COT_TRY(cot_buffer_write(feature, 0, run->features, z->batch * z->image_dim, err));
    COT_TRY(teacher_forward(m, feature, z->batch, err));
    COT_TRY(compare_logits(&run->outputs[2], run, "teacher_logits", m->acts.logits, err));
done:
    return status;
}

static cot_status run_teacher(golden_run *run, cot_error *err)
{
    cot_status status;
    teacher m;
    cot_arena *arena = NULL;
    memset(&m, 0, sizeof m);
    COT_TRY(cot_arena_create(&arena, run->device, err));
    COT_TRY(forward_teacher(run, &m, arena, err));
done:
    teacher_fini(&m);
    cot_arena_destroy(arena);
    return status;
}

static cot_status forward_student(golden_run *run, student *m, cot_arena *arena, cot_error *err)
{
    cot_status status;
    const cot_golden *g = run->golden;
    const golden_sizes *z = &g->sizes;
    const weight_source weights = golden_source(g, GOLDEN_STUDENT);
    const student_shape shape = {z->image_dim, z->student, g->n_steps, g->classes};
    cot_buffer *feature = NULL;
    COT_TRY(student_init(m, run->device, &weights, &shape, err));
    COT_TRY(cot_arena_reserve(arena, &feature, z->batch * z->image_dim, err));
    COT_TRY(student_plan(m, arena, z->batch, err));
    COT_TRY(cot_arena_commit(arena, err));
    COT_TRY(cot_buffer_write(feature, 0, run->features, z->batch * z->image_dim, err));
    COT_TRY(student_forward(m, feature, z->batch, err));
    COT_TRY(compare_logits(&run->outputs[3], run, "student_logits", m->acts.logits, err));
done:
    return status;
}

static cot_status run_student(golden_run *run, cot_error *err)
{
    cot_status status;
    student m;
    cot_arena *arena = NULL;
    memset(&m, 0, sizeof m);
    COT_TRY(cot_arena_create(&arena, run->device, err));
    COT_TRY(forward_student(run, &m, arena, err));
done:
    student_fini(&m);
    cot_arena_destroy(arena);
    return status;
}

/* ---- the whole folder ---- */
cot_status cot_golden_run(cot_golden_output outputs[COT_GOLDEN_OUTPUTS], const cot_golden *golden, cot_device *device,
                          cot_error *err)
{
    static const char *const names[COT_GOLDEN_OUTPUTS] = {"image_features", "prompt_features", "teacher_logits",
                                                          "student_logits"};
    cot_status status;
    const golden_sizes *z = &golden->sizes;
    golden_run run = {golden, device, outputs, calloc(z->batch * z->image_dim, sizeof(float)),
                      calloc(golden->n_steps * z->teacher, sizeof(float))};
    memset(outputs, 0, COT_GOLDEN_OUTPUTS * sizeof *outputs);
    for (size_t i = 0; i < COT_GOLDEN_OUTPUTS; i++) snprintf(outputs[i].name, sizeof outputs[i].name, "%s", names[i]);
    if (!run.features || !run.prompts) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for features", golden->folder);
        goto done;
    }
    COT_TRY(run_clip(&run, err)); /* each names what is missing or misshapen */
    COT_TRY(run_bert(&run, err));
    COT_TRY(run_teacher(&run, err));
    COT_TRY(run_student(&run, err));
    COT_TRY(golden_refuse_extra(golden, err));
done:
    free(run.features);
    free(run.prompts);
    return status;
}

cot_status cot_device_check(cot_device *device, cot_error *err)
{
    cot_status status;
    cot_golden *golden = NULL;
    cot_golden_output outputs[COT_GOLDEN_OUTPUTS];
    const cot_device_info *about = cot_device_about(device);
    COT_TRY(cot_golden_open(&golden, NULL, err));
    COT_TRY(cot_golden_run(outputs, golden, device, err));
    for (size_t i = 0; i < COT_GOLDEN_OUTPUTS; i++)
        if (!(outputs[i].error <= COT_GOLDEN_BOUND)) {
            status = cot_fail(err, COT_E_DEVICE,
                              "it computes wrongly: %s differs by %.2g from the known answer, %.0e is allowed; another "
                              "driver version may help",
                              outputs[i].worst, outputs[i].error, COT_GOLDEN_BOUND);
            goto done;
        }
    COT_TRY(golden_convolve(device, COT_GOLDEN_BOUND, err));
done:
    if (status != COT_OK) cot_fail_in(err, "self-test of %s / %s", about->platform, about->name);
    cot_golden_close(golden);
    return status;
}
