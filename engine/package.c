/* A model package: model.json + weights.safetensors, from a folder or embedded in the program. Everything is checked at
 * open: the digest, then each tensor of the architecture's one table. Nothing outside the folder is read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package.h"
#include "engine/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const unsigned char cot_default_model_json[], cot_default_weights[];
extern const size_t cot_default_model_json_size, cot_default_weights_size;

struct cot_package {
    char where[1100]; /* folder, or "default model" */
    model_card *card;
    safetensors *weights;
    cot_reader reader, teacher; /* teacher: empty where there is none */
};

/* ---- check ---- */
cot_status package_check_tensor(const safetensors *weights, const tensor_spec *spec, const char *where, cot_error *err)
{
    char have[96], want[96];
    const tensor *t = safetensors_find(weights, spec->name);
    tensor_shape_text(want, sizeof want, spec->shape, spec->rank);
    if (!t)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s %s is missing: this is not the model that model.json describes; import "
                        "it again",
                        where, spec->name, want);
    if (!tensor_is_float(t))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has type %s, a floating-point type is needed", where,
                        spec->name, tensor_type_name(t->type));
    tensor_shape_text(have, sizeof have, t->shape, t->rank);
    if (t->rank != spec->rank || memcmp(t->shape, spec->shape, spec->rank * sizeof *spec->shape))
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s has shape %s, the architecture and step schema need %s: correct width, dim "
                        "or step_classes in model.json, or use the schema the model was made for",
                        where, spec->name, have, want);
    return COT_OK;
}

static bool listed(const cJSON *names, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, names) if (cJSON_IsString(item) && !strcmp(item->valuestring, name)) return true;
    return false;
}

static bool specified(const tensor_spec *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name)) return true;
    return false;
}

cot_status package_check(const safetensors *weights, const architecture *arch, const cJSON *kept, const char *where,
                         cot_error *err)
{
    tensor_spec *table = NULL;
    size_t n = 0;
    cot_status status;
    COT_TRY(architecture_tensors(&table, &n, arch, err));
    for (size_t i = 0; i < n; i++) COT_TRY(package_check_tensor(weights, &table[i], where, err));
    for (size_t i = 0; i < safetensors_count(weights); i++) {
        const char *name = safetensors_at(weights, i)->name;
        if (specified(table, n, name) || listed(kept, name)) continue;
        status = cot_fail(err, COT_E_MODEL,
                          "%s: tensor %s is not of the architecture: import the model again, which leaves it out",
                          where, name);
        goto done;
    }
done:
    free(table);
    return status;
}

/* ---- open ---- */
static cot_status check_digest(const cot_package *p, const char *where, cot_error *err)
{
    char hex[65];
    const cot_blob bytes = safetensors_bytes(p->weights);
    cot_sha256_of(hex, bytes.data, bytes.size);
    safetensors_release(p->weights, NULL);
    if (strcmp(hex, p->card->weights_sha256))
        return cot_fail(err, COT_E_MODEL,
                        "%s: SHA-256 is %s, model.json says %s: the weights were changed or damaged; import the "
                        "model again",
                        where, hex, p->card->weights_sha256);
    return COT_OK;
}

static void fill_reader(cot_package *p, const char *json, size_t json_size)
{
    cot_reader *r = &p->reader;
    memcpy(r->name, p->card->name, sizeof r->name);
    memcpy(r->version, p->card->version, sizeof r->version);
    memcpy(r->role, p->card->role, sizeof r->role);
    memcpy(r->notice, p->card->notice, sizeof r->notice);
    memcpy(r->training, p->card->training, sizeof r->training);
    snprintf(r->program, sizeof r->program, "stepcot %s", COT_VERSION);
    cot_sha256_of(r->package_sha256, json, json_size); /* model.json holds the weights' digest: names both */
    if (!p->card->arch.teacher.dim) return;
    p->teacher = *r;
    memcpy(p->teacher.name, p->card->teacher.name, sizeof r->name);
    const char *said = p->card->teacher.training;
    snprintf(p->teacher.training, sizeof r->training, "%s%s Prompts: %s.", said,
             said[strlen(said) - 1] == '.' ? "" : ".", p->card->teacher.prompts);
    snprintf(p->teacher.role, sizeof r->role, "teacher");
}

/* json and weights come from one source; takes weights over in every case. */
static cot_status open_parts(cot_package *p, const char *json, size_t json_size, safetensors *weights,
                             const cot_steps *steps, cot_error *err)
{
    cot_status status;
    char where[1200];
    p->weights = weights;
    snprintf(where, sizeof where, "%s/model.json", p->where);
    COT_TRY(card_parse(&p->card, json, where, steps, err));
    snprintf(where, sizeof where, "%s/weights.safetensors", p->where);
    COT_TRY(check_digest(p, where, err));
    const cJSON *ignored = cJSON_GetObjectItemCaseSensitive(p->card->json, "ignored_tensors");
    COT_TRY(package_check(p->weights, &p->card->arch, cJSON_GetObjectItemCaseSensitive(ignored, "kept"), where, err));
    fill_reader(p, json, json_size);
done:
    return status;
}

static cot_status open_embedded(cot_package *p, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    safetensors *weights = NULL;
    char json[16384]; /* a copy with a NUL behind; the embedded model.json has a few KiB */
    snprintf(p->where, sizeof p->where, "default model");
    if (cot_default_model_json_size >= sizeof json)
        return cot_fail(err, COT_E_BUG, "default model: model.json is too large");
    memcpy(json, cot_default_model_json, cot_default_model_json_size);
    json[cot_default_model_json_size] = 0;
    const cot_blob bytes = {cot_default_weights, cot_default_weights_size};
    COT_TRY(safetensors_parse(&weights, bytes, "default model/weights.safetensors", err));
    COT_TRY(open_parts(p, json, cot_default_model_json_size, weights, steps, err));
done:
    return status;
}

static cot_status open_folder(cot_package *p, const char *dir, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    char path[1200], *json = NULL;
    size_t json_size = 0;
    safetensors *weights = NULL;
    if (strlen(dir) >= sizeof p->where) return cot_fail(err, COT_E_MODEL, "model: the folder's path is too long");
    snprintf(p->where, sizeof p->where, "%s", dir);
    snprintf(path, sizeof path, "%s/model.json", dir);
    if (cot_file_read(&json, &json_size, path, CARD_BYTES_MAX, err) != COT_OK) {
        char why[sizeof err->text / 2];
        snprintf(why, sizeof why, "%.500s", err ? err->text : "");
        return cot_fail(err, COT_E_MODEL,
                        "no model package in %s (%s): name a folder with model.json and weights.safetensors, or "
                        "\"default\"",
                        dir, why);
    }
    snprintf(path, sizeof path, "%s/weights.safetensors", dir);
    COT_TRY(safetensors_open(&weights, path, err));
    COT_TRY(open_parts(p, json, json_size, weights, steps, err));
done:
    free(json);
    return status;
}

cot_status cot_package_open(cot_package **out, const char *dir, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    *out = NULL;
    cot_package *p = calloc(1, sizeof *p);
    if (!p) return cot_fail(err, COT_E_MEMORY, "model: no memory");
    if (!dir || !dir[0] || !strcmp(dir, "default"))
        COT_TRY(open_embedded(p, steps, err));
    else
        COT_TRY(open_folder(p, dir, steps, err));
    *out = p;
    p = NULL;
done:
    cot_package_close(p);
    return status;
}

void cot_package_close(cot_package *package)
{
    if (!package) return;
    safetensors_close(package->weights);
    card_destroy(package->card);
    free(package);
}

/* ---- readers ---- */
static const char *const readers_names[COT_READERS] = {"student", "teacher", "both"};

const char *cot_readers_name(cot_readers readers)
{
    return readers_names[readers];
}

bool cot_readers_named(cot_readers *out, const char *name)
{
    *out = COT_READ_STUDENT;
    if (!name[0]) return true;
    for (; *out < COT_READERS; (*out)++)
        if (!strcmp(name, readers_names[*out])) return true;
    return false;
}

cot_status cot_package_offers(const cot_package *package, cot_readers readers, cot_error *err)
{
    if (readers == COT_READ_STUDENT || package->card->arch.teacher.dim) return COT_OK;
    return cot_fail(
        err, COT_E_MODEL,
        "%s: the package has no teacher, which \"%s\" needs: read with the student, or import a package with "
        "`stepcot model import … --teacher FILE`",
        package->where, readers_names[readers]);
}

const cot_reader *cot_package_reader_of(const cot_package *package, cot_readers readers)
{
    return readers == COT_READ_TEACHER ? &package->teacher : &package->reader;
}
const cot_reader *cot_package_reader(const cot_package *package)
{
    return &package->reader;
}
const model_card *package_card(const cot_package *package)
{
    return package->card;
}

weight_source package_source(const cot_package *package, const char *prefix)
{
    return (weight_source){.file = package->weights, .prefix = prefix, .where = package->where};
}

cot_status package_floats(float **out, const cot_package *package, const char *prefix, const char *part, cot_error *err)
{
    char name[TENSOR_NAME_MAX];
    snprintf(name, sizeof name, "%s.%s", prefix, part);
    const tensor *t = safetensors_find(package->weights, name);
    *out = t ? malloc(t->count * sizeof **out + 1) : NULL;
    if (!t) return cot_fail(err, COT_E_BUG, "%s: tensor %s was not checked", package->where, name);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "%s: no memory for tensor %s", package->where, name);
    tensor_floats(*out, t);
    safetensors_release(package->weights, t);
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite((*out)[i])) {
            free(*out);
            *out = NULL;
            return cot_fail(err, COT_E_MODEL,
                            "%s: tensor %s holds a value that is not finite: the training diverged; use another "
                            "model",
                            package->where, name);
        }
    return COT_OK;
}

/* ---- for people ---- */
static void print_supervised(const cot_package *p, const char *part, FILE *stream)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(p->card->json, part);
    const cJSON *id, *list = cJSON_GetObjectItemCaseSensitive(object, "supervised");
    cJSON_ArrayForEach(id, list) fprintf(stream, "%s%s", id == list->child ? "" : ", ", id->valuestring);
    fprintf(stream, "%s; the others are reported as not available\n", list && list->child ? "" : "none");
}

static void print_temperatures(const cot_package *p, const char *reader, FILE *stream)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(p->card->json, "calibration"),
                *part = cJSON_GetObjectItemCaseSensitive(all, reader), *item,
                *list = cJSON_GetObjectItemCaseSensitive(part, "temperature");
    cJSON_ArrayForEach(item, list)
        fprintf(stream, "%s%s %.3f%s", item == list->child ? "" : ", ", item->string, item->valuedouble,
                calibration_at_bound(item->valuedouble) ? " (at its bound)" : "");
    fprintf(stream, "%s\n", list && list->child ? "" : "none: certainties are raw, not calibrated");
}

static void print_steps(const cot_package *p, FILE *stream)
{
    fprintf(stream, "Step schema     %s, answers per step", p->card->schema_id);
    for (size_t s = 0; s < p->card->arch.n_steps; s++)
        fprintf(stream, "%s%zu", s ? "," : " ", p->card->arch.classes[s]);
    fprintf(stream, "\nTrained steps   ");
    print_supervised(p, "steps", stream);
    fprintf(stream, "Temperatures    ");
    print_temperatures(p, "student", stream);
}

static void print_teacher(const cot_package *p, FILE *stream)
{
    const teacher_arch *t = &p->card->arch.teacher;
    if (!t->dim) {
        fputs("Teacher         none: only the student can read\n", stream);
        return;
    }
    fprintf(stream, "Teacher         %s; feature %zu, graph of %zu layers, %zu heads\n", p->card->teacher.name, t->dim,
            t->layers, t->heads);
    fprintf(stream, "  Prompts       %s\n", p->card->teacher.prompts);
    fprintf(stream, "  Training      %s\n", p->card->teacher.training);
    fprintf(stream, "  Trained steps ");
    print_supervised(p, "teacher", stream);
    fprintf(stream, "  Temperatures  ");
    print_temperatures(p, "teacher", stream);
}

static void print_metrics(const cot_package *p, FILE *stream)
{
    const cJSON *item, *metrics = cJSON_GetObjectItemCaseSensitive(p->card->json, "metrics");
    cJSON_ArrayForEach(item, metrics)
    {
        if (cJSON_IsNumber(item)) fprintf(stream, "  %-24s %.6g\n", item->string, item->valuedouble);
        if (cJSON_IsString(item)) fprintf(stream, "  %-24s %s\n", item->string, item->valuestring);
    }
}

static cot_status print_tensors(const cot_package *p, FILE *stream, cot_error *err)
{
    tensor_spec *table = NULL;
    size_t n = 0;
    cot_status status;
    COT_TRY(architecture_tensors(&table, &n, &p->card->arch, err));
    for (size_t i = 0; i < n; i++) {
        char shape[96];
        const tensor *t = safetensors_find(p->weights, table[i].name);
        tensor_shape_text(shape, sizeof shape, t->shape, t->rank);
        fprintf(stream, "  %-40s %-5s %-16s %zu bytes\n", t->name, tensor_type_name(t->type), shape, t->bytes);
    }
done:
    free(table);
    return status;
}

static void print_encoder(const model_card *c, FILE *stream)
{
    const char *filter = c->filter == COT_FILTER_BICUBIC ? "bicubic" : "bilinear";
    const clip_shape *s = &c->arch.clip;
    char dense[128];
    densenet_text(dense, sizeof dense, &c->arch.densenet);
    fprintf(stream, "Architecture    %s, ", architecture_kind(c->arch.encoder));
    if (c->arch.encoder == ENCODER_CLIP)
        fprintf(stream, "ViT: %zu layers, width %zu, %zu heads, patches of %zu, image feature %zu, feature %zu\n",
                s->layers, s->width, s->heads, s->patch, s->features, c->arch.dim);
    else if (c->arch.encoder == ENCODER_DENSENET)
        fprintf(stream, "%s layers, feature %zu\n", dense, c->arch.dim);
    else
        fprintf(stream, "width %zu, feature %zu\n", c->arch.width, c->arch.dim);
    fprintf(stream, "Preprocessing   %zux%zu, %s, stretched, ", c->size, c->size, filter);
    if (c->arch.encoder == ENCODER_CLIP)
        fprintf(stream, "grey as three channels, (grey - (%.6g, %.6g, %.6g)) / (%.6g, %.6g, %.6g)\n",
                (double)c->clip.mean[0], (double)c->clip.mean[1], (double)c->clip.mean[2], (double)c->clip.std[0],
                (double)c->clip.std[1], (double)c->clip.std[2]);
    else
        fprintf(stream, "(grey - %.6g) / %.6g\n", (double)c->mean, (double)c->std);
}

cot_status cot_package_print(const cot_package *package, FILE *stream, bool tensors, cot_error *err)
{
    const model_card *c = package->card;
    cot_status status = COT_OK;
    fprintf(stream, "Model           %s, version %s (%s)\n", c->name, c->version, c->role);
    fprintf(stream, "Digest          %s\n", package->reader.package_sha256);
    fprintf(stream, "Notice          %s\n", c->notice);
    fprintf(stream, "Training        %s\n", c->training);
    fprintf(stream, "Training data   %s\n", c->attribution);
    print_encoder(c, stream);
    print_steps(package, stream);
    print_teacher(package, stream);
    fprintf(stream, "Metrics\n");
    print_metrics(package, stream);
    fprintf(stream, "Tensors         %zu, %zu bytes\n", safetensors_count(package->weights),
            safetensors_bytes(package->weights).size);
    if (tensors) COT_TRY(print_tensors(package, stream, err));
    if (ferror(stream)) status = cot_fail(err, COT_E_IO, "model: writing the description failed");
done:
    return status;
}
