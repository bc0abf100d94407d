/* links: plugin
 * The worker's reports: those that destinations need, the same bytes when made again, and none that fails lint.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker_world.h"

/* ---- what destinations need ---- */
typedef struct wanted {
    const char *destination, *kind, *report, *fallback;
} wanted;
static bool has_post(void *ctx, const cot_job *job, const cot_delivery *d, size_t n)
{
    const wanted *w = ctx;
    (void)job;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(d[i].destination, w->destination) && !strcmp(d[i].kind, w->kind)) {
            CHECK_HAS(d[i].report, w->report);
            CHECK(access(d[i].report, R_OK) == 0);
            if (w->fallback) {
                CHECK_HAS(d[i].fallback, w->fallback);
                CHECK(access(d[i].fallback, R_OK) == 0);
            } else {
                CHECK_TEXT(d[i].fallback, "");
            }
            return true;
        }
    CHECK_FAIL_("no %s report for %s", w->kind, w->destination);
    return true;
}

static cot_config_destination wants(const char *name, const char *report, const char *profile, const char *references)
{
    cot_config_destination d = {.refusals = true};
    snprintf(d.name, sizeof d.name, "%s", name);
    snprintf(d.report, sizeof d.report, "%s", report);
    snprintf(d.profile, sizeof d.profile, "%s", profile);
    snprintf(d.references, sizeof d.references, "%s", references);
    return d;
}

static size_t count_reports(const cot_config *config)
{
    char command[1200];
    size_t n = 0;
    snprintf(command, sizeof command, "ls %s/reports | wc -l", config->store);
    FILE *f = popen(command, "r");
    CHECK(f && fscanf(f, "%zu", &n) == 1);
    if (f) pclose(f);
    return n;
}

static void as_needed(void)
{
    static const wanted posts[] = {
        {"AIR", "reading", "-reading.dcm", "-basic.dcm"},
        {"AIR", "measurement", "-measurements-3d.dcm", "-measurements-2d.dcm"},
        {"STONE", "measurement", "-measurements-2d-reference.dcm", NULL},
        {"LEGACY", "reading", "-basic.dcm", NULL},
        {"LEGACY", "capture", "-capture.dcm", NULL},
    };
    cot_config_destination all[] = {wants("AIR", "both", "air", "value"),
                                    wants("STONE", "measurement", "stone", "reference"),
                                    wants("LEGACY", "both", "legacy", "value")};
    cot_config config = config_named("needed");
    const cr_options good = {.seed = 70}, hip = {.seed = 71, .body_part = "HIP"};
    char jobs[2][COT_JOB_ID];
    cot_store *store = NULL;
    worker w;
    size_t n = 0;
    all[2].capture = true;
    config.destinations = all;
    config.n_destinations = 3;
    receive(&config, &good, jobs[0]);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_OK(cot_store_open(&store, config.store, &err));
    for (size_t i = 0; i < sizeof posts / sizeof *posts; i++)
        CHECK_OK(cot_store_one(store, jobs[0], has_post, (void *)(uintptr_t)&posts[i], &err));
    cot_store_close(store);
    seen s = look_at(&config, jobs[0]);
    CHECK_NUMBER(s.deliveries, 5);
    free(s.json);
    CHECK_NUMBER(count_reports(&config), 6); /* nothing that nobody is sent */
    receive(&config, &hip, jobs[1]);
    CHECK_OK(worker_turn(&w, &n, &err));
    s = look_at(&config, jobs[1]);
    CHECK_NUMBER(s.deliveries, 2); /* measurements and picture of a refused image: none */
    free(s.json);
    CHECK_NUMBER(count_reports(&config), 8);
    worker_close(&w);
}
TEST(worker_writes_the_reports_its_destinations_need_and_no_others)
{
    alone(as_needed);
}

/* ---- the last gate ---- */
static const char *spoiled; /* part of the names of the files that are spoiled */

/* In the sandbox's child, between writing and lint: a report says that somebody verified it, a capture that it has no text. */
static void spoil(const char *path)
{
    static const char *const changes[][2] = {{"UNVERIFIED", "VERIFIED  "}, {"YES ", "NO  "}};
    char *bytes = NULL;
    size_t size = 0;
    cot_error e = COT_ERROR_INIT;
    if (!strstr(path, spoiled) || cot_file_read(&bytes, &size, path, 1 << 25, &e) != COT_OK) return;
    for (size_t i = 0; i < 2; i++) {
        char *flag = memmem(bytes, size, changes[i][0], strlen(changes[i][0]));
        if (flag) memcpy(flag, changes[i][1], strlen(changes[i][1]));
    }
    FILE *f = fopen(path, "wb");
    if (f) {
        fwrite(bytes, 1, size, f);
        fclose(f);
    }
    free(bytes);
}

typedef struct parked {
    const char *kind; /* that must be dead */
    size_t dead, waiting;
} parked;

static bool see_parked(void *ctx, const cot_job *job, const cot_delivery *d, size_t n)
{
    parked *p = ctx;
    (void)job;
    for (size_t i = 0; i < n; i++) {
        const bool dead = d[i].state == COT_DELIVERY_DEAD;
        p->dead += dead;
        p->waiting += d[i].state == COT_DELIVERY_WAITING;
        CHECK(dead == !strcmp(d[i].kind, p->kind));
        if (dead) CHECK_HAS(d[i].text, "does not pass lint and is not sent: R15 at document");
        CHECK((access(d[i].report, R_OK) == 0) != dead); /* a parked report has another name */
    }
    return true;
}

/* One kind fails: it is parked with its reason, the other two are on their way. */
static void one_fails(const char *name, const char *kind, const char *file, const char *aside)
{
    cot_config_destination all[] = {wants("AIR", "both", "air", "value")};
    const cr_options good = {.seed = 80};
    char job[COT_JOB_ID], path[1200];
    parked p = {.kind = kind};
    worker w;
    size_t n = 0;
    cot_config config = config_named(name);
    all[0].capture = true;
    config.destinations = all;
    config.n_destinations = 1;
    receive(&config, &good, job);
    spoiled = file;
    sandbox_before_lint = spoil;
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1);
    check_job(&config, job, COT_JOB_REPORTED, "");
    CHECK_OK(cot_store_one(w.store, job, see_parked, &p, &err));
    CHECK_NUMBER(p.dead, 1);
    CHECK_NUMBER(p.waiting, 2);
    cot_store_report_path(w.store, job, aside, path, sizeof path);
    CHECK(access(path, R_OK) == 0); /* kept for people */
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 0);
    CHECK_OK(cot_store_retry(w.store, job, &n, &err)); /* sends nothing that failed: it is made again */
    check_job(&config, job, COT_JOB_RECEIVED, "");
    worker_close(&w);

    sandbox_before_lint = NULL;
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK(access(path, F_OK) != 0);
    p = (parked){.kind = "none"};
    CHECK_OK(cot_store_one(w.store, job, see_parked, &p, &err));
    CHECK_NUMBER(p.waiting, 3);
    worker_close(&w);
}
static void reading_fails(void)
{
    one_fails("r", "reading", "reading", "reading.parked");
}
static void measurement_fails(void)
{
    one_fails("m", "measurement", "measurements-3d", "measurements-3d.parked");
}
static void capture_fails(void)
{
    one_fails("c", "capture", "capture", "capture.parked");
}
TEST(worker_parks_a_report_that_fails_lint_by_itself_and_the_others_go)
{
    alone(reading_fails);
    alone(measurement_fails);
    alone(capture_fails);
}

/* Not the report of the first choice but what stands in for it: the first goes, with nothing to fall back to. */
static void fallback_fails(void)
{
    static const wanted post = {"AIR", "measurement", "-measurements-3d.dcm", NULL};
    cot_config_destination all[] = {wants("AIR", "both", "air", "value")};
    const cr_options good = {.seed = 81};
    char job[COT_JOB_ID];
    worker w;
    size_t n = 0;
    cot_config config = config_named("fallback");
    config.destinations = all;
    config.n_destinations = 1;
    receive(&config, &good, job);
    spoiled = "measurements-2d";
    sandbox_before_lint = spoil;
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_OK(cot_store_one(w.store, job, has_post, (void *)(uintptr_t)&post, &err));
    worker_close(&w);
}
TEST(worker_sends_a_report_without_its_fallback_when_only_that_fails_lint)
{
    alone(fallback_fails);
}

static void all_fail(void)
{
    const cot_config config = config_named("lint");
    const cr_options good = {.seed = 80};
    char job[COT_JOB_ID], store[1100], listing[4096] = "", path[1200];
    worker w;
    size_t n = 0;
    receive(&config, &good, job);
    spoiled = "";
    sandbox_before_lint = spoil;
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1);
    check_job(&config, job, COT_JOB_FAILED, "does not pass lint and is not sent: R15 at document");
    seen s = look_at(&config, job);
    CHECK_NUMBER(s.deliveries, 0);
    free(s.json);
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 0);
    worker_close(&w);

    snprintf(path, sizeof path, "%s/listing", folder);
    snprintf(store, sizeof store, "%s", config.store);
    char *argv[] = {"queue", "list", "--store", store, NULL};
    REQUIRE(freopen(path, "w", stdout));
    CHECK_NUMBER(cot_cmd_queue(4, argv), 0);
    fflush(stdout);
    FILE *f = fopen(path, "r");
    CHECK(f && fread(listing, 1, sizeof listing - 1, f) > 0);
    if (f) fclose(f);
    CHECK_HAS(listing, "failed");
    CHECK_HAS(listing, "does not pass lint");
}
TEST(worker_parks_an_image_of_which_no_report_passes_lint_and_the_queue_says_why)
{
    alone(all_fail);
}

/* A worker that dies between writing a report and recording it leaves the job to be read again. */
static void read_again(void)
{
    static const char *const forms[] = {"reading", "basic", "measurements-3d", "measurements-2d"};
    const cot_config config = config_named("again");
    const cr_options good = {.seed = 7};
    char job[COT_JOB_ID], command[4200], path[1200], *bytes[4];
    size_t n = 0, size[4];
    receive(&config, &good, job);
    snprintf(command, sizeof command, "mkdir %s/kept && cp %s/db* %s/kept", folder, config.store, folder);
    REQUIRE(system(command) == 0);
    for (int k = 0; k < 2; k++) {
        worker w;
        REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
        CHECK_OK(worker_turn(&w, &n, &err));
        CHECK_NUMBER(n, 1);
        for (int i = 0; i < 4; i++) {
            char *now = NULL;
            size_t now_size = 0;
            cot_store_report_path(w.store, job, forms[i], path, sizeof path);
            CHECK_OK(cot_file_read(&now, &now_size, path, 1 << 20, &err));
            if (k) CHECK(now && now_size == size[i] && !memcmp(now, bytes[i], now_size));
            if (k) free(bytes[i]);
            bytes[i] = now;
            size[i] = now_size;
            if (k) free(now);
        }
        worker_close(&w);
        if (k) break;
        cot_pause(1100); /* the clock's second must have changed */
        snprintf(command, sizeof command, "rm -r %s/db* %s/reports/* && cp %s/kept/db* %s", config.store, config.store,
                 folder, config.store);
        REQUIRE(system(command) == 0);
    }
}
TEST(worker_that_reads_a_job_again_writes_the_same_bytes)
{
    alone(read_again);
}

CHECK_MAIN
