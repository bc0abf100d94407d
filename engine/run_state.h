/* A checkpoint of a training run: one safetensors file with the learner's tensors (values, moments, running statistics),
 * where the run stands, what it was begun with, and a digest over all of it. A file that is cut, changed or of another run
 * is refused by what is wrong with it; a file appears whole under its name or not at all.
 * Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_RUN_STATE_H
#define COT_ENGINE_RUN_STATE_H
#include "engine/parameters.h"
#include "engine/schedule.h"

typedef struct run_state {
    uint64_t epoch;   /* under way, from 0 */
    uint64_t batch;   /* of it, done */
    uint64_t step;    /* optimiser steps of the run */
    double losses[8]; /* sums over the batches of this epoch */
    schedule_state schedule;
    uint64_t log_bytes; /* of log.jsonl: what is behind them was written after this checkpoint */
} run_state;

/* What must be the same when a run goes on; digests of 64 hex characters. */
enum { RUN_MANIFEST, RUN_SETTINGS, RUN_START, RUN_STEPS, RUN_IMAGES, RUN_IDENTITIES };
typedef struct run_identity {
    char digest[RUN_IDENTITIES][65];
} run_identity;

/* Adds state, identity and digest to `list`, which the caller frees, and writes it durably. */
cot_status run_state_write(const char *path, tensor_list *list, const run_state *state, const run_identity *identity,
                           cot_error *err);
/* Opens and checks; another identity: COT_E_REFUSED naming what changed. Caller closes *file. */
cot_status run_state_open(safetensors **file, run_state *state, const char *path, const run_identity *identity,
                          cot_error *err);

/* DIR/checkpoint-STEP.safetensors, STEP of 10 digits. The newest of them, or an empty path; older ones than the `keep`
 * before the newest are removed by the second. */
void run_state_path(char *path, size_t size, const char *dir, uint64_t step);
cot_status run_state_newest(char *path, size_t size, const char *dir, cot_error *err);
cot_status run_state_prune(const char *dir, size_t keep, cot_error *err);
bool run_state_names(const char *name); /* a checkpoint's, or that of the best weights */
#endif
