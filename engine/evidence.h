/* What an answer rests on: where in the image (relevance map, regions) and on which earlier steps (influences). Here for a
 * student, and what serves both readers; for a teacher: teacher_evidence.h.
 * Influence of step t on step s > t: the probability of the answer as given, minus its probability in the same chain
 * without t's write-back; of steps that were answered.
 * Map, for an encoder that ends in a mean over its last activation A [cells, channels]: Grad-CAM (arXiv 1610.02391),
 *     map_p = max(0, sum_c A_pc . dlogit/dv_c),  v_c the mean of A over the cells
 * whose sum over the cells, without the cut at 0, is what the logit owes to the image to first order. Of a vision
 * transformer: clip_evidence.h.
 * Only the reader whose answers are the chain is explained; of a second reader nothing is computed.
 * Threads: one at a time per object.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_EVIDENCE_H
#define COT_ENGINE_EVIDENCE_H
#include "engine/student_host.h"

typedef struct evidence {
    student_host student;
    float *without;  /* [n_logits] */
    double *changed; /* the same */
} evidence;
cot_status evidence_init(evidence *e, const weight_source *source, const student_shape *shape, cot_error *err);
void evidence_fini(evidence *e);
/* From one image's feature [features]: the influences on every available answer and, unless gradients is NULL, the gradient
 * of each available answer's logit in the feature: gradients [n_steps, features], zeros for the others.
 * temperature: what logits of a step are divided by before the softmax, [n_steps]; NULL, or 0 for a step: 1. */
cot_status evidence_weigh(evidence *e, cot_chain *chain, const float *feature, const float *temperature,
                          float *gradients, cot_error *err);

/* ---- of either reader ---- */
/* Room for one influence of each earlier step that was answered; all chains of a student or teacher say "weighed" then. */
cot_status influences_begin(cot_chain *chain, cot_error *err);
/* From the logits [sum of options] of the chain as it is and of the same without answered step t's write-back; only those of
 * the answered steps behind t are read. temperature as above. */
void influences_without(cot_chain *chain, size_t t, const double *given, const double *without,
                        const float *temperature);
void influences_end(cot_chain *chain); /* the strongest first */

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
