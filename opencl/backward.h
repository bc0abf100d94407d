/* Gradients: the backward of every layer, and the forward passes that only training needs (plain weights, batch
 * statistics). Matrices float32, row-major; images NHWC; a layer's shapes are those of its forward in opencl.h.
 *
 * Every gradient ACCUMULATES: dx, dw, db, dgamma … += ; zero them once, before the step (cot_buffer_zero), and let what
 * is used twice simply be added to twice. A gradient that is not wanted is NULL. Only where a line says so may dx be dy;
 * then it is replaced, as one cannot add to what one reads. x means the forward's input, before any activation; weights
 * are plain [out, in] as in torch, not cot_weights, because a step changes them.
 * Sums are made in a fixed order without atomics: the same device gives the same bits again.
 * The kernels are built when first used (cot_backward_prepare: all at once), and scratch grows to the largest call.
 * Threads: as opencl.h. SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_OPENCL_BACKWARD_H
#define COT_OPENCL_BACKWARD_H
#include "opencl/opencl.h"

/* Builds every kernel of this header now (through the cache), so that the first step is as fast as the second. */
cot_status cot_backward_prepare(cot_device *device, cot_error *err);

/* ---- products --------------------------------------------------------------------------------- */
/* c [m,n] = op(a) · op(b), or += with `add`; a is [m,k], or [k,m] with a_t; b is [k,n], or [n,k] with b_t. c overlaps neither */
cot_status cot_matmul(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, bool b_t, size_t m, size_t n, size_t k,
                      bool add, cot_error *err);
/* y [rows,out] = x [rows,in] · wᵀ + bias; w [out,in], bias [out] or NULL: a linear layer on plain weights */
cot_status cot_linear_plain_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_buffer *bias, size_t rows,
                                    size_t out, size_t in, cot_error *err);
cot_status cot_linear_backward(cot_buffer *dx, cot_buffer *dw, cot_buffer *db, const cot_buffer *dy, const cot_buffer *x,
                               const cot_buffer *w, size_t rows, size_t out, size_t in, cot_error *err);
/* y [n,out_h,out_w,out_c] = conv(x [n,in_h,in_w,in_c]); w [out_c, kernel, kernel, in_c]: torch's [out_c, in_c, k, k] with the
 * channels last, so that both products are plain; no bias (batch norm follows) */
cot_status cot_conv_plain_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_conv_shape *shape, size_t n, cot_error *err);
cot_status cot_conv_backward(cot_buffer *dx, cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x, const cot_buffer *w,
                             const cot_conv_shape *shape, size_t n, cot_error *err);

/* its two halves; dx is written unless `add` */
cot_status cot_conv_input_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *w, const cot_conv_shape *shape, size_t n, bool add, cot_error *err);
cot_status cot_conv_weights_backward(cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x, const cot_conv_shape *shape, size_t n, cot_error *err);

/* ---- float by float ----------------------------------------------------------------------------- */
/* y = act(x), n floats; y may be x where the backward does not need it */
cot_status cot_activation_forward(cot_buffer *y, const cot_buffer *x, size_t n, cot_activation act, cot_error *err);
cot_status cot_activation_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *x, size_t n, cot_activation act, cot_error *err); /* dx may be dy */
cot_status cot_accumulate(cot_buffer *y, const cot_buffer *x, size_t n, cot_error *err); /* y += x: a residual's gradient */
/* of y = a + tanh(b); da may be dy */
cot_status cot_add_tanh_backward(cot_buffer *da, cot_buffer *db, const cot_buffer *dy, const cot_buffer *b, size_t n, cot_error *err);
/* from the probabilities y [rows, classes] that the forward gave; dx may be dy */
cot_status cot_softmax_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *y, size_t rows, size_t classes, cot_error *err);
/* dgi, dgh [n, 3*dim]; dh [n,dim]; h: the old state, so the forward's y must not have been h */
cot_status cot_gru_backward(cot_buffer *dgi, cot_buffer *dgh, cot_buffer *dh, const cot_buffer *dy, const cot_buffer *gi, const cot_buffer *gh,
                            const cot_buffer *h, size_t n, size_t dim, cot_error *err);

/* ---- normalisations ------------------------------------------------------------------------------ */
/* dy: of the layer norm itself, before the activation that the forward can fuse */
cot_status cot_layer_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, const cot_buffer *dy, const cot_buffer *x,
                                   const cot_buffer *gamma, size_t rows, size_t width, float eps, cot_error *err);
/* y = (x - mean) / sqrt(var + eps) * gamma + beta per channel. train: mean and biased variance of these rows (at least 2), and
 * running_* = (1 - momentum) * running_* + momentum * (mean, unbiased variance), as torch. Else the running ones, unchanged.
 * `saved` [2*channels] = mean | 1 / sqrt(var + eps), for the backward. y may not be x */
cot_status cot_batch_norm_training_forward(cot_buffer *y, cot_buffer *saved, cot_buffer *running_mean, cot_buffer *running_var, const cot_buffer *x,
                                           const cot_buffer *gamma, const cot_buffer *beta, size_t rows, size_t channels, float eps,
                                           float momentum, bool train, cot_error *err);
/* with the same `train` as the forward */
cot_status cot_batch_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, const cot_buffer *dy, const cot_buffer *x,
                                   const cot_buffer *gamma, const cot_buffer *saved, size_t rows, size_t channels, bool train, cot_error *err);

/* What a convolutional network trains with: batch norm and what stands behind it in one pass each way. In these dx is
 * WRITTEN, and may be dy except with a pool. `norm`: channels, gamma, beta, running statistics, `saved` as above. */
typedef struct cot_norm {
    size_t channels;
    const cot_buffer *gamma, *beta;             /* [channels] */
    cot_buffer *running_mean, *running_var;     /* [channels] */
    cot_buffer *saved;                          /* [2*channels], written by the forward */
    float eps, momentum;
    bool train;
} cot_norm;
/* y = norm(x) (+ residual, NULL: none), then max(0, .) with `relu`; y may be residual, not x */
cot_status cot_norm_forward(cot_buffer *y, const cot_norm *norm, const cot_buffer *x, const cot_buffer *residual, bool relu, size_t rows,
                            cot_error *err);
/* y: the forward's result where it had a residual and ReLU; dy then becomes the residual's gradient, dy where y > 0, and dx must
 * not be dy. Without a residual NULL. dgamma, dbeta accumulate */
cot_status cot_norm_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, cot_buffer *dy, const cot_buffer *y, const cot_norm *norm,
                             const cot_buffer *x, bool relu, size_t rows, cot_error *err);
typedef struct cot_pool_shape {
    size_t n, h, w, kernel, stride, pad;
} cot_pool_shape;
/* y = max pool(relu(norm(x))); peak, where: like y, for the backward. dy is masked in place */
cot_status cot_norm_relu_pool_forward(cot_buffer *y, cot_buffer *peak, cot_buffer *where, const cot_norm *norm, const cot_buffer *x,
                                 const cot_pool_shape *pool, cot_error *err);
cot_status cot_norm_relu_pool_backward(cot_buffer *dx, cot_buffer *dgamma, cot_buffer *dbeta, cot_buffer *dy, const cot_buffer *y,
                                  const cot_buffer *peak, const cot_buffer *where, const cot_norm *norm, const cot_buffer *x,
                                  const cot_pool_shape *pool, cot_error *err);

/* ---- pools and moves ------------------------------------------------------------------------------- */
/* each dy goes to the first maximum of its window, in row order, as torch */
cot_status cot_max_pool_backward(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *x, size_t n, size_t h, size_t w, size_t c,
                                 size_t kernel, size_t stride, size_t pad, cot_error *err);
cot_status cot_mean_pool_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, size_t pixels, size_t c, cot_error *err);
cot_status cot_patches_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, size_t channels, size_t size, size_t patch, cot_error *err);
cot_status cot_tokens_backward(cot_buffer *dpatches, cot_buffer *dcls, cot_buffer *dposition, const cot_buffer *dy, size_t items,
                               size_t n_patches, size_t width, cot_error *err);
cot_status cot_row_backward(cot_buffer *dx, const cot_buffer *dy, size_t items, size_t rows, size_t at, size_t width, cot_error *err);
/* cot_row_write overwrote row `at`: its gradient goes to dx, and dy's row becomes 0, for what was there before has none */
cot_status cot_row_write_backward(cot_buffer *dy, cot_buffer *dx, size_t items, size_t rows, size_t at, size_t width, cot_error *err);
cot_status cot_concat_backward(cot_buffer *da, size_t a_width, cot_buffer *db, size_t b_width, const cot_buffer *dy, size_t rows, cot_error *err);

/* ---- attention --------------------------------------------------------------------------------------- */
/* dq laid out as q, dkv as kv; both the same buffer where the forward's q and kv are. Probabilities are computed again */
cot_status cot_attention_backward(cot_buffer *dq, cot_buffer *dkv, const cot_buffer *dy, const cot_buffer *q, const cot_buffer *kv,
                                  const cot_buffer *mask, const cot_attention_shape *shape, cot_error *err);
/* The residual's gradient is dy itself: cot_accumulate */
cot_status cot_graph_attention_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst, cot_buffer *dbias, const cot_buffer *dy,
                                        const cot_buffer *z, const cot_buffer *a_src, const cot_buffer *a_dst, size_t items, size_t nodes,
                                        size_t heads, size_t out, cot_error *err);
#endif
