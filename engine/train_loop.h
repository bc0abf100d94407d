/* The loop of training: epochs over a learner, validation, best weights, checkpoints. Where it stands is in the checkpoint
 * alone; with the same data, settings and device a run that was stopped at any batch, or killed, ends in the same bits as one
 * that was not.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_TRAIN_LOOP_H
#define COT_ENGINE_TRAIN_LOOP_H
#include "engine/learner.h"
#include "engine/run_state.h"
#include "engine/validation.h"

typedef struct train_progress {             /* after each batch */
    uint64_t epoch, epochs, batch, batches; /* epoch from 0; batch: done of this epoch */
    size_t images;                          /* of this batch */
    double loss;                            /* mean of this epoch so far */
    double lr;
} train_progress;
typedef struct train_epoch { /* after each validation */
    uint64_t epoch;          /* from 1 */
    size_t batches, images;
    double losses[LEARNER_LOSSES], lr;
    validation_step *steps; /* [n_steps] */
    double accuracy, auc;   /* means over the steps */
    bool best;
} train_epoch;

typedef struct train_watch {
    void *ctx;
    bool (*stop)(void *ctx); /* asked after each batch: end with a checkpoint */
    void (*batch)(void *ctx, const train_progress *p);
    /* Writes its line; *log_bytes: how long the log then is. */
    cot_status (*epoch)(void *ctx, const train_epoch *e, uint64_t *log_bytes, cot_error *err);
    /* A checkpoint was opened: what the log has behind so many bytes has not happened. */
    cot_status (*resumed)(void *ctx, const run_state *state, cot_error *err);
} train_watch;

typedef struct train_loop {
    learner learner;
    const cot_training *training;
    cot_stage stage;
    const learner_data *data;
    const size_t *train, *validation; /* rows */
    size_t n_train, n_validation;
    const double *draw; /* [n_train] weights of the sampler, or NULL: shuffled */
    const char *dir;    /* checkpoint-*.safetensors, best.safetensors */
    run_identity identity;
    train_watch watch;
} train_loop;

typedef enum train_end { TRAIN_DONE, TRAIN_STOPPED_EARLY, TRAIN_INTERRUPTED } train_end;
/* resume: from the newest checkpoint in dir, where there is one. *state: where it ended. */
cot_status train_loop_run(train_end *end, run_state *state, const train_loop *loop, bool resume, cot_error *err);
#endif
