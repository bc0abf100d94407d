/* The answers of one reading: what table, JSON and Structured Report all show, so that they cannot
 * differ. Plain data; create/destroy only manage memory (chain.c).
 * Threads: one at a time.  Ranges: probabilities 0..1, summing to 1 within 1e-5 where available.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_CHAIN_H
#define COT_CHAIN_H
#include "config/base.h"
#include "config/steps.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Who answered. Filled by the engine from the model package and the device. */
typedef struct cot_reader {
    char name[65];            /* "Step-CoT student, ResNet-18 (demonstration)" */
    char version[33];
    char package_sha256[65];  /* of weights and model.json: identity of the model */
    char notice[513];         /* "Demonstration model … not a medical device" */
    char training[1025];      /* how it was trained, in words */
    char role[17];            /* "student", "teacher" */
    char device[129];         /* OpenCL platform and device */
    char program[33];         /* "stepcot 0.1.0" */
} cot_reader;

/* ---- evidence: computed facts only --------------------------------------------------------------- */
/* Pixels of the source image as it is stored; 0,0 is the outer corner of the first pixel, cols,rows that of the last. */
typedef struct cot_point { float column, row; } cot_point;
typedef struct cot_region {
    size_t n_points;          /* >= 3 */
    cot_point *points;        /* a simple closed polygon; the first point is not repeated */
    float share;              /* of the answer's whole relevance that lies inside, 0..1 */
} cot_region;
/* Which earlier step the answer rests on: its write-back was removed, the chain run again. */
typedef struct cot_influence {
    size_t step;              /* earlier than the step it stands at */
    float change;             /* probability of the answer as given minus its probability without that step; -1..1 */
} cot_influence;
/* What the second reader answered to the same step. */
typedef struct cot_opinion {
    bool available;
    size_t answer;            /* index of its largest probability */
    float *probability;       /* [n_options] of the step; NULL: not available */
    bool calibrated;          /* as in cot_answer */
} cot_opinion;

typedef struct cot_answer {
    bool available;           /* false: the model cannot answer this step; nothing below is set but `reason` */
    char reason[257];         /* why not available */
    size_t n_options;
    float *probability;       /* [n_options] */
    bool calibrated;          /* on validation images (a temperature); else the model's raw probabilities */
    size_t answer;            /* index of the largest probability */
    size_t second;            /* runner-up (== answer when there is one option) */
    char rationale[1025];     /* UTF-8, from computed facts only */
    bool located;             /* a relevance map was made for the answer; without regions it carries none: "whole image" */
    size_t n_regions;
    cot_region *regions;      /* largest share first; disjoint */
    char place[129];          /* of regions[0] in words of the schema's language: "right lower zone"; "" unknown */
    size_t map_rows, map_cols;
    float *map;               /* [map_rows, map_cols] over the whole image, relevance 0..1; NULL: not kept */
    bool weighed;             /* influences were computed */
    size_t n_influences;
    cot_influence *influences; /* largest |change| first; only steps earlier than this */
    cot_opinion other;        /* only where the chain has a second reader */
    bool disagreement;        /* both readers answered, differently: a person should look here first */
} cot_answer;

typedef enum cot_chain_state {
    COT_CHAIN_COMPLETE,       /* every step available */
    COT_CHAIN_PARTIAL,        /* some steps not available */
    COT_CHAIN_REFUSED         /* the image was not analysed: refusal_* say why, no answers */
} cot_chain_state;

typedef struct cot_chain {
    cot_chain_state state;
    char refusal_id[33];      /* machine readable: "body-part", "not-frontal", "undecodable", … */
    char refusal[513];        /* "body part HIP is not a chest" */
    char schema_id[65];
    char schema_sha256[65];
    char rendering[161];      /* how the image's values became grey, in words; "" unknown */
    bool range_from_pixels;   /* …and the file did not say which values are black and white */
    char forced_id[33];       /* "", or the gate that was overruled to read this image (never when refused) */
    char forced[513];         /* its reason: "body part HIP is not a chest" */
    cot_reader reader;
    bool has_other;           /* a second reader read the image too */
    cot_reader other;
    bool calibrated;          /* every certainty is (cot_answer); where some are not, the summary names them */
    size_t rows, cols;        /* of the source image; 0 when nothing was decoded */
    size_t n_steps;
    cot_answer *answers;      /* [n_steps]; NULL when refused before a model was asked */
    char summary[1025];       /* one paragraph for people */
} cot_chain;

/* In words, for reports. Where the answer lies: its place, "whole image", or "" (not known). */
const char *cot_answer_place(const cot_answer *answer);
/* `"Right lung" (Location of the abnormality) raises the certainty of this answer by 12.3 percentage points`. */
void cot_influence_text(char *to, size_t size, const cot_chain *chain, const cot_steps *steps, const cot_influence *influence);

/* Answers allocated after the schema, all "not available". Caller destroys. steps may be NULL: no answers. */
cot_status cot_chain_create(cot_chain **out, const cot_steps *steps, cot_error *err);
void cot_chain_destroy(cot_chain *chain); /* NULL is fine */
/* Whether the certainties are calibrated, in one sentence that names the steps that are not where some are. True: all are. */
bool cot_chain_calibration(char *text, size_t size, const cot_chain *chain, const cot_steps *steps);
/* Room for what an answer owns; what was there before is freed. Zeroed. n 0: none. */
cot_status cot_answer_regions(cot_answer *answer, size_t n, cot_error *err);
cot_status cot_region_points(cot_region *region, size_t n, cot_error *err);
cot_status cot_answer_influences(cot_answer *answer, size_t n, cot_error *err);
cot_status cot_answer_other(cot_answer *answer, cot_error *err); /* probabilities of the second reader */
cot_status cot_answer_map(cot_answer *answer, size_t rows, size_t cols, cot_error *err);

#ifdef __cplusplus
}
#endif
#endif
