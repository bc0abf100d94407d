/* Plain-C twins of opencl.h's section "transformers and graphs", in double where it matters.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REFERENCE_TRANSFORMER_H
#define COT_REFERENCE_TRANSFORMER_H
#include "tests/reference.h"

void ref_attention_forward(float *y, const float *q, const float *kv, const float *mask, const cot_attention_shape *s);
void ref_patches_forward(float *y, const float *x, size_t n, size_t channels, size_t size, size_t patch);
void ref_tokens_forward(float *y, const float *patches, const float *cls, const float *position, size_t items,
                        size_t n_patches, size_t width);
void ref_row_forward(float *y, const float *x, size_t items, size_t rows, size_t at, size_t width);
void ref_row_write(float *y, const float *x, size_t items, size_t rows, size_t at, size_t width);
void ref_concat_forward(float *y, const float *a, size_t a_width, const float *b, size_t b_width, size_t rows);
void ref_graph_attention_forward(float *y, const float *z, const float *a_src, const float *a_dst, const float *bias,
                                 const float *residual, size_t items, size_t nodes, size_t heads, size_t out);
void ref_gru_forward(float *y, const float *gi, const float *gh, const float *h, size_t n, size_t dim);
#endif
