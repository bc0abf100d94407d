/* BERT (Devlin et al. 2019), under the names of the transformers library, without pooler.
 *     x  = LN(word[id] + position[i] + type[0])
 *     x <- LN_1(x + attention(x, mask)),   x <- LN_2(x + W_2 gelu(W_1 x + b_1) + b_2)      for every block
 *     v  = x of the first token, [CLS]
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/bert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float norm_eps = 1e-12f;
static const transformer_names names = {
    "attention.self.query",       "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense",         "output.LayerNorm",
};

/* ---- load ---- */
cot_status bert_init(bert *m, cot_device *device, const weight_source *source, const bert_shape *shape, cot_error *err)
{
    cot_status status;
    char prefix[64];
    const size_t width = shape->width;
    const transformer_sizes sizes = {width, shape->heads, shape->inner, norm_eps, COT_ACT_GELU};
    m->shape = *shape;
    COT_TRY(source_tensor(&m->word, source, "embeddings.word_embeddings.weight", (const size_t[]){shape->vocab, width},
                          2, err));
    COT_TRY(source_tensor(&m->position, source, "embeddings.position_embeddings.weight",
                          (const size_t[]){shape->positions, width}, 2, err));
    COT_TRY(source_tensor(&m->type, source, "embeddings.token_type_embeddings.weight",
                          (const size_t[]){shape->types, width}, 2, err));
    COT_TRY(norm_init(&m->norm, device, source, "embeddings.LayerNorm", width, norm_eps, err));
    m->block = calloc(shape->layers, sizeof *m->block);
    if (!m->block) {
        status = cot_fail(err, COT_E_MEMORY, "%s: no memory for %zu blocks", source->where, shape->layers);
        goto done;
    }
    for (size_t i = 0; i < shape->layers; i++) {
        snprintf(prefix, sizeof prefix, "encoder.layer.%zu.", i);
        COT_TRY(transformer_init(&m->block[i], device, source, prefix, &names, &sizes, false, err));
    }
done:
    return status;
}

void bert_fini(bert *m)
{
    for (size_t i = 0; m->block && i < m->shape.layers; i++) transformer_fini(&m->block[i]);
    norm_fini(&m->norm);
    free(m->block);
    free(m->rows);
    free(m->mask);
}

/* ---- plan ---- */
cot_status bert_plan(bert *m, cot_arena *arena, size_t max_tokens, cot_error *err)
{
    cot_status status;
    size_t floats = 0;
    m->max_tokens = max_tokens;
    if (cot_mul(&floats, max_tokens + 1, m->shape.width)) {
        m->rows = calloc(floats, sizeof *m->rows);
        m->mask = calloc(max_tokens + 1, sizeof *m->mask);
    }
    if (!m->rows || !m->mask) return cot_fail(err, COT_E_MEMORY, "model: no memory for %zu tokens", max_tokens);
    COT_TRY(transformer_plan(&m->acts.block, arena, max_tokens, &m->block[0].sizes, err));
    COT_TRY(cot_arena_reserve(arena, &m->acts.mask, max_tokens, err));
done:
    return status;
}

/* ---- forward ---- */
static cot_status check_text(const bert *m, const int64_t *ids, const int64_t *mask, size_t n, size_t tokens,
                             cot_error *err)
{
    size_t rows = 0;
    if (!n || !tokens || !cot_mul(&rows, n, tokens) || rows > m->max_tokens)
        return cot_fail(err, COT_E_BUG, "text encoder: %zu texts of %zu tokens, planned for %zu tokens", n, tokens,
                        m->max_tokens);
    if (tokens > m->shape.positions)
        return cot_fail(err, COT_E_LIMIT, "text encoder: %zu tokens, the model has %zu positions: shorten the text",
                        tokens, m->shape.positions);
    for (size_t i = 0; i < rows; i++) {
        if (ids[i] < 0 || (uint64_t)ids[i] >= m->shape.vocab)
            return cot_fail(err, COT_E_INPUT,
                            "text encoder: token number %lld, the model has %zu: the vocabulary is of another model",
                            (long long)ids[i], m->shape.vocab);
        if (mask[i] != 0 && mask[i] != 1)
            return cot_fail(err, COT_E_INPUT, "text encoder: the mask must be of 0 and 1");
    }
    return COT_OK;
}

/* to[] += row r of a table in the file, converted through `line`. */
static void add_row(float *to, float *line, const tensor *table, size_t r, size_t width)
{
    const size_t size = table->bytes / table->count;
    tensor row = *table;
    row.count = width;
    row.bytes = width * size;
    row.data += r * row.bytes;
    tensor_floats(line, &row);
    for (size_t i = 0; i < width; i++) to[i] += line[i];
}

/* x = LN(word[id] + position[i] + type[0]); the sum on the host, where the tables are. */
static cot_status embed(bert *m, const int64_t *ids, const int64_t *mask, size_t n, size_t tokens, cot_error *err)
{
    cot_status status;
    const size_t width = m->shape.width, rows = n * tokens;
    float *line = m->rows + rows * width; /* plan() left room for one row more */
    memset(m->rows, 0, rows * width * sizeof *m->rows);
    for (size_t r = 0; r < rows; r++) {
        float *to = m->rows + r * width;
        add_row(to, line, m->word, (size_t)ids[r], width);
        add_row(to, line, m->position, r % tokens, width);
        add_row(to, line, m->type, 0, width);
        for (size_t i = 0; i < width; i++)
            if (!isfinite(to[i]))
                return cot_fail(err, COT_E_MODEL, "text encoder: an embedding of token %lld is not finite",
                                (long long)ids[r]);
        m->mask[r] = (float)mask[r];
    }
    COT_TRY(cot_buffer_write(m->acts.mask, 0, m->mask, rows, err));
    COT_TRY(cot_buffer_write(m->acts.block.h, 0, m->rows, rows * width, err));
    COT_TRY(norm_forward(m->acts.block.x, &m->norm, m->acts.block.h, rows, COT_ACT_NONE, err));
done:
    return status;
}

/* x = LN_1(x + attention(x));  x = LN_2(x + mlp(x)) */
static cot_status block_forward(bert *m, const transformer_block *b, size_t n, size_t tokens, cot_error *err)
{
    cot_status status;
    const transformer_acts *a = &m->acts.block;
    const size_t rows = n * tokens;
    COT_TRY(transformer_attend(a->h, b, a, a->x, m->acts.mask, n, tokens, err));
    COT_TRY(cot_linear_forward(a->qkv, a->h, b->out, rows, a->x, COT_ACT_NONE, err));
    COT_TRY(norm_forward(a->x, &b->norm1, a->qkv, rows, COT_ACT_NONE, err));
    COT_TRY(transformer_mlp(a->h, b, a, a->x, a->x, rows, err));
    COT_TRY(norm_forward(a->x, &b->norm2, a->h, rows, COT_ACT_NONE, err));
done:
    return status;
}

cot_status bert_forward(cot_buffer *cls, bert *m, const int64_t *ids, const int64_t *mask, size_t n, size_t tokens,
                        cot_error *err)
{
    cot_status status;
    COT_TRY(check_text(m, ids, mask, n, tokens, err));
    COT_TRY(embed(m, ids, mask, n, tokens, err));
    for (size_t i = 0; i < m->shape.layers; i++) COT_TRY(block_forward(m, &m->block[i], n, tokens, err));
    COT_TRY(cot_row_forward(cls, m->acts.block.x, n, tokens, 0, m->shape.width, err));
done:
    return status;
}
