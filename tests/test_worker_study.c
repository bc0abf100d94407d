/* links: plugin
 * One report per study: all images in it, a refused one with its reason; late images, re-readings and other models make reports
 * that name the former; nothing is lost or double when the worker dies. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/store_internal.h"
#include "tests/worker_world.h"

static cot_config_destination pacs[1];

static cot_config study_config(const char *name)
{
    cot_config config = config_named(name);
    snprintf(config.per, sizeof config.per, "study");
    pacs[0] = (cot_config_destination){.refusals = true, .capture = true};
    snprintf(pacs[0].name, sizeof pacs[0].name, "PACS");
    snprintf(pacs[0].report, sizeof pacs[0].report, "both");
    snprintf(pacs[0].profile, sizeof pacs[0].profile, "air");
    config.destinations = pacs;
    config.n_destinations = 1;
    return config;
}

static long long number(const worker *w, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    long long value = -1;
    CHECK(sqlite3_prepare_v2(w->store->db, sql, -1, &stmt, NULL) == SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW) value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

/* Until nothing is left to do. */
static void work(worker *w)
{
    size_t n = 1;
    for (int i = 0; n && i < 20; i++) CHECK_OK(worker_turn(w, &n, &err));
    CHECK_NUMBER(n, 0);
}

/* The study job made last. */
static cot_job last_study(const worker *w)
{
    cot_job job = {.id = ""};
    sqlite3_stmt *stmt = NULL;
    CHECK(sqlite3_prepare_v2(w->store->db, "SELECT id FROM job WHERE images>0 ORDER BY rowid DESC LIMIT 1", -1, &stmt,
                             NULL) == SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        CHECK_OK(cot_store_job(w->store, (const char *)sqlite3_column_text(stmt, 0), &job, NULL, &err));
    sqlite3_finalize(stmt);
    return job;
}

static char *text_of(const char *path)
{
    char command[1400];
    char *text = calloc(1, 1 << 20);
    snprintf(command, sizeof command, "dsrdump +Pl '%s' 2>/dev/null; dcmdump '%s' 2>/dev/null", path, path);
    FILE *f = popen(command, "r");
    CHECK(text && f && fread(text, 1, (1 << 20) - 1, f) > 0);
    if (f) pclose(f);
    return text;
}

/* Everything of a value between brackets behind the first `tag`. */
static void value_of(char to[80], const char *text, const char *tag)
{
    const char *at = strstr(text, tag);
    at = at ? strchr(at, '[') : NULL;
    snprintf(to, 80, "%.*s", at ? (int)strcspn(at + 1, "]") : 0, at ? at + 1 : "");
}

static void check_predecessor(const char *report, const char *former)
{
    char instance[80];
    char *old = text_of(former), *new = text_of(report);
    value_of(instance, old, "(0008,0018)");
    const char *at = strstr(new, "(0040,a360)");
    CHECK(at && instance[0]);
    if (at) CHECK_HAS(at, instance);
    free(old);
    free(new);
}

static void with_measurements(const cot_job *study, char path[1100])
{
    const char *dash = strrchr(study->report, '-');
    snprintf(path, 1100, "%.*s-measurements-3d.dcm", (int)(dash - study->report), study->report);
}

/* ---- one report, a late image, a re-reading ---- */
static void whole_life(void)
{
    const cot_config config = study_config("life");
    const cr_options pa = {.seed = 5}, lateral = {.seed = 5, .image = 1, .view = "LATERAL"},
                     late = {.seed = 5, .image = 2}, other = {.seed = 6};
    char jobs[4][COT_JOB_ID], measured[2][1100];
    worker w;
    receive(&config, &pa, jobs[0]);
    receive(&config, &lateral, jobs[1]);
    receive(&config, &other, jobs[2]);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    work(&w);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM job WHERE images>0"), 2); /* two studies */
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM job WHERE images=2 AND state=2"), 1);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE kind='reading'"), 2);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE kind='measurement'"), 2);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE kind='capture'"), 2); /* of each image that was read */
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery d JOIN job j ON j.id=d.job WHERE j.images=0"
                            " AND d.kind<>'capture'"),
                 0);
    char *text = NULL;
    cot_job first;
    sqlite3_stmt *stmt = NULL;
    CHECK(sqlite3_prepare_v2(w.store->db, "SELECT id FROM job WHERE images=2", -1, &stmt, NULL) == SQLITE_OK);
    REQUIRE(sqlite3_step(stmt) == SQLITE_ROW);
    CHECK_OK(cot_store_job(w.store, (const char *)sqlite3_column_text(stmt, 0), &first, NULL, &err));
    sqlite3_finalize(stmt);
    CHECK_NUMBER(first.images, 2);
    text = text_of(first.report);
    CHECK_HAS(text, "Image 1 (PA, series 1, instance 1)");
    CHECK_HAS(text, "Image 2 (LATERAL, series 1, instance 2): not analysed: ");
    CHECK(!strstr(text, "(0040,a360)"));
    free(text);

    receive(&config, &late, jobs[3]);
    work(&w);
    const cot_job second = last_study(&w);
    CHECK_NUMBER(second.images, 3);
    CHECK_TEXT(second.predecessor, first.id);
    check_predecessor(second.report, first.report);
    with_measurements(&first, measured[0]);
    with_measurements(&second, measured[1]);
    check_predecessor(measured[1], measured[0]);

    size_t n = 0; /* the same images once more: all of the study, and a report of its own */
    CHECK_OK(cot_store_redo(w.store, jobs[0], &n, &err));
    CHECK_NUMBER(n, 3);
    work(&w);
    const cot_job third = last_study(&w);
    CHECK_NUMBER(third.images, 3);
    CHECK_TEXT(third.predecessor, second.id);
    char instance[2][80]; /* the same model: the same reading, so the same object */
    for (int i = 0; i < 2; i++) {
        text = text_of(i ? third.report : second.report);
        value_of(instance[i], text, "(0008,0018)");
        free(text);
    }
    CHECK_TEXT(instance[0], instance[1]);
    worker_close(&w);
}
TEST(study_gets_one_report_of_all_images_and_another_when_one_comes_late)
{
    alone(whole_life);
}

/* The stored reading says that another model made it, as after a change of the package. */
static void by_another_model(worker *w, const char *job)
{
    sqlite3_stmt *stmt = NULL;
    CHECK(sqlite3_prepare_v2(w->store->db,
                             "UPDATE reading SET chain=replace(chain, ?2, "
                             "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') WHERE job=?1",
                             -1, &stmt, NULL) == SQLITE_OK);
    sqlite3_bind_text(stmt, 1, job, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, w->reader.package_sha256, -1, SQLITE_STATIC);
    CHECK(sqlite3_step(stmt) == SQLITE_DONE);
    CHECK_NUMBER(sqlite3_changes(w->store->db), 1);
    sqlite3_finalize(stmt);
}

static void another_model(void)
{
    const cot_config config = study_config("models");
    const cr_options pa = {.seed = 7}, late = {.seed = 7, .image = 1};
    char jobs[2][COT_JOB_ID];
    worker w;
    receive(&config, &pa, jobs[0]);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    work(&w);
    by_another_model(&w, jobs[0]);
    receive(&config, &late, jobs[1]);
    work(&w);
    const cot_job study = last_study(&w);
    CHECK_NUMBER(study.state, COT_JOB_REPORTED);
    CHECK_NUMBER(study.images, 2);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM job WHERE images>0 AND state=4"), 1); /* of two models: dropped */
    CHECK_NUMBER(number(&w, "SELECT sum(turn) FROM job"), 2);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM reading WHERE chain LIKE '%aaaaaaaaaaaaaaaa%'"), 0);
    worker_close(&w);
}
TEST(study_read_by_two_models_is_read_again_by_one)
{
    alone(another_model);
}

/* ---- re-reading an image by itself ---- */
static void image_again(void)
{
    cot_config config = study_config("image");
    const cr_options pa = {.seed = 8};
    char job[COT_JOB_ID], path[2][1200], *bytes[2] = {NULL, NULL};
    size_t size[2], n = 0;
    worker w;
    config.per[0] = 0; /* a report for each image */
    receive(&config, &pa, job);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    work(&w);
    CHECK(sqlite3_exec(w.store->db, "UPDATE delivery SET state=2", NULL, NULL, NULL) == SQLITE_OK);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(cot_store_redo(w.store, job, &n, &err));
        CHECK_NUMBER(n, 1);
        work(&w);
        CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE state=0"), 3); /* reading, measurement, capture */
        CHECK(sqlite3_exec(w.store->db, "UPDATE delivery SET state=2", NULL, NULL, NULL) == SQLITE_OK);
    }
    for (int i = 0; i < 2; i++) { /* the same model: the same object, though its files have other names */
        char files[64];
        snprintf(files, sizeof files, i ? "%s.%d" : "%s", job, i);
        cot_store_report_path(w.store, files, "measurements-3d", path[i], sizeof path[i]);
        CHECK_OK(cot_file_read(&bytes[i], &size[i], path[i], 1 << 22, &err));
    }
    CHECK(bytes[0] && bytes[1] && size[0] == size[1] && !memcmp(bytes[0], bytes[1], size[0]));
    free(bytes[0]);
    free(bytes[1]);
    CHECK_OK(cot_store_redo(w.store, NULL, &n, &err)); /* all that is here */
    CHECK_NUMBER(n, 1);
    CHECK_FAILS(cot_store_redo(w.store, job, &n, &err), COT_E_REFUSED, "only what is reported");
    worker_close(&w);
}
TEST(image_read_again_by_request_is_sent_again_and_the_same_reading_is_the_same_object)
{
    alone(image_again);
}

/* ---- death ---- */
static int deaths_left;
static const char *dies_at;
static void die(const char *where)
{
    if (!strcmp(where, dies_at) && deaths_left-- == 0) _exit(9);
}

/* A process works on the store until it dies at that point, another goes on: one study, one report of each kind. */
static void dies(const char *name, const char *where, int after)
{
    const cot_config config = study_config(name);
    const cr_options pa = {.seed = 9}, second = {.seed = 9, .image = 1};
    char jobs[2][COT_JOB_ID];
    int wait_status = 0;
    worker w;
    receive(&config, &pa, jobs[0]);
    receive(&config, &second, jobs[1]);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        dies_at = where;
        deaths_left = after;
        store_test_point = die;
        if (worker_open(&w, &config, "worker0", &err) == COT_OK) work(&w);
        _exit(0);
    }
    CHECK(waitpid(pid, &wait_status, 0) == pid);
    CHECK(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 9); /* it came that far */
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(cot_store_release(w.store, "worker0", NULL, &err)); /* as the supervisor does */
    work(&w);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM job WHERE images=2 AND state=2"), 1);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM job WHERE images>0"), 1);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE kind<>'capture'"), 2);
    CHECK_NUMBER(number(&w, "SELECT count(*) FROM delivery WHERE kind='capture'"), 2);
    worker_close(&w);
}
static void dies_gathering(void)
{
    dies("d1", "gather: inserted", 0);
}
static void dies_claiming(void)
{
    dies("d2", "claim: moved", 1); /* the study; the images came first */
}
static void dies_recording(void)
{
    dies("d3", "reported: reading kept", 2);
}
static void dies_delivering(void)
{
    dies("d4", "reported: delivery added", 3);
}
TEST(worker_that_dies_anywhere_leaves_one_report_of_each_kind_for_the_study)
{
    alone(dies_gathering);
    alone(dies_claiming);
    alone(dies_recording);
    alone(dies_delivering);
}

CHECK_MAIN
