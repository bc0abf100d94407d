/* Sizes of the models and of single tensors. Plain data; any thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_SHAPES_H
#define COT_ENGINE_SHAPES_H
#include <stddef.h>

enum { CLIP_CHANNELS = 3 };
typedef struct clip_shape { /* CLIP's image tower */
    size_t resolution, patch, width, layers, heads, inner, features;
} clip_shape;
/* What CLIP subtracts from and divides each channel by; pixels 0 … 1. */
typedef struct clip_normalisation {
    float mean[CLIP_CHANNELS], std[CLIP_CHANNELS];
} clip_normalisation;
typedef struct bert_shape {
    size_t vocab, positions, types, width, layers, heads, inner;
} bert_shape;

typedef struct tensor_spec {
    char name[96];
    size_t rank, shape[4];
} tensor_spec;
#endif
