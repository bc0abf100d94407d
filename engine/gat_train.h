/* The graph attention stack in training (gat.h has it in reading): each pass through it keeps what its backward needs.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_GAT_TRAIN_H
#define COT_ENGINE_GAT_TRAIN_H
#include "engine/train_layers.h"

typedef struct gat_layer_train {
    linear_train W, proj;
    parameter *a_src, *a_dst, *bias;
    norm_train norm;
} gat_layer_train;

/* One pass: [items,nodes,dim] each. */
typedef struct gat_pass {
    cot_buffer **x;   /* [n_layers + 1] input of each layer, and behind them the result */
    cot_buffer **z;   /* [n_layers] W x */
    cot_buffer **sum; /* [n_layers] GAT(x) + W_p x + b_p */
    size_t items;
    cot_dropout drop; /* of alpha; layer l draws from drop.layer + l */
} gat_pass;

typedef struct gat_train {
    size_t dim, heads, nodes, n_layers;
    gat_layer_train *layer;
    cot_buffer *side, *dsum, *dz, *dx[2]; /* [max,nodes,dim], of one layer */
} gat_train;

cot_status gat_train_init(gat_train *m, parameters *table, const char *name, size_t dim, size_t heads, size_t n_layers,
                          cot_error *err);
void gat_train_fini(gat_train *m);
cot_status gat_train_plan(gat_train *m, cot_arena *arena, size_t max_items, size_t nodes, cot_error *err);
cot_status gat_pass_plan(gat_pass *p, const gat_train *m, cot_arena *arena, size_t max_items, cot_error *err);
void gat_pass_fini(gat_pass *p);
/* From p->x[0] to p->x[n_layers]. */
cot_status gat_train_forward(gat_train *m, gat_pass *p, size_t items, const cot_dropout *drop, cot_error *err);
/* dy, of p->x[n_layers], is overwritten. *dx, of p->x[0]: one of m's own buffers, until the next backward; dy may be the
 * one that the last backward gave. */
cot_status gat_train_backward(cot_buffer **dx, gat_train *m, const gat_pass *p, cot_buffer *dy, cot_error *err);
#endif
