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

/* Sentences about the whole reading; "" where the schema has none: nothing is said then. */
typedef struct cot_phrases {
    char disagreement[513];  /* in a step's rationale: {reader} {answer} {certainty}, of the second reader */
    char disagreements[513]; /* in the summary: {count} {compared} {steps}; compared: steps that both readers answered */
    char agreement[513];     /* in the summary: {reader} {compared} */
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
