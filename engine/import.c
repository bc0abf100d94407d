/* Makes a package from a folder that a training run left: weights.safetensors and summary.json; CLIP may also come from a
 * checkpoint folder of its own. The package appears whole under its name or not at all; the same source gives the same
 * bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/import.h"
#include "engine/clip.h"
#include "engine/import_torchvision.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    const bool own = im->options->clip || im->options->encoder;
    const bool inside = !own && !safetensors_find(im->source, "cnn.conv1.weight") && has_clip(im->source);
    im->claims = calloc(safetensors_count(im->source) + 1, sizeof *im->claims);
    if (!im->claims) return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    if (im->options->clip)
        COT_TRY(clip_checkpoint_open(&im->clip, im->options->clip, err));
    else if (inside)
        COT_TRY(naming_clip(&im->clip.tensors, &im->clip.shape, im->claims, im->source, im->weights_path, CLIP_PREFIX,
                            0, err));
    else if (im->options->encoder)
        COT_TRY(torchvision_open(&im->clip, &im->arch, im->options->encoder, err));
    else
        COT_TRY(torchvision_find(&im->clip.tensors, &im->arch, im->claims, im->source, im->weights_path, err));
    if (inside) im->clip.normalisation = clip_published;
    if (inside || im->options->clip) im->arch.encoder = ENCODER_CLIP;
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
    const teacher_source source = {im->source, im->weights_path, im->claims};
    COT_TRY(teacher_import_open(&im->teacher, &im->arch, im->options, &source, im->steps, err));
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(im->summary, "width");
    const size_t width = im->arch.encoder == ENCODER_CLIP       ? im->arch.clip.width
                         : im->arch.encoder == ENCODER_DENSENET ? im->arch.densenet.init
                                                                : im->arch.width;
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
    return starts(name, "cnn.") || starts(name, STUDENT_PREFIX) || teacher_import_stray(&im->teacher, name) ||
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
    if (starts(spec->name, TEACHER_PREFIX) || !strcmp(spec->name, PROMPTS_NAME)) {
        im->n++;
        return teacher_import_tensor(t, &im->teacher, spec, err);
    }
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
    COT_TRY(teacher_import_finish(&im->teacher, &im->arch, im->tensors, im->n, err));
    for (size_t i = 0; i < all; i++)
        if (im->claims[i] != NAMING_TAKEN) COT_TRY(sort_out_extra(im, i, err));
    if (im->options->encoder) COT_TRY(torchvision_left_out(im->left_out, &im->clip, err));
done:
    return status;
}

/* ---- files ---- */
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
    COT_TRY(import_card(&im, err));
    COT_TRY(choose_tensors(&im, err));
    COT_TRY(import_store(&im, err));
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
    teacher_import_close(&im.teacher);
    free(im.arch.classes);
    free(im.claims);
    import_store_fini(&im);
    free(im.table);
    free(im.tensors);
    return status;
}
