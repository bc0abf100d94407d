/* Tensors by name from a file to a device (params.h). The file's header has been checked by safetensors.c; here each
 * tensor meets the shape that the architecture gives it, before any memory is sized by it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cot_status params_init(params *p, const safetensors *file, const char *where, const char *prefix, cot_error *err)
{
    *p = (params){file, where, prefix, calloc(safetensors_count(file) + 1, sizeof *p->taken)};
    return p->taken ? COT_OK : cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
}

void params_fini(params *p)
{
    free(p->taken);
    p->taken = NULL;
}

static cot_status find(const tensor **out, params *p, const char *name, size_t rank, const size_t *shape,
                       cot_error *err)
{
    char full[TENSOR_NAME_MAX], have[96], want[96];
    tensor_shape_text(want, sizeof want, shape, rank);
    const int n = snprintf(full, sizeof full, "%s%s", p->prefix, name);
    const tensor *t = n > 0 && (size_t)n < sizeof full ? safetensors_find(p->file, full) : NULL;
    if (!t)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s%s %s is missing: these are not the weights of this model",
                        p->where, p->prefix, name, want);
    if (!tensor_is_float(t))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has type %s, a floating-point type is needed", p->where, full,
                        tensor_type_name(t->type));
    tensor_shape_text(have, sizeof have, t->shape, t->rank);
    if (t->rank != rank || memcmp(t->shape, shape, rank * sizeof *shape))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has shape %s, the architecture needs %s", p->where, full, have,
                        want);
    p->taken[t - safetensors_at(p->file, 0)] = true;
    *out = t;
    return COT_OK;
}

cot_status params_floats(float **out, params *p, const char *name, size_t rank, const size_t *shape, cot_error *err)
{
    const tensor *t = NULL;
    *out = NULL;
    const cot_status status = find(&t, p, name, rank, shape, err);
    if (status != COT_OK) return status;
    float *v = malloc(t->count * sizeof *v + 1); /* cannot overflow: the file holds at least half of it */
    if (!v) return cot_fail(err, COT_E_MEMORY, "%s: no memory for tensor %s", p->where, t->name);
    tensor_floats(v, t);
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(v[i])) {
            free(v);
            return cot_fail(err, COT_E_MODEL,
                            "%s: tensor %s holds a value that is not finite: the training diverged; use another "
                            "model",
                            p->where, t->name);
        }
    *out = v;
    return COT_OK;
}

cot_status params_buffer(cot_buffer **out, cot_device *device, params *p, const char *name, size_t rank,
                         const size_t *shape, cot_error *err)
{
    cot_status status;
    float *v = NULL;
    size_t n = 1;
    COT_TRY(params_floats(&v, p, name, rank, shape, err));
    for (size_t i = 0; i < rank; i++) n *= shape[i]; /* is the tensor's count */
    COT_TRY(cot_buffer_create(out, device, n, err));
    COT_TRY(cot_buffer_write(*out, 0, v, n, err));
done:
    free(v);
    return status;
}

cot_status params_vector(cot_buffer **out, cot_device *device, params *p, const char *name, size_t n, cot_error *err)
{
    return params_buffer(out, device, p, name, 1, &n, err);
}

cot_status params_linear(cot_weights **out, cot_device *device, params *p, const char *weight, const char *bias,
                         size_t outs, size_t ins, cot_error *err)
{
    cot_status status;
    float *w = NULL, *b = NULL;
    COT_TRY(params_floats(&w, p, weight, 2, (const size_t[]){outs, ins}, err));
    if (bias) COT_TRY(params_floats(&b, p, bias, 1, &outs, err));
    COT_TRY(cot_linear_prepare(out, device, w, b, outs, ins, err));
done:
    free(w);
    free(b);
    return status;
}

cot_status params_finish(const params *p, cot_error *err)
{
    for (size_t i = 0; i < safetensors_count(p->file); i++) {
        const tensor *t = safetensors_at(p->file, i);
        if (p->taken[i] || strncmp(t->name, p->prefix, strlen(p->prefix)) != 0) continue;
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s is not of the architecture: these are other weights", p->where,
                        t->name);
    }
    return COT_OK;
}
