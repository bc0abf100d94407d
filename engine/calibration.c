/* Reading temperatures (calibration.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"

static const cJSON *temperatures_of(const model_card *card, const char *reader)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(card->json, "calibration");
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(all, reader), "temperature");
}

float calibration_temperature(const model_card *card, const char *reader, const char *step)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(temperatures_of(card, reader), step);
    return cJSON_IsNumber(t) && t->valuedouble >= 0.05 && t->valuedouble <= 20 ? (float)t->valuedouble : 1.0f;
}

bool calibration_there(const model_card *card, const char *reader)
{
    const cJSON *list = temperatures_of(card, reader);
    return cJSON_IsObject(list) && list->child;
}
