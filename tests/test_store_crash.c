/* links: plugin dicom config */
/* Processes that die: at any point of receive and report, with jobs in hand, and many at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/store_fixture.h"

#include <sys/wait.h>
#include <time.h>

/* ---- death ---- */
/* Claims up to max in a child that then dies. Returns how many it got. */
static int claim_and_die(size_t max)
{
    const pid_t child = fork();
    if (child == 0) {
        cot_error err = COT_ERROR_INIT;
        cot_store *mine = NULL;
        cot_job jobs[8];
        size_t n = 0;
        if (cot_store_open(&mine, folder, &err) != COT_OK ||
            cot_store_claim(mine, "w", 0, jobs, max, &n, &err) != COT_OK)
            _exit(99);
        _exit((int)n);
    }
    int result = 0;
    return waitpid(child, &result, 0) == child && WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

TEST(a_dead_workers_jobs_go_back_and_the_third_death_parks_the_guilty_one_only)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID], b[COT_JOB_ID];
    size_t n = 0;
    cot_job row, jobs[8];
    receive_ok(store, "1.1", "aa", "1", a);
    fake_now++;
    receive_ok(store, "2.1", "bb", "2", b);
    CHECK_NUMBER(claim_and_die(8), 2);
    CHECK_OK(cot_store_release(store, "other", &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_OK(cot_store_release(store, "w", &n, &err));
    CHECK_NUMBER(n, 2);
    CHECK_NUMBER(claim_and_die(8), 1); /* a suspect is read alone */
    CHECK_OK(cot_store_release(store, "w", &n, &err));
    CHECK_NUMBER(claim_and_die(8), 1);
    CHECK_OK(cot_store_release(store, "w", &n, &err));
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_FAILED);
    CHECK_HAS(row.reason, "the worker died 3 times on this image");
    CHECK_OK(cot_store_claim(store, "w", 0, jobs, 8, &n, &err));
    REQUIRE(n == 1);
    CHECK_TEXT(jobs[0].id, b);
    CHECK_OK(cot_store_retry(store, a, &n, &err)); /* by hand: it gets its three chances again */
    CHECK_NUMBER(n, 1);
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_RECEIVED);
    CHECK_NUMBER(row.attempts, 0);
    CHECK_TEXT(row.reason, "");
    close_and_remove(store);
}

TEST(parking_and_restarts_of_the_node_are_not_the_images_fault)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char a[COT_JOB_ID];
    size_t n = 0;
    cot_job row, jobs[1];
    receive_ok(store, "1.1", "aa", "1", a);
    for (int i = 0; i < 40; i++) { /* parked by its own process */
        CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
        REQUIRE(n == 1);
        CHECK_OK(cot_store_release(store, "w", &n, &err));
    }
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.attempts, 0);
    for (int i = 0; i < STORE_CLAIMS - 1; i++) { /* kill -9 of everything */
        CHECK_NUMBER(claim_and_die(1), 1);
        CHECK_OK(cot_store_release(store, NULL, &n, &err));
    }
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_RECEIVED);
    CHECK_NUMBER(claim_and_die(1), 1);
    CHECK_OK(cot_store_release(store, NULL, &n, &err));
    CHECK_OK(cot_store_job(store, a, &row, NULL, &err));
    CHECK_NUMBER(row.state, COT_JOB_FAILED);
    CHECK_HAS(row.reason, "claimed 16 times and never finished");
    close_and_remove(store);
}

TEST(four_claimers_at_once_never_get_the_same_job)
{
    enum { JOBS = 200, CLAIMERS = 4 };
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    char job[COT_JOB_ID], sop[32];
    int pipes[2];
    for (int i = 0; i < JOBS; i++) {
        snprintf(sop, sizeof sop, "1.%d", i + 1);
        receive_ok(store, sop, "aa", "1", job);
    }
    cot_store_close(store);
    REQUIRE(pipe(pipes) == 0);
    for (int c = 0; c < CLAIMERS; c++)
        if (fork() == 0) {
            cot_store *mine = NULL;
            cot_job jobs[3];
            size_t n = 1;
            if (cot_store_open(&mine, folder, &err) != COT_OK) _exit(1);
            while (n > 0) {
                if (cot_store_claim(mine, "w", 0, jobs, 3, &n, &err) != COT_OK) _exit(1);
                for (size_t i = 0; i < n; i++)
                    if (write(pipes[1], jobs[i].id, COT_JOB_ID) != COT_JOB_ID) _exit(1);
            }
            cot_store_close(mine);
            _exit(0);
        }
    close(pipes[1]);
    static char seen[JOBS + 1][COT_JOB_ID];
    int total = 0, twice = 0, result, ended = 0;
    while (total <= JOBS && read(pipes[0], seen[total], COT_JOB_ID) == COT_JOB_ID) {
        for (int i = 0; i < total; i++) twice += strcmp(seen[i], seen[total]) == 0;
        total++;
    }
    close(pipes[0]);
    for (int c = 0; c < CLAIMERS; c++) ended += wait(&result) > 0 && WIFEXITED(result) && WEXITSTATUS(result) == 0;
    CHECK_NUMBER(ended, CLAIMERS);
    CHECK_NUMBER(total, JOBS);
    CHECK_NUMBER(twice, 0);
    close_and_remove(NULL);
}

/* ---- crash injection ---- */
static int points_left;
static void die_at_point(const char *where)
{
    (void)where;
    if (--points_left == 0) _exit(42);
}

/* Runs `act` in a child that dies at its k-th point. true while it died there. */
static bool crash_at(int k, void (*act)(cot_store *store))
{
    const pid_t child = fork();
    if (child == 0) {
        cot_error err = COT_ERROR_INIT;
        cot_store *mine = NULL;
        if (cot_store_open(&mine, folder, &err) != COT_OK) _exit(99);
        points_left = k;
        store_test_point = die_at_point;
        act(mine);
        _exit(0);
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result) &&
          (WEXITSTATUS(result) == 42 || WEXITSTATUS(result) == 0));
    return WIFEXITED(result) && WEXITSTATUS(result) == 42;
}

static char crash_job[COT_JOB_ID];
static void act_receive(cot_store *store)
{
    cot_error err = COT_ERROR_INIT;
    char job[COT_JOB_ID];
    bool duplicate;
    if (receive(store, "1.2.3", "aa", "1.2", job, &duplicate, &err) != COT_OK) _exit(98);
}
/* A reading report and a measurement report to one destination, the reading report to another. */
static cot_status report_all(cot_store *store)
{
    char path[2][1024];
    cot_error err = COT_ERROR_INIT;
    for (int i = 0; i < 2; i++) {
        cot_store_report_path(store, crash_job, i ? "measurements-3d" : "reading", path[i], sizeof path[i]);
        if (cot_file_write_durable(path[i], "report", 6, &err) != COT_OK) return err.status;
    }
    const cot_store_report made = {.report = path[0], .sop_instance = "2.25.1", .series = "2.25.2"};
    const cot_store_post posts[3] = {{"PACS", "reading", path[0], NULL, NULL},
                                     {"PACS", "measurement", path[1], NULL, NULL},
                                     {"OTHER", "reading", path[0], NULL, NULL}};
    return cot_store_reported(store, crash_job, &made, posts, 3, &err);
}
static void act_reported(cot_store *store)
{
    if (report_all(store) != COT_OK) _exit(98);
}

TEST(crash_at_any_point_of_receive_leaves_nothing_or_a_whole_job)
{
    bool crashed = true;
    int with_row = 0, without_row = 0;
    for (int k = 1; crashed; k++) {
        cot_store *store = open_new();
        char job[COT_JOB_ID];
        bool duplicate = false;
        size_t n = 0;
        cot_error err = COT_ERROR_INIT;
        crashed = crash_at(k, act_receive);
        const long long rows = number(store, "SELECT count(*) FROM job");
        with_row += rows == 1;
        without_row += rows == 0;
        CHECK_OK(receive(store, "1.2.3", "aa", "1.2", job, &duplicate, &err)); /* the peer sends again */
        CHECK_NUMBER(duplicate, rows == 1);
        CHECK_NUMBER(number(store, "SELECT count(*) FROM job"), 1);
        cot_job row;
        CHECK_OK(cot_store_job(store, job, &row, NULL, &err));
        CHECK(access(row.object, R_OK) == 0);
        fake_now = (int64_t)time(NULL) * 1000000 + 2 * 3600LL * 1000000;
        CHECK_OK(cot_store_lock(store, &err));
        CHECK_OK(cot_store_purge(store, 30, &n, &err));
        CHECK_NUMBER(count_files("objects"), 1);
        CHECK_NUMBER(count_files("incoming"), 0);
        close_and_remove(store);
    }
    CHECK(with_row >= 2 && without_row >= 5); /* both sides of the commit were hit */
}

TEST(crash_at_any_point_of_reported_leaves_a_job_in_work_or_a_whole_report)
{
    bool crashed = true;
    int done = 0, undone = 0;
    for (int k = 1; crashed; k++) {
        cot_store *store = open_new();
        cot_error err = COT_ERROR_INIT;
        cot_job jobs[1];
        size_t n = 0;
        receive_ok(store, "1.2.3", "aa", "1.2", crash_job);
        CHECK_OK(cot_store_claim(store, "w", 0, jobs, 1, &n, &err));
        crashed = crash_at(k, act_reported);
        const long long state = number(store, "SELECT state FROM job"),
                        readings = number(store, "SELECT count(*) FROM reading");
        CHECK(state == COT_JOB_READING || state == COT_JOB_REPORTED);
        CHECK_NUMBER(readings, state == COT_JOB_REPORTED);
        CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery"), 3 * readings); /* all of them, or none */
        done += readings == 1;
        undone += readings == 0;
        if (state == COT_JOB_READING) CHECK_NUMBER(report_all(store), COT_OK);
        CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery"), 3);
        close_and_remove(store);
    }
    CHECK(done >= 2 && undone >= 6);
}

CHECK_MAIN
