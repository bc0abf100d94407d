/* Plain-C twins of the kernels, in double where it matters: what every device's result is compared with.
 * Same argument order as the functions of opencl/opencl.h; host memory, no errors, no speed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REFERENCE_H
#define COT_REFERENCE_H
#include "opencl/opencl.h"

/* Deterministic floats in [-1, 1): the same seed gives the same numbers everywhere. */
void ref_fill(float *x, size_t n, uint32_t seed);
float ref_activate(double v, cot_activation act);
void ref_linear_forward(float *y, const float *x, const float *w, const float *bias, size_t out, size_t in, size_t rows,
                        const float *residual, cot_activation act);
void ref_conv_forward(float *y, const float *x, const float *w, const float *scale, const float *shift,
                      const cot_conv_shape *shape, size_t n, const float *residual, cot_activation act);
void ref_batch_norm_forward(float *y, const float *x, const float *scale, const float *shift, size_t rows,
                            size_t channels, cot_activation act);
void ref_max_pool_forward(float *y, const float *x, size_t n, size_t h, size_t w, size_t c, size_t kernel,
                          size_t stride, size_t pad);
/* Slices as in cot_norm_pool_forward; floats of y outside of its slice stay. */
void ref_norm_pool_forward(float *y, cot_slice to, const float *x, cot_slice from, const float *scale,
                           const float *shift, size_t n, size_t h, size_t w, size_t c, size_t window,
                           cot_activation act);
void ref_mean_pool_forward(float *y, const float *x, size_t n, size_t pixels, size_t c);
void ref_layer_norm_forward(float *y, const float *x, const float *gamma, const float *beta, size_t rows, size_t width,
                            double eps, cot_activation act);
void ref_softmax_forward(float *y, const float *x, size_t rows, size_t classes);
void ref_add_tanh_forward(float *y, const float *a, const float *b, size_t n);
/* Pillow's Image.resize in mode F, then (v - mean) / std; x [rows, cols] -> y [size, size]. */
void ref_resample(float *y, const float *x, size_t rows, size_t cols, size_t size, cot_filter filter, double mean,
                  double std);
#endif
