/* log.jsonl, the progress line and signals of a training run (train.h). The log holds numbers of the data set, never of a
 * person. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PLAIN_LINE_S = 30, BAR = 20 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the log ---- */
/* A number that JSON has: null for the others. Enough digits to be read back exactly. */
static bool add_number(cJSON *object, const char *name, double value)
{
    return isfinite(value) ? cJSON_AddNumberToObject(object, name, value) != NULL
                           : cJSON_AddNullToObject(object, name) != NULL;
}

static cot_status write_line(train_watching *w, cJSON *line, bool ok, cot_error *err)
{
    char *text = ok ? cJSON_PrintUnformatted(line) : NULL;
    const bool written = text && fprintf(w->log, "%s\n", text) > 0 && fflush(w->log) == 0 && fsync(fileno(w->log)) == 0;
    const int why = errno;
    cJSON_Delete(line);
    cJSON_free(text);
    if (!text) return cot_fail(err, COT_E_MEMORY, "no memory for a line of the log");
    return written ? COT_OK : cot_fail(err, COT_E_IO, "%s/log.jsonl: %s", w->job->request->dir, strerror(why));
}

static cot_status log_start(train_watching *w, cot_error *err)
{
    char device[400];
    const cot_device_info *about = cot_device_about(w->job->device);
    const train_job *j = w->job;
    cJSON *line = cJSON_CreateObject(), *steps = NULL;
    snprintf(device, sizeof device, "%s / %s", about->platform, about->name);
    bool ok = line && cJSON_AddStringToObject(line, "event", "start") &&
              cJSON_AddStringToObject(line, "program", COT_PROGRAM " " COT_VERSION) &&
              cJSON_AddStringToObject(line, "stage", cot_stage_name(j->request->stage)) &&
              cJSON_AddStringToObject(line, "manifest_sha256", j->manifest->sha256) &&
              cJSON_AddStringToObject(line, "device", device) &&
              add_number(line, "seed", (double)j->request->training.seed) &&
              add_number(line, "training_images", (double)j->loop.n_train) &&
              add_number(line, "validation_images", (double)j->loop.n_validation) &&
              add_number(line, "left_out", (double)j->unlabelled) && (steps = cJSON_AddArrayToObject(line, "steps"));
    for (size_t s = 0; ok && s < j->steps->n_steps; s++)
        if (j->supervised[s]) ok = cJSON_AddItemToArray(steps, cJSON_CreateString(j->steps->steps[s].id));
    return write_line(w, line, ok, err);
}

static bool add_losses(cJSON *line, const train_job *j, const train_epoch *e)
{
    cJSON *part = cJSON_AddObjectToObject(line, "losses");
    for (size_t i = 0; part && i < j->loop.learner.n_losses; i++)
        if (!add_number(part, j->loop.learner.loss_names[i], e->losses[i])) return false;
    return part != NULL;
}

static bool add_steps(cJSON *part, const train_job *j, const train_epoch *e)
{
    cJSON *steps = cJSON_AddObjectToObject(part, "steps");
    for (size_t s = 0; steps && s < j->steps->n_steps; s++) {
        const validation_step *v = &e->steps[s];
        if (!v->n) continue;
        cJSON *one = cJSON_AddObjectToObject(steps, j->steps->steps[s].id);
        if (!one || !add_number(one, "n", (double)v->n) || !add_number(one, "accuracy", v->accuracy) ||
            !add_number(one, "auc", v->auc) || !add_number(one, "loss", v->loss))
            return false;
    }
    return steps != NULL;
}

static cot_status log_epoch(train_watching *w, const train_epoch *e, double seconds, cot_error *err)
{
    cJSON *line = cJSON_CreateObject(), *part = NULL;
    const bool ok = line && cJSON_AddStringToObject(line, "event", "epoch") &&
                    add_number(line, "epoch", (double)e->epoch) && add_losses(line, w->job, e) &&
                    add_number(line, "lr", e->lr) && (part = cJSON_AddObjectToObject(line, "validation")) &&
                    add_number(part, "accuracy", e->accuracy) && add_number(part, "auc", e->auc) &&
                    add_steps(part, w->job, e) && cJSON_AddBoolToObject(line, "best", e->best) &&
                    add_number(line, "seconds", round(seconds * 1e3) / 1e3);
    return write_line(w, line, ok, err);
}

/* ---- what people see ---- */
static void clock_text(char text[16], double seconds)
{
    const unsigned long s = seconds > 0 && seconds < 3e6 ? (unsigned long)seconds : 0;
    if (s >= 3600)
        snprintf(text, 16, "%lu:%02lu:%02lu", s / 3600 % 1000, s / 60 % 60, s % 60);
    else
        snprintf(text, 16, "%lu:%02lu", s / 60, s % 60);
}

static void on_batch(void *ctx, const train_progress *p)
{
    train_watching *w = ctx;
    char left[16], bar[BAR + 1];
    const double now = now_s(), rate = (double)(w->images += p->images) / fmax(now - w->began, 1e-9);
    const double batches = (double)((p->epochs - p->epoch) * p->batches - p->batch);
    if (now - w->last_line < (w->terminal ? 0.2 : PLAIN_LINE_S)) return;
    w->last_line = now;
    clock_text(left, batches * (double)w->job->loop.n_train / (double)p->batches / rate);
    const size_t full = (size_t)(BAR * p->batch / p->batches);
    for (size_t i = 0; i < BAR; i++) bar[i] = i < full ? '=' : ' ';
    bar[BAR] = 0;
    fprintf(stderr, "%sepoch %llu/%llu [%s] %llu/%llu  loss %.4f  lr %.2e  %.1f images/s  %s left%s",
            w->terminal ? "\r\033[K" : "", (unsigned long long)p->epoch + 1, (unsigned long long)p->epochs, bar,
            (unsigned long long)p->batch, (unsigned long long)p->batches, p->loss, p->lr, rate, left,
            w->terminal ? "" : "\n");
    fflush(stderr);
}

static void print_epoch(const train_watching *w, const train_epoch *e, double seconds)
{
    fprintf(stderr, "%sepoch %llu/%u  loss %.4f  validation: accuracy %.4f, AUC %.4f  %.1f s%s\n",
            w->terminal ? "\r\033[K" : "", (unsigned long long)e->epoch,
            w->job->request->training.stage[w->job->request->stage].epochs, e->losses[0], e->accuracy, e->auc, seconds,
            e->best ? "  (best)" : "");
}

static cot_status on_epoch(void *ctx, const train_epoch *e, uint64_t *log_bytes, cot_error *err)
{
    train_watching *w = ctx;
    const double now = now_s();
    const cot_status status = log_epoch(w, e, now - w->epoch_began, err);
    print_epoch(w, e, now - w->epoch_began);
    w->epoch_began = now;
    const long at = ftell(w->log);
    *log_bytes = at > 0 ? (uint64_t)at : 0;
    return status;
}

static bool on_stop(void *ctx)
{
    train_watching *w = ctx;
    if (!cot_stop_asked()) return false;
    if (!w->heard) fprintf(stderr, "%sstopping: writing a checkpoint\n", w->terminal ? "\r\033[K" : "");
    w->heard = true;
    return true;
}

/* All epochs are done, or the run has stopped early. */
static bool has_ended(const train_watching *w, const run_state *state)
{
    const cot_training_stage *stage = &w->job->request->training.stage[w->job->request->stage];
    const schedule told = {.stage = *stage, .state = state->schedule};
    return state->epoch >= stage->epochs || (!state->batch && schedule_stops(&told));
}

/* Lines behind the checkpoint will be written again. */
static cot_status on_resumed(void *ctx, const run_state *state, cot_error *err)
{
    train_watching *w = ctx;
    if (ftruncate(fileno(w->log), (off_t)state->log_bytes) != 0 || fseek(w->log, 0, SEEK_END) != 0)
        return cot_fail(err, COT_E_IO, "%s/log.jsonl: %s", w->job->request->dir, strerror(errno));
    if (!state->log_bytes) { /* before the end of the first epoch */
        const cot_status status = log_start(w, err);
        if (status != COT_OK) return status;
    }
    w->finished = has_ended(w, state);
    if (w->finished)
        fprintf(stderr, "%s train: the run is done, after %llu epochs: nothing is left to learn\n", COT_PROGRAM,
                (unsigned long long)state->epoch);
    else
        fprintf(stderr, "%s train: going on at epoch %llu, batch %llu\n", COT_PROGRAM,
                (unsigned long long)state->epoch + 1, (unsigned long long)state->batch + 1);
    return COT_OK;
}

/* ---- open and end ---- */
static void say_begin(const train_job *j)
{
    fprintf(stderr, "%s train: %zu training and %zu validation images", COT_PROGRAM, j->loop.n_train,
            j->loop.n_validation);
    if (j->unlabelled) fprintf(stderr, " (%zu more training images have no label that is taught)", j->unlabelled);
    fputs("; taught:", stderr);
    for (size_t s = 0; s < j->steps->n_steps; s++)
        if (j->supervised[s]) fprintf(stderr, " %s", j->steps->steps[s].id);
    fputs("\n", stderr);
}

cot_status train_watch_open(train_watching *w, train_job *job, cot_error *err)
{
    char path[1200];
    memset(w, 0, sizeof *w);
    w->job = job;
    w->terminal = isatty(STDERR_FILENO);
    w->began = w->epoch_began = w->last_line = now_s();
    snprintf(path, sizeof path, "%s/log.jsonl", job->request->dir);
    w->log = fopen(path, "ae");
    if (!w->log) return cot_fail(err, COT_E_IO, "%s: %s", path, strerror(errno));
    job->loop.watch = (train_watch){w, on_stop, on_batch, on_epoch, on_resumed};
    cot_stop_on_signals();
    say_begin(job);
    fseek(w->log, 0, SEEK_END);
    return ftell(w->log) > 0 ? COT_OK : log_start(w, err);
}

cot_status train_watch_end(train_watching *w, train_end end, const run_state *state, cot_error *err)
{
    static const char *const words[] = {"done", "stopped early", "interrupted"};
    if (end == TRAIN_INTERRUPTED) return COT_OK; /* the run goes on: its log has no end yet */
    cJSON *line = cJSON_CreateObject();
    const bool ok = line && cJSON_AddStringToObject(line, "event", "end") &&
                    cJSON_AddStringToObject(line, "how", words[end]) &&
                    add_number(line, "epochs", (double)state->epoch) &&
                    add_number(line, "best_epoch", (double)state->schedule.best_epoch) &&
                    add_number(line, "best", state->schedule.best);
    return write_line(w, line, ok, err);
}

void train_watch_close(train_watching *w)
{
    if (w->log) fclose(w->log);
    w->log = NULL;
}
