/* Inside plugin/: answers of a package to the labelled images of a split, for evaluate and calibrate, and what is said of
 * them. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_EVALUATE_H
#define COT_EVALUATE_H
#include "engine/calibration_error.h"
#include "engine/data.h"
#include "engine/engine.h"
#include "engine/picture_set.h"
#include "engine/scores.h"
#include "plugin/cli.h"

typedef struct evaluating { /* opened once, for any number of packages */
    const char *manifest_path, *images, *steps_path, *device_match, *command;
    cot_split split;
    cot_steps *steps;
    cot_manifest *manifest; /* only the split's cases */
    size_t *patient;        /* [n] numbers from 0 */
    size_t patients;
    cot_sandbox *sandbox;
    cot_device *device;
    picture_set pictures; /* of the last package that had them read, for the next that wants the same */
    cot_filter filter;
} evaluating;
/* Fill the first members; then the rest is opened, in the order that a sandbox needs. */
cot_status evaluating_open(evaluating *e, cot_error *err);
cot_status evaluating_open_data(evaluating *e, cot_error *err); /* without sandbox and device */
void evaluating_close(evaluating *e);

typedef struct evaluation { /* one package's answers */
    cot_reader reader;
    char reader_word[17]; /* "student", "teacher" */
    size_t n_steps;
    bool *available;           /* [n_steps] the model answers it and there are labels */
    score_rows *rows;          /* [n_steps] */
    double *temperature;       /* [n_steps] the package's, 1 without */
    bool *calibrated;          /* [n_steps] the package has one */
    char ablation[96];         /* "", or what was taken away */
    calibration_error *errors; /* [n_steps] once evaluation_scores was called */
} evaluation;
typedef struct evaluation_order {
    const char *package;         /* folder, NULL: the embedded one */
    cot_readers readers;         /* student or teacher */
    bool without_text;           /* teacher: random prompts of the same lengths */
    bool without_memory;         /* teacher: nothing is written back */
    const picture_set *pictures; /* of the split, already resized for the package; NULL: read */
} evaluation_order;
cot_status evaluation_run(evaluation *out, evaluating *e, const evaluation_order *order, cot_error *err);
void evaluation_fini(evaluation *v);

/* ---- evaluate_table.c ---- */
/* Per available step: scores [SCORES], 95 % intervals; caller frees with free. Fills v->errors. */
cot_status evaluation_scores(score_interval **out, evaluation *v, size_t draws, uint64_t seed, cot_error *err);
/* scores [n_steps * SCORES] */
void evaluation_print(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores);
/* "calibrated by temperature", "raw, not calibrated", or which steps are. */
void evaluation_certainties(char *text, size_t size, const evaluating *e, const evaluation *v);

/* ---- evaluate_report.c ---- */
/* other: of a second package, with differences; NULL: none. */
cot_status evaluation_json(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores,
                           const evaluation *other, const score_interval *differences, size_t draws, uint64_t seed,
                           cot_error *err);
/* The part of a page that shows one evaluation: table, confusion, ROC, reliability, step by step. */
cot_status evaluation_figures(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores,
                              cot_error *err);

/* ---- evaluate_compare.c: a second package on the same images; differences are first minus second ---- */
/* [n_steps * SCORES], steps that both answer; caller frees with free. */
cot_status evaluation_compare(score_interval **out, const evaluation *first, const evaluation *second, size_t draws,
                              uint64_t seed, cot_error *err);
void evaluation_print_compared(FILE *f, const evaluating *e, const evaluation *first, const evaluation *second,
                               const score_interval *differences);
void evaluation_page_compared(FILE *f, const evaluating *e, const evaluation *first, const evaluation *second,
                              const score_interval *differences);
#endif
