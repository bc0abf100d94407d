/* Training's own kernels: losses with their gradients, dropout, the norm of all gradients and AdamW.
 * As in backward.h: every gradient ACCUMULATES, sums are made in a fixed order without atomics, kernels are built when first
 * used. Nothing here reads back to the host.
 * Labels lie on the device as floats, one per row; a negative one masks its row.
 * Threads: as opencl.h. SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_OPENCL_LEARNING_H
#define COT_OPENCL_LEARNING_H
#include "opencl/backward.h"

/* Builds every kernel of this header now, as cot_backward_prepare does. */
cot_status cot_training_prepare(cot_device *device, cot_error *err);

/* ---- moves ------------------------------------------------------------------------------------- */
/* y[y_at + i] = x[x_at + i], n floats; y is not x */
cot_status cot_copy(cot_buffer *y, size_t y_at, const cot_buffer *x, size_t x_at, size_t n, cot_error *err);
/* y [items, n] = x [n], for each item */
cot_status cot_repeat(cot_buffer *y, const cot_buffer *x, size_t items, size_t n, cot_error *err);
/* dx [n] += sum over the items of dy [items, n] */
cot_status cot_repeat_backward(cot_buffer *dx, const cot_buffer *dy, size_t items, size_t n, cot_error *err);
/* of y = scale * act(x), from y itself, for ReLU (what dropout has zeroed gets no gradient) and ELU; dx may be dy */
cot_status cot_activation_backward_from(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *y, size_t n, cot_activation act, float scale, cot_error *err);

/* Weights for cot_linear_forward from plain ones on the device, w [out,in], bias [out] or NULL: made when *packed is NULL, else
 * packed again, as after an optimiser step. One pass over memory, for products that then run at the tile's full speed. */
cot_status cot_linear_pack(cot_weights **packed, const cot_buffer *w, const cot_buffer *bias, size_t out, size_t in, cot_error *err);

/* ---- dropout ----------------------------------------------------------------------------------- */
/* Which numbers are dropped: Philox 4x32-10 of (seed; step, layer, element). The same four give the same mask, so that a
 * backward computes it again. p: probability of 0; the others become x / (1 - p). p = 0: a copy. */
typedef struct cot_dropout { uint64_t seed, step; uint32_t layer; float p; } cot_dropout;
cot_status cot_dropout_forward(cot_buffer *y, const cot_buffer *x, size_t n, const cot_dropout *drop, cot_error *err); /* y may be x */
cot_status cot_dropout_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, const cot_dropout *drop, cot_error *err); /* dx may be dy: replaced */
/* cot_graph_attention_forward and _backward with dropout on alpha [items, heads, nodes, nodes] */
cot_status cot_graph_attention_training_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src, const cot_buffer *a_dst,
                                                const cot_buffer *bias, const cot_buffer *residual, size_t items, size_t nodes, size_t heads,
                                                size_t out, const cot_dropout *drop, cot_error *err);
cot_status cot_graph_attention_training_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst, cot_buffer *dbias, const cot_buffer *dy,
                                                 const cot_buffer *z, const cot_buffer *a_src, const cot_buffer *a_dst, size_t items,
                                                 size_t nodes, size_t heads, size_t out, const cot_dropout *drop, cot_error *err);

/* ---- losses ------------------------------------------------------------------------------------ */
/* torch.nn.functional.cross_entropy(x[valid], labels[valid], weight, label_smoothing), reduction mean (over the sum of the
 * labels' weights). loss [rows]: each row's part of the mean, 0 where masked: the loss is their sum. dx += scale * gradient.
 * weights [classes] or NULL; loss or dx may be NULL. No valid row: zeros. A label of classes or more: masked. */
cot_status cot_cross_entropy(cot_buffer *loss, cot_buffer *dx, const cot_buffer *x, const cot_buffer *labels, const cot_buffer *weights,
                             float smoothing, float scale, size_t rows, size_t classes, cot_error *err);
/* KL(softmax(teacher/T) || softmax(x/T)) * T², mean over the rows whose label is not masked; loss, dx, scale as above. */
cot_status cot_soft_kl(cot_buffer *loss, cot_buffer *dx, const cot_buffer *x, const cot_buffer *teacher, const cot_buffer *labels,
                       float temperature, float scale, size_t rows, size_t classes, cot_error *err);
/* The HSIC-weighted KL of all steps at once (section 3, appendix D.4): per step and over its valid rows,
 *     ku = softmax(t/T), kv = softmax(s/T),  w = <Ku, Kv> / sqrt(<Ku, Ku> <Kv, Kv>),  w * mean KL(ku || kv)
 * with Ku, Kv the centred Gram matrices. Gradients go to s through kv, in the KL and in w.
 * t [steps, rows, width], s [rows, width], labels [steps, rows]; loss [steps]; ds [rows, width] += scale * gradient.
 * A step with fewer than two valid rows: 0. */
typedef struct cot_alignment_shape { size_t steps, rows, width; float temperature; } cot_alignment_shape;
cot_status cot_alignment(cot_buffer *loss, cot_buffer *ds, const cot_buffer *t, const cot_buffer *s, const cot_buffer *labels, float scale,
                         const cot_alignment_shape *shape, cot_error *err);

/* ---- optimiser --------------------------------------------------------------------------------- */
/* norm[0] = sqrt(sum of g²), norm[1] = min(1, max_norm / (norm[0] + 1e-6)), or 1 with max_norm 0; g: n floats */
cot_status cot_gradient_norm(cot_buffer *norm, const cot_buffer *g, size_t n, float max_norm, cot_error *err);
typedef struct cot_adamw_options { float lr, beta1, beta2, eps, weight_decay; uint64_t step; /* from 1 */ bool clear; /* g = 0 afterwards */ } cot_adamw_options;
/* torch.optim.AdamW over floats from … from+n-1 of all four, g times norm[1] (norm NULL: as it is) */
cot_status cot_adamw(cot_buffer *value, cot_buffer *g, cot_buffer *m, cot_buffer *v, size_t from, size_t n, const cot_buffer *norm,
                     const cot_adamw_options *options, cot_error *err);
#endif
