/* How good logits are, step by step: what an epoch is judged by.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_VALIDATION_H
#define COT_ENGINE_VALIDATION_H
#include "engine/learner.h"

typedef struct validation_step {
    size_t n;        /* labelled rows; 0: nothing below is set (NaN) */
    double accuracy; /* share of rows whose largest logit is the label's */
    double auc;      /* one against the rest, mean over the options with both kinds of rows; NaN: none */
    double loss;     /* mean cross-entropy */
} validation_step;
/* logits [n,n_logits] of rows; steps [n_steps]. *accuracy, *auc: means over the steps that have one, else NaN. */
cot_status validation_of(validation_step *steps, double *accuracy, double *auc, const learner_data *data,
                         const float *logits, const size_t *rows, size_t n, cot_error *err);
#endif
