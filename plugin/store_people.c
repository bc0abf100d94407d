/* What people ask of the queue: how many, which, what was said about one, try again, forget.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 500 /* rows moved per transaction, so that --all never blocks the node for long */

static cot_status count_states(cot_store *store, const char *sql, size_t *counts, size_t n, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row = true;
    COT_TRY(store_query(&stmt, store, err, sql, ""));
    while (row) {
        COT_TRY(store_step(store, stmt, &row, err));
        const unsigned state = row ? store_unsigned(stmt, 0) : 0;
        if (row && state < n) counts[state] = (size_t)sqlite3_column_int64(stmt, 1);
    }
done:
    return status;
}

cot_status cot_store_count(cot_store *store, cot_store_counts *out, cot_error *err)
{
    cot_status status;
    memset(out, 0, sizeof *out);
    COT_TRY(count_states(store, "SELECT state, count(*) FROM job GROUP BY state", out->job, COT_JOB_STATES, err));
    status = count_states(store, "SELECT state, count(*) FROM delivery GROUP BY state", out->delivery,
                          COT_DELIVERY_STATES, err);
done:
    return status;
}

cot_status cot_store_strays(cot_store *store, const char *const *known, size_t n_known, cot_stray_visitor visit,
                            void *ctx, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    char name[33];
    COT_TRY(store_query(&stmt, store, err,
                        "SELECT destination, count(*) FROM delivery WHERE state=?1 GROUP BY destination", "i",
                        (long long)COT_DELIVERY_WAITING));
    for (;;) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        size_t i = 0;
        store_text(name, sizeof name, stmt, 0);
        while (i < n_known && strcmp(known[i], name) != 0) i++;
        if (i == n_known) visit(ctx, name, (size_t)sqlite3_column_int64(stmt, 1));
    }
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

/* The full id of the one job that begins with `prefix`. */
static cot_status resolve(cot_store *store, const char *prefix, char id[COT_JOB_ID], cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    char end[COT_JOB_ID + 1];
    const size_t n = strlen(prefix);
    if (n == 0 || n >= COT_JOB_ID || strspn(prefix, "0123456789abcdef") != n)
        return cot_fail(err, COT_E_REFUSED,
                        "\"%.40s\" is no job id: ids are hex digits, as `stepcot queue list` shows them", prefix);
    snprintf(end, sizeof end, "%sg", prefix); /* 'g' follows every hex digit */
    COT_TRY(store_query(&stmt, store, err, "SELECT id FROM job WHERE id>=?1 AND id<?2 LIMIT 2", "ss", prefix, end));
    COT_TRY(store_step(store, stmt, &row, err));
    if (!row) return cot_fail(err, COT_E_REFUSED, "no job begins with %s in %s", prefix, store->folder);
    store_text(id, COT_JOB_ID, stmt, 0);
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) status = cot_fail(err, COT_E_REFUSED, "several jobs begin with %s: give more of its characters", prefix);
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

static cot_status read_chain(cot_store *store, const char *id, char **chain_json, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    COT_TRY(store_query(&stmt, store, err, "SELECT chain FROM reading WHERE job=?1", "s", id));
    COT_TRY(store_step(store, stmt, &row, err));
    const char *text = row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (text && text[0] && !(*chain_json = strdup(text)))
        status = cot_fail(err, COT_E_MEMORY, "job %s: no memory for its reading", id);
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

cot_status cot_store_job(cot_store *store, const char *id_or_prefix, cot_job *out, char **chain_json, cot_error *err)
{
    cot_status status;
    char id[COT_JOB_ID];
    if (chain_json) *chain_json = NULL;
    COT_TRY(resolve(store, id_or_prefix, id, err));
    COT_TRY(store_job_get(store, id, out, err));
    if (chain_json) status = read_chain(store, id, chain_json, err);
done:
    return status;
}

/* ---- walking ---- */
typedef struct delivery_list {
    cot_delivery *items;
    size_t n, room;
} delivery_list;

static cot_status list_deliveries(cot_store *store, const char *job, delivery_list *list, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    list->n = 0;
    COT_TRY(store_query(&stmt, store, err, DELIVERY_SELECT "WHERE d.job=?1 ORDER BY d.id", "s", job));
    for (;;) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        if (list->n == list->room) {
            const size_t room = list->room ? 2 * list->room : 8;
            cot_delivery *items = realloc(list->items, room * sizeof *items);
            if (!items) {
                status = cot_fail(err, COT_E_MEMORY, "job %s: no memory for %zu deliveries", job, room);
                goto done;
            }
            list->items = items;
            list->room = room;
        }
        store_read_delivery(store, &list->items[list->n++], stmt);
    }
done:
    if (stmt) sqlite3_reset(stmt);
    return status;
}

static cot_status query_state(sqlite3_stmt **stmt, cot_store *store, const char *state, cot_error *err)
{
    if (!state) return store_query(stmt, store, err, JOB_SELECT "ORDER BY j.rowid", "");
    for (int s = 0; s < COT_JOB_STATES; s++)
        if (strcmp(state, cot_job_state_name((cot_job_state)s)) == 0 && s != COT_JOB_DROPPED)
            return store_query(stmt, store, err, JOB_SELECT "WHERE j.state=?1 ORDER BY j.received_us", "i",
                               (long long)s);
    for (int s = 0; s < COT_DELIVERY_STATES; s++)
        if (strcmp(state, cot_delivery_state_name((cot_delivery_state)s)) == 0)
            return store_query(stmt, store, err,
                               JOB_SELECT
                               "WHERE j.id IN (SELECT job FROM delivery WHERE state=?1) OR (?2 AND j.state=?3)"
                               " ORDER BY j.rowid",
                               "iii", (long long)s, (long long)(s == COT_DELIVERY_DROPPED), (long long)COT_JOB_DROPPED);
    return cot_fail(err, COT_E_USAGE,
                    "no state \"%.40s\": received, reading, reported, failed, dropped (jobs); waiting, sending, "
                    "delivered, dead (deliveries)",
                    state);
}

cot_status cot_store_each(cot_store *store, const char *state_or_null, cot_job_visitor visit, void *ctx, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    delivery_list list = {0};
    cot_job job;
    bool row, go_on = true;
    COT_TRY(query_state(&stmt, store, state_or_null, err));
    while (go_on) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        COT_TRY(store_read_job(store, &job, stmt, err));
        COT_TRY(list_deliveries(store, job.id, &list, err));
        go_on = visit(ctx, &job, list.items, list.n);
    }
done:
    if (stmt) sqlite3_reset(stmt);
    free(list.items);
    return status;
}

cot_status cot_store_one(cot_store *store, const char *id_or_prefix, cot_job_visitor visit, void *ctx, cot_error *err)
{
    cot_status status;
    delivery_list list = {0};
    cot_job job;
    char id[COT_JOB_ID];
    COT_TRY(resolve(store, id_or_prefix, id, err));
    COT_TRY(store_job_get(store, id, &job, err));
    COT_TRY(list_deliveries(store, id, &list, err));
    visit(ctx, &job, list.items, list.n);
done:
    free(list.items);
    return status;
}

/* ---- retry and drop ---- */
static cot_status move_job(cot_store *store, const char *id, job_event event, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_job(store, id, event, err));
    if (event == JOB_RETRY)
        status = store_run(store, err, "UPDATE job SET attempts=0, deaths=0, alone=0, reason='' WHERE id=?1", "s", id);
done:
    return status;
}

static cot_status move_delivery(cot_store *store, int64_t id, delivery_event event, cot_error *err)
{
    cot_status status;
    COT_TRY(store_move_delivery(store, id, event, err));
    if (event == DELIVERY_RETRY) /* its retry time starts anew */
        status = store_run(store, err, "UPDATE delivery SET attempts=0, deaths=0, next_us=?2, first_us=?2 WHERE id=?1",
                           "ii", (long long)id, (long long)cot_now_us());
done:
    return status;
}

static cot_status nothing_moved(const cot_job *job, const delivery_list *list, const char *what, cot_error *err)
{
    char states[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < list->n && at < sizeof states - 64; i++)
        at += (size_t)snprintf(states + at, sizeof states - at, ", %s %s", list->items[i].destination,
                               cot_delivery_state_name(list->items[i].state));
    return cot_fail(err, COT_E_REFUSED, "job %s is %s%s: nothing of it can be %s", job->id,
                    cot_job_state_name(job->state), states, what);
}

/* A report that was parked, or whose file somebody removed, can only be made again. */
static bool must_redo(const cot_job *job, const delivery_list *list)
{
    bool gone = store_report_is_gone(job);
    for (size_t i = 0; i < list->n && job->state == COT_JOB_REPORTED; i++)
        gone = gone || (list->items[i].state == COT_DELIVERY_DEAD && store_file_is_gone(list->items[i].report));
    return gone;
}

/* Its image, or all those of the study it stands for. */
static cot_status has_images(cot_store *store, const cot_job *job, bool *all, cot_error *err)
{
    cot_job *members = NULL;
    size_t n = 0;
    cot_status status = COT_OK;
    *all = job->images || (job->object[0] && access(job->object, R_OK) == 0);
    if (job->images) status = cot_store_members(store, job->id, &members, &n, err);
    for (size_t i = 0; i < n; i++) *all = *all && members[i].object[0] && access(members[i].object, R_OK) == 0;
    free(members);
    return status;
}

static cot_status redo_one(cot_store *store, const cot_job *job, cot_error *err)
{
    bool all = false;
    const cot_status status = has_images(store, job, &all, err);
    if (status != COT_OK) return status;
    if (all) return store_redo(store, job->id, err);
    return cot_fail(
        err, COT_E_REFUSED,
        "job %s: its report's file is gone, and so is its image: send the image again, it will be read anew", job->id);
}

/* One job and its deliveries, as far as the tables allow. */
static cot_status move_one(cot_store *store, const char *id, job_event job, delivery_event delivery, size_t *n,
                           cot_error *err)
{
    delivery_list list = {0};
    cot_job row;
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    COT_TRY(store_job_get(store, id, &row, err));
    COT_TRY(list_deliveries(store, id, &list, err));
    if (job == JOB_RETRY && must_redo(&row, &list)) {
        status = redo_one(store, &row, err);
        *n = status == COT_OK;
        goto done;
    }
    if (store_job_next(job, row.state) >= 0) {
        COT_TRY(move_job(store, id, job, err));
        (*n)++;
    }
    for (size_t i = 0; i < list.n; i++) {
        if (store_delivery_next(delivery, list.items[i].state) < 0) continue;
        COT_TRY(move_delivery(store, list.items[i].id, delivery, err));
        (*n)++;
    }
    if (*n == 0) status = nothing_moved(&row, &list, job == JOB_RETRY ? "retried" : "dropped", err);
done:
    free(list.items);
    return store_end(store, status, err);
}

/* A chunk of all failed jobs or dead deliveries; *moved = how many. */
static cot_status move_chunk(cot_store *store, job_event job, delivery_event delivery, size_t *moved, cot_error *err)
{
    sqlite3_stmt *stmt;
    bool row;
    char id[COT_JOB_ID];
    cot_job owner;
    delivery_list list = {0};
    *moved = 0;
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    for (; *moved < CHUNK; (*moved)++) {
        COT_TRY(store_query(&stmt, store, err, "SELECT id FROM job WHERE state=?1 LIMIT 1", "i",
                            (long long)COT_JOB_FAILED));
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        store_text(id, sizeof id, stmt, 0);
        sqlite3_reset(stmt);
        COT_TRY(move_job(store, id, job, err));
    }
    for (; *moved < CHUNK; (*moved)++) {
        COT_TRY(store_query(&stmt, store, err, "SELECT id, job FROM delivery WHERE state=?1 LIMIT 1", "i",
                            (long long)COT_DELIVERY_DEAD));
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        const int64_t number = sqlite3_column_int64(stmt, 0);
        store_text(id, sizeof id, stmt, 1);
        sqlite3_reset(stmt);
        COT_TRY(store_job_get(store, id, &owner, err));
        COT_TRY(list_deliveries(store, id, &list, err));
        bool all = false;
        COT_TRY(has_images(store, &owner, &all, err));
        if (delivery == DELIVERY_RETRY && must_redo(&owner, &list) && all)
            COT_TRY(store_redo(store, id, err)); /* moves this delivery, too */
        else
            COT_TRY(move_delivery(store, number, delivery, err));
    }
done:
    free(list.items);
    return store_end(store, status, err);
}

static cot_status move_asked(cot_store *store, const char *id_or_null, job_event job, delivery_event delivery,
                             size_t *n, cot_error *err)
{
    cot_status status = COT_OK;
    char id[COT_JOB_ID];
    size_t moved = 0;
    *n = 0;
    if (id_or_null) {
        COT_TRY(resolve(store, id_or_null, id, err));
        return move_one(store, id, job, delivery, n, err);
    }
    do {
        COT_TRY(move_chunk(store, job, delivery, &moved, err));
        *n += moved;
    } while (moved == CHUNK);
done:
    return status;
}

cot_status cot_store_retry(cot_store *store, const char *id_or_null, size_t *n, cot_error *err)
{
    return move_asked(store, id_or_null, JOB_RETRY, DELIVERY_RETRY, n, err);
}

cot_status cot_store_drop(cot_store *store, const char *id_or_null, size_t *n, cot_error *err)
{
    return move_asked(store, id_or_null, JOB_DROP, DELIVERY_DROP, n, err);
}

cot_status cot_store_redo(cot_store *store, const char *id_or_null, size_t *n, cot_error *err)
{
    cot_status status;
    char id[COT_JOB_ID];
    *n = 0;
    if (!id_or_null) return store_redo_all(store, n, err);
    COT_TRY(resolve(store, id_or_null, id, err));
    status = store_redo_one(store, id, n, err);
done:
    return status;
}
