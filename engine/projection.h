/* What teacher and student have in common: the projection that brings a vector into their own width, and the head whose
 * answer is written back. Names of projections are those of a torch.nn.Sequential: NAME.0 is the linear layer, NAME.1 the
 * norm; ReLU and dropout (NAME.2, NAME.3) have no weights.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PROJECTION_H
#define COT_ENGINE_PROJECTION_H
#include "engine/source.h"

typedef struct projection {
    cot_weights *linear; /* [out,in] */
    norm_layer norm;
} projection;
/* `at`: number of the linear layer in its Sequential, else 0. */
cot_status projection_init(projection *p, cot_device *device, const weight_source *source, const char *name, size_t at,
                           size_t out, size_t in, cot_error *err);
void projection_fini(projection *p);
/* y [rows,out] = ReLU(LayerNorm(W x + b)), x [rows,in]; linear [rows,out] holds W x + b afterwards */
cot_status projection_forward(cot_buffer *y, cot_buffer *linear, const projection *p, const cot_buffer *x, size_t rows,
                              cot_error *err);

/* A step's linear layer both ways: head gives logits = W x + b, write gives p . W. */
cot_status head_init(cot_weights **head, cot_weights **write, cot_device *device, const weight_source *source,
                     const char *name, size_t classes, size_t dim, cot_error *err);
#endif
