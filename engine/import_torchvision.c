/* An encoder is known by its stem: conv1.weight beside layer1.0.conv1.weight, or features.conv0.weight. What stands before
 * the stem's name stands before all others.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/import_torchvision.h"
#include "engine/card.h"
#include "engine/package.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RESNET_STEM   "conv1.weight"
#define RESNET_BLOCK  "layer1.0.conv1.weight"
#define DENSENET_STEM "features.conv0.weight"

typedef struct found {
    const safetensors *file;
    const char *where;
    char prefix[TENSOR_NAME_MAX]; /* what stands before torchvision's names */
    encoder_kind kind;
} found;

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}
static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with);
}

static const tensor *find_in(const found *f, const char *name)
{
    char full[2 * TENSOR_NAME_MAX];
    snprintf(full, sizeof full, "%s%s", f->prefix, name);
    return safetensors_find(f->file, full);
}

/* ---- which ---- */
/* Whether tensor t is a stem; then what stands before its name. "layer1.0.conv1.weight" is none, since no layer1.0.… is
 * behind its prefix. */
static bool is_stem(found *f, const tensor *t)
{
    const bool dense = ends(t->name, DENSENET_STEM);
    const char *stem = dense ? DENSENET_STEM : RESNET_STEM;
    const size_t n = strlen(t->name) - (ends(t->name, stem) ? strlen(stem) : strlen(t->name));
    if (!ends(t->name, stem) || (n && t->name[n - 1] != '.')) return false;
    f->kind = dense ? ENCODER_DENSENET : ENCODER_RESNET18;
    snprintf(f->prefix, sizeof f->prefix, "%.*s", (int)n, t->name);
    return dense || find_in(f, RESNET_BLOCK);
}

static cot_status find_stem(found *out, const safetensors *file, const char *where, cot_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        found f = {.file = file, .where = where};
        if (!is_stem(&f, safetensors_at(file, i))) continue;
        if (n++)
            return cot_fail(err, COT_E_MODEL,
                            "%s: there are two image encoders, behind \"%s\" and \"%s\": keep one of them", where,
                            out->prefix, f.prefix);
        *out = f;
    }
    if (n) return COT_OK;
    return cot_fail(err, COT_E_MODEL,
                    "%s: tensor " CNN_PREFIX RESNET_STEM
                    " is missing: only a ResNet-18 or DenseNet under torchvision's names (conv1.weight, "
                    "layer1.0.conv1.weight …, or features.conv0.weight …; anything may stand before them) or a CLIP "
                    "image tower can be imported",
                    where);
}

/* ---- sizes ---- */
static cot_status dimension(size_t *out, const found *f, const char *name, size_t most, cot_error *err)
{
    const tensor *t = find_in(f, name);
    if (!t || !t->rank || !t->shape[0])
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s%s is missing: the encoder's sizes are unknown", f->where,
                        f->prefix, name);
    if (t->shape[0] > most)
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has %zu channels, %zu at most are read", f->where, t->name,
                        t->shape[0], most);
    *out = t->shape[0];
    return COT_OK;
}

/* Blocks and layers are numbered from 1 without a hole; what is behind a hole is found extra later. */
static cot_status count_layers(densenet_shape *s, const found *f, cot_error *err)
{
    char name[96];
    for (; s->n_blocks < DENSENET_BLOCKS_MAX; s->n_blocks++) {
        size_t *layers = &s->layers[s->n_blocks];
        for (; *layers < DENSENET_LAYERS_MAX; (*layers)++) {
            snprintf(name, sizeof name, "features.denseblock%zu.denselayer%zu.conv2.weight", s->n_blocks + 1,
                     *layers + 1);
            char old[96];
            snprintf(old, sizeof old, "features.denseblock%zu.denselayer%zu.conv.2.weight", s->n_blocks + 1,
                     *layers + 1);
            if (!find_in(f, name) && !find_in(f, old)) break;
        }
        if (!*layers) break;
    }
    if (s->n_blocks) return COT_OK;
    return cot_fail(err, COT_E_MODEL,
                    "%s: tensor %sfeatures.denseblock1.denselayer1.conv2.weight is missing: no layers", f->where,
                    f->prefix);
}

static cot_status find_sizes(architecture *arch, const found *f, cot_error *err)
{
    cot_status status;
    densenet_shape *s = &arch->densenet;
    arch->encoder = f->kind;
    if (f->kind == ENCODER_RESNET18) {
        COT_TRY(dimension(&arch->width, f, RESNET_STEM, CARD_WIDTH_MAX, err));
        goto done;
    }
    const bool old = find_in(f, "features.denseblock1.denselayer1.conv.1.weight") != NULL;
    const char *conv1 =
        old ? "features.denseblock1.denselayer1.conv.1.weight" : "features.denseblock1.denselayer1.conv1.weight";
    const char *conv2 =
        old ? "features.denseblock1.denselayer1.conv.2.weight" : "features.denseblock1.denselayer1.conv2.weight";
    COT_TRY(dimension(&s->init, f, DENSENET_STEM, CARD_WIDTH_MAX, err));
    COT_TRY(count_layers(s, f, err));
    COT_TRY(dimension(&s->bottleneck, f, conv1, CARD_WIDTH_MAX, err));
    COT_TRY(dimension(&s->growth, f, conv2, CARD_WIDTH_MAX, err));
done:
    return status;
}

/* ---- tensors ---- */
/* The file's name of one of ours: the prefix for "cnn."; torchvision's own downloads have "norm.1" for "norm1". */
static void their_name(tensor_spec *theirs, const found *f, const char *ours)
{
    const char *plain = ours + strlen(CNN_PREFIX), *at = strstr(plain, ".denselayer");
    snprintf(theirs->name, sizeof theirs->name, "%.40s%.55s", f->prefix, plain);
    const char *part = at ? strstr(at, ".norm") : NULL;
    if (at && !part) part = strstr(at, ".conv");
    if (!part || find_in(f, plain)) return;
    const int head = (int)(part - plain) + 5; /* up to ".norm" or ".conv" */
    char old[128];
    snprintf(old, sizeof old, "%.*s.%s", head, plain, plain + head);
    if (find_in(f, old)) snprintf(theirs->name, sizeof theirs->name, "%.40s%.55s", f->prefix, old);
}

static bool named_tensors_init(named_tensors *list, size_t n)
{
    *list = (named_tensors){calloc(n + 1, sizeof *list->tensors), 0, calloc(n + 1, sizeof *list->names),
                            calloc(n + 1, sizeof *list->owned)};
    return list->tensors && list->names && list->owned;
}

static cot_status take(named_tensors *out, naming_claim *claims, const found *f, const tensor_spec *spec,
                       cot_error *err)
{
    cot_status status;
    tensor_spec theirs = *spec;
    their_name(&theirs, f, spec->name);
    COT_TRY(package_check_tensor(f->file, &theirs, f->where, err));
    const tensor *t = safetensors_find(f->file, theirs.name);
    snprintf(out->names[out->n], sizeof *out->names, "%s", spec->name);
    out->tensors[out->n] = *t;
    out->tensors[out->n].name = out->names[out->n];
    out->n++;
    claims[t - safetensors_at(f->file, 0)] = NAMING_TAKEN;
done:
    return status;
}

/* Classifiers and the bookkeeping of batch norm are not needed; all else behind the prefix is of another architecture. */
static cot_status sort_rest(naming_claim *claims, const found *f, cot_error *err)
{
    for (size_t i = 0; i < safetensors_count(f->file); i++) {
        const char *name = safetensors_at(f->file, i)->name, *rest = name + strlen(f->prefix);
        if (claims[i] != NAMING_UNKNOWN || !starts(name, f->prefix)) continue;
        if (ends(rest, ".num_batches_tracked") || starts(rest, "fc.") || starts(rest, "classifier."))
            claims[i] = NAMING_NOT_NEEDED;
        else if (f->prefix[0] || starts(rest, "layer") || starts(rest, "features.") || starts(rest, "conv1.") ||
                 starts(rest, "bn1."))
            return cot_fail(
                err, COT_E_MODEL,
                "%s: tensor %s does not belong to a %s: another architecture, or a layer or block number is "
                "missing before it",
                f->where, name, f->kind == ENCODER_DENSENET ? "DenseNet" : "ResNet-18");
    }
    return COT_OK;
}

cot_status torchvision_find(named_tensors *out, architecture *arch, naming_claim *claims, const safetensors *file,
                            const char *where, cot_error *err)
{
    cot_status status;
    found f = {.file = file, .where = where};
    tensor_spec *table = NULL;
    architecture bare = {.n_steps = 0}; /* the encoder alone */
    size_t n = 0, encoder;
    COT_TRY(find_stem(&f, file, where, err));
    COT_TRY(find_sizes(&bare, &f, err));
    COT_TRY(architecture_tensors(&table, &n, &bare, err));
    encoder = architecture_encoder_tensors(&bare);
    if (!named_tensors_init(out, encoder)) {
        status = cot_fail(err, COT_E_MEMORY, "model import: no memory");
        goto done;
    }
    for (size_t i = 0; i < encoder; i++) COT_TRY(take(out, claims, &f, &table[i], err));
    COT_TRY(sort_rest(claims, &f, err));
    arch->encoder = bare.encoder;
    arch->width = bare.width;
    arch->densenet = bare.densenet;
done:
    free(table);
    return status;
}

/* ---- a file of its own ---- */
/* The file itself, or the one in a folder. */
static cot_status locate(char where[CHECKPOINT_PATH_MAX], const char *path, cot_error *err)
{
    static const char *const names[] = {"model.safetensors", "weights.safetensors"};
    struct stat st;
    if (strlen(path) > 1000)
        return cot_fail(err, COT_E_USAGE, "model import: the encoder's path is longer than 1000 bytes");
    snprintf(where, CHECKPOINT_PATH_MAX, "%s", path);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return COT_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(where, CHECKPOINT_PATH_MAX, "%s/%s", path, names[i]);
        if (stat(where, &st) == 0) return COT_OK;
    }
    return cot_fail(err, COT_E_MODEL, "%s: there is neither %s nor %s in this folder", path, names[0], names[1]);
}

cot_status torchvision_open(clip_checkpoint *out, architecture *arch, const char *path, cot_error *err)
{
    cot_status status;
    naming_claim *claims = NULL;
    *out = (clip_checkpoint){.file = NULL};
    COT_TRY(locate(out->where, path, err));
    COT_TRY(safetensors_open(&out->file, out->where, err));
    claims = calloc(safetensors_count(out->file) + 1, sizeof *claims);
    if (!claims) {
        status = cot_fail(err, COT_E_MEMORY, "model import: no memory");
        goto done;
    }
    COT_TRY(torchvision_find(&out->tensors, arch, claims, out->file, out->where, err));
    COT_TRY(naming_finish(claims, out->file, out->where, err));
done:
    free(claims);
    if (status != COT_OK) clip_checkpoint_close(out);
    return status;
}

cot_status torchvision_left_out(cJSON *list, const clip_checkpoint *checkpoint, cot_error *err)
{
    for (size_t i = 0; checkpoint->file && i < safetensors_count(checkpoint->file); i++) {
        const tensor *t = safetensors_at(checkpoint->file, i);
        bool taken = false;
        for (size_t k = 0; k < checkpoint->tensors.n && !taken; k++)
            taken = checkpoint->tensors.tensors[k].data == t->data && t->bytes;
        if (!taken && !cJSON_AddItemToArray(list, cJSON_CreateString(t->name)))
            return cot_fail(err, COT_E_MEMORY, "model import: no memory");
    }
    return COT_OK;
}
