/* What an answer rests on: where in the image (relevance map, regions) and on which earlier steps (influences).
 * Map, for an encoder that ends in a mean over its last activation A [cells, channels]: Grad-CAM (arXiv 1610.02391),
 *     map_p = max(0, sum_c A_pc . dlogit/dv_c),  v_c the mean of A over the cells
 * whose sum over the cells, without the cut at 0, is what the logit owes to the image to first order.
 * Influence of step t on step s > t: the probability of the answer as given, minus its probability in the same chain
 * without t's write-back.
 * Threads: one at a time per object.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_EVIDENCE_H
#define COT_ENGINE_EVIDENCE_H
#include "engine/student_host.h"

typedef struct evidence {
    student_host student;
    float *gradient; /* [features] */
    float *without;  /* [n_logits] */
    float *map;      /* [cells_max] */
    size_t cells_max;
} evidence;
/* temperature: what logits of a step are divided by before the softmax, [n_steps]; NULL: 1. Both borrowed for the call. */
typedef struct evidence_image {
    const float *feature;    /* [features] */
    const float *activation; /* [map_rows, map_cols, features], the feature is its mean; NULL: no maps are made */
    size_t map_rows, map_cols;
    const float *temperature;
    bool keep_maps; /* in the answers, for explain */
} evidence_image;

cot_status evidence_init(evidence *e, const weight_source *source, const student_shape *shape, size_t cells_max,
                         cot_error *err);
void evidence_fini(evidence *e);
/* Regions, maps and influences of every available answer; chain->rows and cols say how large the image is. An answer that
 * says that nothing is there gets no region. */
cot_status evidence_fill(evidence *e, cot_chain *chain, const cot_steps *steps, const evidence_image *image,
                         cot_error *err);
#endif
