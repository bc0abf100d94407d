/* Calibration errors without the bias of few images (calibration_error.h). The variance that the square is freed of is that of
 * a bin's mean over patients, not images, so that images of one patient do not count as independent.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration_error.h"
#include "engine/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BIN_ROWS = 5 }; /* at least, of a bin of equal mass: fewer tell no variance */

typedef struct sure {
    double certainty, right; /* right: 0 or 1 */
    size_t patient, row;
} sure;

static int by_certainty(const void *a, const void *b)
{
    const sure *x = a, *y = b;
    if (x->certainty < y->certainty || x->certainty > y->certainty) return x->certainty < y->certainty ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_patient(const void *a, const void *b)
{
    const sure *x = a, *y = b;
    return x->patient == y->patient ? by_certainty(a, b) : x->patient < y->patient ? -1 : 1;
}

/* By rising certainty. Caller frees. */
static sure *sort_rows(const score_rows *rows, double temperature)
{
    const size_t n = rows->n, k = rows->classes;
    sure *list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        const double *z = rows->logits + i * k;
        size_t answer = 0;
        double all = 0;
        for (size_t c = 1; c < k; c++)
            if (z[c] > z[answer]) answer = c;
        for (size_t c = 0; c < k; c++) all += exp((z[c] - z[answer]) / temperature);
        list[i] = (sure){1 / all, rows->label[i] == (int)answer, rows->patient[i], i};
    }
    if (list) qsort(list, n, sizeof *list, by_certainty);
    return list;
}

/* ---- equal width: what chance alone measures ---- */
static double plain_ece(const sure *list, const double *right, size_t n)
{
    double off[SCORES_BINS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) off[score_bin_of(list[i].certainty)] += list[i].certainty - right[i];
    for (size_t b = 0; b < SCORES_BINS; b++) sum += fabs(off[b]);
    return sum / (double)n;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void chance_of(calibration_error *out, const sure *list, double *right, double *eces, size_t n, size_t draws,
                      uint64_t seed)
{
    double sum = 0;
    size_t reached = 0;
    for (size_t i = 0; i < n; i++) right[i] = list[i].right;
    const double measured = plain_ece(list, right, n);
    for (size_t d = 0; d < draws; d++) {
        for (size_t i = 0; i < n; i++) right[i] = order_uniform(seed, d + 1, list[i].row) < list[i].certainty;
        sum += eces[d] = plain_ece(list, right, n);
        reached += eces[d] >= measured - 1e-12;
    }
    qsort(eces, draws, sizeof *eces, by_value);
    out->chance = sum / (double)draws;
    out->chance_high = eces[(size_t)(0.95 * (double)(draws - 1) + 0.5)];
    out->reached = (double)reached / (double)draws;
}

/* ---- equal mass ---- */
/* Variance of the mean difference of a bin, over its patients; negative: a single patient tells none. Sorts the bin. */
static double variance_of(sure *bin, size_t n, double mean)
{
    double squares = 0;
    size_t patients = 0;
    qsort(bin, n, sizeof *bin, by_patient);
    for (size_t i = 0; i < n; patients++) {
        const size_t patient = bin[i].patient;
        double sum = 0;
        for (; i < n && bin[i].patient == patient; i++) sum += bin[i].certainty - bin[i].right - mean;
        squares += sum * sum;
    }
    if (patients < 2) return -1;
    return squares / ((double)n * (double)n) * (double)patients / (double)(patients - 1);
}

static void mass_of(calibration_error *out, sure *list, size_t n)
{
    const size_t most = n / BIN_ROWS, bins = most < 1 ? 1 : most < SCORES_BINS ? most : SCORES_BINS;
    double spread = 0;
    out->mass = out->square = 0;
    for (size_t b = 0; b < bins; b++) {
        const size_t from = b * n / bins, m = (b + 1) * n / bins - from;
        const double share = (double)m / (double)n;
        double mean = 0;
        for (size_t i = from; i < from + m; i++) mean += (list[i].certainty - list[i].right) / (double)m;
        out->mass += share * fabs(mean);
        const double variance = variance_of(list + from, m, mean);
        if (variance < 0) continue; /* as much chance as error, for all that can be told */
        const double square = mean * mean - variance;
        out->square += share * square;
        spread += share * share * (4 * fmax(square, 0) * variance + 2 * variance * variance);
    }
    spread = 1.96 * sqrt(spread);
    out->rms = sqrt(fmax(out->square, 0));
    out->rms_low = sqrt(fmax(out->square - spread, 0));
    out->rms_high = sqrt(fmax(out->square + spread, 0));
}

cot_status calibration_error_of(calibration_error *out, const score_rows *rows, double temperature, size_t draws,
                                uint64_t seed, cot_error *err)
{
    const double none = (double)NAN;
    *out = (calibration_error){none, none, none, none, none, none, none, none};
    if (!rows->n) return COT_OK;
    sure *list = sort_rows(rows, temperature);
    double *right = calloc(rows->n, sizeof *right), *eces = calloc(draws, sizeof *eces);
    const bool memory = list && right && eces;
    if (memory) {
        chance_of(out, list, right, eces, rows->n, draws, seed);
        mass_of(out, list, rows->n);
    }
    free(list);
    free(right);
    free(eces);
    return memory ? COT_OK : cot_fail(err, COT_E_MEMORY, "scores: no memory for %zu draws", draws);
}

/* ---- a temperature on patients that it was not fitted on ---- */
/* Rows whose patient is in the fold, or is not. */
static void take_fold(score_rows *to, const score_rows *rows, size_t fold, size_t folds, bool in)
{
    const size_t k = rows->classes;
    to->n = 0;
    to->patients = rows->patients;
    for (size_t i = 0; i < rows->n; i++) {
        if ((rows->patient[i] % folds == fold) != in) continue;
        memcpy(to->logits + to->n * k, rows->logits + i * k, k * sizeof *to->logits);
        to->patient[to->n] = rows->patient[i];
        to->label[to->n++] = rows->label[i];
    }
}

cot_status calibration_left_out(double *nll, const score_rows *rows, size_t folds, cot_error *err)
{
    cot_status status;
    double sum = 0;
    score_rows part = {0};
    score_interval scores[SCORES];
    *nll = (double)NAN;
    COT_TRY(score_rows_init(&part, rows->n, rows->classes, err));
    if (rows->patients < folds || !rows->n) goto done;
    for (size_t f = 0; f < folds; f++) {
        take_fold(&part, rows, f, folds, false);
        const double temperature = score_temperature(&part);
        take_fold(&part, rows, f, folds, true);
        if (!part.n) continue;
        COT_TRY(scores_of(scores, &part, temperature, 0, 1, err));
        sum += scores[SCORE_NLL].value * (double)part.n;
    }
    *nll = sum / (double)rows->n;
done:
    score_rows_fini(&part);
    return status;
}
