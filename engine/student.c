/* The Step-CoT student (arXiv 2603.13878, appendix D): one image feature, a chain of step heads that write back.
 *     f      = ReLU(LayerNorm(W_p v + b_p))            img_proj, v: the encoder's feature
 *     l_s    = W_s f + b_s                             step_heads.s, s = 0 … steps-1
 *     f     <- f + tanh(l_s . W_s)                     what the step found becomes part of the feature
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <stdlib.h>
#include <string.h>

/* ---- load ---- */
static cot_status allocate_steps(student *m, const student_shape *shape, cot_error *err)
{
    m->dim = shape->dim;
    m->features = shape->features;
    m->n_steps = shape->n_steps;
    m->classes = calloc(m->n_steps + 1, sizeof *m->classes);
    m->head = calloc(m->n_steps + 1, sizeof *m->head);
    m->write = calloc(m->n_steps + 1, sizeof *m->write);
    m->acts.logits = calloc(m->n_steps + 1, sizeof *m->acts.logits);
    if (!m->classes || !m->head || !m->write || !m->acts.logits)
        return cot_fail(err, COT_E_MEMORY, "model: no memory for %zu steps", m->n_steps);
    memcpy(m->classes, shape->classes, m->n_steps * sizeof *m->classes);
    return COT_OK;
}

cot_status student_init(student *m, cot_device *device, const weight_source *source, const student_shape *shape,
                        cot_error *err)
{
    cot_status status;
    char name[64];
    COT_TRY(allocate_steps(m, shape, err));
    COT_TRY(projection_init(&m->img_proj, device, source, "img_proj", 0, m->dim, m->features, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        snprintf(name, sizeof name, "step_heads.%zu", s);
        COT_TRY(head_init(&m->head[s], &m->write[s], device, source, name, m->classes[s], m->dim, err));
    }
done:
    return status;
}

void student_fini(student *m)
{
    for (size_t s = 0; s < m->n_steps; s++) {
        if (m->head) cot_weights_destroy(m->head[s]);
        if (m->write) cot_weights_destroy(m->write[s]);
    }
    projection_fini(&m->img_proj);
    free(m->acts.logits);
    free(m->classes);
    free(m->head);
    free(m->write);
}

/* ---- plan ---- */
cot_status student_plan(student *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    student_acts *a = &m->acts;
    COT_TRY(cot_arena_reserve(arena, &a->projected, m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->feat, m->dim * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->written, m->dim * max_batch, err));
    for (size_t s = 0; s < m->n_steps; s++)
        COT_TRY(cot_arena_reserve(arena, &a->logits[s], m->classes[s] * max_batch, err));
done:
    return status;
}

/* ---- forward ---- */
cot_status student_forward(student *m, const cot_buffer *feature, size_t n, cot_error *err)
{
    cot_status status;
    student_acts *a = &m->acts;
    COT_TRY(projection_forward(a->feat, a->projected, &m->img_proj, feature, n, err));
    for (size_t s = 0; s < m->n_steps; s++) {
        COT_TRY(cot_linear_forward(a->logits[s], a->feat, m->head[s], n, NULL, COT_ACT_NONE, err));
        if (s + 1 == m->n_steps) break; /* nothing reads the feature behind the last step */
        if (s + 1 == m->without) continue;
        COT_TRY(cot_linear_forward(a->written, a->logits[s], m->write[s], n, NULL, COT_ACT_NONE, err));
        COT_TRY(cot_add_tanh_forward(a->feat, a->feat, a->written, n * m->dim, err));
    }
done:
    return status;
}
