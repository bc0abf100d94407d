/* The student in training (student.h has it in reading): forward with dropout, backward to its parameters and, for an
 * encoder that trains with it, to the image feature.
 * Names in the table: under + "img_proj.0.weight" …, the published state dict's.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_STUDENT_TRAIN_H
#define COT_ENGINE_STUDENT_TRAIN_H
#include "engine/layers.h"
#include "engine/train_layers.h"

typedef struct student_train {
    size_t features, dim, n_steps, max_batch;
    size_t *classes;
    projection_train img_proj;
    linear_train *head;     /* [n_steps] */
    cot_buffer **feat;      /* [n_steps] of [max,dim]: what head s reads */
    cot_buffer **said;      /* [n_steps] of [max,dim]: logits . W */
    cot_buffer **logits;    /* [n_steps] of [max,classes] */
    cot_buffer **dlogits;   /* [n_steps] the same: losses add to them; cleared by backward */
    cot_buffer *projected;  /* [max,dim] ReLU(norm) of img_proj before dropout */
    cot_buffer *dprojected; /* [max,dim] its gradient: a loss on it (CH) adds before backward; cleared by backward */
    cot_buffer *linear, *dlinear; /* [max,dim] W_p v + b_p */
    cot_buffer *dfeat, *dsaid;    /* [max,dim] */
    cot_dropout drop;             /* of img_proj in the last forward */
} student_train;

/* Adds the parameters to the table. */
cot_status student_train_init(student_train *m, parameters *table, const char *under, const student_shape *shape,
                              cot_error *err);
void student_train_fini(student_train *m);
cot_status student_train_plan(student_train *m, cot_arena *arena, size_t max_batch, cot_error *err);
/* Into logits; drop->p 0 for none (evaluation). */
cot_status student_train_forward(student_train *m, const cot_buffer *feature, size_t n, const cot_dropout *drop,
                                 cot_error *err);
/* No loss of this step reaches the heads from `from` on (their labels are all masked): the optimiser leaves them alone. */
void student_train_idle(student_train *m, size_t from);
/* From dlogits (and dprojected) to the parameters' gradients; dfeature [n,features] or NULL. */
cot_status student_train_backward(cot_buffer *dfeature, student_train *m, const cot_buffer *feature, size_t n,
                                  cot_error *err);
#endif
