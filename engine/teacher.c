/* The Step-CoT teacher (teacher.h), forward, in the order of the paper's eqs. 7-16:
 *     N     = (t_1 … t_S, m)                          prompts of the steps and the memory as nodes
 *     N    <- GAT(N)                                  eqs. 9-11, memory_gat; h_s, m: rows of N
 *     c_s   = ReLU(LayerNorm(W_f (h_s | m) + b_f))    fusion_proj: the step's context
 *     v_s   = ReLU(LayerNorm(W_v v + b_v))            step_models.s.img_proj: the step's view of the image feature v
 *     l_s   = W_s F_s(v_s | c_s) + b_s                fusion_head, classifier: the step's answer
 *     m    <- GRU(W_m (softmax(l_s) . W_s) + b_m, m)  pred2mem, mem_gru: the answer becomes part of the memory
 * From softmax(l_s) to the GRU's gates everything is linear: one small matrix per step, folded when the prompts are known.
 * The first graph pass and the first context depend on no image: they are computed once, for one item, when the prompts
 * are known, and lie ready for every item of a batch.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher.h"

#include <stdlib.h>
#include <string.h>

/* ---- load ---- */
static cot_status load_step(step_model *step, size_t s, const teacher *m, cot_device *device,
                            const weight_source *source, cot_error *err)
{
    cot_status status;
    char name[64];
    snprintf(name, sizeof name, "step_models.%zu.img_proj", s);
    COT_TRY(projection_init(&step->img_proj, device, source, name, 0, m->dim, m->image_dim, err));
    snprintf(name, sizeof name, "step_models.%zu.fusion_head", s);
    COT_TRY(projection_init(&step->fusion_head[0], device, source, name, 0, m->dim, 2 * m->dim, err));
    COT_TRY(projection_init(&step->fusion_head[1], device, source, name, 4, m->dim, m->dim, err));
    snprintf(name, sizeof name, "step_models.%zu.classifier", s);
    COT_TRY(head_init(&step->classifier, &step->write, device, source, name, step->classes, m->dim, err));
done:
    return status;
}

static cot_status allocate_steps(teacher *m, const teacher_shape *shape, cot_error *err)
{
    m->n_steps = shape->n_steps;
    m->nodes = m->n_steps + 1;
    m->image_dim = shape->image_dim;
    m->dim = shape->dim;
    m->step = calloc(m->n_steps + 1, sizeof *m->step);
    m->acts.logits = calloc(m->n_steps + 1, sizeof *m->acts.logits);
    if (!m->step || !m->acts.logits) return cot_fail(err, COT_E_MEMORY, "teacher: no memory for %zu steps", m->n_steps);
    for (size_t s = 0; s < m->n_steps; s++) m->step[s].classes = shape->classes[s];
    return COT_OK;
}

cot_status teacher_init(teacher *m, cot_device *device, const weight_source *source, const teacher_shape *shape,
                        cot_error *err)
{
    cot_status status;
    m->device = device;
    COT_TRY(allocate_steps(m, shape, err));
    COT_TRY(source_floats(&m->memory_init, source, "memory_init", (const size_t[]){1, m->dim}, 2, err));
    COT_TRY(gat_init(&m->memory_gat, device, source, "memory_gat", m->dim, shape->heads, shape->layers, err));
    COT_TRY(projection_init(&m->fusion_proj, device, source, "fusion_proj", 0, m->dim, 2 * m->dim, err));
    COT_TRY(gru_init(&m->mem_gru, device, source, "mem_gru", m->dim, err));
    COT_TRY(source_linear(&m->pred2mem, device, source, "pred2mem", m->dim, m->dim, true, err));
    for (size_t s = 0; s < m->n_steps; s++) COT_TRY(load_step(&m->step[s], s, m, device, source, err));
done:
    return status;
}

void teacher_fini(teacher *m)
{
    for (size_t s = 0; m->step && s < m->n_steps; s++) {
        projection_fini(&m->step[s].img_proj);
        projection_fini(&m->step[s].fusion_head[0]);
        projection_fini(&m->step[s].fusion_head[1]);
        cot_weights_destroy(m->step[s].classifier);
        cot_weights_destroy(m->step[s].write);
        cot_weights_destroy(m->step[s].gates);
        cot_weights_destroy(m->step[s].gates_back);
    }
    gat_fini(&m->memory_gat);
    projection_fini(&m->fusion_proj);
    gru_fini(&m->mem_gru);
    cot_weights_destroy(m->pred2mem);
    free(m->memory_init);
    free(m->step);
    free(m->acts.logits);
}

/* ---- plan ---- */
cot_status teacher_plan(teacher *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    size_t most = 1;
    cot_buffer **vectors[] = {&a->first_memory,   &a->first_context, &a->memory,        &a->node,        &a->context,
                              &a->image,          &a->hidden,        &a->fused,         &a->said,        &a->written,
                              &a->context_linear, &a->image_linear,  &a->hidden_linear, &a->fused_linear};
    m->max_batch = max_batch;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        COT_TRY(cot_arena_reserve(arena, vectors[i], m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->pair, 2 * m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->first, m->nodes * m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->nodes, m->nodes * m->dim * max_batch, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(cot_arena_reserve(arena, &a->logits[s], m->step[s].classes * max_batch, err));
        if (m->step[s].classes > most) most = m->step[s].classes;
    }
    COT_TRY(cot_arena_reserve(arena, &a->p, most * max_batch, err));
    COT_TRY(gat_plan(&m->memory_gat, arena, max_batch, m->nodes, err));
    COT_TRY(gru_plan(&m->mem_gru, arena, max_batch, err));
done:
    return status;
}

/* ---- forward ---- */
/* h_s and m from the nodes, and c_s from both. */
cot_status teacher_context(teacher *m, size_t s, size_t n, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    COT_TRY(cot_row_forward(a->node, a->nodes, n, m->nodes, s, m->dim, err));
    COT_TRY(cot_row_forward(a->memory, a->nodes, n, m->nodes, m->nodes - 1, m->dim, err));
    COT_TRY(cot_concat_forward(a->pair, a->node, m->dim, a->memory, m->dim, n, err));
    COT_TRY(projection_forward(a->context, a->context_linear, &m->fusion_proj, a->pair, n, err));
done:
    return status;
}

/* Copies the first item's row of `from` to each of the batch in `to`. */
static cot_status repeat(cot_buffer *to, const cot_buffer *from, size_t floats, size_t times, float *host,
                         cot_error *err)
{
    cot_status status;
    COT_TRY(cot_buffer_read(from, 0, host, floats, err));
    for (size_t i = 0; i < times; i++) COT_TRY(cot_buffer_write(to, i * floats, host, floats, err));
done:
    return status;
}

/* What class c of step s alone would give the GRU's gates: W_ih (W_m w_c + b_m) + b_ih. */
static cot_status class_gates(float *gates, teacher *m, size_t s, size_t c, float *p, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    memset(p, 0, m->step[s].classes * sizeof *p);
    p[c] = 1;
    COT_TRY(cot_buffer_write(a->p, 0, p, m->step[s].classes, err));
    COT_TRY(cot_linear_forward(a->said, a->p, m->step[s].write, 1, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(a->written, a->said, m->pred2mem, 1, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_linear_forward(m->mem_gru.acts.gi, a->written, m->mem_gru.ih, 1, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_buffer_read(m->mem_gru.acts.gi, 0, gates, 3 * m->dim, err));
done:
    return status;
}

/* softmax(l_s) sums to 1, so between it and the gates everything is linear, the biases too: one small matrix. */
static cot_status fold_gates(teacher *m, size_t s, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t classes = m->step[s].classes, rows = 3 * m->dim;
    float *back = calloc(classes * rows, sizeof *back), *all = calloc(rows * classes, sizeof *all);
    float *p = calloc(classes, sizeof *p);
    if (!back || !all || !p) {
        status = cot_fail(err, COT_E_MEMORY, "teacher: no memory for the gates of step %zu", s + 1);
        goto done;
    }
    for (size_t c = 0; c < classes; c++) {
        COT_TRY(class_gates(back + c * rows, m, s, c, p, err));
        for (size_t r = 0; r < rows; r++) all[r * classes + c] = back[c * rows + r];
    }
    cot_weights_destroy(m->step[s].gates);
    cot_weights_destroy(m->step[s].gates_back);
    m->step[s].gates = m->step[s].gates_back = NULL;
    COT_TRY(cot_linear_prepare(&m->step[s].gates, m->device, all, NULL, rows, classes, err));
    COT_TRY(cot_linear_prepare(&m->step[s].gates_back, m->device, back, NULL, classes, rows, err));
done:
    free(back);
    free(all);
    free(p);
    return status;
}

cot_status teacher_prompts(teacher *m, const float *prompts, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    const size_t prompt_floats = m->n_steps * m->dim, floats = m->nodes * m->dim;
    float *host = malloc(floats * sizeof *host + 1);
    if (!host) return cot_fail(err, COT_E_MEMORY, "teacher: no memory for the prompts");
    COT_TRY(cot_buffer_write(a->nodes, 0, prompts, prompt_floats, err));
    COT_TRY(cot_buffer_write(a->nodes, prompt_floats, m->memory_init, m->dim, err));
    COT_TRY(gat_forward(a->nodes, &m->memory_gat, a->nodes, 1, err));
    COT_TRY(teacher_context(m, 0, 1, err));
    for (size_t s = 0; s + 1 < m->n_steps; s++) COT_TRY(fold_gates(m, s, err));
    COT_TRY(repeat(a->first, a->nodes, floats, m->max_batch, host, err));
    COT_TRY(repeat(a->first_memory, a->memory, m->dim, m->max_batch, host, err));
    COT_TRY(repeat(a->first_context, a->context, m->dim, m->max_batch, host, err));
done:
    free(host);
    return status;
}

cot_status teacher_answer(teacher *m, size_t s, const cot_buffer *image, const cot_buffer *context, size_t n,
                          cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    const step_model *step = &m->step[s];
    COT_TRY(cot_concat_forward(a->pair, image, m->dim, context, m->dim, n, err));
    COT_TRY(projection_forward(a->hidden, a->hidden_linear, &step->fusion_head[0], a->pair, n, err));
    COT_TRY(projection_forward(a->fused, a->fused_linear, &step->fusion_head[1], a->hidden, n, err));
    COT_TRY(cot_linear_forward(a->logits[s], a->fused, step->classifier, n, NULL, COT_ACT_NONE, err));
done:
    return status;
}

/* l_s from the image feature and the step's context */
static cot_status step_forward(teacher *m, size_t s, const cot_buffer *feature, const cot_buffer *context, size_t n,
                               cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    COT_TRY(projection_forward(a->image, a->image_linear, &m->step[s].img_proj, feature, n, err));
    COT_TRY(teacher_answer(m, s, a->image, context, n, err));
done:
    return status;
}

cot_status teacher_write(cot_buffer *nodes, teacher *m, size_t s, const cot_buffer *memory, size_t n, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    if (m->forgets || s + 1 == m->without) return cot_row_write(nodes, memory, n, m->nodes, m->nodes - 1, m->dim, err);
    COT_TRY(cot_softmax_forward(a->p, a->logits[s], n, m->step[s].classes, err));
    COT_TRY(cot_linear_forward(m->mem_gru.acts.gi, a->p, m->step[s].gates, n, NULL, COT_ACT_NONE, err));
    COT_TRY(gru_advance(a->memory, &m->mem_gru, memory, n, err));
    COT_TRY(cot_row_write(nodes, a->memory, n, m->nodes, m->nodes - 1, m->dim, err));
done:
    return status;
}

cot_status teacher_forward(teacher *m, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    teacher_acts *a = &m->acts;
    if (!n || n > m->max_batch)
        return cot_fail(err, COT_E_BUG, "teacher: %zu images, planned for 1 to %zu", n, m->max_batch);
    COT_TRY(step_forward(m, 0, feature, a->first_context, n, err));
    if (m->n_steps > 1) COT_TRY(teacher_write(a->first, m, 0, a->first_memory, n, err));
    for (size_t s = 1; s < m->n_steps; s++) {
        COT_TRY(gat_forward(a->nodes, &m->memory_gat, s == 1 ? a->first : a->nodes, n, err));
        COT_TRY(teacher_context(m, s, n, err));
        COT_TRY(step_forward(m, s, feature, a->context, n, err));
        if (s + 1 == m->n_steps) break; /* nothing hears the memory behind the last step */
        COT_TRY(teacher_write(a->nodes, m, s, a->memory, n, err));
    }
done:
    return status;
}
