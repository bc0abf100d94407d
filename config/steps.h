/* The step schema: the questions of a reading, their options and codes. Plain data; read from
 * steps.xml by cot_steps_load (config.h). The number of steps and options is known only here.
 * Threads: read-only after load, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_STEPS_H
#define COT_STEPS_H
#include <stdbool.h>
#include <stddef.h>

/* A coded concept, DICOM PS3.3 section 8: value SH <= 16, meaning LO <= 64 characters. value[0] == 0: none. */
typedef struct cot_code {
    char value[17];
    char scheme[17];
    char meaning[193]; /* 64 characters of UTF-8 */
} cot_code;

typedef struct cot_option {
    char id[33];         /* "increased"; unique within the step */
    char label[193];     /* dataset's or our wording, shown to people */
    char key[17];        /* private code value in the schema's own scheme, e.g. S1_INCREASED */
    cot_code code;       /* standard concept if there is one, else the private key */
    cot_code laterality; /* SCT right/left/bilateral, or none */
    bool negative;       /* says that nothing abnormal is there */
    bool ours;           /* wording chosen by this project, not published by the data set */
} cot_option;

typedef struct cot_step {
    char id[33];       /* "detection" */
    char title[65];    /* "Abnormal radiodensity detection" */
    char question[257];
    cot_code concept;  /* concept name of the answer, e.g. (112006, DCM, "Distribution Descriptor") */
    cot_code code;     /* the step itself, e.g. (STEP2, 99STEPCOT, "Step 2 of 7: Lesion distribution") */
    size_t n_options;
    cot_option *options;
    char phrase[513];  /* rationale template: {answer} {certainty} {second} {second-certainty} {step-count} (steps in the schema);
                        the certainties come with their unit, e.g. "87%" */
    char phrase_alone[513]; /* the same when there is no runner-up worth naming */
} cot_step;

/* Where a region lies, patient's right on the image's left. SPAN: right to left of the midline; ALL: more than one zone. */
typedef enum cot_side { COT_SIDE_RIGHT, COT_SIDE_LEFT, COT_SIDE_MIDLINE, COT_SIDE_SPAN, COT_SIDES } cot_side;
typedef enum cot_zone { COT_ZONE_UPPER, COT_ZONE_MIDDLE, COT_ZONE_LOWER, COT_ZONE_ALL, COT_ZONES } cot_zone;

/* Sentences that a reading is worded with. "" where the schema has none: nothing is said then, or, where something must be
 * said (marked *), in English. */
typedef struct cot_phrases {
    char disagreement[513];  /* in a step's rationale: {reader} {answer} {certainty}, of the second reader */
    char where[513];         /* …: {place} {share}, of the region with the largest share */
    char whole[513];         /* …: the relevance map has no region */
    char influences[513];    /* …: {list} of */
    char influence[513];     /*    {step} {answer} {points}: an earlier answer and by how many points it changes the probability */
    char no_influence[513];  /* …: no earlier answer changes it by 1 point or more */
    char evidence_of[513];   /* …: {reader} {other}: whose answer these rest on, where two read; said behind them */
    char disagreements[513]; /* in the summary: {count} {compared} {steps}; compared: steps that both readers answered */
    char agreement[513];     /* …: {reader} {compared} */
    char answered[513];      /* …*: {step} {answer} {certainty} */
    char missing[513];       /* …*: {steps} {reason} */
    char calibrated[513], uncalibrated[513], partly_calibrated[513]; /* …*: what certainties are; {steps}: that are raw */
    char not_trained[257];   /* * reason of a step that the model was not trained for */
    char percent[33];        /* * {number}: 43.2 */
    char percent_under[33], percent_over[33]; /* * below 1, above 99 */
    char decimal_mark[9];    /* * */
    char place[COT_SIDES][COT_ZONES][65]; /* "right lower zone" */
    char place_assumed[65];  /* {place}, where the image does not say how it is turned */
} cot_phrases;

typedef struct cot_steps {
    char id[65];       /* "urn:stepcot:steps:cxr:1" */
    char version[17];
    char sha256[65];   /* of the XML bytes: part of every report's identity */
    char language[17]; /* "en-US" */
    cot_code scheme;   /* value: designator 99STEPCOT; scheme: UID is derived; meaning: name */
    char organization[65];
    cot_phrases phrases;
    size_t n_steps;
    cot_step *steps;
} cot_steps;
#endif
