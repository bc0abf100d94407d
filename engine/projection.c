/* ReLU(LayerNorm(W x + b)), and heads both ways (projection.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/projection.h"

#include <stdlib.h>

static const float norm_eps = 1e-5f; /* torch.nn.LayerNorm's default */

cot_status projection_init(projection *p, cot_device *device, const weight_source *source, const char *name, size_t at,
                           size_t out, size_t in, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    snprintf(part, sizeof part, "%s.%zu", name, at);
    COT_TRY(source_linear(&p->linear, device, source, part, out, in, true, err));
    snprintf(part, sizeof part, "%s.%zu", name, at + 1);
    COT_TRY(norm_init(&p->norm, device, source, part, out, norm_eps, err));
done:
    return status;
}

void projection_fini(projection *p)
{
    cot_weights_destroy(p->linear);
    norm_fini(&p->norm);
}

cot_status projection_forward(cot_buffer *y, cot_buffer *linear, const projection *p, const cot_buffer *x, size_t rows,
                              cot_error *err)
{
    cot_status status;
    COT_TRY(cot_linear_forward(linear, x, p->linear, rows, NULL, COT_ACT_NONE, err));
    COT_TRY(norm_forward(y, &p->norm, linear, rows, COT_ACT_RELU, err));
done:
    return status;
}

/* ---- heads ---- */
/* [rows,cols] -> [cols,rows]; caller frees. NULL: no memory. */
static float *transposed(const float *w, size_t rows, size_t cols)
{
    float *t = malloc(rows * cols * sizeof *t + 1);
    if (!t) return NULL;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) t[c * rows + r] = w[r * cols + c];
    return t;
}

cot_status head_init(cot_weights **head, cot_weights **write, cot_device *device, const weight_source *source,
                     const char *name, size_t classes, size_t dim, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    float *w = NULL, *b = NULL, *t = NULL;
    snprintf(part, sizeof part, "%s.weight", name);
    COT_TRY(source_floats(&w, source, part, (const size_t[]){classes, dim}, 2, err));
    snprintf(part, sizeof part, "%s.bias", name);
    COT_TRY(source_floats(&b, source, part, &classes, 1, err));
    COT_TRY(cot_linear_prepare(head, device, w, b, classes, dim, err));
    t = transposed(w, classes, dim);
    if (!t) {
        status = cot_fail(err, COT_E_MEMORY, "model: no memory for %s", name);
        goto done;
    }
    COT_TRY(cot_linear_prepare(write, device, t, NULL, dim, classes, err));
done:
    free(w);
    free(b);
    free(t);
    return status;
}
