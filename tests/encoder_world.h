/* For tests of the encoders: a device, files of golden tensors, and errors relative to the largest value wanted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_ENCODER_WORLD_H
#define COT_TESTS_ENCODER_WORLD_H
#include "engine/safetensors.h"
#include "opencl/opencl.h"
#include "tests/check.h"

#define TRANSFORMERS COT_SOURCE_DIR "/tests/golden/transformers/"
#define TINY_GOLDEN  COT_SOURCE_DIR "/tests/golden/tiny/"
static const double encoder_bound = 1e-4;

static inline cot_status open_device(cot_device **out, cot_error *err)
{
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    return cot_device_open(out, &options, err);
}

/* Values of a tensor; NULL when it is not there or of integers. Caller frees. */
static inline float *floats_of(const safetensors *file, const char *name, size_t *n)
{
    const tensor *t = safetensors_find(file, name);
    float *v = t ? malloc(t->count * sizeof *v + 1) : NULL;
    if (v && !tensor_floats(v, t)) {
        free(v);
        v = NULL;
    }
    *n = v ? t->count : 0;
    return v;
}

/* Largest difference over the largest wanted value; NaN becomes infinity. */
static inline double relative_error(const float *got, const float *want, size_t n)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
        scale = fmax(scale, fabs((double)want[i]));
    }
    return scale > 0 ? most / scale : INFINITY;
}
#endif
