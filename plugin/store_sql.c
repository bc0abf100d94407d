/* Statements and transactions over SQLite, and what its errors mean to a person. Statements are prepared once per handle
 * and kept by the address of their text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

cot_status store_disk_full(const cot_store *store, const char *what, size_t needed_mib, cot_error *err)
{
    struct statvfs fs;
    const unsigned long long free_mib =
        statvfs(store->folder, &fs) == 0 ? (unsigned long long)fs.f_bavail * fs.f_frsize >> 20 : 0;
    if (needed_mib <= free_mib) needed_mib = (size_t)free_mib + 1; /* a quota can bite before the disk is full */
    return cot_fail(err, COT_E_LIMIT, "%s: disk full: free %llu MiB, needed %zu MiB in %s. Free space there", what,
                    free_mib, needed_mib, store->folder);
}

cot_status store_failure(cot_store *store, const char *what, cot_error *err)
{
    if (!store->db) return cot_fail(err, COT_E_MEMORY, "database: no memory");
    const int code = sqlite3_extended_errcode(store->db), system = sqlite3_system_errno(store->db);
    const int kind = code & 0xff;
    const bool io = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN;
    if (kind == SQLITE_FULL || (io && (system == ENOSPC || system == EDQUOT)))
        return store_disk_full(store, what, store->watermark_mib, err);
    if (kind == SQLITE_NOMEM) return cot_fail(err, COT_E_MEMORY, "database: %s: no memory", what);
    if (kind == SQLITE_BUSY)
        return cot_fail(err, COT_E_IO, "database %s/db: %s: another process kept it locked for 10 s", store->folder,
                        what);
    if (kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT)
        return cot_fail(err, COT_E_IO,
                        "database %s/db is damaged or not a database (%s): stop the node and put a copy back, or "
                        "move the folder away to begin empty",
                        store->folder, sqlite3_errmsg(store->db));
    return cot_fail(err, COT_E_IO, "database %s/db: %s: %s%s%s", store->folder, what, sqlite3_errmsg(store->db),
                    system ? ": " : "", system ? strerror(system) : "");
}

static cot_status prepare(sqlite3_stmt **out, cot_store *store, const char *sql, cot_error *err)
{
    if (store->pid != (long)getpid())
        return cot_fail(err, COT_E_BUG, "store opened in process %ld, used in %ld: open it after the fork", store->pid,
                        (long)getpid());
    for (size_t i = 0; i < store->n_statements; i++)
        if (store->statements[i].sql == sql) {
            *out = store->statements[i].stmt;
            sqlite3_reset(*out);
            return COT_OK;
        }
    if (store->n_statements == STORE_STATEMENTS)
        return cot_fail(err, COT_E_BUG, "more than %d SQL statements", STORE_STATEMENTS);
    if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return store_failure(store, sql, err);
    store->statements[store->n_statements].sql = sql;
    store->statements[store->n_statements++].stmt = *out;
    return COT_OK;
}

static cot_status bind(sqlite3_stmt *stmt, cot_store *store, const char *types, va_list values, cot_error *err)
{
    for (int i = 0; types[i]; i++) {
        const int code = types[i] == 's'
                             ? sqlite3_bind_text(stmt, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT)
                             : sqlite3_bind_int64(stmt, i + 1, va_arg(values, long long));
        if (code != SQLITE_OK) return store_failure(store, "bind", err);
    }
    return COT_OK;
}

cot_status store_query(sqlite3_stmt **out, cot_store *store, cot_error *err, const char *sql, const char *types, ...)
{
    cot_status status;
    va_list values;
    va_start(values, types);
    COT_TRY(prepare(out, store, sql, err));
    status = bind(*out, store, types, values, err);
done:
    va_end(values);
    return status;
}

cot_status store_step(cot_store *store, sqlite3_stmt *stmt, bool *row, cot_error *err)
{
    const int code = sqlite3_step(stmt);
    *row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) return COT_OK;
    const cot_status status = code == SQLITE_DONE ? COT_OK : store_failure(store, sqlite3_sql(stmt), err);
    sqlite3_reset(stmt);
    return status;
}

cot_status store_run(cot_store *store, cot_error *err, const char *sql, const char *types, ...)
{
    cot_status status;
    sqlite3_stmt *stmt = NULL;
    bool row;
    va_list values;
    va_start(values, types);
    COT_TRY(prepare(&stmt, store, sql, err));
    COT_TRY(bind(stmt, store, types, values, err));
    COT_TRY(store_step(store, stmt, &row, err));
    sqlite3_reset(stmt);
done:
    va_end(values);
    return status;
}

cot_status store_begin(cot_store *store, cot_error *err)
{
    return store_run(store, err, "BEGIN IMMEDIATE", "");
}

cot_status store_end(cot_store *store, cot_status status, cot_error *err)
{
    STORE_POINT("before commit");
    if (status == COT_OK) status = store_run(store, err, "COMMIT", "");
    /* the first error is the one to tell; SQLite may have rolled back already */
    if (status != COT_OK && !sqlite3_get_autocommit(store->db)) store_run(store, NULL, "ROLLBACK", "");
    STORE_POINT("after commit");
    return status;
}

void store_text(char *to, size_t size, sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    snprintf(to, size, "%s", text ? (const char *)text : "");
}

unsigned store_unsigned(sqlite3_stmt *stmt, int column)
{
    return (unsigned)sqlite3_column_int64(stmt, column);
}
