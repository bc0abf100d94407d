/* The worker's and the sender's side of the store: claim, report, give up; take, delivered, again, dead; and release, which
 * gives back what a dead process held. A process that dies on the same image again and again is stopped here: after its first
 * death a job is claimed alone, so that the others of its batch are cleared; after the third it is parked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A row stamped later than now was written before the clock was set back; it must not wait for the clock to catch up. */
#define CLAIMABLE                                                                                                      \
    "SELECT j.id, j.deaths + j.alone FROM job j WHERE j.state=?1 AND (j.images>0)=?6"                                  \
    " AND NOT (j.received_us>?2 AND j.received_us<=?3)"                                                                \
    " AND NOT EXISTS (SELECT 1 FROM job s WHERE s.study=j.study AND s.received_us>?2 AND s.received_us<=?3)"           \
    " AND NOT EXISTS (SELECT 1 FROM job p WHERE p.id=j.predecessor AND p.state IN (?1,?4))"                            \
    " ORDER BY j.received_us, j.rowid LIMIT ?5"

/* Ids of what can be claimed now, oldest first; a suspect comes alone. */
static cot_status list_claimable(cot_store *store, bool studies, double settle_s, char (*ids)[COT_JOB_ID], size_t max,
                                 size_t *n, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row, suspect = false;
    const int64_t now = cot_now_us(), settled = now - (int64_t)(settle_s * 1e6);
    *n = 0;
    COT_TRY(store_query(&stmt, store, err, CLAIMABLE, "iiiiii", (long long)COT_JOB_RECEIVED, (long long)settled,
                        (long long)now, (long long)COT_JOB_READING, (long long)max, (long long)studies));
    while (*n < max && !suspect) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        const bool has_died = sqlite3_column_int(stmt, 1) > 0;
        if (has_died && *n > 0) continue;
        suspect = has_died;
        store_text(ids[(*n)++], COT_JOB_ID, stmt, 0);
    }
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

static cot_status claim_one(cot_store *store, const char *owner, const char *id, cot_job *job, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_job(store, id, JOB_CLAIM, err));
    COT_TRY(store_run(store, err, "UPDATE job SET owner=?2, owner_pid=?3, attempts=attempts+1 WHERE id=?1", "ssi", id,
                      owner, (long long)getpid()));
    status = store_job_get(store, id, job, err);
done:
    return status;
}

static cot_status claim(cot_store *store, const char *owner, bool studies, double settle_s, cot_job *jobs, size_t max,
                        size_t *n, cot_error *err)
{
    cot_status status;
    size_t found = 0;
    *n = 0;
    if (max == 0) return COT_OK;
    char(*ids)[COT_JOB_ID] = calloc(max, sizeof *ids);
    if (!ids) return cot_fail(err, COT_E_MEMORY, "claim: no memory for %zu ids", max);
    /* looking first keeps an idle worker from taking the write lock four times a second */
    COT_TRY(list_claimable(store, studies, settle_s, ids, max, &found, err));
    if (found == 0) goto done;
    COT_TRY(store_begin(store, err));
    status = list_claimable(store, studies, settle_s, ids, max, &found, err);
    for (size_t i = 0; i < found && status == COT_OK; i++) status = claim_one(store, owner, ids[i], &jobs[i], err);
    STORE_POINT("claim: moved");
    COT_TRY(store_end(store, status, err));
    *n = found;
done:
    free(ids);
    return status;
}

cot_status cot_store_claim(cot_store *store, const char *owner, double settle_s, cot_job *jobs, size_t max, size_t *n,
                           cot_error *err)
{
    return claim(store, owner, false, settle_s, jobs, max, n, err);
}

cot_status cot_store_claim_study(cot_store *store, const char *owner, double settle_s, cot_job *job, size_t *n,
                                 cot_error *err)
{
    return claim(store, owner, true, settle_s, job, 1, n, err);
}

/* The name inside reports/, or the whole path when it lies elsewhere. */
static const char *report_name(const cot_store *store, const char *path)
{
    char folder[STORE_FOLDER + 16];
    const int n = snprintf(folder, sizeof folder, "%s/reports/", store->folder);
    if (!path || strncmp(path, folder, (size_t)n) != 0 || strchr(path + n, '/')) return path;
    return path + n;
}

/* The delivery just added, or found waiting, is of a report that must not be sent. One delivered earlier stays so. */
static cot_status park_delivery(cot_store *store, const char *job, const cot_store_post *post, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err,
                        "SELECT id FROM delivery WHERE job=?1 AND destination=?2 AND kind=?3 AND state=?4", "sssi", job,
                        post->destination, post->kind, (long long)COT_DELIVERY_WAITING));
    COT_TRY(store_step(store, stmt, &row, err));
    const long long delivery = row ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (!row) return COT_OK;
    COT_TRY(store_move_delivery(store, delivery, DELIVERY_PARK, err));
    status = store_run(store, err, "UPDATE delivery SET text=?2 WHERE id=?1", "is", delivery, post->parked);
done:
    return status;
}

/* An ended delivery whose report now has another file name was read again by request: it goes out anew. */
static cot_status renew_delivery(cot_store *store, const char *job, const cot_store_post *post, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err,
                        "SELECT id, state FROM delivery WHERE job=?1 AND destination=?2 AND kind=?3 AND report<>?4",
                        "ssss", job, post->destination, post->kind, report_name(store, post->report)));
    COT_TRY(store_step(store, stmt, &row, err));
    const long long delivery = row ? sqlite3_column_int64(stmt, 0) : 0, now = cot_now_us();
    const int state = row ? sqlite3_column_int(stmt, 1) : 0;
    sqlite3_reset(stmt);
    if (!row || store_delivery_next(DELIVERY_RENEW, (cot_delivery_state)state) < 0) return COT_OK;
    COT_TRY(store_move_delivery(store, delivery, DELIVERY_RENEW, err));
    status = store_run(
        store, err, "UPDATE delivery SET attempts=0, deaths=0, next_us=?2, first_us=?2, dimse=0, text='' WHERE id=?1",
        "ii", delivery, now);
done:
    return status;
}

/* Read again because a file was lost: it has waited, or is delivered, and stays so; but its fallback may have another name. */
static cot_status add_delivery(cot_store *store, const char *job, const cot_store_post *post, cot_error *err)
{
    cot_status status;
    COT_TRY(renew_delivery(store, job, post, err));
    COT_TRY(store_run(
        store, err,
        "INSERT INTO delivery(job, destination, state, next_us, first_us, changed_us, kind, report, fallback)"
        " VALUES(?1,?2,?3,?4,?4,?4,?5,?6,?7)"
        " ON CONFLICT(job, destination, kind) DO UPDATE SET report=excluded.report, fallback=excluded.fallback",
        "ssiisss", job, post->destination, (long long)COT_DELIVERY_WAITING, (long long)cot_now_us(), post->kind,
        report_name(store, post->report), report_name(store, post->fallback)));
    if (post->parked) status = park_delivery(store, job, post, err);
done:
    return status;
}

cot_status cot_store_reported(cot_store *store, const char *job, const cot_store_report *report,
                              const cot_store_post *posts, size_t n_posts, cot_error *err)
{
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    COT_TRY(store_move_job(store, job, JOB_REPORT, err));
    STORE_POINT("reported: moved");
    COT_TRY(store_run(store, err, "UPDATE job SET reason=?2, alone=0, due=?3 WHERE id=?1", "ssi", job,
                      report->refusal ? report->refusal : "", (long long)report->for_study));
    COT_TRY(store_run(store, err,
                      "INSERT OR REPLACE INTO reading(job, report, sop_instance, series, made_us, chain)"
                      " VALUES(?1,?2,?3,?4,?5,?6)",
                      "ssssis", job, report_name(store, report->report), report->sop_instance, report->series,
                      (long long)cot_now_us(), report->chain_json ? report->chain_json : ""));
    STORE_POINT("reported: reading kept");
    for (size_t i = 0; i < n_posts; i++) {
        COT_TRY(add_delivery(store, job, &posts[i], err));
        STORE_POINT("reported: delivery added");
    }
done:
    return store_end(store, status, err);
}

static cot_status give_up_job(cot_store *store, const char *job, const char *reason, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_job(store, job, JOB_GIVE_UP, err));
    status = store_run(store, err, "UPDATE job SET reason=?2 WHERE id=?1", "ss", job, reason);
done:
    return status;
}

/* One more death; *failed: it was one too many. */
static cot_status unread_job(cot_store *store, const char *job, bool counts, const char *reason, bool *failed,
                             cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err, "SELECT deaths FROM job WHERE id=?1", "s", job));
    COT_TRY(store_step(store, stmt, &row, err));
    const unsigned deaths = (row ? store_unsigned(stmt, 0) : 0) + counts;
    sqlite3_reset(stmt);
    *failed = deaths >= STORE_DEATHS;
    if (*failed) {
        COT_TRY(give_up_job(store, job, reason, err));
    } else {
        COT_TRY(store_move_job(store, job, JOB_RELEASE, err));
    }
    status = store_run(store, err, "UPDATE job SET deaths=?2, alone=1 WHERE id=?1", "si", job, (long long)deaths);
done:
    return status;
}

cot_status cot_store_unread(cot_store *store, const char *job, bool counts, const char *reason, bool *failed,
                            cot_error *err)
{
    const cot_status status = store_begin(store, err);
    *failed = false;
    return status == COT_OK ? store_end(store, unread_job(store, job, counts, reason, failed, err), err) : status;
}

cot_status cot_store_failed(cot_store *store, const char *job, const char *reason, cot_error *err)
{
    const cot_status status = store_begin(store, err);
    return status == COT_OK ? store_end(store, give_up_job(store, job, reason, err), err) : status;
}

/* ---- sender ---- */
/* A job that is being read again has no report to send yet. */
#define HAS_REPORT "EXISTS (SELECT 1 FROM job j WHERE j.id=d.job AND j.state=2)"
_Static_assert(COT_JOB_REPORTED == 2, "HAS_REPORT names the state by its number");
#define DUE                                                                                                            \
    "SELECT id, deaths FROM delivery d WHERE state=?1 AND destination=?2 AND next_us<=?3 AND " HAS_REPORT              \
    " ORDER BY next_us, id LIMIT ?4"
/* Put off before the clock was set back: due as well, else they would wait for the clock to catch up. */
#define FROM_THE_FUTURE                                                                                                \
    "SELECT id, deaths FROM delivery d INDEXED BY delivery_changed WHERE state=?1 AND destination=?2 AND "             \
    "changed_us>?3"                                                                                                    \
    " AND next_us>?3 AND " HAS_REPORT " LIMIT ?4"

/* Appends to ids; a suspect, whose sender died before, comes alone. */
static cot_status add_due(cot_store *store, const char *sql, const char *destination, int64_t *ids, size_t max,
                          size_t *n, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row, suspect = false;
    COT_TRY(store_query(&stmt, store, err, sql, "isii", (long long)COT_DELIVERY_WAITING, destination,
                        (long long)cot_now_us(), (long long)max));
    while (*n < max && !suspect) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        const bool has_died = sqlite3_column_int(stmt, 1) > 0;
        if (has_died && *n > 0) continue;
        suspect = has_died;
        ids[(*n)++] = sqlite3_column_int64(stmt, 0);
    }
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

static cot_status list_due(cot_store *store, const char *destination, int64_t *ids, size_t max, size_t *n,
                           cot_error *err)
{
    *n = 0;
    const cot_status status = add_due(store, DUE, destination, ids, max, n, err);
    return status == COT_OK && *n == 0 ? add_due(store, FROM_THE_FUTURE, destination, ids, max, n, err) : status;
}

static cot_status take_one(cot_store *store, const char *owner, int64_t id, cot_delivery *out, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_move_delivery(store, id, DELIVERY_TAKE, err));
    COT_TRY(store_run(store, err, "UPDATE delivery SET owner=?2, owner_pid=?3 WHERE id=?1", "isi", (long long)id, owner,
                      (long long)getpid()));
    COT_TRY(store_query(&stmt, store, err, DELIVERY_SELECT "WHERE d.id=?1", "i", (long long)id));
    COT_TRY(store_step(store, stmt, &row, err));
    if (!row) return cot_fail(err, COT_E_BUG, "delivery %lld is gone", (long long)id);
    store_read_delivery(store, out, stmt);
    sqlite3_reset(stmt);
done:
    return status;
}

cot_status cot_store_take(cot_store *store, const char *owner, const char *destination, cot_delivery *out, size_t max,
                          size_t *n, cot_error *err)
{
    cot_status status;
    size_t found = 0;
    *n = 0;
    if (max == 0) return COT_OK;
    int64_t *ids = calloc(max, sizeof *ids);
    if (!ids) return cot_fail(err, COT_E_MEMORY, "take: no memory for %zu ids", max);
    COT_TRY(list_due(store, destination, ids, max, &found, err));
    if (found == 0) goto done;
    COT_TRY(store_begin(store, err));
    status = list_due(store, destination, ids, max, &found, err);
    for (size_t i = 0; i < found && status == COT_OK; i++) status = take_one(store, owner, ids[i], &out[i], err);
    STORE_POINT("take: moved");
    COT_TRY(store_end(store, status, err));
    *n = found;
done:
    free(ids);
    return status;
}

/* How an attempt ended: counted, with the peer's status and words. */
static cot_status end_attempt(cot_store *store, int64_t id, delivery_event event, int64_t next_us, unsigned dimse,
                              const char *text, cot_error *err)
{
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    COT_TRY(store_move_delivery(store, id, event, err));
    COT_TRY(store_run(store, err,
                      "UPDATE delivery SET attempts=attempts+1, deaths=0, next_us=?2, dimse=?3, text=?4 WHERE id=?1",
                      "iiis", (long long)id, (long long)next_us, (long long)dimse, text ? text : ""));
    STORE_POINT("delivery: moved");
done:
    return store_end(store, status, err);
}

cot_status cot_store_delivered(cot_store *store, int64_t delivery, unsigned dimse, const char *text, cot_error *err)
{
    return end_attempt(store, delivery, DELIVERY_ACCEPTED, cot_now_us(), dimse, text, err);
}

cot_status cot_store_again(cot_store *store, int64_t delivery, int64_t next_us, unsigned dimse, const char *text,
                           cot_error *err)
{
    return end_attempt(store, delivery, DELIVERY_AGAIN, next_us, dimse, text, err);
}

cot_status cot_store_dead(cot_store *store, int64_t delivery, unsigned dimse, const char *text, cot_error *err)
{
    return end_attempt(store, delivery, DELIVERY_GIVE_UP, cot_now_us(), dimse, text, err);
}

cot_status cot_store_unwanted(cot_store *store, int64_t delivery, const char *text, cot_error *err)
{
    return end_attempt(store, delivery, DELIVERY_UNWANTED, cot_now_us(), 0, text, err);
}
