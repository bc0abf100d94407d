/* The names and shapes of CLIP's image tower and of BERT: ours, which are those of the transformers library, and those
 * under which other checkpoints carry the same tensors. One table per model gives sizes, checks, lists and conversion.
 * Threads: any; nothing is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_NAMING_H
#define COT_ENGINE_NAMING_H
#include "engine/safetensors.h"
#include "engine/shapes.h"

enum { CLIP_HEAD_WIDTH = 64, BERT_HEAD_WIDTH = 64 }; /* head widths of all published ones */
enum { ENCODER_DIM_MAX = 1 << 20, ENCODER_WIDTH_MAX = 8192, ENCODER_LAYERS_MAX = 128, CLIP_RESOLUTION_MAX = 2048 };

/* ---- under our names ---- */
/* Sizes of the encoder whose tensors lie under `prefix`, found in the tensors; heads 0: width / 64. Every tensor is
 * checked; one that is missing or does not fit the others is named. */
cot_status clip_shape_find(clip_shape *out, const safetensors *file, const char *where, const char *prefix,
                           size_t heads, cot_error *err);
cot_status bert_shape_find(bert_shape *out, const safetensors *file, const char *where, const char *prefix,
                           size_t heads, cot_error *err);
/* The i-th tensor of the tower under prefix; false behind the last. For a package's table. */
size_t clip_tensor_count(const clip_shape *shape);
bool clip_tensor(tensor_spec *out, const clip_shape *shape, const char *prefix, size_t i);

/* ---- under any names ---- */
typedef enum naming_claim { NAMING_UNKNOWN, NAMING_TAKEN, NAMING_NOT_NEEDED } naming_claim;
/* Tensors under our names behind a prefix of our own, ready to be written. Data is the file's, except where it had to be
 * turned (owned). */
typedef struct named_tensors {
    tensor *tensors;
    size_t n;
    char (*names)[TENSOR_NAME_MAX]; /* [n] */
    unsigned char **owned;          /* [n], NULL where the data is the file's */
} named_tensors;
/* Finds CLIP's image tower in a checkpoint: transformers' names or OpenAI's (fused in_proj, projection transposed), behind
 * whatever prefix. `claims` [tensors of file]: marked for each that is taken, and for those of CLIP's text tower and the
 * like, which are known and not needed. None, or more than one: refused. */
cot_status naming_clip(named_tensors *out, clip_shape *shape, naming_claim *claims, const safetensors *file,
                       const char *where, const char *prefix, size_t heads, cot_error *err);
/* The same for BERT, with its old names of layer norms (gamma, beta) too. */
cot_status naming_bert(named_tensors *out, bert_shape *shape, naming_claim *claims, const safetensors *file,
                       const char *where, const char *prefix, size_t heads, cot_error *err);
/* Names the first tensor that nobody claimed. */
cot_status naming_finish(const naming_claim *claims, const safetensors *file, const char *where, cot_error *err);
void named_tensors_fini(named_tensors *list);
#endif
