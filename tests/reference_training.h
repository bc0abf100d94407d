/* Plain-C twins of training's losses, dropout and AdamW, in double. Losses have one output; what no gradient is taken of
 * (labels, the teacher) comes beside the pass. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REFERENCE_TRAINING_H
#define COT_REFERENCE_TRAINING_H
#include "opencl/learning.h"
#include "tests/reference_backward.h"

/* What the losses read besides x. */
typedef struct twin_targets {
    const double *labels, *teacher, *weights; /* weights: of classes, or NULL */
    double smoothing, temperature;
} twin_targets;
extern twin_targets twin_target; /* of the layer that runs */

void twin_cross_entropy(twin_pass *p); /* x; rows, classes */
void twin_cross_entropy_backward(twin_pass *p);
void twin_soft_kl(twin_pass *p); /* x; rows, classes */
void twin_soft_kl_backward(twin_pass *p);
void twin_alignment(twin_pass *p);          /* s; steps, rows, width; teacher [steps,rows,width], labels [steps,rows] */
void twin_alignment_backward(twin_pass *p); /* by the chain rule of its own formula, not by differences */
void twin_repeat(twin_pass *p);             /* x [n]; items, n */
void twin_repeat_backward(twin_pass *p);
void twin_activation_from(twin_pass *p);          /* x; n; act; eps: what its result is multiplied by */
void twin_activation_from_backward(twin_pass *p); /* from the result alone, as the device's */
void twin_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);
/* The factor of element i. */
double twin_dropout(const cot_dropout *drop, size_t i);
void twin_adamw(double *value, double *m, double *v, const double *g, size_t n, double clip,
                const cot_adamw_options *options);
#endif
