/* The front door's side of the store: where the next object goes, and making it durable. An object becomes a job in this
 * order: bytes synced, renamed into objects/, folder synced, row committed. A crash before the commit leaves a file without
 * a row, which purge removes; the peer was not told "success" and sends again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

static cot_status random_number(uint64_t *out, cot_error *err)
{
    if (getrandom(out, sizeof *out, 0) == (ssize_t)sizeof *out) return COT_OK;
    return cot_fail(err, COT_E_IO, "random numbers: %s", strerror(errno));
}

/* Random first, so that a few characters tell jobs apart; then the time in units of 16 s. 23 characters. */
cot_status store_make_id(char id[COT_JOB_ID], cot_error *err)
{
    uint64_t random = 0;
    const cot_status status = random_number(&random, err);
    const unsigned when = (unsigned)(cot_now_us() / 16000000) & 0xfffffffu;
    snprintf(id, COT_JOB_ID, "%016llx%07x", (unsigned long long)random, when);
    return status;
}

static cot_status io_failure(const cot_store *store, const char *what, const char *path, size_t bytes, cot_error *err)
{
    if (errno == ENOSPC || errno == EDQUOT) {
        const size_t mib = (bytes >> 20) + 1;
        return store_disk_full(store, what, mib > store->watermark_mib ? mib : store->watermark_mib, err);
    }
    return cot_fail(err, COT_E_IO, "%s %s: %s", what, path, strerror(errno));
}

cot_status store_sync_folder(const char *folder, cot_error *err)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open folder %s: %s", folder, strerror(errno));
    const int bad = fsync(fd), why = errno;
    close(fd);
    return bad ? cot_fail(err, COT_E_IO, "sync folder %s: %s", folder, strerror(why)) : COT_OK;
}

cot_status cot_store_place(cot_store *store, size_t watermark_mib, char *path, size_t size, cot_error *err)
{
    struct statvfs fs;
    uint64_t random = 0;
    store->watermark_mib = watermark_mib;
    if (statvfs(store->folder, &fs) != 0)
        return cot_fail(err, COT_E_IO, "free space of %s: %s", store->folder, strerror(errno));
    const uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
    if (free_mib < watermark_mib)
        return cot_fail(err, COT_E_LIMIT,
                        "disk full: free %llu MiB, needed %zu MiB (watermark) in %s. Free space there",
                        (unsigned long long)free_mib, watermark_mib, store->folder);
    const cot_status status = random_number(&random, err);
    if (status != COT_OK) return status;
    const int n = snprintf(path, size, "%s/incoming/%ld-%u-%016llx", store->folder, (long)getpid(), store->counter++,
                           (unsigned long long)random);
    return n > 0 && (size_t)n < size ? COT_OK : cot_fail(err, COT_E_BUG, "incoming path: %zu bytes are too few", size);
}

/* An earlier job with the same bytes, or "" */
static cot_status find_same(cot_store *store, const cot_dicom_head *head, char job[COT_JOB_ID], cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    job[0] = 0;
    COT_TRY(store_query(
        &stmt, store, err,
        "SELECT id FROM job WHERE sop_instance=?1 AND dataset_sha256=?2 AND state<>?3 ORDER BY rowid LIMIT 1", "ssi",
        head->sop_instance, head->dataset_sha256, (long long)COT_JOB_DROPPED));
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) store_text(job, COT_JOB_ID, stmt, 0);
    sqlite3_reset(stmt);
done:
    return status;
}

/* The latest job of the same instance; a dropped one was taken back by a person and replaces nothing. */
static cot_status find_predecessor(cot_store *store, const cot_dicom_head *head, char job[COT_JOB_ID], cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool row;
    job[0] = 0;
    COT_TRY(store_query(&stmt, store, err,
                        "SELECT id FROM job WHERE sop_instance=?1 AND state<>?2 ORDER BY rowid DESC LIMIT 1", "si",
                        head->sop_instance, (long long)COT_JOB_DROPPED));
    COT_TRY(store_step(store, stmt, &row, err));
    if (row) store_text(job, COT_JOB_ID, stmt, 0);
    sqlite3_reset(stmt);
done:
    return status;
}

static cot_status sync_file(const cot_store *store, const cot_received *object, cot_error *err)
{
    const int fd = open(object->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open %s: %s", object->path, strerror(errno));
    const int bad = fsync(fd), why = errno;
    close(fd);
    errno = why;
    return bad ? io_failure(store, "sync", object->path, object->head->bytes, err) : COT_OK;
}

/* Into objects/<job>.dcm, durably. */
static cot_status put_in_place(cot_store *store, const cot_received *object, const char *path, cot_error *err)
{
    char folder[STORE_FOLDER + 16];
    snprintf(folder, sizeof folder, "%s/objects", store->folder);
    if (rename(object->path, path) != 0) return io_failure(store, "put in place", path, object->head->bytes, err);
    STORE_POINT("receive: renamed");
    return store_sync_folder(folder, err);
}

/* The row, unless another process stored the same bytes meanwhile. */
static cot_status insert_job(cot_store *store, const cot_received *object, const char *id, char same[COT_JOB_ID],
                             cot_error *err)
{
    const cot_dicom_head *h = object->head;
    char predecessor[COT_JOB_ID];
    cot_status status = store_begin(store, err);
    if (status != COT_OK) return status;
    const long long now = cot_now_us();
    COT_TRY(find_same(store, h, same, err));
    if (same[0]) goto done;
    COT_TRY(find_predecessor(store, h, predecessor, err));
    COT_TRY(
        store_run(store, err,
                  "INSERT INTO job(id, state, sop_class, sop_instance, study, series, dataset_sha256, calling, host,"
                  " received_us, changed_us, predecessor) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?10,?11)",
                  "sisssssssis", id, (long long)COT_JOB_RECEIVED, h->sop_class, h->sop_instance, h->study, h->series,
                  h->dataset_sha256, object->calling ? object->calling : "", object->host ? object->host : "", now,
                  predecessor[0] ? predecessor : NULL));
    STORE_POINT("receive: inserted");
done:
    return store_end(store, status, err);
}

/* The same bytes again: a duplicate, unless nothing is left that would answer for them. */
static cot_status needs_again(cot_store *store, const char *same, bool *again, cot_error *err)
{
    cot_job job;
    const cot_status status = store_job_get(store, same, &job, err);
    *again = status == COT_OK && (job.state == COT_JOB_FAILED || store_report_is_gone(&job));
    return status;
}

/* The file becomes the image of the earlier job, which is read anew. *again = false: another process was faster. The file is
 * put in place inside the transaction, so that purge cannot take it for the old one. */
static cot_status receive_again(cot_store *store, const cot_received *object, const char *same, bool *again,
                                cot_error *err)
{
    char path[STORE_FOLDER + 64];
    cot_status status = sync_file(store, object, err);
    if (status != COT_OK) return status;
    COT_TRY(store_begin(store, err));
    status = needs_again(store, same, again, err);
    if (status == COT_OK && *again) {
        store_object_path(store, same, path, sizeof path);
        status = put_in_place(store, object, path, err);
        if (status == COT_OK) status = store_redo(store, same, err);
    }
    status = store_end(store, status, err);
done:
    return status;
}

static cot_status receive_new(cot_store *store, const cot_received *object, char id[COT_JOB_ID], char same[COT_JOB_ID],
                              cot_error *err)
{
    cot_status status;
    char path[STORE_FOLDER + 64] = "";
    COT_TRY(store_make_id(id, err));
    COT_TRY(sync_file(store, object, err));
    STORE_POINT("receive: synced");
    store_object_path(store, id, path, sizeof path);
    COT_TRY(put_in_place(store, object, path, err));
    STORE_POINT("receive: in place");
    COT_TRY(insert_job(store, object, id, same, err));
    if (same[0]) unlink(path);
done:
    /* Without a row the file is nobody's. After an I/O error the commit may yet be found complete in the log at the next
     * start: then the file must be there; if not, purge removes it. */
    if (status != COT_OK && status != COT_E_IO && path[0]) unlink(path);
    return status;
}

cot_status cot_store_receive(cot_store *store, const cot_received *object, char job[COT_JOB_ID], bool *duplicate,
                             cot_error *err)
{
    cot_status status;
    char same[COT_JOB_ID] = "", id[COT_JOB_ID];
    bool again = false;
    *duplicate = false;
    job[0] = 0;
    COT_TRY(find_same(store, object->head, same, err));
    if (!same[0])
        COT_TRY(receive_new(store, object, id, same, err));
    else
        COT_TRY(needs_again(store, same, &again, err));
    if (again) COT_TRY(receive_again(store, object, same, &again, err));
    *duplicate = same[0] && !again;
    if (*duplicate) unlink(object->path); /* of a new one that lost a race it is gone already */
    memcpy(job, same[0] ? same : id, COT_JOB_ID);
done:
    return status;
}
