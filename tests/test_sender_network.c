/* links: plugin dicom config */
/* The sender over loopback against this project's own receiver, which answers by script.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sender.h"
#include "tests/dicom_maker.h"
#include "tests/store_fixture.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- the peer: a process that forks one per association. One letter per object: . 0000, a A700, c C000, k it dies ---- */
typedef struct peer_script {
    char letters[32];
    int at;
} peer_script;

static cot_status place_object(void *ctx, char *path, size_t size, cot_error *err)
{
    const peer_script *p = ctx;
    snprintf(path, size, "%s/incoming/peer-%d", folder, p->at);
    return p->letters[p->at] == 'a' ? cot_fail(err, COT_E_LIMIT, "disk full") : COT_OK;
}
static cot_status store_object(void *ctx, const cot_received *object, cot_error *err)
{
    peer_script *p = ctx;
    const char letter = p->letters[p->at++];
    unlink(object->path);
    if (letter == 'k') kill(getpid(), SIGKILL);
    return letter == '.' ? COT_OK : cot_fail(err, COT_E_INPUT, "cannot understand");
}
static void object_refused(void *ctx, const cot_received *object, const cot_error *why)
{
    (void)ctx, (void)object, (void)why;
}
static bool accept_all(void *ctx, const char *calling, const char *host)
{
    (void)ctx, (void)host;
    return strcmp(calling, "NODE") == 0;
}

static void serve_script(int listener, peer_script *script)
{
    const cot_scp_handler handler = {script, place_object, store_object, object_refused};
    const cot_scp_options options = {.called_ae = "PACSAE",
                                     .accept = accept_all,
                                     .pdu = 16384,
                                     .acse_timeout_s = 10,
                                     .dimse_timeout_s = 10,
                                     .limits = COT_GUARD_LIMITS_INIT};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        cot_error err = COT_ERROR_INIT;
        const int fd = accept(listener, NULL, NULL);
        if (fd < 0) _exit(1);
        const pid_t child = fork();
        if (child == 0) {
            cot_scp_serve(fd, "127.0.0.1", &options, &handler, &err);
            _exit(0);
        }
        close(fd);
        waitpid(child, NULL, 0);
        if (script->letters[script->at] == 'a') script->at++; /* refused before it was received */
    }
}

static int listen_anywhere(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        abort();
    *port = ntohs(at.sin_port);
    return fd;
}

typedef struct scene {
    cot_store *store;
    sender s;
    cot_config config;
    cot_config_destination to;
    peer_script *script;
    pid_t peer;
} scene;

static int64_t fake_ms;
static int64_t fake_clock_ms(void)
{
    return fake_ms;
}

/* n reports in the store, the peer listening, the sender ready. script NULL: nobody listens. */
static void begin(scene *c, int n, const char *script)
{
    cot_error err = COT_ERROR_INIT;
    char job[COT_JOB_ID], sop[32], path[1024];
    cot_job claimed;
    size_t got;
    c->store = open_new();
    for (int i = 0; i < n; i++) {
        maker m = {0};
        snprintf(sop, sizeof sop, "1.2.3.%d", i + 1);
        fake_now++;
        receive_ok(c->store, sop, "aa", "1", job);
        CHECK_OK(cot_store_claim(c->store, "w", 0, &claimed, 1, &got, &err));
        CHECK_OK(report(c->store, claimed.id, &err));
        cot_store_report_path(c->store, claimed.id, "reading", path, sizeof path); /* over the fixture's file */
        put_image(&m, CR_CLASS, sop, EXPLICIT, 4, 4);
        CHECK(maker_write(&m, path));
        maker_free(&m);
    }
    c->config = (cot_config){.ae = "NODE"};
    c->to = (cot_config_destination){.name = "PACS",
                                     .host = "127.0.0.1",
                                     .ae = "PACSAE",
                                     .retry_hours = 72,
                                     .retry_first_s = 10,
                                     .retry_max_s = 3600,
                                     .timeout_s = 10,
                                     .pdu = 16384};
    const int listener = listen_anywhere(&c->to.port);
    c->script = mmap(NULL, sizeof *c->script, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c->script == MAP_FAILED) abort();
    snprintf(c->script->letters, sizeof c->script->letters, "%s", script ? script : "");
    c->peer = script ? fork() : -1;
    if (c->peer == 0) serve_script(listener, c->script);
    close(listener);
    sender_init(&c->s, c->store, &c->config, &c->to);
    c->s.now_ms = fake_clock_ms;
    c->s.started_ms = fake_ms;
}

static void end(scene *c)
{
    if (c->peer > 0) {
        kill(c->peer, SIGKILL);
        waitpid(c->peer, NULL, 0);
    }
    munmap(c->script, sizeof *c->script);
    close_and_remove(c->store);
}

static void turn_after(scene *c, double seconds)
{
    cot_error err = COT_ERROR_INIT;
    size_t sent;
    unsigned pause_ms;
    fake_ms += (int64_t)(seconds * 1e3);
    fake_now += (int64_t)(seconds * 1e6);
    CHECK_OK(sender_turn(&c->s, &sent, &pause_ms, &err));
}

static void check_states(scene *c, const char *want)
{
    char got[33] = "";
    sqlite3_stmt *stmt = NULL;
    CHECK(sqlite3_prepare_v2(c->store->db, "SELECT state FROM delivery ORDER BY id", -1, &stmt, NULL) == SQLITE_OK);
    for (int i = 0; i < 32 && sqlite3_step(stmt) == SQLITE_ROW; i++) got[i] = "wsd+x"[sqlite3_column_int(stmt, 0)];
    sqlite3_finalize(stmt);
    CHECK_TEXT(got, want); /* w waiting, s sending, d delivered, + dead */
}

TEST(peer_accepts_refuses_and_runs_out_of_resources)
{
    scene c;
    begin(&c, 3, ".ca.");
    turn_after(&c, 0);
    check_states(&c, "d+w");
    CHECK_NUMBER(number(c.store, "SELECT dimse>>12 FROM delivery WHERE id=2"), 0xC);
    CHECK_NUMBER(number(c.store, "SELECT dimse FROM delivery WHERE id=3"), 0xA700);
    turn_after(&c, 13);
    check_states(&c, "d+d");
    end(&c);
}

TEST(peer_that_dies_midway_gets_the_unanswered_ones_again)
{
    scene c;
    begin(&c, 4, ".k...");
    turn_after(&c, 0);
    check_states(&c, "dwww");
    turn_after(&c, 0.5);
    check_states(&c, "dwww");
    turn_after(&c, 30);
    check_states(&c, "dddd");
    CHECK_NUMBER(c.script->at, 5);
    end(&c);
}

TEST(nobody_listening_and_a_wrong_title_keep_the_report_waiting_with_the_reason)
{
    scene c;
    begin(&c, 1, NULL);
    turn_after(&c, 0);
    check_states(&c, "w");
    CHECK_NUMBER(number(c.store, "SELECT text LIKE '127.0.0.1:%no connection%' FROM delivery"), 1);
    end(&c);
    begin(&c, 1, "..");
    snprintf(c.to.ae, sizeof c.to.ae, "WRONG");
    turn_after(&c, 0);
    check_states(&c, "w");
    CHECK_NUMBER(number(c.store, "SELECT text LIKE '%called AE title not recognised%' FROM delivery"), 1);
    snprintf(c.to.ae, sizeof c.to.ae, "PACSAE");
    turn_after(&c, 13);
    check_states(&c, "d");
    end(&c);
}

/* Looks until the delivery is in this state; false after 20 s. */
static bool comes_to(scene *c, int state)
{
    for (int i = 0; i < 2000; i++) {
        if (number(c->store, "SELECT min(state) FROM delivery") == state) return true;
        usleep(10000);
    }
    return false;
}

TEST(running_sender_waits_for_a_full_peer_delivers_and_ends_on_sigterm)
{
    scene c;
    int result = -1;
    begin(&c, 1, "a.");
    snprintf(c.config.store, sizeof c.config.store, "%s", folder);
    c.to.retry_first_s = c.to.retry_max_s = 1;
    store_test_clock = NULL;
    const pid_t child = fork();
    if (child == 0) {
        cot_error err = COT_ERROR_INIT;
        _exit(cot_sender_run(&c.config, &c.to, &err) == COT_OK ? 0 : 1);
    }
    CHECK(comes_to(&c, COT_DELIVERY_DELIVERED));
    CHECK(kill(child, SIGTERM) == 0);
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result) && WEXITSTATUS(result) == 0);
    CHECK_NUMBER(number(c.store, "SELECT attempts FROM delivery"), 2);
    end(&c);
}

CHECK_MAIN
