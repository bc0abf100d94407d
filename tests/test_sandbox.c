/* links: plugin
 * The sandbox: what good files give, and what is left when a decoder crashes, hangs, eats memory or is taken over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "plugin/process.h"
#include "plugin/sandbox_parts.h"
#include "tests/check.h"
#include "tests/cr_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static cot_error err;
static cot_steps *steps;

/* What a decoder does wrong is chosen by the file's name. */
static void misbehave(const char *path)
{
    if (strstr(path, "crash")) {
        signal(SIGSEGV, SIG_DFL); /* AddressSanitizer catches it otherwise */
        raise(SIGSEGV);
    }
    if (strstr(path, "killed")) raise(SIGKILL);
    if (strstr(path, "hang"))
        for (;;) pause();
    if (strstr(path, "slow")) usleep(300000);
    if (strstr(path, "spin"))
        for (volatile unsigned i = 0;; i++) {}
    if (strstr(path, "memory")) {
        char *p = malloc((size_t)2 << 30);
        if (!p) _exit(77);
        memset(p, 1, 4096);
        free(p);
    }
    if (strstr(path, "escape")) {
        const bool out = socket(AF_INET, SOCK_STREAM, 0) >= 0 || fork() >= 0 || kill(getppid(), 0) == 0 ||
                         execl("/bin/true", "true", (char *)NULL) == 0;
        _exit(out ? 66 : 55);
    }
    if (strstr(path, "scribble")) {
        char other[128];
        snprintf(other, sizeof other, "%s/stolen", folder);
        _exit(open(other, O_CREAT | O_WRONLY, 0600) >= 0 ? 66 : errno == EACCES ? 55 : 44);
    }
}

static const char *in_folder(const char *name)
{
    static char paths[16][128];
    static int next;
    char *p = paths[next++ % 16];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static cot_sandbox *sandbox_for(unsigned timeout_s, size_t mib, unsigned parallel)
{
    cot_sandbox *s = NULL;
    const cot_sandbox_limits limits = {timeout_s, mib, parallel};
    sandbox_before_work = misbehave;
    CHECK_OK(cot_sandbox_create(&s, &limits, steps, &err));
    sandbox_before_work = NULL;
    return s;
}

/* One file with this name is decoded; the caller looks at *d and calls fini. */
static void decode_named(cot_decoded *d, const char *name, unsigned timeout_s)
{
    const char *path = in_folder(name);
    const cr_options cr = {.seed = 1};
    CHECK(cr_write(path, &cr) == 0);
    cot_sandbox *s = sandbox_for(timeout_s, 512, 1);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, &path, 1, false, d, &err));
    cot_sandbox_destroy(s);
}

/* ---- a grey PNG with stored (not compressed) data: no library needed to make one ---- */
static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t crc = ~0U;
    for (; n--; p++) {
        crc ^= *p;
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
    }
    return ~crc;
}
static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}
static void png_chunk(FILE *f, const char *type, const unsigned char *data, size_t size)
{
    unsigned char *c = malloc(size + 12);
    put32(c, (uint32_t)size);
    memcpy(c + 4, type, 4);
    if (size) memcpy(c + 8, data, size);
    put32(c + 8 + size, crc32_of(c + 4, size + 4));
    fwrite(c, 1, size + 12, f);
    free(c);
}
static void png_write(const char *path, unsigned side)
{
    const size_t row = side + 1, per_row = 5 + row, size = 2 + side * per_row + 4;
    unsigned char head[13] = {0}, *z = calloc(1, size), *p = z;
    uint32_t a = 1, b = 0;
    put32(head, side);
    put32(head + 4, side);
    head[8] = 8;
    *p++ = 0x78;
    *p++ = 0x01;
    for (unsigned r = 0; r < side; r++) { /* one stored block per row: final flag, length, its complement, filter 0 */
        *p++ = r + 1 == side;
        *p++ = (unsigned char)row;
        *p++ = (unsigned char)(row >> 8);
        *p++ = (unsigned char)~row;
        *p++ = (unsigned char)(~row >> 8);
        for (unsigned c = 0; c < row; c++) {
            *p = c ? (unsigned char)((r / 2 + c / 4) & 255) : 0;
            a = (a + *p++) % 65521;
            b = (b + a) % 65521;
        }
    }
    put32(p, b << 16 | a);
    FILE *f = fopen(path, "wb");
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
    png_chunk(f, "IHDR", head, sizeof head);
    png_chunk(f, "IDAT", z, size);
    png_chunk(f, "IEND", NULL, 0);
    fclose(f);
    free(z);
}

TEST(sandbox_decodes_a_chest_radiograph)
{
    cot_decoded d;
    decode_named(&d, "good.dcm", 20);
    CHECK_NUMBER(d.status, COT_OK);
    CHECK_TEXT(d.text, "");
    CHECK(d.dicom);
    CHECK_NUMBER(d.rows, 512);
    CHECK_TEXT(d.facts.modality, "CR");
    CHECK_TEXT(d.facts.body_part, "CHEST");
    CHECK_NUMBER(strlen(d.head.dataset_sha256), 64);
    REQUIRE(d.grey);
    float low = 2, high = -1;
    for (size_t i = 0; i < d.rows * d.cols; i++) {
        low = fminf(low, d.grey[i]);
        high = fmaxf(high, d.grey[i]);
    }
    CHECK(low >= 0 && high <= 1 && high - low > 0.3f);
    CHECK(d.ms > 0);
    cot_decoded_fini(&d);
}

TEST(sandbox_decodes_a_png_by_content_whatever_its_name)
{
    cot_decoded d;
    const char *path = in_folder("picture.dcm");
    png_write(path, 512);
    cot_sandbox *s = sandbox_for(20, 512, 1);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, &path, 1, false, &d, &err));
    CHECK_NUMBER(d.status, COT_OK);
    CHECK_TEXT(d.text, "");
    CHECK(!d.dicom);
    CHECK_NUMBER(d.cols, 512);
    if (d.grey) CHECK_NEAR(d.grey[512 * 100 + 40], (50 + 41 / 4) / 255.0, 0.01);
    cot_decoded_fini(&d);
    cot_sandbox_destroy(s);
}

TEST(sandbox_gate_refuses_with_its_reason_and_force_decodes)
{
    cot_decoded d;
    const cr_options hip = {.seed = 2, .body_part = "HIP"};
    const char *path = in_folder("hip.dcm");
    CHECK(cr_write(path, &hip) == 0);
    cot_sandbox *s = sandbox_for(20, 512, 2);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, &path, 1, false, &d, &err));
    CHECK_NUMBER(d.status, COT_E_REFUSED);
    CHECK_TEXT(d.refusal_id, "body-part");
    CHECK_HAS(d.text, "HIP");
    CHECK(!d.grey);
    CHECK_NUMBER(strlen(d.head.dataset_sha256), 64);
    CHECK_OK(cot_sandbox_decode(s, &path, 1, true, &d, &err));
    CHECK_NUMBER(d.status, COT_OK);
    cot_decoded_fini(&d);
    cot_sandbox_destroy(s);
}

TEST(sandbox_crash_is_a_reason_and_the_next_file_is_decoded)
{
    cot_decoded d[2];
    const char *paths[] = {in_folder("crash.dcm"), in_folder("after.dcm")};
    const cr_options cr = {.seed = 3};
    for (int i = 0; i < 2; i++) CHECK(cr_write(paths[i], &cr) == 0);
    cot_sandbox *s = sandbox_for(20, 512, 1);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, paths, 2, false, d, &err));
    CHECK_NUMBER(d[0].status, COT_E_INPUT);
    CHECK_TEXT(d[0].refusal_id, "undecodable");
    CHECK_HAS(d[0].text, "signal 11");
    CHECK(!d[0].grey);
    CHECK_NUMBER(d[1].status, COT_OK);
    for (int i = 0; i < 2; i++) cot_decoded_fini(&d[i]);
    cot_sandbox_destroy(s);
}

TEST(sandbox_child_killed_from_outside_is_the_machines_fault)
{
    cot_decoded d;
    decode_named(&d, "killed.dcm", 20);
    CHECK_NUMBER(d.status, COT_E_MEMORY);
    CHECK(!d.timed_out);
    CHECK_HAS(d.text, "was killed (out of memory?)");
    CHECK(!strstr(d.text, "hostile"));
}

TEST(sandbox_hang_is_stopped_after_the_time_out)
{
    cot_decoded d;
    const int64_t before = process_now_ms();
    decode_named(&d, "hang.dcm", 1);
    CHECK_NUMBER(d.status, COT_E_LIMIT);
    CHECK_TEXT(d.refusal_id, "undecodable");
    CHECK_HAS(d.text, "longer than 1 s");
    CHECK(d.timed_out);
    CHECK(process_now_ms() - before < 5000);
    decode_named(&d, "spin.dcm", 1);
    CHECK_HAS(d.text, "longer than 1 s");
}

TEST(sandbox_memory_is_bounded)
{
#ifndef __SANITIZE_ADDRESS__ /* its shadow memory needs an address space without limit */
    cot_decoded d;
    decode_named(&d, "memory.dcm", 20);
    CHECK_NUMBER(d.status, COT_E_INPUT);
    CHECK_HAS(d.text, "exit code 77");
#else
    CHECK(folder[0]);
#endif
}

TEST(sandbox_names_the_memory_bound_that_an_image_does_not_fit)
{
#ifndef __SANITIZE_ADDRESS__
    cot_decoded d;
    const char *path = in_folder("large.png");
    png_write(path, 6000); /* 144 MB of floats */
    cot_sandbox *s = sandbox_for(20, 160, 1);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, &path, 1, false, &d, &err));
    CHECK_NUMBER(d.status, COT_E_LIMIT); /* its bound, not the machine's: no second try */
    CHECK_HAS(d.text, "decode-memory-mib=160 is too little");
    cot_decoded_fini(&d);
    cot_sandbox_destroy(s);
#else
    CHECK(folder[0]);
#endif
}

TEST(sandbox_gives_no_network_no_process_no_program_no_signal)
{
    cot_decoded d;
    decode_named(&d, "escape.dcm", 20);
    CHECK_HAS(d.text, "exit code 55");
}

TEST(sandbox_decoder_writes_no_file)
{
    cot_decoded d;
    const bool landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
    decode_named(&d, "scribble.dcm", 20);
    CHECK_HAS(d.text, landlock ? "exit code 55" : "exit code 66");
    CHECK((access(in_folder("stolen"), F_OK) == 0) == !landlock);
}

TEST(sandbox_missing_and_odd_files_are_named)
{
    cot_decoded d[3];
    const char *paths[] = {in_folder("absent.dcm"), folder, "/dev/zero"};
    cot_sandbox *s = sandbox_for(5, 512, 3);
    REQUIRE(s);
    CHECK_OK(cot_sandbox_decode(s, paths, 3, false, d, &err));
    CHECK_NUMBER(d[0].status, COT_E_IO);
    CHECK_HAS(d[0].text, "absent.dcm");
    CHECK_HAS(d[1].text, "not a regular file");
    CHECK_HAS(d[2].text, "not a regular file");
    cot_sandbox_destroy(s);
}

TEST(sandbox_eight_at_a_time_and_twenty_in_order)
{
    enum { N = 20 };
    cot_decoded d[N];
    char names[N][128];
    const char *paths[N];
    for (unsigned i = 0; i < N; i++) {
        const cr_options cr = {.seed = i, .side = 480 + i};
        snprintf(names[i], sizeof names[i], "%s/slow%u.dcm", folder, i);
        paths[i] = names[i];
        CHECK(cr_write(names[i], &cr) == 0);
    }
    cot_sandbox *s = sandbox_for(20, 512, 8);
    REQUIRE(s);
    const int64_t before = process_now_ms();
    CHECK_OK(cot_sandbox_decode(s, paths, N, false, d, &err));
    CHECK(process_now_ms() - before < 300 * N * 3 / 4); /* one after the other it would be 6 s and more */
    for (unsigned i = 0; i < N; i++) {
        CHECK_NUMBER(d[i].status, COT_OK);
        CHECK_NUMBER(d[i].rows, 480 + i);
        cot_decoded_fini(&d[i]);
    }
    cot_sandbox_destroy(s);
}

static pid_t only_child(pid_t parent)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)parent, (long)parent);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &pid) != 1) pid = 0;
    if (f) fclose(f);
    return pid;
}

TEST(sandbox_server_killed_is_a_clear_error)
{
    cot_decoded d;
    const char *path = in_folder("good.dcm");
    cot_sandbox *s = sandbox_for(5, 512, 1);
    REQUIRE(s);
    const pid_t server = only_child(getpid());
    REQUIRE(server > 0);
    kill(server, SIGKILL);
    CHECK_FAILS(cot_sandbox_decode(s, &path, 1, false, &d, &err), COT_E_BUG, "has ended");
    CHECK_FAILS(cot_sandbox_decode(s, &path, 1, false, &d, &err), COT_E_BUG, "Restart");
    cot_sandbox_destroy(s);
}

TEST(sandbox_ends_with_its_caller)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL);
    const pid_t caller = fork();
    if (caller == 0) {
        const char *path = in_folder("hang.dcm");
        cot_decoded d;
        cot_sandbox *s = sandbox_for(60, 512, 1);
        if (s) cot_sandbox_decode(s, &path, 1, false, &d, &err);
        _exit(0);
    }
    pid_t server = 0, child = 0;
    for (int i = 0; i < 500 && !child; i++) {
        usleep(10000);
        server = only_child(caller);
        child = server ? only_child(server) : 0;
    }
    CHECK(server > 0 && child > 0);
    kill(caller, SIGKILL);
    CHECK(waitpid(caller, NULL, 0) == caller);
    CHECK(waitpid(server, NULL, 0) == server); /* orphans come to us: both end, or this test does not */
    CHECK(waitpid(child, NULL, 0) == child || errno == ECHILD);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* A chain with every kind of content; probabilities that no decimal text holds exactly. */
static cot_chain *odd_chain(void)
{
    cot_chain *c = NULL;
    if (cot_chain_create(&c, steps, &err) != COT_OK) return NULL;
    c->state = COT_CHAIN_PARTIAL;
    snprintf(c->summary, sizeof c->summary, "Summary with \"quotes\", \xc3\xa4 and a line.");
    snprintf(c->reader.name, sizeof c->reader.name, "Test reader");
    snprintf(c->reader.version, sizeof c->reader.version, "1");
    memset(c->reader.package_sha256, 'a', 64);
    for (size_t s = 0; s < c->n_steps; s++) {
        cot_answer *a = &c->answers[s];
        a->available = s != 1;
        snprintf(a->reason, sizeof a->reason, "%s", a->available ? "" : "untrained");
        float left = 1;
        for (size_t k = 0; k < a->n_options; k++) {
            a->probability[k] = k + 1 < a->n_options ? left / 3.0f : left;
            left -= a->probability[k];
        }
        a->answer = a->n_options - 1;
        for (size_t k = 0; k < a->n_options; k++)
            if (a->probability[k] > a->probability[a->answer]) a->answer = k;
        a->second = a->answer ? 0 : (a->n_options > 1 ? 1 : 0);
        snprintf(a->rationale, sizeof a->rationale, "Because %zu.", s);
    }
    return c;
}

TEST(sandbox_report_is_the_one_written_without_it)
{
    const cr_options cr = {.seed = 4};
    const char *source = in_folder("report-source.dcm");
    CHECK(cr_write(source, &cr) == 0);
    cot_sandbox *s = sandbox_for(20, 512, 1);
    cot_chain *chain = odd_chain();
    REQUIRE(s && chain);
    char sha[65];
    cot_sha256_of(sha, "x", 1);
    cot_report_options o = {
        .manufacturer = "step-cot", .station = "TEST", .uid_root = "", .program_version = "0", .series_number = 900};
    o.title = (cot_code){"18748-4", "LN", "Diagnostic Imaging Report"};
    cot_report_made inside, outside;
    for (int kind = 0; kind < 2; kind++) {
        o.basic_text = kind == 1;
        CHECK_OK(cot_sandbox_report(s, &inside, in_folder("inside.dcm"), source, sha, chain, &o, 1700000000, &err));
        CHECK_OK(cot_report_write(&outside, in_folder("outside.dcm"), source, sha, chain, steps, &o, 1700000000, &err));
        char *a = NULL, *b = NULL;
        size_t na = 0, nb = 0;
        CHECK_OK(cot_file_read(&a, &na, in_folder("inside.dcm"), 1 << 20, &err));
        CHECK_OK(cot_file_read(&b, &nb, in_folder("outside.dcm"), 1 << 20, &err));
        CHECK(a && b && na == nb && !memcmp(a, b, na));
        CHECK_TEXT(inside.sop_instance, outside.sop_instance);
        free(a);
        free(b);
    }
    CHECK_FAILS(cot_sandbox_report(s, &inside, in_folder("no.dcm"), in_folder("absent.dcm"), sha, chain, &o, 0, &err),
                err.status, "absent.dcm");
    CHECK(cot_sandbox_report(s, &inside, in_folder("no.dcm"), in_folder("crash.dcm"), sha, chain, &o, 0, &err) ==
          COT_E_INPUT);
    CHECK_HAS(err.text, "report writer was stopped (signal 11");
    cot_chain_destroy(chain);
    cot_sandbox_destroy(s);
}

static void give_evidence(cot_answer *a, size_t s)
{
    CHECK_OK(cot_answer_regions(a, 2, &err));
    for (size_t r = 0; r < 2; r++) {
        CHECK_OK(cot_region_points(&a->regions[r], 3, &err));
        for (size_t p = 0; p < 3; p++)
            a->regions[r].points[p] = (cot_point){10.0f * (float)r + (float)(p == 1), 5.0f + (float)(p == 2)};
        a->regions[r].share = 0.5f / (float)(r + 1);
    }
    a->located = a->weighed = true;
    CHECK_OK(cot_answer_influences(a, s, &err));
    for (size_t k = 0; k < s; k++) a->influences[k] = (cot_influence){k, 0.125f};
    CHECK_OK(cot_answer_other(a, &err));
    memcpy(a->other.probability, a->probability, a->n_options * sizeof *a->probability);
    a->other.available = true;
    a->other.answer = a->answer;
    CHECK_OK(cot_answer_map(a, 4, 4, &err)); /* stays behind */
}

TEST(evidence_reaches_the_report_writer_and_lint_is_the_last_gate)
{
    const cr_options cr = {.seed = 4};
    const char *source = in_folder("lint-source.dcm");
    CHECK(cr_write(source, &cr) == 0);
    cot_sandbox *sandbox = sandbox_for(20, 512, 1);
    cot_chain *chain = odd_chain();
    REQUIRE(sandbox && chain);
    chain->has_other = true;
    for (size_t s = 0; s < chain->n_steps; s++)
        if (chain->answers[s].available) give_evidence(&chain->answers[s], 0);
    char sha[65];
    cot_sha256_of(sha, "x", 1);
    cot_report_options o = {.manufacturer = "step-cot", .station = "TEST", .program_version = "0", .series_number = 9};
    o.title = (cot_code){"18748-4", "LN", "Diagnostic Imaging Report"};
    o.kind = COT_REPORT_MEASUREMENT;
    cot_report_made made, outside;
    char *a = NULL, *b = NULL;
    size_t na = 0, nb = 0;
    CHECK_OK(cot_sandbox_report(sandbox, &made, in_folder("m.dcm"), source, sha, chain, &o, 1700000000, &err));
    o.kind = COT_REPORT_CAPTURE; /* Pango starts threads: they are allowed there */
    CHECK_OK(cot_sandbox_report(sandbox, &made, in_folder("c.dcm"), source, sha, chain, &o, 1700000000, &err));
    CHECK_TEXT(made.sop_class, "1.2.840.10008.5.1.4.1.1.7");
    o.kind = COT_REPORT_MEASUREMENT;
    CHECK_OK(cot_report_write(&outside, in_folder("o.dcm"), source, sha, chain, steps, &o, 1700000000, &err));
    CHECK_OK(cot_file_read(&a, &na, in_folder("m.dcm"), 1 << 20, &err));
    CHECK_OK(cot_file_read(&b, &nb, in_folder("o.dcm"), 1 << 20, &err));
    CHECK(a && b && na == nb && !memcmp(a, b, na));
    free(a);
    free(b);
    /* probabilities that are none: each within 0..1, together not 1 */
    for (size_t s = 0; s < chain->n_steps; s++)
        for (size_t k = 0; k < chain->answers[s].n_options; k++) chain->answers[s].probability[k] = 0.9f;
    CHECK_FAILS(cot_sandbox_report(sandbox, &made, in_folder("m.dcm"), source, sha, chain, &o, 1700000000, &err),
                COT_E_REFUSED, "does not pass lint and is not sent: P1 at 1.");
    CHECK_HAS(err.text, "findings; stepcot lint FILE lists them");
    CHECK(access(in_folder("m.dcm"), R_OK) == 0); /* for people */
    cot_chain_destroy(chain);
    cot_sandbox_destroy(sandbox);
}

__attribute__((constructor(101))) static void prepare(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_sandbox.XXXXXX");
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) abort();
    cot_dicom_init();
}
__attribute__((destructor)) static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
    cot_steps_destroy(steps);
}
CHECK_MAIN
