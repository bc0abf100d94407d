/* Which map for which encoder (encoder_evidence.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/encoder_evidence.h"
#include "engine/evidence.h"

#include <stdlib.h>
#include <string.h>

static size_t side_of(const encoder *m)
{
    size_t side = 0;
    if (m->kind == ENCODER_CLIP) return m->clip.shape.resolution / m->clip.shape.patch;
    if (m->kind == ENCODER_DENSENET) return m->densenet.block[m->densenet.shape.n_blocks - 1].side;
    resnet18_last(&m->resnet18, &side);
    return side;
}

cot_status encoder_evidence_init(encoder_evidence *e, const encoder *m, cot_device *device, const cot_package *package,
                                 size_t max_batch, size_t per_image, cot_error *err)
{
    const weight_source source = package_source(package, CLIP_PREFIX);
    e->side = side_of(m);
    e->per_image = per_image;
    if (m->kind == ENCODER_CLIP)
        return clip_evidence_init(&e->clip, device, &source, &m->clip, max_batch, per_image, err);
    e->activation = calloc(max_batch * e->side * e->side * m->features + 1, sizeof *e->activation);
    return e->activation ? COT_OK : cot_fail(err, COT_E_MEMORY, "evidence: no memory for the last activation");
}

void encoder_evidence_fini(encoder_evidence *e)
{
    clip_evidence_fini(&e->clip);
    free(e->activation);
    memset(e, 0, sizeof *e);
}

cot_status encoder_evidence_maps(float *maps, encoder_evidence *e, const encoder *m, const float *gradients, size_t n,
                                 cot_error *err)
{
    cot_status status = COT_OK;
    const cot_buffer *last = NULL;
    const size_t cells = e->side * e->side;
    size_t side;
    if (m->kind == ENCODER_CLIP) return clip_evidence_maps(maps, &e->clip, &m->clip, gradients, n, e->per_image, err);
    if (m->kind == ENCODER_DENSENET)
        COT_TRY(densenet_last(&last, &m->densenet, n, err));
    else
        last = resnet18_last(&m->resnet18, &side);
    COT_TRY(cot_buffer_read(last, 0, e->activation, n * cells * m->features, err));
    for (size_t r = 0; r < n * e->per_image; r++)
        evidence_grad_cam(maps + r * cells, e->activation + r / e->per_image * cells * m->features, cells,
                          gradients + r * m->features, m->features);
done:
    return status;
}
