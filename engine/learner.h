/* One stage of training as the loop sees it: a step over some rows of the data, logits of some rows, and what a checkpoint or
 * a package needs of it. learn_encoder.c is the encoder end to end, learn_joint.c teacher and student on features.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_LEARNER_H
#define COT_ENGINE_LEARNER_H
#include "config/training.h"
#include "engine/lesion_targets.h"
#include "engine/package.h"
#include "engine/parameters.h"
#include "engine/picture_set.h"

enum { LEARNER_LOSSES = 8 };

/* What is learnt from; all borrowed. Row i is image i of the manifest. */
typedef struct learner_data {
    size_t n, n_steps, n_logits; /* n_logits: sum of classes */
    const size_t *classes;       /* [n_steps] */
    const int *labels;           /* [n,n_steps]; negative: masked */
    const picture_set *pictures; /* encoder */
    float mean, std;             /* of their pixels */
    const float *features;       /* the other stages: [n,width] of the frozen encoder */
    size_t width;
    float *const *class_weights;   /* [n_steps] of [classes], or NULL */
    const lesion_picture *lesions; /* encoder: [n] by the boxes, with findings > 0 */
    size_t findings;
    float lesion_weight; /* of a lesion's cell (lesion_train.h) */
} learner_data;

typedef struct learner {
    void *self;
    size_t n_losses;
    const char *loss_names[LEARNER_LOSSES]; /* the first is what is minimised */
    /* One optimiser step; losses [n_losses]. teacher_lr: distill only. */
    cot_status (*step)(void *self, double *losses, const size_t *rows, size_t n, uint64_t epoch, double lr,
                       double teacher_lr, cot_error *err);
    /* [n,n_logits] as in a reading: of the model that the stage is about (distill: the student) */
    cot_status (*logits)(void *self, float *logits, const size_t *rows, size_t n, cot_error *err);
    cot_status (*checkpoint)(void *self, tensor_list *list, cot_error *err); /* everything that changes */
    cot_status (*resume)(void *self, const weight_source *source, cot_error *err);
    cot_status (*values)(void *self, tensor_list *list, cot_error *err); /* the weights, by a package's names */
    void (*destroy)(void *self);                                         /* NULL is fine */
} learner;

/* init NULL: new weights from training->seed, with the recipe's width and dim; else those of the package. */
cot_status learn_encoder(learner *out, cot_device *device, const cot_training *training, const learner_data *data,
                         const cot_package *init, cot_error *err);
/* stage: COT_STAGE_TEACHER or _DISTILL. prompts [n_steps,teacher's dim]. What of teacher and student init has is loaded, the
 * rest is new. */
cot_status learn_joint(learner *out, cot_device *device, const cot_training *training, cot_stage stage,
                       const learner_data *data, const teacher_arch *teacher, const float *prompts,
                       const cot_package *init, cot_error *err);
#endif
