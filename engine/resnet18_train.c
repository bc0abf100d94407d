/* ResNet-18 in training (He et al. 2016, as in torchvision), channels-last.
 *     stem   x = maxpool(relu(norm(conv7x7/2(image))))
 *     block  x = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)),  shortcut = identity or norm(conv1x1/2)
 *     pool   feature = mean of x over the pixels
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/resnet18_train.h"

enum { POOL_KERNEL = 3, POOL_STRIDE = 2, POOL_PAD = 1 };
static const float norm_eps = 1e-5f, norm_momentum = 0.1f; /* torch.nn.BatchNorm2d's defaults */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}
static size_t side_of(const conv_train *c)
{
    return cot_conv_out(c->shape.in_h, c->shape.kernel, c->shape.stride, c->shape.pad);
}
static size_t pixels_of(const conv_train *c)
{
    return side_of(c) * side_of(c);
}
static size_t floats_of(const conv_train *c)
{
    return pixels_of(c) * c->shape.out_c;
}

/* ---- parameters ---- */
static cot_status norm_parameter(parameter **out, parameters *table, const conv_spec *spec, const char *part,
                                 parameter_kind kind, parameter_init init, cot_error *err)
{
    char name[PARAMETER_NAME_MAX];
    snprintf(name, sizeof name, "%s.%s", spec->norm, part);
    const parameter_spec p = {.name = name, .rank = 1, .shape = {spec->out_c}, .kind = kind, .init = init};
    return parameters_add(out, table, &p, err);
}

static cot_status conv_train_init(conv_train *c, parameters *table, const conv_spec *spec, size_t side, cot_error *err)
{
    cot_status status = COT_OK;
    char name[PARAMETER_NAME_MAX];
    const size_t k = spec->kernel;
    c->shape = (cot_conv_shape){spec->in_c, spec->out_c, k, spec->stride, spec->pad, side, side};
    snprintf(name, sizeof name, "%s.weight", spec->conv);
    const parameter_spec weight = {.name = name,
                                   .rank = 4,
                                   .shape = {spec->out_c, spec->in_c == 1 ? STEM_CHANNELS : spec->in_c, k, k},
                                   .channels_last = true,
                                   .init = INIT_KAIMING_FAN_OUT,
                                   .fan_in = spec->in_c * k * k,
                                   .fan_out = spec->out_c * k * k};
    COT_TRY(parameters_add(&c->weight, table, &weight, err));
    COT_TRY(norm_parameter(&c->gamma, table, spec, "weight", PARAMETER_TRAINED, INIT_ONES, err));
    COT_TRY(norm_parameter(&c->beta, table, spec, "bias", PARAMETER_TRAINED, INIT_ZEROS, err));
    COT_TRY(norm_parameter(&c->mean, table, spec, "running_mean", PARAMETER_STATE, INIT_ZEROS, err));
    COT_TRY(norm_parameter(&c->variance, table, spec, "running_var", PARAMETER_STATE, INIT_ONES, err));
done:
    return status;
}

static cot_status block_train_init(block_train *b, const conv_spec **spec, size_t *side, parameters *table,
                                   cot_error *err)
{
    cot_status status = COT_OK;
    const size_t in = *side;
    COT_TRY(conv_train_init(&b->conv1, table, (*spec)++, in, err));
    *side = side_of(&b->conv1);
    COT_TRY(conv_train_init(&b->conv2, table, (*spec)++, *side, err));
    b->downsamples = b->conv1.shape.stride != 1;
    if (b->downsamples) COT_TRY(conv_train_init(&b->downsample, table, (*spec)++, in, err));
done:
    return status;
}

static cot_pool_shape pool_of(const resnet18_train *m, size_t n)
{
    return (cot_pool_shape){n, side_of(&m->stem), side_of(&m->stem), POOL_KERNEL, POOL_STRIDE, POOL_PAD};
}

cot_status resnet18_train_init(resnet18_train *m, parameters *table, size_t width, size_t size, cot_error *err)
{
    cot_status status = COT_OK;
    conv_spec specs[RESNET18_CONVS];
    const conv_spec *next = specs;
    if (width == 0 || width > 1024 || size < 8 || size > 4096)
        return cot_fail(err, COT_E_CONFIG,
                        "ResNet-18 of width %zu for pictures of %zu: widths are 1 to 1024, sides 8 to 4096", width,
                        size);
    resnet18_convs(specs, width);
    m->size = size;
    m->features = resnet18_features(width);
    COT_TRY(conv_train_init(&m->stem, table, next++, size, err));
    size_t side = cot_conv_out(side_of(&m->stem), POOL_KERNEL, POOL_STRIDE, POOL_PAD);
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) COT_TRY(block_train_init(&m->block[i], &next, &side, table, err));
done:
    return status;
}

/* ---- plan ---- */
static cot_status conv_train_plan(conv_train *c, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(cot_arena_reserve(arena, &c->raw, floats_of(c) * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &c->saved, 2 * c->shape.out_c, err));
done:
    return status;
}

static cot_status block_train_plan(block_train *b, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(conv_train_plan(&b->conv1, arena, max_batch, err));
    COT_TRY(conv_train_plan(&b->conv2, arena, max_batch, err));
    if (b->downsamples) COT_TRY(conv_train_plan(&b->downsample, arena, max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &b->mid, floats_of(&b->conv1) * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &b->out, floats_of(&b->conv2) * max_batch, err));
done:
    return status;
}

static cot_status stem_plan(resnet18_train *m, cot_arena *arena, size_t max_batch, size_t pooled, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_conv_shape *s = &m->stem.shape;
    const size_t weights = s->out_c * s->kernel * s->kernel;
    COT_TRY(conv_train_plan(&m->stem, arena, max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &m->ones, STEM_CHANNELS, err));
    COT_TRY(cot_arena_reserve(arena, &m->stem_weight, weights, err));
    COT_TRY(cot_arena_reserve(arena, &m->stem_grad, weights, err));
    COT_TRY(cot_arena_reserve(arena, &m->pooled, pooled * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &m->peak, pooled * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &m->where, pooled * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &m->dstem, floats_of(&m->stem) * max_batch, err));
    m->ready = false;
done:
    return status;
}

cot_status resnet18_train_plan(resnet18_train *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_pool_shape pool = pool_of(m, 1);
    const size_t pooled_side = cot_conv_out(pool.h, pool.kernel, pool.stride, pool.pad);
    const size_t pooled = pooled_side * pooled_side * m->stem.shape.out_c;
    size_t most = pooled, side = 0;
    m->max_batch = max_batch;
    COT_TRY(stem_plan(m, arena, max_batch, pooled, err));
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) {
        COT_TRY(block_train_plan(&m->block[i], arena, max_batch, err));
        most = larger(most, floats_of(&m->block[i].conv1));
        if (m->block[i].downsamples) side = larger(side, floats_of(&m->block[i].downsample));
    }
    COT_TRY(cot_arena_reserve(arena, &m->side, side * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &m->top, floats_of(&m->block[RESNET18_BLOCKS - 1].conv2) * max_batch, err));
    for (size_t i = 0; i < 3; i++) COT_TRY(cot_arena_reserve(arena, &m->work[i], most * max_batch, err));
done:
    return status;
}

/* ---- convolution and norm ---- */
static cot_norm norm_of(const conv_train *c, bool train)
{
    return (cot_norm){c->shape.out_c, c->gamma->value, c->beta->value, c->mean->value, c->variance->value,
                      c->saved,       norm_eps,        norm_momentum,  train};
}

/* y = norm(conv(x)) (+ residual), ReLU if asked */
static cot_status conv_norm_forward(cot_buffer *y, const conv_train *c, const cot_buffer *x, size_t n,
                                    const cot_buffer *residual, bool relu, bool train, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_norm norm = norm_of(c, train);
    COT_TRY(cot_conv_plain_forward(c->raw, x, c->weight->value, &c->shape, n, err));
    COT_TRY(cot_norm_forward(y, &norm, c->raw, residual, relu, n * pixels_of(c), err));
done:
    return status;
}

/* `draw`, the gradient of raw, is written; y as cot_norm_backward wants it; dx is added to or written. */
static cot_status conv_norm_backward(cot_buffer *dx, bool add, cot_buffer *draw, const conv_train *c, cot_buffer *dy,
                                     const cot_buffer *y, const cot_buffer *x, size_t n, bool relu, bool train,
                                     cot_error *err)
{
    cot_status status = COT_OK;
    const cot_norm norm = norm_of(c, train);
    COT_TRY(cot_norm_backward(draw, c->gamma->grad, c->beta->grad, dy, y, &norm, c->raw, relu, n * pixels_of(c), err));
    COT_TRY(cot_conv_weights_backward(c->weight->grad, draw, x, &c->shape, n, err));
    COT_TRY(cot_conv_input_backward(dx, draw, c->weight->value, &c->shape, n, add, err));
done:
    return status;
}

/* ---- stem ---- */
static cot_status stem_forward(resnet18_train *m, const cot_buffer *image, size_t n, bool train, cot_error *err)
{
    cot_status status = COT_OK;
    static const float one[STEM_CHANNELS] = {1, 1, 1};
    const conv_train *c = &m->stem;
    const cot_norm norm = norm_of(c, train);
    const cot_pool_shape pool = pool_of(m, n);
    const size_t weights = c->shape.out_c * c->shape.kernel * c->shape.kernel;
    if (!m->ready) COT_TRY(cot_buffer_write(m->ones, 0, one, STEM_CHANNELS, err));
    m->ready = true;
    COT_TRY(cot_matmul(m->stem_weight, c->weight->value, false, m->ones, false, weights, 1, STEM_CHANNELS, false, err));
    COT_TRY(cot_conv_plain_forward(c->raw, image, m->stem_weight, &c->shape, n, err));
    COT_TRY(cot_norm_relu_pool_forward(m->pooled, m->peak, m->where, &norm, c->raw, &pool, err));
done:
    return status;
}

static cot_status stem_backward(resnet18_train *m, cot_buffer *dpooled, const cot_buffer *image, size_t n, bool train,
                                cot_error *err)
{
    cot_status status = COT_OK;
    const conv_train *c = &m->stem;
    const cot_norm norm = norm_of(c, train);
    const cot_pool_shape pool = pool_of(m, n);
    const size_t weights = c->shape.out_c * c->shape.kernel * c->shape.kernel;
    COT_TRY(cot_norm_relu_pool_backward(m->dstem, c->gamma->grad, c->beta->grad, dpooled, m->pooled, m->peak, m->where,
                                        &norm, c->raw, &pool, err));
    COT_TRY(cot_buffer_zero(m->stem_grad, err));
    COT_TRY(cot_conv_weights_backward(m->stem_grad, m->dstem, image, &c->shape, n, err));
    COT_TRY(cot_matmul(c->weight->grad, m->stem_grad, false, m->ones, false, weights, STEM_CHANNELS, 1, true, err));
done:
    return status;
}

/* ---- blocks ---- */
/* out = relu(norm(conv2(mid)) + shortcut(x)), mid = relu(norm(conv1(x))) */
static cot_status block_forward(const block_train *b, cot_buffer *side, const cot_buffer *x, size_t n, bool train,
                                cot_error *err)
{
    cot_status status = COT_OK;
    if (b->downsamples) COT_TRY(conv_norm_forward(side, &b->downsample, x, n, NULL, false, train, err));
    COT_TRY(conv_norm_forward(b->mid, &b->conv1, x, n, NULL, true, train, err));
    COT_TRY(conv_norm_forward(b->out, &b->conv2, b->mid, n, b->downsamples ? side : x, true, train, err));
done:
    return status;
}

/* *g: the gradient of out, which becomes that of x; free[]: two buffers, of which one may become *g and *g one of them. */
static cot_status block_backward(const block_train *b, cot_buffer **g, cot_buffer **free, const cot_buffer *x, size_t n,
                                 bool train, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *const dout = *g, *const draw = free[0], *const dmid = free[1];
    COT_TRY(conv_norm_backward(dmid, false, draw, &b->conv2, dout, b->out, b->mid, n, true, train, err));
    /* dout is the shortcut's gradient now */
    if (!b->downsamples) {
        COT_TRY(conv_norm_backward(dout, true, dmid, &b->conv1, dmid, NULL, x, n, true, train, err));
        goto done;
    }
    COT_TRY(conv_norm_backward(draw, false, dmid, &b->conv1, dmid, NULL, x, n, true, train, err));
    COT_TRY(conv_norm_backward(draw, true, dout, &b->downsample, dout, NULL, x, n, false, train, err));
    *g = draw;
    free[0] = dout;
done:
    return status;
}

/* ---- all ---- */
size_t resnet18_train_side(const resnet18_train *m)
{
    return side_of(&m->block[RESNET18_BLOCKS - 1].conv2);
}

const cot_buffer *resnet18_train_activation(const resnet18_train *m)
{
    return m->block[RESNET18_BLOCKS - 1].out;
}

cot_status resnet18_train_forward(cot_buffer *feature, resnet18_train *m, const cot_buffer *image, size_t n, bool train,
                                  cot_error *err)
{
    cot_status status = COT_OK;
    const cot_buffer *x = m->pooled;
    if (n > m->max_batch) return cot_fail(err, COT_E_BUG, "ResNet-18: %zu pictures, planned for %zu", n, m->max_batch);
    COT_TRY(stem_forward(m, image, n, train, err));
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) {
        COT_TRY(block_forward(&m->block[i], m->side, x, n, train, err));
        x = m->block[i].out;
    }
    COT_TRY(cot_mean_pool_forward(feature, x, n, pixels_of(&m->block[RESNET18_BLOCKS - 1].conv2), m->features, err));
    COT_TRY(cot_buffer_zero(m->top, err));
done:
    return status;
}

cot_status resnet18_train_backward(resnet18_train *m, const cot_buffer *dfeature, const cot_buffer *image, size_t n,
                                   bool train, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *g = m->top, *free[2] = {m->work[0], m->work[1]};
    COT_TRY(cot_mean_pool_backward(g, dfeature, n, pixels_of(&m->block[RESNET18_BLOCKS - 1].conv2), m->features, err));
    for (size_t i = RESNET18_BLOCKS; i-- > 0;) {
        const cot_buffer *x = i ? m->block[i - 1].out : m->pooled;
        COT_TRY(block_backward(&m->block[i], &g, free, x, n, train, err));
        if (free[0] == m->top) free[0] = m->work[2]; /* too small for the blocks below */
    }
    COT_TRY(stem_backward(m, g, image, n, train, err));
done:
    return status;
}
