/* Inside of joint training: joint.c makes the steps, joint_plan.c the parameters and memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_JOINT_INTERNAL_H
#define COT_ENGINE_JOINT_INTERNAL_H
#include "engine/joint.h"
#include "engine/student_train.h"
#include "engine/teacher_train.h"

struct joint {
    cot_device *device;
    joint_options options;
    optimiser_options optimiser; /* but for the rates */
    parameters *teacher_table, *student_table;
    teacher_train t;
    student_train s;
    linear_train pt, ps; /* what CH compares features through; pt gets no gradient and stays as it began */
    bool prompted;
    size_t all_classes;
    cot_arena *arena, *loss_arena;
    cot_buffer *feature;                    /* [max,image_dim] */
    cot_buffer *labels, **label;            /* [n_steps,n]; of each step [max] */
    cot_buffer **weights;                   /* [n_steps] of [classes] or NULL */
    cot_buffer *view, *views;               /* [max,dim], [n_steps*max,dim] v_s without the teacher's own dropout */
    cot_buffer *teacher_aligned;            /* [n_steps*max,proj_dim] */
    cot_buffer *student_aligned, *daligned; /* [max,proj_dim] */
    cot_buffer *fs, *dfs;                   /* [max,dim] */
    /* pieces of one arena, loss_stride apart, so that one read gets them all */
    cot_buffer **loss_teacher, **loss_ce, **loss_kd, *loss_ch; /* [n_steps] of [max] each; [n_steps] */
    cot_buffer *losses;
    size_t loss_stride;
    float *host, *host_losses;
};
#endif
