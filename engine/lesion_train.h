/* Teaching an encoder where lesions lie, from boxes: a linear layer on every cell of the last activation A [n,cells,C] says
 * which finding lies there, or none,
 *     p = softmax(W A + b),   loss = lambda * mean over known cells of -w_y log p_y,
 * and its gradient joins that of the answers. w evens out that most cells hold nothing. After Li et al. (CVPR 2018,
 * arXiv 1711.06373), who taught the cells of boxed images with a sigmoid a finding; the layer is not part of the package.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_LESION_TRAIN_H
#define COT_ENGINE_LESION_TRAIN_H
#include "engine/lesion_targets.h"
#include "engine/train_layers.h"

#define LESION_PREFIX "lesion."

typedef struct lesion_train {
    linear_train place; /* [1+findings, C] */
    size_t side, classes, max_batch;
    float lambda, lesion_weight;
    cot_buffer *logits, *dlogits, *labels, *weights, *loss;
    float *host; /* [max,side,side] */
    bool ready;  /* weights hold what they should */
} lesion_train;

/* For activations of side x side cells with C channels. lesion_weight: w of every finding; none has 1. */
cot_status lesion_train_init(lesion_train *m, parameters *table, size_t findings, size_t channels, size_t side,
                             float lambda, float lesion_weight, cot_error *err);
cot_status lesion_train_plan(lesion_train *m, cot_arena *arena, size_t max_batch, cot_error *err);
void lesion_train_fini(lesion_train *m);
/* activation [n,side,side,C], dactivation the same: added to. pictures, drawn [n]. */
cot_status lesion_train_step(cot_buffer *dactivation, lesion_train *m, const cot_buffer *activation,
                             const lesion_picture *pictures, const cot_augmentation *drawn, size_t size, size_t n,
                             cot_error *err);
/* The last step's loss, lambda within; waits for the device. */
cot_status lesion_train_loss(double *loss, lesion_train *m, size_t n, cot_error *err);
#endif
