/* Giving back what a process held: nothing claimed is lost when its worker or sender dies. Three cases differ:
 *   the process itself gives back (same pid)  - parked at shutdown: as if never claimed;
 *   the supervisor, for a role that died      - a death is counted; at the third the job or delivery is parked for people;
 *   a new start of the node (owner NULL)      - the machine or the node went down, hardly the image's fault; only a job that
 *                                               was claimed STORE_CLAIMS times that way without an end is parked.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <unistd.h>

typedef struct held { /* a claimed row */
    char job[COT_JOB_ID];
    int64_t delivery;
    unsigned attempts, deaths;
    bool parked; /* given back by its own process */
} held;

static bool next_held(cot_store *store, const char *sql, int state, const char *owner, held *out, cot_status *status,
                      cot_error *err)
{
    sqlite3_stmt *stmt;
    bool row = false;
    *status = store_query(&stmt, store, err, sql, "is", (long long)state, owner);
    if (*status != COT_OK) return false;
    *status = store_step(store, stmt, &row, err);
    if (*status != COT_OK || !row) return false;
    store_text(out->job, sizeof out->job, stmt, 0);
    out->delivery = sqlite3_column_int64(stmt, 1);
    out->attempts = store_unsigned(stmt, 2);
    out->deaths = store_unsigned(stmt, 3);
    out->parked = sqlite3_column_int64(stmt, 4) == (long long)getpid();
    sqlite3_reset(stmt);
    return true;
}

static cot_status park_for_people(cot_store *store, const held *h, const char *reason, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_job(store, h->job, JOB_GIVE_UP, err));
    COT_TRY(store_run(store, err, "UPDATE job SET reason=?2, deaths=?3 WHERE id=?1", "ssi", h->job, reason,
                      (long long)h->deaths));
    cot_log(COT_ERROR_LEVEL, "job.failed", h->job, "reason=\"%s\"", reason);
done:
    return status;
}

static cot_status release_job(cot_store *store, held *h, bool died, cot_error *err)
{
    cot_status status;
    char reason[256] = "";
    h->deaths += died && !h->parked;
    if (died && !h->parked && h->deaths >= STORE_DEATHS)
        snprintf(reason, sizeof reason,
                 "the worker died %u times on this image: see its log; `stepcot queue retry %s` tries again", h->deaths,
                 h->job);
    else if (!died && h->attempts >= STORE_CLAIMS)
        snprintf(reason, sizeof reason,
                 "claimed %u times and never finished, the node went down each time: `stepcot queue retry "
                 "%s` tries again",
                 h->attempts, h->job);
    if (reason[0]) return park_for_people(store, h, reason, err);
    COT_TRY(store_move_job(store, h->job, JOB_RELEASE, err));
    status = store_run(store, err, "UPDATE job SET deaths=?2, attempts=attempts-?3 WHERE id=?1", "sii", h->job,
                       (long long)h->deaths, (long long)(h->parked && h->attempts > 0));
done:
    return status;
}

static cot_status release_delivery(cot_store *store, held *h, bool died, cot_error *err)
{
    cot_status status;
    h->deaths += died && !h->parked;
    const bool dead = died && !h->parked && h->deaths >= STORE_DEATHS;
    COT_TRY(store_move_delivery(store, h->delivery, dead ? DELIVERY_GIVE_UP : DELIVERY_RELEASE, err));
    COT_TRY(store_run(store, err, "UPDATE delivery SET deaths=?2 WHERE id=?1", "ii", (long long)h->delivery,
                      (long long)h->deaths));
    if (!dead) goto done;
    COT_TRY(store_run(store, err, "UPDATE delivery SET text=?2 WHERE id=?1", "is", (long long)h->delivery,
                      "the sender died repeatedly on this report: see its log"));
    cot_log(COT_ERROR_LEVEL, "send.dead", h->job, "reason=\"the sender died %u times on this report\"", h->deaths);
done:
    return status;
}

cot_status cot_store_release(cot_store *store, const char *owner, size_t *n, cot_error *err)
{
    held h;
    size_t moved = 0;
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    while (next_held(
        store, "SELECT id, 0, attempts, deaths, owner_pid FROM job WHERE state=?1 AND (?2 IS NULL OR owner=?2) LIMIT 1",
        COT_JOB_READING, owner, &h, &status, err)) {
        COT_TRY(release_job(store, &h, owner != NULL, err));
        moved++;
    }
    if (status != COT_OK) goto done;
    while (next_held(
        store,
        "SELECT job, id, attempts, deaths, owner_pid FROM delivery WHERE state=?1 AND (?2 IS NULL OR owner=?2)"
        " LIMIT 1",
        COT_DELIVERY_SENDING, owner, &h, &status, err)) {
        COT_TRY(release_delivery(store, &h, owner != NULL, err));
        moved++;
    }
    STORE_POINT("release: moved");
done:
    status = store_end(store, status, err);
    if (n) *n = status == COT_OK ? moved : 0;
    return status;
}
