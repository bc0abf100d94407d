/* Where in the image an answer of a vision transformer looks: gradient-weighted attention of the last block for the class
 * token (after Chefer et al., arXiv 2103.15679, one block). With a_ht the attention of head h to token t,
 *     map_t = max(0, mean over heads of a_ht . dlogit/da_ht)
 * where the gradient runs from the logit through projection, final norm, the class token's MLP and the output projection to
 * what the heads gathered: dlogit/da_ht = v_ht . dlogit/do_h. The attention itself is taken as it is.
 * Its matrices are those of the last block the other way, a second copy on the device, made only for this.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CLIP_EVIDENCE_H
#define COT_ENGINE_CLIP_EVIDENCE_H
#include "engine/clip.h"

typedef struct clip_evidence {
    cot_weights *projection, *fc2, *fc1, *out; /* from the gradient of what they give to that of what they read */
    cot_buffer *from, *to;                     /* [rows, widest] */
    float *post_scale, *norm2_scale;           /* [width] */
    float *wide, *narrow;                      /* host, [rows, widest], [rows, width] */
    float *cls, *mid, *query, *pre,
        *kv;          /* host, of the forward: [n,width] three times, [n,inner], [n,tokens,2,width] */
    float *attention; /* [tokens] */
    size_t rows;
} clip_evidence;
/* From the weights that m was made of; for max_batch images with per_image gradients each. Zero *e before; fini in any case. */
cot_status clip_evidence_init(clip_evidence *e, cot_device *device, const weight_source *source, const clip *m,
                              size_t max_batch, size_t per_image, cot_error *err);
void clip_evidence_fini(clip_evidence *e);
/* attended [n, per_image, width]: gradient in what the heads gathered, from gradients [n, per_image, features] in the
 * feature. maps [n, per_image, patches]. Both of the last clip_forward, which must have been of n images. */
cot_status clip_evidence_maps(float *maps, clip_evidence *e, const clip *m, const float *gradients, size_t n,
                              size_t per_image, cot_error *err);
/* The first half of it, for tests: leaves attended in e->narrow. */
cot_status clip_evidence_attended(clip_evidence *e, const clip *m, const float *gradients, size_t n, size_t per_image,
                                  cot_error *err);
#endif
