/* The tables of architecture.h. The stem's weight is stored for three equal input channels, as torchvision has it;
 * the loader sums them (resnet18.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/architecture.h"
#include "engine/naming.h"

#include <stdlib.h>
#include <string.h>

const char *const batch_norm_parts[BATCH_NORM_PARTS] = {"weight", "bias", "running_mean", "running_var"};
static const char *const kinds[ENCODERS] = {"resnet18-student", "clip-student", "densenet121-student"};
enum { PROJECTION_TENSORS = 4, HEAD_TENSORS = 2 };

static conv_spec *add_conv(conv_spec *at, size_t in_c, size_t out_c, size_t kernel, size_t stride)
{
    *at = (conv_spec){.in_c = in_c, .out_c = out_c, .kernel = kernel, .stride = stride, .pad = kernel / 2};
    return at;
}

static void name_conv(conv_spec *c, size_t stage, size_t block, const char *conv, const char *norm)
{
    snprintf(c->conv, sizeof c->conv, "cnn.layer%zu.%zu.%s", stage + 1, block, conv);
    snprintf(c->norm, sizeof c->norm, "cnn.layer%zu.%zu.%s", stage + 1, block, norm);
}

void resnet18_convs(conv_spec out[RESNET18_CONVS], size_t width)
{
    conv_spec *stem = add_conv(out++, 1, width, 7, 2);
    snprintf(stem->conv, sizeof stem->conv, "cnn.conv1");
    snprintf(stem->norm, sizeof stem->norm, "cnn.bn1");
    size_t in_c = width;
    for (size_t stage = 0; stage < RESNET18_STAGES; stage++)
        for (size_t block = 0; block < 2; block++) {
            const size_t out_c = width << stage, stride = stage && !block ? 2 : 1;
            name_conv(add_conv(out++, in_c, out_c, 3, stride), stage, block, "conv1", "bn1");
            name_conv(add_conv(out++, out_c, out_c, 3, 1), stage, block, "conv2", "bn2");
            if (stride == 2)
                name_conv(add_conv(out++, in_c, out_c, 1, 2), stage, block, "downsample.0", "downsample.1");
            in_c = out_c;
        }
}

const char *architecture_kind(encoder_kind encoder)
{
    return kinds[encoder];
}

size_t architecture_features(const architecture *arch)
{
    if (arch->encoder == ENCODER_DENSENET) return densenet_features(&arch->densenet);
    return arch->encoder == ENCODER_CLIP ? arch->clip.features : resnet18_features(arch->width);
}

size_t resnet18_features(size_t width)
{
    return width << (RESNET18_STAGES - 1);
}

static tensor_spec *add_tensor(tensor_spec *at, const char *prefix, const char *part, size_t rank, const size_t *shape)
{
    snprintf(at->name, sizeof at->name, "%.44s.%.16s", prefix, part);
    at->rank = rank;
    memcpy(at->shape, shape, rank * sizeof *shape);
    return at + 1;
}

static tensor_spec *add_conv_tensors(tensor_spec *at, const conv_spec *c, bool stem)
{
    const size_t shape[] = {c->out_c, stem ? STEM_CHANNELS : c->in_c, c->kernel, c->kernel};
    at = add_tensor(at, c->conv, "weight", 4, shape);
    for (size_t i = 0; i < BATCH_NORM_PARTS; i++) at = add_tensor(at, c->norm, batch_norm_parts[i], 1, &c->out_c);
    return at;
}

static tensor_spec *add_linear_tensors(tensor_spec *at, const char *prefix, size_t out_features, size_t in_features)
{
    const size_t shape[] = {out_features, in_features};
    at = add_tensor(at, prefix, "weight", 2, shape);
    return add_tensor(at, prefix, "bias", 1, shape);
}

static tensor_spec *add_student(tensor_spec *at, const architecture *arch)
{
    at = add_linear_tensors(at, STUDENT_PROJECTION ".0", arch->dim, architecture_features(arch));
    at = add_tensor(at, STUDENT_PROJECTION ".1", "weight", 1, &arch->dim);
    at = add_tensor(at, STUDENT_PROJECTION ".1", "bias", 1, &arch->dim);
    for (size_t s = 0; s < arch->n_steps; s++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, STUDENT_HEADS ".%zu", s);
        at = add_linear_tensors(at, prefix, arch->classes[s], arch->dim);
    }
    return at;
}

static tensor_spec *add_resnet18(tensor_spec *at, const architecture *arch)
{
    conv_spec convs[RESNET18_CONVS];
    resnet18_convs(convs, arch->width);
    for (size_t i = 0; i < RESNET18_CONVS; i++) at = add_conv_tensors(at, &convs[i], i == 0);
    return at;
}

static tensor_spec *add_clip(tensor_spec *at, const architecture *arch)
{
    for (size_t i = 0; clip_tensor(at, &arch->clip, CLIP_PREFIX, i); i++) at++;
    return at;
}

size_t architecture_encoder_tensors(const architecture *arch)
{
    if (arch->encoder == ENCODER_DENSENET) return densenet_tensors(NULL, &arch->densenet);
    return arch->encoder == ENCODER_CLIP ? clip_tensor_count(&arch->clip) : RESNET18_CONVS * (1 + BATCH_NORM_PARTS);
}

static tensor_spec *add_encoder(tensor_spec *at, const architecture *arch)
{
    if (arch->encoder == ENCODER_DENSENET) return at + densenet_tensors(at, &arch->densenet);
    return arch->encoder == ENCODER_CLIP ? add_clip(at, arch) : add_resnet18(at, arch);
}

cot_status architecture_tensors(tensor_spec **out, size_t *n, const architecture *arch, cot_error *err)
{
    *n = architecture_encoder_tensors(arch) + PROJECTION_TENSORS + HEAD_TENSORS * arch->n_steps +
         teacher_tensor_count(arch);
    tensor_spec *at = *out = calloc(*n + 1, sizeof **out); /* one more: where the end of CLIP's list is asked for */
    if (!at) return cot_fail(err, COT_E_MEMORY, "model: no memory for the table of %zu tensors", *n);
    at = add_encoder(at, arch);
    at = add_student(at, arch);
    teacher_tensors(at, arch);
    return COT_OK;
}
