/* The loop of training (train_loop.h). Order within an epoch's end: best weights, log, checkpoint; whichever of them a crash
 * leaves out is made again, the same, from the checkpoint before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/train_loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct running {
    const train_loop *loop;
    const cot_training_stage *stage;
    run_state state;
    schedule schedule;
    size_t *order; /* [n_train] places in loop->train */
    size_t *rows;  /* [batch] */
    float *logits; /* [n_validation,n_logits] */
    validation_step *steps;
    size_t batches;
} running;

/* ---- checkpoints ---- */
static cot_status save(running *r, cot_error *err)
{
    cot_status status;
    char path[1200];
    tensor_list list = {0};
    r->state.schedule = r->schedule.state;
    COT_TRY(r->loop->learner.checkpoint(r->loop->learner.self, &list, err));
    run_state_path(path, sizeof path, r->loop->dir, r->state.step);
    COT_TRY(run_state_write(path, &list, &r->state, &r->loop->identity, err));
    COT_TRY(run_state_prune(r->loop->dir, r->loop->training->keep, err));
done:
    tensor_list_free(&list);
    return status;
}

static cot_status restore(running *r, cot_error *err)
{
    cot_status status;
    char path[1200];
    safetensors *file = NULL;
    COT_TRY(run_state_newest(path, sizeof path, r->loop->dir, err));
    if (path[0]) {
        const weight_source source = {NULL, "", path};
        COT_TRY(run_state_open(&file, &r->state, path, &r->loop->identity, err));
        weight_source opened = source;
        opened.file = file;
        COT_TRY(r->loop->learner.resume(r->loop->learner.self, &opened, err));
        r->schedule.state = r->state.schedule;
    }
    COT_TRY(r->loop->watch.resumed(r->loop->watch.ctx, &r->state, err));
done:
    safetensors_close(file);
    return status;
}

static cot_status save_best(running *r, cot_error *err)
{
    cot_status status;
    char path[1200];
    tensor_list list = {0};
    unsigned char *bytes = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/best.safetensors", r->loop->dir);
    COT_TRY(r->loop->learner.values(r->loop->learner.self, &list, err));
    COT_TRY(safetensors_build(&bytes, &size, list.items, list.n, err));
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
done:
    free(bytes);
    tensor_list_free(&list);
    return status;
}

/* ---- an epoch ---- */
static cot_status order_epoch(running *r, cot_error *err)
{
    const train_loop *l = r->loop;
    if (!l->draw)
        order_shuffle(r->order, l->n_train, l->training->seed, r->state.epoch);
    else if (!order_draw(r->order, l->n_train, l->draw, l->training->seed, r->state.epoch))
        return cot_fail(err, COT_E_MEMORY, "training: no memory for the order of images");
    return COT_OK;
}

static cot_status do_batch(running *r, cot_error *err)
{
    cot_status status;
    const train_loop *l = r->loop;
    const size_t begin = batch_begin(l->n_train, r->batches, (size_t)r->state.batch);
    const size_t n = batch_begin(l->n_train, r->batches, (size_t)r->state.batch + 1) - begin;
    const double lr = schedule_rate(&r->schedule, r->stage->lr, r->state.step);
    const double teacher_lr = schedule_rate(&r->schedule, r->stage->teacher_lr, r->state.step);
    double losses[LEARNER_LOSSES] = {0};
    for (size_t i = 0; i < n; i++) r->rows[i] = l->train[r->order[begin + i]];
    COT_TRY(l->learner.step(l->learner.self, losses, r->rows, n, r->state.epoch, lr, teacher_lr, err));
    if (!isfinite(losses[0])) {
        status = cot_fail(err, COT_E_INPUT,
                          "the loss of epoch %llu, batch %llu is not a number: the training has diverged. Use a lower "
                          "--lr, or --clip 1",
                          (unsigned long long)r->state.epoch + 1, (unsigned long long)r->state.batch + 1);
        goto done;
    }
    for (size_t i = 0; i < l->learner.n_losses; i++) r->state.losses[i] += losses[i];
    r->state.batch++;
    r->state.step++;
    const train_progress p = {r->state.epoch,
                              r->stage->epochs,
                              r->state.batch,
                              r->batches,
                              n,
                              r->state.losses[0] / (double)r->state.batch,
                              lr};
    l->watch.batch(l->watch.ctx, &p);
done:
    return status;
}

static cot_status validate(running *r, train_epoch *e, cot_error *err)
{
    cot_status status;
    const train_loop *l = r->loop;
    e->steps = r->steps;
    COT_TRY(l->learner.logits(l->learner.self, r->logits, l->validation, l->n_validation, err));
    COT_TRY(validation_of(r->steps, &e->accuracy, &e->auc, l->data, r->logits, l->validation, l->n_validation, err));
    /* what was learnt judges nothing: the last epoch is kept, no rate falls, nothing stops early */
    e->best = schedule_tell(&r->schedule, l->training->refit      ? (double)e->epoch
                                          : l->training->best_auc ? e->auc
                                                                  : e->accuracy);
done:
    return status;
}

static cot_status end_epoch(running *r, cot_error *err)
{
    cot_status status;
    train_epoch e = {.epoch = r->state.epoch + 1, .batches = r->batches, .images = r->loop->n_train};
    for (size_t i = 0; i < LEARNER_LOSSES; i++) e.losses[i] = r->state.losses[i] / (double)r->batches;
    e.lr = schedule_rate(&r->schedule, r->stage->lr, r->state.step - 1);
    COT_TRY(validate(r, &e, err));
    if (e.best) COT_TRY(save_best(r, err));
    COT_TRY(r->loop->watch.epoch(r->loop->watch.ctx, &e, &r->state.log_bytes, err));
    r->state.epoch++;
    r->state.batch = 0;
    memset(r->state.losses, 0, sizeof r->state.losses);
    COT_TRY(save(r, err));
done:
    return status;
}

/* ---- all of it ---- */
static cot_status prepare(running *r, cot_error *err)
{
    const train_loop *l = r->loop;
    if (l->n_train < 2 || !l->n_validation)
        return cot_fail(
            err, COT_E_INPUT,
            "training needs at least two images with labels in the training split (there are %zu) and one in "
            "the validation split (%zu)",
            l->n_train, l->n_validation);
    r->batches = batch_count(l->n_train, r->stage->batch);
    schedule_init(&r->schedule, r->stage, (uint64_t)r->batches * r->stage->epochs);
    r->order = calloc(l->n_train, sizeof *r->order);
    r->rows = calloc(r->stage->batch, sizeof *r->rows);
    r->logits = calloc(l->n_validation * l->data->n_logits, sizeof *r->logits);
    r->steps = calloc(l->data->n_steps, sizeof *r->steps);
    return r->order && r->rows && r->logits && r->steps ? COT_OK : cot_fail(err, COT_E_MEMORY, "training: no memory");
}

static cot_status go(running *r, train_end *end, cot_error *err)
{
    cot_status status = COT_OK;
    const train_watch *watch = &r->loop->watch;
    *end = TRAIN_DONE;
    while (r->state.epoch < r->stage->epochs) {
        if (!r->state.batch && schedule_stops(&r->schedule)) {
            *end = TRAIN_STOPPED_EARLY;
            break;
        }
        COT_TRY(order_epoch(r, err));
        while (r->state.batch < r->batches) {
            COT_TRY(do_batch(r, err));
            if (watch->stop(watch->ctx) && r->state.batch < r->batches) {
                *end = TRAIN_INTERRUPTED;
                COT_TRY(save(r, err));
                goto done;
            }
        }
        COT_TRY(end_epoch(r, err));
        if (watch->stop(watch->ctx) && r->state.epoch < r->stage->epochs) {
            *end = TRAIN_INTERRUPTED;
            break;
        }
    }
done:
    return status;
}

cot_status train_loop_run(train_end *end, run_state *state, const train_loop *loop, bool resume, cot_error *err)
{
    cot_status status;
    running r = {.loop = loop, .stage = &loop->training->stage[loop->stage]};
    COT_TRY(prepare(&r, err));
    if (resume) COT_TRY(restore(&r, err));
    COT_TRY(go(&r, end, err));
    if (*end != TRAIN_INTERRUPTED && !r.schedule.state.best_epoch)
        COT_TRY(save_best(&r, err)); /* no measure: the last */
    *state = r.state;
    state->schedule = r.schedule.state;
done:
    free(r.order);
    free(r.rows);
    free(r.logits);
    free(r.steps);
    return status;
}
