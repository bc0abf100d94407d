/* One report per study: when all images of a study have been read, a job of its own is made that stands for them. From then on
 * it goes the way of any job, so that a kill at any moment loses no report and makes none twice. A late image, or one that was
 * read again, makes a new job whose predecessor is the former; one that nobody has begun yet is dropped for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read, not yet in a study's report, and no other image of the study on its way. */
#define DUE                                                                                                            \
    "SELECT j.study FROM job j WHERE j.due=1 AND NOT EXISTS (SELECT 1 FROM job s WHERE s.study=j.study AND s.images=0" \
    " AND s.state IN (?1,?2)) LIMIT 1"
/* Of an image that came again with other bytes, the last. */
#define MEMBERS                                                                                                        \
    " FROM job j JOIN reading r ON r.job=j.id WHERE j.study=?1 AND j.images=0 AND j.state=?2 AND j.kept=1"             \
    " AND NOT EXISTS (SELECT 1 FROM job k WHERE k.sop_instance=j.sop_instance AND k.rowid>j.rowid AND k.state=?2)"

static cot_status find_due(cot_store *store, char study[65], cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    study[0] = 0;
    COT_TRY(store_query(&stmt, store, err, DUE, "ii", (long long)COT_JOB_RECEIVED, (long long)COT_JOB_READING));
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) store_text(study, 65, stmt, 0);
    sqlite3_reset(stmt);
done:
    return status;
}

/* Study jobs that nobody has begun: what stands for more images replaces them. */
static cot_status drop_waiting(cot_store *store, const char *study, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row = true;
    char id[COT_JOB_ID];
    for (;;) {
        COT_TRY(store_query(&stmt, store, err, "SELECT id FROM job WHERE study=?1 AND images>0 AND state=?2 LIMIT 1",
                            "si", study, (long long)COT_JOB_RECEIVED));
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        store_text(id, sizeof id, stmt, 0);
        sqlite3_reset(stmt);
        COT_TRY(store_move_job(store, id, JOB_DROP, err));
        COT_TRY(store_run(store, err, "UPDATE job SET reason=?2 WHERE id=?1", "ss", id,
                          "the study has more images now: see its later job"));
    }
done:
    return status;
}

static cot_status count_members(cot_store *store, const char *study, long long *n, long long *last_us, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err, "SELECT count(*), max(j.received_us)" MEMBERS, "si", study,
                        (long long)COT_JOB_REPORTED));
    COT_TRY(store_step(store, stmt, &row, err));
    *n = row ? sqlite3_column_int64(stmt, 0) : 0;
    *last_us = row ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
done:
    return status;
}

static cot_status make_study(cot_store *store, const char *study, cot_error *err)
{
    cot_status status;
    char id[COT_JOB_ID];
    long long n = 0, last_us = 0;
    COT_TRY(store_make_id(id, err));
    COT_TRY(count_members(store, study, &n, &last_us, err));
    COT_TRY(drop_waiting(store, study, err));
    STORE_POINT("gather: dropped");
    if (n > 0) {
        COT_TRY(store_run(
            store, err,
            "INSERT INTO job(id, state, kept, sop_class, sop_instance, study, series, dataset_sha256, calling, host,"
            " received_us, changed_us, predecessor, images) VALUES(?1,?2,0,'','',?3,'','','','',?4,?5,"
            " (SELECT id FROM job WHERE study=?3 AND images>0 AND state<>?6 ORDER BY rowid DESC LIMIT 1),?7)",
            "sisiiii", id, (long long)COT_JOB_RECEIVED, study, last_us, (long long)cot_now_us(),
            (long long)COT_JOB_DROPPED, n));
        STORE_POINT("gather: inserted");
        COT_TRY(store_run(store, err, "INSERT INTO member(study_job, job) SELECT ?3, j.id" MEMBERS, "sis", study,
                          (long long)COT_JOB_REPORTED, id));
    }
    COT_TRY(store_run(store, err, "UPDATE job SET due=0 WHERE study=?1 AND due=1", "s", study));
    STORE_POINT("gather: not due");
done:
    return status;
}

cot_status cot_store_gather(cot_store *store, size_t *n, cot_error *err)
{
    cot_status status;
    char study[65];
    *n = 0;
    for (;;) {
        COT_TRY(find_due(store, study, err)); /* looking first: an idle worker takes no write lock */
        if (!study[0]) break;
        COT_TRY(store_begin(store, err));
        status = find_due(store, study, err);
        if (status == COT_OK && study[0]) status = make_study(store, study, err);
        COT_TRY(store_end(store, status, err));
        *n += study[0] != 0;
    }
done:
    return status;
}

/* ---- its images ---- */
cot_status cot_store_members(cot_store *store, const char *study_job, cot_job **members, size_t *n, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    size_t room = 0;
    *members = NULL;
    *n = 0;
    COT_TRY(store_query(&stmt, store, err,
                        JOB_SELECT "JOIN member m ON m.job=j.id WHERE m.study_job=?1 ORDER BY j.rowid", "s",
                        study_job));
    for (;;) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        if (*n == room) {
            room = room ? 2 * room : 4;
            cot_job *more = realloc(*members, room * sizeof *more);
            if (!more) {
                status = cot_fail(err, COT_E_MEMORY, "job %s: no memory for its %zu images", study_job, room);
                goto done;
            }
            *members = more;
        }
        COT_TRY(store_read_job(store, &(*members)[*n], stmt, err));
        ++*n;
    }
done:
    if (stmt) sqlite3_reset(stmt);
    if (status != COT_OK) {
        free(*members);
        *members = NULL;
        *n = 0;
    }
    return status;
}

/* ---- reading again ---- */
static bool is_there(const cot_job *job)
{
    return job->object[0] && access(job->object, R_OK) == 0;
}

/* Inside a transaction. The reports of the new reading lie beside the old, which they name. */
static cot_status read_again(cot_store *store, const cot_job *job, cot_error *err)
{
    cot_status status;
    COT_TRY(store_redo(store, job->id, err));
    status = store_run(store, err, "UPDATE job SET turn=turn+1, due=0 WHERE id=?1", "s", job->id);
done:
    return status;
}

static cot_status read_members_again(cot_store *store, const char *study_job, size_t *moved, cot_error *err)
{
    cot_status status;
    cot_job *members = NULL;
    size_t n = 0;
    COT_TRY(cot_store_members(store, study_job, &members, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (members[i].state != COT_JOB_REPORTED || !is_there(&members[i])) continue;
        COT_TRY(read_again(store, &members[i], err));
        ++*moved;
    }
    if (*moved == 0)
        status =
            cot_fail(err, COT_E_REFUSED, "job %s: none of its images can be read again: send them again", study_job);
done:
    free(members);
    return status;
}

cot_status cot_store_stale(cot_store *store, const char *study_job, cot_error *err)
{
    size_t moved = 0;
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    COT_TRY(store_move_job(store, study_job, JOB_RELEASE, err));
    COT_TRY(store_move_job(store, study_job, JOB_DROP, err));
    COT_TRY(store_run(store, err, "UPDATE job SET reason=?2 WHERE id=?1", "ss", study_job,
                      "its images are read again, by one model: see its later job"));
    status = read_members_again(store, study_job, &moved, err);
done:
    return store_end(store, status, err);
}

/* The latest study job that stands for the image, or "". */
static cot_status study_of(cot_store *store, const char *job, char id[COT_JOB_ID], cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    id[0] = 0;
    COT_TRY(store_query(&stmt, store, err,
                        "SELECT m.study_job FROM member m JOIN job s ON s.id=m.study_job WHERE m.job=?1 AND s.state<>?2"
                        " ORDER BY s.rowid DESC LIMIT 1",
                        "si", job, (long long)COT_JOB_DROPPED));
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) store_text(id, COT_JOB_ID, stmt, 0);
    sqlite3_reset(stmt);
done:
    return status;
}

static cot_status is_sending(cot_store *store, const char *job, bool *sending, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    COT_TRY(store_query(&stmt, store, err, "SELECT 1 FROM delivery WHERE job=?1 AND state=?2", "si", job,
                        (long long)COT_DELIVERY_SENDING));
    COT_TRY(store_step(store, stmt, sending, err));
    sqlite3_reset(stmt);
done:
    return status;
}

/* Inside a transaction. */
static cot_status redo_job(cot_store *store, const cot_job *job, size_t *moved, cot_error *err)
{
    cot_status status;
    char study[COT_JOB_ID] = "";
    bool sending = false;
    COT_TRY(is_sending(store, job->id, &sending, err));
    if (job->state != COT_JOB_REPORTED || sending)
        return cot_fail(err, COT_E_REFUSED, "job %s is %s: only what is reported can be read again", job->id,
                        sending ? "being sent" : cot_job_state_name(job->state));
    if (job->images) return read_members_again(store, job->id, moved, err);
    COT_TRY(study_of(store, job->id, study, err));
    if (study[0]) return read_members_again(store, study, moved, err); /* one model for a study's report */
    if (!is_there(job))
        return cot_fail(err, COT_E_REFUSED, "job %s: its image is no longer here: send it again", job->id);
    COT_TRY(read_again(store, job, err));
    ++*moved;
done:
    return status;
}

cot_status store_redo_one(cot_store *store, const char *id, size_t *n, cot_error *err)
{
    cot_status status = store_begin(store, err);
    cot_job job;
    if (status != COT_OK) return status;
    COT_TRY(store_job_get(store, id, &job, err));
    status = redo_job(store, &job, n, err);
done:
    return store_end(store, status, err);
}

/* Images of the newest bytes that can be read again, one after the other; what cannot is passed over. */
cot_status store_redo_all(cot_store *store, size_t *n, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    char id[COT_JOB_ID];
    bool row;
    for (long long last = 0;;) {
        COT_TRY(
            store_query(&stmt, store, err,
                        "SELECT j.rowid, j.id FROM job j WHERE j.rowid>?1 AND j.state=?2 AND j.images=0 AND j.kept=1"
                        " AND NOT EXISTS (SELECT 1 FROM job k WHERE k.sop_instance=j.sop_instance"
                        " AND k.rowid>j.rowid AND k.state<>?3) ORDER BY j.rowid LIMIT 1",
                        "iii", last, (long long)COT_JOB_REPORTED, (long long)COT_JOB_DROPPED));
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row) break;
        last = sqlite3_column_int64(stmt, 0);
        store_text(id, sizeof id, stmt, 1);
        sqlite3_reset(stmt);
        status = store_redo_one(store, id, n, err);
        if (status != COT_OK && status != COT_E_REFUSED) goto done;
    }
done:
    return status;
}
