/* ResNet-18 (He et al. 2016, as in torchvision) on grey images, channels-last, batch norm folded into the convolutions.
 *     stem   x = maxpool(relu(norm(conv7x7/2(image))))
 *     block  x = relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)),  shortcut = identity or norm(conv1x1/2)
 *     pool   feature = mean of x over the pixels
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

enum { POOL_KERNEL = 3, POOL_STRIDE = 2, POOL_PAD = 1 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}
static size_t pooled_side(const resnet18 *m)
{
    return cot_conv_out(conv_out_h(&m->stem), POOL_KERNEL, POOL_STRIDE, POOL_PAD);
}

/* ---- load ---- */
static cot_status block_init(basic_block *b, const conv_spec **spec, size_t *side, cot_device *device,
                             const cot_package *package, cot_error *err)
{
    cot_status status;
    const size_t in = *side;
    COT_TRY(conv_init(&b->conv1, device, package, (*spec)++, in, in, err));
    *side = conv_out_h(&b->conv1);
    COT_TRY(conv_init(&b->conv2, device, package, (*spec)++, *side, *side, err));
    b->downsamples = b->conv1.shape.stride != 1;
    if (b->downsamples) COT_TRY(conv_init(&b->downsample, device, package, (*spec)++, in, in, err));
done:
    return status;
}

cot_status resnet18_init(resnet18 *m, cot_device *device, const cot_package *package, cot_error *err)
{
    cot_status status;
    const model_card *card = package_card(package);
    conv_spec specs[RESNET18_CONVS];
    const conv_spec *next = specs;
    resnet18_convs(specs, card->arch.width);
    m->size = card->size;
    m->features = resnet18_features(card->arch.width);
    COT_TRY(conv_init(&m->stem, device, package, next++, m->size, m->size, err));
    size_t side = pooled_side(m);
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) COT_TRY(block_init(&m->block[i], &next, &side, device, package, err));
done:
    return status;
}

conv_layer *resnet18_conv(resnet18 *m, size_t i)
{
    if (i-- == 0) return &m->stem;
    for (size_t b = 0; b < RESNET18_BLOCKS; b++) {
        if (i-- == 0) return &m->block[b].conv1;
        if (i-- == 0) return &m->block[b].conv2;
        if (m->block[b].downsamples && i-- == 0) return &m->block[b].downsample;
    }
    return NULL;
}

void resnet18_fini(resnet18 *m)
{
    conv_fini(&m->stem);
    for (size_t b = 0; b < RESNET18_BLOCKS; b++) {
        conv_fini(&m->block[b].conv1);
        conv_fini(&m->block[b].conv2);
        conv_fini(&m->block[b].downsample);
    }
}

/* ---- plan ---- */
cot_status resnet18_plan(resnet18 *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    cot_status status;
    resnet18_acts *a = &m->acts;
    const size_t pooled = pooled_side(m);
    size_t mid = conv_out_floats(&m->stem), swap = pooled * pooled * m->stem.shape.out_c, side = 0, scratch = 0;
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) {
        mid = larger(mid, conv_out_floats(&m->block[i].conv1));
        swap = larger(swap, conv_out_floats(&m->block[i].conv2));
        if (m->block[i].downsamples) side = larger(side, conv_out_floats(&m->block[i].downsample));
    }
    for (size_t i = 0; resnet18_conv(m, i); i++)
        scratch = larger(scratch, cot_conv_scratch(resnet18_conv(m, i)->weights, max_batch));
    COT_TRY(cot_arena_reserve(arena, &a->in, swap * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->mid, mid * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->side, side * max_batch, err));
    COT_TRY(cot_arena_reserve(arena, &a->out, swap * max_batch, err));
    if (scratch) COT_TRY(cot_arena_reserve(arena, &a->scratch, scratch, err));
    for (size_t i = 0; resnet18_conv(m, i); i++) resnet18_conv(m, i)->scratch = a->scratch;
done:
    return status;
}

/* ---- forward ---- */
/* y = relu(conv2(relu(conv1(x))) + shortcut(x)) */
static cot_status block_forward(cot_buffer *y, const basic_block *b, const resnet18_acts *a, const cot_buffer *x,
                                size_t n, cot_error *err)
{
    cot_status status;
    const cot_buffer *shortcut = x;
    if (b->downsamples) {
        COT_TRY(conv_forward(a->side, &b->downsample, x, n, NULL, COT_ACT_NONE, err));
        shortcut = a->side;
    }
    COT_TRY(conv_forward(a->mid, &b->conv1, x, n, NULL, COT_ACT_RELU, err));
    COT_TRY(conv_forward(y, &b->conv2, a->mid, n, shortcut, COT_ACT_RELU, err));
done:
    return status;
}

cot_status resnet18_forward(cot_buffer *feature, resnet18 *m, const cot_buffer *image, size_t n, cot_error *err)
{
    cot_status status;
    const resnet18_acts *a = &m->acts;
    cot_buffer *x = a->in, *y = a->out;
    COT_TRY(conv_forward(a->mid, &m->stem, image, n, NULL, COT_ACT_RELU, err));
    COT_TRY(cot_max_pool_forward(x, a->mid, n, conv_out_h(&m->stem), conv_out_w(&m->stem), m->stem.shape.out_c,
                                 POOL_KERNEL, POOL_STRIDE, POOL_PAD, err));
    for (size_t i = 0; i < RESNET18_BLOCKS; i++) {
        COT_TRY(block_forward(y, &m->block[i], a, x, n, err));
        cot_buffer *const t = x;
        x = y;
        y = t;
    }
    const conv_layer *last = &m->block[RESNET18_BLOCKS - 1].conv2;
    COT_TRY(cot_mean_pool_forward(feature, x, n, conv_out_h(last) * conv_out_w(last), m->features, err));
done:
    return status;
}

const cot_buffer *resnet18_last(const resnet18 *m, size_t *side)
{
    *side = conv_out_h(&m->block[RESNET18_BLOCKS - 1].conv2);
    return RESNET18_BLOCKS % 2 ? m->acts.out : m->acts.in;
}
