/* The teacher's part of `stepcot model import`: a state dict under the published names, in a file of its own or among the
 * source's tensors, with or without the image encoder and the BERT that it was trained with.
 * Threads: the device's thread; one import at a time per struct.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_IMPORT_TEACHER_H
#define COT_ENGINE_IMPORT_TEACHER_H
#include "engine/checkpoint.h"
#include "engine/package.h"

typedef struct teacher_import {
    char where[CHECKPOINT_PATH_MAX];   /* the file it is in */
    char prefix[TENSOR_NAME_MAX];      /* before its names there */
    safetensors *own;                  /* a file of its own; NULL: it is in the source, or there is none */
    const safetensors *file;           /* NULL: no teacher */
    naming_claim *claims, *own_claims; /* [tensors of file] */
    float *prompts;                    /* [n_steps,dim] computed here; NULL: the file's */
    char prompts_text[257];            /* where they come from */
} teacher_import;

typedef struct teacher_source { /* the source folder's weights, where the teacher may be */
    const safetensors *file;
    const char *where;
    naming_claim *claims;
} teacher_source;

/* Finds the teacher and its prompts; arch->teacher gets its sizes. arch->encoder and classes are known. */
cot_status teacher_import_open(teacher_import *t, architecture *arch, const cot_import_options *options,
                               const teacher_source *source, const cot_steps *steps, cot_error *err);
void teacher_import_close(teacher_import *t);
/* The tensor of the package's table, whose data stays t's. */
cot_status teacher_import_tensor(tensor *out, teacher_import *t, const tensor_spec *spec, cot_error *err);
/* Does the source's tensor look like one of a teacher? Then it is none of the other heads that may be left out. */
bool teacher_import_stray(const teacher_import *t, const char *name);
/* A file of its own: what else it holds must be the encoder of `chosen`, the package's tensors, or its BERT. */
cot_status teacher_import_finish(teacher_import *t, const architecture *arch, const tensor *chosen, size_t n,
                                 cot_error *err);
#endif
