/* Importing a teacher (import_teacher.h). Its prompts are, in this order: read by the BERT that --bert names, with the
 * weights in the teacher's own file where it has them; stored in the file; fixed random vectors. A file that carries its BERT
 * is not given random prompts: it was trained with others.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/import_teacher.h"
#include "engine/prompts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double same_encoder = 2e-3; /* of a tensor's largest value: what half precision rounds, with room */

static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with) && (n == m || text[n - m - 1] == '.');
}

/* The first tensor whose name is, or ends in, `name`. */
static const tensor *find_ending(const safetensors *file, const char *name)
{
    for (size_t i = 0; file && i < safetensors_count(file); i++)
        if (ends(safetensors_at(file, i)->name, name)) return safetensors_at(file, i);
    return NULL;
}

static bool has_bert(const safetensors *file)
{
    return find_ending(file, "embeddings.LayerNorm.weight") || find_ending(file, "embeddings.LayerNorm.gamma");
}

/* ---- where it is ---- */
static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static cot_status open_own(teacher_import *t, const char *path, cot_error *err)
{
    static const char *const names[] = {"", "/teacher.safetensors", "/weights.safetensors"};
    struct stat st;
    cot_status status;
    const size_t first = is_folder(path) ? 1 : 0, last = first ? 2 : 0;
    if (strlen(path) > 1000) return cot_fail(err, COT_E_USAGE, "model import: the teacher's path is too long");
    for (size_t i = first; i <= last; i++) {
        snprintf(t->where, sizeof t->where, "%s%s", path, names[i]);
        if (stat(t->where, &st) == 0) break;
    }
    COT_TRY(safetensors_open(&t->own, t->where, err));
    t->own_claims = calloc(safetensors_count(t->own) + 1, sizeof *t->own_claims);
    if (!t->own_claims) status = cot_fail(err, COT_E_MEMORY, "%s: no memory", t->where);
    t->file = t->own;
    t->claims = t->own_claims;
done:
    return status;
}

/* By its memory: what stands before the name is the prefix. */
static cot_status find_prefix(teacher_import *t, cot_error *err)
{
    static const char mark[] = "memory_init";
    const tensor *found = NULL;
    for (size_t i = 0; i < safetensors_count(t->file); i++) {
        const tensor *at = safetensors_at(t->file, i);
        if (!ends(at->name, mark)) continue;
        if (found)
            return cot_fail(err, COT_E_MODEL, "%s: both %s and %s begin a teacher: leave one of them out", t->where,
                            found->name, at->name);
        found = at;
    }
    if (!found)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor memory_init is missing: no teacher in this file (names: memory_init, memory_gat., "
                        "step_models., …)",
                        t->where);
    snprintf(t->prefix, sizeof t->prefix, "%.*s", (int)(strlen(found->name) - strlen(mark)), found->name);
    return COT_OK;
}

/* ---- prompts ---- */
static cot_status stored_prompts(bool *there, teacher_import *t, const architecture *arch, cot_error *err)
{
    cot_status status;
    tensor_spec spec = {.rank = 2, .shape = {arch->n_steps, arch->teacher.dim}};
    snprintf(spec.name, sizeof spec.name, "%.80s%s", t->prefix, PROMPTS_NAME);
    if (!safetensors_find(t->file, spec.name)) /* beside the teacher, as in a package */
        snprintf(spec.name, sizeof spec.name, "%s", PROMPTS_NAME);
    const tensor *found = safetensors_find(t->file, spec.name);
    *there = found != NULL;
    if (!found) return COT_OK;
    COT_TRY(package_check_tensor(t->file, &spec, t->where, err));
    t->prompts = calloc(found->count + 1, sizeof *t->prompts);
    if (!t->prompts) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the prompts", t->where);
    tensor_floats(t->prompts, found);
    t->claims[found - safetensors_at(t->file, 0)] = NAMING_TAKEN;
    snprintf(t->prompts_text, sizeof t->prompts_text, "as stored with the teacher's weights");
done:
    return status;
}

static cot_status encoded_prompts(teacher_import *t, const architecture *arch, const cot_import_options *o,
                                  const cot_steps *steps, cot_error *err)
{
    cot_status status;
    size_t width = 0;
    const bool inside = has_bert(t->file);
    if (!o->device)
        return cot_fail(err, COT_E_USAGE, "model import: a BERT needs a device to run on (cot_import_options.device)");
    COT_TRY(
        prompts_encode_from(&t->prompts, &width, o->device, o->bert, inside ? t->file : NULL, t->where, steps, err));
    if (width != arch->teacher.dim)
        status = cot_fail(err, COT_E_MODEL,
                          "%s: its vectors have %zu values, the teacher's nodes %zu: this is not the BERT that the "
                          "teacher was trained with",
                          o->bert, width, arch->teacher.dim);
    snprintf(t->prompts_text, sizeof t->prompts_text, "the steps' questions, read by BERT (%s)",
             inside ? "in the teacher's file" : "a checkpoint of its own");
done:
    return status;
}

static cot_status find_prompts(teacher_import *t, const architecture *arch, const cot_import_options *o,
                               const cot_steps *steps, cot_error *err)
{
    cot_status status;
    bool stored = false;
    COT_TRY(stored_prompts(&stored, t, arch, err));
    if (stored && o->bert) {
        status = cot_fail(err, COT_E_USAGE, "%s: it stores its prompts; leave --bert out, or the tensor %s", t->where,
                          PROMPTS_NAME);
        goto done;
    }
    if (stored) goto done;
    if (o->bert) {
        COT_TRY(encoded_prompts(t, arch, o, steps, err));
        goto done;
    }
    if (has_bert(t->file)) {
        status =
            cot_fail(err, COT_E_MODEL,
                     "%s: it carries the BERT that its prompts came from: name the folder of that BERT's vocab.txt "
                     "and config.json with --bert",
                     t->where);
        goto done;
    }
    COT_TRY(prompts_random(&t->prompts, steps->n_steps, arch->teacher.dim, err));
    snprintf(t->prompts_text, sizeof t->prompts_text, "fixed random unit vectors: no text encoder was given");
done:
    return status;
}

/* BERT's tensors are known; whether they are needed was decided with the prompts. */
static cot_status claim_bert(teacher_import *t, cot_error *err)
{
    named_tensors list = {NULL, 0, NULL, NULL};
    bert_shape shape;
    cot_status status = COT_OK;
    if (!has_bert(t->file)) return COT_OK;
    COT_TRY(naming_bert(&list, &shape, t->claims, t->file, t->where, "", 1, err));
done:
    named_tensors_fini(&list);
    return status;
}

cot_status teacher_import_open(teacher_import *t, architecture *arch, const cot_import_options *options,
                               const teacher_source *source, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    if (options->teacher) {
        COT_TRY(open_own(t, options->teacher, err));
    } else if (find_ending(source->file, "memory_init")) {
        t->file = source->file;
        t->claims = source->claims;
        snprintf(t->where, sizeof t->where, "%s", source->where);
    } else if (options->bert) {
        status = cot_fail(err, COT_E_USAGE,
                          "model import: --bert reads a teacher's prompts, and there is no teacher: name its file with "
                          "--teacher");
        goto done;
    } else {
        return COT_OK;
    }
    COT_TRY(find_prefix(t, err));
    COT_TRY(teacher_arch_find(&arch->teacher, t->file, t->where, t->prefix, err));
    COT_TRY(find_prompts(t, arch, options, steps, err));
    COT_TRY(claim_bert(t, err));
done:
    return status;
}

void teacher_import_close(teacher_import *t)
{
    safetensors_close(t->own);
    free(t->own_claims);
    free(t->prompts);
}

/* ---- tensors ---- */
cot_status teacher_import_tensor(tensor *out, teacher_import *t, const tensor_spec *spec, cot_error *err)
{
    cot_status status;
    tensor_spec theirs = *spec;
    if (!strcmp(spec->name, PROMPTS_NAME)) {
        const size_t count = spec->shape[0] * spec->shape[1];
        *out = (tensor){.name = spec->name, .type = TENSOR_F32, .rank = 2, .shape = {spec->shape[0], spec->shape[1]}};
        out->count = count;
        out->bytes = count * sizeof *t->prompts;
        out->data = (const unsigned char *)t->prompts;
        return COT_OK;
    }
    const char *name = spec->name + strlen(TEACHER_PREFIX);
    if ((size_t)snprintf(theirs.name, sizeof theirs.name, "%.*s%s", (int)sizeof theirs.name - 1, t->prefix, name) >=
        sizeof theirs.name)
        return cot_fail(err, COT_E_MODEL, "%s: the names before %s are too long", t->where, name);
    COT_TRY(package_check_tensor(t->file, &theirs, t->where, err));
    const tensor *found = safetensors_find(t->file, theirs.name);
    t->claims[found - safetensors_at(t->file, 0)] = NAMING_TAKEN;
    *out = *found;
    out->name = spec->name;
done:
    return status;
}

bool teacher_import_stray(const teacher_import *t, const char *name)
{
    static const char *const parts[] = {"memory_gat.", "step_models.", "fusion_proj.", "mem_gru.", "pred2mem."};
    const size_t n = strlen(t->prefix);
    if (!t->file || t->own || strncmp(name, t->prefix, n) != 0) return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strncmp(name + n, parts[i], strlen(parts[i]))) return true;
    return false;
}

/* ---- what else its file holds ---- */
static const tensor *named(const tensor *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

/* The same values, but for rounding to half precision. */
static cot_status check_same(const teacher_import *t, const tensor *theirs, const tensor *ours, cot_error *err)
{
    cot_status status = COT_OK;
    float *a = NULL, *b = NULL;
    bool same = tensor_is_float(theirs) && ours && ours->rank == theirs->rank &&
                !memcmp(ours->shape, theirs->shape, ours->rank * sizeof *ours->shape);
    if (same) {
        double most = 0, scale = 0;
        a = malloc(theirs->count * sizeof *a + 1);
        b = malloc(theirs->count * sizeof *b + 1);
        if (!a || !b) {
            status = cot_fail(err, COT_E_MEMORY, "%s: no memory for tensor %s", t->where, theirs->name);
            goto done;
        }
        tensor_floats(a, theirs);
        tensor_floats(b, ours);
        for (size_t i = 0; i < theirs->count; i++) {
            const double d = fabs((double)a[i] - (double)b[i]);
            most = d <= most ? most : d; /* not a number: kept, and refused below */
            scale = fmax(scale, fabs((double)b[i]));
        }
        same = most <= same_encoder * scale;
    }
    if (!same)
        status =
            cot_fail(err, COT_E_MODEL,
                     "%s: its image encoder is not that of the package (tensor %s differs): the teacher was trained "
                     "on other features; import it with its own encoder",
                     t->where, theirs->name);
done:
    free(a);
    free(b);
    return status;
}

static cot_status check_clip(teacher_import *t, const architecture *arch, const tensor *chosen, size_t n,
                             cot_error *err)
{
    cot_status status;
    clip_shape shape;
    named_tensors list = {NULL, 0, NULL, NULL};
    const size_t heads = arch->encoder == ENCODER_CLIP ? arch->clip.heads : 1;
    COT_TRY(naming_clip(&list, &shape, t->claims, t->file, t->where, CLIP_PREFIX, heads, err));
    for (size_t i = 0; i < list.n; i++)
        COT_TRY(check_same(t, &list.tensors[i], named(chosen, n, list.tensors[i].name), err));
done:
    named_tensors_fini(&list);
    return status;
}

cot_status teacher_import_finish(teacher_import *t, const architecture *arch, const tensor *chosen, size_t n,
                                 cot_error *err)
{
    cot_status status = COT_OK;
    if (!t->own) return COT_OK;
    if (find_ending(t->own, "class_embedding")) COT_TRY(check_clip(t, arch, chosen, n, err));
    for (size_t i = 0; i < safetensors_count(t->own); i++) { /* an encoder under the package's own names */
        const tensor *theirs = safetensors_at(t->own, i), *ours = named(chosen, n, theirs->name);
        if (ends(theirs->name, "num_batches_tracked")) t->claims[i] = NAMING_NOT_NEEDED;
        if (t->claims[i] != NAMING_UNKNOWN || !ours) continue;
        if (strncmp(theirs->name, STUDENT_PREFIX, strlen(STUDENT_PREFIX)) != 0)
            COT_TRY(check_same(t, theirs, ours, err));
        t->claims[i] = NAMING_NOT_NEEDED;
    }
    COT_TRY(naming_finish(t->claims, t->own, t->where, err));
done:
    return status;
}
