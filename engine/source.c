/* Loading by name (source.h). Matrices go from the mapped file to the device without a copy between, whatever can be read
 * there as floats; other copies live only until the device has them.
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

/* Whether all are finite. In blocks that a compiler turns into vectors: a whole model passes here at each start. */
static bool all_finite(const float *v, size_t n)
{
    enum { BLOCK = 64 };
    const uint32_t exponent = 0x7f800000u;
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        uint32_t bits[BLOCK], bad = 0;
        memcpy(bits, v + i, sizeof bits);
        for (size_t k = 0; k < BLOCK; k++) bad |= (bits[k] & exponent) == exponent;
        if (bad) return false;
    }
    for (; i < n; i++)
        if (!isfinite(v[i])) return false;
    return true;
}

static cot_status check_finite(const float *v, const weight_source *s, const tensor *t, cot_error *err)
{
    if (all_finite(v, t->count)) return COT_OK;
    return cot_fail(err, COT_E_MODEL,
                    "%s: tensor %s holds a value that is not finite: its training diverged, or the file is damaged",
                    s->where, t->name);
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
    else {
        tensor_floats(*out, t);
        safetensors_release(s->file, t);
        status = check_finite(*out, s, t, err);
    }
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

cot_status source_linear_back(cot_weights **to, cot_device *device, const weight_source *s, const char *name,
                              size_t out_features, size_t in_features, cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    float *w = NULL, *turned = NULL;
    snprintf(full, sizeof full, "%s.weight", name);
    COT_TRY(source_floats(&w, s, full, (const size_t[]){out_features, in_features}, 2, err));
    turned = calloc(out_features * in_features + 1, sizeof *turned);
    if (!turned) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for %s the other way", s->where, name);
        goto done;
    }
    for (size_t o = 0; o < out_features; o++)
        for (size_t i = 0; i < in_features; i++) turned[i * out_features + o] = w[o * in_features + i];
    COT_TRY(cot_linear_prepare(to, device, turned, NULL, in_features, out_features, err));
done:
    free(w);
    free(turned);
    return status;
}

/* A tensor's values where they lie in the file, or, when they cannot be read there as floats, a copy. */
typedef struct float_view {
    const weight_source *source;
    const tensor *t;
    const float *values;
    float *copy; /* NULL: values are the file's */
} float_view;

static cot_status view_open(float_view *view, const weight_source *s, const char *name, const char *part,
                            const size_t *shape, size_t rank, cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    snprintf(full, sizeof full, "%s.%s", name, part);
    view->source = s;
    COT_TRY(source_tensor(&view->t, s, full, shape, rank, err));
    if (view->t->type == TENSOR_F32 && (uintptr_t)view->t->data % _Alignof(float) == 0) {
        view->values = (const float *)(const void *)view->t->data;
        COT_TRY(check_finite(view->values, s, view->t, err));
    } else {
        COT_TRY(source_floats(&view->copy, s, full, shape, rank, err));
        view->values = view->copy;
    }
done:
    return status;
}

static void view_close(float_view *view)
{
    if (view->t) safetensors_release(view->source->file, view->t);
    free(view->copy);
}

enum { PARTS_MOST = 4 };

static cot_status load_stacked(cot_weights **out, cot_device *device, const weight_source *s, const char *const *names,
                               size_t n, size_t out_features, size_t in_features, bool bias, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t shape[] = {out_features, in_features};
    float_view w[PARTS_MOST] = {{0}}, b[PARTS_MOST] = {{0}};
    cot_linear_part parts[PARTS_MOST];
    if (n > PARTS_MOST) return cot_fail(err, COT_E_BUG, "%s: %zu layers stacked", s->where, n);
    for (size_t i = 0; i < n; i++) {
        COT_TRY(view_open(&w[i], s, names[i], "weight", shape, 2, err));
        if (bias) COT_TRY(view_open(&b[i], s, names[i], "bias", shape, 1, err));
        parts[i] = (cot_linear_part){w[i].values, b[i].values, out_features};
    }
    COT_TRY(cot_linear_prepare_stacked(out, device, parts, n, in_features, err));
done:
    for (size_t i = 0; i < n; i++) {
        view_close(&w[i]);
        view_close(&b[i]);
    }
    return status;
}

cot_status source_linear(cot_weights **out, cot_device *device, const weight_source *s, const char *name,
                         size_t out_features, size_t in_features, bool bias, cot_error *err)
{
    return load_stacked(out, device, s, &name, 1, out_features, in_features, bias, err);
}

cot_status source_stacked(cot_weights **out, cot_device *device, const weight_source *s, const char *const *names,
                          size_t n, size_t out_features, size_t in_features, cot_error *err)
{
    return load_stacked(out, device, s, names, n, out_features, in_features, true, err);
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
