/* The tensors of a DenseNet (Huang et al. 2017) as torchvision names them, in state-dict order: the stem, blocks of layers
 * that each add `growth` channels, transitions that halve channels between blocks, a last norm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/architecture.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct writer {
    tensor_spec *to; /* NULL: only counts */
    size_t n;
} writer;

static void add(writer *w, const char *name, const char *part, size_t rank, size_t out_c, size_t in_c, size_t kernel)
{
    if (w->to) {
        tensor_spec *t = &w->to[w->n];
        *t = (tensor_spec){.rank = rank, .shape = {out_c, in_c, kernel, kernel}};
        snprintf(t->name, sizeof t->name, CNN_PREFIX "features.%.60s.%.16s", name, part);
    }
    w->n++;
}

COT_PRINTF(3, 4) static void add_norm(writer *w, size_t channels, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (size_t i = 0; i < BATCH_NORM_PARTS; i++) add(w, name, batch_norm_parts[i], 1, channels, 0, 0);
}

COT_PRINTF(5, 6)
static void add_conv(writer *w, size_t out_c, size_t in_c, size_t kernel, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    add(w, name, "weight", 4, out_c, in_c, kernel);
}

static void add_layer(writer *w, const densenet_shape *s, size_t block, size_t layer, size_t channels)
{
    add_norm(w, channels, "denseblock%zu.denselayer%zu.norm1", block + 1, layer + 1);
    add_conv(w, s->bottleneck, channels, 1, "denseblock%zu.denselayer%zu.conv1", block + 1, layer + 1);
    add_norm(w, s->bottleneck, "denseblock%zu.denselayer%zu.norm2", block + 1, layer + 1);
    add_conv(w, s->growth, s->bottleneck, 3, "denseblock%zu.denselayer%zu.conv2", block + 1, layer + 1);
}

size_t densenet_channels(const densenet_shape *shape, size_t block)
{
    size_t channels = shape->init;
    for (size_t b = 0; b < block; b++) channels = (channels + shape->layers[b] * shape->growth) / 2;
    return channels;
}

size_t densenet_features(const densenet_shape *shape)
{
    const size_t last = shape->n_blocks - 1;
    return densenet_channels(shape, last) + shape->layers[last] * shape->growth;
}

size_t densenet_tensors(tensor_spec *out, const densenet_shape *s)
{
    writer w = {out, 0};
    add_conv(&w, s->init, STEM_CHANNELS, 7, "conv0");
    add_norm(&w, s->init, "norm0");
    for (size_t b = 0; b < s->n_blocks; b++) {
        size_t channels = densenet_channels(s, b);
        for (size_t i = 0; i < s->layers[b]; i++, channels += s->growth) add_layer(&w, s, b, i, channels);
        if (b + 1 == s->n_blocks) break;
        add_norm(&w, channels, "transition%zu.norm", b + 1);
        add_conv(&w, channels / 2, channels, 1, "transition%zu.conv", b + 1);
    }
    add_norm(&w, densenet_features(s), "norm5");
    return w.n;
}
