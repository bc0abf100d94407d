/* What a student's answer rests on: where in the image (relevance map, regions) and on which earlier steps (influences).
 * Influence of step t on step s > t: the probability of the answer as given, minus its probability in the same chain
 * without t's write-back; of steps that were answered.
 * Map, for an encoder that ends in a mean over its last activation A [cells, channels]: Grad-CAM (arXiv 1610.02391),
 *     map_p = max(0, sum_c A_pc . dlogit/dv_c),  v_c the mean of A over the cells
 * whose sum over the cells, without the cut at 0, is what the logit owes to the image to first order. Of a vision
 * transformer: clip_evidence.h.
 * The teacher's answers are not explained: its steps reach the image by projections of their own and through a memory of
 * what was answered, and no gradient or removal for these is computed here.
 * Threads: one at a time per object.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_EVIDENCE_H
#define COT_ENGINE_EVIDENCE_H
#include "engine/student_host.h"

typedef struct evidence {
    student_host student;
    float *without; /* [n_logits] */
} evidence;
cot_status evidence_init(evidence *e, const weight_source *source, const student_shape *shape, cot_error *err);
void evidence_fini(evidence *e);
/* From one image's feature [features]: the influences on every available answer and, unless gradients is NULL, the gradient
 * of each available answer's logit in the feature: gradients [n_steps, features], zeros for the others.
 * temperature: what logits of a step are divided by before the softmax, [n_steps]; NULL, or 0 for a step: 1. */
cot_status evidence_weigh(evidence *e, cot_chain *chain, const float *feature, const float *temperature,
                          float *gradients, cot_error *err);

/* map [cells] >= 0 from activation [cells, features] and the logit's gradient in their mean */
void evidence_grad_cam(float *map, const float *activation, size_t cells, const float *gradient, size_t features);

typedef struct evidence_maps {
    const float *maps; /* [n_steps, side, side], those of unavailable steps are not looked at */
    size_t side;
    bool keep; /* in the answers, for explain */
} evidence_maps;
/* Regions of every available answer; chain->rows and cols say how large the image is. An answer that says that nothing is
 * there gets no region. */
cot_status evidence_locate(cot_chain *chain, const cot_steps *steps, const evidence_maps *maps, cot_error *err);
#endif
