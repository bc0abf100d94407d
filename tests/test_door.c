/* links: plugin
 * The front door in a process of its own, on any free port, with a store in a temporary folder: who comes in, what is kept,
 * what hostile or idle callers cost. Uses DCMTK's echoscu and storescu as callers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/door.h"
#include "plugin/node.h"
#include "plugin/process.h"
#include "tests/check.h"
#include "tests/cr_file.h"
#include "tests/log_lines.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static cot_error err;

/* ---- a door per test ---- */
typedef struct house {
    cot_config config;
    cot_config_accept accept[2];
    char log[96];
    int fd;
    unsigned port;
    pid_t door;
} house;

static void house_init(house *h, const char *name)
{
    memset(h, 0, sizeof *h);
    snprintf(h->config.ae, sizeof h->config.ae, "STEPCOT");
    snprintf(h->config.bind, sizeof h->config.bind, "127.0.0.1");
    snprintf(h->config.store, sizeof h->config.store, "%s/%s", folder, name);
    snprintf(h->log, sizeof h->log, "%s/%s.log", folder, name);
    h->config.max_associations = 4;
    h->config.pdu = 65536;
    h->config.acse_timeout_s = h->config.dimse_timeout_s = 10;
    h->config.max_object_mib = 16;
    h->config.n_accept = 1;
    h->config.accept = h->accept;
    snprintf(h->accept[0].ae, sizeof h->accept[0].ae, "*");
    snprintf(h->accept[0].host, sizeof h->accept[0].host, "localhost");
}

static bool house_open(house *h)
{
    cot_store *store = NULL; /* made here, so that a test without objects can count too */
    if (cot_store_open(&store, h->config.store, &err) != COT_OK || door_listen(&h->fd, &h->config, &err) != COT_OK) {
        CHECK_TEXT(err.text, "no error");
        return false;
    }
    cot_store_close(store);
    h->port = door_port(h->fd);
    fflush(NULL);
    h->door = fork();
    if (h->door == 0) {
        cot_error e = COT_ERROR_INIT;
        const int log = open(h->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, STDERR_FILENO); /* children keep only the standard files */
        cot_log_to_stream(stderr, COT_INFO, "door");
        _exit(cot_door_run(&h->config, h->fd, &e) == COT_OK ? 0 : 1);
    }
    return h->port != 0;
}

static char *house_log(const house *h) /* caller frees */
{
    size_t size;
    char *text = NULL;
    return cot_file_read(&text, &size, h->log, 16 << 20, NULL) == COT_OK ? text : strdup("");
}

static bool logged(const house *h, const char *part)
{
    for (int i = 0; i < 1000; i++, usleep(10000)) {
        char *text = house_log(h);
        const bool found = strstr(text, part) != NULL;
        free(text);
        if (found) return true;
    }
    return false;
}

static size_t children_of(pid_t pid)
{
    char path[64];
    int child;
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    FILE *f = fopen(path, "r");
    while (f && fscanf(f, "%d", &child) == 1) n++;
    if (f) fclose(f);
    return n;
}

static bool children_become(const house *h, size_t n)
{
    for (int i = 0; i < 1000 && children_of(h->door) != n; i++) usleep(10000);
    return children_of(h->door) == n;
}

static void house_close(house *h)
{
    int wait_status = -1;
    const int64_t before = process_now_ms();
    kill(h->door, SIGTERM);
    CHECK(waitpid(h->door, &wait_status, 0) == h->door);
    CHECK_NUMBER(wait_status, 0);
    CHECK(process_now_ms() - before < 5000);
    char *log = house_log(h);
    check_log_lines(log);
    free(log);
    close(h->fd);
}

static size_t jobs_in(const house *h)
{
    cot_store *store = NULL;
    cot_store_counts counts = {{0}, {0}};
    CHECK_OK(cot_store_open(&store, h->config.store, &err));
    CHECK_OK(cot_store_count(store, &counts, &err));
    cot_store_close(store);
    return counts.job[COT_JOB_RECEIVED];
}

/* ---- callers ---- */
static char said[8192];

/* Runs TOOL AND OPTIONS 127.0.0.1 PORT FILE; exit code, and what it said in `said`. */
static int call(const house *h, const char *tool, const char *file)
{
    char command[512];
    snprintf(command, sizeof command, "%s 127.0.0.1 %u %s 2>&1", tool, h->port, file);
    FILE *p = popen(command, "r");
    if (!p) return -1;
    const size_t n = fread(said, 1, sizeof said - 1, p);
    said[n] = 0;
    return pclose(p);
}

static int dial(const house *h)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s >= 0 && connect(s, (struct sockaddr *)&to, sizeof to) == 0) return s;
    close(s);
    return -1;
}

/* Sends bytes and waits until the door hangs up; the first `size` bytes of its answer. */
static size_t say_bytes(const house *h, const void *bytes, size_t n, unsigned char *answer, size_t size)
{
    const int s = dial(h);
    size_t have = 0;
    if (s < 0) return 0;
    CHECK(send(s, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
    for (ssize_t got = 1; got > 0 && have<size; have += got> 0 ? (size_t)got : 0)
        got = recv(s, answer + have, size - have, 0);
    close(s);
    return have;
}

static const char *cr_named(const char *name, unsigned seed, unsigned pixels_seed)
{
    static char path[128];
    const cr_options cr = {.seed = seed, .pixels_seed = pixels_seed, .side = 256};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(cr_write(path, &cr) == 0);
    return path;
}

TEST(door_answers_echo_and_keeps_an_object_before_it_says_success)
{
    house h;
    house_init(&h, "keep");
    REQUIRE(house_open(&h));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    CHECK_NUMBER(call(&h, "storescu -to 10 -ta 10 -td 10 -aec STEPCOT", cr_named("a.dcm", 1, 0)), 0);
    CHECK_NUMBER(jobs_in(&h), 1);
    CHECK(logged(&h, "event=object.received job="));
    CHECK(logged(&h, "event=association.end"));
    CHECK(children_become(&h, 0));
    char *log = house_log(&h);
    CHECK(!strstr(log, "1.2.826") && !strstr(log, "Invented") && !strstr(log, "TEST-1"));
    CHECK_HAS(log, "stored=1 refused=0");
    free(log);
    house_close(&h);
}

TEST(door_same_object_twice_is_one_job_other_bytes_are_another)
{
    house h;
    house_init(&h, "twice");
    REQUIRE(house_open(&h));
    for (int i = 0; i < 2; i++)
        CHECK_NUMBER(call(&h, "storescu -to 10 -ta 10 -td 10 -aec STEPCOT", cr_named("b.dcm", 2, 0)), 0);
    CHECK(logged(&h, "event=object.duplicate job="));
    CHECK_NUMBER(jobs_in(&h), 1);
    CHECK_NUMBER(call(&h, "storescu -to 10 -ta 10 -td 10 -aec STEPCOT", cr_named("b.dcm", 2, 9)), 0);
    CHECK_NUMBER(jobs_in(&h), 2);
    house_close(&h);
}

TEST(door_rejects_other_titles)
{
    house h;
    house_init(&h, "titles");
    snprintf(h.accept[0].ae, sizeof h.accept[0].ae, "ROUTER");
    REQUIRE(house_open(&h));
    CHECK(call(&h, "echoscu -to 10 -ta 10 -td 10 -aet ROUTER -aec OTHER", "") != 0);
    CHECK_HAS(said, "Called AE Title Not Recognized");
    CHECK(call(&h, "echoscu -to 10 -ta 10 -td 10 -aet NOBODY -aec STEPCOT", "") != 0);
    CHECK_HAS(said, "Calling AE Title Not Recognized");
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aet ROUTER -aec STEPCOT", ""), 0);
    CHECK(logged(&h, "event=association.reject"));
    house_close(&h);
}

TEST(door_turns_unknown_hosts_away_without_an_association)
{
    house h;
    house_init(&h, "strangers");
    snprintf(h.accept[0].host, sizeof h.accept[0].host, "10.0.0.0/8");
    REQUIRE(house_open(&h));
    CHECK(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", "") != 0);
    CHECK_HAS(said, "Calling AE Title Not Recognized");
    CHECK(logged(&h, "no <accept> names this host"));
    house_close(&h);
}

TEST(door_says_local_limit_exceeded_and_serves_again_afterwards)
{
    house h;
    house_init(&h, "limit");
    h.config.max_associations = 1;
    REQUIRE(house_open(&h));
    const int holder = dial(&h);
    CHECK(send(holder, "\1", 1, MSG_NOSIGNAL) == 1); /* the first byte of a request: this is an association now */
    CHECK(children_become(&h, 1));
    CHECK(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", "") != 0);
    CHECK_HAS(said, "Local Limit Exceeded");
    CHECK_HAS(said, "Transient");
    CHECK(logged(&h, "local limit"));
    close(holder);
    CHECK(children_become(&h, 0));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    house_close(&h);
}

TEST(door_names_http_and_tls_and_stays_up)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: node\r\n\r\n";
    static const unsigned char tls[] = {0x16, 3, 1, 0, 0xc8, 1, 0, 0, 0xc4, 3,  3, 1,
                                        2,    3, 4, 5, 6,    7, 8, 9, 10,   11, 12};
    static const unsigned char huge[] = {1, 0, 0xff, 0xff, 0xff, 0xff, 0, 1};
    unsigned char answer[64];
    house h;
    house_init(&h, "foreign");
    REQUIRE(house_open(&h));
    say_bytes(&h, http, sizeof http - 1, answer, sizeof answer);
    CHECK(logged(&h, "HTTP"));
    say_bytes(&h, tls, sizeof tls, answer, sizeof answer);
    CHECK(logged(&h, "TLS"));
    say_bytes(&h, huge, sizeof huge, answer, sizeof answer);
    CHECK(children_become(&h, 0));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    house_close(&h);
}

static long rss_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
    if (f) fclose(f);
    return kib;
}

TEST(door_health_checks_are_silent_and_cost_nothing)
{
    house h;
    house_init(&h, "health");
    REQUIRE(house_open(&h));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    CHECK(logged(&h, "association.end"));
    char *before = house_log(&h);
    const long rss = rss_kib(h.door);
    for (int i = 0; i < 1000; i++) {
        const int s = dial(&h);
        CHECK(s >= 0);
        close(s);
    }
    CHECK_NUMBER(call(&h, "storescu -to 10 -ta 10 -td 10 -aec STEPCOT", cr_named("c.dcm", 3, 0)),
                 0); /* it has dealt with all of them */
    CHECK(logged(&h, "stored=1"));
    CHECK(children_become(&h, 0));
    CHECK(rss > 0 && rss_kib(h.door) - rss < 512);
    char *after = house_log(&h), *line = after + strlen(before);
    CHECK_HAS(line, "association.accept"); /* the first line since is of storescu: none for 1000 connections */
    CHECK(strstr(line, "association.accept") < strchr(line, '\n'));
    free(before);
    free(after);
    house_close(&h);
}

TEST(door_is_not_blocked_by_silent_connections)
{
    int idle[200];
    house h;
    house_init(&h, "idle");
    REQUIRE(house_open(&h));
    for (int i = 0; i < 200; i++) idle[i] = dial(&h);
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    CHECK(logged(&h, "too many silent connections"));
    CHECK(children_become(&h, 0));
    for (int i = 0; i < 200; i++) close(idle[i]);
    house_close(&h);
}

TEST(door_silence_is_ended_by_the_time_out)
{
    house h;
    char byte;
    house_init(&h, "silence");
    h.config.acse_timeout_s = 1;
    REQUIRE(house_open(&h));
    const int idle = dial(&h), half = dial(&h);
    CHECK(send(half, "\1\0", 2, MSG_NOSIGNAL) == 2);
    struct pollfd gone[2] = {{.fd = idle, .events = POLLIN}, {.fd = half, .events = POLLIN}};
    CHECK(poll(&gone[0], 1, 10000) == 1 && recv(idle, &byte, 1, 0) == 0);
    CHECK(poll(&gone[1], 1, 10000) == 1);
    CHECK(logged(&h, "silent for 1 s"));
    CHECK(children_become(&h, 0));
    close(idle);
    close(half);
    house_close(&h);
}

TEST(door_full_disk_is_a700)
{
    house h;
    house_init(&h, "full");
    h.config.watermark_mib = (size_t)1 << 40;
    REQUIRE(house_open(&h));
    call(&h, "storescu -v -to 10 -ta 10 -td 10 -aec STEPCOT", cr_named("d.dcm", 4, 0));
    CHECK_HAS(said, "OutOfResources");
    CHECK(logged(&h, "event=object.refused job=- status=0xA700"));
    CHECK(logged(&h, "reason=\"disk full"));
    CHECK(logged(&h, "event=association.end"));
    char *log = house_log(&h);
    CHECK(!strstr(strstr(log, "refused job") + 1, "refused job")); /* one line for one refusal */
    free(log);
    CHECK_NUMBER(jobs_in(&h), 0);
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    house_close(&h);
}

/* Sends `signal_number` to the child that serves a caller who has said one byte. */
static void strike_child(const house *h, int signal_number)
{
    char path[64];
    int child = 0;
    const int s = dial(h);
    CHECK(send(s, "\1", 1, MSG_NOSIGNAL) == 1);
    CHECK(children_become(h, 1));
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)h->door, (long)h->door);
    FILE *f = fopen(path, "r");
    CHECK(f && fscanf(f, "%d", &child) == 1 && child > 0);
    if (f) fclose(f);
    if (child > 0) kill(child, signal_number);
    CHECK(children_become(h, 0));
    close(s);
}

TEST(door_a_killed_or_hung_child_does_not_touch_the_next_caller)
{
    house h;
    house_init(&h, "crash");
    REQUIRE(house_open(&h));
    strike_child(&h, SIGABRT); /* AddressSanitizer would catch SIGSEGV and write about it */
    CHECK(logged(&h, "event=association.crash"));
    strike_child(&h, SIGALRM); /* as the watchdog of cot_scp_serve does */
    CHECK(logged(&h, "event=association.hung"));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    house_close(&h);
}

TEST(door_stops_at_once_when_callers_are_idle)
{
    house h;
    house_init(&h, "stop");
    REQUIRE(house_open(&h));
    CHECK_NUMBER(call(&h, "echoscu -to 10 -ta 10 -td 10 -aec STEPCOT", ""), 0);
    const int silent = dial(&h), speaking = dial(&h);
    CHECK(send(speaking, "\1", 1, MSG_NOSIGNAL) == 1);
    CHECK(children_become(&h, 1));
    house_close(&h); /* checks exit code and time */
    close(silent);
    close(speaking);
}

/* ---- without a process ---- */
TEST(door_hosts_match_as_numbers)
{
    cot_config_accept rules[] = {{"*", "10.1.0.0/16"}, {"A", "2001:db8::/33"}, {"B", "192.168.1.7"}};
    const cot_config config = {.n_accept = 3, .accept = rules};
    CHECK(door_admits(&config, "X", "10.1.255.3"));
    CHECK(!door_admits(&config, "X", "10.2.0.1"));
    CHECK(door_admits(&config, "A", "2001:db8:7fff::1"));
    CHECK(!door_admits(&config, "A", "2001:db8:8000::1"));
    CHECK(!door_admits(&config, "X", "2001:db8::1"));
    CHECK(door_admits(&config, "B", "192.168.1.7"));
    CHECK(!door_admits(&config, "B", "192.168.1.70"));
    CHECK(!door_admits(&config, "b", "192.168.1.7"));
    CHECK(!door_admits(&config, "B", ""));
    CHECK(!door_admits(&config, "B", "192.168.1.7.example.org"));
    CHECK(door_admits_host(&config, "192.168.1.7"));
    CHECK(!door_admits_host(&config, "192.168.1.8"));
    static const char *const broken[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "::/129", "/8", "host.example"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        snprintf(rules[0].host, sizeof rules[0].host, "%s", broken[i]);
        CHECK(!door_admits(&config, "X", "10.0.0.1"));
    }
    snprintf(rules[0].host, sizeof rules[0].host, "0.0.0.0/0");
    CHECK(door_admits(&config, "X", "8.8.8.8"));
    CHECK(!door_admits(&config, "X", "::1"));
    snprintf(rules[0].host, sizeof rules[0].host, "*");
    CHECK(door_admits(&config, "X", "::1"));
    snprintf(rules[0].host, sizeof rules[0].host, "localhost");
    CHECK(door_admits(&config, "X", "::1") && door_admits(&config, "X", "127.0.0.2") &&
          !door_admits(&config, "X", "128.0.0.1"));
}

TEST(door_rate_is_a_burst_and_then_a_rate_per_host)
{
    door_bucket buckets[3] = {{{0}, 0, 0}};
    size_t taken = 0;
    for (int i = 0; i < 20; i++) taken += door_bucket_take(buckets, 3, "1.1.1.1", 1000, 2, 10);
    CHECK_NUMBER(taken, 10);
    CHECK(door_bucket_take(buckets, 3, "2.2.2.2", 1000, 2, 10));
    CHECK(!door_bucket_take(buckets, 3, "1.1.1.1", 1400, 2, 10));
    CHECK(door_bucket_take(buckets, 3, "1.1.1.1", 1600, 2, 10));
    CHECK(door_bucket_take(buckets, 3, "3.3.3.3", 1700, 2, 10));
    CHECK(door_bucket_take(buckets, 3, "4.4.4.4", 1800, 2, 10)); /* takes the place of the oldest */
    CHECK(!strcmp(buckets[1].host, "4.4.4.4"));
}

TEST(door_listen_says_what_is_wrong_with_the_address)
{
    house h;
    int fd = -1, second = -1;
    house_init(&h, "bind");
    CHECK_OK(door_listen(&fd, &h.config, &err));
    h.config.port = door_port(fd);
    CHECK_FAILS(door_listen(&second, &h.config, &err), COT_E_NETWORK, "another port");
    close(fd);
    snprintf(h.config.bind, sizeof h.config.bind, "192.0.2.1");
    CHECK_FAILS(door_listen(&fd, &h.config, &err), COT_E_NETWORK, "192.0.2.1");
    snprintf(h.config.bind, sizeof h.config.bind, "no.such.host");
    CHECK_FAILS(door_listen(&fd, &h.config, &err), COT_E_CONFIG, "numeric");
}

__attribute__((constructor(101))) static void prepare(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_door.XXXXXX");
    if (!mkdtemp(folder)) abort();
}
static pid_t owner;
__attribute__((constructor)) static void remember(void)
{
    owner = getpid();
}
__attribute__((destructor)) static void clean(void)
{
    char command[128];
    if (getpid() != owner) return;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
}
CHECK_MAIN
