/* Prompts of the teacher (prompts.h). Texts are encoded one after another at their own length, so that none is padded and
 * masked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/prompts.h"
#include "engine/bert.h"
#include "engine/checkpoint.h"

#include <math.h>
#include <stdlib.h>

typedef struct encoding {
    bert_checkpoint checkpoint;
    bert bert;
    cot_arena *arena;
    cot_buffer *cls;
} encoding;

static cot_status open_encoding(encoding *e, cot_device *device, const char *folder, const safetensors *file,
                                const char *where, cot_error *err)
{
    cot_status status;
    COT_TRY(bert_checkpoint_open_from(&e->checkpoint, folder, file, where, err));
    const weight_source source = {e->checkpoint.file, "", e->checkpoint.where};
    COT_TRY(bert_init(&e->bert, device, &source, &e->checkpoint.shape, err));
    COT_TRY(cot_arena_create(&e->arena, device, err));
    COT_TRY(bert_plan(&e->bert, e->arena, WORDPIECE_TOKENS, err));
    COT_TRY(cot_arena_reserve(e->arena, &e->cls, e->bert.shape.width, err));
    COT_TRY(cot_arena_commit(e->arena, err));
done:
    return status;
}

static void close_encoding(encoding *e)
{
    bert_fini(&e->bert);
    cot_arena_destroy(e->arena);
    bert_checkpoint_close(&e->checkpoint);
}

static cot_status encode(float *vector, encoding *e, const char *text, cot_error *err)
{
    cot_status status;
    int64_t ids[WORDPIECE_TOKENS], mask[WORDPIECE_TOKENS];
    size_t n = 0;
    COT_TRY(wordpiece_encode(ids, &n, e->checkpoint.vocabulary, text, err));
    for (size_t i = 0; i < n; i++) mask[i] = 1;
    COT_TRY(bert_forward(e->cls, &e->bert, ids, mask, 1, n, err));
    COT_TRY(cot_buffer_read(e->cls, 0, vector, e->bert.shape.width, err));
done:
    return status;
}

static cot_status allocate(float **out, size_t n_steps, size_t width, cot_error *err)
{
    size_t floats = 0;
    *out = cot_mul(&floats, n_steps, width) ? calloc(floats + 1, sizeof **out) : NULL;
    return *out ? COT_OK : cot_fail(err, COT_E_MEMORY, "model: no memory for %zu prompts", n_steps);
}

cot_status prompts_encode(float **out, size_t *width, cot_device *device, const char *folder, const cot_steps *steps,
                          cot_error *err)
{
    return prompts_encode_from(out, width, device, folder, NULL, "", steps, err);
}

cot_status prompts_encode_from(float **out, size_t *width, cot_device *device, const char *folder,
                               const safetensors *file, const char *where, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    encoding e = {.arena = NULL};
    float *vectors = NULL;
    *out = NULL;
    COT_TRY(open_encoding(&e, device, folder, file, where, err));
    *width = e.bert.shape.width;
    COT_TRY(allocate(&vectors, steps->n_steps, *width, err));
    for (size_t s = 0; s < steps->n_steps; s++)
        if (encode(vectors + s * *width, &e, steps->steps[s].question, err) != COT_OK) {
            status = cot_fail_in(err, "question of step %s", steps->steps[s].id);
            goto done;
        }
    *out = vectors;
    vectors = NULL;
done:
    free(vectors);
    close_encoding(&e);
    return status;
}

/* splitmix64 of a counter, in [-1,1): sums and roots of doubles are the same everywhere, logarithms are not. */
static double uniform(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-52 - 1.0;
}

cot_status prompts_random(float **out, size_t n_steps, size_t width, cot_error *err)
{
    const cot_status status = allocate(out, n_steps, width, err);
    if (status != COT_OK) return status;
    for (size_t s = 0; s < n_steps; s++) {
        double length = 0;
        for (size_t i = 0; i < width; i++) length += uniform(s * width + i) * uniform(s * width + i);
        for (size_t i = 0; i < width; i++) (*out)[s * width + i] = (float)(uniform(s * width + i) / sqrt(length));
    }
    return COT_OK;
}
