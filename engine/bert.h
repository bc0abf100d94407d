/* BERT: token numbers -> the vector of [CLS] in the last hidden state. Used when a package is made (its prompts are
 * encoded once) and by verify.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_BERT_H
#define COT_ENGINE_BERT_H
#include "engine/naming.h"
#include "engine/transformer.h"

typedef struct bert_acts {
    transformer_acts block;
    cot_buffer *mask; /* [n,tokens] of 0 and 1 */
} bert_acts;
typedef struct bert {
    bert_shape shape;
    const tensor *word, *position, *type; /* in the file, which must outlive this: only rows of a text are read */
    norm_layer norm;
    transformer_block *block; /* [layers] */
    size_t max_tokens;        /* of one forward, all texts together */
    float *rows, *mask;       /* host, [max_tokens + 1,width] and [max_tokens] */
    bert_acts acts;
} bert;
cot_status bert_init(bert *m, cot_device *device, const weight_source *source, const bert_shape *shape, cot_error *err);
void bert_fini(bert *m);
/* Reserves the activations for texts of max_tokens tokens together. */
cot_status bert_plan(bert *m, cot_arena *arena, size_t max_tokens, cot_error *err);
/* cls [n,width]; ids, mask [n,tokens] on the host, mask of 0 and 1; a text may be masked as a whole. */
cot_status bert_forward(cot_buffer *cls, bert *m, const int64_t *ids, const int64_t *mask, size_t n, size_t tokens,
                        cot_error *err);
#endif
