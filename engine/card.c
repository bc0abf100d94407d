/* Reading model.json (card.h). Sizes of steps come from the schema that the program runs with; a package for another
 * schema is refused here, before any weight is looked at.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/card.h"
#include "engine/calibration.h"
#include "engine/naming.h"

#include <stdlib.h>
#include <string.h>

/* ---- members ---- */
cot_status json_text(char *to, size_t size, const cJSON *object, const char *key, const char *where, cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsString(item) || !item->valuestring[0])
        return cot_fail(err, COT_E_MODEL,
                        "%s: \"%s\" must be a text: add it, or make the package again with `stepcot model "
                        "import`",
                        where, key);
    if (strlen(item->valuestring) >= size)
        return cot_fail(err, COT_E_MODEL, "%s: \"%s\" is longer than %zu bytes: shorten it", where, key, size - 1);
    memcpy(to, item->valuestring, strlen(item->valuestring) + 1);
    return COT_OK;
}

cot_status json_number(double *to, const cJSON *object, const char *key, double low, double high, const char *where,
                       cot_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= low && item->valuedouble <= high))
        return cot_fail(err, COT_E_MODEL, "%s: \"%s\" must be a number from %g to %g", where, key, low, high);
    *to = item->valuedouble;
    return COT_OK;
}

cot_status json_size(size_t *to, const cJSON *object, const char *key, size_t low, size_t high, const char *where,
                     cot_error *err)
{
    double number = 0;
    const cot_status status = json_number(&number, object, key, (double)low, (double)high, where, err);
    if (status != COT_OK) return status;
    if (number != (double)(size_t)number)
        return cot_fail(err, COT_E_MODEL, "%s: \"%s\" must be a whole number", where, key);
    *to = (size_t)number;
    return COT_OK;
}

cot_status json_object(cJSON **out, const char *text, const char *where, cot_error *err)
{
    *out = cJSON_ParseWithOpts(text, NULL, true);
    if (!cJSON_IsObject(*out)) {
        const char *at = cJSON_GetErrorPtr(); /* may point anywhere when another thread parses: used as a hint only */
        const bool inside = at >= text && at <= text + strlen(text);
        cJSON_Delete(*out);
        *out = NULL;
        return cot_fail(err, COT_E_MODEL, "%s: not a JSON object (byte %zu): mend the file or make it again", where,
                        inside ? (size_t)(at - text) : 0);
    }
    return COT_OK;
}

static cot_status member(const cJSON **to, const cJSON *object, const char *key, const char *where, cot_error *err)
{
    *to = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsObject(*to)) return cot_fail(err, COT_E_MODEL, "%s: \"%s\" must be an object", where, key);
    return COT_OK;
}

static cot_status expect(const cJSON *object, const char *key, const char *want, const char *where, cot_error *err)
{
    char text[129];
    cot_status status;
    COT_TRY(json_text(text, sizeof text, object, key, where, err));
    if (strcmp(text, want))
        status = cot_fail(err, COT_E_MODEL, "%s: \"%s\" is \"%s\", this program reads \"%s\"", where, key, text, want);
done:
    return status;
}

/* ---- parts ---- */
static cot_status read_classes(architecture *arch, const cJSON *list, const char *where, const cot_steps *steps,
                               cot_error *err)
{
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != steps->n_steps)
        return cot_fail(err, COT_E_MODEL,
                        "%s: \"step_classes\" lists %d steps, the step schema %s has %zu: use the schema the "
                        "model was made for, or another model",
                        where, cJSON_GetArraySize(list), steps->id, steps->n_steps);
    for (size_t s = 0; s < steps->n_steps || s == 0; s++)
        if (!steps->n_steps || !steps->steps[s].n_options)
            return cot_fail(err, COT_E_CONFIG, "step schema %s: there must be steps, each with options", steps->id);
    arch->classes = calloc(steps->n_steps + 1, sizeof *arch->classes);
    if (!arch->classes) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    arch->n_steps = steps->n_steps;
    const cJSON *item = list->child;
    for (size_t s = 0; s < steps->n_steps; s++, item = item->next) {
        arch->classes[s] = steps->steps[s].n_options;
        if (!cJSON_IsNumber(item) || item->valuedouble != (double)arch->classes[s])
            return cot_fail(err, COT_E_MODEL,
                            "%s: \"step_classes\" gives step \"%s\" %g answers, the step schema %s gives it "
                            "%zu: use the schema the model was made for, or another model",
                            where, steps->steps[s].id, cJSON_IsNumber(item) ? item->valuedouble : 0.0, steps->id,
                            arch->classes[s]);
    }
    return COT_OK;
}

static cot_status read_kind(encoder_kind *kind, const cJSON *part, const char *where, cot_error *err)
{
    char text[33];
    const cot_status status = json_text(text, sizeof text, part, "kind", where, err);
    if (status != COT_OK) return status;
    for (*kind = 0; *kind < ENCODERS; (*kind)++)
        if (!strcmp(text, architecture_kind(*kind))) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "%s: \"kind\" is \"%s\", this program reads \"%s\", \"%s\" and \"%s\"", where,
                    text, architecture_kind(ENCODER_RESNET18), architecture_kind(ENCODER_DENSENET),
                    architecture_kind(ENCODER_CLIP));
}

static cot_status read_clip(clip_shape *clip, const cJSON *parent, const char *where, cot_error *err)
{
    const cJSON *part = NULL;
    cot_status status;
    COT_TRY(member(&part, parent, "encoder", where, err));
    COT_TRY(json_size(&clip->resolution, part, "resolution", 1, CLIP_RESOLUTION_MAX, where, err));
    COT_TRY(json_size(&clip->patch, part, "patch", 1, clip->resolution, where, err));
    COT_TRY(json_size(&clip->width, part, "width", 1, ENCODER_WIDTH_MAX, where, err));
    COT_TRY(json_size(&clip->layers, part, "layers", 1, ENCODER_LAYERS_MAX, where, err));
    COT_TRY(json_size(&clip->heads, part, "heads", 1, clip->width, where, err));
    COT_TRY(json_size(&clip->inner, part, "inner", 1, 8 * ENCODER_WIDTH_MAX, where, err));
    COT_TRY(json_size(&clip->features, part, "features", 1, ENCODER_WIDTH_MAX, where, err));
    if (clip->width % clip->heads)
        status =
            cot_fail(err, COT_E_MODEL, "%s: \"heads\" %zu must divide \"width\" %zu", where, clip->heads, clip->width);
done:
    return status;
}

static cot_status read_architecture(model_card *card, const char *where, const cot_steps *steps, cot_error *err)
{
    const cJSON *part = NULL;
    cot_status status;
    architecture *arch = &card->arch;
    COT_TRY(member(&part, card->json, "architecture", where, err));
    COT_TRY(read_kind(&arch->encoder, part, where, err));
    if (arch->encoder == ENCODER_CLIP)
        COT_TRY(read_clip(&arch->clip, part, where, err));
    else if (arch->encoder == ENCODER_DENSENET)
        COT_TRY(densenet_read(&arch->densenet, part, where, err));
    else
        COT_TRY(json_size(&arch->width, part, "width", 1, CARD_WIDTH_MAX, where, err));
    COT_TRY(json_size(&arch->dim, part, "dim", 1, CARD_DIM_MAX, where, err));
    COT_TRY(read_classes(arch, cJSON_GetObjectItemCaseSensitive(part, "step_classes"), where, steps, err));
done:
    return status;
}

/* "mean" or "std" of CLIP: one number per channel. */
static cot_status read_channels(float to[CLIP_CHANNELS], const cJSON *part, const char *key, double low,
                                const char *where, cot_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(part, key), *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (n == CLIP_CHANNELS || !cJSON_IsNumber(item) || !(item->valuedouble >= low && item->valuedouble <= 1e6))
            break;
        to[n++] = (float)item->valuedouble;
    }
    if (n == CLIP_CHANNELS && cJSON_GetArraySize(list) == CLIP_CHANNELS) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "%s: \"%s\" must list %d numbers from %g to 1e6, one per channel", where, key,
                    CLIP_CHANNELS, low);
}

/* The grey channel's, or those of CLIP's three, which its weights take in. */
static cot_status read_normalisation(model_card *card, const cJSON *part, const char *where, cot_error *err)
{
    cot_status status;
    double mean = 0, std = 1;
    if (card->arch.encoder == ENCODER_CLIP) {
        COT_TRY(read_channels(card->clip.mean, part, "mean", -1e6, where, err));
        COT_TRY(read_channels(card->clip.std, part, "std", 1e-6, where, err));
        if (card->size != card->arch.clip.resolution) {
            status = cot_fail(err, COT_E_MODEL, "%s: \"size\" is %zu, the encoder's \"resolution\" %zu", where,
                              card->size, card->arch.clip.resolution);
            goto done;
        }
    } else {
        COT_TRY(json_number(&mean, part, "mean", -1e6, 1e6, where, err));
        COT_TRY(json_number(&std, part, "std", 1e-6, 1e6, where, err));
    }
    card->mean = (float)mean;
    card->std = (float)std;
done:
    return status;
}

static cot_status read_preprocessing(model_card *card, const char *where, cot_error *err)
{
    const cJSON *part = NULL;
    cot_status status;
    char filter[17];
    size_t channels = 0;
    const size_t least = card->arch.encoder == ENCODER_CLIP ? 1 : CARD_SIZE_MIN;
    COT_TRY(member(&part, card->json, "preprocessing", where, err));
    COT_TRY(json_size(&card->size, part, "size", least, CARD_SIZE_MAX, where, err));
    COT_TRY(json_text(filter, sizeof filter, part, "filter", where, err));
    COT_TRY(expect(part, "fit", "stretch", where, err));
    COT_TRY(json_size(&channels, part, "channels", 1, 1, where, err));
    COT_TRY(read_normalisation(card, part, where, err));
    if (strcmp(filter, "bicubic") && strcmp(filter, "bilinear")) {
        status =
            cot_fail(err, COT_E_MODEL, "%s: \"filter\" is \"%s\", must be \"bicubic\" or \"bilinear\"", where, filter);
        goto done;
    }
    card->filter = filter[2] == 'c' ? COT_FILTER_BICUBIC : COT_FILTER_BILINEAR;
done:
    return status;
}

static cot_status mark_supervised(bool *marks, const cJSON *id, const char *where, const cot_steps *steps,
                                  cot_error *err)
{
    for (size_t s = 0; cJSON_IsString(id) && s < steps->n_steps; s++)
        if (!strcmp(id->valuestring, steps->steps[s].id)) {
            marks[s] = true;
            return COT_OK;
        }
    return cot_fail(err, COT_E_MODEL, "%s: \"supervised\" names step \"%.64s\", which the step schema %s does not have",
                    where, cJSON_IsString(id) ? id->valuestring : "(not a text)", steps->id);
}

/* "supervised": for which steps there were labels. *marks belongs to the card in every case. */
static cot_status read_supervised(bool **marks, const cJSON *part, const char *where, const cot_steps *steps,
                                  cot_error *err)
{
    cot_status status = COT_OK;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(part, "supervised"), *id;
    *marks = calloc(steps->n_steps + 1, sizeof **marks);
    if (!*marks) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    if (!cJSON_IsArray(list))
        return cot_fail(err, COT_E_MODEL, "%s: \"supervised\" must list the ids of the trained steps", where);
    cJSON_ArrayForEach(id, list) COT_TRY(mark_supervised(*marks, id, where, steps, err));
done:
    return status;
}

static cot_status read_steps(model_card *card, const char *where, const cot_steps *steps, cot_error *err)
{
    const cJSON *part = NULL;
    cot_status status;
    COT_TRY(member(&part, card->json, "steps", where, err));
    COT_TRY(json_text(card->schema_id, sizeof card->schema_id, part, "schema", where, err));
    if (strcmp(card->schema_id, steps->id)) {
        status = cot_fail(err, COT_E_MODEL,
                          "%s: the model answers the step schema \"%s\", the program runs with \"%s\": use that "
                          "schema, or another model",
                          where, card->schema_id, steps->id);
        goto done;
    }
    COT_TRY(read_supervised(&card->supervised, part, where, steps, err));
done:
    return status;
}

/* A second model over the same encoder; most packages have none. */
static cot_status read_teacher(model_card *card, const char *where, const cot_steps *steps, cot_error *err)
{
    const cJSON *part = NULL;
    cot_status status;
    teacher_arch *t = &card->arch.teacher;
    if (!cJSON_HasObjectItem(card->json, "teacher")) return COT_OK;
    COT_TRY(member(&part, card->json, "teacher", where, err));
    COT_TRY(json_text(card->teacher.name, sizeof card->teacher.name, part, "name", where, err));
    COT_TRY(json_text(card->teacher.training, sizeof card->teacher.training, part, "training", where, err));
    COT_TRY(json_text(card->teacher.prompts, sizeof card->teacher.prompts, part, "prompts", where, err));
    COT_TRY(json_size(&t->dim, part, "dim", 1, TEACHER_DIM_MAX, where, err));
    COT_TRY(json_size(&t->heads, part, "heads", 1, t->dim, where, err));
    COT_TRY(json_size(&t->layers, part, "layers", 1, ENCODER_LAYERS_MAX, where, err));
    COT_TRY(read_supervised(&card->teacher.supervised, part, where, steps, err));
    if (t->dim % t->heads)
        status = cot_fail(err, COT_E_MODEL, "%s: the teacher's \"heads\" %zu must divide its \"dim\" %zu", where,
                          t->heads, t->dim);
done:
    return status;
}

static cot_status read_identity(model_card *card, const char *where, cot_error *err)
{
    const cJSON *weights = NULL;
    cot_status status;
    COT_TRY(expect(card->json, "schema", CARD_SCHEMA, where, err));
    COT_TRY(json_text(card->name, sizeof card->name, card->json, "name", where, err));
    COT_TRY(json_text(card->version, sizeof card->version, card->json, "version", where, err));
    COT_TRY(json_text(card->role, sizeof card->role, card->json, "role", where, err));
    COT_TRY(json_text(card->notice, sizeof card->notice, card->json, "notice", where, err));
    COT_TRY(json_text(card->training, sizeof card->training, card->json, "training", where, err));
    COT_TRY(json_text(card->attribution, sizeof card->attribution, card->json, "data_attribution", where, err));
    COT_TRY(member(&weights, card->json, "weights", where, err));
    COT_TRY(json_text(card->weights_sha256, sizeof card->weights_sha256, weights, "sha256", where, err));
done:
    return status;
}

cot_status card_parse(model_card **out, const char *text, const char *where, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    *out = NULL;
    model_card *card = calloc(1, sizeof *card);
    if (!card) return cot_fail(err, COT_E_MEMORY, "%s: no memory", where);
    COT_TRY(json_object(&card->json, text, where, err));
    COT_TRY(read_identity(card, where, err));
    COT_TRY(read_steps(card, where, steps, err)); /* before the sizes: another schema explains other sizes */
    COT_TRY(read_architecture(card, where, steps, err));
    COT_TRY(read_teacher(card, where, steps, err));
    COT_TRY(read_preprocessing(card, where, err));
    COT_TRY(calibration_read(card, where, steps, err));
    *out = card;
    card = NULL;
done:
    card_destroy(card);
    return status;
}

void card_destroy(model_card *card)
{
    if (!card) return;
    cJSON_Delete(card->json);
    free(card->arch.classes);
    free(card->supervised);
    free(card->teacher.supervised);
    free(card->temperature);
    free(card->teacher.temperature);
    free(card);
}
