/* Scores and their intervals (scores.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[SCORES] = {"accuracy", "auc", "sensitivity", "specificity", "precision",
                                          "f1",       "ece", "nll",         "auc_negative"};

const char *score_name(score_kind kind)
{
    return names[kind];
}

cot_status score_rows_init(score_rows *rows, size_t most, size_t classes, cot_error *err)
{
    memset(rows, 0, sizeof *rows);
    rows->classes = classes;
    rows->negative = -1;
    rows->logits = calloc(most * classes + 1, sizeof *rows->logits);
    rows->label = calloc(most + 1, sizeof *rows->label);
    rows->patient = calloc(most + 1, sizeof *rows->patient);
    return rows->logits && rows->label && rows->patient ? COT_OK : cot_fail(err, COT_E_MEMORY, "scores: no memory");
}

void score_rows_fini(score_rows *rows)
{
    free(rows->logits);
    free(rows->label);
    free(rows->patient);
    memset(rows, 0, sizeof *rows);
}

/* ---- probabilities ---- */
static void softmax_at(double *p, const double *logits, size_t classes, double temperature)
{
    double top = -INFINITY, sum = 0;
    for (size_t c = 0; c < classes; c++) top = fmax(top, logits[c]);
    for (size_t c = 0; c < classes; c++) sum += p[c] = exp((logits[c] - top) / temperature);
    for (size_t c = 0; c < classes; c++) p[c] /= sum;
}

static size_t largest(const double *p, size_t classes)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (p[c] > p[best]) best = c;
    return best;
}

/* ---- one set of rows, each counted `weight` times ---- */
typedef struct judge {
    const score_rows *rows;
    double *p;      /* [n,classes] */
    size_t *answer; /* [n] */
    size_t *order;  /* [classes,n] rows by rising p of the option */
    double *weight; /* [n] */
    double *tally;  /* [classes,3] labelled, answered, both */
} judge;

typedef struct keyed {
    double p;
    size_t row;
} keyed;
static int by_probability(const void *a, const void *b)
{
    const double x = ((const keyed *)a)->p, y = ((const keyed *)b)->p;
    return (x > y) - (x < y);
}

static void judge_fini(judge *j)
{
    free(j->p);
    free(j->answer);
    free(j->order);
    free(j->weight);
    free(j->tally);
}

static cot_status judge_init(judge *j, const score_rows *rows, double temperature, cot_error *err)
{
    const size_t n = rows->n, k = rows->classes;
    *j = (judge){rows,
                 calloc(n * k + 1, sizeof(double)),
                 calloc(n + 1, sizeof(size_t)),
                 calloc(n * k + 1, sizeof(size_t)),
                 calloc(n + 1, sizeof(double)),
                 calloc(3 * k + 1, sizeof(double))};
    keyed *room = calloc(n + 1, sizeof *room);
    if (!j->p || !j->answer || !j->order || !j->weight || !j->tally || !room) {
        free(room);
        return cot_fail(err, COT_E_MEMORY, "scores: no memory for %zu rows", n);
    }
    for (size_t i = 0; i < n; i++) {
        softmax_at(j->p + i * k, rows->logits + i * k, k, temperature);
        j->answer[i] = largest(j->p + i * k, k);
        j->weight[i] = 1;
    }
    for (size_t c = 0; c < k; c++) {
        for (size_t i = 0; i < n; i++) room[i] = (keyed){j->p[i * k + c], i};
        qsort(room, n, sizeof *room, by_probability);
        for (size_t i = 0; i < n; i++) j->order[c * n + i] = room[i].row;
    }
    free(room);
    return COT_OK;
}

/* Mann and Whitney with weights: equal probabilities count half. */
static double auc_of(const judge *j, size_t c)
{
    const size_t n = j->rows->n, k = j->rows->classes, *order = j->order + c * n;
    double below = 0, won = 0, positives = 0;
    for (size_t i = 0; i < n;) {
        double plus = 0, minus = 0;
        const double p = j->p[order[i] * k + c];
        for (; i < n && j->p[order[i] * k + c] <= p; i++)
            if (j->rows->label[order[i]] == (int)c)
                plus += j->weight[order[i]];
            else
                minus += j->weight[order[i]];
        won += plus * (below + minus / 2);
        below += minus;
        positives += plus;
    }
    return positives > 0 && below > 0 ? won / (positives * below) : (double)NAN;
}

static double mean_auc(const judge *j)
{
    double sum = 0, count = 0;
    for (size_t c = 0; c < j->rows->classes; c++) {
        const double auc = auc_of(j, c);
        if (!isnan(auc)) sum += auc, count++;
    }
    return count > 0 ? sum / count : (double)NAN;
}

/* Accuracy and what follows from the table of labels and answers. */
static void table_scores(double out[SCORES], judge *j)
{
    const size_t k = j->rows->classes;
    double all = 0, right = 0, kinds = 0;
    memset(j->tally, 0, 3 * k * sizeof *j->tally);
    for (size_t i = 0; i < j->rows->n; i++) {
        const size_t label = (size_t)j->rows->label[i];
        all += j->weight[i];
        j->tally[3 * label] += j->weight[i];
        j->tally[3 * j->answer[i] + 1] += j->weight[i];
        if (label == j->answer[i]) j->tally[3 * label + 2] += j->weight[i], right += j->weight[i];
    }
    out[SCORE_ACCURACY] = all > 0 ? right / all : (double)NAN;
    for (int s = SCORE_SENSITIVITY; s <= SCORE_F1; s++) out[s] = 0;
    for (size_t c = 0; c < k; c++) {
        const double labelled = j->tally[3 * c], answered = j->tally[3 * c + 1], both = j->tally[3 * c + 2];
        if (!(labelled > 0)) continue;
        kinds++;
        out[SCORE_SENSITIVITY] += both / labelled;
        out[SCORE_SPECIFICITY] += all > labelled ? 1 - (answered - both) / (all - labelled) : (double)NAN;
        out[SCORE_PRECISION] += answered > 0 ? both / answered : 0;
        out[SCORE_F1] += 2 * both / (labelled + answered);
    }
    for (int s = SCORE_SENSITIVITY; s <= SCORE_F1; s++) out[s] = kinds > 0 ? out[s] / kinds : (double)NAN;
}

size_t score_bin_of(double confidence)
{
    const size_t bin = (size_t)(confidence * SCORES_BINS);
    return bin < SCORES_BINS ? bin : SCORES_BINS - 1;
}

static void certainty_scores(double out[SCORES], const judge *j)
{
    double weight[SCORES_BINS] = {0}, sure[SCORES_BINS] = {0}, right[SCORES_BINS] = {0}, all = 0, nll = 0, ece = 0;
    const size_t k = j->rows->classes;
    for (size_t i = 0; i < j->rows->n; i++) {
        const double confidence = j->p[i * k + j->answer[i]];
        const size_t bin = score_bin_of(confidence), label = (size_t)j->rows->label[i];
        weight[bin] += j->weight[i];
        sure[bin] += j->weight[i] * confidence;
        right[bin] += label == j->answer[i] ? j->weight[i] : 0;
        nll -= j->weight[i] * log(fmax(j->p[i * k + label], 1e-300));
        all += j->weight[i];
    }
    for (size_t b = 0; b < SCORES_BINS; b++) ece += fabs(sure[b] - right[b]);
    out[SCORE_ECE] = all > 0 ? ece / all : (double)NAN;
    out[SCORE_NLL] = all > 0 ? nll / all : (double)NAN;
}

static void judge_scores(double out[SCORES], judge *j)
{
    table_scores(out, j);
    certainty_scores(out, j);
    out[SCORE_AUC] = mean_auc(j);
    out[SCORE_AUC_NEGATIVE] = j->rows->negative >= 0 ? auc_of(j, (size_t)j->rows->negative) : (double)NAN;
}

/* ---- bootstrap ---- */
typedef struct pair {
    judge *a, *b; /* b NULL: a's scores; else b minus a */
} pair;

static void weigh(judge *j, const double *times)
{
    for (size_t i = 0; i < j->rows->n; i++) j->weight[i] = times[j->rows->patient[i]];
}

static void measure(double *out, const double *times, void *ctx)
{
    const pair *p = ctx;
    double other[SCORES];
    weigh(p->a, times);
    judge_scores(out, p->a);
    if (!p->b) return;
    weigh(p->b, times);
    judge_scores(other, p->b);
    for (int s = 0; s < SCORES; s++) out[s] = other[s] - out[s];
}

static cot_status intervals(score_interval out[SCORES], judge *a, judge *b, size_t draws, uint64_t seed, cot_error *err)
{
    pair both = {a, b};
    const bootstrap order = {.patients = a->rows->patients,
                             .draws = a->rows->n ? draws : 0,
                             .seed = seed,
                             .measures = SCORES,
                             .measure = measure,
                             .ctx = &both};
    return bootstrap_run(out, &order, err);
}

cot_status scores_of(score_interval out[SCORES], const score_rows *rows, double temperature, size_t draws,
                     uint64_t seed, cot_error *err)
{
    judge j;
    cot_status status = judge_init(&j, rows, temperature, err);
    if (status == COT_OK) status = intervals(out, &j, NULL, draws, seed, err);
    out[SCORE_ECE].low = out[SCORE_ECE].high = (double)NAN; /* a draw adds chance to chance: calibration_error.h */
    judge_fini(&j);
    return status;
}

cot_status scores_compare(score_interval out[SCORES], const score_rows *a, double temperature_a, const score_rows *b,
                          double temperature_b, size_t draws, uint64_t seed, cot_error *err)
{
    judge first = {0}, second = {0};
    if (a->n != b->n || a->patients != b->patients || a->classes != b->classes)
        return cot_fail(err, COT_E_BUG, "scores: the two models answered different images");
    cot_status status = judge_init(&first, a, temperature_a, err);
    if (status == COT_OK) status = judge_init(&second, b, temperature_b, err);
    if (status == COT_OK) status = intervals(out, &first, &second, draws, seed, err);
    judge_fini(&first);
    judge_fini(&second);
    return status;
}

/* ---- temperature ---- */
static double nll_at(const score_rows *rows, double log_temperature)
{
    const double t = exp(log_temperature);
    double sum = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const double *z = rows->logits + i * rows->classes;
        double top = -INFINITY, all = 0;
        for (size_t c = 0; c < rows->classes; c++) top = fmax(top, z[c]);
        for (size_t c = 0; c < rows->classes; c++) all += exp((z[c] - top) / t);
        sum += log(all) - (z[rows->label[i]] - top) / t;
    }
    return sum;
}

/* Golden section: the likelihood of logits / T is unimodal in T (convex in 1/T). */
double score_temperature(const score_rows *rows)
{
    const double share = (sqrt(5) - 1) / 2;
    double low = log(0.05), high = log(20);
    if (!rows->n) return 1;
    double x = high - share * (high - low), y = low + share * (high - low);
    double at_x = nll_at(rows, x), at_y = nll_at(rows, y);
    while (high - low > 1e-6)
        if (at_x < at_y) {
            high = y, y = x, at_y = at_x;
            at_x = nll_at(rows, x = high - share * (high - low));
        } else {
            low = x, x = y, at_x = at_y;
            at_y = nll_at(rows, y = low + share * (high - low));
        }
    return exp((low + high) / 2);
}

size_t score_left_out(const score_rows *rows)
{
    size_t left_out = 0;
    for (size_t c = 0; c < rows->classes; c++) {
        size_t n = 0;
        for (size_t i = 0; i < rows->n; i++) n += rows->label[i] == (int)c;
        left_out += n == 0 || n == rows->n;
    }
    return left_out;
}

/* ---- figures ---- */
void score_confusion(size_t *counts, const score_rows *rows)
{
    const size_t k = rows->classes;
    memset(counts, 0, k * k * sizeof *counts);
    for (size_t i = 0; i < rows->n; i++) counts[(size_t)rows->label[i] * k + largest(rows->logits + i * k, k)]++;
}

void score_bins(score_bin bins[SCORES_BINS], const score_rows *rows, double temperature)
{
    const size_t k = rows->classes;
    for (size_t b = 0; b < SCORES_BINS; b++) bins[b] = (score_bin){0, 0, 0};
    for (size_t i = 0; i < rows->n; i++) {
        const double *z = rows->logits + i * k;
        const size_t answer = largest(z, k);
        double all = 0;
        for (size_t c = 0; c < k; c++) all += exp((z[c] - z[answer]) / temperature);
        score_bin *b = &bins[score_bin_of(1 / all)];
        b->n++;
        b->confidence += 1 / all;
        b->accuracy += answer == (size_t)rows->label[i];
    }
    for (size_t b = 0; b < SCORES_BINS; b++) {
        bins[b].confidence /= (double)bins[b].n; /* 0/0 is the NaN that says empty */
        bins[b].accuracy /= (double)bins[b].n;
    }
}

size_t score_roc(double *x, double *y, const score_rows *rows, size_t option, cot_error *err)
{
    judge j;
    size_t points = 0;
    double plus = 0, minus = 0, positives = 0;
    const size_t n = rows->n, k = rows->classes;
    for (size_t i = 0; i < n; i++) positives += rows->label[i] == (int)option;
    const double negatives = (double)n - positives;
    if (judge_init(&j, rows, 1, err) == COT_OK && positives > 0 && negatives > 0) {
        x[points] = y[points] = 0;
        points++;
        const size_t *order = j.order + option * n;
        for (size_t i = n; i > 0;) { /* from the surest down; equal ones in one step */
            const double p = j.p[order[i - 1] * k + option];
            for (; i > 0 && j.p[order[i - 1] * k + option] >= p; i--)
                rows->label[order[i - 1]] == (int)option ? plus++ : minus++;
            x[points] = minus / negatives;
            y[points++] = plus / positives;
        }
    }
    judge_fini(&j);
    return points;
}
