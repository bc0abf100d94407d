/* Joint training: its parameters and memory (joint.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/joint_internal.h"

#include <stdlib.h>

/* ---- parameters ---- */
static cot_status create_tables(joint *j, const teacher_shape *t, const student_shape *s, cot_error *err)
{
    cot_status status;
    const size_t width = j->options.proj_dim;
    COT_TRY(parameters_create(&j->teacher_table, j->device, err));
    COT_TRY(teacher_train_init(&j->t, j->teacher_table, "teacher.", t, err));
    COT_TRY(linear_train_init(&j->pt, j->teacher_table, "proj_teacher", width, t->dim, true, err));
    j->pt.weight->spec.kind = j->pt.bias->spec.kind = PARAMETER_FROZEN;
    COT_TRY(parameters_commit(j->teacher_table, err));
    COT_TRY(parameters_create(&j->student_table, j->device, err));
    COT_TRY(student_train_init(&j->s, j->student_table, "student.", s, err));
    COT_TRY(linear_train_init(&j->ps, j->student_table, "proj_student", width, s->dim, true, err));
    COT_TRY(parameters_commit(j->student_table, err));
done:
    return status;
}

cot_status joint_init(joint *j, uint64_t seed, cot_error *err)
{
    cot_status status;
    COT_TRY(parameters_init(j->teacher_table, "", seed, err));
    COT_TRY(parameters_init(j->student_table, "", seed, err));
done:
    return status;
}

/* ---- plan ---- */
static cot_status allocate_lists(joint *j, cot_error *err)
{
    const size_t n = j->s.n_steps, max = j->options.max_batch;
    size_t most = n;
    for (size_t s = 0; s < n; s++) {
        j->all_classes += j->s.classes[s];
        if (j->s.classes[s] > most) most = j->s.classes[s];
    }
    j->label = calloc(n, sizeof(cot_buffer *));
    j->weights = calloc(n, sizeof(cot_buffer *));
    j->loss_teacher = calloc(3 * n, sizeof(cot_buffer *)); /* loss_ce and loss_kd lie behind it */
    j->host = calloc(most * max, sizeof *j->host);
    if (!j->label || !j->weights || !j->loss_teacher || !j->host)
        return cot_fail(err, COT_E_MEMORY, "training: no memory for %zu steps", n);
    j->loss_ce = j->loss_teacher + n;
    j->loss_kd = j->loss_ce + n;
    return COT_OK;
}

static cot_status plan_losses(joint *j, cot_error *err)
{
    cot_status status;
    const size_t n = j->s.n_steps, rows = j->options.max_batch > n ? j->options.max_batch : n;
    COT_TRY(cot_arena_create(&j->loss_arena, j->device, err));
    for (size_t i = 0; i < 3 * n; i++) COT_TRY(cot_arena_reserve(j->loss_arena, &j->loss_teacher[i], rows, err));
    COT_TRY(cot_arena_reserve(j->loss_arena, &j->loss_ch, rows, err));
    j->loss_stride = cot_arena_floats(j->loss_arena) / (3 * n + 1);
    COT_TRY(cot_arena_commit(j->loss_arena, err));
    COT_TRY(cot_arena_whole(&j->losses, j->loss_arena, err));
    j->host_losses = calloc(cot_buffer_floats(j->losses), sizeof *j->host_losses);
    if (!j->host_losses) return cot_fail(err, COT_E_MEMORY, "training: no memory for losses");
done:
    return status;
}

static cot_status plan_batch(joint *j, cot_error *err)
{
    cot_status status;
    const size_t n = j->s.n_steps, max = j->options.max_batch, width = j->options.proj_dim;
    const struct {
        cot_buffer **piece;
        size_t floats;
    } pieces[] = {{&j->feature, max * j->s.features},
                  {&j->labels, n * max},
                  {&j->view, max * j->t.dim},
                  {&j->views, n * max * j->t.dim},
                  {&j->teacher_aligned, n * max * width},
                  {&j->student_aligned, max * width},
                  {&j->daligned, max * width},
                  {&j->fs, max * j->s.dim},
                  {&j->dfs, max * j->s.dim}};
    COT_TRY(cot_arena_create(&j->arena, j->device, err));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        COT_TRY(cot_arena_reserve(j->arena, pieces[i].piece, pieces[i].floats, err));
    for (size_t s = 0; s < n; s++) COT_TRY(cot_arena_reserve(j->arena, &j->label[s], max, err));
    COT_TRY(teacher_train_plan(&j->t, j->arena, max, err));
    COT_TRY(student_train_plan(&j->s, j->arena, max, err));
    COT_TRY(cot_arena_commit(j->arena, err));
done:
    return status;
}

static cot_status copy_weights(joint *j, cot_error *err)
{
    cot_status status = COT_OK;
    const float *const *from = j->options.class_weights;
    j->options.class_weights = NULL; /* the caller's */
    for (size_t s = 0; from && s < j->s.n_steps; s++) {
        if (!from[s]) continue;
        COT_TRY(cot_buffer_create(&j->weights[s], j->device, j->s.classes[s], err));
        COT_TRY(cot_buffer_write(j->weights[s], 0, from[s], j->s.classes[s], err));
    }
done:
    return status;
}

static cot_status check_shapes(const teacher_shape *t, const student_shape *s, const joint_options *o, cot_error *err)
{
    if (t->image_dim != s->features || t->n_steps != s->n_steps || !s->n_steps || !o->max_batch || !o->proj_dim)
        return cot_fail(err, COT_E_BUG,
                        "training: teacher of %zu features and %zu steps, student of %zu and %zu, batch "
                        "%zu, projection %zu",
                        t->image_dim, t->n_steps, s->features, s->n_steps, o->max_batch, o->proj_dim);
    for (size_t i = 0; i < s->n_steps; i++)
        if (t->classes[i] != s->classes[i])
            return cot_fail(err, COT_E_BUG, "training: step %zu has %zu classes in the teacher, %zu in the student", i,
                            t->classes[i], s->classes[i]);
    return COT_OK;
}

/* ---- create ---- */
cot_status joint_create(joint **out, cot_device *device, const teacher_shape *t, const student_shape *s,
                        const joint_options *options, cot_error *err)
{
    cot_status status;
    joint *j = NULL;
    *out = NULL;
    COT_TRY(check_shapes(t, s, options, err));
    j = calloc(1, sizeof *j);
    if (!j) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    j->device = device;
    j->options = *options;
    j->optimiser = (optimiser_options)OPTIMISER_OPTIONS_INIT;
    j->optimiser.weight_decay = options->weight_decay;
    j->optimiser.max_norm = options->max_norm;
    COT_TRY(create_tables(j, t, s, err));
    COT_TRY(allocate_lists(j, err));
    COT_TRY(plan_batch(j, err));
    COT_TRY(plan_losses(j, err));
    COT_TRY(copy_weights(j, err));
    *out = j;
    j = NULL;
done:
    joint_destroy(j);
    return status;
}

void joint_destroy(joint *j)
{
    if (!j) return;
    for (size_t s = 0; j->weights && s < j->s.n_steps; s++) cot_buffer_destroy(j->weights[s]);
    teacher_train_fini(&j->t);
    student_train_fini(&j->s);
    linear_train_fini(&j->pt);
    linear_train_fini(&j->ps);
    parameters_destroy(j->teacher_table);
    parameters_destroy(j->student_table);
    cot_arena_destroy(j->arena);
    cot_arena_destroy(j->loss_arena);
    free(j->label);
    free(j->weights);
    free(j->loss_teacher);
    free(j->host);
    free(j->host_losses);
    free(j);
}

parameters *joint_teacher_parameters(joint *j)
{
    return j->teacher_table;
}

parameters *joint_student_parameters(joint *j)
{
    return j->student_table;
}

cot_status joint_prompts(joint *j, const float *prompts, cot_error *err)
{
    const cot_status status = teacher_train_prompts(&j->t, prompts, err);
    j->prompted = status == COT_OK;
    return status;
}

void joint_rates(joint *j, float lr_teacher, float lr_student)
{
    j->options.lr_teacher = lr_teacher;
    j->options.lr_student = lr_student;
}
