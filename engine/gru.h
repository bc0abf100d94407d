/* torch.nn.GRUCell: how the memory node takes in what a step has found. Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_GRU_H
#define COT_ENGINE_GRU_H
#include "engine/source.h"

typedef struct gru_acts {
    cot_buffer *gi, *gh; /* [n,3*dim] as reset | update | new */
} gru_acts;
typedef struct gru_cell {
    size_t dim;
    cot_weights *ih, *hh; /* [3*dim,dim] */
    gru_acts acts;
} gru_cell;
cot_status gru_init(gru_cell *m, cot_device *device, const weight_source *source, const char *name, size_t dim,
                    cot_error *err);
void gru_fini(gru_cell *m);
cot_status gru_plan(gru_cell *m, cot_arena *arena, size_t max_items, cot_error *err);
/* y [n,dim] the new state, x [n,dim] the input, h [n,dim] the old state; y may be h */
cot_status gru_forward(cot_buffer *y, gru_cell *m, const cot_buffer *x, const cot_buffer *h, size_t n, cot_error *err);
/* The same when acts.gi already holds W_ih x + b_ih. */
cot_status gru_advance(cot_buffer *y, gru_cell *m, const cot_buffer *h, size_t n, cot_error *err);
#endif
