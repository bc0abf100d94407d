/* What the files of training share with graph attention: the same with factors on alpha.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_OPENCL_LEARNING_DEVICE_H
#define COT_OPENCL_LEARNING_DEVICE_H
#include "opencl/backward_device.h"
#include "opencl/learning.h"

/* As the functions without `masked`; factors [items, heads, nodes, nodes] or NULL. */
cot_status graph_attention_masked_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src,
                                          const cot_buffer *a_dst, const cot_buffer *bias, const cot_buffer *residual,
                                          const cot_buffer *factors, size_t items, size_t nodes, size_t heads,
                                          size_t out, cot_error *err);
cot_status graph_attention_masked_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst, cot_buffer *dbias,
                                           const cot_buffer *dy, const cot_buffer *z, const cot_buffer *a_src,
                                           const cot_buffer *a_dst, const cot_buffer *factors, size_t items,
                                           size_t nodes, size_t heads, size_t out, cot_error *err);
#endif
