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

enum { DENSENET_BLOCKS_MAX = 8, DENSENET_LAYERS_MAX = 99 };
typedef struct densenet_shape {      /* torchvision's DenseNet; DenseNet-121: 64, 32, 128, 4 blocks of 6, 12, 24, 16 */
    size_t init, growth, bottleneck; /* channels of the stem, of a layer's result, of the 1x1 convolution inside */
    size_t n_blocks, layers[DENSENET_BLOCKS_MAX];
} densenet_shape;

typedef struct tensor_spec {
    char name[96];
    size_t rank, shape[4];
} tensor_spec;
#endif
