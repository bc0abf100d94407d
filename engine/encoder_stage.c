/* One training step from pictures to AdamW (encoder_stage.h): augment, encode, answer, compare, and all the way back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_stage.h"
#include "engine/lesion_train.h"
#include "engine/resnet18_train.h"
#include "engine/student_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWN = sizeof(cot_augmentation) / sizeof(float), DROPOUT_LAYER = 1 };
static const char student_name[] = STUDENT_PREFIX;

struct encoder_stage {
    cot_device *device;
    size_t size, n_steps, max_batch, all_classes;
    float mean, std, dropout, smoothing;
    augment_options augment;
    uint64_t seed;
    parameters *table;
    resnet18_train cnn;
    student_train student;
    lesion_train lesions; /* with places */
    bool places;
    cot_augmentation *augmented; /* [max] what was drawn for the batch */
    cot_arena *arena;
    cot_buffer *pictures, *drawn, *image, *feature, *dfeature;
    cot_buffer **labels, **losses, **weights; /* [n_steps] of [max], [max], [classes] or NULL */
    bool weighted;
    float *host; /* [max] or [classes], [max, DRAWN] */
};

/* ---- create ---- */
static cot_status options_check(const encoder_stage_options *o, cot_error *err)
{
    if (o->n_steps == 0 || o->dim == 0 || o->max_batch < 2 || o->max_batch > 4096 || !(o->std > 0) ||
        !(o->dropout >= 0 && o->dropout < 1) || !(o->label_smoothing >= 0 && o->label_smoothing <= 1))
        return cot_fail(err, COT_E_CONFIG,
                        "encoder stage: %zu steps, feature of %zu, batch of %zu (2 to 4096), deviation %g, dropout %g, "
                        "label smoothing %g",
                        o->n_steps, o->dim, o->max_batch, (double)o->std, (double)o->dropout,
                        (double)o->label_smoothing);
    for (size_t s = 0; s < o->n_steps; s++)
        if (o->classes[s] == 0) return cot_fail(err, COT_E_CONFIG, "encoder stage: step %zu has no classes", s + 1);
    return COT_OK;
}

static cot_status lists_make(encoder_stage *m, const encoder_stage_options *o, cot_error *err)
{
    size_t most = o->max_batch * DRAWN;
    for (size_t s = 0; s < o->n_steps; s++) {
        m->all_classes += o->classes[s];
        if (o->max_batch * o->classes[s] > most) most = o->max_batch * o->classes[s];
    }
    m->labels = calloc(o->n_steps, sizeof *m->labels);
    m->losses = calloc(o->n_steps, sizeof *m->losses);
    m->weights = calloc(o->n_steps, sizeof *m->weights);
    m->host = calloc(most, sizeof *m->host);
    m->augmented = calloc(o->max_batch, sizeof *m->augmented);
    if (!m->labels || !m->losses || !m->weights || !m->host || !m->augmented)
        return cot_fail(err, COT_E_MEMORY, "encoder stage: no memory");
    return COT_OK;
}

static cot_status buffers_make(encoder_stage *m, const encoder_stage_options *o, cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0;
    if (!cot_mul(&floats, o->size, o->size) || !cot_mul(&floats, floats, o->max_batch))
        return cot_fail(err, COT_E_LIMIT, "encoder stage: %zu pictures of %zu", o->max_batch, o->size);
    COT_TRY(cot_arena_create(&m->arena, m->device, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->pictures, floats, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->image, floats, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->drawn, o->max_batch * DRAWN, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->feature, o->max_batch * m->cnn.features, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->dfeature, o->max_batch * m->cnn.features, err));
    for (size_t s = 0; s < o->n_steps; s++) {
        COT_TRY(cot_arena_reserve(m->arena, &m->labels[s], o->max_batch, err));
        COT_TRY(cot_arena_reserve(m->arena, &m->losses[s], o->max_batch, err));
        if (m->weighted) COT_TRY(cot_arena_reserve(m->arena, &m->weights[s], o->classes[s], err));
    }
    COT_TRY(resnet18_train_plan(&m->cnn, m->arena, o->max_batch, err));
    COT_TRY(student_train_plan(&m->student, m->arena, o->max_batch, err));
    if (m->places) COT_TRY(lesion_train_plan(&m->lesions, m->arena, o->max_batch, err));
    COT_TRY(cot_arena_commit(m->arena, err));
    for (size_t s = 0; m->weighted && s < o->n_steps; s++)
        COT_TRY(cot_buffer_write(m->weights[s], 0, o->class_weights[s], o->classes[s], err));
done:
    return status;
}

cot_status encoder_stage_create(encoder_stage **out, cot_device *device, const encoder_stage_options *options,
                                cot_error *err)
{
    cot_status status = COT_OK;
    const encoder_stage_options *o = options;
    *out = NULL;
    COT_TRY(options_check(o, err));
    encoder_stage *m = *out = calloc(1, sizeof *m);
    if (!m) return cot_fail(err, COT_E_MEMORY, "encoder stage: no memory");
    m->device = device;
    m->size = o->size, m->n_steps = o->n_steps, m->max_batch = o->max_batch;
    m->mean = o->mean, m->std = o->std, m->dropout = o->dropout, m->smoothing = o->label_smoothing;
    m->augment = o->augment, m->seed = o->seed;
    m->weighted = o->class_weights != NULL;
    m->places = o->findings > 0;
    COT_TRY(lists_make(m, o, err));
    COT_TRY(parameters_create(&m->table, device, err));
    COT_TRY(resnet18_train_init(&m->cnn, m->table, o->width, o->size, err));
    const student_shape shape = {m->cnn.features, o->dim, o->n_steps, o->classes};
    COT_TRY(student_train_init(&m->student, m->table, student_name, &shape, err));
    if (m->places)
        COT_TRY(lesion_train_init(&m->lesions, m->table, o->findings, m->cnn.features, resnet18_train_side(&m->cnn),
                                  o->place_share, o->place_weight, err));
    COT_TRY(parameters_commit(m->table, err));
    COT_TRY(buffers_make(m, o, err));
done:
    if (status != COT_OK) {
        encoder_stage_destroy(*out);
        *out = NULL;
    }
    return status;
}

void encoder_stage_destroy(encoder_stage *stage)
{
    if (!stage) return;
    student_train_fini(&stage->student);
    lesion_train_fini(&stage->lesions);
    cot_arena_destroy(stage->arena);
    parameters_destroy(stage->table);
    free(stage->labels);
    free(stage->losses);
    free(stage->weights);
    free(stage->host);
    free(stage->augmented);
    free(stage);
}

parameters *encoder_stage_parameters(encoder_stage *stage)
{
    return stage->table;
}

/* ---- one step ---- */
/* Pictures onto the device; batch NULL: only normalised. */
static cot_status images_forward(encoder_stage *m, const float *pictures, size_t n, const encoder_batch *batch,
                                 cot_error *err)
{
    cot_status status = COT_OK;
    const cot_augmentation as_it_is = COT_AUGMENTATION_INIT;
    for (size_t i = 0; i < n; i++) {
        const cot_augmentation a =
            batch ? augment_draw(&m->augment, m->size, m->seed, batch->epoch, batch->image[i]) : as_it_is;
        memcpy(m->host + i * DRAWN, &a, sizeof a);
        m->augmented[i] = a;
    }
    COT_TRY(cot_buffer_write(m->drawn, 0, m->host, n * DRAWN, err));
    COT_TRY(cot_buffer_write(m->pictures, 0, pictures, n * m->size * m->size, err));
    COT_TRY(cot_augment(m->image, m->pictures, m->drawn, n, m->size, m->mean, m->std, err));
done:
    return status;
}

/* Steps behind the last one with a label reach nothing: the optimiser leaves their heads alone, as torch does. */
static size_t steps_reached(const encoder_batch *batch, size_t n_steps)
{
    size_t reached = 0;
    for (size_t i = 0; i < batch->n * n_steps; i++)
        if (batch->labels[i] >= 0 && i % n_steps >= reached) reached = i % n_steps + 1;
    return reached;
}

/* Cross-entropies, into losses and, as gradients, dlogits. */
static cot_status losses_forward(encoder_stage *m, const encoder_batch *batch, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < m->n_steps; s++) {
        const size_t classes = m->student.classes[s];
        for (size_t i = 0; i < batch->n; i++) {
            const int label = batch->labels[i * m->n_steps + s];
            if (label >= 0 && (size_t)label >= classes)
                return cot_fail(err, COT_E_BUG, "encoder stage: label %d of a step with %zu classes", label, classes);
            m->host[i] = (float)label;
        }
        COT_TRY(cot_buffer_write(m->labels[s], 0, m->host, batch->n, err));
        COT_TRY(cot_cross_entropy(m->losses[s], m->student.dlogits[s], m->student.logits[s], m->labels[s],
                                  m->weights[s], m->smoothing, 1.0f, batch->n, classes, err));
    }
done:
    return status;
}

static cot_status losses_read(double *losses, encoder_stage *m, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(cot_buffer_read(m->losses[s], 0, m->host, n, err));
        losses[s] = 0;
        for (size_t i = 0; i < n; i++) losses[s] += (double)m->host[i];
    }
    if (m->places) COT_TRY(lesion_train_loss(&losses[m->n_steps], &m->lesions, n, err));
done:
    return status;
}

cot_status encoder_stage_step(double *losses, encoder_stage *m, const encoder_batch *batch,
                              const optimiser_options *options, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t n = batch->n;
    if (n < 2 || n > m->max_batch)
        return cot_fail(err, COT_E_BUG, "encoder stage: a batch of %zu, planned for 2 to %zu", n, m->max_batch);
    if (m->places != (batch->lesions != NULL)) return cot_fail(err, COT_E_BUG, "encoder stage: places of lesions");
    const cot_dropout drop = {m->seed, parameters_steps(m->table), DROPOUT_LAYER, m->dropout};
    COT_TRY(images_forward(m, batch->pictures, n, batch, err));
    COT_TRY(resnet18_train_forward(m->feature, &m->cnn, m->image, n, true, err));
    COT_TRY(student_train_forward(&m->student, m->feature, n, &drop, err));
    COT_TRY(losses_forward(m, batch, err));
    COT_TRY(cot_buffer_zero(m->dfeature, err));
    COT_TRY(student_train_backward(m->dfeature, &m->student, m->feature, n, err));
    if (m->places)
        COT_TRY(lesion_train_step(m->cnn.top, &m->lesions, resnet18_train_activation(&m->cnn), batch->lesions,
                                  m->augmented, m->size, n, err));
    COT_TRY(resnet18_train_backward(&m->cnn, m->dfeature, m->image, n, true, err));
    student_train_idle(&m->student, steps_reached(batch, m->n_steps));
    COT_TRY(parameters_step(m->table, options, err));
    if (losses) COT_TRY(losses_read(losses, m, n, err));
done:
    return status;
}

/* ---- evaluation ---- */
static cot_status logits_read(float *logits, encoder_stage *m, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0, at = 0; s < m->n_steps; at += m->student.classes[s++]) {
        const size_t classes = m->student.classes[s];
        COT_TRY(cot_buffer_read(m->student.logits[s], 0, m->host, n * classes, err));
        for (size_t i = 0; i < n; i++)
            memcpy(logits + i * m->all_classes + at, m->host + i * classes, classes * sizeof *logits);
    }
done:
    return status;
}

cot_status encoder_stage_logits(float *logits, encoder_stage *m, const float *pictures, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_dropout none = {0, 0, 0, 0.0f};
    for (size_t first = 0; first < n; first += m->max_batch) {
        const size_t part = n - first < m->max_batch ? n - first : m->max_batch;
        COT_TRY(images_forward(m, pictures + first * m->size * m->size, part, NULL, err));
        COT_TRY(resnet18_train_forward(m->feature, &m->cnn, m->image, part, false, err));
        COT_TRY(student_train_forward(&m->student, m->feature, part, &none, err));
        COT_TRY(logits_read(logits + first * m->all_classes, m, part, err));
    }
done:
    return status;
}
