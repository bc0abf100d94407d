/* The encoder stage as a learner (learner.h): pictures and labels of the rows are gathered on the host, the rest is
 * encoder_stage.h's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_stage.h"
#include "engine/learner.h"
#include "engine/lesion_train.h"

#include <stdlib.h>

static const float published_dropout = 0.3f; /* of the student's projection */

typedef struct learning {
    const learner_data *data;
    encoder_stage *stage;
    optimiser_options options;
    float *pictures;         /* [max,size,size] */
    int *labels;             /* [max,n_steps] */
    uint64_t *image;         /* [max] */
    lesion_picture *lesions; /* [max], or NULL: places are not taught */
    size_t max;
    double losses[64]; /* a step's, before they are summed */
} learning;

static void gather_pictures(learning *m, const size_t *rows, size_t n)
{
    const size_t pixels = m->data->pictures->size * m->data->pictures->size;
    for (size_t i = 0; i < n; i++) picture_set_get(m->data->pictures, rows[i], m->pictures + i * pixels);
}

static cot_status learn_step(void *self, double *losses, const size_t *rows, size_t n, uint64_t epoch, double lr,
                             double teacher_lr, cot_error *err)
{
    learning *m = self;
    const size_t steps = m->data->n_steps;
    (void)teacher_lr;
    gather_pictures(m, rows, n);
    for (size_t i = 0; i < n; i++) {
        m->image[i] = rows[i];
        if (m->lesions) m->lesions[i] = m->data->lesions[rows[i]];
        for (size_t s = 0; s < steps; s++) m->labels[i * steps + s] = m->data->labels[rows[i] * steps + s];
    }
    const encoder_batch batch = {n, m->pictures, m->labels, m->image, epoch, m->lesions};
    m->options.lr = (float)lr;
    const cot_status status = encoder_stage_step(m->losses, m->stage, &batch, &m->options, err);
    losses[0] = 0;
    for (size_t s = 0; status == COT_OK && s < steps; s++) losses[0] += m->losses[s];
    if (m->lesions) losses[0] += losses[1] = m->losses[steps];
    return status;
}

static cot_status learn_logits(void *self, float *logits, const size_t *rows, size_t n, cot_error *err)
{
    learning *m = self;
    cot_status status = COT_OK;
    for (size_t at = 0; at < n; at += m->max) {
        const size_t some = n - at < m->max ? n - at : m->max;
        gather_pictures(m, rows + at, some);
        COT_TRY(encoder_stage_logits(logits + at * m->data->n_logits, m->stage, m->pictures, some, err));
    }
done:
    return status;
}

static cot_status learn_checkpoint(void *self, tensor_list *list, cot_error *err)
{
    return parameters_checkpoint(list, encoder_stage_parameters(((learning *)self)->stage), "encoder/", err);
}

static cot_status learn_resume(void *self, const weight_source *source, cot_error *err)
{
    const weight_source mine = {source->file, "encoder/", source->where};
    return parameters_resume(encoder_stage_parameters(((learning *)self)->stage), &mine, err);
}

static cot_status learn_values(void *self, tensor_list *list, cot_error *err)
{
    cot_status status;
    const parameters *table = encoder_stage_parameters(((learning *)self)->stage);
    COT_TRY(parameters_collect(list, table, CNN_PREFIX, CNN_PREFIX, err));
    COT_TRY(parameters_collect(list, table, STUDENT_PREFIX, STUDENT_PREFIX, err));
done:
    return status;
}

static void learn_destroy(void *self)
{
    learning *m = self;
    if (!m) return;
    encoder_stage_destroy(m->stage);
    free(m->pictures);
    free(m->labels);
    free(m->image);
    free(m->lesions);
    free(m);
}

/* ---- making one ---- */
static cot_status make_room(learning *m, bool places, cot_error *err)
{
    size_t floats = 0;
    const size_t pixels = m->data->pictures->size * m->data->pictures->size;
    if (cot_mul(&floats, m->max, pixels)) m->pictures = calloc(floats, sizeof(float));
    m->labels = calloc(m->max * m->data->n_steps + 1, sizeof *m->labels);
    m->image = calloc(m->max, sizeof *m->image);
    if (places) m->lesions = calloc(m->max, sizeof *m->lesions);
    if (m->data->n_steps >= sizeof m->losses / sizeof *m->losses)
        return cot_fail(err, COT_E_LIMIT, "training: more than %zu steps", sizeof m->losses / sizeof *m->losses - 1);
    return m->pictures && m->labels && m->image && (m->lesions || !places)
               ? COT_OK
               : cot_fail(err, COT_E_MEMORY, "training: no memory for a batch");
}

static cot_status make_stage(learning *m, cot_device *device, const cot_training *t, const cot_package *init,
                             cot_error *err)
{
    cot_status status;
    const cot_training_stage *s = &t->stage[COT_STAGE_ENCODER];
    const architecture *arch = init ? &package_card(init)->arch : NULL;
    const augment_options augment = {(float)t->rotate_deg, (float)t->scale,    (float)t->shift,
                                     (float)t->brightness, (float)t->contrast, t->mirror};
    const encoder_stage_options options = {.size = m->data->pictures->size,
                                           .width = arch ? arch->width : t->width,
                                           .dim = arch ? arch->dim : t->dim,
                                           .n_steps = m->data->n_steps,
                                           .classes = m->data->classes,
                                           .max_batch = m->max,
                                           .mean = m->data->mean,
                                           .std = m->data->std,
                                           .dropout = s->no_dropout ? 0 : published_dropout,
                                           .label_smoothing = (float)s->label_smoothing,
                                           .class_weights = (const float *const *)m->data->class_weights,
                                           .augment = augment,
                                           .seed = t->seed,
                                           .findings = m->lesions ? m->data->findings : 0,
                                           .place_share = (float)s->places,
                                           .place_weight = m->data->lesion_weight};
    COT_TRY(encoder_stage_create(&m->stage, device, &options, err));
    parameters *table = encoder_stage_parameters(m->stage);
    if (init) {
        const weight_source cnn = package_source(init, CNN_PREFIX), student = package_source(init, STUDENT_PREFIX);
        COT_TRY(parameters_init(table, LESION_PREFIX, t->seed, err));
        COT_TRY(parameters_load(table, CNN_PREFIX, &cnn, err));
        COT_TRY(parameters_load(table, STUDENT_PREFIX, &student, err));
    } else {
        COT_TRY(parameters_init(table, "", t->seed, err));
    }
    m->options = (optimiser_options){(float)s->lr,  (float)s->beta1,        (float)s->beta2,
                                     (float)s->eps, (float)s->weight_decay, (float)s->clip};
done:
    return status;
}

cot_status learn_encoder(learner *out, cot_device *device, const cot_training *training, const learner_data *data,
                         const cot_package *init, cot_error *err)
{
    cot_status status;
    learning *m = calloc(1, sizeof *m);
    if (!m) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    m->data = data;
    m->max = training->stage[COT_STAGE_ENCODER].batch;
    if (init && package_card(init)->arch.encoder != ENCODER_RESNET18) {
        status = cot_fail(err, COT_E_MODEL, "--stage encoder trains a ResNet-18; the package has another encoder");
        goto done;
    }
    const bool places = training->stage[COT_STAGE_ENCODER].places > 0 && data->findings > 0;
    COT_TRY(make_room(m, places, err));
    COT_TRY(make_stage(m, device, training, init, err));
    *out = (learner){m,
                     places ? 2 : 1,
                     {"loss", "places"},
                     learn_step,
                     learn_logits,
                     learn_checkpoint,
                     learn_resume,
                     learn_values,
                     learn_destroy};
    m = NULL;
done:
    learn_destroy(m);
    return status;
}
