/* The encoder stage of a training: pictures, augmented on the device, through ResNet-18 and the student's heads to masked
 * cross-entropies, backward through all of it, clipped, AdamW. Owns its device memory; the loop, the schedule and the order
 * of pictures are the caller's.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_ENCODER_STAGE_H
#define COT_ENGINE_ENCODER_STAGE_H
#include "engine/augment.h"
#include "engine/lesion_targets.h"
#include "engine/parameters.h"

typedef struct encoder_stage_options {
    size_t size, width, dim, n_steps;
    const size_t *classes; /* [n_steps] */
    size_t max_batch;
    float mean, std; /* of the pictures' pixels */
    float dropout;   /* of the student's projection */
    float label_smoothing;
    const float *const *class_weights; /* [n_steps] of [classes], or NULL; copied */
    augment_options augment;
    uint64_t seed; /* of augmentation and dropout */
    /* Places of lesions are taught too (lesion_train.h): kinds of findings, the loss's share, the weight of a lesion's cell;
     * findings 0: not */
    size_t findings;
    float place_share, place_weight;
} encoder_stage_options;

typedef struct encoder_stage encoder_stage;
/* Parameters are zero: parameters_init or parameters_load them ("cnn.…", "student.…"). */
cot_status encoder_stage_create(encoder_stage **out, cot_device *device, const encoder_stage_options *options,
                                cot_error *err);
void encoder_stage_destroy(encoder_stage *stage);
parameters *encoder_stage_parameters(encoder_stage *stage); /* borrowed */

typedef struct encoder_batch {
    size_t n;                      /* 2 … max_batch: one picture has no statistics */
    const float *pictures;         /* [n,size,size], 0 … 1 */
    const int *labels;             /* [n,n_steps], the option or a negative number: masked */
    const uint64_t *image;         /* [n] the pictures' numbers, which augmentation is drawn by */
    uint64_t epoch;                /* the same */
    const lesion_picture *lesions; /* [n], or NULL without findings */
} encoder_batch;
/* One optimiser step. losses [n_steps]: each step's mean cross-entropy, 0 without a valid row; what is minimised is their
 * sum, and with findings losses[n_steps], the places' loss. NULL: nothing is read back and the device goes on by itself. */
cot_status encoder_stage_step(double *losses, encoder_stage *stage, const encoder_batch *batch,
                              const optimiser_options *options, cot_error *err);
/* Logits of all steps side by side, [n, sum of classes]: running statistics, no dropout, no augmentation. Any n. */
cot_status encoder_stage_logits(float *logits, encoder_stage *stage, const float *pictures, size_t n, cot_error *err);
#endif
