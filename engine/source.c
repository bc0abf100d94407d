/* Loading by name (source.h). Host copies live only until the device has them, so that loading needs little beyond the
 * mapped file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const tensor *source_find(const weight_source *s, const char *name)
{
    char full[TENSOR_NAME_MAX];
    const int n = snprintf(full, sizeof full, "%s%s", s->prefix, name);
    return n > 0 && (size_t)n < sizeof full ? safetensors_find(s->file, full) : NULL;
}

cot_status source_tensor(const tensor **out, const weight_source *s, const char *name, const size_t *shape, size_t rank,
                         cot_error *err)
{
    char have[96], want[96];
    tensor_shape_text(want, sizeof want, shape, rank);
    const tensor *t = *out = source_find(s, name);
    if (!t)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s%s %s is missing: the file is of another model, or cut",
                        s->where, s->prefix, name, want);
    if (!tensor_is_float(t))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has type %s, a floating-point type is needed", s->where,
                        t->name, tensor_type_name(t->type));
    tensor_shape_text(have, sizeof have, t->shape, t->rank);
    if (t->rank != rank || memcmp(t->shape, shape, rank * sizeof *shape))
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s has shape %s, the model's sizes need %s: the file and its description are not "
                        "of one model",
                        s->where, t->name, have, want);
    return COT_OK;
}

/* Into `to`, which holds t->count. */
static cot_status copy_finite(float *to, const weight_source *s, const tensor *t, cot_error *err)
{
    tensor_floats(to, t);
    safetensors_release(s->file, t);
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(to[i]))
            return cot_fail(err, COT_E_MODEL,
                            "%s: tensor %s holds a value that is not finite: the training diverged; use another "
                            "model",
                            s->where, t->name);
    return COT_OK;
}

cot_status source_floats(float **out, const weight_source *s, const char *name, const size_t *shape, size_t rank,
                         cot_error *err)
{
    cot_status status;
    const tensor *t = NULL;
    *out = NULL;
    COT_TRY(source_tensor(&t, s, name, shape, rank, err));
    *out = calloc(t->count + 1, sizeof **out);
    if (!*out)
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for tensor %s", s->where, t->name);
    else
        status = copy_finite(*out, s, t, err);
done:
    if (status != COT_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

cot_status source_vector(cot_buffer **out, cot_device *device, const weight_source *s, const char *name, size_t n,
                         cot_error *err)
{
    cot_status status;
    float *v = NULL;
    COT_TRY(source_floats(&v, s, name, &n, 1, err));
    COT_TRY(cot_buffer_create(out, device, n, err));
    COT_TRY(cot_buffer_write(*out, 0, v, n, err));
done:
    free(v);
    return status;
}

cot_status source_linear(cot_weights **out, cot_device *device, const weight_source *s, const char *name,
                         size_t out_features, size_t in_features, bool bias, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    float *w = NULL, *b = NULL;
    const size_t shape[] = {out_features, in_features};
    snprintf(part, sizeof part, "%s.weight", name);
    COT_TRY(source_floats(&w, s, part, shape, 2, err));
    snprintf(part, sizeof part, "%s.bias", name);
    if (bias) COT_TRY(source_floats(&b, s, part, shape, 1, err));
    COT_TRY(cot_linear_prepare(out, device, w, b, out_features, in_features, err));
done:
    free(w);
    free(b);
    return status;
}

/* name.part of shape at `to`. */
static cot_status copy_part(float *to, const weight_source *s, const char *name, const char *part, const size_t *shape,
                            size_t rank, cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    const tensor *t = NULL;
    snprintf(full, sizeof full, "%s.%s", name, part);
    COT_TRY(source_tensor(&t, s, full, shape, rank, err));
    COT_TRY(copy_finite(to, s, t, err));
done:
    return status;
}

cot_status source_stacked(cot_weights **out, cot_device *device, const weight_source *s, const char *const *names,
                          size_t n, size_t out_features, size_t in_features, cot_error *err)
{
    cot_status status;
    const size_t shape[] = {out_features, in_features};
    size_t rows = 0, floats = 0;
    if (!cot_mul(&rows, n, out_features) || !cot_mul(&floats, rows, in_features))
        return cot_fail(err, COT_E_MODEL, "%s: %s is too large", s->where, names[0]);
    float *w = calloc(floats + 1, sizeof *w), *b = calloc(rows + 1, sizeof *b);
    if (!w || !b) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for %s", s->where, names[0]);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        COT_TRY(copy_part(w + i * out_features * in_features, s, names[i], "weight", shape, 2, err));
        COT_TRY(copy_part(b + i * out_features, s, names[i], "bias", shape, 1, err));
    }
    COT_TRY(cot_linear_prepare(out, device, w, b, rows, in_features, err));
done:
    free(w);
    free(b);
    return status;
}

/* ---- layer norm ---- */
cot_status norm_init(norm_layer *m, cot_device *device, const weight_source *s, const char *name, size_t width,
                     float eps, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    m->width = width;
    m->eps = eps;
    snprintf(part, sizeof part, "%s.weight", name);
    COT_TRY(source_vector(&m->scale, device, s, part, width, err));
    snprintf(part, sizeof part, "%s.bias", name);
    COT_TRY(source_vector(&m->shift, device, s, part, width, err));
done:
    return status;
}

void norm_fini(norm_layer *m)
{
    cot_buffer_destroy(m->scale);
    cot_buffer_destroy(m->shift);
}

cot_status norm_forward(cot_buffer *y, const norm_layer *m, const cot_buffer *x, size_t rows, cot_activation act,
                        cot_error *err)
{
    return cot_layer_norm_forward(y, x, m->scale, m->shift, rows, m->width, m->eps, act, err);
}
