/* Reading checkpoint folders (checkpoint.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/checkpoint.h"
#include "engine/card.h"
#include "engine/clip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_HEADS = 12 }; /* what the library takes when a config does not say */

/* ---- config.json ---- */
static cot_status path_in(char path[CHECKPOINT_PATH_MAX], const char *folder, const char *name, cot_error *err)
{
    const int n = snprintf(path, CHECKPOINT_PATH_MAX, "%s/%s", folder, name);
    if (n > 0 && n < CHECKPOINT_PATH_MAX) return COT_OK;
    return cot_fail(err, COT_E_USAGE, "model: the checkpoint folder's path is too long");
}

static cot_status read_json(cJSON **out, const char *path, cot_error *err)
{
    cot_status status;
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    if (cot_file_read(&text, &size, path, CARD_BYTES_MAX, err) != COT_OK) {
        cot_fail_in(err, "a checkpoint folder of the transformers library holds config.json and model.safetensors");
        if (err) err->status = COT_E_MODEL;
        return COT_E_MODEL;
    }
    COT_TRY(json_object(out, text, path, err));
done:
    free(text);
    return status;
}

/* A member that is there must have this value: nothing else is computed. */
static cot_status expect_text(const cJSON *config, const char *key, const char *want, const char *where, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
    if (!item || (cJSON_IsString(item) && !strcmp(item->valuestring, want))) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "%s: \"%s\" is \"%.64s\"; only \"%s\" is computed", where, key,
                    cJSON_IsString(item) ? item->valuestring : "(not a text)", want);
}

static cot_status expect_number(const cJSON *config, const char *key, double want, const char *where, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, key);
    if (!item || (cJSON_IsNumber(item) && fabs(item->valuedouble - want) <= 1e-6 * want)) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "%s: \"%s\" is %g, must be %g (from the tensors, or as it is computed)", where,
                    key, cJSON_IsNumber(item) ? item->valuedouble : 0.0, want);
}

static cot_status heads_in(size_t *heads, const cJSON *config, const char *where, cot_error *err)
{
    *heads = DEFAULT_HEADS;
    if (!cJSON_HasObjectItem(config, "num_attention_heads")) return COT_OK;
    return json_size(heads, config, "num_attention_heads", 1, ENCODER_WIDTH_MAX, where, err);
}

typedef struct said {
    const char *key;
    size_t value;
} said;

static cot_status expect_sizes(const cJSON *config, const said *sizes, size_t n, const char *where, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < n; i++) COT_TRY(expect_number(config, sizes[i].key, (double)sizes[i].value, where, err));
done:
    return status;
}

/* ---- CLIP ---- */
static cot_status take_clip(clip_checkpoint *c, size_t heads, cot_error *err)
{
    cot_status status;
    naming_claim *claims = calloc(safetensors_count(c->file) + 1, sizeof *claims);
    if (!claims) return cot_fail(err, COT_E_MEMORY, "%s: no memory", c->where);
    COT_TRY(naming_clip(&c->tensors, &c->shape, claims, c->file, c->where, CLIP_PREFIX, heads, err));
    COT_TRY(naming_finish(claims, c->file, c->where, err));
done:
    free(claims);
    return status;
}

static cot_status check_clip(const clip_checkpoint *c, const cJSON *vision, const char *where, cot_error *err)
{
    cot_status status;
    const said sizes[] = {{"image_size", c->shape.resolution},    {"patch_size", c->shape.patch},
                          {"hidden_size", c->shape.width},        {"intermediate_size", c->shape.inner},
                          {"num_hidden_layers", c->shape.layers}, {"num_channels", CLIP_CHANNELS}};
    COT_TRY(expect_sizes(vision, sizes, sizeof sizes / sizeof *sizes, where, err));
    COT_TRY(expect_text(vision, "hidden_act", "quick_gelu", where, err));
    COT_TRY(expect_number(vision, "layer_norm_eps", 1e-5, where, err));
done:
    return status;
}

static cot_status read_channels(float to[CLIP_CHANNELS], const cJSON *json, const char *key, const char *where,
                                cot_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key);
    for (int i = 0; i < CLIP_CHANNELS; i++) {
        const cJSON *item = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1e-6 && item->valuedouble <= 1e6))
            return cot_fail(err, COT_E_MODEL, "%s: \"%s\" must list %d positive numbers", where, key, CLIP_CHANNELS);
        to[i] = (float)item->valuedouble;
    }
    return COT_OK;
}

static cot_status read_preprocessor(clip_checkpoint *c, const char *folder, cot_error *err)
{
    cot_status status;
    char path[CHECKPOINT_PATH_MAX];
    cJSON *json = NULL;
    c->normalisation = clip_published;
    COT_TRY(path_in(path, folder, "preprocessor_config.json", err));
    if (access(path, F_OK) != 0) goto done;
    COT_TRY(read_json(&json, path, err));
    COT_TRY(read_channels(c->normalisation.mean, json, "image_mean", path, err));
    COT_TRY(read_channels(c->normalisation.std, json, "image_std", path, err));
done:
    cJSON_Delete(json);
    return status;
}

/* The image tower's part of config.json: a member of CLIP's, or all of it where the tower was saved by itself. */
static cot_status find_vision(const cJSON **vision, const cJSON *json, const char *where, cot_error *err)
{
    *vision = cJSON_GetObjectItemCaseSensitive(json, "vision_config");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "model_type"));
    if (cJSON_IsObject(*vision)) return expect_text(json, "model_type", "clip", where, err);
    if (*vision || (type && !strcmp(type, "clip")))
        return cot_fail(err, COT_E_MODEL, "%s: \"vision_config\" must be an object", where);
    *vision = json;
    return expect_text(json, "model_type", "clip_vision_model", where, err);
}

cot_status clip_checkpoint_open(clip_checkpoint *out, const char *folder, cot_error *err)
{
    cot_status status;
    char path[CHECKPOINT_PATH_MAX];
    cJSON *json = NULL;
    size_t heads = 0;
    *out = (clip_checkpoint){.file = NULL};
    COT_TRY(path_in(path, folder, "config.json", err));
    COT_TRY(path_in(out->where, folder, "model.safetensors", err));
    COT_TRY(read_json(&json, path, err));
    const cJSON *vision = NULL;
    COT_TRY(find_vision(&vision, json, path, err));
    COT_TRY(heads_in(&heads, vision, path, err));
    COT_TRY(safetensors_open(&out->file, out->where, err));
    COT_TRY(take_clip(out, heads, err));
    COT_TRY(check_clip(out, vision, path, err));
    COT_TRY(read_preprocessor(out, folder, err));
done:
    cJSON_Delete(json);
    if (status != COT_OK) clip_checkpoint_close(out);
    return status;
}

void clip_checkpoint_close(clip_checkpoint *c)
{
    named_tensors_fini(&c->tensors);
    safetensors_close(c->file);
    c->file = NULL;
}

/* ---- BERT ---- */
/* Under our names, in memory: import is the only caller, and the encoder reads from a file by name. */
static cot_status take_bert(bert_checkpoint *c, const safetensors *theirs, size_t heads, cot_error *err)
{
    cot_status status;
    named_tensors list = {NULL, 0, NULL, NULL};
    size_t size = 0;
    naming_claim *claims = calloc(safetensors_count(theirs) + 1, sizeof *claims);
    if (!claims) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory", c->where);
        goto done;
    }
    COT_TRY(naming_bert(&list, &c->shape, claims, theirs, c->where, "", heads, err));
    COT_TRY(safetensors_build(&c->bytes, &size, list.tensors, list.n, err));
    COT_TRY(safetensors_parse(&c->file, (cot_blob){c->bytes, size}, c->where, err));
done:
    free(claims);
    named_tensors_fini(&list);
    return status;
}

static cot_status check_bert(const bert_checkpoint *c, const cJSON *json, const char *where, cot_error *err)
{
    cot_status status;
    const said sizes[] = {{"vocab_size", c->shape.vocab},        {"max_position_embeddings", c->shape.positions},
                          {"type_vocab_size", c->shape.types},   {"hidden_size", c->shape.width},
                          {"intermediate_size", c->shape.inner}, {"num_hidden_layers", c->shape.layers}};
    COT_TRY(expect_sizes(json, sizes, sizeof sizes / sizeof *sizes, where, err));
    COT_TRY(expect_text(json, "model_type", "bert", where, err));
    COT_TRY(expect_text(json, "hidden_act", "gelu", where, err));
    COT_TRY(expect_text(json, "position_embedding_type", "absolute", where, err));
    COT_TRY(expect_number(json, "layer_norm_eps", 1e-12, where, err));
    if (wordpiece_count(c->vocabulary) > c->shape.vocab)
        status = cot_fail(err, COT_E_MODEL, "%s: the model has %zu tokens, vocab.txt beside it has %zu", where,
                          c->shape.vocab, wordpiece_count(c->vocabulary));
done:
    return status;
}

cot_status bert_checkpoint_open(bert_checkpoint *out, const char *folder, cot_error *err)
{
    return bert_checkpoint_open_from(out, folder, NULL, "", err);
}

cot_status bert_checkpoint_open_from(bert_checkpoint *out, const char *folder, const safetensors *file,
                                     const char *where, cot_error *err)
{
    cot_status status;
    char path[CHECKPOINT_PATH_MAX];
    cJSON *json = NULL;
    safetensors *own = NULL;
    size_t heads = 0;
    *out = (bert_checkpoint){.file = NULL};
    COT_TRY(path_in(path, folder, "vocab.txt", err));
    COT_TRY(wordpiece_open(&out->vocabulary, path, err));
    COT_TRY(path_in(path, folder, "config.json", err));
    COT_TRY(read_json(&json, path, err));
    COT_TRY(heads_in(&heads, json, path, err));
    if (file)
        snprintf(out->where, sizeof out->where, "%s", where);
    else
        COT_TRY(path_in(out->where, folder, "model.safetensors", err));
    if (!file) COT_TRY(safetensors_open(&own, out->where, err));
    COT_TRY(take_bert(out, file ? file : own, heads, err));
    COT_TRY(check_bert(out, json, path, err));
done:
    cJSON_Delete(json);
    safetensors_close(own);
    if (status != COT_OK) bert_checkpoint_close(out);
    return status;
}

void bert_checkpoint_close(bert_checkpoint *c)
{
    wordpiece_close(c->vocabulary);
    safetensors_close(c->file);
    free(c->bytes);
    *c = (bert_checkpoint){.file = NULL};
}
