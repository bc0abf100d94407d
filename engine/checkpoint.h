/* Checkpoint folders as the transformers library saves them: config.json beside model.safetensors. What the config says and
 * the tensors do not (heads, activation) is read from it; where both speak, they must agree.
 * Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CHECKPOINT_H
#define COT_ENGINE_CHECKPOINT_H
#include "engine/naming.h"
#include "engine/wordpiece.h"

enum { CHECKPOINT_PATH_MAX = 1100 };

typedef struct clip_checkpoint {
    char where[CHECKPOINT_PATH_MAX]; /* model.safetensors */
    safetensors *file;
    named_tensors tensors; /* of the image tower, under CLIP_PREFIX */
    clip_shape shape;
    clip_normalisation normalisation; /* preprocessor_config.json's if there is one, else the published one */
} clip_checkpoint;
/* Every tensor of the file must be of CLIP. */
cot_status clip_checkpoint_open(clip_checkpoint *out, const char *folder, cot_error *err);
void clip_checkpoint_close(clip_checkpoint *c);

typedef struct bert_checkpoint {
    char where[CHECKPOINT_PATH_MAX];
    safetensors *file;    /* under our names, no prefix */
    unsigned char *bytes; /* behind file */
    bert_shape shape;
    wordpiece *vocabulary; /* vocab.txt */
} bert_checkpoint;
/* The vocabulary may have fewer tokens than the model (padded tables), not more. */
cot_status bert_checkpoint_open(bert_checkpoint *out, const char *folder, cot_error *err);
/* The tensors in `file`, called `where`, among any others; only config.json and vocab.txt in the folder. file NULL: as above. */
cot_status bert_checkpoint_open_from(bert_checkpoint *out, const char *folder, const safetensors *file,
                                     const char *where, cot_error *err);
void bert_checkpoint_close(bert_checkpoint *c);
#endif
