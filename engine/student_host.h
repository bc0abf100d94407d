/* The student's chain on the host (eqs. of student.c), for what is asked behind a reading: the same answers with one step's
 * write-back removed, and what an answer owes to each channel of the encoder's feature. Its matrices are small, so this
 * costs less than a launch per step would.
 * Threads: one at a time per object, which holds the work of its last run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_STUDENT_HOST_H
#define COT_ENGINE_STUDENT_HOST_H
#include "engine/layers.h"
#include "engine/source.h"

typedef struct student_host {
    size_t features, dim, n_steps, n_logits;
    size_t *classes;                        /* [n_steps] */
    float *proj_w, *proj_b, *scale, *shift; /* [dim,features], [dim] three times */
    float *head_w, *head_b;                 /* [n_logits,dim], [n_logits]: all steps one below the other */
    double *normal, *feat, *written,
        *logits; /* the last run: [dim]; [n_steps + 1, dim]; tanh [n_steps, dim]; [n_logits], and room for as many */
    double *gradient; /* [2, dim] */
    double deviation; /* of the projection's norm */
} student_host;

cot_status student_host_init(student_host *m, const weight_source *source, const student_shape *shape, cot_error *err);
void student_host_fini(student_host *m);
/* One image's feature [features] -> m->logits; the run that student_host_without and _gradient speak of. */
void student_host_forward(student_host *m, const float *feature);
/* logits [n_logits] of the chain in which `step` has not written into the feature; the steps up to it are as they were. */
void student_host_without(student_host *m, float *logits, size_t step);
/* dfeature [features] = gradient of one logit of `step` */
void student_host_gradient(student_host *m, float *dfeature, size_t step, size_t option);
#endif
