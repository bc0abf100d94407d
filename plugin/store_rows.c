/* Rows of the database as plain structs. Paths are made here from job ids: the database holds none, so that a store can
 * be moved as a folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <string.h>

void store_object_path(const cot_store *store, const char *job, char *path, size_t size)
{
    snprintf(path, size, "%s/objects/%s.dcm", store->folder, job);
}

void cot_store_report_path(const cot_store *store, const char *job, const char *kind, char *path, size_t size)
{
    snprintf(path, size, "%s/reports/%s-%s.dcm", store->folder, job, kind);
}

/* A report's column holds its name in reports/, or a path when the caller kept it elsewhere. */
static void report_path(const cot_store *store, char *path, size_t size, sqlite3_stmt *stmt, int column)
{
    const char *name = (const char *)sqlite3_column_text(stmt, column);
    if (!name || !name[0])
        path[0] = 0;
    else if (strchr(name, '/'))
        snprintf(path, size, "%s", name);
    else
        snprintf(path, size, "%s/reports/%s", store->folder, name);
}

/* The report that a new one replaces: that of the nearest earlier reading, also when a job between them failed. */
static cot_status read_predecessor_report(cot_store *store, cot_job *job, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(
        &stmt, store, err,
        "WITH RECURSIVE line(id, depth) AS (SELECT ?1, 0 UNION ALL SELECT j.predecessor, depth+1 FROM line"
        " JOIN job j ON j.id=line.id WHERE j.predecessor IS NOT NULL AND depth<64)"
        " SELECT r.report FROM line JOIN reading r ON r.job=line.id WHERE r.report<>'' ORDER BY depth LIMIT 1",
        "s", job->predecessor));
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) report_path(store, job->predecessor_report, sizeof job->predecessor_report, stmt, 0);
    sqlite3_reset(stmt);
done:
    return status;
}

cot_status store_read_job(cot_store *store, cot_job *job, sqlite3_stmt *stmt, cot_error *err)
{
    memset(job, 0, sizeof *job);
    store_text(job->id, sizeof job->id, stmt, 0);
    job->state = (cot_job_state)sqlite3_column_int(stmt, 1);
    if (sqlite3_column_int(stmt, 2)) store_object_path(store, job->id, job->object, sizeof job->object);
    store_text(job->sop_class, sizeof job->sop_class, stmt, 3);
    store_text(job->sop_instance, sizeof job->sop_instance, stmt, 4);
    store_text(job->study, sizeof job->study, stmt, 5);
    store_text(job->series, sizeof job->series, stmt, 6);
    store_text(job->dataset_sha256, sizeof job->dataset_sha256, stmt, 7);
    store_text(job->calling, sizeof job->calling, stmt, 8);
    store_text(job->host, sizeof job->host, stmt, 9);
    job->received_us = sqlite3_column_int64(stmt, 10);
    job->changed_us = sqlite3_column_int64(stmt, 11);
    job->attempts = store_unsigned(stmt, 12);
    store_text(job->predecessor, sizeof job->predecessor, stmt, 13);
    store_text(job->reason, sizeof job->reason, stmt, 14);
    store_text(job->owner, sizeof job->owner, stmt, 15);
    report_path(store, job->report, sizeof job->report, stmt, 16);
    job->alone = sqlite3_column_int(stmt, 17) != 0;
    job->images = store_unsigned(stmt, 18);
    job->turn = store_unsigned(stmt, 19);
    return job->predecessor[0] ? read_predecessor_report(store, job, err) : COT_OK;
}

void store_read_delivery(const cot_store *store, cot_delivery *d, sqlite3_stmt *stmt)
{
    memset(d, 0, sizeof *d);
    d->id = sqlite3_column_int64(stmt, 0);
    store_text(d->job, sizeof d->job, stmt, 1);
    store_text(d->destination, sizeof d->destination, stmt, 2);
    d->state = (cot_delivery_state)sqlite3_column_int(stmt, 3);
    report_path(store, d->report, sizeof d->report, stmt, 4);
    report_path(store, d->fallback, sizeof d->fallback, stmt, 5);
    d->attempts = store_unsigned(stmt, 6);
    d->next_us = sqlite3_column_int64(stmt, 7);
    d->first_us = sqlite3_column_int64(stmt, 8);
    d->changed_us = sqlite3_column_int64(stmt, 9);
    d->dimse = store_unsigned(stmt, 10);
    store_text(d->text, sizeof d->text, stmt, 11);
    store_text(d->owner, sizeof d->owner, stmt, 12);
    store_text(d->kind, sizeof d->kind, stmt, 13);
}

cot_status store_job_get(cot_store *store, const char *id, cot_job *out, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err, JOB_SELECT "WHERE j.id=?1", "s", id));
    COT_TRY(store_step(store, stmt, &row, err));
    if (!row) return cot_fail(err, COT_E_REFUSED, "no job %s in %s", id, store->folder);
    status = store_read_job(store, out, stmt, err);
    sqlite3_reset(stmt);
done:
    return status;
}
