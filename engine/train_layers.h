/* The layers that training shares: a linear layer on parameters, its norm, and the projection made of both. Forward first,
 * its backward beneath; gradients accumulate in the parameters. dx NULL: not wanted.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TRAIN_LAYERS_H
#define COT_ENGINE_TRAIN_LAYERS_H
#include "engine/parameters.h"

/* Adds a parameter named name + part. */
cot_status parameter_named(parameter **out, parameters *table, const char *name, const char *part,
                           const parameter_spec *spec, cot_error *err);

/* torch.nn.Linear */
typedef struct linear_train {
    parameter *weight, *bias; /* [out,in], [out] or NULL */
    size_t out, in;
    cot_weights *packed; /* of the value as it was at packed_version, when large enough to be worth it */
    uint64_t packed_version;
} linear_train;
/* name + ".weight", name + ".bias"; torch's initial values */
cot_status linear_train_init(linear_train *m, parameters *table, const char *name, size_t out, size_t in, bool bias,
                             cot_error *err);
void linear_train_fini(linear_train *m);
/* Packs the weights first when they have changed. */
cot_status linear_train_forward(cot_buffer *y, linear_train *m, const cot_buffer *x, size_t rows, cot_error *err);
cot_status linear_train_backward(cot_buffer *dx, const linear_train *m, const cot_buffer *dy, const cot_buffer *x,
                                 size_t rows, cot_error *err);

/* torch.nn.LayerNorm and the activation behind it, ReLU or ELU */
typedef struct norm_train {
    parameter *scale, *shift;
    size_t width;
} norm_train;
cot_status norm_train_init(norm_train *m, parameters *table, const char *name, size_t width, cot_error *err);
cot_status norm_train_forward(cot_buffer *y, const norm_train *m, const cot_buffer *x, size_t rows, cot_activation act,
                              cot_error *err);
/* dx is written; dy, of y = factor * act(norm(x)), is overwritten by the norm's own gradient */
cot_status norm_train_backward(cot_buffer *dx, const norm_train *m, cot_buffer *dy, const cot_buffer *y,
                               const cot_buffer *x, size_t rows, cot_activation act, float factor, cot_error *err);

/* y = dropout(ReLU(LayerNorm(W x + b))) */
typedef struct projection_train {
    linear_train linear;
    norm_train norm;
} projection_train;
/* NAME.at, NAME.(at+1), as projection.h */
cot_status projection_train_init(projection_train *m, parameters *table, const char *name, size_t at, size_t out,
                                 size_t in, cot_error *err);
void projection_train_fini(projection_train *m);
/* linear [rows,out]: W x + b, which the backward needs */
cot_status projection_train_forward(cot_buffer *y, cot_buffer *linear, projection_train *m, const cot_buffer *x,
                                    size_t rows, const cot_dropout *drop, cot_error *err);
/* dlinear [rows,out]: overwritten; dy too. p: the dropout's; what it dropped shows in y */
cot_status projection_train_backward(cot_buffer *dx, cot_buffer *dlinear, const projection_train *m, cot_buffer *dy,
                                     const cot_buffer *y, const cot_buffer *linear, const cot_buffer *x, size_t rows,
                                     float p, cot_error *err);
/* This step gives it no gradient at all: the optimiser leaves it alone (parameters.h). */
void projection_train_idle(projection_train *m, bool idle);
#endif
