/* Inside of `stepcot model import`: import.c chooses tensors and publishes, import_card.c writes what model.json says.
 * Threads: any; one import at a time per struct.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_IMPORT_H
#define COT_ENGINE_IMPORT_H
#include "engine/checkpoint.h"
#include "engine/import_teacher.h"
#include "engine/package.h"

typedef struct importing {
    const cot_import_options *options;
    const cot_steps *steps;
    char summary_path[1100], weights_path[1100], temporary[1100];
    cJSON *summary, *card;
    safetensors *source;
    architecture arch;
    clip_checkpoint clip; /* the encoder's tensors, CLIP's or another's; they may be those of source */
    naming_claim *claims; /* [tensors of source] what the encoder takes of them */
    teacher_import teacher;
    const char *student; /* what stands before the student's names in source: "student." or nothing */
    tensor_spec *table;  /* the architecture's */
    tensor *tensors;     /* what is written: the architecture's, then kept extras */
    size_t n;
    cJSON *left_out, *kept; /* belong to card */
    unsigned char **halves; /* [n_halves] data of tensors stored in half precision */
    size_t n_halves;
} importing;

/* ---- import_card.c ---- */
/* All of im->card but the weights' digest and the names of tensors that are not of the architecture. */
cot_status import_card(importing *im, cot_error *err);

/* ---- import_store.c ---- */
/* Refuses values that are not finite; turns what is to be written into half precision, if that was asked for. */
cot_status import_store(importing *im, cot_error *err);
void import_store_fini(importing *im);
#endif
