/* For tests of import: lists of tensors, from files or random, written as a safetensors file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_TENSOR_FILES_H
#define COT_TESTS_TENSOR_FILES_H
#include "engine/safetensors.h"
#include "engine/shapes.h"
#include "tests/check.h"

enum { TENSORS_MOST = 512 };

typedef struct tensor_list {
    tensor tensors[TENSORS_MOST];
    char names[TENSORS_MOST][128];
    void *owned[TENSORS_MOST];
    size_t n;
} tensor_list;

static inline void list_fini(tensor_list *list)
{
    for (size_t i = 0; i < list->n; i++) free(list->owned[i]);
    list->n = 0;
}

static inline void add(tensor_list *list, const char *prefix, const char *name, const tensor *t)
{
    if (list->n >= TENSORS_MOST) abort();
    snprintf(list->names[list->n], sizeof list->names[0], "%s%s", prefix, name);
    list->owned[list->n] = NULL;
    list->tensors[list->n] = *t;
    list->tensors[list->n].name = list->names[list->n];
    list->n++;
}

static inline void add_file(tensor_list *list, const char *prefix, const safetensors *file)
{
    for (size_t i = 0; i < safetensors_count(file); i++)
        add(list, prefix, safetensors_at(file, i)->name, safetensors_at(file, i));
}

/* Numbers that half precision holds exactly: -63/64 … 63/64. */
static inline float number(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)((int)(*seed >> 24) % 127 - 63) / 64;
}

static inline uint16_t half_of(float value)
{
    int exponent;
    const float m = frexpf(fabsf(value), &exponent); /* 0.5 … 1 */
    if (m < 0.25f) return 0;                         /* zero */
    return (uint16_t)((value < 0 ? 0x8000 : 0) | (exponent - 1 + 15) << 10 | (int)(m * 2048 - 1024));
}

static inline void add_random(tensor_list *list, const char *prefix, const tensor_spec *spec, bool half, unsigned *seed)
{
    tensor t = {.type = half ? TENSOR_F16 : TENSOR_F32, .rank = spec->rank, .count = 1};
    for (size_t i = 0; i < spec->rank; i++) t.count *= t.shape[i] = spec->shape[i];
    t.bytes = t.count * (half ? 2 : 4);
    unsigned char *bytes = malloc(t.bytes + 1);
    if (!bytes) abort();
    for (size_t i = 0; i < t.count; i++) {
        const float v = number(seed) * 0.25f;
        const uint16_t h = half_of(v);
        memcpy(bytes + i * (half ? 2 : 4), half ? (const void *)&h : (const void *)&v, half ? 2 : 4);
    }
    t.data = bytes;
    add(list, prefix, spec->name, &t);
    list->owned[list->n - 1] = bytes;
}

static inline cot_status write_list(const char *folder, const char *name, const tensor_list *list, cot_error *err)
{
    cot_status status;
    char path[200];
    unsigned char *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    COT_TRY(safetensors_build(&bytes, &size, list->tensors, list->n, err));
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
done:
    free(bytes);
    return status;
}

static inline cot_status write_text(const char *folder, const char *name, const char *text, cot_error *err)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return cot_file_write_durable(path, text, strlen(text), err);
}

/* model.json of a package; caller frees. */
static inline char *card_of(const char *package)
{
    cot_error err = COT_ERROR_INIT;
    char path[200], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/model.json", package);
    return cot_file_read(&text, &size, path, 1 << 20, &err) == COT_OK ? text : NULL;
}
#endif
