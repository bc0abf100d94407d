/* The store's handle, its clock, its lock, and the two tables that say which transition exists. Every change of a state
 * goes through store_move_job or store_move_delivery: one place to read what can happen to an image.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void (*store_test_point)(const char *where);
int64_t (*store_test_clock)(void);

static const char *const job_names[COT_JOB_STATES] = {
    [COT_JOB_RECEIVED] = "received", [COT_JOB_READING] = "reading", [COT_JOB_REPORTED] = "reported",
    [COT_JOB_FAILED] = "failed",     [COT_JOB_DROPPED] = "dropped",
};
static const char *const delivery_names[COT_DELIVERY_STATES] = {
    [COT_DELIVERY_WAITING] = "waiting", [COT_DELIVERY_SENDING] = "sending", [COT_DELIVERY_DELIVERED] = "delivered",
    [COT_DELIVERY_DEAD] = "dead",       [COT_DELIVERY_DROPPED] = "dropped",
};
static const char *const job_event_names[JOB_EVENTS] = {"claimed", "released", "reported",  "given up",
                                                        "retried", "dropped",  "read again"};
static const char *const delivery_event_names[DELIVERY_EVENTS] = {
    "taken", "released", "delivered", "put off", "given up", "retried", "dropped", "unwanted", "parked", "renewed"};

/* ---- what can happen: [event][from] = to + 1, 0 = cannot ---- */
#define TO(state) (1 + (state))
static const unsigned char job_table[JOB_EVENTS][COT_JOB_STATES] = {
    [JOB_CLAIM] = {[COT_JOB_RECEIVED] = TO(COT_JOB_READING)},
    [JOB_RELEASE] = {[COT_JOB_READING] = TO(COT_JOB_RECEIVED)},
    [JOB_REPORT] = {[COT_JOB_READING] = TO(COT_JOB_REPORTED)},
    [JOB_GIVE_UP] = {[COT_JOB_READING] = TO(COT_JOB_FAILED)},
    [JOB_RETRY] = {[COT_JOB_FAILED] = TO(COT_JOB_RECEIVED)},
    [JOB_DROP] = {[COT_JOB_RECEIVED] = TO(COT_JOB_DROPPED), [COT_JOB_FAILED] = TO(COT_JOB_DROPPED)},
    [JOB_REDO] = {[COT_JOB_REPORTED] = TO(COT_JOB_RECEIVED), [COT_JOB_FAILED] = TO(COT_JOB_RECEIVED)},
};
static const unsigned char delivery_table[DELIVERY_EVENTS][COT_DELIVERY_STATES] = {
    [DELIVERY_TAKE] = {[COT_DELIVERY_WAITING] = TO(COT_DELIVERY_SENDING)},
    [DELIVERY_RELEASE] = {[COT_DELIVERY_SENDING] = TO(COT_DELIVERY_WAITING)},
    [DELIVERY_ACCEPTED] = {[COT_DELIVERY_SENDING] = TO(COT_DELIVERY_DELIVERED)},
    [DELIVERY_AGAIN] = {[COT_DELIVERY_SENDING] = TO(COT_DELIVERY_WAITING)},
    [DELIVERY_GIVE_UP] = {[COT_DELIVERY_SENDING] = TO(COT_DELIVERY_DEAD)},
    [DELIVERY_RETRY] = {[COT_DELIVERY_DEAD] = TO(COT_DELIVERY_WAITING)},
    [DELIVERY_DROP] =
        {[COT_DELIVERY_WAITING] = TO(COT_DELIVERY_DROPPED), [COT_DELIVERY_DEAD] = TO(COT_DELIVERY_DROPPED)},
    [DELIVERY_UNWANTED] = {[COT_DELIVERY_SENDING] = TO(COT_DELIVERY_DROPPED)},
    [DELIVERY_PARK] = {[COT_DELIVERY_WAITING] = TO(COT_DELIVERY_DEAD)},
    [DELIVERY_RENEW] = {[COT_DELIVERY_DELIVERED] = TO(COT_DELIVERY_WAITING),
                        [COT_DELIVERY_DEAD] = TO(COT_DELIVERY_WAITING),
                        [COT_DELIVERY_DROPPED] = TO(COT_DELIVERY_WAITING)},
};

const char *cot_job_state_name(cot_job_state s)
{
    return (size_t)s < COT_JOB_STATES ? job_names[s] : "unknown";
}

const char *cot_delivery_state_name(cot_delivery_state s)
{
    return (size_t)s < COT_DELIVERY_STATES ? delivery_names[s] : "unknown";
}

int store_job_next(job_event event, cot_job_state state)
{
    return (size_t)event < JOB_EVENTS && (size_t)state < COT_JOB_STATES ? job_table[event][state] - 1 : -1;
}

int store_delivery_next(delivery_event event, cot_delivery_state state)
{
    return (size_t)event < DELIVERY_EVENTS && (size_t)state < COT_DELIVERY_STATES ? delivery_table[event][state] - 1
                                                                                  : -1;
}

/* One row's integer, or found = false. */
static cot_status read_state(cot_store *store, sqlite3_stmt *stmt, bool *found, int *state, cot_error *err)
{
    const cot_status status = store_step(store, stmt, found, err);
    if (status == COT_OK && *found) *state = sqlite3_column_int(stmt, 0);
    sqlite3_reset(stmt);
    return status;
}

cot_status store_move_job(cot_store *store, const char *id, job_event event, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool found = false;
    int from = 0;
    COT_TRY(store_query(&stmt, store, err, "SELECT state FROM job WHERE id=?1", "s", id));
    COT_TRY(read_state(store, stmt, &found, &from, err));
    if (!found) return cot_fail(err, COT_E_REFUSED, "no job %s in %s", id, store->folder);
    const int to = store_job_next(event, (cot_job_state)from);
    if (to < 0)
        return cot_fail(err, COT_E_REFUSED, "job %s is %s: it cannot be %s", id,
                        cot_job_state_name((cot_job_state)from), job_event_names[event]);
    COT_TRY(store_run(store, err,
                      "UPDATE job SET state=?2, changed_us=?4, owner='', owner_pid=0 WHERE id=?1 AND state=?3", "siii",
                      id, (long long)to, (long long)from, (long long)cot_now_us()));
    if (sqlite3_changes(store->db) != 1)
        status = cot_fail(err, COT_E_BUG, "job %s left state %s inside a transaction", id, job_names[from]);
done:
    return status;
}

cot_status store_move_delivery(cot_store *store, int64_t id, delivery_event event, cot_error *err)
{
    cot_status status;
    sqlite3_stmt *stmt;
    bool found = false;
    int from = 0;
    COT_TRY(store_query(&stmt, store, err, "SELECT state FROM delivery WHERE id=?1", "i", (long long)id));
    COT_TRY(read_state(store, stmt, &found, &from, err));
    if (!found) return cot_fail(err, COT_E_REFUSED, "no delivery %lld in %s", (long long)id, store->folder);
    const int to = store_delivery_next(event, (cot_delivery_state)from);
    if (to < 0)
        return cot_fail(err, COT_E_REFUSED, "delivery %lld is %s: it cannot be %s", (long long)id,
                        cot_delivery_state_name((cot_delivery_state)from), delivery_event_names[event]);
    COT_TRY(store_run(store, err,
                      "UPDATE delivery SET state=?2, changed_us=?4, owner='', owner_pid=0 WHERE id=?1 AND state=?3",
                      "iiii", (long long)id, (long long)to, (long long)from, (long long)cot_now_us()));
    if (sqlite3_changes(store->db) != 1)
        status = cot_fail(err, COT_E_BUG, "delivery %lld left state %s inside a transaction", (long long)id,
                          delivery_names[from]);
done:
    return status;
}

/* ---- the handle ---- */
int64_t cot_now_us(void)
{
    if (store_test_clock) return store_test_clock();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* mkdir -p; images are patient data, so only the owner may look in. */
static cot_status make_folder(const char *path, cot_error *err)
{
    char part[STORE_FOLDER];
    if (!path[0] || strlen(path) >= sizeof part)
        return cot_fail(err, COT_E_CONFIG, "store folder \"%.80s…\": bad length", path);
    for (size_t i = 1;; i++) {
        if (path[i] != '/' && path[i]) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return cot_fail(err, errno == ENOSPC ? COT_E_LIMIT : COT_E_IO, "make folder %s: %s", part, strerror(errno));
        if (!path[i]) return COT_OK;
    }
}

static cot_status make_folders(cot_store *store, const char *folder, cot_error *err)
{
    static const char *const inside[] = {"incoming", "objects", "reports"};
    cot_status status;
    COT_TRY(make_folder(folder, err));
    char *real = realpath(folder, NULL);
    if (!real || strlen(real) >= sizeof store->folder - 12) {
        status =
            cot_fail(err, COT_E_IO, "store folder %.200s: %s", folder, real ? "the path is too long" : strerror(errno));
        free(real);
        return status;
    }
    snprintf(store->folder, sizeof store->folder, "%s", real);
    free(real);
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char path[STORE_FOLDER + 16];
        snprintf(path, sizeof path, "%s/%s", store->folder, inside[i]);
        COT_TRY(make_folder(path, err));
    }
done:
    return status;
}

static cot_status open_database(cot_store *store, cot_error *err)
{
    char path[STORE_FOLDER + 16];
    snprintf(path, sizeof path, "%s/db", store->folder);
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL) !=
        SQLITE_OK)
        return store_failure(store, "open", err);
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, 10000);
    return store_schema_ensure(store, err);
}

cot_status cot_store_open(cot_store **out, const char *folder, cot_error *err)
{
    cot_status status;
    *out = NULL;
    cot_store *store = calloc(1, sizeof *store);
    if (!store) return cot_fail(err, COT_E_MEMORY, "store: no memory");
    store->lock_fd = -1;
    store->pid = (long)getpid();
    COT_TRY(make_folders(store, folder, err));
    COT_TRY(open_database(store, err));
    *out = store;
    store = NULL;
done:
    cot_store_close(store);
    return status;
}

void cot_store_close(cot_store *store)
{
    if (!store) return;
    if (store->pid == (long)getpid()) { /* in a forked child the database belongs to the parent */
        for (size_t i = 0; i < store->n_statements; i++) sqlite3_finalize(store->statements[i].stmt);
        sqlite3_close(store->db);
    }
    if (store->lock_fd >= 0) close(store->lock_fd);
    free(store);
}

static cot_status locked_by_another(const cot_store *store, int fd, cot_error *err)
{
    char pid[24] = "";
    const ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    if (n > 0) pid[strcspn(pid, "\n")] = 0;
    return cot_fail(err, COT_E_REFUSED,
                    "store %s is in use by process %s: stop that node first, or give this one another <store>",
                    store->folder, pid[0] ? pid : "(unknown)");
}

cot_status cot_store_lock(cot_store *store, cot_error *err)
{
    char path[STORE_FOLDER + 16], pid[24];
    if (store->lock_fd >= 0) return COT_OK;
    snprintf(path, sizeof path, "%s/lock", store->folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const cot_status status = errno == EWOULDBLOCK ? locked_by_another(store, fd, err)
                                                       : cot_fail(err, COT_E_IO, "lock %s: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    const int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* the number only helps people; the lock holds without it (a full disk must not stop the node) */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        cot_log(COT_WARN, "store.lock", NULL, "pid_written=no");
    store->lock_fd = fd;
    return COT_OK;
}
