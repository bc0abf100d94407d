/* Making room: images whose work has ended long ago, and files that no row knows. Rows, readings and reports stay: they
 * answer duplicates and name predecessors. A row forgets its image before the image is removed, so that a crash between
 * leaves an orphan for the next purge, never a row that points to nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK          200
#define ORPHAN_AFTER_S 3600 /* younger files may be on their way in, or a report about to be recorded */

/* An image is needed as long as its study's report is on its way. Ended: reported or dropped, nothing waiting or sending, no change since the cutoff. Failed jobs keep their image: retry
 * needs it. Walked by rowid, so that what must stay is looked at once and not again for every chunk. */
#define ENDED                                                                                                          \
    "SELECT j.rowid, j.id FROM job j NOT INDEXED WHERE j.rowid>?6 AND j.kept=1 AND j.state IN (?1,?2)"                 \
    " AND j.changed_us<?3 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.job=j.id AND (d.state IN (?4,?5)"           \
    " OR d.changed_us>=?3)) AND j.due=0 AND NOT EXISTS (SELECT 1 FROM member m JOIN job s ON s.id=m.study_job"         \
    " LEFT JOIN delivery e ON e.job=s.id WHERE m.job=j.id AND s.state<>?2 AND (s.state<>?1 OR s.changed_us>=?3"        \
    " OR e.state IN (?4,?5) OR e.changed_us>=?3)) ORDER BY j.rowid LIMIT ?7"

/* The next chunk after *last. */
static cot_status list_ended(cot_store *store, int64_t before_us, int64_t *last, char (*ids)[COT_JOB_ID], size_t *n,
                             cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    COT_TRY(store_query(&stmt, store, err, ENDED, "iiiiiii", (long long)COT_JOB_REPORTED, (long long)COT_JOB_DROPPED,
                        (long long)before_us, (long long)COT_DELIVERY_WAITING, (long long)COT_DELIVERY_SENDING,
                        (long long)*last, (long long)CHUNK));
    for (*n = 0;; (*n)++) {
        COT_TRY(store_step(store, stmt, &row, err));
        if (!row || *n == CHUNK) break;
        *last = sqlite3_column_int64(stmt, 0);
        store_text(ids[*n], COT_JOB_ID, stmt, 1);
    }
done:
    return status;
}

static cot_status forget_chunk(cot_store *store, char (*ids)[COT_JOB_ID], size_t n, cot_error *err)
{
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    for (size_t i = 0; i < n; i++) {
        COT_TRY(store_run(store, err, "UPDATE job SET kept=0 WHERE id=?1 AND state IN (?2,?3)", "sii", ids[i],
                          (long long)COT_JOB_REPORTED, (long long)COT_JOB_DROPPED));
        if (sqlite3_changes(store->db) == 0) ids[i][0] = 0; /* received again meanwhile */
    }
done:
    return store_end(store, status, err);
}

/* Under the write lock, so that the same image cannot be received again between the look and the removal. */
static cot_status remove_forgotten(cot_store *store, const char *id, size_t *removed, cot_error *err)
{
    char path[STORE_FOLDER + 64];
    sqlite3_stmt *stmt;
    bool forgotten = false;
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    store_object_path(store, id, path, sizeof path);
    COT_TRY(store_query(&stmt, store, err, "SELECT 1 FROM job WHERE id=?1 AND kept=0", "s", id));
    COT_TRY(store_step(store, stmt, &forgotten, err));
    sqlite3_reset(stmt);
    if (forgotten && unlink(path) == 0) (*removed)++;
done:
    return store_end(store, status, err);
}

static cot_status purge_images(cot_store *store, double keep_days, size_t *removed, cot_error *err)
{
    cot_status status;
    char ids[CHUNK][COT_JOB_ID];
    size_t n = 0;
    int64_t last = 0;
    const int64_t before_us = cot_now_us() - (int64_t)(keep_days * 86400e6);
    do {
        COT_TRY(list_ended(store, before_us, &last, ids, &n, err));
        if (n > 0) COT_TRY(forget_chunk(store, ids, n, err));
        for (size_t i = 0; i < n; i++) {
            STORE_POINT("purge: forgotten");
            if (ids[i][0]) COT_TRY(remove_forgotten(store, ids[i], removed, err));
        }
    } while (n == CHUNK);
done:
    return status;
}

/* Does a row know this file? `sql` is asked with the job id, which the name begins with. NULL: never. */
static cot_status is_known(cot_store *store, const char *sql, const char *name, bool *known, cot_error *err)
{
    cot_status status = COT_OK;
    sqlite3_stmt *stmt;
    char id[256];
    const size_t n = strlen(name);
    *known = false;
    if (!sql || n < 4 || n >= sizeof id || strcmp(name + n - 4, ".dcm") != 0)
        return COT_OK; /* a draft left by a crash */
    memcpy(id, name, n + 1);
    id[strcspn(id, ".-")] = 0;
    COT_TRY(store_query(&stmt, store, err, sql, "s", id));
    COT_TRY(store_step(store, stmt, known, err));
    sqlite3_reset(stmt);
done:
    return status;
}

static cot_status purge_orphans(cot_store *store, const char *inside, const char *sql, size_t *removed, cot_error *err)
{
    cot_status status = COT_OK;
    char folder[STORE_FOLDER + 16];
    snprintf(folder, sizeof folder, "%s/%s", store->folder, inside);
    DIR *dir = opendir(folder);
    if (!dir) return cot_fail(err, COT_E_IO, "open folder %s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        bool known = false;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
        if ((int64_t)st.st_mtime * 1000000 > cot_now_us() - ORPHAN_AFTER_S * (int64_t)1000000) continue;
        COT_TRY(is_known(store, sql, entry->d_name, &known, err));
        if (!known && unlinkat(dirfd(dir), entry->d_name, 0) == 0) (*removed)++;
    }
done:
    closedir(dir);
    return status;
}

cot_status cot_store_purge(cot_store *store, double keep_days, size_t *n, cot_error *err)
{
    cot_status status;
    *n = 0;
    COT_TRY(purge_images(store, keep_days, n, err));
    if (store->lock_fd < 0) goto done; /* only the supervisor may judge a file to be nobody's */
    COT_TRY(purge_orphans(store, "incoming", NULL, n, err));
    COT_TRY(purge_orphans(store, "objects", "SELECT 1 FROM job WHERE id=?1 AND kept=1", n, err));
    COT_TRY(purge_orphans(store, "reports", "SELECT 1 FROM reading WHERE job=?1", n, err));
done:
    return status;
}
