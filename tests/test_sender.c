/* links: plugin dicom config */
/* The sender against a scripted peer: what it records for each answer, when it tries again, what it does not repeat.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sender.h"
#include "tests/store_fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- a peer by script: one letter per object, in order of arrival ----
 * . success  b warning B007  a A700  9 A900  c C000  x the connection breaks here  u the association does not stand
 * n no context for its class */
static const char *script;
static int associations, objects_seen;
static cot_status scripted_send(const cot_scu_peer *peer, cot_scu_object *objects, size_t n, cot_error *err)
{
    static const struct {
        char letter;
        cot_sent sent;
        unsigned dimse;
    } answers[] = {
        {'.', COT_SENT_DELIVERED, 0}, {'b', COT_SENT_DELIVERED, 0xB007}, {'a', COT_SENT_RETRY, 0xA700},
        {'9', COT_SENT_DEAD, 0xA900}, {'c', COT_SENT_DEAD, 0xC000},      {'n', COT_SENT_DEAD, 0},
        {'x', COT_SENT_RETRY, 0},
    };
    bool lost = false;
    associations++;
    CHECK_TEXT(peer->called_ae, "PACSAE");
    CHECK_TEXT(peer->calling_ae, "NODE");
    if (*script == 'u') {
        script++;
        for (size_t i = 0; i < n; i++) objects[i].sent = COT_SENT_RETRY;
        return cot_fail(err, COT_E_NETWORK, "127.0.0.1:1: connection refused");
    }
    for (size_t i = 0; i < n && !lost; i++, script++) {
        if (!*script) {
            CHECK_FAIL_("the sender sends more than the script expects");
            return COT_OK;
        }
        size_t k = 0;
        while (k < 6 && answers[k].letter != *script) k++;
        objects[i].sent = answers[k].sent;
        objects[i].dimse = answers[k].dimse;
        objects[i].no_context = *script == 'n';
        snprintf(objects[i].text, sizeof objects[i].text, "answer %04X", answers[k].dimse);
        lost = *script == 'x';
        objects_seen++;
    }
    return COT_OK;
}

static int64_t fake_ms;
static int64_t fake_clock_ms(void)
{
    return fake_ms;
}
static void pass(double seconds)
{
    fake_ms += (int64_t)(seconds * 1e3);
    fake_now += (int64_t)(seconds * 1e6);
}

static const cot_config config = {.ae = "NODE"};
static const cot_config_destination pacs = {.name = "PACS",
                                            .host = "127.0.0.1",
                                            .port = 1,
                                            .ae = "PACSAE",
                                            .retry_hours = 72,
                                            .retry_first_s = 10,
                                            .retry_max_s = 3600,
                                            .timeout_s = 5,
                                            .pdu = 16384};

static void begin(sender *s, cot_store *store, const char *plan)
{
    sender_init(s, store, &config, &pacs);
    s->send = scripted_send;
    s->now_ms = fake_clock_ms;
    s->started_ms = fake_ms;
    script = plan;
    associations = objects_seen = 0;
}

/* n reports, one after the other, each with a file. */
static void make_reports(cot_store *store, int n)
{
    cot_error err = COT_ERROR_INIT;
    char job[COT_JOB_ID], sop[32], path[1024];
    cot_job claimed;
    size_t got = 0;
    for (int i = 0; i < n; i++) {
        snprintf(sop, sizeof sop, "1.%lld.%d", number(store, "SELECT count(*) FROM job"), i + 1);
        fake_now++;
        receive_ok(store, sop, "aa", "1", job);
        CHECK_OK(cot_store_claim(store, "w", 0, &claimed, 1, &got, &err));
        cot_store_report_path(store, claimed.id, "reading", path, sizeof path);
        CHECK_OK(cot_file_write_durable(path, "report", 6, &err));
        CHECK_OK(report(store, claimed.id, &err));
    }
}

static size_t turn(sender *s, unsigned *pause_ms)
{
    cot_error err = COT_ERROR_INIT;
    size_t sent = 0;
    unsigned unused = 0;
    CHECK_OK(sender_turn(s, &sent, pause_ms ? pause_ms : &unused, &err));
    return sent;
}

static long long in_state(cot_store *store, cot_delivery_state state)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM delivery WHERE state=%d", (int)state);
    return number(store, sql);
}

static bool last_text_has(cot_store *store, int delivery, const char *part)
{
    sqlite3_stmt *stmt = NULL;
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT text FROM delivery WHERE id=%d", delivery);
    CHECK(sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) == SQLITE_OK);
    const bool has = sqlite3_step(stmt) == SQLITE_ROW && strstr((const char *)sqlite3_column_text(stmt, 0), part);
    sqlite3_finalize(stmt);
    return has;
}

/* ---- back-off ---- */
TEST(back_off_doubles_from_the_first_up_to_the_longest_and_is_spread_by_a_fifth)
{
    static const double want[] = {10, 20, 40, 80, 160, 300, 300};
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
        CHECK_NEAR(sender_back_off_s(10, 300, i + 1, 0.5), want[i], 1e-9);
        CHECK_NEAR(sender_back_off_s(10, 300, i + 1, 0), want[i] * 0.8, 1e-9);
        const double most = want[i] * 1.2 > 300 ? 300 : want[i] * 1.2;
        CHECK_NEAR(sender_back_off_s(10, 300, i + 1, 1), most, 1e-9);
    }
    CHECK_NEAR(sender_back_off_s(10, 300, 4000000000u, 0.5), 300, 1e-9);
    CHECK_NEAR(sender_back_off_s(10, 5, 1, 0.5), 5, 1e-9);
}

/* ---- answers ---- */
TEST(each_answer_of_the_peer_leads_to_its_state)
{
    cot_store *store = open_new();
    sender s;
    make_reports(store, 5);
    begin(&s, store, ".ba9c");
    CHECK_NUMBER(turn(&s, NULL), 5);
    CHECK_NUMBER(associations, 1);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=1"), COT_DELIVERY_DELIVERED);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=2"), COT_DELIVERY_DELIVERED);
    CHECK_NUMBER(number(store, "SELECT dimse FROM delivery WHERE id=2"), 0xB007);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=3"), COT_DELIVERY_WAITING);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=4"), COT_DELIVERY_DEAD);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=5"), COT_DELIVERY_DEAD);
    CHECK_NUMBER(number(store, "SELECT dimse FROM delivery WHERE id=5"), 0xC000);
    const long long delay_us = number(store, "SELECT next_us FROM delivery WHERE id=3") - fake_now;
    CHECK(delay_us >= 8000000 && delay_us <= 12000000);
    close_and_remove(store);
}

TEST(out_of_resources_is_tried_again_and_then_delivered_once)
{
    cot_store *store = open_new();
    sender s;
    make_reports(store, 1);
    begin(&s, store, "aa.");
    CHECK_NUMBER(turn(&s, NULL), 1);
    CHECK_NUMBER(turn(&s, NULL), 0);
    pass(13);
    CHECK_NUMBER(turn(&s, NULL), 1);
    pass(13); /* the second pause is twice as long */
    CHECK_NUMBER(turn(&s, NULL), 0);
    pass(13);
    CHECK_NUMBER(turn(&s, NULL), 1);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 1);
    CHECK_NUMBER(number(store, "SELECT attempts FROM delivery"), 3);
    pass(90000);
    CHECK_NUMBER(turn(&s, NULL), 0);
    CHECK_NUMBER(associations, 3);
    close_and_remove(store);
}

TEST(unreachable_peer_is_asked_once_per_pause_whatever_waits_for_it)
{
    cot_store *store = open_new();
    sender s;
    unsigned pause_ms = 0;
    make_reports(store, 20); /* more than a round */
    begin(&s, store, "uuu.....................");
    CHECK_NUMBER(turn(&s, NULL), SENDER_BATCH);
    for (int i = 0; i < 10; i++) CHECK_NUMBER(turn(&s, &pause_ms), 0);
    CHECK(pause_ms > 7000 && pause_ms <= 12000);
    CHECK_NUMBER(associations, 1);
    make_reports(store, 1); /* a new one waits as well */
    CHECK_NUMBER(turn(&s, NULL), 0);
    pass(12.1);
    CHECK(turn(&s, NULL) > 0);
    CHECK_NUMBER(associations, 2);
    pass(12.1);
    CHECK_NUMBER(turn(&s, NULL), 0); /* 16 to 24 s now */
    pass(12.1);
    CHECK(turn(&s, NULL) > 0);
    CHECK_NUMBER(associations, 3);
    CHECK(last_text_has(store, 1, "connection refused"));
    for (int i = 0; i < 20; i++) {
        pass(100);
        turn(&s, NULL);
    }
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 21);
    CHECK_NUMBER(objects_seen, 21); /* none twice */
    close_and_remove(store);
}

TEST(connection_lost_midway_repeats_only_what_was_not_answered)
{
    cot_store *store = open_new();
    sender s;
    make_reports(store, 5);
    begin(&s, store, "..x....");
    CHECK_NUMBER(turn(&s, NULL), 5);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 2);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_WAITING), 3);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_SENDING), 0);
    CHECK_NUMBER(number(store, "SELECT attempts FROM delivery WHERE id=3"), 1);
    CHECK_NUMBER(number(store, "SELECT attempts FROM delivery WHERE id=4"), 0); /* was not tried */
    CHECK_NUMBER(turn(&s, NULL), 0);                                            /* and rests a while */
    pass(30);
    turn(&s, NULL);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 5);
    CHECK_NUMBER(objects_seen, 6);
    close_and_remove(store);
}

TEST(delivery_is_given_up_after_its_hours_but_not_right_after_a_long_power_cut)
{
    cot_store *store = open_new();
    sender s;
    make_reports(store, 1);
    pass(100 * 3600.0); /* switched off for days */
    begin(&s, store, "uuuuuuuuuuuuuuu");
    CHECK_NUMBER(turn(&s, NULL), 1);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_WAITING), 1);
    for (int i = 0; i < 14 && in_state(store, COT_DELIVERY_DEAD) == 0; i++) {
        pass(3601);
        turn(&s, NULL);
    }
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DEAD), 1);
    CHECK(last_text_has(store, 1, "gave up after 101.0 h and 2 attempts; last: 127.0.0.1:1: connection refused"));
    close_and_remove(store);
}

/* A job with a reading report and one of another kind for the destination. */
static void make_two(cot_store *store, const char *sop, const char *kind)
{
    cot_error err = COT_ERROR_INIT;
    char job[COT_JOB_ID], path[2][1024];
    cot_job claimed;
    size_t got = 0;
    receive_ok(store, sop, "aa", "1", job);
    CHECK_OK(cot_store_claim(store, "w", 0, &claimed, 1, &got, &err));
    for (int i = 0; i < 2; i++) {
        cot_store_report_path(store, job, i ? kind : "reading", path[i], sizeof path[i]);
        CHECK_OK(cot_file_write_durable(path[i], "report", 6, &err));
    }
    const cot_store_report made = {.report = path[0], .sop_instance = "2.25.1", .series = "2.25.2"};
    const cot_store_post posts[2] = {{"PACS", "reading", path[0], NULL, NULL}, {"PACS", kind, path[1], NULL, NULL}};
    CHECK_OK(cot_store_reported(store, job, &made, posts, 2, &err));
}

static void gets_reports_alone(const char *kind, const char *advice)
{
    cot_store *store = open_new();
    sender s;
    char log[4096] = "";
    size_t lines = 0;
    FILE *stream = tmpfile();
    REQUIRE(stream);
    cot_log_to_stream(stream, COT_INFO, "sender");
    make_two(store, "1.1", kind);
    make_two(store, "1.2", kind);
    begin(&s, store, ".n.n");
    CHECK_NUMBER(turn(&s, NULL), 4);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 2);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DROPPED), 2);
    CHECK_NUMBER(number(store, "SELECT count(*) FROM delivery WHERE state=4 AND kind<>'reading'"), 2);
    CHECK_NUMBER(turn(&s, NULL), 0);
    cot_log_to_stream(stderr, COT_INFO, "test");
    rewind(stream);
    log[fread(log, 1, sizeof log - 1, stream)] = 0;
    fclose(stream);
    for (const char *at = log; (at = strstr(at, "event=send.unwanted")); at++) lines++;
    CHECK_NUMBER(lines, 1);
    CHECK_HAS(log, "destination=PACS kind=");
    CHECK_HAS(log, kind);
    CHECK_HAS(log, advice);
    close_and_remove(store);
}
TEST(peer_without_measurement_classes_gets_the_reading_reports_alone_and_the_log_says_so_once)
{
    gets_reports_alone("measurement", "or set report=reading");
}
TEST(peer_without_secondary_capture_gets_the_reports_alone_and_the_log_says_so_once)
{
    gets_reports_alone("capture", "or set capture=false");
}

TEST(peer_that_shall_get_measurements_only_and_takes_none_is_for_people_to_look_at)
{
    cot_store *store = open_new();
    sender s;
    cot_config_destination only = pacs;
    snprintf(only.report, sizeof only.report, "measurement");
    make_two(store, "1.1", "measurement");
    begin(&s, store, "nn");
    s.to = &only;
    CHECK_NUMBER(turn(&s, NULL), 2); /* a reading report without a context is dead, too */
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DEAD), 2);
    close_and_remove(store);
}

TEST(missing_report_file_is_dead_with_that_reason_and_the_others_go_out)
{
    cot_store *store = open_new();
    sender s;
    char command[128];
    make_reports(store, 1);
    snprintf(command, sizeof command, "rm '%s'/reports/*.dcm", folder);
    CHECK(system(command) == 0);
    make_reports(store, 2);
    begin(&s, store, "..");
    turn(&s, NULL);
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=1"), COT_DELIVERY_DEAD);
    CHECK(last_text_has(store, 1, "is missing from the store"));
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 2);
    close_and_remove(store);
}

/* ---- dying ---- */
/* A sender in a process of its own that is killed after it took its round and had `answered` answers recorded. */
static void die_after(int answered)
{
    const pid_t child = fork();
    if (child == 0) {
        cot_error err = COT_ERROR_INIT;
        cot_store *mine = NULL;
        cot_delivery d[8];
        size_t n = 0;
        if (cot_store_open(&mine, folder, &err) != COT_OK) _exit(1);
        if (cot_store_take(mine, "sender-PACS", "PACS", d, 8, &n, &err) != COT_OK) _exit(1);
        for (int i = 0; i < answered && i < (int)n; i++)
            if (cot_store_delivered(mine, d[i].id, 0, "", &err) != COT_OK) _exit(1);
        kill(getpid(), SIGKILL);
    }
    int result = 0;
    CHECK(waitpid(child, &result, 0) == child && WIFSIGNALED(result));
}

TEST(killed_sender_sends_again_only_what_was_not_acknowledged)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    sender s;
    size_t n = 0;
    make_reports(store, 5);
    die_after(2);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_SENDING), 3);
    begin(&s, store, "...");
    CHECK_NUMBER(turn(&s, NULL), 0); /* another's claim is not touched */
    CHECK_OK(cot_store_release(store, NULL, &n, &err));
    CHECK_NUMBER(n, 3);
    turn(&s, NULL);
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 5);
    CHECK_NUMBER(objects_seen, 3);
    close_and_remove(store);
}

TEST(report_that_kills_the_sender_three_times_is_put_aside_alone)
{
    cot_error err = COT_ERROR_INIT;
    cot_store *store = open_new();
    sender s;
    make_reports(store, 3);
    for (int i = 0; i < 3; i++) {
        die_after(0);
        CHECK_NUMBER(in_state(store, COT_DELIVERY_SENDING), i == 0 ? 3 : 1);
        CHECK_OK(cot_store_release(store, "sender-PACS", NULL, &err));
    }
    CHECK_NUMBER(number(store, "SELECT state FROM delivery WHERE id=1"), COT_DELIVERY_DEAD);
    CHECK(last_text_has(store, 1, "the sender died"));
    begin(&s, store, "...");
    for (int i = 0; i < 3; i++) turn(&s, NULL); /* suspects alone */
    CHECK_NUMBER(in_state(store, COT_DELIVERY_DELIVERED), 2);
    close_and_remove(store);
}

CHECK_MAIN
