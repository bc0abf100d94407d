/* A model on a device: loads a package, plans all memory once for the largest batch, runs the encoder once and
 * its readers, student and teacher, behind it. Nothing is allocated on the device behind cot_model_create, except the resampler's tables when a picture is larger
 * than any before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH_MAX = 1024 };

/* ---- create ---- */
static void fill_reader(cot_model *m)
{
    const cot_device_info *info = cot_device_about(m->device);
    m->reader = *cot_package_reader_of(m->package, m->readers);
    snprintf(m->reader.device, sizeof m->reader.device, "%.50s / %.70s", info->platform, info->name);
    if (m->readers != COT_READ_BOTH) return;
    m->other = *cot_package_reader_of(m->package, COT_READ_TEACHER);
    memcpy(m->other.device, m->reader.device, sizeof m->other.device);
}

static cot_status allocate_host(cot_model *m, cot_error *err)
{
    const architecture *arch = &package_card(m->package)->arch;
    for (size_t s = 0; s < arch->n_steps; s++) m->n_logits += arch->classes[s];
    m->logits = calloc(m->max_batch * m->n_logits + 1, sizeof *m->logits);
    m->other_logits = calloc(m->max_batch * m->n_logits + 1, sizeof *m->other_logits);
    m->step = calloc(m->max_batch * m->n_logits + 1, sizeof *m->step);
    return m->logits && m->other_logits && m->step ? COT_OK
                                                   : cot_fail(err, COT_E_MEMORY, "model: no memory for its answers");
}

static cot_status load_student(cot_model *m, cot_error *err)
{
    const architecture *arch = &package_card(m->package)->arch;
    const weight_source source = package_source(m->package, STUDENT_PREFIX);
    if (m->readers == COT_READ_TEACHER) return COT_OK;
    const student_shape shape = {architecture_features(arch), arch->dim, arch->n_steps, arch->classes};
    return student_init(&m->student, m->device, &source, &shape, err);
}

static cot_status load_teacher(cot_model *m, cot_error *err)
{
    const architecture *arch = &package_card(m->package)->arch;
    const weight_source source = package_source(m->package, TEACHER_PREFIX);
    const teacher_shape shape = {architecture_features(arch), arch->teacher.dim, arch->teacher.heads,
                                 arch->teacher.layers,        arch->n_steps,     arch->classes};
    if (m->readers == COT_READ_STUDENT) return COT_OK;
    return teacher_init(&m->teacher, m->device, &source, &shape, err);
}

/* The first graph pass, which depends on no image. */
static cot_status set_prompts(cot_model *m, cot_error *err)
{
    const weight_source source = package_source(m->package, "");
    cot_status status;
    float *prompts = NULL;
    if (m->readers == COT_READ_STUDENT) return COT_OK;
    COT_TRY(
        source_floats(&prompts, &source, PROMPTS_NAME, (const size_t[]){m->teacher.n_steps, m->teacher.dim}, 2, err));
    COT_TRY(teacher_prompts(&m->teacher, prompts, err));
done:
    free(prompts);
    return status;
}

static cot_status plan(cot_model *m, cot_error *err)
{
    cot_status status;
    const size_t size = m->encoder.size;
    COT_TRY(cot_arena_create(&m->arena, m->device, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->input, m->max_batch * size * size, err));
    COT_TRY(cot_arena_reserve(m->arena, &m->feature, m->max_batch * m->encoder.features, err));
    COT_TRY(encoder_plan(&m->encoder, m->arena, m->max_batch, err));
    if (m->readers != COT_READ_TEACHER) COT_TRY(student_plan(&m->student, m->arena, m->max_batch, err));
    if (m->readers != COT_READ_STUDENT) COT_TRY(teacher_plan(&m->teacher, m->arena, m->max_batch, err));
    COT_TRY(cot_arena_commit(m->arena, err));
    COT_TRY(set_prompts(m, err));
done:
    return status;
}

cot_status cot_model_create(cot_model **out, cot_device *device, const cot_package *package, const cot_steps *steps,
                            size_t max_batch, cot_error *err)
{
    return cot_model_create_for(out, device, package, steps, COT_READ_STUDENT, max_batch, err);
}

cot_status cot_model_create_for(cot_model **out, cot_device *device, const cot_package *package, const cot_steps *steps,
                                cot_readers readers, size_t max_batch, cot_error *err)
{
    cot_status status;
    const model_card *card = package_card(package);
    *out = NULL;
    if (!max_batch || max_batch > BATCH_MAX)
        return cot_fail(err, COT_E_CONFIG, "model: a batch of %zu; 1 to %d are possible", max_batch, BATCH_MAX);
    if (card->arch.n_steps != steps->n_steps)
        return cot_fail(err, COT_E_BUG, "model: opened with another step schema than it is run with");
    if (cot_package_offers(package, readers, err) != COT_OK) return COT_E_MODEL;
    cot_model *m = calloc(1, sizeof *m);
    if (!m) return cot_fail(err, COT_E_MEMORY, "model: no memory");
    m->device = device;
    m->package = package;
    m->steps = steps;
    m->readers = readers;
    m->max_batch = max_batch;
    fill_reader(m);
    COT_TRY(allocate_host(m, err));
    COT_TRY(encoder_init(&m->encoder, device, package, err));
    COT_TRY(load_student(m, err));
    COT_TRY(load_teacher(m, err));
    COT_TRY(cot_resampler_create(&m->resampler, device, card->size, card->filter, card->mean, card->std, err));
    COT_TRY(plan(m, err));
    *out = m;
    m = NULL;
done:
    cot_model_destroy(m);
    return status;
}

void cot_model_destroy(cot_model *model)
{
    if (!model) return;
    cot_resampler_destroy(model->resampler);
    model_evidence_fini(model);
    student_fini(&model->student);
    teacher_fini(&model->teacher);
    encoder_fini(&model->encoder);
    cot_arena_destroy(model->arena);
    free(model->logits);
    free(model->other_logits);
    free(model->step);
    free(model);
}

size_t cot_model_input_size(const cot_model *model)
{
    return model->encoder.size;
}
size_t cot_model_logit_count(const cot_model *model)
{
    return model->n_logits;
}

/* ---- run ---- */
void cot_model_timing(cot_model *model, bool on)
{
    model->timing = on;
}
cot_model_times cot_model_times_read(const cot_model *model)
{
    return model->times;
}

cot_status model_clock(double *ms, cot_model *model, cot_error *err)
{
    struct timespec now;
    if (model->timing) {
        const cot_status status = cot_device_finish(model->device, err);
        if (status != COT_OK) return status;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    *ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
    return COT_OK;
}

/* Each step's [n,classes] from the device into its columns of [n,n_logits]. */
static cot_status gather_logits(float *to, cot_model *m, cot_buffer *const *logits, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    const architecture *arch = &package_card(m->package)->arch;
    size_t column = 0;
    for (size_t s = 0; s < arch->n_steps; column += arch->classes[s++])
        COT_TRY(cot_buffer_read_later(logits[s], 0, m->step + n * column, n * arch->classes[s], err));
    COT_TRY(cot_device_finish(m->device, err)); /* once: to wait for each would cost more than the products */
    column = 0;
    for (size_t s = 0; s < arch->n_steps; column += arch->classes[s++])
        for (size_t i = 0; i < n; i++)
            memcpy(to + i * m->n_logits + column, m->step + n * column + i * arch->classes[s],
                   arch->classes[s] * sizeof *to);
    for (size_t i = 0; i < n * m->n_logits; i++)
        if (!isfinite(to[i])) {
            status = cot_fail(err, COT_E_INPUT,
                              "model: picture %zu gives an answer that is not a number: its pixels hold "
                              "values that are not finite, or the model is damaged",
                              i / m->n_logits);
            goto done;
        }
done:
    if (status != COT_OK) cot_device_finish(m->device, NULL); /* nothing may arrive in m->step any more */
    return status;
}

/* All readers from the one feature. */
cot_status model_heads(cot_model *m, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    if (m->readers != COT_READ_TEACHER) {
        COT_TRY(student_forward(&m->student, m->feature, n, err));
        COT_TRY(gather_logits(m->logits, m, m->student.acts.logits, n, err));
    }
    if (m->readers != COT_READ_STUDENT) {
        float *to = m->readers == COT_READ_BOTH ? m->other_logits : m->logits;
        COT_TRY(teacher_forward(&m->teacher, m->feature, n, err));
        COT_TRY(gather_logits(to, m, m->teacher.acts.logits, n, err));
    }
done:
    return status;
}

cot_status model_without(cot_model *model, size_t n, size_t step, cot_error *err)
{
    model->student.without = model->teacher.without = step + 1;
    const cot_status status = model_heads(model, n, err);
    model->student.without = model->teacher.without = 0;
    return status;
}

cot_status model_forward(cot_model *model, size_t n, cot_error *err)
{
    cot_status status;
    double start, encoded, end;
    COT_TRY(model_clock(&start, model, err));
    COT_TRY(encoder_forward(model->feature, &model->encoder, model->input, n, err));
    COT_TRY(model_clock(&encoded, model, err));
    COT_TRY(model_heads(model, n, err));
    COT_TRY(model_clock(&end, model, err));
    if (model->timing) {
        model->times.encoder = encoded - start;
        model->times.heads = end - encoded;
    }
done:
    return status;
}

cot_status cot_model_logits(cot_model *model, float *logits, const float *input, size_t n, cot_error *err)
{
    cot_status status;
    const size_t floats = model->encoder.size * model->encoder.size;
    if (!n || n > model->max_batch)
        return cot_fail(err, COT_E_BUG, "model: %zu inputs, planned for 1 to %zu", n, model->max_batch);
    COT_TRY(cot_buffer_write(model->input, 0, input, n * floats, err));
    COT_TRY(model_forward(model, n, err));
    memcpy(logits, model->logits, n * model->n_logits * sizeof *logits);
done:
    return status;
}
