/* A model's tensors on their way from a safetensors file to a device: found by name, checked against the shape that the
 * layer needs, converted to float32. What a model does not take is an error too (params_finish).
 * Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PARAMS_H
#define COT_ENGINE_PARAMS_H
#include "engine/safetensors.h"
#include "opencl/opencl.h"

typedef struct params {
    const safetensors *file;
    const char *where;  /* names the file in errors */
    const char *prefix; /* before every name: "student." in a package, "" in a file of its own */
    bool *taken;        /* [tensors of the file] */
} params;
#define PARAMS_INIT                                                                                                    \
    {                                                                                                                  \
        NULL, NULL, "", NULL                                                                                           \
    }
/* Borrows all three. */
cot_status params_init(params *p, const safetensors *file, const char *where, const char *prefix, cot_error *err);
void params_fini(params *p);

/* The tensor `name` of this shape on the host; caller frees *out. Missing, misshapen, of integers, not finite:
 * COT_E_MODEL that names it. */
cot_status params_floats(float **out, params *p, const char *name, size_t rank, const size_t *shape, cot_error *err);
/* The same on the device, as it is. */
cot_status params_buffer(cot_buffer **out, cot_device *device, params *p, const char *name, size_t rank,
                         const size_t *shape, cot_error *err);
/* One dimension of n: norms, biases. */
cot_status params_vector(cot_buffer **out, cot_device *device, params *p, const char *name, size_t n, cot_error *err);
/* Linear layer of two tensors; `bias` NULL: none. weight [outs, ins] */
cot_status params_linear(cot_weights **out, cot_device *device, params *p, const char *weight, const char *bias,
                         size_t outs, size_t ins, cot_error *err);
/* Every tensor under the prefix was taken; otherwise names the first that was not. */
cot_status params_finish(const params *p, cot_error *err);
#endif
