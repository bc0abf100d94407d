/* Teaching where lesions lie (lesion_train.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/lesion_train.h"

#include <stdlib.h>

cot_status lesion_train_init(lesion_train *m, parameters *table, size_t findings, size_t channels, size_t side,
                             float lambda, float lesion_weight, cot_error *err)
{
    *m = (lesion_train){.side = side, .classes = findings + 1, .lambda = lambda, .lesion_weight = lesion_weight};
    return linear_train_init(&m->place, table, LESION_PREFIX "place", m->classes, channels, true, err);
}

cot_status lesion_train_plan(lesion_train *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    size_t cells = 0, logits = 0;
    if (!cot_mul(&cells, m->side * m->side, max_batch) || !cot_mul(&logits, cells, m->classes))
        return cot_fail(err, COT_E_LIMIT, "places of lesions: %zu pictures of %zu cells a side", max_batch, m->side);
    m->max_batch = max_batch;
    m->host = calloc(cells + m->classes, sizeof *m->host);
    if (!m->host) return cot_fail(err, COT_E_MEMORY, "places of lesions: no memory");
    COT_TRY(cot_arena_reserve(arena, &m->logits, logits, err));
    COT_TRY(cot_arena_reserve(arena, &m->dlogits, logits, err));
    COT_TRY(cot_arena_reserve(arena, &m->labels, cells, err));
    COT_TRY(cot_arena_reserve(arena, &m->loss, cells, err));
    COT_TRY(cot_arena_reserve(arena, &m->weights, m->classes, err));
done:
    return status;
}

void lesion_train_fini(lesion_train *m)
{
    linear_train_fini(&m->place);
    free(m->host);
    m->host = NULL;
}

static cot_status weights_write(lesion_train *m, cot_error *err)
{
    for (size_t c = 0; c < m->classes; c++) m->host[c] = c == LESION_NONE ? 1.0f : m->lesion_weight;
    const cot_status status = cot_buffer_write(m->weights, 0, m->host, m->classes, err);
    m->ready = status == COT_OK;
    return status;
}

cot_status lesion_train_step(cot_buffer *dactivation, lesion_train *m, const cot_buffer *activation,
                             const lesion_picture *pictures, const cot_augmentation *drawn, size_t size, size_t n,
                             cot_error *err)
{
    cot_status status = COT_OK;
    const size_t cells = m->side * m->side, rows = n * cells;
    if (n > m->max_batch)
        return cot_fail(err, COT_E_BUG, "places of lesions: %zu pictures, planned for %zu", n, m->max_batch);
    if (!m->ready) COT_TRY(weights_write(m, err));
    for (size_t i = 0; i < n; i++) lesion_targets(m->host + i * cells, &pictures[i], &drawn[i], size, m->side);
    COT_TRY(cot_buffer_write(m->labels, 0, m->host, rows, err));
    COT_TRY(linear_train_forward(m->logits, &m->place, activation, rows, err));
    COT_TRY(cot_buffer_zero(m->dlogits, err));
    COT_TRY(cot_cross_entropy(m->loss, m->dlogits, m->logits, m->labels, m->weights, 0.0f, m->lambda, rows, m->classes,
                              err));
    COT_TRY(linear_train_backward(dactivation, &m->place, m->dlogits, activation, rows, err));
done:
    return status;
}

cot_status lesion_train_loss(double *loss, lesion_train *m, size_t n, cot_error *err)
{
    cot_status status;
    const size_t rows = n * m->side * m->side;
    *loss = 0;
    COT_TRY(cot_buffer_read(m->loss, 0, m->host, rows, err));
    for (size_t i = 0; i < rows; i++) *loss += (double)m->lambda * (double)m->host[i];
done:
    return status;
}
