/* links: plugin
 * The worker on a store in a temporary folder, with the demonstration model on any OpenCL device: good, refused and damaged
 * images in one batch, each ending in its own way. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/process.h"
#include "tests/worker_world.h"

#include <signal.h>
#include <sys/mman.h>

TEST(worker_stops_on_sigterm_with_exit_status_0)
{
    cot_config config = config_named("stop");
    int wait_status = -1, ready[2];
    char line[4096];
    size_t have = 0;
    CHECK(pipe(ready) == 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        cot_error e = COT_ERROR_INIT;
        dup2(ready[1], STDERR_FILENO);
        cot_log_to_stream(stderr, COT_INFO, "worker");
        _exit(cot_worker_run(&config, "worker0", &e) == COT_OK ? 0 : 1);
    }
    close(ready[1]);
    for (ssize_t got = 1; got > 0 && have < sizeof line - 1 && !(line[have] = 0, strstr(line, "worker.ready"));
         have += got > 0 ? (size_t)got : 0)
        got = read(ready[0], line + have, sizeof line - 1 - have);
    line[have] = 0;
    CHECK_HAS(line, "event=worker.ready");
    kill(pid, SIGTERM);
    CHECK(waitpid(pid, &wait_status, 0) == pid);
    CHECK_NUMBER(wait_status, 0);
    close(ready[0]);
}

static void mixed_batch(void)
{
    const cot_config config = config_named("batch");
    const cr_options good = {.seed = 1}, hip = {.seed = 2, .body_part = "HIP"}, gone = {.seed = 3},
                     broken = {.seed = 4};
    char jobs[4][COT_JOB_ID];
    const cr_options *const all[4] = {&good, &hip, &gone, &broken};
    worker w;
    size_t n = 0;
    for (int i = 0; i < 4; i++) receive(&config, all[i], jobs[i]);
    seen s = look_at(&config, jobs[2]);
    CHECK(unlink(s.job.object) == 0); /* the disk lost it */
    free(s.json);
    s = look_at(&config, jobs[3]);
    CHECK(truncate(s.job.object, 3000) == 0); /* and cut this one */
    free(s.json);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 4);

    s = look_at(&config, jobs[0]);
    CHECK_NUMBER(s.job.state, COT_JOB_REPORTED);
    CHECK_NUMBER(s.deliveries, 4); /* both reports, to both */
    CHECK_TEXT(s.job.reason, "");
    CHECK(access(s.job.report, R_OK) == 0);
    cot_chain *chain = NULL;
    CHECK_OK(cot_chain_from_json(&chain, s.json, strlen(s.json), w.steps, &err));
    CHECK(chain && chain->state != COT_CHAIN_REFUSED && chain->n_steps == w.steps->n_steps);
    CHECK(chain && chain->rendering[0] && !chain->forced_id[0]);
    cot_chain_destroy(chain);
    free(s.json);

    s = look_at(&config, jobs[1]);
    CHECK_NUMBER(s.job.state, COT_JOB_REPORTED);
    CHECK_NUMBER(s.deliveries, 1); /* only where refusals go */
    CHECK_HAS(s.job.reason, "HIP");
    CHECK(access(s.job.report, R_OK) == 0);
    CHECK_HAS(s.json, "body-part");
    free(s.json);

    s = look_at(&config, jobs[2]); /* without a readable header there is no patient to report on: parked for people */
    CHECK_NUMBER(s.job.state, COT_JOB_FAILED);
    CHECK_NUMBER(s.deliveries, 0);
    CHECK(s.job.reason[0]);
    free(s.json);

    s = look_at(&config, jobs[3]); /* the header is still there */
    CHECK_NUMBER(s.job.state, COT_JOB_REPORTED);
    CHECK_NUMBER(s.deliveries, 1);
    CHECK_HAS(s.json, "undecodable");
    free(s.json);
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 0);
    worker_close(&w);
}
TEST(worker_ends_each_image_of_a_batch_in_its_own_way)
{
    alone(mixed_batch);
}

static void two_versions(void)
{
    const cot_config config = config_named("versions");
    const cr_options first = {.seed = 5}, second = {.seed = 5, .pixels_seed = 1};
    char jobs[2][COT_JOB_ID];
    worker w;
    size_t n = 0;
    receive(&config, &first, jobs[0]);
    receive(&config, &second, jobs[1]);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1); /* the second waits for the first */
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1);
    seen a = look_at(&config, jobs[0]), b = look_at(&config, jobs[1]);
    CHECK_NUMBER(b.job.state, COT_JOB_REPORTED);
    CHECK_TEXT(b.job.predecessor, jobs[0]);
    CHECK_TEXT(b.job.predecessor_report, a.job.report);
    char *bytes = NULL;
    size_t size = 0;
    CHECK_OK(cot_file_read(&bytes, &size, b.job.report, 1 << 20, &err));
    CHECK(bytes && memmem(bytes, size, "\x40\x00\x60\xa3SQ", 6)); /* (0040,A360) Predecessor Documents Sequence */
    free(bytes);
    free(a.json);
    free(b.json);
    worker_close(&w);
}
TEST(worker_second_version_of_an_image_names_the_first_report)
{
    alone(two_versions);
}

static void dead_sandbox(void)
{
    const cot_config config = config_named("sandbox");
    const cr_options good = {.seed = 6};
    char job[COT_JOB_ID];
    worker w;
    size_t n = 0;
    int server = 0;
    receive(&config, &good, job);
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%d", &server) == 1 && server > 0);
    if (f) fclose(f);
    if (server > 0) kill(server, SIGKILL);
    CHECK_FAILS(worker_turn(&w, &n, &err), COT_E_BUG, "has ended");
    seen s = look_at(&config, job);
    CHECK_NUMBER(s.job.state, COT_JOB_READING);
    free(s.json);
    worker_close(&w);
}
TEST(worker_without_its_sandbox_leaves_the_claim_to_the_supervisor)
{
    alone(dead_sandbox);
}

static void dead_sandbox_batch(void)
{
    const cot_config config = config_named("sandbox2");
    char jobs[2][COT_JOB_ID], path[64];
    worker w;
    size_t n = 0;
    int server = 0;
    for (unsigned i = 0; i < 2; i++) {
        const cr_options good = {.seed = 20 + i};
        receive(&config, &good, jobs[i]);
    }
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%d", &server) == 1 && server > 0);
    if (f) fclose(f);
    if (server > 0) kill(server, SIGKILL);
    CHECK_FAILS(worker_turn(&w, &n, &err), COT_E_BUG, "has ended");
    CHECK_NUMBER(n, 2);
    for (int i = 0; i < 2; i++) {
        seen s = look_at(&config, jobs[i]);
        CHECK_NUMBER(s.job.state, COT_JOB_RECEIVED);
        CHECK(s.job.alone);
        free(s.json);
    }
    worker_close(&w);
}
TEST(worker_without_its_sandbox_gives_a_batch_back_to_be_read_one_by_one)
{
    alone(dead_sandbox_batch);
}

/* ---- faults of the machine: the sandbox's children that begin from one number to another are killed, or hang ---- */
static struct trouble {
    int calls, from, to;
    bool hang;
} * trouble; /* shared with the children */

static void make_trouble(const char *path)
{
    (void)path;
    const int call = __atomic_fetch_add(&trouble->calls, 1, __ATOMIC_SEQ_CST);
    if (call < trouble->from || call >= trouble->to) return;
    if (!trouble->hang) raise(SIGKILL);
    for (;;) pause();
}

static void open_troubled(worker *w, const cot_config *config, int from, int to, bool hang)
{
    trouble = mmap(NULL, sizeof *trouble, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(trouble != MAP_FAILED);
    *trouble = (struct trouble){.from = from, .to = to, .hang = hang};
    sandbox_before_work = make_trouble;
    REQUIRE_OK(worker_open(w, config, "worker0", &err));
}

static void killed_once(void)
{
    const cot_config config = config_named("killed");
    char jobs[2][COT_JOB_ID];
    worker w;
    size_t n = 0;
    for (unsigned i = 0; i < 2; i++) {
        const cr_options good = {.seed = 30 + i};
        receive(&config, &good, jobs[i]);
    }
    open_troubled(&w, &config, 0, 1, false); /* a decoder of the batch */
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 2);
    CHECK(w.strained);
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 1);
    CHECK(!w.strained);
    for (int i = 0; i < 2; i++) check_job(&config, jobs[i], COT_JOB_REPORTED, "");
    const cr_options third = {.seed = 32};
    receive(&config, &third, jobs[0]);
    trouble->from = trouble->calls + 1; /* a report writer */
    trouble->to = trouble->from + 1;
    CHECK_OK(worker_turn(&w, &n, &err));
    check_job(&config, jobs[0], COT_JOB_RECEIVED, "");
    CHECK_OK(worker_turn(&w, &n, &err));
    check_job(&config, jobs[0], COT_JOB_REPORTED, "");
    worker_close(&w);
}
TEST(worker_killed_decoder_or_report_writer_costs_a_good_image_nothing)
{
    alone(killed_once);
}

static void killed_always(void)
{
    const cot_config config = config_named("killer");
    const cr_options good = {.seed = 40};
    char job[COT_JOB_ID];
    worker w;
    size_t n = 0;
    receive(&config, &good, job);
    open_troubled(&w, &config, 0, 1000, false);
    for (int i = 0; i < 3; i++) {
        check_job(&config, job, COT_JOB_RECEIVED, "");
        CHECK_OK(worker_turn(&w, &n, &err));
        CHECK_NUMBER(n, 1);
    }
    check_job(&config, job, COT_JOB_FAILED, "killed (out of memory?)");
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 0);
    worker_close(&w);
}
TEST(worker_parks_an_image_whose_decoder_is_killed_three_times_alone)
{
    alone(killed_always);
}

static void hangs(void)
{
    cot_config config = config_named("hangs");
    char jobs[2][COT_JOB_ID];
    worker w;
    size_t n = 0;
    config.decode_timeout_s = 2;
    for (unsigned i = 0; i < 2; i++) {
        const cr_options good = {.seed = 50 + i};
        receive(&config, &good, jobs[i]);
        if (i == 0) open_troubled(&w, &config, 0, 2, true);
        trouble->calls = i == 0 ? 0 : 1; /* the first hangs twice, the second once */
        CHECK_OK(worker_turn(&w, &n, &err));
        check_job(&config, jobs[i], COT_JOB_RECEIVED, "");
        CHECK_OK(worker_turn(&w, &n, &err));
        CHECK_NUMBER(n, 1);
        check_job(&config, jobs[i], COT_JOB_REPORTED, i == 0 ? "longer than 2 s" : "");
    }
    worker_close(&w);
}
TEST(worker_tries_a_time_out_once_more_alone_before_it_refuses_the_image)
{
    alone(hangs);
}

static void in_slices(void)
{
    const cot_config config = config_named("slices");
    char jobs[4][COT_JOB_ID];
    worker w;
    size_t n = 0;
    for (unsigned i = 0; i < 4; i++) {
        const cr_options good = {.seed = 60 + i};
        receive(&config, &good, jobs[i]);
    }
    worker_decoded_bytes = 1;
    REQUIRE_OK(worker_open(&w, &config, "worker0", &err));
    w.parallel = 1;
    CHECK_OK(worker_turn(&w, &n, &err));
    CHECK_NUMBER(n, 4);
    for (int i = 0; i < 4; i++) check_job(&config, jobs[i], COT_JOB_REPORTED, "");
    worker_close(&w);
}
TEST(worker_reads_a_batch_in_slices_that_memory_may_hold)
{
    alone(in_slices);
}

CHECK_MAIN
