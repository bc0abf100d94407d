/* The layers of the models in this folder: what is loaded once, and the forward passes over buffers.
 * Outputs first, then layer, inputs, sizes. Each forward leaves room for its backward directly beneath it, with the same
 * argument order; gradients of x will accumulate there. Forward passes enqueue work and allocate nothing.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_LAYERS_H
#define COT_ENGINE_LAYERS_H
#include "engine/architecture.h"
#include "engine/package.h"
#include "engine/projection.h"
#include "opencl/opencl.h"

/* ---- convolution with its batch norm folded in (convnorm.c) ---- */
typedef struct conv_layer {
    conv_spec spec;
    cot_conv_shape shape;
    cot_weights *weights;
    cot_buffer *scratch; /* shared by all convolutions of a model, which run one after another; may be NULL */
} conv_layer;
/* Loads weight and batch norm for inputs of in_h x in_w. */
cot_status conv_init(conv_layer *c, cot_device *device, const cot_package *package, const conv_spec *spec, size_t in_h,
                     size_t in_w, cot_error *err);
void conv_fini(conv_layer *c);
size_t conv_out_h(const conv_layer *c);
size_t conv_out_w(const conv_layer *c);
size_t conv_out_floats(const conv_layer *c); /* of one image */
/* y = act(norm(conv(x)) (+ residual)) */
cot_status conv_forward(cot_buffer *y, const conv_layer *c, const cot_buffer *x, size_t n, const cot_buffer *residual,
                        cot_activation act, cot_error *err);

/* ---- batch norm that comes before its convolution (convnorm.c): what cot_norm_pool_forward takes ---- */
typedef struct batch_norm {
    cot_buffer *scale, *shift;
    size_t channels;
} batch_norm;
cot_status batch_norm_init(batch_norm *b, cot_device *device, const cot_package *package, const char *name,
                           size_t channels, cot_error *err);
void batch_norm_fini(batch_norm *b);

/* ---- ResNet-18 (resnet18.c): image [n,size,size,1] -> feature [n,8*width] ---- */
typedef struct basic_block {
    conv_layer conv1, conv2, downsample;
    bool downsamples;
} basic_block;
/* What forward writes. Only shapes differ between blocks, so four buffers serve all of them in turn: a block reads
 * `in`, writes its first convolution to `mid`, its shortcut to `side`, its result to `out`; then in and out swap. A
 * training plan gives every block buffers of its own. */
typedef struct resnet18_acts {
    cot_buffer *in, *mid, *side, *out; /* mid also holds the stem's output, the largest of all */
    cot_buffer *scratch;
} resnet18_acts;
typedef struct resnet18 {
    size_t size, features;
    conv_layer stem;
    basic_block block[RESNET18_BLOCKS];
    resnet18_acts acts;
} resnet18;
cot_status resnet18_init(resnet18 *m, cot_device *device, const cot_package *package, cot_error *err);
void resnet18_fini(resnet18 *m);
/* Reserves the activations for max_batch images. */
cot_status resnet18_plan(resnet18 *m, cot_arena *arena, size_t max_batch, cot_error *err);
cot_status resnet18_forward(cot_buffer *feature, resnet18 *m, const cot_buffer *image, size_t n, cot_error *err);
/* What the last forward took the mean of: [n,side,side,features]. Borrowed. */
const cot_buffer *resnet18_last(const resnet18 *m, size_t *side);
/* The i-th convolution in state-dict order, NULL behind the last. */
conv_layer *resnet18_conv(resnet18 *m, size_t i);

/* ---- DenseNet (densenet121.c): image [n,size,size,1] -> feature [n,features] ---- */
typedef struct dense_layer {
    batch_norm norm1;
    conv_layer conv1, conv2; /* conv1 has norm2 folded in */
} dense_layer;
typedef struct dense_block {
    size_t side, channels, n_layers; /* of the pixels; that it begins with */
    cot_slice whole;                 /* a pixel's row with all channels that it ends with */
    dense_layer *layer;
    batch_norm norm;       /* behind the block */
    conv_layer transition; /* unless it is the last */
} dense_block;
/* What forward writes. A block's layers write side by side into one buffer and read all that is there so far; two such
 * buffers serve the blocks in turn. */
typedef struct densenet_acts {
    cot_buffer *now, *next; /* [n,side,side,channels] of the block at work, of the one behind it */
    cot_buffer *normed,
        *squeezed; /* what conv1 and conv2 of a layer read; also the stem's output, before and behind its pool */
    cot_buffer *scratch, *room; /* of the convolutions; may be NULL */
} densenet_acts;
typedef struct densenet {
    size_t size, features;
    densenet_shape shape;
    conv_layer stem;
    dense_block block[DENSENET_BLOCKS_MAX];
    densenet_acts acts;
} densenet;
cot_status densenet_init(densenet *m, cot_device *device, const cot_package *package, cot_error *err);
void densenet_fini(densenet *m);
cot_status densenet_plan(densenet *m, cot_arena *arena, size_t max_batch, cot_error *err);
cot_status densenet_forward(cot_buffer *feature, densenet *m, const cot_buffer *image, size_t n, cot_error *err);
/* What the last forward, of n images, took the mean of: [n,side,side,features], side that of the last block. Borrowed. */
cot_status densenet_last(const cot_buffer **out, const densenet *m, size_t n, cot_error *err);
/* The i-th convolution in state-dict order, NULL behind the last. */
conv_layer *densenet_conv(densenet *m, size_t i);

/* ---- the student (student.c): feature [n,features] -> logits[s] [n,classes of step s] ---- */
typedef struct student_acts {
    cot_buffer *projected; /* [n,dim] Linear of img_proj */
    cot_buffer *feat;      /* [n,dim] the chain's state */
    cot_buffer *written;   /* [n,dim] logits . W of the current step */
    cot_buffer **logits;   /* [n_steps] of [n,classes] */
} student_acts;
typedef struct student_shape {
    size_t features, dim, n_steps;
    const size_t *classes; /* [n_steps] */
} student_shape;
typedef struct student {
    size_t dim, features, n_steps;
    size_t *classes;
    projection img_proj;
    cot_weights **head;  /* [n_steps] logits = head(feat) */
    cot_weights **write; /* [n_steps] the same matrix the other way: logits . W */
    size_t without;      /* 0, or the step from 1 whose write-back is left out */
    student_acts acts;
} student;
/* From a package ("student." + name) or a state dict of its own (no prefix). */
cot_status student_init(student *m, cot_device *device, const weight_source *source, const student_shape *shape,
                        cot_error *err);
void student_fini(student *m);
cot_status student_plan(student *m, cot_arena *arena, size_t max_batch, cot_error *err);
cot_status student_forward(student *m, const cot_buffer *feature, size_t n, cot_error *err); /* into acts.logits */
#endif
