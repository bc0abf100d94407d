/* Joint training (joint.h), the oracle's Trainer step by step:
 *     L_t = sum_s CE(l_t,s , y_s)                                  over the valid rows of each step
 *     L_s = sum_s CE(l_s , y_s) + kd * KD_s + ch * CH_s            with the teacher's new weights, which get no gradient
 *     KD_s = T² KL(softmax(l_t/T) || softmax(l_s/T)),  CH_s = w_s * KL(ku || kv)          opencl/learning.h
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/joint_internal.h"

#include <string.h>

/* Who draws for dropout: numbers of their own, so that no two masks are alike. */
enum { DRAW_TEACHER, DRAW_TEACHER_AGAIN, DRAW_STUDENT, DRAW_ALIGNED_STUDENT, DRAW_ALIGNED_TEACHER };

static const float drop_projection = 0.3f;

static cot_dropout draws_of(const joint *j, const parameters *table, uint32_t who)
{
    return (cot_dropout){j->options.seed, parameters_steps(table), who * TEACHER_DRAWS,
                         j->options.dropout ? drop_projection : 0.0f};
}

/* ---- the batch ---- */
/* Labels by step, masked ones -1; *from: steps from it on have no label in this batch; *pairs: some step has two. */
static cot_status upload(joint *j, const joint_batch *batch, size_t *from, bool *pairs, cot_error *err)
{
    cot_status status;
    const size_t n = batch->n, steps = j->s.n_steps;
    if (!n || n > j->options.max_batch)
        return cot_fail(err, COT_E_BUG, "training: a batch of %zu, planned for 1 to %zu", n, j->options.max_batch);
    *from = 0;
    *pairs = false;
    for (size_t s = 0; s < steps; s++) {
        size_t valid = 0;
        for (size_t i = 0; i < n; i++) {
            const int label = batch->labels[i * steps + s];
            if (label >= 0 && (size_t)label >= j->s.classes[s])
                return cot_fail(err, COT_E_BUG, "training: step %zu has label %d of %zu classes", s, label,
                                j->s.classes[s]);
            j->host[s * n + i] = label < 0 ? -1.0f : (float)label;
            valid += label >= 0;
        }
        if (valid) *from = s + 1;
        if (valid > 1) *pairs = true;
        COT_TRY(cot_buffer_write(j->label[s], 0, j->host + s * n, n, err));
    }
    COT_TRY(cot_buffer_write(j->labels, 0, j->host, steps * n, err));
    COT_TRY(cot_buffer_write(j->feature, 0, batch->features, n * j->s.features, err));
done:
    return status;
}

/* ---- the teacher: L_t and its step ---- */
static cot_status teacher_step(joint *j, size_t n, size_t from, cot_error *err)
{
    cot_status status;
    const cot_dropout drop = draws_of(j, j->teacher_table, DRAW_TEACHER);
    optimiser_options options = j->optimiser;
    options.lr = j->options.lr_teacher;
    COT_TRY(teacher_train_forward(&j->t, j->feature, n, &drop, err));
    for (size_t s = 0; s < j->s.n_steps; s++) {
        const step_train *t = &j->t.step[s];
        COT_TRY(cot_cross_entropy(j->loss_teacher[s], t->dlogits, t->logits, j->label[s], j->weights[s],
                                  j->options.smoothing, 1.0f, n, t->classes, err));
    }
    COT_TRY(teacher_train_backward(&j->t, j->feature, n, err));
    teacher_train_idle(&j->t, from);
    COT_TRY(parameters_step(j->teacher_table, &options, err));
done:
    return status;
}

/* ---- the student: L_s and its step ---- */
static cot_status cross_entropies(joint *j, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < j->s.n_steps; s++)
        COT_TRY(cot_cross_entropy(j->loss_ce[s], j->s.dlogits[s], j->s.logits[s], j->label[s], j->weights[s],
                                  j->options.smoothing, 1.0f, n, j->s.classes[s], err));
done:
    return status;
}

static cot_status distillation(joint *j, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < j->s.n_steps; s++)
        COT_TRY(cot_soft_kl(j->loss_kd[s], j->s.dlogits[s], j->s.logits[s], j->t.step[s].logits, j->label[s],
                            j->options.temperature, j->options.kd, n, j->s.classes[s], err));
done:
    return status;
}

/* CH compares projections of the students' feature and of the teacher's views of the image; its gradient goes to the
 * student's projection and, as the paper means it, on to the feature. */
static cot_status alignment(joint *j, size_t n, cot_error *err)
{
    cot_status status;
    const size_t steps = j->s.n_steps, width = j->options.proj_dim;
    const cot_dropout again = draws_of(j, j->teacher_table, DRAW_ALIGNED_TEACHER);
    const cot_dropout drop = draws_of(j, j->student_table, DRAW_ALIGNED_STUDENT);
    const cot_alignment_shape shape = {steps, n, width, j->options.temperature};
    const bool paper = j->options.align == JOINT_ALIGN_PAPER;
    for (size_t s = 0; s < steps; s++) {
        COT_TRY(teacher_train_image(j->view, &j->t, s, n, &again, err));
        COT_TRY(cot_copy(j->views, s * n * j->t.dim, j->view, 0, n * j->t.dim, err));
    }
    COT_TRY(linear_train_forward(j->teacher_aligned, &j->pt, j->views, steps * n, err));
    COT_TRY(cot_dropout_forward(j->fs, j->s.projected, n * j->s.dim, &drop, err));
    COT_TRY(linear_train_forward(j->student_aligned, &j->ps, j->fs, n, err));
    COT_TRY(cot_buffer_zero(j->daligned, err));
    COT_TRY(cot_alignment(j->loss_ch, j->daligned, j->teacher_aligned, j->student_aligned, j->labels, j->options.ch,
                          &shape, err));
    if (paper) COT_TRY(cot_buffer_zero(j->dfs, err));
    COT_TRY(linear_train_backward(paper ? j->dfs : NULL, &j->ps, j->daligned, j->fs, n, err));
    if (paper) COT_TRY(cot_dropout_backward(j->s.dprojected, j->dfs, n * j->s.dim, &drop, err));
done:
    return status;
}

static cot_status student_step(joint *j, size_t n, size_t from, bool pairs, bool taught, cot_error *err)
{
    cot_status status;
    const cot_dropout drop = draws_of(j, j->student_table, DRAW_STUDENT);
    optimiser_options options = j->optimiser;
    options.lr = j->options.lr_student;
    COT_TRY(student_train_forward(&j->s, j->feature, n, &drop, err));
    COT_TRY(cross_entropies(j, n, err));
    if (taught) {
        COT_TRY(distillation(j, n, err));
        COT_TRY(alignment(j, n, err));
    }
    COT_TRY(student_train_backward(NULL, &j->s, j->feature, n, err));
    student_train_idle(&j->s, from);
    j->ps.weight->idle = j->ps.bias->idle = !taught || !pairs;
    COT_TRY(parameters_step(j->student_table, &options, err));
done:
    return status;
}

/* ---- steps ---- */
static double sum_of(const joint *j, cot_buffer *const *rows, size_t n, const float *all)
{
    double sum = 0.0;
    for (size_t s = 0; s < j->s.n_steps; s++) {
        const float *part = all + (size_t)(rows - j->loss_teacher + (ptrdiff_t)s) * j->loss_stride;
        for (size_t i = 0; i < n; i++) sum += (double)part[i];
    }
    return sum;
}

/* One read for all losses: it waits for the step. */
static cot_status read_losses(joint *j, size_t n, bool of_teacher, bool of_student, joint_losses *losses,
                              cot_error *err)
{
    cot_status status;
    float *all = j->host_losses;
    COT_TRY(cot_buffer_read(j->losses, 0, all, cot_buffer_floats(j->losses), err));
    if (of_teacher) {
        losses->teacher = sum_of(j, j->loss_teacher, n, all);
        COT_TRY(parameters_norm(&losses->teacher_norm, j->teacher_table, err));
    }
    if (of_student) {
        losses->ce = sum_of(j, j->loss_ce, n, all);
        COT_TRY(parameters_norm(&losses->student_norm, j->student_table, err));
    }
    if (of_student && of_teacher) {
        losses->kd = sum_of(j, j->loss_kd, n, all);
        for (size_t s = 0; s < j->s.n_steps; s++) losses->ch += (double)all[3 * j->s.n_steps * j->loss_stride + s];
    }
    losses->student = losses->ce + (double)j->options.kd * losses->kd + (double)j->options.ch * losses->ch;
done:
    return status;
}

static cot_status step(joint *j, const joint_batch *batch, bool of_teacher, bool of_student, joint_losses *losses,
                       cot_error *err)
{
    cot_status status;
    size_t from = 0;
    bool pairs = false;
    if (of_teacher && !j->prompted) return cot_fail(err, COT_E_BUG, "training: the teacher has no prompts");
    if (losses) memset(losses, 0, sizeof *losses);
    COT_TRY(upload(j, batch, &from, &pairs, err));
    if (from == 0) goto done; /* nothing to learn from */
    if (of_teacher) COT_TRY(teacher_step(j, batch->n, from, err));
    if (of_teacher && of_student) {
        const cot_dropout drop = draws_of(j, j->teacher_table, DRAW_TEACHER_AGAIN);
        COT_TRY(teacher_train_forward(&j->t, j->feature, batch->n, &drop, err));
    }
    if (of_student) COT_TRY(student_step(j, batch->n, from, pairs, of_teacher, err));
    if (losses) COT_TRY(read_losses(j, batch->n, of_teacher, of_student, losses, err));
done:
    return status;
}

cot_status joint_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err)
{
    return step(j, batch, true, true, losses, err);
}

cot_status joint_teacher_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err)
{
    return step(j, batch, true, false, losses, err);
}

cot_status joint_student_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err)
{
    return step(j, batch, false, true, losses, err);
}

/* ---- evaluation ---- */
/* A step's logits [n,classes] into their columns of all. */
static cot_status gather(joint *j, float *all, const cot_buffer *logits, size_t s, size_t at, size_t n, cot_error *err)
{
    cot_status status;
    const size_t c = j->s.classes[s];
    COT_TRY(cot_buffer_read(logits, 0, j->host, n * c, err));
    for (size_t i = 0; i < n; i++) memcpy(all + i * j->all_classes + at, j->host + i * c, c * sizeof *all);
done:
    return status;
}

static cot_status logits_of(joint *j, bool of_teacher, float *logits, const float *features, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_dropout none = {0, 0, 0, 0.0f};
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done < j->options.max_batch ? n - done : j->options.max_batch;
        COT_TRY(cot_buffer_write(j->feature, 0, features + done * j->s.features, now * j->s.features, err));
        COT_TRY(of_teacher ? teacher_train_forward(&j->t, j->feature, now, &none, err)
                           : student_train_forward(&j->s, j->feature, now, &none, err));
        for (size_t s = 0, at = 0; s < j->s.n_steps; at += j->s.classes[s++])
            COT_TRY(gather(j, logits + done * j->all_classes, of_teacher ? j->t.step[s].logits : j->s.logits[s], s, at,
                           now, err));
    }
done:
    return status;
}

cot_status joint_teacher_logits(joint *j, float *logits, const float *features, size_t n, cot_error *err)
{
    if (!j->prompted) return cot_fail(err, COT_E_BUG, "training: the teacher has no prompts");
    return logits_of(j, true, logits, features, n, err);
}

cot_status joint_student_logits(joint *j, float *logits, const float *features, size_t n, cot_error *err)
{
    return logits_of(j, false, logits, features, n, err);
}
