/* What the learning rate does over a run, and when the run has learnt enough: pure arithmetic on numbers that a checkpoint
 * holds. Plateau and early stopping listen to one validation measure an epoch, larger is better; NaN (nothing to validate
 * on) is never better.
 * Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_SCHEDULE_H
#define COT_ENGINE_SCHEDULE_H
#include "config/training.h"

typedef struct schedule_state { /* all that a resume needs */
    double scale;               /* plateau: of the rate, 1 at first */
    double best;                /* of the measure so far; -INFINITY at first */
    uint64_t best_epoch;        /* counted from 1; 0: none yet */
    uint64_t epochs;            /* told so far */
    uint64_t waited;            /* plateau: epochs since the last better one or the last reduction */
} schedule_state;

typedef struct schedule {
    cot_training_stage stage; /* the numbers */
    uint64_t steps;           /* optimiser steps of the whole run */
    schedule_state state;
} schedule;

void schedule_init(schedule *s, const cot_training_stage *stage, uint64_t steps);
/* The rate of optimiser step `step` (from 0) for a base rate: constant, as left by the plateau, torch's OneCycleLR (from
 * lr/25 up to lr and down to lr/25e4, cosines), or a straight warm-up and half a cosine down to 0. */
double schedule_rate(const schedule *s, double lr, uint64_t step);
/* The measure of an epoch. True: the best so far. */
bool schedule_tell(schedule *s, double measure);
/* Early stopping: `stop` epochs have passed since the best. */
bool schedule_stops(const schedule *s);

/* ---- order of images: from counters, so that it is the same after a resume ---- */
/* In [0,1), from these three numbers alone. */
double order_uniform(uint64_t seed, uint64_t epoch, uint64_t i);
/* A permutation of 0 … n-1 that depends on n, seed and epoch alone. */
void order_shuffle(size_t *order, size_t n, uint64_t seed, uint64_t epoch);
/* n draws with replacement, in proportion to weight (>= 0, some > 0); no memory: false. */
bool order_draw(size_t *order, size_t n, const double *weight, uint64_t seed, uint64_t epoch);
/* Batches of equal size but for one image, none above `most`: how many, and where the i-th begins. */
size_t batch_count(size_t n, size_t most);
size_t batch_begin(size_t n, size_t count, size_t i);
#endif
