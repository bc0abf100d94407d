/* Writing packages (package_write.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package_write.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- model.json ---- */
static bool add_words(cJSON *card, const package_words *w)
{
    return cJSON_AddStringToObject(card, "schema", CARD_SCHEMA) && cJSON_AddStringToObject(card, "name", w->name) &&
           cJSON_AddStringToObject(card, "version", w->version) && cJSON_AddStringToObject(card, "role", "student") &&
           cJSON_AddStringToObject(card, "notice", w->notice) &&
           cJSON_AddStringToObject(card, "training", w->training) &&
           cJSON_AddStringToObject(card, "data_attribution", w->attribution);
}

static bool add_architecture(cJSON *card, const architecture *arch)
{
    cJSON *part = cJSON_AddObjectToObject(card, "architecture"), *classes = NULL;
    if (!part || !cJSON_AddStringToObject(part, "kind", architecture_kind(ENCODER_RESNET18)) ||
        !cJSON_AddNumberToObject(part, "width", (double)arch->width) ||
        !cJSON_AddNumberToObject(part, "dim", (double)arch->dim) ||
        !(classes = cJSON_AddArrayToObject(part, "step_classes")))
        return false;
    for (size_t s = 0; s < arch->n_steps; s++)
        if (!cJSON_AddItemToArray(classes, cJSON_CreateNumber((double)arch->classes[s]))) return false;
    return true;
}

static bool add_preprocessing(cJSON *card, size_t size, cot_filter filter, double mean, double std)
{
    cJSON *part = cJSON_AddObjectToObject(card, "preprocessing");
    return part && cJSON_AddNumberToObject(part, "size", (double)size) &&
           cJSON_AddStringToObject(part, "filter", filter == COT_FILTER_BICUBIC ? "bicubic" : "bilinear") &&
           cJSON_AddStringToObject(part, "fit", "stretch") && cJSON_AddNumberToObject(part, "channels", 1) &&
           cJSON_AddStringToObject(part, "stem", "the one channel stands for three equal ones") &&
           cJSON_AddNumberToObject(part, "mean", mean) && cJSON_AddNumberToObject(part, "std", std);
}

cJSON *package_card_new(const package_words *words, const architecture *arch, size_t size, cot_filter filter,
                        double mean, double std, const cot_steps *steps)
{
    cJSON *card = cJSON_CreateObject(), *part = NULL, *ignored = NULL;
    if (card && add_words(card, words) && add_architecture(card, arch) &&
        add_preprocessing(card, size, filter, mean, std) && (part = cJSON_AddObjectToObject(card, "steps")) &&
        cJSON_AddStringToObject(part, "schema", steps->id) && cJSON_AddArrayToObject(part, "supervised") &&
        (ignored = cJSON_AddObjectToObject(card, "ignored_tensors")) && cJSON_AddArrayToObject(ignored, "left_out") &&
        cJSON_AddArrayToObject(ignored, "kept"))
        return card;
    cJSON_Delete(card);
    return NULL;
}

bool package_card_set(cJSON *card, const char *key, cJSON *item)
{
    if (!item) return false;
    if (cJSON_HasObjectItem(card, key)) return cJSON_ReplaceItemInObjectCaseSensitive(card, key, item);
    return cJSON_AddItemToObject(card, key, item);
}

bool package_card_supervised(cJSON *card, const char *part, const bool *supervised, const cot_steps *steps)
{
    cJSON *object = cJSON_GetObjectItemCaseSensitive(card, part), *ids = cJSON_CreateArray();
    for (size_t s = 0; ids && s < steps->n_steps; s++)
        if (supervised[s] && !cJSON_AddItemToArray(ids, cJSON_CreateString(steps->steps[s].id))) {
            cJSON_Delete(ids);
            return false;
        }
    return object && package_card_set(object, "supervised", ids);
}

/* ---- half precision ---- */
uint16_t half_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest >= 0x7f800000u) return (uint16_t)(sign | (rest > 0x7f800000u ? 0x7e00u : 0x7c00u));
    if (rest < 0x38800000u) { /* below 2^-14: a count of 2^-24, which lrint rounds to even */
        float size;
        memcpy(&size, &rest, sizeof size);
        return (uint16_t)(sign | (uint32_t)lrintf(size * 0x1p24f));
    }
    const uint32_t odd = rest >> 13 & 1u, rounded = rest - 0x38000000u + 0xfffu + odd;
    return (uint16_t)(sign | (rounded >= 0x0f800000u ? 0x7c00u : rounded >> 13));
}

static cot_status halve(tensor *out, const tensor *t, cot_error *err)
{
    float *from = malloc((t->count ? t->count : 1) * sizeof *from);
    uint16_t *to = malloc((t->count ? t->count : 1) * sizeof *to);
    if (!from || !to || !tensor_floats(from, t)) {
        free(from);
        free(to);
        return cot_fail(err, COT_E_MEMORY, "no memory for tensor %s", t->name);
    }
    bool fits = true;
    for (size_t i = 0; i < t->count; i++) {
        to[i] = half_of(from[i]);
        fits = fits && (to[i] & 0x7c00u) != 0x7c00u;
    }
    free(from);
    *out = *t;
    out->type = TENSOR_F16;
    out->bytes = t->count * sizeof *to;
    out->data = (const unsigned char *)to; /* freed by the caller */
    if (fits) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "tensor %s has values that half precision cannot hold: use --weights f32",
                    t->name);
}

/* ---- files ---- */
cot_status package_write_card(const char *folder, const cJSON *card, cot_error *err)
{
    char path[1300];
    char *text = cJSON_Print(card);
    if (!text) return cot_fail(err, COT_E_MEMORY, "no memory for model.json");
    snprintf(path, sizeof path, "%s/model.json", folder);
    const size_t n = strlen(text);
    text[n] = '\n'; /* over the NUL, which nothing needs any more */
    const cot_status status = cot_file_write_durable(path, text, n + 1, err);
    cJSON_free(text);
    return status;
}

static cot_status write_weights(char sha256[65], const char *folder, const tensor *tensors, size_t n, bool f16,
                                cot_error *err)
{
    cot_status status = COT_OK;
    char path[1300];
    unsigned char *bytes = NULL;
    size_t size = 0, halved = 0;
    tensor *out = calloc(n ? n : 1, sizeof *out);
    if (!out) return cot_fail(err, COT_E_MEMORY, "no memory for %zu tensors", n);
    for (size_t i = 0; i < n; i++) {
        out[i] = tensors[i];
        if (!f16 || !tensor_is_float(&tensors[i])) continue;
        status = halve(&out[i], &tensors[i], err);
        halved = i + 1;
        if (status != COT_OK) goto done;
    }
    COT_TRY(safetensors_build(&bytes, &size, out, n, err));
    cot_sha256_of(sha256, bytes, size);
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
done:
    for (size_t i = 0; i < halved; i++)
        if (out[i].data != tensors[i].data) free((void *)(uintptr_t)out[i].data);
    free(out);
    free(bytes);
    return status;
}

static bool is_package_file(const char *name)
{
    return !strcmp(name, "model.json") || !strcmp(name, "weights.safetensors");
}

static void remove_package(const char *folder)
{
    char path[1300];
    cot_drafts_remove(NULL, folder, is_package_file, NULL); /* of one that was killed; else rmdir would fail */
    snprintf(path, sizeof path, "%s/model.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

/* `made` takes the name of `folder`; what had it goes. */
static cot_status publish(const char *made, const char *folder, cot_error *err)
{
    char old[1200];
    snprintf(old, sizeof old, "%s.old", folder);
    remove_package(old);
    const bool moved = rename(folder, old) == 0;
    if (!moved && errno != ENOENT) return cot_fail(err, COT_E_IO, "%s: %s", folder, strerror(errno));
    if (rename(made, folder) != 0) {
        const int why = errno;
        if (moved && rename(old, folder) != 0) return cot_fail(err, COT_E_IO, "%s: now under %s", folder, old);
        return cot_fail(err, COT_E_IO, "%s: %s", folder, strerror(why));
    }
    remove_package(old);
    return COT_OK;
}

cot_status package_write(const char *folder, cJSON *card, const tensor *tensors, size_t n, bool f16, cot_error *err)
{
    cot_status status;
    char made[1200], sha256[65];
    cJSON *weights = cJSON_CreateObject();
    if (snprintf(made, sizeof made, "%s.part", folder) > 1100) {
        cJSON_Delete(weights);
        return cot_fail(err, COT_E_USAGE, "the package's path is longer than 1090 bytes");
    }
    remove_package(made);
    if (mkdir(made, 0777) != 0) {
        status = cot_fail(err, COT_E_IO, "%s: %s", made, strerror(errno));
        goto done;
    }
    COT_TRY(write_weights(sha256, made, tensors, n, f16, err));
    if (!weights || !cJSON_AddStringToObject(weights, "sha256", sha256) ||
        !package_card_set(card, "weights", weights)) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for model.json");
        goto done;
    }
    weights = NULL;
    COT_TRY(package_write_card(made, card, err));
    COT_TRY(publish(made, folder, err));
done:
    if (status != COT_OK) remove_package(made);
    cJSON_Delete(weights);
    return status;
}
