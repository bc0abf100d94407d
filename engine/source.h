/* Where a model's weights come from: a safetensors file, what stands before its names, and what to call it in errors.
 * The same loaders serve packages ("clip." + name), checkpoints of others and golden folders (no prefix). A tensor is
 * checked where it is loaded: there, shaped as asked, of a floating-point type, finite.
 * Threads: read-only, any thread; what touches a device: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_SOURCE_H
#define COT_ENGINE_SOURCE_H
#include "engine/safetensors.h"
#include "opencl/opencl.h"

typedef struct weight_source {
    const safetensors *file; /* borrowed */
    const char *prefix;      /* "" or e.g. "clip." */
    const char *where;       /* file name for errors */
} weight_source;

/* The tensor prefix + name, whatever its shape; NULL: not there. */
const tensor *source_find(const weight_source *s, const char *name);
/* The same, of exactly this shape and of a floating-point type. */
cot_status source_tensor(const tensor **out, const weight_source *s, const char *name, const size_t *shape, size_t rank,
                         cot_error *err);
/* Its values; caller frees *out. */
cot_status source_floats(float **out, const weight_source *s, const char *name, const size_t *shape, size_t rank,
                         cot_error *err);
/* [n] onto the device. */
cot_status source_vector(cot_buffer **out, cot_device *device, const weight_source *s, const char *name, size_t n,
                         cot_error *err);
/* torch.nn.Linear: name.weight [out,in] and, with bias, name.bias [out]. */
cot_status source_linear(cot_weights **out, cot_device *device, const weight_source *s, const char *name,
                         size_t out_features, size_t in_features, bool bias, cot_error *err);
/* The same weight as the layer that takes the gradient of what it gives [out] to that of what it reads [in]. */
cot_status source_linear_back(cot_weights **to, cot_device *device, const weight_source *s, const char *name,
                              size_t out_features, size_t in_features, cot_error *err);
/* n linear layers with bias over one input, stacked into one of n*out_features: a fused projection. */
cot_status source_stacked(cot_weights **out, cot_device *device, const weight_source *s, const char *const *names,
                          size_t n, size_t out_features, size_t in_features, cot_error *err);

/* torch.nn.LayerNorm: scale and shift of one width. */
typedef struct norm_layer {
    cot_buffer *scale, *shift;
    size_t width;
    float eps;
} norm_layer;
cot_status norm_init(norm_layer *m, cot_device *device, const weight_source *s, const char *name, size_t width,
                     float eps, cot_error *err);
void norm_fini(norm_layer *m);
cot_status norm_forward(cot_buffer *y, const norm_layer *m, const cot_buffer *x, size_t rows, cot_activation act,
                        cot_error *err);
#endif
