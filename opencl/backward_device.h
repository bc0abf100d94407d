/* What the backward files share: the table of the gradients' kernels, their binder, scratch and column sums.
 * Programs are built when one of their kernels is first used: a node that only reads images never pays for them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_OPENCL_BACKWARD_DEVICE_H
#define COT_OPENCL_BACKWARD_DEVICE_H
#include "opencl/backward.h"
#include "opencl/device.h"

/* In the order of the table in backward.c; from MATMUL on there is one kernel per tile height. */
typedef enum backward_id {
    BACKWARD_DOT,
    BACKWARD_PLAIN,
    TRAINING_DROPOUT, /* those of learning.h */
    TRAINING_ACTIVATION_FROM,
    TRAINING_REPEAT,
    TRAINING_CROSS_ENTROPY,
    TRAINING_SOFT_KL,
    TRAINING_SOFTEN,
    TRAINING_ALIGNMENT_MEANS,
    TRAINING_ALIGNMENT_GRAM,
    TRAINING_ALIGNMENT_FACTORS,
    TRAINING_ALIGNMENT_FEATURE,
    TRAINING_SQUARE_SUMS,
    TRAINING_NORM,
    TRAINING_ADAMW,
    BACKWARD_COLUMNS,
    BACKWARD_FOLD,
    BACKWARD_ACTIVATION_FORWARD,
    BACKWARD_ACTIVATION,
    BACKWARD_BIAS,
    BACKWARD_ADD,
    BACKWARD_ADD_TANH,
    BACKWARD_SOFTMAX,
    BACKWARD_GRU,
    BACKWARD_LAYER_NORM,
    BACKWARD_BATCH_SLICES,
    BACKWARD_BATCH_MERGE,
    BACKWARD_BATCH_RUNNING,
    BACKWARD_BATCH_NORM_FORWARD,
    BACKWARD_BATCH_NORM,
    BACKWARD_MAX_POOL_WHERE,
    BACKWARD_MAX_POOL,
    BACKWARD_MEAN_POOL,
    BACKWARD_IM2COL,
    BACKWARD_COL2IM,
    BACKWARD_PATCHES,
    BACKWARD_BLOCK,
    BACKWARD_ATTENTION_QUERIES,
    BACKWARD_ATTENTION_KEYS,
    BACKWARD_GRAPH_SCORES,
    BACKWARD_GRAPH_NODES,
    BACKWARD_GRAPH_VECTORS,
    BACKWARD_PACK,
    BACKWARD_FOLD_WEIGHTS,
    BACKWARD_FOLD_TURNED,
    BACKWARD_NORM_FORWARD,
    BACKWARD_NORM_SUMS,
    BACKWARD_NORM,
    BACKWARD_NORM_POOL_FORWARD,
    BACKWARD_NORM_POOL,
    BACKWARD_AUGMENT,
    BACKWARD_MATMUL,
    BACKWARD_CONV_INPUT = BACKWARD_MATMUL + TILE_HEIGHTS_MAX,
    BACKWARD_CONV_WEIGHTS = BACKWARD_CONV_INPUT + TILE_HEIGHTS_MAX,
    BACKWARD_COUNT = BACKWARD_CONV_WEIGHTS + TILE_HEIGHTS_MAX
} backward_id;

cot_status backward_launch(cot_device *device, backward_id id, const kernel_arg *args, cl_uint n_args, size_t global0,
                           size_t global1, cot_error *err);
#define BACKWARD_LAUNCH(device, id, args, g0, g1, err)                                                                 \
    backward_launch(device, id, args, (cl_uint)(sizeof(args) / sizeof *(args)), g0, g1, err)
/* Memory between the launches of one call: the layer's own, and the column sums' (which layers call). Grown to the
 * largest asked for; what an earlier call left there is gone. */
typedef enum scratch_id {
    SCRATCH_LAYER,
    SCRATCH_PAIRS,
    SCRATCH_ENDS,
    SCRATCH_SUMS,
    SCRATCH_PACKED,
    SCRATCH_ZEROS, /* nobody writes it */
    SCRATCH_COUNT
} scratch_id;
cot_status backward_scratch(cot_buffer **out, cot_device *device, scratch_id which, size_t floats, cot_error *err);
/* floats = a*b*c*d, bounded so that kernels may count in 32 bits. */
cot_status backward_count(size_t *floats, size_t a, size_t b, size_t c, size_t d, const char *what, cot_error *err);
/* Work-items that take `floats` a vector each. */
size_t backward_vectors(const cot_device *device, size_t floats);
/* Slices that `rows` are cut into so that column sums keep the device busy. */
size_t backward_slices(const cot_device *device, size_t rows, size_t columns);
/* out[c] = or += sum over s of partial[s*stride + at + c]; nothing when out is NULL. */
cot_status backward_fold(cot_buffer *out, const cot_buffer *partial, size_t slices, size_t stride, size_t at, size_t n,
                         bool add, cot_error *err);
/* Sums over the rows of dy, in slices: *partial [*slices, columns], in SCRATCH_SUMS, for backward_fold. With x: twice as
 * wide, then come the sums of dy * (x - mean) * scale; stats = means | scales, by row or by column. */
cot_status backward_columns(cot_buffer **partial, size_t *slices, const cot_buffer *dy, const cot_buffer *x,
                            const cot_buffer *stats, bool by_row, size_t rows, size_t columns, cot_error *err);
/* ---- backward_norm.c ---- */
/* Mean and scale of these rows into `saved`, and the running ones on; or, without `train`, from the running ones. */
cot_status batch_statistics(cot_buffer *saved, cot_buffer *running_mean, cot_buffer *running_var, const cot_buffer *x,
                            size_t rows, size_t channels, float eps, float momentum, bool train, cot_error *err);
/* Slices of rows that a core's cache holds. */
size_t batch_slices(const cot_device *device, size_t rows, size_t channels);
/* ---- backward_conv_tile.c ---- */
/* Whether the tile makes this product of a convolution here; otherwise im2col does. */
bool conv_tile_gives_weights(const cot_device *device, const cot_conv_shape *s);
/* Convolution, gradient of the image (added, or written), gradient of the weights (added); buffers are checked. */
cot_status conv_tile_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_conv_shape *s, size_t n,
                             cot_error *err);
cot_status conv_tile_input(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *w, const cot_conv_shape *s, size_t n,
                           bool add, cot_error *err);
cot_status conv_tile_weights(cot_buffer *dw, const cot_buffer *dy, const cot_buffer *x, const cot_conv_shape *s,
                             size_t n, cot_error *err);
/* cot_matmul from given floats of each buffer on; the caller has checked the buffers. */
typedef struct product_at {
    size_t c, a, b;
} product_at;
cot_status product_run(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, bool b_t, size_t m, size_t n,
                       size_t k, bool add, product_at at, cot_error *err);
#endif
