/* Every encoder behind one face (encoder.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder.h"

cot_status encoder_init(encoder *m, cot_device *device, const cot_package *package, cot_error *err)
{
    const model_card *card = package_card(package);
    const weight_source source = package_source(package, CLIP_PREFIX);
    m->kind = card->arch.encoder;
    m->size = card->size;
    m->features = architecture_features(&card->arch);
    if (m->kind == ENCODER_CLIP) return clip_init(&m->clip, device, &source, &card->arch.clip, &card->clip, err);
    if (m->kind == ENCODER_DENSENET) return densenet_init(&m->densenet, device, package, err);
    return resnet18_init(&m->resnet18, device, package, err);
}

void encoder_fini(encoder *m)
{
    resnet18_fini(&m->resnet18);
    densenet_fini(&m->densenet);
    clip_fini(&m->clip);
}

cot_status encoder_plan(encoder *m, cot_arena *arena, size_t max_batch, cot_error *err)
{
    if (m->kind == ENCODER_CLIP) return clip_plan(&m->clip, arena, max_batch, err);
    if (m->kind == ENCODER_DENSENET) return densenet_plan(&m->densenet, arena, max_batch, err);
    return resnet18_plan(&m->resnet18, arena, max_batch, err);
}

cot_status encoder_forward(cot_buffer *feature, encoder *m, const cot_buffer *image, size_t n, cot_error *err)
{
    if (m->kind == ENCODER_CLIP) return clip_forward(feature, &m->clip, image, n, err);
    if (m->kind == ENCODER_DENSENET) return densenet_forward(feature, &m->densenet, image, n, err);
    return resnet18_forward(feature, &m->resnet18, image, n, err);
}
