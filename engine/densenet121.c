/* DenseNet (Huang et al. 2017, as in torchvision; DenseNet-121 by its sizes) on grey images, channels-last.
 *     stem        x = maxpool(relu(norm(conv7x7/2(image))))
 *     layer       x = x | conv3x3(relu(norm(conv1x1(relu(norm(x))))))
 *     transition  x = avgpool2x2(conv1x1(relu(norm(x)))), computed as conv1x1(avgpool2x2(...)): both are linear, and the
 *                 convolution then has a quarter of the pixels
 *     pool        feature = mean of relu(norm(x)) over the pixels
 * A norm before a convolution cannot be folded into it, since a block's channels are read through many norms: each layer
 * reads a normalised copy. The norm between the two convolutions is folded into the first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <stdlib.h>

enum { POOL_KERNEL = 3, POOL_STRIDE = 2, POOL_PAD = 1, SHRINK = 2 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}
static cot_slice rows_of(size_t channels)
{
    return (cot_slice){channels, 0};
}
static size_t pooled_side(const densenet *m)
{
    return cot_conv_out(conv_out_h(&m->stem), POOL_KERNEL, POOL_STRIDE, POOL_PAD);
}

/* ---- load ---- */
static cot_status layer_init(dense_layer *l, const densenet_shape *s, size_t block, size_t i, size_t side,
                             cot_device *device, const cot_package *package, cot_error *err)
{
    cot_status status;
    char norm1[96];
    const size_t channels = densenet_channels(s, block) + i * s->growth;
    conv_spec squeeze = {.in_c = channels, .out_c = s->bottleneck, .kernel = 1, .stride = 1, .pad = 0};
    conv_spec grow = {.in_c = s->bottleneck, .out_c = s->growth, .kernel = 3, .stride = 1, .pad = 1};
    static const char name[] = CNN_PREFIX "features.denseblock%zu.denselayer%zu.%s";
    snprintf(norm1, sizeof norm1, name, block + 1, i + 1, "norm1");
    snprintf(squeeze.conv, sizeof squeeze.conv, name, block + 1, i + 1, "conv1");
    snprintf(squeeze.norm, sizeof squeeze.norm, name, block + 1, i + 1, "norm2");
    snprintf(grow.conv, sizeof grow.conv, name, block + 1, i + 1, "conv2");
    COT_TRY(batch_norm_init(&l->norm1, device, package, norm1, channels, err));
    COT_TRY(conv_init(&l->conv1, device, package, &squeeze, side, side, err));
    COT_TRY(conv_init(&l->conv2, device, package, &grow, side, side, err));
done:
    return status;
}

/* The norm behind a block and, unless it is the last, the transition to the next. */
static cot_status end_init(dense_block *b, size_t block, bool last, cot_device *device, const cot_package *package,
                           cot_error *err)
{
    cot_status status;
    char norm[96] = CNN_PREFIX "features.norm5";
    const size_t channels = b->whole.apart;
    conv_spec halve = {.in_c = channels, .out_c = channels / 2, .kernel = 1, .stride = 1, .pad = 0};
    if (!last) snprintf(norm, sizeof norm, CNN_PREFIX "features.transition%zu.norm", block + 1);
    snprintf(halve.conv, sizeof halve.conv, CNN_PREFIX "features.transition%zu.conv", block + 1);
    COT_TRY(batch_norm_init(&b->norm, device, package, norm, channels, err));
    if (!last) COT_TRY(conv_init(&b->transition, device, package, &halve, b->side / SHRINK, b->side / SHRINK, err));
done:
    return status;
}

static cot_status block_init(densenet *m, size_t block, size_t side, cot_device *device, const cot_package *package,
                             cot_error *err)
{
    cot_status status = COT_OK;
    dense_block *b = &m->block[block];
    const densenet_shape *s = &m->shape;
    const bool last = block + 1 == s->n_blocks;
    b->side = side;
    b->channels = densenet_channels(s, block);
    b->whole = rows_of(b->channels + s->layers[block] * s->growth);
    b->layer = calloc(s->layers[block], sizeof *b->layer);
    if (!b->layer) return cot_fail(err, COT_E_MEMORY, "model: no memory for a block of %zu layers", s->layers[block]);
    b->n_layers = s->layers[block];
    if (!last && side < SHRINK)
        return cot_fail(err, COT_E_MODEL, "model: an image of %zux%zu has no pixels left behind block %zu of %zu",
                        m->size, m->size, block + 1, s->n_blocks);
    for (size_t i = 0; i < b->n_layers; i++) COT_TRY(layer_init(&b->layer[i], s, block, i, side, device, package, err));
    COT_TRY(end_init(b, block, last, device, package, err));
done:
    return status;
}

cot_status densenet_init(densenet *m, cot_device *device, const cot_package *package, cot_error *err)
{
    cot_status status;
    const model_card *card = package_card(package);
    const conv_spec stem = {.conv = CNN_PREFIX "features.conv0",
                            .norm = CNN_PREFIX "features.norm0",
                            .in_c = 1,
                            .out_c = card->arch.densenet.init,
                            .kernel = 7,
                            .stride = 2,
                            .pad = 3};
    m->shape = card->arch.densenet;
    m->size = card->size;
    m->features = densenet_features(&m->shape);
    COT_TRY(conv_init(&m->stem, device, package, &stem, m->size, m->size, err));
    size_t side = pooled_side(m);
    for (size_t b = 0; b < m->shape.n_blocks; b++, side /= SHRINK)
        COT_TRY(block_init(m, b, side, device, package, err));
done:
    return status;
}

void densenet_fini(densenet *m)
{
    conv_fini(&m->stem);
    for (size_t i = 0; i < DENSENET_BLOCKS_MAX; i++) {
        dense_block *b = &m->block[i];
        for (size_t k = 0; k < b->n_layers; k++) {
            batch_norm_fini(&b->layer[k].norm1);
            conv_fini(&b->layer[k].conv1);
            conv_fini(&b->layer[k].conv2);
        }
        free(b->layer);
        b->layer = NULL;
        b->n_layers = 0;
        batch_norm_fini(&b->norm);
        conv_fini(&b->transition);
    }
}

conv_layer *densenet_conv(densenet *m, size_t i)
{
    if (i-- == 0) return &m->stem;
    for (size_t b = 0; b < m->shape.n_blocks; b++) {
        if (i < 2 * m->block[b].n_layers)
            return i % 2 ? &m->block[b].layer[i / 2].conv2 : &m->block[b].layer[i / 2].conv1;
        i -= 2 * m->block[b].n_layers;
        if (b + 1 < m->shape.n_blocks && i-- == 0) return &m->block[b].transition;
    }
    return NULL;
}

/* ---- plan ---- */
cot_status densenet_plan(densenet *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    densenet_acts *a = &m->acts;
    const size_t pooled = pooled_side(m) * pooled_side(m) * m->shape.init;
    size_t block = 0, normed = conv_out_floats(&m->stem), squeezed = pooled, scratch = 0, room = 0;
    for (size_t i = 0; i < m->shape.n_blocks; i++) {
        const dense_block *b = &m->block[i];
        block = larger(block, b->side * b->side * b->whole.apart);
        squeezed = larger(squeezed, b->side * b->side * m->shape.bottleneck);
    }
    normed = larger(normed, block);
    for (size_t i = 0; densenet_conv(m, i); i++) {
        scratch = larger(scratch, cot_conv_scratch(densenet_conv(m, i)->weights, max_batch));
        room = larger(room, cot_conv_room(densenet_conv(m, i)->weights, max_batch));
    }
    COT_TRY(cot_arena_reserve(arena, &a->now, block * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->next, block * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->normed, normed * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->squeezed, squeezed * max_batch, err));
    if (scratch) COT_TRY(cot_arena_reserve(arena, &a->scratch, scratch, err));
    if (room) COT_TRY(cot_arena_reserve(arena, &a->room, room, err));
    for (size_t i = 0; densenet_conv(m, i); i++) densenet_conv(m, i)->scratch = a->scratch;
done:
    return status;
}

/* ---- forward ---- */
/* x [n,side,side,channels so far] in `now` gets conv2(relu(norm2(conv1(relu(norm1(x)))))) behind it. */
static cot_status layer_forward(const dense_layer *l, const dense_block *b, const densenet_acts *a, size_t n,
                                cot_error *err)
{
    cot_status status;
    const size_t channels = l->norm1.channels;
    const cot_slice to = {b->whole.apart, channels};
    COT_TRY(cot_norm_pool_forward(a->normed, rows_of(channels), a->now, b->whole, l->norm1.scale, l->norm1.shift, n,
                                  b->side, b->side, channels, 1, COT_ACT_RELU, err));
    COT_TRY(conv_forward(a->squeezed, &l->conv1, a->normed, n, NULL, COT_ACT_RELU, err));
    COT_TRY(
        cot_conv_forward_into(a->now, to, a->squeezed, l->conv2.weights, n, COT_ACT_NONE, a->scratch, a->room, err));
done:
    return status;
}

/* Into the first channels of the next block; they swap places. */
static cot_status transition_forward(const dense_block *b, const dense_block *next, densenet_acts *a, size_t n,
                                     cot_error *err)
{
    cot_status status;
    const size_t channels = b->whole.apart;
    COT_TRY(cot_norm_pool_forward(a->normed, b->whole, a->now, b->whole, b->norm.scale, b->norm.shift, n, b->side,
                                  b->side, channels, SHRINK, COT_ACT_RELU, err));
    COT_TRY(cot_conv_forward_into(a->next, next->whole, a->normed, b->transition.weights, n, COT_ACT_NONE, a->scratch,
                                  a->room, err));
    cot_buffer *const t = a->now;
    a->now = a->next;
    a->next = t;
done:
    return status;
}

static cot_status stem_forward(densenet *m, const cot_buffer *image, size_t n, cot_error *err)
{
    cot_status status;
    const densenet_acts *a = &m->acts;
    const dense_block *first = &m->block[0];
    const size_t channels = m->shape.init;
    COT_TRY(conv_forward(a->normed, &m->stem, image, n, NULL, COT_ACT_RELU, err));
    COT_TRY(cot_max_pool_forward(a->squeezed, a->normed, n, conv_out_h(&m->stem), conv_out_w(&m->stem), channels,
                                 POOL_KERNEL, POOL_STRIDE, POOL_PAD, err));
    COT_TRY(cot_norm_pool_forward(a->now, first->whole, a->squeezed, rows_of(channels), NULL, NULL, n, first->side,
                                  first->side, channels, 1, COT_ACT_NONE, err));
done:
    return status;
}

cot_status densenet_forward(cot_buffer *feature, densenet *m, const cot_buffer *image, size_t n, cot_error *err)
{
    cot_status status;
    densenet_acts *a = &m->acts;
    const dense_block *last = &m->block[m->shape.n_blocks - 1];
    COT_TRY(stem_forward(m, image, n, err));
    for (size_t i = 0; i < m->shape.n_blocks; i++) {
        const dense_block *b = &m->block[i];
        for (size_t k = 0; k < b->n_layers; k++) COT_TRY(layer_forward(&b->layer[k], b, a, n, err));
        if (b != last) COT_TRY(transition_forward(b, b + 1, a, n, err));
    }
    COT_TRY(cot_norm_pool_forward(feature, last->whole, a->now, last->whole, last->norm.scale, last->norm.shift, n,
                                  last->side, last->side, m->features, last->side, COT_ACT_RELU, err));
done:
    return status;
}

cot_status densenet_last(const cot_buffer **out, const densenet *m, size_t n, cot_error *err)
{
    const densenet_acts *a = &m->acts;
    const dense_block *last = &m->block[m->shape.n_blocks - 1];
    *out = a->normed;
    return cot_norm_pool_forward(a->normed, rows_of(m->features), a->now, last->whole, last->norm.scale,
                                 last->norm.shift, n, last->side, last->side, m->features, 1, COT_ACT_RELU, err);
}
