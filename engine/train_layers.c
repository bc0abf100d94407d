/* The layers that training shares (train_layers.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/train_layers.h"

enum { PACKED_OUT_LEAST = 64 };      /* below it a product is not worth packing for */
static const float norm_eps = 1e-5f; /* torch.nn.LayerNorm's default */

cot_status parameter_named(parameter **out, parameters *table, const char *name, const char *part,
                           const parameter_spec *spec, cot_error *err)
{
    char full[PARAMETER_NAME_MAX];
    parameter_spec named = *spec;
    const int n = snprintf(full, sizeof full, "%s%s", name, part);
    if (n < 0 || (size_t)n >= sizeof full) return cot_fail(err, COT_E_BUG, "parameter %s%s: too long", name, part);
    named.name = full;
    return parameters_add(out, table, &named, err);
}

/* ---- linear layer: y = x · Wᵀ + b ---- */
cot_status linear_train_init(linear_train *m, parameters *table, const char *name, size_t out, size_t in, bool bias,
                             cot_error *err)
{
    cot_status status;
    const parameter_spec weight = {.rank = 2, .shape = {out, in}, .init = INIT_FAN_IN, .fan_in = in, .fan_out = out};
    const parameter_spec shift = {.rank = 1, .shape = {out}, .init = INIT_FAN_IN, .fan_in = in, .fan_out = out};
    m->out = out;
    m->in = in;
    m->bias = NULL;
    COT_TRY(parameter_named(&m->weight, table, name, ".weight", &weight, err));
    if (bias) COT_TRY(parameter_named(&m->bias, table, name, ".bias", &shift, err));
done:
    return status;
}

void linear_train_fini(linear_train *m)
{
    cot_weights_destroy(m->packed);
    m->packed = NULL;
}

cot_status linear_train_forward(cot_buffer *y, linear_train *m, const cot_buffer *x, size_t rows, cot_error *err)
{
    cot_status status;
    const cot_buffer *bias = m->bias ? m->bias->value : NULL;
    const uint64_t version = m->weight->version + (m->bias ? m->bias->version : 0);
    if (m->out < PACKED_OUT_LEAST)
        return cot_linear_plain_forward(y, x, m->weight->value, bias, rows, m->out, m->in, err);
    if (!m->packed || m->packed_version != version) {
        COT_TRY(cot_linear_pack(&m->packed, m->weight->value, bias, m->out, m->in, err));
        m->packed_version = version;
    }
    COT_TRY(cot_linear_forward(y, x, m->packed, rows, NULL, COT_ACT_NONE, err));
done:
    return status;
}

cot_status linear_train_backward(cot_buffer *dx, const linear_train *m, const cot_buffer *dy, const cot_buffer *x,
                                 size_t rows, cot_error *err)
{
    return cot_linear_backward(dx, m->weight->grad, m->bias ? m->bias->grad : NULL, dy, x, m->weight->value, rows,
                               m->out, m->in, err);
}

/* ---- layer norm and activation: y = act(norm(x)) ---- */
cot_status norm_train_init(norm_train *m, parameters *table, const char *name, size_t width, cot_error *err)
{
    cot_status status;
    const parameter_spec scale = {.rank = 1, .shape = {width}, .init = INIT_ONES};
    const parameter_spec shift = {.rank = 1, .shape = {width}, .init = INIT_ZEROS};
    m->width = width;
    COT_TRY(parameter_named(&m->scale, table, name, ".weight", &scale, err));
    COT_TRY(parameter_named(&m->shift, table, name, ".bias", &shift, err));
done:
    return status;
}

cot_status norm_train_forward(cot_buffer *y, const norm_train *m, const cot_buffer *x, size_t rows, cot_activation act,
                              cot_error *err)
{
    return cot_layer_norm_forward(y, x, m->scale->value, m->shift->value, rows, m->width, norm_eps, act, err);
}

cot_status norm_train_backward(cot_buffer *dx, const norm_train *m, cot_buffer *dy, const cot_buffer *y,
                               const cot_buffer *x, size_t rows, cot_activation act, float factor, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_buffer_zero(dx, err));
    COT_TRY(cot_activation_backward_from(dy, dy, y, rows * m->width, act, factor, err));
    COT_TRY(cot_layer_norm_backward(dx, m->scale->grad, m->shift->grad, dy, x, m->scale->value, rows, m->width,
                                    norm_eps, err));
done:
    return status;
}

/* ---- projection: y = dropout(ReLU(LayerNorm(W x + b))) ---- */
cot_status projection_train_init(projection_train *m, parameters *table, const char *name, size_t at, size_t out,
                                 size_t in, cot_error *err)
{
    cot_status status;
    char part[PARAMETER_NAME_MAX];
    snprintf(part, sizeof part, "%s.%zu", name, at);
    COT_TRY(linear_train_init(&m->linear, table, part, out, in, true, err));
    snprintf(part, sizeof part, "%s.%zu", name, at + 1);
    COT_TRY(norm_train_init(&m->norm, table, part, out, err));
done:
    return status;
}

void projection_train_fini(projection_train *m)
{
    linear_train_fini(&m->linear);
}

cot_status projection_train_forward(cot_buffer *y, cot_buffer *linear, projection_train *m, const cot_buffer *x,
                                    size_t rows, const cot_dropout *drop, cot_error *err)
{
    cot_status status;
    COT_TRY(linear_train_forward(linear, &m->linear, x, rows, err));
    COT_TRY(norm_train_forward(y, &m->norm, linear, rows, COT_ACT_RELU, err));
    if (drop->p > 0.0f) COT_TRY(cot_dropout_forward(y, y, rows * m->linear.out, drop, err));
done:
    return status;
}

cot_status projection_train_backward(cot_buffer *dx, cot_buffer *dlinear, const projection_train *m, cot_buffer *dy,
                                     const cot_buffer *y, const cot_buffer *linear, const cot_buffer *x, size_t rows,
                                     float p, cot_error *err)
{
    cot_status status;
    COT_TRY(norm_train_backward(dlinear, &m->norm, dy, y, linear, rows, COT_ACT_RELU, 1.0f / (1.0f - p), err));
    COT_TRY(linear_train_backward(dx, &m->linear, dlinear, x, rows, err));
done:
    return status;
}

void projection_train_idle(projection_train *m, bool idle)
{
    m->linear.weight->idle = m->linear.bias->idle = m->norm.scale->idle = m->norm.shift->idle = idle;
}
