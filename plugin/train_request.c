/* run.json and training.xml of a run's folder (train.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RUN_SCHEMA    "urn:stepcot:run:1"
#define RUN_BYTES_MAX ((size_t)1 << 16)

typedef struct request_text {
    const char *key;
    size_t offset, size;
} request_text;
#define TEXT(m)                                                                                                        \
    {                                                                                                                  \
#m, offsetof(train_request, m), sizeof(((train_request *)0)->m)                                                \
    }
static const request_text texts[] = {TEXT(manifest), TEXT(images),  TEXT(init),  TEXT(steps),
                                     TEXT(name),     TEXT(version), TEXT(notice)};
enum { N_TEXTS = sizeof texts / sizeof *texts };

/* ---- writing ---- */
static cot_status write_json(const train_request *r, cot_error *err)
{
    char path[1200];
    cJSON *json = cJSON_CreateObject();
    bool ok = json && cJSON_AddStringToObject(json, "schema", RUN_SCHEMA) &&
              cJSON_AddStringToObject(json, "stage", cot_stage_name(r->stage));
    for (size_t i = 0; ok && i < N_TEXTS; i++)
        ok = cJSON_AddStringToObject(json, texts[i].key, (const char *)r + texts[i].offset) != NULL;
    char *text = ok ? cJSON_Print(json) : NULL;
    snprintf(path, sizeof path, "%s/run.json", r->dir);
    const cot_status status = text ? cot_file_write_durable(path, text, strlen(text), err)
                                   : cot_fail(err, COT_E_MEMORY, "no memory for run.json");
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

static cot_status write_xml(const train_request *r, cot_error *err)
{
    cot_status status;
    char path[1200], *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return cot_fail(err, COT_E_MEMORY, "no memory for training.xml");
    status = cot_training_print(&r->training, stream, err);
    fclose(stream);
    snprintf(path, sizeof path, "%s/training.xml", r->dir);
    if (status == COT_OK) status = cot_file_write_durable(path, text, size, err);
    free(text);
    return status;
}

cot_status train_request_begin(const train_request *request, cot_error *err)
{
    cot_status status;
    if (mkdir(request->dir, 0777) != 0)
        return errno == EEXIST ? cot_fail(err, COT_E_USAGE,
                                          "%s exists already. Continue it with --resume %s, or name another folder",
                                          request->dir, request->dir)
                               : cot_fail(err, COT_E_IO, "%s: %s", request->dir, strerror(errno));
    COT_TRY(write_xml(request, err));
    COT_TRY(write_json(request, err));
done:
    return status;
}

cot_status train_request_lock(int *fd, const train_request *request, cot_error *err)
{
    *fd = open(request->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) return cot_fail(err, COT_E_IO, "%s: %s", request->dir, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) return COT_OK;
    if (errno != EWOULDBLOCK) return COT_OK; /* a file system without locks */
    return cot_fail(err, COT_E_REFUSED, "%s: another process is at this run. Let it end, or stop it", request->dir);
}

static bool is_run_file(const char *name)
{
    static const char *const files[] = {"run.json", "training.xml", "report.html"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!strcmp(name, files[i])) return true;
    return run_state_names(name);
}

cot_status train_request_sweep(const train_request *request, cot_error *err)
{
    return cot_drafts_remove(NULL, request->dir, is_run_file, err);
}

/* ---- reading ---- */
static cot_status take_json(train_request *r, const cJSON *json, const char *path, cot_error *err)
{
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(json, "schema"),
                *stage = cJSON_GetObjectItemCaseSensitive(json, "stage");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, RUN_SCHEMA) != 0 || !cJSON_IsString(stage))
        return cot_fail(err, COT_E_INPUT, "%s: not the run.json of a training run", path);
    for (r->stage = 0; r->stage < COT_STAGES; r->stage++)
        if (!strcmp(stage->valuestring, cot_stage_name(r->stage))) break;
    if (r->stage == COT_STAGES) return cot_fail(err, COT_E_INPUT, "%s: unknown stage", path);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, texts[i].key);
        if (!cJSON_IsString(item) || strlen(item->valuestring) >= texts[i].size)
            return cot_fail(err, COT_E_INPUT, "%s: \"%s\" must be a text of less than %zu bytes", path, texts[i].key,
                            texts[i].size);
        memcpy((char *)r + texts[i].offset, item->valuestring, strlen(item->valuestring) + 1);
    }
    return COT_OK;
}

cot_status train_request_read(train_request *request, cot_error *err)
{
    cot_status status;
    char path[1200], *text = NULL;
    size_t size = 0;
    cJSON *json = NULL;
    snprintf(path, sizeof path, "%s/run.json", request->dir);
    if ((status = cot_file_read(&text, &size, path, RUN_BYTES_MAX, err)) != COT_OK) {
        cot_fail_in(err, "--resume takes the folder of a training run");
        goto done;
    }
    json = cJSON_Parse(text);
    COT_TRY(take_json(request, json, path, err));
    snprintf(path, sizeof path, "%s/training.xml", request->dir);
    COT_TRY(cot_training_load(&request->training, path, request->stage, NULL, 0, err));
done:
    cJSON_Delete(json);
    free(text);
    return status;
}
