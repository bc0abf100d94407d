/* model.json: what a package says of itself, read under bounds and checked against the step schema.
 * Threads: read-only after parse, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CARD_H
#define COT_ENGINE_CARD_H
#include "config/steps.h"
#include "engine/architecture.h"
#include "opencl/opencl.h"
#include <cjson/cJSON.h>

#define CARD_SCHEMA "urn:stepcot:model:1"
enum { CARD_BYTES_MAX = 1 << 20, CARD_WIDTH_MAX = 1024, CARD_DIM_MAX = 8192, CARD_SIZE_MIN = 32, CARD_SIZE_MAX = 2048 };

typedef struct model_card {
    char name[65], version[33], role[17], notice[513], training[1025], attribution[1025];
    architecture arch; /* classes owned by the card */
    size_t size;       /* input is size x size, one grey channel */
    cot_filter filter;
    float mean, std;         /* of the grey channel; with CLIP 0 and 1, */
    clip_normalisation clip; /* and these of the three channels it stands for */
    char schema_id[65];
    bool *supervised;   /* [arch.n_steps]: labels for this step were in the training data */
    float *temperature; /* [arch.n_steps], 0: not calibrated (calibration.h) */
    struct {            /* only where arch has a teacher */
        char name[65], training[756];
        char prompts[257];  /* where they come from, in words; its reader says so behind the training */
        bool *supervised;   /* [arch.n_steps] */
        float *temperature; /* [arch.n_steps]; there without a teacher too */
    } teacher;
    char weights_sha256[65];
    cJSON *json; /* the whole document */
} model_card;

/* `text` is NUL-terminated. Caller destroys. */
cot_status card_parse(model_card **out, const char *text, const char *where, const cot_steps *steps, cot_error *err);
void card_destroy(model_card *card); /* NULL is fine */

/* Members of a JSON object, with errors that name file and member; shared with import.c. */
cot_status json_text(char *to, size_t size, const cJSON *object, const char *key, const char *where, cot_error *err);
cot_status json_number(double *to, const cJSON *object, const char *key, double low, double high, const char *where,
                       cot_error *err);
cot_status json_size(size_t *to, const cJSON *object, const char *key, size_t low, size_t high, const char *where,
                     cot_error *err);
/* ---- card_densenet.c: "encoder" of the architecture, read, written, and in words ---- */
cot_status densenet_read(densenet_shape *shape, const cJSON *parent, const char *where, cot_error *err);
bool densenet_write(cJSON *parent, const densenet_shape *shape);
void densenet_text(char *text, size_t size, const densenet_shape *shape);

/* Parses a whole NUL-terminated text as one object. */
cot_status json_object(cJSON **out, const char *text, const char *where, cot_error *err);
#endif
