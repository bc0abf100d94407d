/* The stages on frozen features as a learner (learner.h): the teacher alone, or teacher and student together (joint.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/joint.h"
#include "engine/learner.h"

#include <stdlib.h>
#include <string.h>

typedef struct learning {
    const learner_data *data;
    joint *joint;
    cot_stage stage;
    float *features; /* [max,width] */
    int *labels;     /* [max,n_steps] */
    size_t max;
} learning;

static void gather(learning *m, const size_t *rows, size_t n)
{
    const size_t width = m->data->width, steps = m->data->n_steps;
    for (size_t i = 0; i < n; i++) {
        memcpy(m->features + i * width, m->data->features + rows[i] * width, width * sizeof *m->features);
        memcpy(m->labels + i * steps, m->data->labels + rows[i] * steps, steps * sizeof *m->labels);
    }
}

static cot_status learn_step(void *self, double *losses, const size_t *rows, size_t n, uint64_t epoch, double lr,
                             double teacher_lr, cot_error *err)
{
    learning *m = self;
    cot_status status;
    joint_losses l;
    const joint_batch batch = {n, m->features, m->labels};
    (void)epoch; /* dropout's numbers follow from the tables' step counts */
    gather(m, rows, n);
    if (m->stage == COT_STAGE_TEACHER) {
        joint_rates(m->joint, (float)lr, 0);
        COT_TRY(joint_teacher_step(m->joint, &batch, &l, err));
        losses[0] = l.teacher;
    } else {
        joint_rates(m->joint, (float)teacher_lr, (float)lr);
        COT_TRY(joint_step(m->joint, &batch, &l, err));
        const double all[] = {l.student, l.teacher, l.ce, l.kd, l.ch};
        memcpy(losses, all, sizeof all);
    }
done:
    return status;
}

static cot_status learn_logits(void *self, float *logits, const size_t *rows, size_t n, cot_error *err)
{
    learning *m = self;
    cot_status status = COT_OK;
    for (size_t at = 0; at < n; at += m->max) {
        const size_t some = n - at < m->max ? n - at : m->max;
        float *to = logits + at * m->data->n_logits;
        gather(m, rows + at, some);
        if (m->stage == COT_STAGE_TEACHER)
            COT_TRY(joint_teacher_logits(m->joint, to, m->features, some, err));
        else
            COT_TRY(joint_student_logits(m->joint, to, m->features, some, err));
    }
done:
    return status;
}

static cot_status learn_checkpoint(void *self, tensor_list *list, cot_error *err)
{
    learning *m = self;
    cot_status status;
    COT_TRY(parameters_checkpoint(list, joint_teacher_parameters(m->joint), "teacher/", err));
    COT_TRY(parameters_checkpoint(list, joint_student_parameters(m->joint), "student/", err));
done:
    return status;
}

static cot_status learn_resume(void *self, const weight_source *source, cot_error *err)
{
    learning *m = self;
    cot_status status;
    const weight_source of_teacher = {source->file, "teacher/", source->where},
                        of_student = {source->file, "student/", source->where};
    COT_TRY(parameters_resume(joint_teacher_parameters(m->joint), &of_teacher, err));
    COT_TRY(parameters_resume(joint_student_parameters(m->joint), &of_student, err));
done:
    return status;
}

/* Without the projections in which features are compared: they belong to training alone. */
static cot_status learn_values(void *self, tensor_list *list, cot_error *err)
{
    learning *m = self;
    cot_status status;
    COT_TRY(parameters_collect(list, joint_teacher_parameters(m->joint), TEACHER_PREFIX, TEACHER_PREFIX, err));
    if (m->stage == COT_STAGE_DISTILL)
        COT_TRY(parameters_collect(list, joint_student_parameters(m->joint), STUDENT_PREFIX, STUDENT_PREFIX, err));
done:
    return status;
}

static void learn_destroy(void *self)
{
    learning *m = self;
    if (!m) return;
    joint_destroy(m->joint);
    free(m->features);
    free(m->labels);
    free(m);
}

/* ---- making one ---- */
static cot_status make_joint(learning *m, cot_device *device, const cot_training *t, const teacher_arch *shape,
                             const architecture *arch, cot_error *err)
{
    const cot_training_stage *s = &t->stage[m->stage];
    const teacher_shape teacher_is = {m->data->width, shape->dim,       shape->heads,
                                      shape->layers,  m->data->n_steps, m->data->classes};
    const student_shape student_is = {m->data->width, arch->dim, m->data->n_steps, m->data->classes};
    const joint_options options = {.max_batch = m->max,
                                   .proj_dim = s->projection ? s->projection : 1,
                                   .lr_teacher = (float)s->teacher_lr,
                                   .lr_student = (float)s->lr,
                                   .weight_decay = (float)s->weight_decay,
                                   .max_norm = (float)s->clip,
                                   .kd = (float)s->kd,
                                   .ch = (float)s->ch,
                                   .temperature = s->temperature > 0 ? (float)s->temperature : 1,
                                   .smoothing = (float)s->label_smoothing,
                                   .class_weights = (const float *const *)m->data->class_weights,
                                   .align = s->align_published ? JOINT_ALIGN_PUBLISHED : JOINT_ALIGN_PAPER,
                                   .dropout = !s->no_dropout,
                                   .seed = t->seed};
    return joint_create(&m->joint, device, &teacher_is, &student_is, &options, err);
}

static cot_status load_weights(learning *m, const cot_training *t, const cot_package *init, cot_error *err)
{
    cot_status status;
    const weight_source of_student = package_source(init, STUDENT_PREFIX),
                        of_teacher = package_source(init, TEACHER_PREFIX);
    COT_TRY(joint_init(m->joint, t->seed, err));
    COT_TRY(parameters_load(joint_student_parameters(m->joint), STUDENT_PREFIX, &of_student, err));
    if (package_card(init)->arch.teacher.dim)
        COT_TRY(parameters_load(joint_teacher_parameters(m->joint), TEACHER_PREFIX, &of_teacher, err));
done:
    return status;
}

cot_status learn_joint(learner *out, cot_device *device, const cot_training *training, cot_stage stage,
                       const learner_data *data, const teacher_arch *shape, const float *prompts,
                       const cot_package *init, cot_error *err)
{
    cot_status status;
    learning *m = calloc(1, sizeof *m);
    if (!m) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    m->data = data;
    m->stage = stage;
    m->max = training->stage[stage].batch;
    m->features = calloc(m->max * data->width + 1, sizeof *m->features);
    m->labels = calloc(m->max * data->n_steps + 1, sizeof *m->labels);
    if (!m->features || !m->labels) {
        status = cot_fail(err, COT_E_MEMORY, "training: no memory for a batch");
        goto done;
    }
    COT_TRY(make_joint(m, device, training, shape, &package_card(init)->arch, err));
    COT_TRY(load_weights(m, training, init, err));
    COT_TRY(joint_prompts(m->joint, prompts, err));
    *out = (learner){m,
                     5,
                     {"loss", "teacher", "ce", "kd", "ch"},
                     learn_step,
                     learn_logits,
                     learn_checkpoint,
                     learn_resume,
                     learn_values,
                     learn_destroy};
    if (stage == COT_STAGE_TEACHER) out->n_losses = 1;
    m = NULL;
done:
    learn_destroy(m);
    return status;
}
