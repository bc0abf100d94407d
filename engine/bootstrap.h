/* 95 % intervals by bootstrap over patients: whole patients are drawn with replacement, everything is measured again on each
 * draw, the middle 95 % of what comes out is the interval. Images of one patient are no independent evidence, and several
 * steps of one image even less.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_BOOTSTRAP_H
#define COT_ENGINE_BOOTSTRAP_H
#include "config/base.h"

typedef struct score_interval {
    double value, low, high; /* 95 %; NaN: not defined on these rows */
    double above;            /* share of the draws above 0, a 0 counting half: of a difference, how often b is more */
} score_interval;

typedef struct bootstrap {
    size_t patients, draws; /* no draws, or one patient: no intervals */
    uint64_t seed;
    size_t measures;
    /* out [measures], NaN where not defined, when patient p counts times[p] times; all 1: the value itself */
    void (*measure)(double *out, const double *times, void *ctx);
    void *ctx;
} bootstrap;
/* out [measures]. Same patients, seed and draws: the same draws. */
cot_status bootstrap_run(score_interval *out, const bootstrap *b, cot_error *err);
#endif
