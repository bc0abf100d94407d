/* Half precision for the weights of a package: matrices and convolutions become F16, rounded to the nearest; vectors (norms,
 * biases, running statistics) stay as they are, they are few and their range is not known.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/import.h"
#include "engine/package_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cot_status halve(tensor *t, unsigned char **memory, cot_error *err)
{
    cot_status status = COT_OK;
    float *values = malloc(t->count * sizeof *values + 1);
    *memory = malloc(t->count * 2 + 1);
    if (!values || !*memory) {
        status = cot_fail(err, COT_E_MEMORY, "model import: no memory for tensor %s", t->name);
        goto done;
    }
    tensor_floats(values, t);
    for (size_t i = 0; i < t->count; i++) {
        const uint16_t half = half_of(values[i]);
        if ((half & 0x7c00u) == 0x7c00u) {
            status = cot_fail(err, COT_E_MODEL,
                              "model import: tensor %s holds %g, half precision ends at 65504: store it as it is",
                              t->name, (double)values[i]);
            goto done;
        }
        (*memory)[2 * i] = (unsigned char)(half & 255u);
        (*memory)[2 * i + 1] = (unsigned char)(half >> 8);
    }
    t->type = TENSOR_F16;
    t->bytes = t->count * 2;
    t->data = *memory;
done:
    free(values);
    return status;
}

/* A package must not be made that no device would load. In blocks: tables of words are large. */
static cot_status check_finite(const tensor *t, cot_error *err)
{
    enum { BLOCK = 4096 };
    float values[BLOCK];
    if (!t->count || t->type == TENSOR_I64 || t->type == TENSOR_BOOL) return COT_OK;
    const size_t size = t->bytes / t->count;
    for (size_t at = 0; at < t->count; at += BLOCK) {
        tensor part = *t;
        part.count = t->count - at < BLOCK ? t->count - at : BLOCK;
        part.bytes = part.count * size;
        part.data += at * size;
        tensor_floats(values, &part);
        for (size_t i = 0; i < part.count; i++)
            if (!isfinite(values[i]))
                return cot_fail(
                    err, COT_E_MODEL,
                    "model import: tensor %s holds a value that is not finite: its training diverged, or the "
                    "file is damaged",
                    t->name);
    }
    return COT_OK;
}

cot_status import_store(importing *im, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < im->n; i++) COT_TRY(check_finite(&im->tensors[i], err));
    if (!im->options->store_half) return COT_OK;
    im->halves = calloc(im->n + 1, sizeof *im->halves);
    if (!im->halves) return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    for (size_t i = 0; i < im->n; i++) {
        const tensor *t = &im->tensors[i];
        if (t->rank < 2 || (t->type != TENSOR_F32 && t->type != TENSOR_BF16)) continue;
        COT_TRY(halve(&im->tensors[i], &im->halves[im->n_halves++], err));
    }
done:
    return status;
}

void import_store_fini(importing *im)
{
    for (size_t i = 0; i < im->n_halves; i++) free(im->halves[i]);
    free(im->halves);
}
