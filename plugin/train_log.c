/* Reading log.jsonl (train_log.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train_log.h"

#include <stdlib.h>
#include <string.h>

#define LOG_BYTES_MAX ((size_t)256 << 20)

cot_status train_log_read(cJSON **out, const char *dir, cot_error *err)
{
    cot_status status;
    char path[1200], *text = NULL;
    size_t size = 0;
    cJSON *lines = cJSON_CreateArray();
    snprintf(path, sizeof path, "%s/log.jsonl", dir);
    COT_TRY(cot_file_read(&text, &size, path, LOG_BYTES_MAX, err));
    for (char *line = text, *end; lines && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        cJSON *one = cJSON_Parse(line);
        if (!cJSON_IsObject(one) || !cJSON_AddItemToArray(lines, one)) {
            cJSON_Delete(one);
            status =
                cot_fail(err, COT_E_INPUT, "%s: byte %zu: not a line of a training log", path, (size_t)(line - text));
            goto done;
        }
    }
    if (!lines) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for %s", path);
        goto done;
    }
    *out = lines;
    lines = NULL;
done:
    cJSON_Delete(lines);
    free(text);
    return status;
}

const cJSON *train_log_epoch(const cJSON *lines, double epoch)
{
    const cJSON *line;
    cJSON_ArrayForEach(line, lines)
    {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(line, "epoch");
        if (cJSON_IsNumber(number) && number->valuedouble == epoch) return line;
    }
    return NULL;
}
