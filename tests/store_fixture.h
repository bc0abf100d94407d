/* A store in a folder of its own with a clock that stands still, for the tests of store and sender.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_STORE_FIXTURE_H
#define COT_STORE_FIXTURE_H
#include "plugin/store_internal.h"
#include "tests/check.h"

#include <unistd.h>

static char folder[64];
static int64_t fake_now = 1700000000000000;
static inline int64_t fake_clock(void)
{
    return fake_now;
}

static inline cot_store *open_new(void)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = NULL;
    snprintf(folder, sizeof folder, "/tmp/cot-store-XXXXXX");
    if (!mkdtemp(folder)) abort();
    store_test_clock = fake_clock;
    if (cot_store_open(&store, folder, &err) != COT_OK) CHECK_FAIL_("open: %s", err.text);
    return store;
}

static inline void close_and_remove(cot_store *store)
{
    char command[128];
    cot_store_close(store);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK(system(command) == 0);
    store_test_clock = NULL;
}

/* Receives an object with these identities; the job's id goes to `job`. */
static inline cot_status receive(cot_store *store, const char *sop, const char *sha, const char *study,
                                 char job[COT_JOB_ID], bool *duplicate, cot_error *err)
{
    char path[1024];
    cot_dicom_head head = {.rows = 1, .cols = 1, .bytes = 3};
    snprintf(head.sop_class, sizeof head.sop_class, "1.2.840.10008.5.1.4.1.1.1");
    snprintf(head.sop_instance, sizeof head.sop_instance, "%s", sop);
    snprintf(head.dataset_sha256, sizeof head.dataset_sha256, "%s", sha);
    snprintf(head.study, sizeof head.study, "%s", study);
    snprintf(head.series, sizeof head.series, "%s.1", study);
    const cot_received object = {.path = path, .head = &head, .calling = "MODALITY", .host = "127.0.0.1"};
    cot_status status = cot_store_place(store, 1, path, sizeof path, err);
    if (status != COT_OK) return status;
    FILE *file = fopen(path, "w");
    if (!file || fputs("abc", file) < 0 || fclose(file) != 0) return cot_fail(err, COT_E_IO, "write %s", path);
    return cot_store_receive(store, &object, job, duplicate, err);
}

static inline void receive_ok(cot_store *store, const char *sop, const char *sha, const char *study,
                              char job[COT_JOB_ID])
{
    cot_error err = COT_ERROR_INIT;
    bool duplicate = true;
    CHECK_OK(receive(store, sop, sha, study, job, &duplicate, &err));
    CHECK(!duplicate);
}

static inline cot_status report(cot_store *store, const char *job, cot_error *err)
{
    char path[1024];
    cot_store_report_path(store, job, "reading", path, sizeof path);
    FILE *file = fopen(path, "w");
    if (!file || fputs("report", file) < 0 || fclose(file) != 0) return cot_fail(err, COT_E_IO, "write %s", path);
    const cot_store_report made = {
        .report = path, .sop_instance = "2.25.1", .series = "2.25.2", .chain_json = "{\"a\":1}"};
    const cot_store_post post = {.destination = "PACS", .kind = "reading", .report = path};
    return cot_store_reported(store, job, &made, &post, 1, err);
}

static inline void set_state(cot_store *store, const char *table, const char *where, int state)
{
    char sql[256];
    snprintf(sql, sizeof sql, "UPDATE %s SET state=%d WHERE %s", table, state, where);
    CHECK(sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static inline long long number(cot_store *store, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    long long value = -1;
    CHECK(sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) == SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW) value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static inline int count_files(const char *inside)
{
    char command[160];
    int n = -1;
    snprintf(command, sizeof command, "ls '%s/%s' | wc -l", folder, inside);
    FILE *pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%d", &n) != 1) n = -1;
    if (pipe) pclose(pipe);
    return n;
}
#endif
