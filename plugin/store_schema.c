/* The tables. A job is an image; a reading is what was said about it; a delivery is a report on its way to one
 * destination. A study of which one report is made is a job too, its images are its members. Large texts live in `reading`, so that walking the queue touches small rows only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

static const char schema[] =
    "CREATE TABLE job("
    " id TEXT PRIMARY KEY NOT NULL, state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 4),"
    " kept INTEGER NOT NULL DEFAULT 1," /* the image file is still there */
    " sop_class TEXT NOT NULL, sop_instance TEXT NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL,"
    " dataset_sha256 TEXT NOT NULL, calling TEXT NOT NULL, host TEXT NOT NULL,"
    " received_us INTEGER NOT NULL, changed_us INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,"
    " alone INTEGER NOT NULL DEFAULT 0," /* comes alone: trouble in a batch, not counted as a death */
    " predecessor TEXT REFERENCES job(id), reason TEXT NOT NULL DEFAULT '',"
    " owner TEXT NOT NULL DEFAULT '', owner_pid INTEGER NOT NULL DEFAULT 0,"
    " images INTEGER NOT NULL DEFAULT 0,"                                /* of a study's job; 0: it is an image */
    " due INTEGER NOT NULL DEFAULT 0, turn INTEGER NOT NULL DEFAULT 0);" /* for its study's report; readings asked for */
    "CREATE TABLE member(study_job TEXT NOT NULL REFERENCES job(id), job TEXT NOT NULL REFERENCES job(id),"
    " PRIMARY KEY(study_job, job)) WITHOUT ROWID;"
    "CREATE INDEX member_job ON member(job);"
    "CREATE INDEX job_due ON job(study) WHERE due=1;"
    "CREATE INDEX job_state ON job(state, received_us);"
    "CREATE INDEX job_study ON job(study, received_us);"
    "CREATE INDEX job_sop ON job(sop_instance, dataset_sha256);"
    "CREATE TABLE reading("
    " job TEXT PRIMARY KEY NOT NULL REFERENCES job(id), report TEXT NOT NULL," /* the reading report */
    " sop_instance TEXT NOT NULL, series TEXT NOT NULL, made_us INTEGER NOT NULL, chain TEXT NOT NULL);"
    "CREATE TABLE delivery("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job(id), destination TEXT NOT NULL,"
    " kind TEXT NOT NULL, report TEXT NOT NULL, fallback TEXT,"
    " state INTEGER NOT NULL CHECK(state BETWEEN 0 AND 4),"
    " attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,"
    " next_us INTEGER NOT NULL, first_us INTEGER NOT NULL, changed_us INTEGER NOT NULL,"
    " dimse INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL DEFAULT '',"
    " owner TEXT NOT NULL DEFAULT '', owner_pid INTEGER NOT NULL DEFAULT 0, UNIQUE(job, destination, kind));"
    "CREATE INDEX delivery_due ON delivery(state, destination, next_us);"
    "CREATE INDEX delivery_changed ON delivery(state, destination, changed_us);";

static cot_status execute(cot_store *store, const char *sql, cot_error *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? COT_OK : store_failure(store, "set up", err);
}

static cot_status number(cot_store *store, const char *sql, long long *out, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return store_failure(store, "read its version", err);
    bool row;
    COT_TRY(store_step(store, stmt, &row, err));
    *out = row ? sqlite3_column_int64(stmt, 0) : 0;
done:
    sqlite3_finalize(stmt);
    return status;
}

static cot_status check_version(cot_store *store, bool *empty, cot_error *err)
{
    cot_status status;
    long long version = 0, tables = 0;
    COT_TRY(number(store, "PRAGMA user_version", &version, err));
    COT_TRY(number(store, "SELECT count(*) FROM sqlite_schema", &tables, err));
    *empty = version == 0 && tables == 0;
    if (!*empty && version != STORE_SCHEMA)
        status = cot_fail(err, COT_E_REFUSED,
                          "database %s/db has version %lld, this program knows version %d: run the program "
                          "that made it until its queue is empty, or give this one another <store> folder",
                          store->folder, version, STORE_SCHEMA);
done:
    return status;
}

/* Two processes may open a new folder at once: the second finds the tables when it gets the write lock. */
static cot_status create_tables(cot_store *store, cot_error *err)
{
    char version[64];
    cot_status status = execute(store, "BEGIN IMMEDIATE", err);
    if (status != COT_OK) return status;
    bool empty = false;
    COT_TRY(check_version(store, &empty, err));
    if (empty) {
        COT_TRY(execute(store, schema, err));
        snprintf(version, sizeof version, "PRAGMA user_version=%d", STORE_SCHEMA);
        COT_TRY(execute(store, version, err));
    }
done:
    status = store_end(store, status, err);
    return status == COT_OK ? store_sync_folder(store->folder, err) : status;
}

cot_status store_schema_ensure(cot_store *store, cot_error *err)
{
    cot_status status;
    bool empty = false;
    COT_TRY(check_version(store, &empty, err)); /* before anything is written to a stranger's file */
    COT_TRY(execute(store,
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                    "PRAGMA trusted_schema=OFF",
                    err));
    if (empty) COT_TRY(create_tables(store, err));
done:
    return status;
}
