/* links: plugin engine opencl dicom config
 * `stepcot bench` as a user runs it, in a child process each time, because a process with a device must not fork.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "tests/check.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MOST = 1 << 18 };

/* Exit code of the command; what it printed, both streams, in out. */
static int run_bench(char *out, const char *const *words)
{
    char *argv[12] = {"bench"};
    char path[] = "/tmp/test_bench_XXXXXX";
    int argc = 1, state = -1;
    out[0] = 0;
    while (words[argc - 1]) {
        argv[argc] = strdup(words[argc - 1]);
        argc++;
    }
    const int fd = mkstemp(path);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        const int code = cot_cmd_bench(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    waitpid(child, &state, 0);
    const ssize_t n = pread(fd, out, OUTPUT_MOST - 1, 0);
    out[n > 0 ? n : 0] = 0;
    close(fd);
    unlink(path);
    while (argc > 1) free(argv[--argc]);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

/* The number after "name": in the first line at or after `from` that has `kind`. */
static double number_in(const char *from, const char *kind, const char *name)
{
    const char *line = strstr(from, kind), *at = line ? strstr(line, name) : NULL;
    return at ? strtod(at + strlen(name), NULL) : -1.0;
}

TEST(bench_prints_header_stages_and_layers)
{
    static char out[OUTPUT_MOST];
    CHECK_NUMBER(run_bench(out, (const char *const[]){"--device", "cpu", "--batch", "1,2", "--seconds", "1", NULL}), 0);
    CHECK(strncmp(out, "{\"kind\":\"header\"", 16) == 0);
    CHECK(number_in(out, "header", "\"peak_gflops\":") > 0);
    CHECK_HAS(out, "\"machine\":\"");
    CHECK_HAS(out, "\"device\":\"");
    CHECK_HAS(out, "\"driver\":\"");
    CHECK_HAS(out, "\"date\":\"20");
    const char *stages = strstr(out, "\"kind\":\"stages\"");
    for (int batch = 1; batch <= 2; batch++) {
        static const char *const names[] = {
            "\"decode_ms\":",   "\"preprocess_ms\":", "\"encoder_ms\":", "\"heads_ms\":",
            "\"evidence_ms\":", "\"report_ms\":",     "\"total_ms\":"};
        REQUIRE(stages);
        CHECK_NUMBER(number_in(stages, "stages", "\"batch\":"), batch);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) CHECK(number_in(stages, "stages", names[i]) > 0);
        CHECK(number_in(stages, "\"kind\":\"conv\"", "\"share_of_peak\":") > 0);
        stages = strstr(stages + 1, "\"kind\":\"stages\"");
    }
    CHECK(stages == NULL);
}

TEST(bench_measures_reports_alone)
{
    static char out[OUTPUT_MOST];
    CHECK_NUMBER(
        run_bench(out, (const char *const[]){"--device", "cpu", "--batch", "3", "--seconds", "1", "--reports", NULL}),
        0);
    CHECK(strstr(out, "\"kind\":\"stages\"") == NULL);
    CHECK(strstr(out, "\"kind\":\"gemm\"") == NULL);
    const char *line = strstr(out, "\"kind\":\"reports\"");
    for (int forms = 2; forms <= 4; forms += 2) {
        REQUIRE(line);
        CHECK_NUMBER(number_in(line, "reports", "\"batch\":"), 3);
        CHECK_NUMBER(number_in(line, "reports", "\"forms\":"), forms);
        CHECK(number_in(line, "reports", "\"runs\":") >= 3);
        const double all = number_in(line, "reports", "\"ms\":");
        CHECK_NEAR(number_in(line, "reports", "\"ms_per_image\":"), all / 3, 0.001);
        line = strstr(line + 1, "\"kind\":\"reports\"");
    }
    CHECK(line == NULL);
}

TEST(bench_refuses_what_cannot_be)
{
    static char out[OUTPUT_MOST];
    CHECK_NUMBER(run_bench(out, (const char *const[]){"--batch", "0", NULL}), 2);
    CHECK_HAS(out, "--batch");
    CHECK_NUMBER(run_bench(out, (const char *const[]){"--batch", "1,", NULL}), 2);
    CHECK_NUMBER(run_bench(out, (const char *const[]){"one.dcm", "two.dcm", NULL}), 2);
    CHECK_NUMBER(run_bench(out, (const char *const[]){"--device", "no such thing", NULL}), 4);
    CHECK_HAS(out, "no such thing");
    CHECK(run_bench(out, (const char *const[]){"/no/such/file.dcm", NULL}) != 0);
    CHECK_HAS(out, "/no/such/file.dcm");
    CHECK_NUMBER(run_bench(out, (const char *const[]){"--help", NULL}), 0);
    CHECK_HAS(out, "Usage: stepcot bench");
}
CHECK_MAIN
