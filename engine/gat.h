/* The graph attention stack over a complete graph (eqs. 9-11): every node hears every node, layer by layer.
 *     x <- ELU(LayerNorm(GAT(x) + W_p x + b_p))
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_GAT_H
#define COT_ENGINE_GAT_H
#include "engine/source.h"

typedef struct gat_layer {
    cot_weights *W;                   /* [dim,dim], no bias; heads side by side */
    cot_buffer *a_src, *a_dst, *bias; /* [heads,dim/heads] twice, [dim] */
    cot_weights *proj;                /* the way around the attention */
    norm_layer norm;
} gat_layer;
typedef struct gat_acts { /* [items,nodes,dim] each, of one layer; layers run one after another */
    cot_buffer *z;        /* W x */
    cot_buffer *side;     /* W_p x + b_p */
    cot_buffer *sum;      /* GAT(x) + side */
} gat_acts;
typedef struct gat_stack {
    size_t dim, heads, nodes, n_layers;
    gat_layer *layer; /* [n_layers] */
    gat_acts acts;
} gat_stack;
/* name: "memory_gat"; heads divides dim */
cot_status gat_init(gat_stack *m, cot_device *device, const weight_source *source, const char *name, size_t dim,
                    size_t heads, size_t n_layers, cot_error *err);
void gat_fini(gat_stack *m);
cot_status gat_plan(gat_stack *m, cot_arena *arena, size_t max_items, size_t nodes, cot_error *err);
/* y, x [items,nodes,dim]; y may be x. One layer leaves its W x in acts.z and GAT(x) + W_p x + b_p in acts.sum. */
cot_status gat_layer_forward(cot_buffer *y, gat_stack *m, size_t layer, const cot_buffer *x, size_t items,
                             cot_error *err);
cot_status gat_forward(cot_buffer *y, gat_stack *m, const cot_buffer *x, size_t items, cot_error *err);
#endif
