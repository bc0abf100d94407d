/* Relevance maps of any encoder (evidence.h), behind one face as encoder.h: Grad-CAM of a convolutional network's last
 * activation on the host, gradient-weighted attention of an image tower.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_ENCODER_EVIDENCE_H
#define COT_ENGINE_ENCODER_EVIDENCE_H
#include "engine/clip_evidence.h"
#include "engine/encoder.h"

typedef struct encoder_evidence {
    size_t side;       /* of a map */
    size_t per_image;  /* gradients, and maps */
    float *activation; /* host, [max_batch,side,side,features]; NULL for an image tower */
    clip_evidence clip;
} encoder_evidence;
/* Zero *e before; fini in any case. */
cot_status encoder_evidence_init(encoder_evidence *e, const encoder *m, cot_device *device, const cot_package *package,
                                 size_t max_batch, size_t per_image, cot_error *err);
void encoder_evidence_fini(encoder_evidence *e);
/* maps [n, per_image, side, side] >= 0 of the last encoder_forward, which must have been of n images, from gradients
 * [n, per_image, features] in its feature. */
cot_status encoder_evidence_maps(float *maps, encoder_evidence *e, const encoder *m, const float *gradients, size_t n,
                                 cot_error *err);
#endif
