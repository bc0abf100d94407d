/* links: plugin dicom config */
/* The store: every cell of its two tables, receiving, settling, deliveries, the handle.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/store_fixture.h"

#include <sys/stat.h>
#include <sys/wait.h>

/* ---- the tables ---- */
TEST(job_table_moves_exactly_what_the_drawing_allows)
{
    static const int want[JOB_EVENTS][COT_JOB_STATES] = {
        /*               received             reading            reported failed              dropped */
        [JOB_CLAIM] = {COT_JOB_READING, -1, -1, -1, -1},
        [JOB_RELEASE] = {-1, COT_JOB_RECEIVED, -1, -1, -1},
        [JOB_REPORT] = {-1, COT_JOB_REPORTED, -1, -1, -1},
        [JOB_GIVE_UP] = {-1, COT_JOB_FAILED, -1, -1, -1},
        [JOB_RETRY] = {-1, -1, -1, COT_JOB_RECEIVED, -1},
        [JOB_DROP] = {COT_JOB_DROPPED, -1, -1, COT_JOB_DROPPED, -1},
        [JOB_REDO] = {-1, -1, COT_JOB_RECEIVED, COT_JOB_RECEIVED, -1},
    };
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], where[64], before[128], row[128];
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    snprintf(where, sizeof where, "id='%s'", job);
    snprintf(row, sizeof row, "SELECT state*1000000+attempts*1000+deaths+changed_us FROM job WHERE id='%s'", job);
    for (int e = 0; e < JOB_EVENTS; e++)
        for (int s = 0; s < COT_JOB_STATES; s++) {
            set_state(store, "job", where, s);
            const long long was = number(store, row);
            CHECK_NUMBER(store_job_next((job_event)e, (cot_job_state)s), want[e][s]);
            CHECK_OK(store_begin(store, &err));
            fake_now++;
            const cot_status status = store_end(store, store_move_job(store, job, (job_event)e, &err), &err);
            snprintf(before, sizeof before, "SELECT state FROM job WHERE id='%s'", job);
            CHECK_NUMBER(status, want[e][s] < 0 ? COT_E_REFUSED : COT_OK);
            CHECK_NUMBER(number(store, before), want[e][s] < 0 ? s : want[e][s]);
            if (want[e][s] < 0) CHECK_NUMBER(number(store, row), was);
        }
    CHECK_FAILS(store_move_job(store, "0123", JOB_CLAIM, &err), COT_E_REFUSED, "no job 0123");
    close_and_remove(store);
}

TEST(delivery_table_moves_exactly_what_the_drawing_allows)
{
    static const int want[DELIVERY_EVENTS][COT_DELIVERY_STATES] = {
        [DELIVERY_TAKE] = {COT_DELIVERY_SENDING, -1, -1, -1, -1},
        [DELIVERY_RELEASE] = {-1, COT_DELIVERY_WAITING, -1, -1, -1},
        [DELIVERY_ACCEPTED] = {-1, COT_DELIVERY_DELIVERED, -1, -1, -1},
        [DELIVERY_AGAIN] = {-1, COT_DELIVERY_WAITING, -1, -1, -1},
        [DELIVERY_GIVE_UP] = {-1, COT_DELIVERY_DEAD, -1, -1, -1},
        [DELIVERY_RETRY] = {-1, -1, -1, COT_DELIVERY_WAITING, -1},
        [DELIVERY_DROP] = {COT_DELIVERY_DROPPED, -1, -1, COT_DELIVERY_DROPPED, -1},
        [DELIVERY_UNWANTED] = {-1, COT_DELIVERY_DROPPED, -1, -1, -1},
        [DELIVERY_PARK] = {COT_DELIVERY_DEAD, -1, -1, -1, -1},
        [DELIVERY_RENEW] = {-1, -1, COT_DELIVERY_WAITING, COT_DELIVERY_WAITING, COT_DELIVERY_WAITING},
    };
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    cot_job claimed;
    size_t n = 0;
    char job[COT_JOB_ID];
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    CHECK_OK(cot_store_claim(store, "w", 0, &claimed, 1, &n, &err));
    CHECK_OK(report(store, job, &err));
    for (int e = 0; e < DELIVERY_EVENTS; e++)
        for (int s = 0; s < COT_DELIVERY_STATES; s++) {
            set_state(store, "delivery", "id=1", s);
            const long long was = number(store, "SELECT changed_us+attempts FROM delivery");
            CHECK_OK(store_begin(store, &err));
            fake_now++;
            const cot_status status = store_end(store, store_move_delivery(store, 1, (delivery_event)e, &err), &err);
            CHECK_NUMBER(status, want[e][s] < 0 ? COT_E_REFUSED : COT_OK);
            CHECK_NUMBER(number(store, "SELECT state FROM delivery"), want[e][s] < 0 ? s : want[e][s]);
            if (want[e][s] < 0) CHECK_NUMBER(number(store, "SELECT changed_us+attempts FROM delivery"), was);
        }
    CHECK_FAILS(store_move_delivery(store, 77, DELIVERY_TAKE, &err), COT_E_REFUSED, "no delivery 77");
    close_and_remove(store);
}

TEST(public_calls_refuse_a_job_in_the_wrong_state_and_change_nothing)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID];
    size_t n = 0;
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    CHECK_FAILS(report(store, job, &err), COT_E_REFUSED, "is received: it cannot be reported");
    CHECK_FAILS(cot_store_failed(store, job, "x", &err), COT_E_REFUSED, "cannot be given up");
    CHECK_FAILS(cot_store_retry(store, job, &n, &err), COT_E_REFUSED, "nothing of it can be retried");
    CHECK_FAILS(cot_store_delivered(store, 1, 0, "", &err), COT_E_REFUSED, "no delivery 1");
    CHECK_NUMBER(number(store, "SELECT count(*) FROM reading"), 0);
    CHECK_NUMBER(number(store, "SELECT state FROM job"), COT_JOB_RECEIVED);
    set_state(store, "job", "1", COT_JOB_READING);
    CHECK_FAILS(cot_store_drop(store, job, &n, &err), COT_E_REFUSED, "is reading: nothing of it can be dropped");
    close_and_remove(store);
}

/* ---- receive ---- */
TEST(received_object_is_a_file_and_a_row_with_its_identity)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], *chain = NULL;
    cot_job row;
    struct stat st;
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    CHECK_NUMBER(strlen(job), COT_JOB_ID - 1);
    REQUIRE_OK(cot_store_job(store, job, &row, &chain, &err));
    CHECK_TEXT(row.sop_instance, "1.2.3");
    CHECK_TEXT(row.series, "1.2.1");
    CHECK_TEXT(row.calling, "MODALITY");
    CHECK_TEXT(row.predecessor, "");
    CHECK(chain == NULL);
    CHECK(stat(row.object, &st) == 0 && st.st_size == 3);
    CHECK_NUMBER(row.received_us, fake_now);
    CHECK_NUMBER(count_files("incoming"), 0);
    close_and_remove(store);
}

TEST(same_bytes_again_are_the_same_job_and_other_bytes_a_successor)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char first[COT_JOB_ID], again[COT_JOB_ID], second[COT_JOB_ID], third[COT_JOB_ID];
    bool duplicate = false;
    size_t n = 0;
    cot_job row;
    receive_ok(store, "1.2.3", "aa", "1.2", first);
    CHECK_OK(receive(store, "1.2.3", "aa", "1.2", again, &duplicate, &err));
    CHECK(duplicate);
    CHECK_TEXT(again, first);
    CHECK_NUMBER(count_files("objects"), 1);
    CHECK_NUMBER(count_files("incoming"), 0);
    receive_ok(store, "1.2.3", "bb", "1.2", second);
    CHECK_OK(cot_store_job(store, second, &row, NULL, &err));
    CHECK_TEXT(row.predecessor, first);
    receive_ok(store, "1.2.3", "cc", "1.2", third);
    CHECK_OK(cot_store_job(store, third, &row, NULL, &err));
    CHECK_TEXT(row.predecessor, second);
    CHECK_OK(cot_store_drop(store, first, &n, &err)); /* dropped: the same bytes are welcome again */
    CHECK_OK(receive(store, "1.2.3", "aa", "1.2", again, &duplicate, &err));
    CHECK(!duplicate);
    close_and_remove(store);
}

TEST(place_below_the_watermark_says_how_much_is_free_and_needed)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char path[1024], other[1024];
    CHECK_FAILS(cot_store_place(store, (size_t)1 << 40, path, sizeof path, &err), COT_E_LIMIT,
                "needed 1099511627776 MiB");
    CHECK_OK(cot_store_place(store, 1, path, sizeof path, &err));
    CHECK_OK(cot_store_place(store, 1, other, sizeof other, &err));
    CHECK(strcmp(path, other) != 0);
    close_and_remove(store);
}

TEST(full_database_is_a_limit_with_free_and_needed_space_and_leaves_nothing_behind)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], sop[32];
    bool duplicate;
    cot_status status = COT_OK;
    int stored = 0;
    CHECK(sqlite3_exec(store->db, "PRAGMA max_page_count=1", NULL, NULL, NULL) == SQLITE_OK); /* as many as there are */
    for (; status == COT_OK && stored < 1000; stored += status == COT_OK) {
        snprintf(sop, sizeof sop, "1.2.%d", stored + 1);
        status = receive(store, sop, "aa", "1.2", job, &duplicate, &err);
    }
    CHECK_NUMBER(status, COT_E_LIMIT);
    CHECK_HAS(err.text, "disk full: free ");
    CHECK_HAS(err.text, " MiB, needed ");
    CHECK_NUMBER(count_files("objects"), stored);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM job"), stored);
    CHECK(sqlite3_exec(store->db, "PRAGMA max_page_count=1000000", NULL, NULL, NULL) == SQLITE_OK);
    CHECK_OK(receive(store, sop, "aa", "1.2", job, &duplicate, &err)); /* the peer sends again when there is room */
    CHECK(!duplicate);
    close_and_remove(store);
}

/* ---- claim ---- */
TEST(claim_waits_until_the_study_is_silent_and_takes_the_oldest_first)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID], b[COT_JOB_ID], c[COT_JOB_ID];
    cot_job jobs[4];
    size_t n = 9;
    receive_ok(store, "1.1", "aa", "1", a);
    fake_now += 2000000;
    receive_ok(store, "2.1", "bb", "2", b);
    fake_now += 2000000;
    receive_ok(store, "1.2", "cc", "1", c);
    fake_now += 2500000; /* study 1 silent for 2.5 s, study 2 for 4.5 s */
    CHECK_OK(cot_store_claim(store, "w", 5, jobs, 4, &n, &err));
    CHECK_NUMBER(n, 0);
    fake_now += 600000;
    CHECK_OK(cot_store_claim(store, "w", 5, jobs, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(jobs[0].id, b);
    CHECK_TEXT(jobs[0].owner, "w");
    CHECK_NUMBER(jobs[0].attempts, 1);
    fake_now += 2000000;
    CHECK_OK(cot_store_claim(store, "w", 5, jobs, 4, &n, &err));
    REQUIRE(n == 2);
    CHECK_TEXT(jobs[0].id, a);
    CHECK_TEXT(jobs[1].id, c);
    receive_ok(store, "3.1", "dd", "3", a);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 4, &n, &err));
    CHECK_NUMBER(n, 1);
    close_and_remove(store);
}

TEST(claim_is_not_held_up_by_a_clock_that_was_set_back)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID];
    cot_job jobs[2];
    size_t n = 0;
    receive_ok(store, "1.1", "aa", "1", a);
    fake_now -= 3600LL * 1000000;
    CHECK_OK(cot_store_claim(store, "w", 5, jobs, 2, &n, &err));
    CHECK_NUMBER(n, 1);
    close_and_remove(store);
    fake_now += 3600LL * 1000000;
}

TEST(successor_waits_for_its_predecessor_and_names_its_report)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID], b[COT_JOB_ID], c[COT_JOB_ID], path[1024];
    cot_job jobs[4];
    size_t n = 0;
    receive_ok(store, "1.1", "aa", "1", a);
    receive_ok(store, "1.1", "bb", "1", b);
    receive_ok(store, "1.1", "cc", "1", c);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(jobs[0].id, a);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 4, &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_OK(report(store, a, &err));
    cot_store_report_path(store, a, "reading", path, sizeof path);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(jobs[0].id, b);
    CHECK_TEXT(jobs[0].predecessor, a);
    CHECK_TEXT(jobs[0].predecessor_report, path);
    CHECK_OK(cot_store_failed(store, b, "no", &err));
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(jobs[0].predecessor, b);
    CHECK_TEXT(jobs[0].predecessor_report, path); /* b has none: the report to replace is still a's */
    close_and_remove(store);
}

/* ---- deliveries ---- */
TEST(delivery_goes_out_when_due_and_comes_back_when_put_off)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID];
    cot_job jobs[1];
    cot_delivery d[4];
    size_t n = 0;
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(report(store, job, &err));
    CHECK_OK(cot_store_take(store, "s", "OTHER", d, 4, &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(d[0].job, job);
    CHECK_HAS(d[0].report, "-reading.dcm");
    CHECK_TEXT(d[0].fallback, "");
    CHECK_OK(cot_store_again(store, d[0].id, fake_now + 60000000, 0xA700, "out of resources", &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    CHECK_NUMBER(n, 0);
    fake_now -= 7200LL * 1000000; /* the clock is set back: due at once rather than two hours late */
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_NUMBER(d[0].attempts, 1);
    CHECK_NUMBER(d[0].dimse, 0xA700);
    CHECK_TEXT(d[0].text, "out of resources");
    CHECK_OK(cot_store_release(store, "s", &n, &err));
    CHECK_NUMBER(n, 1);
    fake_now += 7300LL * 1000000;
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_OK(cot_store_dead(store, d[0].id, 0xC000, "cannot understand", &err));
    CHECK_OK(cot_store_retry(store, job, &n, &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    REQUIRE(n == 1);
    CHECK_NUMBER(d[0].attempts, 0);
    CHECK_OK(cot_store_delivered(store, d[0].id, 0, "", &err));
    CHECK_FAILS(cot_store_delivered(store, d[0].id, 0, "", &err), COT_E_REFUSED,
                "is delivered: it cannot be delivered");
    CHECK_FAILS(cot_store_retry(store, job, &n, &err), COT_E_REFUSED, "PACS delivered: nothing of it can be retried");
    close_and_remove(store);
}

TEST(each_kind_of_report_is_a_delivery_of_its_own_and_reading_again_changes_only_its_files)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID];
    cot_job jobs[1];
    cot_delivery d[4];
    size_t n = 0;
    cot_store_post posts[2] = {{"PACS", "reading", "/elsewhere/a.dcm", NULL, NULL},
                               {"PACS", "measurement", "/elsewhere/b.dcm", "/elsewhere/c.dcm", NULL}};
    const cot_store_report made = {.report = "/elsewhere/a.dcm", .sop_instance = "2.25.1", .series = "2.25.2"};
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
        REQUIRE(n == 1);
        if (again) posts[1] = (cot_store_post){"PACS", "measurement", "/elsewhere/d.dcm", NULL, NULL};
        CHECK_OK(cot_store_reported(store, job, &made, posts, 2, &err));
        CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery"), 2);
        CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
        CHECK_NUMBER(n, again ? 1 : 2);
        if (again) break;
        CHECK_TEXT(d[0].kind, "reading");
        CHECK_TEXT(d[1].kind, "measurement");
        CHECK_TEXT(d[1].report, "/elsewhere/b.dcm");
        CHECK_TEXT(d[1].fallback, "/elsewhere/c.dcm");
        CHECK_OK(cot_store_delivered(store, d[0].id, 0, "", &err));
        CHECK_OK(cot_store_again(store, d[1].id, 0, 0xA700, "", &err));
        CHECK_OK(cot_store_retry(store, job, &n, &err)); /* the report's file is gone: read again */
    }
    CHECK_TEXT(d[0].kind, "measurement"); /* the other is delivered and stays so */
    CHECK_TEXT(d[0].report, "/elsewhere/d.dcm");
    CHECK_TEXT(d[0].fallback, "");
    CHECK_OK(cot_store_unwanted(store, d[0].id, "takes no such class", &err));
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE kind='measurement'"), COT_DELIVERY_DROPPED);
    close_and_remove(store);
}

TEST(parked_report_is_never_sent_and_retry_reads_its_image_again)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], reading[1024], measurement[1024];
    cot_job jobs[1];
    cot_delivery d[4];
    size_t n = 0;
    receive_ok(store, "1.2.3", "aa", "1.2", job);
    cot_store_report_path(store, job, "reading", reading, sizeof reading);
    cot_store_report_path(store, job, "measurements-3d", measurement, sizeof measurement);
    CHECK_OK(cot_file_write_durable(reading, "report", 6, &err));
    const cot_store_report made = {.report = reading, .sop_instance = "2.25.1", .series = "2.25.2"};
    cot_store_post posts[2] = {{"PACS", "reading", reading, NULL, NULL},
                               {"PACS", "measurement", measurement, NULL, "fails R9"}};
    for (int all = 0; all < 2; all++) {
        CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
        REQUIRE(n == 1);
        CHECK_OK(cot_store_reported(store, job, &made, posts, 2, &err));
        CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE text='fails R9'"), COT_DELIVERY_DEAD);
        CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
        CHECK_NUMBER(n, all ? 0 : 1);
        if (!all) CHECK_OK(cot_store_delivered(store, d[0].id, 0, "", &err));
        CHECK_OK(cot_store_retry(store, all ? NULL : job, &n, &err));
        CHECK_NUMBER(number(store, "SELECT state FROM job"), COT_JOB_RECEIVED);
    }
    posts[1].parked = NULL; /* this time it passes */
    CHECK_OK(cot_file_write_durable(measurement, "report", 6, &err));
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
    CHECK_OK(cot_store_reported(store, job, &made, posts, 2, &err));
    CHECK_OK(cot_store_take(store, "s", "PACS", d, 4, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK_TEXT(d[0].kind, "measurement");
    close_and_remove(store);
}

/* ---- the handle ---- */
TEST(store_survives_close_and_refuses_another_version_or_a_strangers_file)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], path[128];
    receive_ok(store, "1.1", "aa", "1", job);
    cot_store_close(store);
    REQUIRE_OK(cot_store_open(&store, folder, &err));
    CHECK_NUMBER(number(store, "SELECT count(*) FROM job"), 1);
    CHECK(sqlite3_exec(store->db, "PRAGMA user_version=7", NULL, NULL, NULL) == SQLITE_OK);
    cot_store_close(store);
    CHECK_FAILS(cot_store_open(&store, folder, &err), COT_E_REFUSED, "has version 7, this program knows version 4");
    CHECK(store == NULL);
    snprintf(path, sizeof path, "%s/db", folder);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL);
    for (int i = 0; i < 200; i++) fputs("not a database, surely. ", file);
    fclose(file);
    CHECK_FAILS(cot_store_open(&store, folder, &err), COT_E_IO, "damaged or not a database");
    close_and_remove(store);
}

TEST(second_supervisor_is_told_who_holds_the_store)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new(), *second = NULL;
    char pid[32];
    REQUIRE_OK(cot_store_lock(store, &err));
    REQUIRE_OK(cot_store_open(&second, folder, &err));
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK_FAILS(cot_store_lock(second, &err), COT_E_REFUSED, pid);
    cot_store_close(store);
    CHECK_OK(cot_store_lock(second, &err));
    close_and_remove(second);
}

TEST(handle_carried_across_a_fork_is_refused)
{
    cot_store *store = open_new();
    const pid_t child = fork();
    if (child == 0) {
        cot_error err = COT_ERROR_INIT;
        cot_store_counts counts;
        const cot_status status = cot_store_count(store, &counts, &err);
        cot_store_close(store);
        _exit(status == COT_E_BUG && strstr(err.text, "open it after the fork") ? 0 : 1);
    }
    int result = 1;
    CHECK(waitpid(child, &result, 0) == child && result == 0);
    close_and_remove(store);
}

CHECK_MAIN
