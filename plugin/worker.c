/* The worker: claims what waits, decodes it in the sandbox, reads it on its device in one batch, has the reports written and
 * records them. What goes wrong with one image ends as that job's reason; what goes wrong with the device, the sandbox or the
 * disk gives the claim back. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/worker.h"
#include "plugin/process.h"
#include "plugin/reporting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define IDLE_MS    150
#define WAIT_MS    5000 /* after a full disk */
#define ROOM_BYTES ((uint64_t)16 << 20)

size_t worker_decoded_bytes = (size_t)512 << 20;

bool worker_disk_is_full(const worker *w)
{
    struct statvfs fs;
    return statvfs(w->config->store, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < ROOM_BYTES;
}

/* ---- what goes wrong ---- */
/* Someone else has the job now (a person dropped it, another node claimed it): nothing is left to do for it. */
static cot_status moved(const cot_job *job, cot_status status, const cot_error *why, cot_error *err)
{
    if (status == COT_OK) return COT_OK;
    if (status != COT_E_REFUSED) return cot_fail(err, status, "%s", why->text);
    cot_log(COT_WARN, "job.moved", job->id, "reason=\"%s\"", why->text);
    return COT_OK;
}

/* The image cannot be reported, now or ever: parked with its reason. */
cot_status worker_give_up(worker *w, const cot_job *job, cot_status why, cot_error *err)
{
    (void)why; /* said in err */
    cot_error store_err = COT_ERROR_INIT;
    cot_log(COT_ERROR_LEVEL, "job.failed", job->id, "reason=\"%s\"", err->text);
    return moved(job, cot_store_failed(w->store, job->id, err->text, &store_err), &store_err, err);
}

/* No fault of the image as far as we know: it is tried again, alone, and counted only when it ran alone this time. */
static cot_status put_back(worker *w, const cot_job *job, bool counts, const char *why, cot_error *err)
{
    cot_error store_err = COT_ERROR_INIT;
    bool failed = false;
    const cot_status status = cot_store_unread(w->store, job->id, counts, why, &failed, &store_err);
    if (status == COT_OK)
        cot_log(failed ? COT_ERROR_LEVEL : COT_WARN, failed ? "job.failed" : "job.again", job->id, "reason=\"%s\"",
                why);
    return moved(job, status, &store_err, err);
}

/* One job of n could not be read or reported. A full disk is told to the loop, which waits; other faults of the machine
 * send the job back, a time-out does so once; the rest is the image's. */
cot_status worker_end_badly(worker *w, const cot_job *job, size_t n, bool timed_out, cot_error *err)
{
    const cot_status why = err->status;
    if (worker_disk_is_full(w)) return cot_fail(err, COT_E_LIMIT, "the disk of %s is full", w->config->store);
    if (timed_out && !job->alone) return put_back(w, job, false, err->text, err);
    if (!timed_out && (why == COT_E_MEMORY || why == COT_E_IO || why == COT_E_LIMIT)) {
        w->strained = true;
        return put_back(w, job, n == 1, err->text, err);
    }
    return worker_give_up(w, job, why, err);
}

/* Device or sandbox lost with a batch in hand: which image did it is unknown, so each comes alone, none is counted. */
static void put_back_batch(worker *w, size_t n, const cot_error *why)
{
    for (size_t i = 0; i < n; i++) {
        cot_error store_err = COT_ERROR_INIT;
        bool failed;
        const cot_status status = cot_store_unread(w->store, w->jobs[i].id, false, why->text, &failed, &store_err);
        if (status == COT_OK)
            cot_log(COT_WARN, "job.again", w->jobs[i].id, "reason=\"%s\"", why->text);
        else if (status != COT_E_REFUSED) /* reported or put back already */
            cot_log(COT_ERROR_LEVEL, "job.held", w->jobs[i].id, "reason=\"%s\"", store_err.text);
    }
}

/* ---- one batch, in slices of what memory may hold ---- */
typedef struct span { /* jobs [from, to) of the n that were claimed, and its times */
    size_t from, to, n;
    int64_t start;
    double read_ms;
} span;

/* The images of jobs[from..), a few at a time, until worker_decoded_bytes are there; *to = the first that is not. */
static cot_status decode(worker *w, size_t from, size_t n, size_t *to, cot_error *err)
{
    cot_status status = COT_OK;
    size_t bytes = 0;
    const char **paths = calloc(n, sizeof *paths);
    if (!paths) return cot_fail(err, COT_E_MEMORY, "worker: no memory");
    for (size_t i = from; i < n; i++) paths[i] = w->jobs[i].object;
    for (*to = from; *to < n && bytes < worker_decoded_bytes;) {
        const size_t some = n - *to < w->parallel ? n - *to : w->parallel;
        COT_TRY(cot_sandbox_decode(w->sandbox, paths + *to, some, false, w->decoded + *to, err));
        for (size_t i = 0; i < some; i++) bytes += w->decoded[*to + i].mapped;
        *to += some;
    }
done:
    free(paths);
    return status;
}

/* Decoding came to no end that says anything about the image. */
static bool is_unlucky(const cot_job *job, const cot_decoded *d)
{
    return d->status == COT_E_MEMORY || d->status == COT_E_IO || (d->timed_out && !job->alone);
}

/* A chain that says why for each image that was not decoded; unlucky ones go back. */
static cot_status refuse(worker *w, const span *s, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = s->from; i < s->to; i++) {
        const cot_decoded *d = &w->decoded[i];
        if (d->status == COT_OK) continue;
        if (!is_unlucky(&w->jobs[i], d)) {
            COT_TRY(cot_chain_refuse(&w->chains[i], w->steps, &w->reader, d->refusal_id, d->text, err));
            continue;
        }
        const bool gone = access(w->jobs[i].object, F_OK) != 0 && errno == ENOENT;
        cot_fail(err, gone ? COT_E_INPUT : d->status, "%s",
                 gone ? "the image file is missing from the store" : d->text);
        COT_TRY(worker_end_badly(w, &w->jobs[i], s->n, d->timed_out, err));
    }
done:
    return status;
}

/* Reads the decoded images among jobs[from..to). */
static cot_status read_some(worker *w, size_t from, size_t to, cot_error *err)
{
    cot_picture *pictures = calloc(w->batch, sizeof *pictures);
    cot_chain **chains = calloc(w->batch, sizeof *chains);
    cot_status status = pictures && chains ? COT_OK : cot_fail(err, COT_E_MEMORY, "worker: no memory");
    size_t m = 0;
    for (size_t i = from; i < to && status == COT_OK; i++)
        if (w->decoded[i].grey) pictures[m++] = reporting_picture(&w->decoded[i]);
    if (status == COT_OK && m) status = cot_model_read(w->model, chains, pictures, m, err);
    for (size_t i = from, k = 0; i < to && status == COT_OK; i++)
        if (w->decoded[i].grey) {
            w->chains[i] = chains[k++];
            reporting_note_image(w->chains[i], &w->decoded[i]);
        }
    free(pictures);
    free(chains);
    return status;
}

/* Together; when that fails for another reason than the device, one by one, so that one image spoils only its own job. */
static cot_status read_batch(worker *w, const span *s, cot_error *err)
{
    cot_status status = read_some(w, s->from, s->to, err);
    if (status == COT_OK || status == COT_E_DEVICE) return status;
    for (size_t i = s->from; i < s->to; i++) {
        status = read_some(w, i, i + 1, err);
        if (status == COT_E_DEVICE) return status;
        if (status != COT_OK) COT_TRY(worker_end_badly(w, &w->jobs[i], s->n, false, err));
    }
    status = COT_OK;
done:
    return status;
}

static const char *state_name(cot_chain_state state)
{
    return state == COT_CHAIN_COMPLETE ? "complete" : state == COT_CHAIN_PARTIAL ? "partial" : "refused";
}

static void say_read(const worker *w, size_t i, const span *s)
{
    const cot_chain *chain = w->chains[i];
    const bool refused = chain->state == COT_CHAIN_REFUSED;
    cot_log(COT_INFO, "read", w->jobs[i].id, "state=%s%s%s batch=%zu decode_ms=%.0f read_ms=%.0f ms=%lld",
            state_name(chain->state), refused ? " gate=" : "", refused ? chain->refusal_id : "", s->to - s->from,
            w->decoded[i].ms, s->read_ms, (long long)(process_now_ms() - s->start));
}

/* Errors of the store are the loop's to wait out. *done = recorded. */
static cot_status finish_one(worker *w, size_t i, size_t n, report_set *set, bool *done, cot_error *err)
{
    const cot_error *why = NULL;
    const char *refusal = w->chains[i]->state == COT_CHAIN_REFUSED ? w->chains[i]->refusal : NULL;
    *done = false;
    for (size_t k = 0; k < REPORT_FORMS; k++) {
        const cot_report_order *order = set->orders[k];
        if (!order || !worker_is_passing(w, &w->jobs[i], order)) continue;
        cot_fail(err, order->error.status, "%s", order->error.text);
        return worker_end_badly(w, &w->jobs[i], n, order->timed_out, err);
    }
    if (!worker_settle_reports(w, &w->jobs[i], set, &why) && !w->per_study) { /* there, only a capture is missing */
        cot_fail(err, why->status, "%s", why->text);
        return worker_give_up(w, &w->jobs[i], err->status, err);
    }
    const cot_status status = worker_record(w, &w->jobs[i], w->chains[i], refusal, set, err);
    *done = status == COT_OK;
    if (*done || status == COT_E_IO || status == COT_E_LIMIT || status == COT_E_MEMORY) return status;
    return worker_give_up(w, &w->jobs[i], status, err);
}

static cot_status finish_batch(worker *w, const span *s, cot_error *err)
{
    cot_status status = COT_OK;
    bool done;
    size_t m = 0;
    report_set *sets = calloc(s->to, sizeof *sets);
    cot_report_order *orders = calloc(s->to, REPORT_FORMS * sizeof *orders);
    cot_report_image *images = calloc(s->to, sizeof *images);
    if (!sets || !orders || !images) {
        status = cot_fail(err, COT_E_MEMORY, "worker: no memory for %zu reports", s->to - s->from);
        goto done;
    }
    for (size_t i = s->from; i < s->to; i++) {
        if (!w->chains[i]) continue;
        images[i] = (cot_report_image){w->jobs[i].object, w->jobs[i].dataset_sha256, w->chains[i]};
        m += worker_order_reports(w, &w->jobs[i], &images[i], 1, &sets[i], &orders[m]);
    }
    if (m) COT_TRY(cot_sandbox_reports(w->sandbox, orders, m, err));
    for (size_t i = s->from; i < s->to; i++) {
        if (!w->chains[i]) continue;
        COT_TRY(finish_one(w, i, s->n, &sets[i], &done, err));
        if (done) say_read(w, i, s);
    }
done:
    free(sets);
    free(orders);
    free(images);
    return status;
}

static void drop_slice(worker *w, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        cot_decoded_fini(&w->decoded[i]);
        cot_chain_destroy(w->chains[i]);
        w->chains[i] = NULL;
    }
}

/* Some of the n claimed jobs, from decoding to their record; *to = where the next slice begins. */
static cot_status turn_slice(worker *w, size_t from, size_t *to, size_t n, cot_error *err)
{
    cot_status status;
    span s = {.from = from, .n = n, .start = process_now_ms()};
    COT_TRY(decode(w, from, n, &s.to, err));
    *to = s.to;
    if (cot_stop_asked()) goto done;
    COT_TRY(refuse(w, &s, err));
    const int64_t read_start = process_now_ms();
    COT_TRY(read_batch(w, &s, err));
    s.read_ms = (double)(process_now_ms() - read_start);
    COT_TRY(finish_batch(w, &s, err));
done:
    drop_slice(w, from, n);
    return status;
}

cot_status worker_turn(worker *w, size_t *n, cot_error *err)
{
    cot_status status;
    size_t to = 0;
    *n = 0;
    w->strained = false;
    COT_TRY(worker_study_turn(w, n, err));
    if (*n) goto done;
    COT_TRY(cot_store_claim(w->store, w->owner, w->config->settle_s, w->jobs, w->batch, n, err));
    for (size_t from = 0; from < *n && status == COT_OK && !cot_stop_asked(); from = to)
        status = turn_slice(w, from, &to, *n, err);
    if ((status == COT_E_DEVICE || status == COT_E_BUG) && *n > 1) put_back_batch(w, *n, err);
    if (status == COT_OK && *n && cot_stop_asked()) status = cot_store_release(w->store, w->owner, NULL, err);
done:
    return status;
}

/* ---- the loop ---- */
/* true: the loop goes on. A full disk or busy database is waited out with the jobs given back. */
static bool survives(worker *w, cot_status status, const cot_error *err)
{
    cot_error release_err = COT_ERROR_INIT;
    if (status == COT_E_DEVICE) {
        cot_log(COT_ERROR_LEVEL, "device.lost", NULL, "reason=\"%s\"", err->text);
        return false;
    }
    if (status != COT_E_LIMIT && status != COT_E_IO && status != COT_E_MEMORY) return false;
    cot_log(COT_ERROR_LEVEL, "worker.wait", NULL, "ms=%d reason=\"%s\"", WAIT_MS, err->text);
    cot_pause(WAIT_MS);
    if (cot_store_release(w->store, w->owner, NULL, &release_err) == COT_OK) return true;
    cot_log(COT_ERROR_LEVEL, "worker.release", NULL, "reason=\"%s\"", release_err.text);
    return false;
}

cot_status cot_worker_run(const cot_config *config, const char *owner, cot_error *err)
{
    worker w;
    cot_stop_on_signals();
    const int64_t start = process_now_ms();
    cot_status status = worker_open(&w, config, owner, err);
    if (status == COT_OK)
        cot_log(COT_INFO, "worker.ready", NULL, "device=\"%s\" model=\"%s %s\" reader=%s batch=%zu ms=%lld",
                w.reader.device, w.reader.name, w.reader.version, cot_readers_name(w.readers), w.batch,
                (long long)(process_now_ms() - start));
    while (status == COT_OK && !cot_stop_asked()) {
        size_t n;
        status = worker_turn(&w, &n, err);
        if (status == COT_OK && (n == 0 || w.strained)) cot_pause(w.strained ? WAIT_MS : IDLE_MS);
        if (status != COT_OK && survives(&w, status, err)) status = COT_OK;
    }
    if (status == COT_OK) cot_log(COT_INFO, "worker.stopped", NULL, NULL);
    worker_close(&w);
    return status;
}
