/* The image encoder of a package: ResNet-18, DenseNet or CLIP's image tower. image [n,size,size,1] -> feature [n,features].
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_ENCODER_H
#define COT_ENGINE_ENCODER_H
#include "engine/clip.h"
#include "engine/layers.h"

typedef struct encoder {
    encoder_kind kind;
    size_t size, features;
    resnet18 resnet18; /* the one of these that kind says; the others are zero */
    densenet densenet;
    clip clip;
} encoder;
cot_status encoder_init(encoder *m, cot_device *device, const cot_package *package, cot_error *err);
void encoder_fini(encoder *m);
/* Reserves the activations for max_batch images. */
cot_status encoder_plan(encoder *m, cot_arena *arena, size_t max_batch, cot_error *err);
cot_status encoder_forward(cot_buffer *feature, encoder *m, const cot_buffer *image, size_t n, cot_error *err);
#endif
