/* The sizes of a DenseNet in model.json: "encoder": {"init", "growth", "bottleneck", "blocks": [layers of each]}.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/card.h"

cot_status densenet_read(densenet_shape *s, const cJSON *parent, const char *where, cot_error *err)
{
    cot_status status;
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(parent, "encoder");
    const cJSON *blocks = cJSON_GetObjectItemCaseSensitive(part, "blocks"), *item;
    const int n = cJSON_IsArray(blocks) ? cJSON_GetArraySize(blocks) : 0;
    if (!cJSON_IsObject(part)) return cot_fail(err, COT_E_MODEL, "%s: \"encoder\" must be an object", where);
    COT_TRY(json_size(&s->init, part, "init", 1, CARD_WIDTH_MAX, where, err));
    COT_TRY(json_size(&s->growth, part, "growth", 1, CARD_WIDTH_MAX, where, err));
    COT_TRY(json_size(&s->bottleneck, part, "bottleneck", 1, CARD_WIDTH_MAX, where, err));
    if (n < 1 || n > DENSENET_BLOCKS_MAX) {
        status = cot_fail(err, COT_E_MODEL, "%s: \"blocks\" must list the layers of 1 to %d blocks", where,
                          DENSENET_BLOCKS_MAX);
        goto done;
    }
    cJSON_ArrayForEach(item, blocks)
    {
        const double v = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (!(v >= 1 && v <= DENSENET_LAYERS_MAX) || v != (double)(size_t)v) {
            status = cot_fail(err, COT_E_MODEL, "%s: \"blocks\": block %zu must have 1 to %d layers", where,
                              s->n_blocks + 1, DENSENET_LAYERS_MAX);
            goto done;
        }
        s->layers[s->n_blocks++] = (size_t)v;
    }
done:
    return status;
}

bool densenet_write(cJSON *parent, const densenet_shape *s)
{
    cJSON *part = cJSON_AddObjectToObject(parent, "encoder"), *blocks = NULL;
    bool ok = part && cJSON_AddNumberToObject(part, "init", (double)s->init) &&
              cJSON_AddNumberToObject(part, "growth", (double)s->growth) &&
              cJSON_AddNumberToObject(part, "bottleneck", (double)s->bottleneck) &&
              (blocks = cJSON_AddArrayToObject(part, "blocks"));
    for (size_t i = 0; ok && i < s->n_blocks; i++)
        ok = cJSON_AddItemToArray(blocks, cJSON_CreateNumber((double)s->layers[i]));
    return ok;
}

void densenet_text(char *text, size_t size, const densenet_shape *s)
{
    int n = snprintf(text, size, "stem %zu, growth %zu, blocks of", s->init, s->growth);
    for (size_t i = 0; i < s->n_blocks && n > 0 && (size_t)n < size; i++)
        n += snprintf(text + n, size - (size_t)n, "%s %zu", i ? "," : "", s->layers[i]);
}
