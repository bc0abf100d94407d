/* ResNet-18 in training (resnet18.c has it in reading): batch norm with its own statistics, every block's results kept for
 * the backward. Forward and backward are mirror images.
 * Names in the table are torchvision's, "cnn.conv1.weight" …, as packages have them: the stem's weight for three channels
 * that carry the same grey picture. Running statistics as torch: momentum 0.1, unbiased variance, eps 1e-5.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_RESNET18_TRAIN_H
#define COT_ENGINE_RESNET18_TRAIN_H
#include "engine/architecture.h"
#include "engine/parameters.h"

typedef struct conv_train {
    cot_conv_shape shape;
    parameter *weight;          /* [out,in,k,k] */
    parameter *gamma, *beta;    /* of the batch norm behind it */
    parameter *mean, *variance; /* running */
    cot_buffer *saved;          /* [2*out] this batch's */
    cot_buffer *raw;            /* [max,out_h,out_w,out] the convolution itself */
} conv_train;
typedef struct block_train {
    conv_train conv1, conv2, downsample;
    bool downsamples;
    cot_buffer *mid, *out; /* relu(norm(conv1)), and the block's result */
} block_train;

typedef struct resnet18_train {
    size_t size, features, max_batch;
    conv_train stem;
    block_train block[RESNET18_BLOCKS];
    cot_buffer *ones, *stem_weight, *stem_grad; /* three equal channels are one: [3], [out,k,k,1] and its gradient */
    bool ready;                                 /* ones holds ones */
    cot_buffer *pooled, *peak, *where;          /* behind the stem */
    cot_buffer *side;                           /* the shortcut of a block that has norm(conv1x1) */
    cot_buffer *top;     /* gradient of the last block's result; zero after a forward, then whoever reads it adds */
    cot_buffer *work[3]; /* gradients on the way down, each as large as the largest result */
    cot_buffer *dstem;   /* gradient of the stem's convolution */
} resnet18_train;

/* Adds the parameters to the table, for pictures of size x size. */
cot_status resnet18_train_init(resnet18_train *m, parameters *table, size_t width, size_t size, cot_error *err);
cot_status resnet18_train_plan(resnet18_train *m, cot_arena *arena, size_t max_batch, cot_error *err);
/* image [n,size,size,1] -> feature [n,8*width]. train: statistics of this batch, running ones move; else the running ones. */
cot_status resnet18_train_forward(cot_buffer *feature, resnet18_train *m, const cot_buffer *image, size_t n, bool train,
                                  cot_error *err);
/* The last block's result [n,side,side,features], of which the feature is the mean; its gradient is m->top. */
size_t resnet18_train_side(const resnet18_train *m);
const cot_buffer *resnet18_train_activation(const resnet18_train *m);
/* Into the parameters' gradients, for the last forward, with its n, image and `train`. */
cot_status resnet18_train_backward(resnet18_train *m, const cot_buffer *dfeature, const cot_buffer *image, size_t n,
                                   bool train, cot_error *err);
#endif
