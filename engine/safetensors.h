/* The safetensors format: 8-byte little-endian header length, JSON header, raw little-endian data.
 * Read under bounds from bytes that are not trusted, written the same way every time.
 * Threads: a safetensors is read-only after open, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_SAFETENSORS_H
#define COT_ENGINE_SAFETENSORS_H
#include "config/base.h"

enum { TENSOR_RANK_MAX = 8, TENSOR_NAME_MAX = 256 };
typedef enum tensor_type { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_I64, TENSOR_BOOL } tensor_type;

typedef struct tensor {
    const char *name;
    tensor_type type;
    size_t rank, shape[TENSOR_RANK_MAX];
    size_t count, bytes;       /* elements; bytes == count * size of the type */
    const unsigned char *data; /* borrowed, not necessarily aligned */
} tensor;

typedef struct safetensors safetensors;

/* Maps `path` read-only. Caller closes. */
cot_status safetensors_open(safetensors **out, const char *path, cot_error *err);
/* Over bytes that must outlive *out; `where` names them in errors. */
cot_status safetensors_parse(safetensors **out, cot_blob bytes, const char *where, cot_error *err);
void safetensors_close(safetensors *file); /* NULL is fine */
size_t safetensors_count(const safetensors *file);
const tensor *safetensors_at(const safetensors *file, size_t i);           /* in order of name */
const tensor *safetensors_find(const safetensors *file, const char *name); /* NULL: not there */
cot_blob safetensors_bytes(const safetensors *file);                       /* the whole file */
/* Lets go of the memory behind a mapped tensor, NULL: behind all, until it is read again: what the device has need not be
 * resident twice. */
void safetensors_release(const safetensors *file, const tensor *t);

bool tensor_is_float(const tensor *t); /* F32, F16, BF16 */
/* Those as floats: `to` holds t->count. False for the other types. */
bool tensor_floats(float *to, const tensor *t);
const char *tensor_type_name(tensor_type type);
/* "[64,32,3,3]" into text, cut if it does not fit. */
void tensor_shape_text(char *text, size_t size, const size_t *shape, size_t rank);

/* The file's bytes for n tensors, in the order given; caller frees *out. `data` of each tensor is copied. */
cot_status safetensors_build(unsigned char **out, size_t *size, const tensor *tensors, size_t n, cot_error *err);
#endif
