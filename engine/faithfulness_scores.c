/* Means, rates and their intervals over patients (faithfulness.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/faithfulness.h"

#include <math.h>

typedef struct counted {
    const faith_drops *drops;
    const faith_found *found; /* its points */
    size_t step;
} counted;

static bool is_of(size_t step, const counted *c)
{
    return c->step == FAITH_ALL_STEPS || c->step == step;
}

static bool compared(const faith_drop *d, const counted *c)
{
    return is_of(d->step, c) && d->copies > 0;
}

static void measure_drops(double *out, const double *times, void *ctx)
{
    const counted *c = ctx;
    double n = 0, region = 0, elsewhere = 0, more = 0, n_mirrored = 0, mirrored = 0, beside = 0;
    for (size_t i = 0; i < c->drops->n; i++) {
        const faith_drop *d = &c->drops->rows[i];
        const double w = times[d->patient];
        if (!compared(d, c)) continue;
        n += w;
        region += w * (d->before - d->region);
        elsewhere += w * (d->before - d->elsewhere);
        more += d->region < d->elsewhere ? w : 0;
        if (isnan(d->mirrored)) continue;
        n_mirrored += w;
        mirrored += w * (d->before - d->mirrored);
        beside += w * (d->mirrored - d->region);
    }
    out[FAITH_REGION] = region / n; /* 0/0 is the NaN that says: none */
    out[FAITH_ELSEWHERE] = elsewhere / n;
    out[FAITH_RATIO] = elsewhere > 0 ? region / elsewhere : region > 0 ? (double)INFINITY : (double)NAN;
    out[FAITH_DIFFERENCE] = (region - elsewhere) / n;
    out[FAITH_MORE] = more / n;
    out[FAITH_MIRRORED] = mirrored / n_mirrored;
    out[FAITH_BESIDE] = beside / n_mirrored;
}

cot_status faith_drop_scores(score_interval out[FAITH_DROP_MEASURES], size_t *n, size_t *n_mirrored,
                             const faith_drops *drops, size_t step, const faith_draws *draws, cot_error *err)
{
    counted c = {drops, NULL, step};
    const bootstrap b = {.patients = draws->patients,
                         .draws = draws->draws,
                         .seed = draws->seed,
                         .measures = FAITH_DROP_MEASURES,
                         .measure = measure_drops,
                         .ctx = &c};
    size_t both = 0;
    *n = 0;
    for (size_t i = 0; i < drops->n; i++) {
        *n += compared(&drops->rows[i], &c);
        both += compared(&drops->rows[i], &c) && !isnan(drops->rows[i].mirrored);
    }
    if (n_mirrored) *n_mirrored = both;
    return bootstrap_run(out, &b, err);
}

static void measure_points(double *out, const double *times, void *ctx)
{
    const counted *c = ctx;
    double n = 0, peak = 0, centroid = 0, chance = 0, fixed = 0;
    for (size_t i = 0; i < c->found->n_points; i++) {
        const faith_point *p = &c->found->points[i];
        const double w = times[p->patient];
        if (!is_of(p->step, c)) continue;
        n += w;
        peak += p->peak ? w : 0;
        centroid += p->centroid ? w : 0;
        fixed += p->fixed ? w : 0;
        chance += w * p->chance;
    }
    out[FAITH_PEAK] = peak / n;
    out[FAITH_CENTROID] = centroid / n;
    out[FAITH_CHANCE] = chance / n;
    out[FAITH_FIXED] = fixed / n;
    out[FAITH_PEAK_MORE] = (peak - chance) / n;
    out[FAITH_CENTROID_MORE] = (centroid - chance) / n;
    out[FAITH_PEAK_FIXED] = (peak - fixed) / n;
}

cot_status faith_point_scores(score_interval out[FAITH_POINT_MEASURES], size_t *n, const faith_found *found,
                              size_t step, const faith_draws *draws, cot_error *err)
{
    counted c = {NULL, found, step};
    const bootstrap b = {.patients = draws->patients,
                         .draws = draws->draws,
                         .seed = draws->seed,
                         .measures = FAITH_POINT_MEASURES,
                         .measure = measure_points,
                         .ctx = &c};
    *n = 0;
    for (size_t i = 0; i < found->n_points; i++) *n += is_of(found->points[i].step, &c);
    return bootstrap_run(out, &b, err);
}
