/* The teacher in training (teacher.h has it in reading): forward with dropout, backward to its parameters. Every step keeps
 * what its backward needs. Without dropout on alpha the first graph pass is one item's, shared by the batch.
 * Names in the table: under + the published state dict's.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TEACHER_TRAIN_H
#define COT_ENGINE_TEACHER_TRAIN_H
#include "engine/gat_train.h"
#include "engine/teacher.h"

/* [max,dim] each unless said otherwise. */
typedef struct step_train {
    size_t classes;
    projection_train img_proj, fusion_head[2];
    linear_train classifier;
    gat_pass pass;                      /* of the graph, before this step */
    cot_buffer *nodes;                  /* [max,nodes,dim] its result, for each item */
    cot_buffer *memory;                 /* m, row of nodes */
    cot_buffer *pair, *context_linear;  /* [max,2 dim] h_s | m */
    cot_buffer *context;                /* c_s */
    cot_buffer *image_linear, *image;   /* v_s */
    cot_buffer *heard;                  /* [max,2 dim] v_s | c_s */
    cot_buffer *hidden_linear, *hidden; /* within fusion_head */
    cot_buffer *fused_linear, *fused;
    cot_buffer *logits, *dlogits; /* [max,classes]: losses add to dlogits; cleared by backward */
    cot_buffer *p;                /* [max,classes] softmax of the logits */
    cot_buffer *said, *written;   /* p . W, and what the memory gets of it */
    cot_buffer *gi, *gh;          /* [max,3 dim] the GRU's gates */
    cot_buffer *next;             /* the new m */
} step_train;

typedef struct teacher_train {
    size_t image_dim, dim, n_steps, nodes, max_batch;
    step_train *step; /* [n_steps] */
    parameter *memory_init;
    gat_train memory_gat;
    projection_train fusion_proj;
    linear_train ih, hh; /* mem_gru */
    linear_train pred2mem;
    cot_buffer *start;                                          /* [nodes,dim] prompts and memory_init */
    cot_buffer *dnodes;                                         /* [max,nodes,dim] */
    cot_buffer *dfirst;                                         /* [nodes,dim] of the shared first pass */
    cot_buffer *dpair, *dheard;                                 /* [max,2 dim] */
    cot_buffer *dgi, *dgh;                                      /* [max,3 dim] */
    cot_buffer *dmemory, *dnext, *drow, *dsaid, *dwritten;      /* [max,dim] */
    cot_buffer *dcontext, *dimage, *dhidden, *dfused, *dlinear; /* [max,dim] */
    cot_buffer *dp;                                             /* [max,most classes] */
    cot_dropout drop; /* seed, step and layer of the last forward; p > 0: dropout is on */
} teacher_train;

cot_status teacher_train_init(teacher_train *m, parameters *table, const char *under, const teacher_shape *shape,
                              cot_error *err);
void teacher_train_fini(teacher_train *m);
cot_status teacher_train_plan(teacher_train *m, cot_arena *arena, size_t max_batch, cot_error *err);
/* Host [n_steps,dim], after the arena is committed. */
cot_status teacher_train_prompts(teacher_train *m, const float *prompts, cot_error *err);
/* Into step[s].logits. drop->p > 0 turns the paper's rates on (0.3 projections and heads, 0.2 context, 0.1 alpha); layers
 * draw from drop->layer on, fewer than TEACHER_DRAWS. */
enum { TEACHER_DRAWS = 1 << 16 };
cot_status teacher_train_forward(teacher_train *m, const cot_buffer *feature, size_t n, const cot_dropout *drop,
                                 cot_error *err);
/* From step[s].dlogits to the parameters' gradients. */
cot_status teacher_train_backward(teacher_train *m, const cot_buffer *feature, size_t n, cot_error *err);
/* No loss of this step reaches the steps from `from` on: the optimiser leaves what only they use alone. */
void teacher_train_idle(teacher_train *m, size_t from);
/* y [n,dim]: v_s of the last forward with a dropout of its own (NULL: none). */
cot_status teacher_train_image(cot_buffer *y, teacher_train *m, size_t s, size_t n, const cot_dropout *drop,
                               cot_error *err);
#endif
