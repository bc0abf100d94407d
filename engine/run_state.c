/* Checkpoints of training (run_state.h). State and digests are I64 tensors beside the learner's, so that any reader of
 * safetensors opens the file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/run_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_NAME    "run.state.1"
#define IDENTITY_NAME "run.identity.1"
#define DIGEST_NAME   "run.digest"
enum { STATE_WORDS = sizeof(run_state) / 8, DIGEST_WORDS = 4 };
_Static_assert(sizeof(run_state) % 8 == 0, "only 8-byte members, no padding");

static const char *const identity_words[RUN_IDENTITIES] = {
    "the manifest", "the settings", "the model that the run began with", "the step schema", "the images"};

/* ---- digests ---- */
static void pack_hex(unsigned char to[32], const char hex[65])
{
    for (size_t i = 0; i < 32; i++) {
        const char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        to[i] = (unsigned char)strtoul(two, NULL, 16);
    }
}

/* Over name and bytes of every tensor but the digest itself; `at` gives them in order of name or of the list. */
static cot_status digest_of(char hex[65], const tensor *tensors, size_t n, cot_error *err)
{
    cot_sha256 *sha = NULL;
    const cot_status status = cot_sha256_create(&sha, err);
    if (status != COT_OK) return status;
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(tensors[i].name, DIGEST_NAME)) continue;
        cot_sha256_add(sha, tensors[i].name, strlen(tensors[i].name) + 1);
        cot_sha256_add(sha, tensors[i].data, tensors[i].bytes);
    }
    cot_sha256_hex(sha, hex);
    cot_sha256_destroy(sha);
    return COT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

/* ---- writing ---- */
cot_status run_state_write(const char *path, tensor_list *list, const run_state *state, const run_identity *identity,
                           cot_error *err)
{
    cot_status status;
    unsigned char *bytes = NULL, digests[RUN_IDENTITIES][32], whole[32];
    char hex[65];
    size_t size = 0;
    const size_t state_shape[] = {STATE_WORDS}, identity_shape[] = {RUN_IDENTITIES, DIGEST_WORDS};
    for (size_t i = 0; i < RUN_IDENTITIES; i++) pack_hex(digests[i], identity->digest[i]);
    COT_TRY(tensor_list_add(list, STATE_NAME, TENSOR_I64, state_shape, 1, state, err));
    COT_TRY(tensor_list_add(list, IDENTITY_NAME, TENSOR_I64, identity_shape, 2, digests, err));
    qsort(list->items, list->n, sizeof *list->items, by_name);
    COT_TRY(digest_of(hex, list->items, list->n, err));
    pack_hex(whole, hex);
    COT_TRY(tensor_list_add(list, DIGEST_NAME, TENSOR_I64, &identity_shape[1], 1, whole, err));
    COT_TRY(safetensors_build(&bytes, &size, list->items, list->n, err));
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
done:
    free(bytes);
    return status == COT_OK ? COT_OK : cot_fail_in(err, "checkpoint");
}

/* ---- reading ---- */
static cot_status take(void *to, const safetensors *file, const char *name, size_t bytes, const char *path,
                       cot_error *err)
{
    const tensor *t = safetensors_find(file, name);
    if (!t || t->type != TENSOR_I64 || t->bytes != bytes)
        return cot_fail(err, COT_E_INPUT,
                        "%s: no checkpoint of this version (tensor %s is missing or of another size). Begin a new run",
                        path, name);
    memcpy(to, t->data, bytes);
    return COT_OK;
}

static cot_status check_digest(const safetensors *file, const char *path, cot_error *err)
{
    cot_status status;
    unsigned char want[32], got[32];
    char hex[65];
    COT_TRY(take(want, file, DIGEST_NAME, sizeof want, path, err));
    COT_TRY(digest_of(hex, safetensors_at(file, 0), safetensors_count(file), err));
    pack_hex(got, hex);
    if (memcmp(want, got, sizeof got) != 0)
        status = cot_fail(err, COT_E_INPUT,
                          "%s: the checkpoint is damaged (its digest differs). Delete it: the run goes on from the one "
                          "before",
                          path);
done:
    return status;
}

static cot_status check_identity(const safetensors *file, const char *path, const run_identity *identity,
                                 cot_error *err)
{
    unsigned char begun[RUN_IDENTITIES][32], now[32];
    const cot_status status = take(begun, file, IDENTITY_NAME, sizeof begun, path, err);
    for (size_t i = 0; status == COT_OK && i < RUN_IDENTITIES; i++) {
        pack_hex(now, identity->digest[i]);
        if (memcmp(now, begun[i], sizeof now) != 0)
            return cot_fail(err, COT_E_REFUSED,
                            "%s: %s changed since the run began: put it back, or begin a new run in another folder",
                            path, identity_words[i]);
    }
    return status;
}

cot_status run_state_open(safetensors **file, run_state *state, const char *path, const run_identity *identity,
                          cot_error *err)
{
    cot_status status;
    *file = NULL;
    cot_error why = COT_ERROR_INIT;
    if (safetensors_open(file, path, &why) != COT_OK)
        return cot_fail(err, why.status == COT_E_MODEL ? COT_E_INPUT : why.status,
                        "%s: the checkpoint is damaged. Delete it: the run goes on from the one before", why.text);
    COT_TRY(check_digest(*file, path, err));
    COT_TRY(take(state, *file, STATE_NAME, sizeof *state, path, err));
    COT_TRY(check_identity(*file, path, identity, err));
done:
    if (status != COT_OK) {
        safetensors_close(*file);
        *file = NULL;
    }
    return status;
}

/* ---- names ---- */
void run_state_path(char *path, size_t size, const char *dir, uint64_t step)
{
    snprintf(path, size, "%s/checkpoint-%010llu.safetensors", dir, (unsigned long long)step);
}

static bool names_checkpoint(const char *given)
{
    unsigned long long step;
    char name[64];
    if (sscanf(given, "checkpoint-%10llu", &step) != 1) return false;
    snprintf(name, sizeof name, "checkpoint-%010llu.safetensors", step);
    return !strcmp(name, given);
}

static int is_checkpoint(const struct dirent *entry)
{
    return names_checkpoint(entry->d_name);
}

bool run_state_names(const char *name)
{
    return names_checkpoint(name) || !strcmp(name, "best.safetensors");
}

/* Sorted by name is sorted by step. Caller frees entries and list. */
static cot_status list_checkpoints(struct dirent ***entries, size_t *n, const char *dir, cot_error *err)
{
    const int found = scandir(dir, entries, is_checkpoint, alphasort);
    if (found < 0) return cot_fail(err, COT_E_IO, "%s: %s", dir, strerror(errno));
    *n = (size_t)found;
    return COT_OK;
}

cot_status run_state_newest(char *path, size_t size, const char *dir, cot_error *err)
{
    struct dirent **entries = NULL;
    size_t n = 0;
    path[0] = 0;
    const cot_status status = list_checkpoints(&entries, &n, dir, err);
    if (status == COT_OK && n) snprintf(path, size, "%s/%s", dir, entries[n - 1]->d_name);
    for (size_t i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return status;
}

cot_status run_state_prune(const char *dir, size_t keep, cot_error *err)
{
    struct dirent **entries = NULL;
    size_t n = 0;
    char path[4096];
    cot_status status = list_checkpoints(&entries, &n, dir, err);
    for (size_t i = 0; i < n; i++) {
        if (status == COT_OK && i + 1 + keep < n) {
            snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
            if (unlink(path) != 0 && errno != ENOENT) status = cot_fail(err, COT_E_IO, "%s: %s", path, strerror(errno));
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}
