/* The GRU cell (gru.h):
 *     r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)      u = sigmoid(W_iu x + b_iu + W_hu h + b_hu)
 *     n = tanh(W_in x + b_in + r (W_hn h + b_hn))     h <- (1 - u) n + u h
 * The three products of each side are one, as torch stacks them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/gru.h"

#include <stdlib.h>

static cot_status load_side(cot_weights **out, cot_device *device, const weight_source *source, const char *name,
                            const char *side, size_t dim, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    float *w = NULL, *b = NULL;
    const size_t shape[] = {3 * dim, dim};
    snprintf(part, sizeof part, "%s.weight_%s", name, side);
    COT_TRY(source_floats(&w, source, part, shape, 2, err));
    snprintf(part, sizeof part, "%s.bias_%s", name, side);
    COT_TRY(source_floats(&b, source, part, shape, 1, err));
    COT_TRY(cot_linear_prepare(out, device, w, b, 3 * dim, dim, err));
done:
    free(w);
    free(b);
    return status;
}

cot_status gru_init(gru_cell *m, cot_device *device, const weight_source *source, const char *name, size_t dim,
                    cot_error *err)
{
    cot_status status;
    m->dim = dim;
    COT_TRY(load_side(&m->ih, device, source, name, "ih", dim, err));
    COT_TRY(load_side(&m->hh, device, source, name, "hh", dim, err));
done:
    return status;
}

void gru_fini(gru_cell *m)
{
    cot_weights_destroy(m->ih);
    cot_weights_destroy(m->hh);
}

cot_status gru_plan(gru_cell *m, cot_arena *arena, size_t max_items, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_arena_reserve(arena, &m->acts.gi, 3 * m->dim * max_items, err));
    COT_TRY(cot_arena_reserve(arena, &m->acts.gh, 3 * m->dim * max_items, err));
done:
    return status;
}

cot_status gru_advance(cot_buffer *y, gru_cell *m, const cot_buffer *h, size_t n, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_linear_forward(m->acts.gh, h, m->hh, n, NULL, COT_ACT_NONE, err));
    COT_TRY(cot_gru_forward(y, m->acts.gi, m->acts.gh, h, n, m->dim, err));
done:
    return status;
}

cot_status gru_forward(cot_buffer *y, gru_cell *m, const cot_buffer *x, const cot_buffer *h, size_t n, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_linear_forward(m->acts.gi, x, m->ih, n, NULL, COT_ACT_NONE, err));
    COT_TRY(gru_advance(y, m, h, n, err));
done:
    return status;
}
