/* Accuracy, AUC and loss of an epoch (validation.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/validation.h"

#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score;
    bool positive;
} scored;

static int by_score(const void *a, const void *b)
{
    const double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x > y) - (x < y);
}

/* Mann and Whitney: equal scores count half. NaN when one kind is missing. */
static double auc_of(scored *rows, size_t n)
{
    double below = 0, won = 0, positives = 0;
    qsort(rows, n, sizeof *rows, by_score);
    for (size_t i = 0; i < n;) {
        double plus = 0, minus = 0;
        const double score = rows[i].score;
        for (; i < n && rows[i].score <= score; i++) rows[i].positive ? plus++ : minus++;
        won += plus * (below + minus / 2);
        below += minus;
        positives += plus;
    }
    return positives > 0 && below > 0 ? won / (positives * below) : (double)NAN;
}

/* p of one row of one step. */
static void softmax_row(double *p, const float *logits, size_t classes)
{
    double top = (double)logits[0], sum = 0;
    for (size_t c = 1; c < classes; c++) top = fmax(top, (double)logits[c]);
    for (size_t c = 0; c < classes; c++) sum += p[c] = exp((double)logits[c] - top);
    for (size_t c = 0; c < classes; c++) p[c] /= sum;
}

/* p [m,classes], label [m]: of the labelled rows. */
static void judge_step(validation_step *out, scored *room, const double *p, const int *label, size_t m, size_t classes)
{
    double right = 0, loss = 0, sum = 0, options = 0;
    for (size_t i = 0; i < m; i++) {
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (p[i * classes + c] > p[i * classes + best]) best = c;
        right += best == (size_t)label[i];
        loss -= log(fmax(p[i * classes + (size_t)label[i]], 1e-300));
    }
    for (size_t c = 0; c < classes; c++) {
        for (size_t i = 0; i < m; i++) room[i] = (scored){p[i * classes + c], label[i] == (int)c};
        const double auc = auc_of(room, m);
        if (!isnan(auc)) sum += auc, options++;
    }
    *out = (validation_step){m, m ? right / (double)m : (double)NAN, options > 0 ? sum / options : (double)NAN,
                             m ? loss / (double)m : (double)NAN};
}

static double mean_of(const validation_step *steps, size_t n, bool auc)
{
    double sum = 0, count = 0;
    for (size_t s = 0; s < n; s++) {
        const double one = auc ? steps[s].auc : steps[s].accuracy;
        if (!isnan(one)) sum += one, count++;
    }
    return count > 0 ? sum / count : (double)NAN;
}

cot_status validation_of(validation_step *steps, double *accuracy, double *auc, const learner_data *data,
                         const float *logits, const size_t *rows, size_t n, cot_error *err)
{
    double *p = calloc(n * data->n_logits + 1, sizeof *p);
    scored *room = calloc(n + 1, sizeof *room);
    int *label = calloc(n + 1, sizeof *label);
    const bool memory = p && room && label;
    for (size_t s = 0, at = 0; memory && s < data->n_steps; at += data->classes[s++]) {
        size_t m = 0;
        for (size_t i = 0; i < n; i++) {
            const int y = data->labels[rows[i] * data->n_steps + s];
            if (y < 0) continue;
            softmax_row(p + m * data->classes[s], logits + i * data->n_logits + at, data->classes[s]);
            label[m++] = y;
        }
        judge_step(&steps[s], room, p, label, m, data->classes[s]);
    }
    if (memory) {
        *accuracy = mean_of(steps, data->n_steps, false);
        *auc = mean_of(steps, data->n_steps, true);
    }
    free(p);
    free(room);
    free(label);
    return memory ? COT_OK : cot_fail(err, COT_E_MEMORY, "validation: no memory");
}
