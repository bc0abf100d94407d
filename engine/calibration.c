/* Reading temperatures (calibration.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"

#include <stdlib.h>
#include <string.h>

bool calibration_at_bound(double temperature)
{
    return temperature <= CALIBRATION_LOW * 1.001 || temperature >= CALIBRATION_HIGH / 1.001;
}

static cot_status read_temperature(float *to, const cJSON *item, const char *where, const cot_steps *steps,
                                   cot_error *err)
{
    const double t = cJSON_IsNumber(item) ? item->valuedouble : 0;
    for (size_t s = 0; s < steps->n_steps; s++) {
        if (strcmp(item->string, steps->steps[s].id) != 0) continue;
        if (!(t >= CALIBRATION_LOW && t <= CALIBRATION_HIGH))
            return cot_fail(err, COT_E_MODEL,
                            "%s: the temperature of step \"%s\" in \"calibration\" must be a number from %g to %g: "
                            "calibrate again",
                            where, item->string, CALIBRATION_LOW, CALIBRATION_HIGH);
        to[s] = (float)t;
        return COT_OK;
    }
    return cot_fail(err, COT_E_MODEL,
                    "%s: \"calibration\" names step \"%.64s\", which the step schema %s does not have", where,
                    item->string, steps->id);
}

static cot_status read_reader(float **to, const cJSON *all, const char *reader, const char *where,
                              const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(all, reader), *list, *item;
    *to = calloc(steps->n_steps + 1, sizeof **to);
    if (!*to) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    if (!part) return COT_OK;
    list = cJSON_GetObjectItemCaseSensitive(part, "temperature");
    if (!cJSON_IsObject(list))
        return cot_fail(err, COT_E_MODEL, "%s: \"calibration\" of the %s has no \"temperature\" by step", where,
                        reader);
    cJSON_ArrayForEach(item, list) COT_TRY(read_temperature(*to, item, where, steps, err));
done:
    return status;
}

cot_status calibration_read(model_card *card, const char *where, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(card->json, "calibration");
    if (all && !cJSON_IsObject(all)) return cot_fail(err, COT_E_MODEL, "%s: \"calibration\" must be an object", where);
    COT_TRY(read_reader(&card->temperature, all, "student", where, steps, err));
    COT_TRY(read_reader(&card->teacher.temperature, all, "teacher", where, steps, err));
done:
    return status;
}

const float *calibration_of(const model_card *card, bool teacher)
{
    return teacher ? card->teacher.temperature : card->temperature;
}
