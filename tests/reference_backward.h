/* Plain-C twins of training's layers, forward and backward, all in double: the forward is what finite differences are
 * taken of, the backward what they and the devices are compared with. Every layer reads and writes one twin_pass.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REFERENCE_BACKWARD_H
#define COT_REFERENCE_BACKWARD_H
#include "opencl/backward.h"

typedef struct twin_pass {
    double *in[6];   /* inputs and parameters, in the order that each line below gives */
    double *grad[6]; /* their gradients: accumulated; NULL: not wanted */
    double *y, *dy;
    size_t size[8]; /* as each line below says */
    double eps;
    cot_activation act;
    bool train;
    const double *mean, *var; /* batch norm's running ones */
    const cot_conv_shape *conv;
    const cot_attention_shape *attention;
    const double *mask;
} twin_pass;

#define TWIN_LAYER(name)                                                                                               \
    void twin_##name(twin_pass *p);                                                                                    \
    void twin_##name##_backward(twin_pass *p);
TWIN_LAYER(linear)          /* x, w, bias; rows, out, in */
TWIN_LAYER(plain_conv)      /* x, w [out_c, k, k, in_c]; images; conv */
TWIN_LAYER(activation)      /* x; n; act */
TWIN_LAYER(add_tanh)        /* a, b; n */
TWIN_LAYER(softmax)         /* x; rows, classes */
TWIN_LAYER(gru)             /* gi, gh, h; n, dim */
TWIN_LAYER(layer_norm)      /* x, gamma, beta; rows, width; eps */
TWIN_LAYER(batch_norm)      /* x, gamma, beta; rows, channels; eps, train, mean, var */
TWIN_LAYER(max_pool)        /* x; n, h, w, c, kernel, stride, pad */
TWIN_LAYER(mean_pool)       /* x; n, pixels, c */
TWIN_LAYER(patches)         /* x; n, channels, size, patch */
TWIN_LAYER(tokens)          /* patches, cls, position; items, patches of each, width */
TWIN_LAYER(row)             /* x; items, rows, at, width */
TWIN_LAYER(row_write)       /* what was there, row; items, rows, at, width */
TWIN_LAYER(concat)          /* a, b; rows, a's width, b's width */
TWIN_LAYER(attention)       /* q, kv (one buffer in both: gradients in grad[0]); attention, mask */
TWIN_LAYER(graph_attention) /* z, a_src, a_dst, bias; items, nodes, heads, out */
#undef TWIN_LAYER
/* c [m,n] = or += op(a) · op(b) */
void twin_matmul(double *c, const double *a, bool a_t, const double *b, bool b_t, size_t m, size_t n, size_t k,
                 bool add);
#endif
