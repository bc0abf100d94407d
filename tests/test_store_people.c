/* links: plugin dicom config */
/* What people ask of the queue, and purge.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/store_fixture.h"

#include <fcntl.h>
#include <utime.h>

/* ---- people ---- */
static bool count_visits(void *ctx, const cot_job *job, const cot_delivery *deliveries, size_t n)
{
    int *visits = ctx;
    visits[0]++;
    visits[1] += (int)n;
    CHECK(n == 0 || strcmp(deliveries[0].job, job->id) == 0);
    return true;
}

TEST(people_find_jobs_by_state_and_by_the_beginning_of_an_id)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID], b[COT_JOB_ID], prefix[COT_JOB_ID], *chain = NULL;
    cot_job jobs[1], row;
    size_t n = 0;
    int visits[2] = {0, 0};
    cot_store_counts counts;
    receive_ok(store, "1.1", "aa", "1", a);
    fake_now++;
    receive_ok(store, "2.1", "bb", "2", b);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(report(store, a, &err));
    CHECK_OK(cot_store_count(store, &counts, &err));
    CHECK_NUMBER(counts.job[COT_JOB_RECEIVED], 1);
    CHECK_NUMBER(counts.job[COT_JOB_REPORTED], 1);
    CHECK_NUMBER(counts.delivery[COT_DELIVERY_WAITING], 1);
    CHECK_OK(cot_store_each(store, NULL, count_visits, visits, &err));
    CHECK_NUMBER(visits[0], 2);
    CHECK_NUMBER(visits[1], 1);
    CHECK_OK(cot_store_each(store, "waiting", count_visits, visits, &err));
    CHECK_NUMBER(visits[0], 3);
    CHECK_OK(cot_store_each(store, "received", count_visits, visits, &err));
    CHECK_NUMBER(visits[0], 4);
    CHECK_FAILS(cot_store_each(store, "lost", count_visits, visits, &err), COT_E_USAGE, "no state \"lost\"");
    size_t same = 0;
    while (a[same] == b[same]) same++;
    snprintf(prefix, sizeof prefix, "%.*s", (int)same + 1, a);
    REQUIRE_OK(cot_store_job(store, prefix, &row, &chain, &err));
    CHECK_TEXT(row.id, a);
    CHECK_TEXT(chain, "{\"a\":1}");
    free(chain);
    CHECK_FAILS(cot_store_job(store, "%' OR 1", &row, NULL, &err), COT_E_REFUSED, "is no job id");
    CHECK_FAILS(cot_store_job(store, "", &row, NULL, &err), COT_E_REFUSED, "is no job id");
    close_and_remove(store);
}

TEST(retry_and_drop_all_move_every_failed_job_and_dead_delivery)
{
    enum { JOBS = 1203 }; /* more than two chunks */
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], sop[32];
    size_t n = 0;
    CHECK(sqlite3_exec(store->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL) == SQLITE_OK);
    for (int i = 0; i < JOBS; i++) {
        snprintf(sop, sizeof sop, "1.%d", i + 1);
        receive_ok(store, sop, "aa", "1", job);
    }
    cot_job claimed[1];
    CHECK_OK(cot_store_claim(store, "w", 0, claimed, 1, &n, &err));
    CHECK_OK(report(store, claimed[0].id, &err));
    set_state(store, "delivery", "1", COT_DELIVERY_DEAD);
    set_state(store, "job", "state=0", COT_JOB_FAILED);
    CHECK_OK(cot_store_retry(store, NULL, &n, &err));
    CHECK_NUMBER(n, JOBS);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM job WHERE state=0"), JOBS - 1);
    CHECK_OK(cot_store_drop(store, NULL, &n, &err)); /* what waits is not touched by --all */
    CHECK_NUMBER(n, 0);
    set_state(store, "delivery", "1", COT_DELIVERY_DEAD);
    set_state(store, "job", "state=0", COT_JOB_FAILED);
    CHECK_OK(cot_store_drop(store, NULL, &n, &err));
    CHECK_NUMBER(n, JOBS);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery WHERE state=4"), 1);
    close_and_remove(store);
}

TEST(purge_removes_images_long_after_the_last_delivery_and_keeps_the_rest)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char done[COT_JOB_ID], waiting[COT_JOB_ID], failed[COT_JOB_ID], again[COT_JOB_ID], path[1024];
    cot_job jobs[3], row;
    cot_delivery d[1];
    size_t n = 0;
    bool duplicate = false;
    receive_ok(store, "1.1", "aa", "1", done);
    fake_now++;
    receive_ok(store, "1.2", "bb", "1", waiting);
    fake_now++;
    receive_ok(store, "1.3", "cc", "1", failed);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 3, &n, &err));
    CHECK_OK(report(store, done, &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 1, &n, &err));
    CHECK_OK(cot_store_delivered(store, d[0].id, 0, "", &err));
    CHECK_OK(report(store, waiting, &err));
    CHECK_OK(cot_store_failed(store, failed, "no", &err));
    fake_now += 6LL * 86400 * 1000000;
    CHECK_OK(cot_store_purge(store, 7, &n, &err));
    CHECK_NUMBER(n, 0);
    fake_now += 2LL * 86400 * 1000000;
    CHECK_OK(cot_store_purge(store, 7, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_OK(cot_store_job(store, done, &row, NULL, &err));
    CHECK_TEXT(row.object, "");
    CHECK_HAS(row.report, "reading.dcm");
    CHECK_OK(cot_store_job(store, failed, &row, NULL, &err));
    CHECK(access(row.object, R_OK) == 0);
    CHECK_OK(receive(store, "1.1", "aa", "1", again, &duplicate, &err)); /* still known */
    CHECK(duplicate);
    /* orphans: old ones go under the lock, young ones and files of living jobs stay */
    snprintf(path, sizeof path, "%s/incoming/1-2-3", folder);
    close(creat(path, 0600));
    const time_t old = (time_t)(fake_now / 1000000) - 7200;
    CHECK(utime(path, &(struct utimbuf){old, old}) == 0);
    CHECK(utime(row.object, &(struct utimbuf){old, old}) == 0);
    CHECK_OK(cot_store_purge(store, 7, &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_OK(cot_store_lock(store, &err));
    CHECK_OK(cot_store_purge(store, 7, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_NUMBER(count_files("incoming"), 0);
    CHECK(access(row.object, R_OK) == 0);
    close_and_remove(store);
}

/* ---- reading again ---- */
/* One job, reported, its delivery dead; the report's file gone. */
static void lose_report(cot_store *store, char job[COT_JOB_ID], cot_job *row)
{
    cot_error err = COT_ERROR_INIT;
    cot_job jobs[1];
    size_t n = 0;
    receive_ok(store, "1.1", "aa", "1", job);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(report(store, job, &err));
    set_state(store, "delivery", "1", COT_DELIVERY_DEAD);
    CHECK_OK(cot_store_job(store, job, row, NULL, &err));
    CHECK(unlink(row->report) == 0);
}

static void read_again(cot_store *store, const char *job)
{
    cot_error err = COT_ERROR_INIT;
    cot_job jobs[1];
    cot_delivery d[1];
    size_t n = 0;
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 1, &n, &err));
    CHECK_NUMBER(n, 0); /* it waits for the new report */
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_TEXT(jobs[0].id, job);
    CHECK(access(jobs[0].object, R_OK) == 0);
    CHECK_OK(report(store, job, &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 1, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery"), 1);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM reading"), 1);
}

TEST(retry_reads_an_image_again_whose_report_file_is_gone)
{
    cot_error err = COT_ERROR_INIT;
    cot_job row;
    char job[COT_JOB_ID];
    size_t n = 0;
    for (int all = 0; all < 2; all++) {
        cot_store *store = open_new();
        lose_report(store, job, &row);
        CHECK_OK(cot_store_retry(store, all ? NULL : job, &n, &err));
        CHECK_NUMBER(n, 1);
        read_again(store, job);
        close_and_remove(store);
    }
    cot_store *store = open_new();
    lose_report(store, job, &row);
    CHECK(unlink(row.object) == 0);
    CHECK_FAILS(cot_store_retry(store, job, &n, &err), COT_E_REFUSED, "send the image again");
    close_and_remove(store);
}

TEST(same_image_sent_again_is_read_again_when_its_job_failed_or_its_report_is_gone)
{
    cot_error err = COT_ERROR_INIT;
    cot_job row, jobs[1];
    char job[COT_JOB_ID], again[COT_JOB_ID];
    bool duplicate = true;
    size_t n = 0;
    cot_store *store = open_new();
    lose_report(store, job, &row);
    CHECK(unlink(row.object) == 0);
    CHECK_OK(receive(store, "1.1", "aa", "1", again, &duplicate, &err));
    CHECK(!duplicate);
    CHECK_TEXT(again, job);
    CHECK_OK(receive(store, "1.1", "aa", "1", again, &duplicate, &err)); /* and once more: it waits already */
    CHECK(duplicate);
    CHECK_NUMBER(count_files("incoming"), 0);
    read_again(store, job);
    close_and_remove(store);

    store = open_new();
    receive_ok(store, "1.1", "aa", "1", job);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(cot_store_failed(store, job, "no", &err));
    CHECK_OK(receive(store, "1.1", "aa", "1", again, &duplicate, &err));
    CHECK(!duplicate);
    CHECK_TEXT(again, job);
    CHECK_OK(cot_store_job(store, job, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_RECEIVED);
    CHECK_TEXT(row.reason, "");
    CHECK_NUMBER(count_files("objects"), 1);
    close_and_remove(store);
}

static void note_stray(void *ctx, const char *destination, size_t n)
{
    snprintf(ctx, 64, "%s %zu", destination, n);
}

TEST(deliveries_of_an_unknown_destination_are_told)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    cot_job jobs[1];
    char job[COT_JOB_ID], told[64] = "";
    const char *const now[] = {"NEW"}, *const before[] = {"NEW", "PACS"};
    size_t n = 0;
    receive_ok(store, "1.1", "aa", "1", job);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(report(store, job, &err));
    CHECK_OK(cot_store_strays(store, before, 2, note_stray, told, &err));
    CHECK_TEXT(told, "");
    CHECK_OK(cot_store_strays(store, now, 1, note_stray, told, &err));
    CHECK_TEXT(told, "PACS 1");
    close_and_remove(store);
}

TEST(unread_job_comes_alone_and_fails_at_the_third_counted_time)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    cot_job jobs[2], row;
    char a[COT_JOB_ID], b[COT_JOB_ID];
    size_t n = 0;
    bool failed = true;
    receive_ok(store, "1.1", "aa", "1", a);
    fake_now++;
    receive_ok(store, "1.2", "bb", "1", b);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 2, &n, &err));
    CHECK_NUMBER(n, 2);
    CHECK(!jobs[0].alone);
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(cot_store_unread(store, jobs[i].id, false, "killed", &failed, &err));
        CHECK(!failed);
    }
    CHECK_NUMBER(number(store, "SELECT sum(deaths) FROM job"), 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_OK(cot_store_claim(store, "w", 0, jobs, 2, &n, &err));
        CHECK_NUMBER(n, 1);
        CHECK_TEXT(jobs[0].id, a);
        CHECK(jobs[0].alone);
        CHECK_OK(cot_store_unread(store, a, true, "killed", &failed, &err));
        CHECK_NUMBER(failed, i == 3);
    }
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_FAILED);
    CHECK_TEXT(row.reason, "killed");
    CHECK_FAILS(cot_store_unread(store, a, true, "killed", &failed, &err), COT_E_REFUSED, "is failed");
    close_and_remove(store);
}

CHECK_MAIN
