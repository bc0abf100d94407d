/* Shared between the store's files: the handle, statements, transactions, and the two tables of transitions.
 * Only store_move_job and store_move_delivery ever write a `state` column.
 * Threads: as store.h. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_STORE_INTERNAL_H
#define COT_STORE_INTERNAL_H
#include "plugin/store.h"

#include <sqlite3.h>

#define STORE_SCHEMA     4  /* PRAGMA user_version; states are stored as their enum values */
#define STORE_STATEMENTS 96 /* distinct SQL texts in these files are fewer */
#define STORE_DEATHS     3  /* a job or delivery whose process died this often is parked */
#define STORE_CLAIMS     16 /* the same for a job during which the whole node went down */
#define STORE_FOLDER     900

struct cot_store {
    char folder[STORE_FOLDER]; /* absolute */
    sqlite3 *db;
    long pid; /* a handle must not cross a fork: SQLite's locks do not */
    int lock_fd;
    size_t watermark_mib; /* last one asked for, named when the disk is full */
    unsigned counter;
    size_t n_statements;
    struct {
        const char *sql;
        sqlite3_stmt *stmt;
    } statements[STORE_STATEMENTS];
};

/* ---- statements (store_sql.c) ----
 * `sql` must be a string literal: prepared statements are kept by its address. `types`: a letter per value,
 * s = const char * (NULL is SQL NULL), i = long long. */
cot_status store_query(sqlite3_stmt **out, cot_store *store, cot_error *err, const char *sql, const char *types, ...);
cot_status store_run(cot_store *store, cot_error *err, const char *sql, const char *types, ...);
cot_status store_step(cot_store *store, sqlite3_stmt *stmt, bool *row, cot_error *err); /* resets stmt at its end */
cot_status store_begin(cot_store *store, cot_error *err);                               /* BEGIN IMMEDIATE */
/* Commits when status is COT_OK, else rolls back; returns what holds now. */
cot_status store_end(cot_store *store, cot_status status, cot_error *err);
cot_status store_failure(cot_store *store, const char *what, cot_error *err); /* from SQLite's last error */
cot_status store_disk_full(const cot_store *store, const char *what, size_t needed_mib, cot_error *err);
void store_text(char *to, size_t size, sqlite3_stmt *stmt, int column);
unsigned store_unsigned(sqlite3_stmt *stmt, int column);

cot_status store_schema_ensure(cot_store *store, cot_error *err); /* store_schema.c */
cot_status store_sync_folder(const char *folder, cot_error *err); /* store_door.c */

/* ---- transitions (store.c) ---- */
typedef enum job_event {
    JOB_CLAIM,
    JOB_RELEASE,
    JOB_REPORT,
    JOB_GIVE_UP,
    JOB_RETRY,
    JOB_DROP,
    JOB_REDO, /* its report file is gone, or the image came again after a failure */
    JOB_EVENTS
} job_event;
typedef enum delivery_event {
    DELIVERY_TAKE,
    DELIVERY_RELEASE,
    DELIVERY_ACCEPTED,
    DELIVERY_AGAIN,
    DELIVERY_GIVE_UP,
    DELIVERY_RETRY,
    DELIVERY_DROP,
    DELIVERY_UNWANTED, /* the peer takes no report of this kind */
    DELIVERY_PARK,     /* its report failed lint */
    DELIVERY_RENEW,    /* read again by request: another report takes its place */
    DELIVERY_EVENTS
} delivery_event;
int store_job_next(job_event event, cot_job_state state);                /* -1: not allowed */
int store_delivery_next(delivery_event event, cot_delivery_state state); /* -1: not allowed */
/* Inside a transaction. COT_E_REFUSED: unknown id, or the table has no such transition; nothing is changed then. */
cot_status store_move_job(cot_store *store, const char *id, job_event event, cot_error *err);
cot_status store_move_delivery(cot_store *store, int64_t id, delivery_event event, cot_error *err);

/* ---- rows (store_rows.c) ---- */
#define JOB_SELECT                                                                                                     \
    "SELECT j.id, j.state, j.kept, j.sop_class, j.sop_instance, j.study, j.series, j.dataset_sha256, j.calling,"       \
    " j.host, j.received_us, j.changed_us, j.attempts, j.predecessor, j.reason, j.owner, r.report, j.alone,"           \
    " j.images, j.turn"                                                                                                \
    " FROM job j LEFT JOIN reading r ON r.job=j.id "
#define DELIVERY_SELECT                                                                                                \
    "SELECT d.id, d.job, d.destination, d.state, d.report, d.fallback, d.attempts, d.next_us, d.first_us,"             \
    " d.changed_us, d.dimse, d.text, d.owner, d.kind FROM delivery d "
cot_status store_read_job(cot_store *store, cot_job *job, sqlite3_stmt *stmt, cot_error *err);
void store_read_delivery(const cot_store *store, cot_delivery *delivery, sqlite3_stmt *stmt);
cot_status store_job_get(cot_store *store, const char *id, cot_job *out, cot_error *err);
/* Reported, but the report's file is no longer in the folder. */
bool store_report_is_gone(const cot_job *job);
bool store_file_is_gone(const char *path);
/* Inside a transaction, image in place: to be read (again) as if just received; dead deliveries wait for the new report. */
cot_status store_redo(cot_store *store, const char *id, cot_error *err); /* store_redo.c */
/* Reported images read again by request (store_study.c); *n counts up. */
cot_status store_redo_one(cot_store *store, const char *id, size_t *n, cot_error *err);
cot_status store_redo_all(cot_store *store, size_t *n, cot_error *err);
cot_status store_make_id(char id[COT_JOB_ID], cot_error *err); /* store_door.c */
void store_object_path(const cot_store *store, const char *job, char *path, size_t size);

/* ---- for tests ---- */
extern void (*store_test_point)(const char *where); /* called between steps that a crash could separate */
extern int64_t (*store_test_clock)(void);           /* replaces the clock of cot_now_us */
#define STORE_POINT(where)                                                                                             \
    do {                                                                                                               \
        if (store_test_point) store_test_point(where);                                                                 \
    } while (0)
#endif
