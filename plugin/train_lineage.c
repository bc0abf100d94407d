/* Whom the package of --init has learnt (train.h). A frozen encoder that has seen this manifest's test patients makes every
 * figure of what is trained on it too good, and nothing shows. So a package keeps, for itself and for all that it was made
 * from, the digests of its manifest and of the patients of each split: no name, and nothing from which one could be found
 * among many.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"
#include "plugin/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- digests ---- */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* SHA-256 over the split's patients in order, each once, each with its NUL. */
static cot_status digest_split(char hex[65], const cot_manifest *m, cot_split split, cot_error *err)
{
    cot_status status;
    size_t n = 0;
    cot_sha256 *sha = NULL;
    const char **names = calloc(m->n + 1, sizeof *names);
    if (!names) return cot_fail(err, COT_E_MEMORY, "no memory for %zu patients", m->n);
    COT_TRY(cot_sha256_create(&sha, err));
    for (size_t i = 0; i < m->n; i++)
        if (m->cases[i].split == split) names[n++] = m->cases[i].patient;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(names[i], names[i - 1]) != 0) cot_sha256_add(sha, names[i], strlen(names[i]) + 1);
    cot_sha256_hex(sha, hex);
done:
    cot_sha256_destroy(sha);
    free(names);
    return status;
}

static bool text_is(const cJSON *object, const char *key, const char *want)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) && !strcmp(item->valuestring, want);
}

/* ---- the check ---- */
/* The model with this recipe learnt nobody who is validated or tested here. */
static bool kept_apart(const cJSON *recipe, const train_job *j)
{
    const cJSON *splits = cJSON_GetObjectItemCaseSensitive(recipe, "splits_sha256");
    const bool refit = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(recipe, "refit"));
    if (refit && !j->request->training.refit) return false;
    return text_is(recipe, "manifest_sha256", j->manifest->sha256) ||
           (text_is(splits, "test", j->split_sha256[COT_TEST]) &&
            text_is(splits, "validation", j->split_sha256[COT_VALIDATION]));
}

static cot_status refuse(const train_job *j, const cJSON *recipe, cot_error *err)
{
    const cJSON *made = cJSON_GetObjectItemCaseSensitive(recipe, "manifest");
    return cot_fail(err, COT_E_REFUSED,
                    "%s has learnt other images than this manifest's training split (%.200s%s): one patient among them "
                    "who is validated or tested here makes every figure of this run too good. Begin with a model of "
                    "this training split, or say --other-patients if no patient is in both",
                    j->request->init, cJSON_IsString(made) ? made->valuestring : "another manifest",
                    cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(recipe, "refit")) ? "; validation learnt too" : "");
}

cot_status train_lineage_check(train_job *job, cot_error *err)
{
    cot_status status = COT_OK;
    for (int s = 0; s < COT_SPLITS; s++) COT_TRY(digest_split(job->split_sha256[s], job->manifest, (cot_split)s, err));
    if (!job->init) goto done;
    const cJSON *recipe = cJSON_GetObjectItemCaseSensitive(package_card(job->init)->json, "recipe");
    job->init_patients = "of this training split";
    if (!recipe) job->init_patients = "not known";
    for (const cJSON *init; recipe; recipe = cJSON_GetObjectItemCaseSensitive(init, "recipe")) {
        init = cJSON_GetObjectItemCaseSensitive(recipe, "init");
        if (init && !cJSON_HasObjectItem(init, "recipe")) job->init_patients = "not known";
        if (kept_apart(recipe, job)) continue;
        if (!job->request->other_patients && !job->request->resume) { /* a run that goes on was asked when it began */
            status = refuse(job, recipe, err);
            goto done;
        }
        job->init_patients = "said to be others (--other-patients)";
        break;
    }
    if (!strcmp(job->init_patients, "not known") && !job->request->other_patients)
        fprintf(stderr,
                "%s train: warning: the package of --init does not say whom it has learnt. If a patient who is "
                "validated or tested here is among them, the figures of this run are too good\n",
                COT_PROGRAM);
done:
    return status;
}

/* ---- what model.json says ---- */
static bool copy_members(cJSON *to, const cJSON *from, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, keys[i]);
        cJSON *copy = item ? cJSON_Duplicate(item, true) : NULL;
        if (item && (!copy || !cJSON_AddItemToObject(to, keys[i], copy))) return false;
    }
    return true;
}

static bool add_init(cJSON *recipe, const train_job *j)
{
    static const char *const own[] = {"name", "version", "data_attribution"};
    static const char *const learnt[] = {"stage", "manifest", "manifest_sha256", "splits_sha256", "refit", "init"};
    const cJSON *card = package_card(j->init)->json, *old = cJSON_GetObjectItemCaseSensitive(card, "recipe");
    cJSON *init = cJSON_AddObjectToObject(recipe, "init"), *part = NULL;
    return init && cJSON_AddStringToObject(init, "patients", j->init_patients) &&
           cJSON_AddStringToObject(init, "package_sha256", cot_package_reader(j->init)->package_sha256) &&
           copy_members(init, card, own, sizeof own / sizeof *own) &&
           (!old || ((part = cJSON_AddObjectToObject(init, "recipe")) &&
                     copy_members(part, old, learnt, sizeof learnt / sizeof *learnt)));
}

bool train_lineage_add(cJSON *recipe, const train_job *j)
{
    cJSON *splits = cJSON_AddObjectToObject(recipe, "splits_sha256");
    for (int s = 0; splits && s < COT_SPLITS; s++)
        if (!cJSON_AddStringToObject(splits, cot_split_name((cot_split)s), j->split_sha256[s])) return false;
    return splits && (!j->init || add_init(recipe, j));
}

/* ---- attribution ---- */
static void cut(char *to, size_t size, const char *text)
{
    size_t n = 0, step;
    for (uint32_t code; text[n] && (step = utf8_next(text + n, &code)) && n + step < size; n += step) {}
    memcpy(to, text, n);
    to[n] = 0;
}

void train_attribute(char text[1025], const train_job *j)
{
    const cot_manifest *m = j->manifest;
    const char *before = j->init ? package_card(j->init)->attribution : "";
    char source[601], terms[401], mine[1025], first[501], then[501];
    cut(source, sizeof source, m->attribution[0] ? m->attribution : "not stated");
    cut(terms, sizeof terms, m->terms);
    snprintf(mine, sizeof mine, "%s%s%s", source, terms[0] ? " Terms: " : "", terms);
    if (!before[0] || strstr(mine, before)) {
        memcpy(text, mine, sizeof mine);
    } else if (strstr(before, mine)) {
        cut(text, 1025, before);
    } else { /* whole, of what it began with, in recipe.init */
        cut(first, sizeof first, before);
        cut(then, sizeof then, mine);
        snprintf(text, 1025, "%s Then: %s", first, then);
    }
}
