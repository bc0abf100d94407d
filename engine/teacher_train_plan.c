/* The teacher in training: its parameters and memory (teacher_train.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher_train.h"

#include <stdlib.h>

/* ---- parameters ---- */
static cot_status init_step(teacher_train *m, size_t s, parameters *table, const char *under, cot_error *err)
{
    cot_status status;
    char name[PARAMETER_NAME_MAX];
    step_train *t = &m->step[s];
    snprintf(name, sizeof name, "%sstep_models.%zu.img_proj", under, s);
    COT_TRY(projection_train_init(&t->img_proj, table, name, 0, m->dim, m->image_dim, err));
    snprintf(name, sizeof name, "%sstep_models.%zu.fusion_head", under, s);
    COT_TRY(projection_train_init(&t->fusion_head[0], table, name, 0, m->dim, 2 * m->dim, err));
    COT_TRY(projection_train_init(&t->fusion_head[1], table, name, 4, m->dim, m->dim, err));
    snprintf(name, sizeof name, "%sstep_models.%zu.classifier", under, s);
    COT_TRY(linear_train_init(&t->classifier, table, name, t->classes, m->dim, true, err));
done:
    return status;
}

/* torch.nn.GRUCell's names */
static cot_status init_gates(linear_train *m, parameters *table, const char *under, const char *side, size_t dim,
                             cot_error *err)
{
    cot_status status;
    char part[PARAMETER_NAME_MAX];
    const parameter_spec weight = {.rank = 2, .shape = {3 * dim, dim}, .init = INIT_FAN_IN, .fan_in = dim};
    const parameter_spec bias = {.rank = 1, .shape = {3 * dim}, .init = INIT_FAN_IN, .fan_in = dim};
    m->out = 3 * dim;
    m->in = dim;
    snprintf(part, sizeof part, "mem_gru.weight_%s", side);
    COT_TRY(parameter_named(&m->weight, table, under, part, &weight, err));
    snprintf(part, sizeof part, "mem_gru.bias_%s", side);
    COT_TRY(parameter_named(&m->bias, table, under, part, &bias, err));
done:
    return status;
}

cot_status teacher_train_init(teacher_train *m, parameters *table, const char *under, const teacher_shape *shape,
                              cot_error *err)
{
    cot_status status;
    char name[PARAMETER_NAME_MAX];
    const parameter_spec memory = {.rank = 2, .shape = {1, shape->dim}, .init = INIT_ZEROS};
    m->image_dim = shape->image_dim;
    m->dim = shape->dim;
    m->n_steps = shape->n_steps;
    m->nodes = m->n_steps + 1;
    m->step = calloc(m->n_steps + 1, sizeof *m->step);
    if (!m->step) return cot_fail(err, COT_E_MEMORY, "teacher: no memory for %zu steps", m->n_steps);
    COT_TRY(parameter_named(&m->memory_init, table, under, "memory_init", &memory, err));
    snprintf(name, sizeof name, "%smemory_gat", under);
    COT_TRY(gat_train_init(&m->memory_gat, table, name, m->dim, shape->heads, shape->layers, err));
    snprintf(name, sizeof name, "%sfusion_proj", under);
    COT_TRY(projection_train_init(&m->fusion_proj, table, name, 0, m->dim, 2 * m->dim, err));
    COT_TRY(init_gates(&m->ih, table, under, "ih", m->dim, err));
    COT_TRY(init_gates(&m->hh, table, under, "hh", m->dim, err));
    snprintf(name, sizeof name, "%spred2mem", under);
    COT_TRY(linear_train_init(&m->pred2mem, table, name, m->dim, m->dim, true, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        m->step[s].classes = shape->classes[s];
        COT_TRY(init_step(m, s, table, under, err));
    }
done:
    return status;
}

void teacher_train_fini(teacher_train *m)
{
    for (size_t s = 0; m->step && s < m->n_steps; s++) {
        step_train *t = &m->step[s];
        gat_pass_fini(&t->pass);
        projection_train_fini(&t->img_proj);
        projection_train_fini(&t->fusion_head[0]);
        projection_train_fini(&t->fusion_head[1]);
        linear_train_fini(&t->classifier);
    }
    projection_train_fini(&m->fusion_proj);
    linear_train_fini(&m->ih);
    linear_train_fini(&m->hh);
    linear_train_fini(&m->pred2mem);
    gat_train_fini(&m->memory_gat);
    free(m->step);
}

static void linear_idle(linear_train *m)
{
    m->weight->idle = m->bias->idle = true;
}

void teacher_train_idle(teacher_train *m, size_t from)
{
    for (size_t s = from; s < m->n_steps; s++) {
        projection_train_idle(&m->step[s].img_proj, true);
        projection_train_idle(&m->step[s].fusion_head[0], true);
        projection_train_idle(&m->step[s].fusion_head[1], true);
        linear_idle(&m->step[s].classifier);
    }
    if (from > 1) return; /* else nothing is written into the memory that a loss would hear */
    linear_idle(&m->ih);
    linear_idle(&m->hh);
    linear_idle(&m->pred2mem);
}

/* ---- plan ---- */
static cot_status reserve_all(cot_arena *arena, cot_buffer **const *pieces, size_t n, size_t floats, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < n; i++) COT_TRY(cot_arena_reserve(arena, pieces[i], floats, err));
done:
    return status;
}
#define RESERVE_ALL(arena, pieces, floats, err)                                                                        \
    reserve_all(arena, pieces, sizeof(pieces) / sizeof *(pieces), floats, err)

static cot_status plan_step(teacher_train *m, size_t s, cot_arena *arena, cot_error *err)
{
    cot_status status;
    step_train *t = &m->step[s];
    const size_t vector = m->dim * m->max_batch;
    cot_buffer **const vectors[] = {&t->memory, &t->context_linear, &t->context, &t->image_linear,
                                    &t->image,  &t->hidden_linear,  &t->hidden,  &t->fused_linear,
                                    &t->fused,  &t->said,           &t->written, &t->next};
    cot_buffer **const pairs[] = {&t->pair, &t->heard}, **const gates[] = {&t->gi, &t->gh};
    cot_buffer **const answers[] = {&t->logits, &t->dlogits, &t->p};
    COT_TRY(RESERVE_ALL(arena, vectors, vector, err));
    COT_TRY(RESERVE_ALL(arena, pairs, 2 * vector, err));
    COT_TRY(RESERVE_ALL(arena, gates, 3 * vector, err));
    COT_TRY(RESERVE_ALL(arena, answers, t->classes * m->max_batch, err));
    COT_TRY(gat_pass_plan(&t->pass, &m->memory_gat, arena, m->max_batch, err));
    if (s == 0)
        COT_TRY(cot_arena_reserve(arena, &t->nodes, m->nodes * vector, err));
    else
        t->nodes = t->pass.x[m->memory_gat.n_layers];
done:
    return status;
}

cot_status teacher_train_plan(teacher_train *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    const size_t vector = m->dim * max_batch;
    size_t most = 1;
    cot_buffer **const vectors[] = {&m->dmemory,  &m->dnext,  &m->drow,    &m->dsaid,  &m->dwritten,
                                    &m->dcontext, &m->dimage, &m->dhidden, &m->dfused, &m->dlinear};
    cot_buffer **const pairs[] = {&m->dpair, &m->dheard}, **const gates[] = {&m->dgi, &m->dgh};
    cot_buffer **const first[] = {&m->start, &m->dfirst};
    m->max_batch = max_batch;
    COT_TRY(gat_train_plan(&m->memory_gat, arena, max_batch, m->nodes, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(plan_step(m, s, arena, err));
        if (m->step[s].classes > most) most = m->step[s].classes;
    }
    COT_TRY(RESERVE_ALL(arena, vectors, vector, err));
    COT_TRY(RESERVE_ALL(arena, pairs, 2 * vector, err));
    COT_TRY(RESERVE_ALL(arena, gates, 3 * vector, err));
    COT_TRY(RESERVE_ALL(arena, first, m->nodes * m->dim, err));
    COT_TRY(cot_arena_reserve(arena, &m->dnodes, m->nodes * vector, err));
    COT_TRY(cot_arena_reserve(arena, &m->dp, most * max_batch, err));
done:
    return status;
}

cot_status teacher_train_prompts(teacher_train *m, const float *prompts, cot_error *err)
{
    return cot_buffer_write(m->start, 0, prompts, m->n_steps * m->dim, err);
}
