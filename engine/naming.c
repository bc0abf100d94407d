/* Names of encoders (naming.h). A table's row is one tensor: our name, the other name, how the one becomes the other, and
 * its shape in symbols; '#' is the number of a block. The first tensor that mentions a symbol gives it its value, and all
 * others must agree.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/naming.h"

#include <stdlib.h>
#include <string.h>

typedef enum dim { END, WIDTH, INNER, TOKENS, FEATURES, CHANNELS, PATCH, VOCAB, POSITIONS, TYPES, DIMS } dim;
typedef enum how { AS_IS, TRANSPOSED, THIRD_0, THIRD_1, THIRD_2 } how; /* their rows in thirds: query, key, value */
enum { SCHEMES = 2, OTHERS_MAX = 12 };

typedef struct row {
    const char *name[SCHEMES];
    how how; /* of the second name; the first is as is */
    dim shape[4];
} row;

typedef struct table {
    const char *what;
    const char *mark[SCHEMES]; /* the tensor by which a scheme, and the prefix before it, is known */
    const row *rows;
    size_t n;
    const char *others[OTHERS_MAX]; /* behind the prefix: known, not needed; '*' at the end: all that begin so */
} table;

/* ---- CLIP ---- */
#define V "vision_model."
#define L "vision_model.encoder.layers.#."
#define R "visual.transformer.resblocks.#."
static const row clip_rows[] = {
    {{V "embeddings.class_embedding", "visual.class_embedding"}, AS_IS, {WIDTH}},
    {{V "embeddings.patch_embedding.weight", "visual.conv1.weight"}, AS_IS, {WIDTH, CHANNELS, PATCH, PATCH}},
    {{V "embeddings.position_embedding.weight", "visual.positional_embedding"}, AS_IS, {TOKENS, WIDTH}},
    {{V "pre_layrnorm.weight", "visual.ln_pre.weight"}, AS_IS, {WIDTH}},
    {{V "pre_layrnorm.bias", "visual.ln_pre.bias"}, AS_IS, {WIDTH}},
    {{V "post_layernorm.weight", "visual.ln_post.weight"}, AS_IS, {WIDTH}},
    {{V "post_layernorm.bias", "visual.ln_post.bias"}, AS_IS, {WIDTH}},
    {{"visual_projection.weight", "visual.proj"}, TRANSPOSED, {FEATURES, WIDTH}},
    {{L "layer_norm1.weight", R "ln_1.weight"}, AS_IS, {WIDTH}},
    {{L "layer_norm1.bias", R "ln_1.bias"}, AS_IS, {WIDTH}},
    {{L "self_attn.q_proj.weight", R "attn.in_proj_weight"}, THIRD_0, {WIDTH, WIDTH}},
    {{L "self_attn.q_proj.bias", R "attn.in_proj_bias"}, THIRD_0, {WIDTH}},
    {{L "self_attn.k_proj.weight", R "attn.in_proj_weight"}, THIRD_1, {WIDTH, WIDTH}},
    {{L "self_attn.k_proj.bias", R "attn.in_proj_bias"}, THIRD_1, {WIDTH}},
    {{L "self_attn.v_proj.weight", R "attn.in_proj_weight"}, THIRD_2, {WIDTH, WIDTH}},
    {{L "self_attn.v_proj.bias", R "attn.in_proj_bias"}, THIRD_2, {WIDTH}},
    {{L "self_attn.out_proj.weight", R "attn.out_proj.weight"}, AS_IS, {WIDTH, WIDTH}},
    {{L "self_attn.out_proj.bias", R "attn.out_proj.bias"}, AS_IS, {WIDTH}},
    {{L "layer_norm2.weight", R "ln_2.weight"}, AS_IS, {WIDTH}},
    {{L "layer_norm2.bias", R "ln_2.bias"}, AS_IS, {WIDTH}},
    {{L "mlp.fc1.weight", R "mlp.c_fc.weight"}, AS_IS, {INNER, WIDTH}},
    {{L "mlp.fc1.bias", R "mlp.c_fc.bias"}, AS_IS, {INNER}},
    {{L "mlp.fc2.weight", R "mlp.c_proj.weight"}, AS_IS, {WIDTH, INNER}},
    {{L "mlp.fc2.bias", R "mlp.c_proj.bias"}, AS_IS, {WIDTH}},
};
#undef V
#undef L
#undef R
static const table clip_table = {
    "CLIP image tower",
    {"vision_model.embeddings.class_embedding", "visual.class_embedding"},
    clip_rows,
    sizeof clip_rows / sizeof *clip_rows,
    {"vision_model.embeddings.position_ids", "text_model.*", "text_projection.weight", "logit_scale", "transformer.*",
     "token_embedding.weight", "positional_embedding", "ln_final.*", "text_projection", "input_resolution",
     "context_length", "vocab_size"},
};

/* ---- BERT ---- */
#define E "embeddings."
#define L "encoder.layer.#."
#define NORM(name_)                                                                                                    \
    {{name_ ".weight", name_ ".gamma"}, AS_IS, {WIDTH}},                                                               \
    {                                                                                                                  \
        {name_ ".bias", name_ ".beta"}, AS_IS,                                                                         \
        {                                                                                                              \
            WIDTH                                                                                                      \
        }                                                                                                              \
    }
#define SAME(name_) {name_, name_}, AS_IS
static const row bert_rows[] = {
    {SAME(E "word_embeddings.weight"), {VOCAB, WIDTH}},
    {SAME(E "position_embeddings.weight"), {POSITIONS, WIDTH}},
    {SAME(E "token_type_embeddings.weight"), {TYPES, WIDTH}},
    NORM(E "LayerNorm"),
    {SAME(L "attention.self.query.weight"), {WIDTH, WIDTH}},
    {SAME(L "attention.self.query.bias"), {WIDTH}},
    {SAME(L "attention.self.key.weight"), {WIDTH, WIDTH}},
    {SAME(L "attention.self.key.bias"), {WIDTH}},
    {SAME(L "attention.self.value.weight"), {WIDTH, WIDTH}},
    {SAME(L "attention.self.value.bias"), {WIDTH}},
    {SAME(L "attention.output.dense.weight"), {WIDTH, WIDTH}},
    {SAME(L "attention.output.dense.bias"), {WIDTH}},
    NORM(L "attention.output.LayerNorm"),
    {SAME(L "intermediate.dense.weight"), {INNER, WIDTH}},
    {SAME(L "intermediate.dense.bias"), {INNER}},
    {SAME(L "output.dense.weight"), {WIDTH, INNER}},
    {SAME(L "output.dense.bias"), {WIDTH}},
    NORM(L "output.LayerNorm"),
};
#undef E
#undef L
#undef NORM
#undef SAME
static const table bert_table = {
    "BERT encoder",
    {"embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"},
    bert_rows,
    sizeof bert_rows / sizeof *bert_rows,
    {"embeddings.position_ids", "pooler.*", "cls.*"},
};

/* ---- one tensor of a checkpoint, seen as ours ---- */
typedef struct view {
    const safetensors *file;
    const char *where;
    char prefix[TENSOR_NAME_MAX];
    const table *table;
    size_t scheme, layers, dims[DIMS];
} view;

static bool in_block(const row *r)
{
    return strchr(r->name[0], '#') != NULL;
}

/* prefix + pattern with '#' as the number. */
static void spell(char out[TENSOR_NAME_MAX], const char *prefix, const char *pattern, size_t number)
{
    const char *hash = strchr(pattern, '#');
    if (hash)
        snprintf(out, TENSOR_NAME_MAX, "%s%.*s%zu%s", prefix, (int)(hash - pattern), pattern, number, hash + 1);
    else
        snprintf(out, TENSOR_NAME_MAX, "%s%s", prefix, pattern);
}

static how how_of(const view *v, const row *r)
{
    return v->scheme ? r->how : AS_IS;
}

static size_t rank_of(const row *r)
{
    size_t n = 0;
    while (n < 4 && r->shape[n] != END) n++;
    return n;
}

/* Sizes of theirs, as ours would have them; false when theirs cannot be such a tensor. */
static bool shape_as_ours(size_t shape[4], const view *v, const row *r, const tensor *t)
{
    const size_t rank = rank_of(r);
    if (t->rank != rank) return false;
    memcpy(shape, t->shape, rank * sizeof *shape);
    const how h = how_of(v, r);
    if (h == TRANSPOSED) {
        shape[0] = t->shape[1];
        shape[1] = t->shape[0];
    } else if (h != AS_IS) {
        if (t->shape[0] % 3) return false;
        shape[0] = t->shape[0] / 3;
    }
    return true;
}

/* The row's tensor of block `number`: there, of floats, of the sizes known so far; sizes not known yet are learnt. */
static cot_status examine(const tensor **out, view *v, const row *r, size_t number, cot_error *err)
{
    char name[TENSOR_NAME_MAX], have[96], want[96];
    size_t shape[4] = {0}, fit[4];
    const size_t rank = rank_of(r);
    spell(name, v->prefix, r->name[v->scheme], number);
    const tensor *t = *out = safetensors_find(v->file, name);
    if (!t)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %s of the %s is missing: the checkpoint is cut, or of another kind", v->where, name,
                        v->table->what);
    if (!tensor_is_float(t))
        return cot_fail(err, COT_E_MODEL, "%s: tensor %s has type %s, a floating-point type is needed", v->where, name,
                        tensor_type_name(t->type));
    bool fits = shape_as_ours(shape, v, r, t);
    for (size_t i = 0; i < rank; i++) {
        size_t *known = &v->dims[r->shape[i]];
        if (fits && !*known && shape[i] <= ENCODER_DIM_MAX) *known = shape[i];
        fits = fits && shape[i] && shape[i] == *known;
        fit[i] = *known;
    }
    if (fits) return COT_OK;
    tensor_shape_text(have, sizeof have, t->shape, t->rank);
    tensor_shape_text(want, sizeof want, fit, rank);
    return cot_fail(err, COT_E_MODEL, "%s: tensor %s has shape %s, which as %s%s does not fit %s (0: any size)",
                    v->where, name, have, r->name[0], how_of(v, r) == AS_IS ? "" : " rearranged", want);
}

/* How many blocks there are: numbers from 0 on without a hole. */
static size_t count_layers(const view *v)
{
    const row *r = v->table->rows;
    char name[TENSOR_NAME_MAX];
    while (!in_block(r)) r++;
    for (size_t n = 0; n < ENCODER_LAYERS_MAX; n++) {
        spell(name, v->prefix, r->name[v->scheme], n);
        if (!safetensors_find(v->file, name)) return n;
    }
    return ENCODER_LAYERS_MAX;
}

/* Learns all sizes and checks all tensors. */
static cot_status examine_all(view *v, cot_error *err)
{
    cot_status status = COT_OK;
    const tensor *t;
    v->dims[CHANNELS] = CLIP_CHANNELS;
    v->layers = count_layers(v);
    for (size_t i = 0; i < v->table->n; i++) {
        const row *r = &v->table->rows[i];
        for (size_t k = 0; k < (in_block(r) && v->layers ? v->layers : 1); k++) COT_TRY(examine(&t, v, r, k, err));
    }
    if (v->dims[WIDTH] > ENCODER_WIDTH_MAX || v->dims[INNER] > 8 * ENCODER_WIDTH_MAX)
        status = cot_fail(err, COT_E_LIMIT, "%s: the %s is %zu wide, at most %d are read", v->where, v->table->what,
                          v->dims[WIDTH], ENCODER_WIDTH_MAX);
done:
    return status;
}

static cot_status heads_of(size_t *heads, const view *v, size_t given, size_t head_width, cot_error *err)
{
    *heads = given ? given : v->dims[WIDTH] / head_width;
    if (!*heads || v->dims[WIDTH] % *heads)
        return cot_fail(err, COT_E_MODEL, "%s: %zu attention heads do not divide the width %zu of the %s", v->where,
                        *heads, v->dims[WIDTH], v->table->what);
    return COT_OK;
}

static cot_status clip_sizes(clip_shape *out, const view *v, size_t heads, cot_error *err)
{
    const size_t *d = v->dims, patches = d[TOKENS] - 1;
    size_t side = 1, resolution = 0;
    while (side * side < patches) side++; /* TOKENS <= 2^20: at most 1024 rounds */
    if (!patches || side * side != patches || !cot_mul(&resolution, side, d[PATCH]) || resolution > CLIP_RESOLUTION_MAX)
        return cot_fail(
            err, COT_E_MODEL,
            "%s: %zu positions and patches of %zu pixels: not a class token and a square of at most %d pixels",
            v->where, d[TOKENS], d[PATCH], CLIP_RESOLUTION_MAX);
    *out = (clip_shape){resolution, d[PATCH], d[WIDTH], v->layers, 0, d[INNER], d[FEATURES]};
    return heads_of(&out->heads, v, heads, CLIP_HEAD_WIDTH, err);
}

static cot_status bert_sizes(bert_shape *out, const view *v, size_t heads, cot_error *err)
{
    const size_t *d = v->dims;
    *out = (bert_shape){d[VOCAB], d[POSITIONS], d[TYPES], d[WIDTH], v->layers, 0, d[INNER]};
    return heads_of(&out->heads, v, heads, BERT_HEAD_WIDTH, err);
}

/* ---- under our names ---- */
static view view_of_ours(const safetensors *file, const char *where, const char *prefix, const table *t)
{
    view v = {.file = file, .where = where, .table = t};
    snprintf(v.prefix, sizeof v.prefix, "%s", prefix);
    return v;
}

cot_status clip_shape_find(clip_shape *out, const safetensors *file, const char *where, const char *prefix,
                           size_t heads, cot_error *err)
{
    cot_status status;
    view v = view_of_ours(file, where, prefix, &clip_table);
    COT_TRY(examine_all(&v, err));
    COT_TRY(clip_sizes(out, &v, heads, err));
done:
    return status;
}

cot_status bert_shape_find(bert_shape *out, const safetensors *file, const char *where, const char *prefix,
                           size_t heads, cot_error *err)
{
    cot_status status;
    view v = view_of_ours(file, where, prefix, &bert_table);
    COT_TRY(examine_all(&v, err));
    COT_TRY(bert_sizes(out, &v, heads, err));
done:
    return status;
}

size_t clip_tensor_count(const clip_shape *shape)
{
    size_t n = 0;
    for (size_t k = 0; k < clip_table.n; k++) n += in_block(&clip_rows[k]) ? shape->layers : 1;
    return n;
}

bool clip_tensor(tensor_spec *out, const clip_shape *shape, const char *prefix, size_t i)
{
    const size_t dims[DIMS] = {[WIDTH] = shape->width,
                               [INNER] = shape->inner,
                               [TOKENS] = (shape->resolution / shape->patch) * (shape->resolution / shape->patch) + 1,
                               [FEATURES] = shape->features,
                               [CHANNELS] = CLIP_CHANNELS,
                               [PATCH] = shape->patch};
    for (size_t k = 0; k < clip_table.n; k++) {
        const row *r = &clip_rows[k];
        const size_t n = in_block(r) ? shape->layers : 1;
        if (i >= n) {
            i -= n;
            continue;
        }
        char name[TENSOR_NAME_MAX];
        spell(name, prefix, r->name[0], i);
        snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, name);
        out->rank = rank_of(r);
        for (size_t d = 0; d < out->rank; d++) out->shape[d] = dims[r->shape[d]];
        return true;
    }
    return false;
}

/* ---- under any names ---- */
static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with) && (n == m || text[n - m - 1] == '.');
}

/* Looks for the marks of both schemes; what stands before one is the prefix. */
static cot_status recognise(view *v, cot_error *err)
{
    const tensor *found = NULL;
    for (size_t i = 0; i < safetensors_count(v->file); i++)
        for (size_t s = 0; s < SCHEMES; s++) {
            const tensor *t = safetensors_at(v->file, i);
            const char *mark = v->table->mark[s];
            if (!ends(t->name, mark)) continue;
            if (found)
                return cot_fail(err, COT_E_MODEL, "%s: both %s and %s begin a %s: leave one of them out", v->where,
                                found->name, t->name, v->table->what);
            found = t;
            v->scheme = s;
            snprintf(v->prefix, sizeof v->prefix, "%.*s", (int)(strlen(t->name) - strlen(mark)), t->name);
        }
    if (found) return COT_OK;
    return cot_fail(err, COT_E_MODEL, "%s: tensor %s is missing: no %s in this file", v->where, v->table->mark[0],
                    v->table->what);
}

static bool is_other(const view *v, const char *name)
{
    const size_t n = strlen(v->prefix);
    if (strncmp(name, v->prefix, n) != 0) return false;
    for (size_t i = 0; i < OTHERS_MAX && v->table->others[i]; i++) {
        const char *other = v->table->others[i];
        const size_t m = strlen(other);
        if (other[m - 1] == '*' ? !strncmp(name + n, other, m - 1) : !strcmp(name + n, other)) return true;
    }
    return false;
}

/* Rows and columns exchanged, elements of `size` bytes. NULL: no memory. */
static unsigned char *transposed(const tensor *t, size_t size)
{
    const size_t rows = t->shape[0], cols = t->shape[1];
    unsigned char *out = malloc(t->bytes + 1);
    for (size_t r = 0; out && r < rows; r++)
        for (size_t c = 0; c < cols; c++) memcpy(out + (c * rows + r) * size, t->data + (r * cols + c) * size, size);
    return out;
}

/* Theirs as ours, behind `prefix`. */
static cot_status convert(named_tensors *out, const view *v, const row *r, size_t number, const tensor *t,
                          const char *prefix, cot_error *err)
{
    const size_t i = out->n++;
    tensor *ours = &out->tensors[i];
    const how h = how_of(v, r);
    *ours = *t;
    spell(out->names[i], prefix, r->name[0], number);
    ours->name = out->names[i];
    shape_as_ours(ours->shape, v, r, t);
    if (h == TRANSPOSED) {
        ours->data = out->owned[i] = transposed(t, t->bytes / t->count);
        if (!ours->data) return cot_fail(err, COT_E_MEMORY, "%s: no memory for %s", v->where, t->name);
    } else if (h != AS_IS) {
        ours->count /= 3;
        ours->bytes /= 3;
        ours->data += (size_t)(h - THIRD_0) * ours->bytes;
    }
    return COT_OK;
}

static cot_status take(named_tensors *out, view *v, naming_claim *claims, const char *prefix, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t most = v->table->n * (v->layers + 1);
    out->tensors = calloc(most, sizeof *out->tensors);
    out->names = calloc(most, sizeof *out->names);
    out->owned = calloc(most, sizeof *out->owned);
    if (!out->tensors || !out->names || !out->owned)
        return cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu tensors", v->where, most);
    for (size_t i = 0; i < v->table->n; i++) {
        const row *r = &v->table->rows[i];
        for (size_t k = 0; k < (in_block(r) ? v->layers : 1); k++) {
            const tensor *t = NULL;
            COT_TRY(examine(&t, v, r, k, err));
            COT_TRY(convert(out, v, r, k, t, prefix, err));
            claims[t - safetensors_at(v->file, 0)] = NAMING_TAKEN;
        }
    }
    for (size_t i = 0; i < safetensors_count(v->file); i++)
        if (is_other(v, safetensors_at(v->file, i)->name)) claims[i] = NAMING_NOT_NEEDED;
done:
    return status;
}

cot_status naming_clip(named_tensors *out, clip_shape *shape, naming_claim *claims, const safetensors *file,
                       const char *where, const char *prefix, size_t heads, cot_error *err)
{
    cot_status status;
    view v = {.file = file, .where = where, .table = &clip_table};
    COT_TRY(recognise(&v, err));
    COT_TRY(examine_all(&v, err));
    COT_TRY(clip_sizes(shape, &v, heads, err));
    COT_TRY(take(out, &v, claims, prefix, err));
done:
    return status;
}

cot_status naming_bert(named_tensors *out, bert_shape *shape, naming_claim *claims, const safetensors *file,
                       const char *where, const char *prefix, size_t heads, cot_error *err)
{
    cot_status status;
    view v = {.file = file, .where = where, .table = &bert_table};
    COT_TRY(recognise(&v, err));
    COT_TRY(examine_all(&v, err));
    COT_TRY(bert_sizes(shape, &v, heads, err));
    COT_TRY(take(out, &v, claims, prefix, err));
done:
    return status;
}

cot_status naming_finish(const naming_claim *claims, const safetensors *file, const char *where, cot_error *err)
{
    for (size_t i = 0; i < safetensors_count(file); i++)
        if (claims[i] == NAMING_UNKNOWN)
            return cot_fail(err, COT_E_MODEL,
                            "%s: tensor %s belongs to none of the models that are read: another architecture, or more "
                            "blocks than are numbered without a hole",
                            where, safetensors_at(file, i)->name);
    return COT_OK;
}

void named_tensors_fini(named_tensors *list)
{
    for (size_t i = 0; list->owned && i < list->n; i++) free(list->owned[i]);
    free(list->tensors);
    free(list->names);
    free(list->owned);
    *list = (named_tensors){NULL, 0, NULL, NULL};
}
