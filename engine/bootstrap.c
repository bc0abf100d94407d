/* Intervals over patients (bootstrap.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/bootstrap.h"
#include "engine/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFINED_LEAST = 20 }; /* draws on which a measure must be defined to have an interval */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The middle 95 % of the values that are defined. */
static void interval_of(score_interval *out, double *values, size_t n)
{
    size_t m = 0;
    double above = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i])) continue;
        above += values[i] > 0 ? 1 : values[i] < 0 ? 0 : 0.5;
        values[m++] = values[i];
    }
    if (m < DEFINED_LEAST) return;
    out->above = above / (double)m;
    qsort(values, m, sizeof *values, by_value);
    out->low = values[(size_t)(0.025 * (double)(m - 1) + 0.5)];
    out->high = values[(size_t)(0.975 * (double)(m - 1) + 0.5)];
}

typedef struct work {
    double *one, *values; /* [measures], [measures, draws] */
    double *times, *even; /* [patients] */
    size_t *order;
} work;

static bool draw(work *w, const bootstrap *b, size_t d)
{
    if (!order_draw(w->order, b->patients, w->even, b->seed, d)) return false;
    memset(w->times, 0, b->patients * sizeof *w->times);
    for (size_t i = 0; i < b->patients; i++) w->times[w->order[i]]++;
    return true;
}

/* False: no memory. */
static bool measure_all(score_interval *out, work *w, const bootstrap *b, size_t draws)
{
    b->measure(w->one, w->even, b->ctx);
    for (size_t k = 0; k < b->measures; k++)
        out[k] = (score_interval){w->one[k], (double)NAN, (double)NAN, (double)NAN};
    for (size_t d = 0; d < draws; d++) {
        if (!draw(w, b, d + 1)) return false;
        b->measure(w->one, w->times, b->ctx);
        for (size_t k = 0; k < b->measures; k++) w->values[k * draws + d] = w->one[k];
    }
    for (size_t k = 0; k < b->measures; k++) interval_of(&out[k], w->values + k * draws, draws);
    return true;
}

cot_status bootstrap_run(score_interval *out, const bootstrap *b, cot_error *err)
{
    const size_t draws = b->patients > 1 ? b->draws : 0;
    work w = {calloc(b->measures + 1, sizeof *w.one), calloc(b->measures * draws + 1, sizeof *w.values),
              calloc(b->patients + 1, sizeof *w.times), calloc(b->patients + 1, sizeof *w.even),
              calloc(b->patients + 1, sizeof *w.order)};
    bool memory = w.one && w.values && w.times && w.even && w.order;
    for (size_t i = 0; memory && i <= b->patients; i++) w.even[i] = 1;
    memory = memory && measure_all(out, &w, b, draws);
    free(w.one);
    free(w.values);
    free(w.times);
    free(w.even);
    free(w.order);
    return memory ? COT_OK : cot_fail(err, COT_E_MEMORY, "scores: no memory for %zu draws", draws);
}
