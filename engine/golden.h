/* Inside of a golden folder: golden.c reads it, golden_run.c computes it again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_GOLDEN_H
#define COT_ENGINE_GOLDEN_H
#include "engine/engine.h"
#include "engine/safetensors.h"
#include "engine/source.h"

enum { GOLDEN_STEPS_MAX = 64, GOLDEN_CLASSES_MAX = 1024 };
typedef enum golden_file {
    GOLDEN_CLIP,
    GOLDEN_BERT,
    GOLDEN_TEACHER,
    GOLDEN_STUDENT,
    GOLDEN_EXPECTED,
    GOLDEN_FILES
} golden_file;

/* "architecture" of expected.json, by the oracle's names; all at least 1. */
typedef struct golden_sizes {
    size_t resolution, patch, width, layers, heads, image_dim;
    size_t vocab, bert_width, bert_layers, bert_heads, positions, tokens;
    size_t teacher, gat_heads, gat_layers, student, batch;
} golden_sizes;

struct cot_golden {
    char folder[1100];
    golden_sizes sizes;
    size_t n_steps, classes[GOLDEN_STEPS_MAX];
    safetensors *file[GOLDEN_FILES];
    char where[GOLDEN_FILES][1200]; /* their names, for errors */
};

/* golden_extra.c: COT_E_MODEL, naming the first tensor of any file that nothing of these sizes has. */
cot_status golden_refuse_extra(const cot_golden *golden, cot_error *err);
/* golden_conv.c: small convolutions of every kind, computed by the device and by the host. COT_E_DEVICE names the first that
 * differs by more than the bound. */
cot_status golden_convolve(cot_device *device, double bound, cot_error *err);

/* What source.h loads the tensors of one file from. */
weight_source golden_source(const cot_golden *golden, golden_file file);
#endif
