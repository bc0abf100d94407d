/* Joint training of teacher and student on cached image features (appendix D.5): the oracle's Trainer. One AdamW per model
 * with its own rate, gradients clipped by norm, dropout on or off; cross-entropy, softened KL (KD) and the HSIC-weighted
 * alignment of features (CH). One step: teacher forward, backward, AdamW; teacher forward with the new weights; student
 * forward, backward, AdamW.
 * Everything that a resume needs: the two tables (parameters_checkpoint) and joint_options; dropout's numbers follow from
 * seed and the tables' step counts.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_JOINT_H
#define COT_ENGINE_JOINT_H
#include "engine/layers.h"
#include "engine/parameters.h"
#include "engine/teacher.h"

/* What CH trains: "paper": the student's image projection too; "published": only the CH projection. */
typedef enum joint_align { JOINT_ALIGN_PAPER, JOINT_ALIGN_PUBLISHED } joint_align;

typedef struct joint_options {
    size_t max_batch, proj_dim; /* proj_dim: width that CH compares features in */
    float lr_teacher, lr_student, weight_decay, max_norm;
    float kd, ch, temperature;         /* weights of the losses, and T */
    float smoothing;                   /* label smoothing of both cross-entropies */
    const float *const *class_weights; /* [n_steps] of [classes] or NULL entries; NULL: none. Copied. */
    joint_align align;
    bool dropout; /* the paper's rates: 0.3 in projections and heads, 0.2 in the fusion, 0.1 on alpha */
    uint64_t seed;
} joint_options;
#define JOINT_OPTIONS_INIT                                                                                             \
    {                                                                                                                  \
        32, 256, 5e-5f, 1e-4f, 0.01f, 1.0f, 0.5f, 1.0f, 2.0f, 0.0f, NULL, JOINT_ALIGN_PAPER, true, 1                   \
    }

typedef struct joint_batch {
    size_t n;              /* at most max_batch */
    const float *features; /* host [n,image_dim] */
    const int *labels;     /* host [n,n_steps]; negative: masked */
} joint_batch;

/* Sums over the steps that have a valid row, as the oracle gives them. What a step did not train is 0. */
typedef struct joint_losses {
    double teacher, student, ce, kd, ch;
    double teacher_norm, student_norm; /* of the gradients, before clipping */
} joint_losses;

typedef struct joint joint;
/* The teacher's shape and the student's; image_dim and features are the same. Values are zero until loaded or initialised. */
cot_status joint_create(joint **out, cot_device *device, const teacher_shape *teacher, const student_shape *student,
                        const joint_options *options, cot_error *err);
void joint_destroy(joint *j);
/* "teacher.…" with "proj_teacher.…", and "student.…" with "proj_student.…" */
parameters *joint_teacher_parameters(joint *j);
parameters *joint_student_parameters(joint *j);
cot_status joint_init(joint *j, uint64_t seed, cot_error *err); /* initial values of both */
/* Host [n_steps,dim]: the embedded prompts, of every image. Before the first step that has a teacher. */
cot_status joint_prompts(joint *j, const float *prompts, cot_error *err);
void joint_rates(joint *j, float lr_teacher, float lr_student); /* from the next step on */

/* A step each: both; the teacher alone (its cross-entropy); the student alone (its cross-entropy). losses may be NULL:
 * then nothing is read back and the step only queued. */
cot_status joint_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err);
cot_status joint_teacher_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err);
cot_status joint_student_step(joint *j, const joint_batch *batch, joint_losses *losses, cot_error *err);

/* Evaluation, no dropout: host [n, sum of classes], steps side by side. */
cot_status joint_teacher_logits(joint *j, float *logits, const float *features, size_t n, cot_error *err);
cot_status joint_student_logits(joint *j, float *logits, const float *features, size_t n, cot_error *err);
#endif
