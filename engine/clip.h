/* CLIP's image tower: pixels -> one feature vector. Every size comes from the tensors, except the number of heads.
 * Threads: the device's thread. Forward enqueues work and allocates nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CLIP_H
#define COT_ENGINE_CLIP_H
#include "engine/naming.h"
#include "engine/transformer.h"

size_t clip_patches(const clip_shape *shape);   /* of one image, without the class token */
extern const clip_normalisation clip_published; /* of every published CLIP */

typedef struct clip_acts {
    transformer_acts block;
    cot_buffer *cls, *cls_h, *query; /* [n,width] the class token alone */
    cot_buffer *mid;                 /* [n,width] between attention and MLP of the last block */
} clip_acts;
typedef struct clip {
    clip_shape shape;
    size_t channels, tokens;
    cot_weights *patch_embedding, *projection;
    cot_buffer *cls, *position; /* [width], [tokens,width] */
    norm_layer pre_norm, post_norm;
    transformer_block *block; /* [layers]; the last one has its query apart */
    clip_acts acts;
} clip;
/* grey NULL: images are [n,3,R,R], normalised. Otherwise images are [n,R,R,1], 0 … 1, and stand for three equal channels
 * normalised by `grey`: the patch embedding of those is one channel's with weights and bias folded, exactly, since
 * patches have no border. */
cot_status clip_init(clip *m, cot_device *device, const weight_source *source, const clip_shape *shape,
                     const clip_normalisation *grey, cot_error *err);
void clip_fini(clip *m);
/* Reserves the activations for max_batch images. */
cot_status clip_plan(clip *m, cot_arena *arena, size_t max_batch, cot_error *err);
/* feature [n,features] */
cot_status clip_forward(cot_buffer *feature, clip *m, const cot_buffer *image, size_t n, cot_error *err);
#endif
