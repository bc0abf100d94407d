/* How good answers are, with honest intervals: accuracy, AUC, macro sensitivity, specificity, precision and F1, calibration
 * error, and the temperature that calibrates. Intervals are bootstraps over patients, not images: images of one patient are
 * no independent evidence. Two models are compared on the same draws.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_SCORES_H
#define COT_ENGINE_SCORES_H
#include "engine/bootstrap.h"

enum { SCORES_BINS = 15 };
typedef enum score_kind {
    SCORE_ACCURACY,
    SCORE_AUC,         /* one against the rest, mean over the options that have both kinds of rows */
    SCORE_SENSITIVITY, /* this and the next three: mean over the options that are some row's label; of one without an answer */
    SCORE_SPECIFICITY, /* precision is 0 */
    SCORE_PRECISION,
    SCORE_F1,
    SCORE_ECE,          /* expected calibration error, bins of equal width; no interval but of differences */
    SCORE_NLL,          /* mean negative log-likelihood */
    SCORE_AUC_NEGATIVE, /* of the option that says that nothing is there, against all others: is anything there? */
    SCORES
} score_kind;
const char *score_name(score_kind kind); /* "accuracy", "auc", … */

typedef struct score_rows { /* one step's labelled images */
    size_t n, classes;
    double *logits;  /* [n,classes] */
    int *label;      /* [n] */
    size_t *patient; /* [n] numbers from 0: whose image it is */
    size_t patients;
    int negative; /* the option that says that nothing is there, or -1: SCORE_AUC_NEGATIVE is not defined */
} score_rows;
cot_status score_rows_init(score_rows *rows, size_t most, size_t classes, cot_error *err);
void score_rows_fini(score_rows *rows);

/* temperature divides the logits. draws 0: no intervals. Same rows, seed and draws: the same numbers. */
cot_status scores_of(score_interval out[SCORES], const score_rows *rows, double temperature, size_t draws,
                     uint64_t seed, cot_error *err);
/* b minus a on the same draws; both of the same images. */
cot_status scores_compare(score_interval out[SCORES], const score_rows *a, double temperature_a, const score_rows *b,
                          double temperature_b, size_t draws, uint64_t seed, cot_error *err);
/* Of the lowest negative log-likelihood, from 0.05 to 20; 1 without rows. */
double score_temperature(const score_rows *rows);

/* Options that SCORE_AUC leaves out: every row has them as label, or none. */
size_t score_left_out(const score_rows *rows);

/* ---- what figures need ---- */
void score_confusion(size_t *counts, const score_rows *rows); /* [classes,classes], rows: true */
typedef struct score_bin {
    size_t n;
    double confidence, accuracy; /* means; NaN when empty */
} score_bin;
size_t score_bin_of(double certainty);
void score_bins(score_bin bins[SCORES_BINS], const score_rows *rows, double temperature);
/* ROC of one option against the rest: x false, y true positive rate; room for n + 2 points. 0: one kind is missing. */
size_t score_roc(double *x, double *y, const score_rows *rows, size_t option, cot_error *err);
#endif
