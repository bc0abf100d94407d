/* The chain as it is and with each step's memory write left out, side by side (teacher_evidence.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher_evidence.h"
#include "opencl/learning.h"

#include <string.h>

static cot_status keep(cot_buffer *to, const cot_buffer *from, size_t n, size_t width, cot_error *err)
{
    return cot_copy(to, 0, from, 0, n * width, err);
}

/* The first graph pass, as teacher_prompts left it; its memory row is that of the last reading. */
static cot_status begin(teacher_evidence *e, size_t n, cot_error *err)
{
    cot_status status;
    const teacher *m = e->model;
    const size_t floats = m->nodes * m->dim;
    e->rows.forgets = m->forgets;
    COT_TRY(cot_row_write(m->acts.first, m->acts.first_memory, n, m->nodes, m->nodes - 1, m->dim, err));
    COT_TRY(keep(e->rows.acts.nodes, m->acts.first, n, floats, err));
done:
    return status;
}

static cot_status hear(teacher_evidence *e, size_t s, size_t blocks, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    teacher *m = &e->rows;
    teacher_trace *t = &e->trace[s];
    cot_buffer *nodes = m->acts.nodes;
    const size_t floats = m->nodes * m->dim;
    for (size_t l = 0; l < m->memory_gat.n_layers; l++) {
        COT_TRY(gat_layer_forward(nodes, &m->memory_gat, l, nodes, blocks * n, err));
        COT_TRY(keep(t->z[l], m->memory_gat.acts.z, n, floats, err));
        COT_TRY(keep(t->sum[l], m->memory_gat.acts.sum, n, floats, err));
        COT_TRY(keep(t->out[l], nodes, n, floats, err));
    }
    COT_TRY(teacher_context(m, s, blocks * n, err));
    COT_TRY(keep(t->context_linear, m->acts.context_linear, n, m->dim, err));
    COT_TRY(keep(t->context, m->acts.context, n, m->dim, err));
done:
    return status;
}

/* What a step sees of the image is the same in every block. */
static cot_status answer(teacher_evidence *e, size_t s, size_t blocks, size_t n, cot_error *err)
{
    cot_status status;
    teacher *m = &e->rows;
    teacher_trace *t = &e->trace[s];
    const cot_buffer *context = s ? m->acts.context : e->model->acts.first_context;
    COT_TRY(projection_forward(t->image, t->image_linear, &m->step[s].img_proj, e->feature, n, err));
    COT_TRY(cot_repeat(m->acts.image, t->image, blocks, n * m->dim, err));
    COT_TRY(teacher_answer(m, s, m->acts.image, context, blocks * n, err));
    COT_TRY(keep(t->hidden_linear, m->acts.hidden_linear, n, m->dim, err));
    COT_TRY(keep(t->hidden, m->acts.hidden, n, m->dim, err));
    COT_TRY(keep(t->fused_linear, m->acts.fused_linear, n, m->dim, err));
    COT_TRY(keep(t->fused, m->acts.fused, n, m->dim, err));
done:
    return status;
}

/* All blocks write, and one joins that has not: from the nodes of block 0 as they were. */
static cot_status write(teacher_evidence *e, size_t s, size_t *blocks, size_t n, cot_error *err)
{
    cot_status status;
    teacher *m = &e->rows;
    teacher_trace *t = &e->trace[s];
    const size_t floats = n * m->nodes * m->dim;
    const cot_buffer *memory = s ? m->acts.memory : e->model->acts.first_memory;
    const cot_buffer *before = s ? t->out[m->memory_gat.n_layers - 1] : e->model->acts.first;
    COT_TRY(keep(t->memory, memory, n, m->dim, err));
    COT_TRY(teacher_write(m->acts.nodes, m, s, memory, *blocks * n, err));
    COT_TRY(keep(t->gi, m->mem_gru.acts.gi, n, 3 * m->dim, err));
    COT_TRY(keep(t->gh, m->mem_gru.acts.gh, n, 3 * m->dim, err));
    COT_TRY(keep(t->p, m->acts.p, n, m->step[s].classes, err));
    if (e->available[s]) COT_TRY(cot_copy(m->acts.nodes, (*blocks)++ * floats, before, 0, floats, err));
done:
    return status;
}

/* e->logits: a block that joined late has no logits of the steps before; they are as in block 0 and nobody asks. */
static cot_status take(teacher_evidence *e, size_t s, size_t blocks, size_t n, cot_error *err)
{
    cot_status status;
    const size_t classes = e->classes[s];
    COT_TRY(cot_buffer_read(e->rows.acts.logits[s], 0, e->host, blocks * n * classes, err));
    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < n; i++)
            memcpy(e->logits + (b * e->chunk + i) * e->n_logits + e->column[s], e->host + (b * n + i) * classes,
                   classes * sizeof *e->logits);
done:
    return status;
}

cot_status teacher_evidence_forward(teacher_evidence *e, size_t n, cot_error *err)
{
    cot_status status;
    size_t blocks = 1, joined = 1;
    COT_TRY(begin(e, n, err));
    for (size_t s = 0; s <= e->last; s++) {
        if (s) COT_TRY(hear(e, s, blocks, n, err));
        COT_TRY(answer(e, s, blocks, n, err));
        if (s < e->last) COT_TRY(write(e, s, &blocks, n, err));
    }
    for (size_t s = 0; s <= e->last; joined += e->available[s++]) /* at the end: to wait at each step would cost more */
        COT_TRY(take(e, s, joined, n, err));
done:
    return status;
}
