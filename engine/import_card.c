/* model.json of a package that is imported: from the options, the training run's summary and the tensors' sizes (card.h reads
 * it).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/import.h"

#include <stdlib.h>
#include <string.h>

static const char default_notice[] = "Demonstration model, not a medical device: not for diagnosis or treatment.";
static const char epoch_caveat[] =
    "Measured on the validation patients on whom the epoch was chosen: better than on new patients.";

/* ---- parts ---- */
/* The option, else the summary's member, else the fallback. */
static const char *choose_text(const importing *im, const char *option, const char *key, const char *fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(im->summary, key);
    if (option && option[0]) return option;
    return cJSON_IsString(item) && item->valuestring[0] ? item->valuestring : fallback;
}

static const char *folder_name(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] != '/') n--;
    return path[n] ? path + n : "model";
}

static void describe_training(char *text, size_t size, const importing *im)
{
    snprintf(text, size, "Split: %.400s. Optimiser: %.400s.", choose_text(im, NULL, "split", "not stated"),
             choose_text(im, NULL, "optimiser", "not stated"));
}

static bool add_identity(importing *im)
{
    char training[1025];
    const cot_import_options *o = im->options;
    describe_training(training, sizeof training, im);
    return cJSON_AddStringToObject(im->card, "schema", CARD_SCHEMA) &&
           cJSON_AddStringToObject(im->card, "name", choose_text(im, o->name, "name", folder_name(o->source))) &&
           cJSON_AddStringToObject(im->card, "version", choose_text(im, o->version, "version", "1")) &&
           cJSON_AddStringToObject(im->card, "role", "student") &&
           cJSON_AddStringToObject(im->card, "notice", choose_text(im, o->notice, "notice", default_notice)) &&
           cJSON_AddStringToObject(im->card, "training", choose_text(im, o->training, "training", training)) &&
           cJSON_AddStringToObject(im->card, "data_attribution",
                                   choose_text(im, o->attribution, "attribution", "not stated"));
}

/* The members of card.c's read_clip. */
static bool add_clip(cJSON *parent, const clip_shape *s)
{
    const struct {
        const char *key;
        size_t value;
    } sizes[] = {{"resolution", s->resolution}, {"patch", s->patch}, {"width", s->width},      {"layers", s->layers},
                 {"heads", s->heads},           {"inner", s->inner}, {"features", s->features}};
    cJSON *part = cJSON_AddObjectToObject(parent, "encoder");
    bool ok = part != NULL;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++)
        ok = cJSON_AddNumberToObject(part, sizes[i].key, (double)sizes[i].value) != NULL;
    return ok;
}

static bool add_architecture(importing *im)
{
    const bool is_clip = im->arch.encoder == ENCODER_CLIP;
    cJSON *part = cJSON_AddObjectToObject(im->card, "architecture"), *classes;
    if (!part || !cJSON_AddStringToObject(part, "kind", architecture_kind(im->arch.encoder)) ||
        !(is_clip ? add_clip(part, &im->arch.clip)
          : im->arch.encoder == ENCODER_DENSENET
              ? densenet_write(part, &im->arch.densenet)
              : cJSON_AddNumberToObject(part, "width", (double)im->arch.width) != NULL) ||
        !cJSON_AddNumberToObject(part, "dim", (double)im->arch.dim) ||
        !(classes = cJSON_AddArrayToObject(part, "step_classes")))
        return false;
    for (size_t s = 0; s < im->arch.n_steps; s++)
        if (!cJSON_AddItemToArray(classes, cJSON_CreateNumber((double)im->arch.classes[s]))) return false;
    return true;
}

/* The shortest decimal that is this float again: what people wrote, mostly. */
static double as_written(float value)
{
    char text[32] = "";
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    return strtod(text, NULL);
}

/* "mean" or "std": one number per channel. */
static bool add_channels(cJSON *part, const char *key, const float values[CLIP_CHANNELS])
{
    cJSON *list = cJSON_AddArrayToObject(part, key);
    for (size_t i = 0; list && i < CLIP_CHANNELS; i++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateNumber(as_written(values[i])))) return false;
    return list != NULL;
}

static bool add_clip_normalisation(const importing *im, cJSON *part)
{
    const clip_normalisation *z = &im->clip.normalisation;
    return cJSON_AddStringToObject(part, "patch embedding", "the one channel stands for three, each normalised") &&
           add_channels(part, "mean", z->mean) && add_channels(part, "std", z->std);
}

static cot_status add_preprocessing(importing *im, cot_error *err)
{
    cot_status status = COT_OK;
    size_t size = im->arch.clip.resolution;
    double mean = 0, std = 1;
    const bool is_clip = im->arch.encoder == ENCODER_CLIP;
    if (!is_clip) {
        COT_TRY(json_size(&size, im->summary, "size", CARD_SIZE_MIN, CARD_SIZE_MAX, im->summary_path, err));
        COT_TRY(json_number(&mean, im->summary, "mean", -1e6, 1e6, im->summary_path, err));
        COT_TRY(json_number(&std, im->summary, "std", 1e-6, 1e6, im->summary_path, err));
    }
    cJSON *part = cJSON_AddObjectToObject(im->card, "preprocessing");
    bool ok = part && cJSON_AddNumberToObject(part, "size", (double)size) &&
              cJSON_AddStringToObject(part, "filter", choose_text(im, NULL, "filter", "bicubic")) &&
              cJSON_AddStringToObject(part, "fit", "stretch") && cJSON_AddNumberToObject(part, "channels", 1);
    if (ok && is_clip)
        ok = add_clip_normalisation(im, part);
    else if (ok)
        ok = cJSON_AddStringToObject(part, "stem", "the one channel stands for three equal ones") &&
             cJSON_AddNumberToObject(part, "mean", mean) && cJSON_AddNumberToObject(part, "std", std);
    if (!ok) status = cot_fail(err, COT_E_MEMORY, "model import: no memory");
done:
    return status;
}

/* "supervised": summary.json counts steps from 1; model.json names them. */
static cot_status add_supervised(cJSON *part, const importing *im, const cJSON *list, cot_error *err)
{
    const cJSON *item;
    cJSON *ids = cJSON_AddArrayToObject(part, "supervised");
    if (!ids) return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    if (!cJSON_IsArray(list))
        return cot_fail(err, COT_E_MODEL, "%s: \"supervised_steps\" must list the numbers of the trained steps, from 1",
                        im->summary_path);
    cJSON_ArrayForEach(item, list)
    {
        const double v = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (!(v >= 1 && v <= (double)im->steps->n_steps) || v != (double)(size_t)v)
            return cot_fail(err, COT_E_MODEL, "%s: \"supervised_steps\" has an entry that is no step from 1 to %zu",
                            im->summary_path, im->steps->n_steps);
        if (!cJSON_AddItemToArray(ids, cJSON_CreateString(im->steps->steps[(size_t)v - 1].id)))
            return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    }
    return COT_OK;
}

static cot_status add_steps(importing *im, cot_error *err)
{
    cJSON *part = cJSON_AddObjectToObject(im->card, "steps");
    if (!part || !cJSON_AddStringToObject(part, "schema", im->steps->id))
        return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    return add_supervised(part, im, cJSON_GetObjectItemCaseSensitive(im->summary, "supervised_steps"), err);
}

/* At most n bytes, not ending inside a UTF-8 character. */
static void cut_text(char *to, const char *from, size_t n)
{
    size_t m = strlen(from);
    if (m > n) {
        m = n;
        while (m && ((unsigned char)from[m] & 0xc0) == 0x80) m--;
    }
    memcpy(to, from, m);
    to[m] = 0;
}

/* Of the teacher, "teacher" in summary.json may say {"name", "training", "supervised_steps"}; what it does not say is the
 * student's: they are trained on the same labels. */
static cot_status add_teacher(importing *im, cot_error *err)
{
    static const char role[] = ", teacher";
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(im->summary, "teacher");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(said, "name"),
                *training = cJSON_GetObjectItemCaseSensitive(said, "training"),
                *steps = cJSON_GetObjectItemCaseSensitive(said, "supervised_steps");
    const char *student_training = cJSON_GetObjectItemCaseSensitive(im->card, "training")->valuestring;
    char a_name[65], a_training[756];
    const teacher_arch *t = &im->arch.teacher;
    if (!t->dim) return COT_OK;
    cut_text(a_name, cJSON_GetObjectItemCaseSensitive(im->card, "name")->valuestring, 64 - strlen(role));
    strcat(a_name, role);
    if (cJSON_IsString(name)) cut_text(a_name, name->valuestring, sizeof a_name - 1);
    cut_text(a_training, cJSON_IsString(training) ? training->valuestring : student_training, sizeof a_training - 1);
    cJSON *part = cJSON_AddObjectToObject(im->card, "teacher");
    const bool ok = part && cJSON_AddStringToObject(part, "name", a_name) &&
                    cJSON_AddStringToObject(part, "training", a_training) &&
                    cJSON_AddStringToObject(part, "prompts", im->teacher.prompts_text) &&
                    cJSON_AddNumberToObject(part, "dim", (double)t->dim) &&
                    cJSON_AddNumberToObject(part, "heads", (double)t->heads) &&
                    cJSON_AddNumberToObject(part, "layers", (double)t->layers);
    if (!ok) return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    return add_supervised(part, im, steps ? steps : cJSON_GetObjectItemCaseSensitive(im->summary, "supervised_steps"),
                          err);
}

/* Only the numbers of steps that this package answers: "<step id>_auc"; those of left-out heads would mislead. */
static bool add_metrics(importing *im)
{
    cJSON *part = cJSON_AddObjectToObject(im->card, "metrics");
    bool ok = part && cJSON_AddStringToObject(part, "validation", choose_text(im, NULL, "split", "not stated"));
    for (size_t s = 0; ok && s < im->steps->n_steps; s++) {
        char key[64];
        snprintf(key, sizeof key, "%s_auc", im->steps->steps[s].id);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(im->summary, key);
        if (cJSON_IsNumber(item)) ok = cJSON_AddNumberToObject(part, key, item->valuedouble);
    }
    if (ok && cJSON_HasObjectItem(im->summary, "epoch")) ok = cJSON_AddStringToObject(part, "caveat", epoch_caveat);
    return ok && cJSON_AddStringToObject(part, "certainty", "raw softmax, not calibrated");
}

/* ---- whole ---- */
cot_status import_card(importing *im, cot_error *err)
{
    cot_status status = COT_OK;
    im->card = cJSON_CreateObject();
    bool ok = im->card && add_identity(im) && add_architecture(im);
    if (ok) COT_TRY(add_preprocessing(im, err));
    if (ok) COT_TRY(add_steps(im, err));
    if (ok) COT_TRY(add_teacher(im, err));
    cJSON *ignored = ok && add_metrics(im) ? cJSON_AddObjectToObject(im->card, "ignored_tensors") : NULL;
    ok = ignored && (im->left_out = cJSON_AddArrayToObject(ignored, "left_out")) &&
         (im->kept = cJSON_AddArrayToObject(ignored, "kept"));
    if (!ok) status = cot_fail(err, COT_E_MEMORY, "model import: no memory for model.json");
done:
    return status;
}
