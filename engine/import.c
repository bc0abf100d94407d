/* Makes a package from a folder that a training run left: weights.safetensors and summary.json; CLIP may also come from a
 * checkpoint folder of its own. The package appears whole under its name or not at all; the same source gives the same
 * bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/checkpoint.h"
#include "engine/clip.h"
#include "engine/package.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_notice[] = "Demonstration model, not a medical device: not for diagnosis or treatment.";
static const char epoch_caveat[] =
    "Measured on the validation patients on whom the epoch was chosen: better than on new patients.";

typedef struct importing {
    const cot_import_options *options;
    const cot_steps *steps;
    char summary_path[1100], weights_path[1100], temporary[1100];
    cJSON *summary, *card;
    safetensors *source;
    architecture arch;
    clip_checkpoint clip; /* its tensors may be those of source */
    naming_claim *claims; /* [tensors of source] what CLIP takes of them */
    const char *student;  /* what stands before the student's names in source: "student." or nothing */
    tensor_spec *table;   /* the architecture's */
    tensor *tensors;      /* what is written: the architecture's, then kept extras */
    size_t n;
    cJSON *left_out, *kept; /* belong to card */
} importing;

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}
static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with);
}

/* ---- what the source is ---- */
static cot_status open_source(importing *im, cot_error *err)
{
    cot_status status;
    char *text = NULL;
    size_t size = 0;
    const char *folder = im->options->source;
    if (!folder || !im->options->out || strlen(folder) > 1000 || strlen(im->options->out) > 1000)
        return cot_fail(err, COT_E_USAGE,
                        "model import: name a source folder and an output folder (paths up to 1000 bytes)");
    snprintf(im->summary_path, sizeof im->summary_path, "%s/summary.json", folder);
    snprintf(im->weights_path, sizeof im->weights_path, "%s/weights.safetensors", folder);
    if (cot_file_read(&text, &size, im->summary_path, CARD_BYTES_MAX, err) != COT_OK) {
        cot_fail_in(err, "model import: a source folder holds weights.safetensors and summary.json");
        if (err) err->status = COT_E_MODEL;
        status = COT_E_MODEL;
        goto done;
    }
    COT_TRY(json_object(&im->summary, text, im->summary_path, err));
    COT_TRY(safetensors_open(&im->source, im->weights_path, err));
done:
    free(text);
    return status;
}

static cot_status first_dimension(size_t *out, const importing *im, const char *name, cot_error *err)
{
    const tensor *t = safetensors_find(im->source, name);
    if (!t || !t->rank || !t->shape[0])
        return cot_fail(
            err, COT_E_MODEL,
            "%s: tensor %s is missing: only a ResNet-18 (torchvision names under cnn.) or a CLIP image tower "
            "with a Step-CoT student (student.) can be imported",
            im->weights_path, name);
    *out = t->shape[0];
    return COT_OK;
}

static bool has_clip(const safetensors *file)
{
    for (size_t i = 0; i < safetensors_count(file); i++)
        if (ends(safetensors_at(file, i)->name, ".class_embedding")) return true;
    return false;
}

/* Sizes of the encoder, from its tensors. */
static cot_status find_encoder(importing *im, cot_error *err)
{
    cot_status status;
    const bool inside = !im->options->clip && !safetensors_find(im->source, "cnn.conv1.weight") && has_clip(im->source);
    im->claims = calloc(safetensors_count(im->source) + 1, sizeof *im->claims);
    if (!im->claims) return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    if (im->options->clip)
        COT_TRY(clip_checkpoint_open(&im->clip, im->options->clip, err));
    else if (inside)
        COT_TRY(naming_clip(&im->clip.tensors, &im->clip.shape, im->claims, im->source, im->weights_path, CLIP_PREFIX,
                            0, err));
    else
        COT_TRY(first_dimension(&im->arch.width, im, "cnn.conv1.weight", err));
    if (inside) im->clip.normalisation = clip_published;
    im->arch.encoder = im->clip.tensors.n ? ENCODER_CLIP : ENCODER_RESNET18;
    im->arch.clip = im->clip.shape;
done:
    return status;
}

/* The student's feature size from its tensors, step sizes from the schema. */
static cot_status find_student(importing *im, cot_error *err)
{
    cot_status status;
    im->student = safetensors_find(im->source, STUDENT_PROJECTION ".0.weight") ||
                          !safetensors_find(im->source, STUDENT_PROJECTION ".0.weight" + strlen(STUDENT_PREFIX))
                      ? STUDENT_PREFIX
                      : "";
    COT_TRY(first_dimension(&im->arch.dim, im,
                            STUDENT_PROJECTION ".0.weight" + (im->student[0] ? 0 : strlen(STUDENT_PREFIX)), err));
    if (im->arch.width > CARD_WIDTH_MAX || im->arch.dim > CARD_DIM_MAX) {
        status = cot_fail(err, COT_E_MODEL, "%s: width %zu or feature %zu is above %d, %d", im->weights_path,
                          im->arch.width, im->arch.dim, CARD_WIDTH_MAX, CARD_DIM_MAX);
        goto done;
    }
    im->arch.n_steps = im->steps->n_steps;
    im->arch.classes = calloc(im->steps->n_steps + 1, sizeof *im->arch.classes);
    if (!im->arch.classes) status = cot_fail(err, COT_E_MEMORY, "model import: no memory");
    for (size_t s = 0; im->arch.classes && s < im->arch.n_steps; s++)
        im->arch.classes[s] = im->steps->steps[s].n_options;
done:
    return status;
}

static cot_status find_architecture(importing *im, cot_error *err)
{
    cot_status status;
    COT_TRY(find_encoder(im, err));
    COT_TRY(find_student(im, err));
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(im->summary, "width");
    const size_t width = im->arch.encoder == ENCODER_CLIP ? im->arch.clip.width : im->arch.width;
    if (said && (!cJSON_IsNumber(said) || said->valuedouble != (double)width))
        status = cot_fail(err, COT_E_MODEL,
                          "%s: \"width\" is not %zu, which the weights have: the two files are not of one "
                          "training run",
                          im->summary_path, width);
done:
    return status;
}

/* ---- tensors ---- */
/* What looks like one of our models' but fits nowhere: not an extra, but a sign of another architecture. */
static bool is_stray(const importing *im, const char *name)
{
    if (ends(name, ".num_batches_tracked")) return false; /* training bookkeeping of batch norm */
    if (im->arch.encoder == ENCODER_CLIP && (strstr(name, "visual.") || strstr(name, "vision_model."))) return true;
    return starts(name, "cnn.") || starts(name, STUDENT_PREFIX) ||
           (!im->student[0] && (starts(name, "img_proj.") || starts(name, "step_heads.")));
}

static cot_status sort_out_extra(importing *im, size_t at, cot_error *err)
{
    const tensor *t = safetensors_at(im->source, at);
    if (im->claims[at] == NAMING_UNKNOWN && is_stray(im, t->name))
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s does not belong to a %s with %zu steps: another "
                        "architecture, or weights for another step schema",
                        im->weights_path, t->name, architecture_kind(im->arch.encoder), im->arch.n_steps);
    const bool keep = im->options->keep_extra && im->claims[at] == NAMING_UNKNOWN &&
                      !ends(t->name, ".num_batches_tracked") && !starts(t->name, CLIP_PREFIX);
    if (keep) im->tensors[im->n++] = *t;
    if (!cJSON_AddItemToArray(keep ? im->kept : im->left_out, cJSON_CreateString(t->name)))
        return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    return COT_OK;
}

/* A tensor of the architecture, from the checkpoint of CLIP or from the source, where the student may lack its prefix. */
static cot_status choose_tensor(importing *im, const tensor_spec *spec, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t skip = starts(spec->name, STUDENT_PREFIX) ? strlen(STUDENT_PREFIX) - strlen(im->student) : 0;
    tensor *t = &im->tensors[im->n];
    for (size_t i = 0; i < im->clip.tensors.n; i++)
        if (!strcmp(im->clip.tensors.tensors[i].name, spec->name)) {
            *t = im->clip.tensors.tensors[i];
            im->n++;
            return COT_OK;
        }
    tensor_spec theirs = *spec;
    snprintf(theirs.name, sizeof theirs.name, "%s", spec->name + skip);
    COT_TRY(package_check_tensor(im->source, &theirs, im->weights_path, err));
    const tensor *found = safetensors_find(im->source, theirs.name);
    *t = *found;
    t->name = spec->name;
    im->n++;
    if (im->claims[found - safetensors_at(im->source, 0)] == NAMING_UNKNOWN)
        im->claims[found - safetensors_at(im->source, 0)] = NAMING_TAKEN;
done:
    return status;
}

static cot_status choose_tensors(importing *im, cot_error *err)
{
    cot_status status;
    size_t n = 0;
    const size_t all = safetensors_count(im->source);
    COT_TRY(architecture_tensors(&im->table, &n, &im->arch, err));
    im->tensors = calloc(all + n, sizeof *im->tensors);
    if (!im->tensors) {
        status = cot_fail(err, COT_E_MEMORY, "model import: no memory");
        goto done;
    }
    for (size_t i = 0; i < n; i++) COT_TRY(choose_tensor(im, &im->table[i], err));
    for (size_t i = 0; i < all; i++)
        if (im->claims[i] != NAMING_TAKEN) COT_TRY(sort_out_extra(im, i, err));
done:
    return status;
}

/* ---- model.json ---- */
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

/* summary.json counts steps from 1; model.json names them. */
static cot_status add_steps(importing *im, cot_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(im->summary, "supervised_steps"), *item;
    cJSON *part = cJSON_AddObjectToObject(im->card, "steps"), *ids;
    if (!part || !cJSON_AddStringToObject(part, "schema", im->steps->id) ||
        !(ids = cJSON_AddArrayToObject(part, "supervised")))
        return cot_fail(err, COT_E_MEMORY, "model import: no memory");
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

static cot_status write_card(importing *im, const char *folder, const char *weights_sha256, cot_error *err)
{
    char path[1200];
    cJSON *weights = cJSON_AddObjectToObject(im->card, "weights");
    char *text = weights && cJSON_AddStringToObject(weights, "sha256", weights_sha256) ? cJSON_Print(im->card) : NULL;
    if (!text) return cot_fail(err, COT_E_MEMORY, "model import: no memory for model.json");
    snprintf(path, sizeof path, "%s/model.json", folder);
    const size_t n = strlen(text);
    text[n] = '\n'; /* over the NUL, which nothing needs any more */
    const cot_status status = cot_file_write_durable(path, text, n + 1, err);
    cJSON_free(text);
    return status;
}

static cot_status write_weights(importing *im, const char *folder, char sha256[65], cot_error *err)
{
    cot_status status;
    unsigned char *bytes = NULL;
    size_t size = 0;
    char path[1200];
    snprintf(path, sizeof path, "%s/weights.safetensors", folder);
    COT_TRY(safetensors_build(&bytes, &size, im->tensors, im->n, err));
    cot_sha256_of(sha256, bytes, size);
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
done:
    free(bytes);
    return status;
}

/* ---- whole ---- */
static cot_status build_card(importing *im, cot_error *err)
{
    cot_status status = COT_OK;
    im->card = cJSON_CreateObject();
    bool ok = im->card && add_identity(im) && add_architecture(im);
    if (ok) COT_TRY(add_preprocessing(im, err));
    if (ok) COT_TRY(add_steps(im, err));
    cJSON *ignored = ok && add_metrics(im) ? cJSON_AddObjectToObject(im->card, "ignored_tensors") : NULL;
    ok = ignored && (im->left_out = cJSON_AddArrayToObject(ignored, "left_out")) &&
         (im->kept = cJSON_AddArrayToObject(ignored, "kept"));
    if (!ok) status = cot_fail(err, COT_E_MEMORY, "model import: no memory for model.json");
done:
    return status;
}

static cot_status make_temporary(importing *im, cot_error *err)
{
    struct stat st;
    if (lstat(im->options->out, &st) == 0)
        return cot_fail(err, COT_E_IO, "%s is there already: remove it or name another folder", im->options->out);
    char name[sizeof im->temporary];
    size_t n = strlen(im->options->out);
    while (n > 1 && im->options->out[n - 1] == '/') n--;
    snprintf(name, sizeof name, "%.*s.XXXXXX", (int)n, im->options->out);
    if (!mkdtemp(name) || chmod(name, 0755) != 0)
        return cot_fail(err, COT_E_IO, "make a folder beside %s: %s", im->options->out, strerror(errno));
    memcpy(im->temporary, name, sizeof name);
    return COT_OK;
}

static void remove_temporary(const importing *im)
{
    char path[1200];
    if (!im->temporary[0]) return;
    snprintf(path, sizeof path, "%s/model.json", im->temporary);
    unlink(path);
    snprintf(path, sizeof path, "%s/weights.safetensors", im->temporary);
    unlink(path);
    rmdir(im->temporary);
}

/* The new package must open before it gets its name. */
static cot_status publish(importing *im, cot_error *err)
{
    cot_status status;
    cot_package *check = NULL;
    COT_TRY(cot_package_open(&check, im->temporary, im->steps, err));
    if (rename(im->temporary, im->options->out) != 0) {
        status = cot_fail(err, COT_E_IO, "rename to %s: %s", im->options->out, strerror(errno));
        goto done;
    }
    im->temporary[0] = 0;
done:
    cot_package_close(check);
    return status;
}

cot_status cot_package_import(const cot_import_options *options, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    char sha256[65];
    importing im = {.options = options, .steps = steps};
    COT_TRY(open_source(&im, err));
    COT_TRY(find_architecture(&im, err));
    COT_TRY(build_card(&im, err));
    COT_TRY(choose_tensors(&im, err));
    COT_TRY(make_temporary(&im, err));
    COT_TRY(write_weights(&im, im.temporary, sha256, err));
    COT_TRY(write_card(&im, im.temporary, sha256, err));
    COT_TRY(publish(&im, err));
done:
    remove_temporary(&im);
    safetensors_close(im.source);
    cJSON_Delete(im.summary);
    cJSON_Delete(im.card);
    clip_checkpoint_close(&im.clip);
    free(im.arch.classes);
    free(im.claims);
    free(im.table);
    free(im.tensors);
    return status;
}
