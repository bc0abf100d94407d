/* links: plugin
 * The whole node as a process: `stepcot serve` with a store in a temporary folder. What a killed role, a killed supervisor, a
 * second node, signals and a bad start lead to. Needs the program beside this test.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/process.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], config[128], node_log[128];
static cot_error err;
static const char program[] = COT_BINARY_DIR "/bin/stepcot";

static void write_config(const char *path, const char *extra)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    if (!f) return;
    fprintf(f,
            "<node xmlns=\"urn:cot:node:1\">\n  <listen ae=\"STEPCOT\" bind=\"127.0.0.1\" port=\"0\"/>\n"
            "  <accept ae=\"*\" host=\"127.0.0.1\"/>\n  <store path=\"%s/store\" settle-s=\"0\"/>\n"
            "  <reader cache=\"%s/cache\" %s/>\n"
            "  <send to=\"nowhere\" host=\"127.0.0.1\" port=\"1\" ae=\"PACS\"/>\n</node>\n",
            folder, folder, extra);
    fclose(f);
}

static pid_t run(char *const *argv, const char *out)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        const int fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(program, argv);
        _exit(127);
    }
    return pid;
}

static pid_t serve(void)
{
    char *argv[] = {"stepcot", "serve", "--config", config, NULL};
    return run(argv, node_log);
}

static int exit_code(pid_t pid)
{
    int wait_status = -1;
    CHECK(waitpid(pid, &wait_status, 0) == pid);
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status);
}

static int run_serve(const char *first, const char *second, const char *third, const char *out)
{
    char *argv[] = {"stepcot", "serve", (char *)(uintptr_t)first, (char *)(uintptr_t)second, (char *)(uintptr_t)third,
                    NULL};
    return exit_code(run(argv, out));
}

static char *text_of(const char *path) /* caller frees */
{
    size_t size;
    char *text = NULL;
    return cot_file_read(&text, &size, path, 16 << 20, NULL) == COT_OK ? text : strdup("");
}

/* Waits until `part` stands in the log n times. */
static bool logged(const char *part, size_t n)
{
    for (int i = 0; i < 6000; i++, usleep(10000)) {
        char *text = text_of(node_log);
        size_t found = 0;
        for (const char *p = text; (p = strstr(p, part)) != NULL; p++) found++;
        free(text);
        if (found >= n) return true;
    }
    return false;
}

/* The pid in the last "event=role.start … name=ROLE pid=N". */
static pid_t role_pid(const char *role)
{
    char want[64];
    pid_t pid = 0;
    char *text = text_of(node_log);
    snprintf(want, sizeof want, "name=%s pid=", role);
    for (const char *p = text; (p = strstr(p, want)) != NULL; p++) pid = (pid_t)atol(p + strlen(want));
    free(text);
    return pid;
}

static void fresh(void)
{
    unlink(node_log);
}

TEST(serve_starts_again_what_was_killed_and_ends_on_sigterm)
{
    fresh();
    const pid_t node = serve();
    REQUIRE(logged("event=worker.ready", 1));
    CHECK(logged("event=listen", 1));
    kill(role_pid("worker:worker0"), SIGKILL);
    CHECK(logged("event=role.died job=- name=worker:worker0 reason=\"signal 9", 1));
    CHECK(logged("event=worker.ready", 2));
    kill(role_pid("door"), SIGKILL);
    CHECK(logged("event=listen", 2));
    kill(role_pid("sender:nowhere"), SIGKILL);
    CHECK(logged("name=sender:nowhere pid=", 2));
    kill(node, SIGHUP);
    CHECK(logged("restart to reload", 1));
    const pid_t roles[] = {role_pid("door"), role_pid("worker:worker0"), role_pid("sender:nowhere")};
    kill(node, SIGTERM);
    CHECK_NUMBER(exit_code(node), 0);
    for (size_t i = 0; i < 3; i++) CHECK(kill(roles[i], 0) != 0 && errno == ESRCH);
    CHECK(logged("event=node.stopped", 1));
    char *text = text_of(node_log);
    CHECK(!strstr(text, "role.killed"));
    free(text);
}

TEST(serve_restarted_role_keeps_the_configuration_of_the_start)
{
    fresh();
    const pid_t node = serve();
    REQUIRE(logged("event=worker.ready", 1));
    FILE *f = fopen(config, "w"); /* somebody edits it, not yet rightly */
    CHECK(f && fputs("<node", f) >= 0 && fclose(f) == 0);
    kill(role_pid("worker:worker0"), SIGKILL);
    CHECK(logged("event=worker.ready", 2));
    kill(node, SIGTERM);
    CHECK_NUMBER(exit_code(node), 0);
    write_config(config, "");
}

TEST(serve_check_leaves_nothing_behind_where_no_node_has_run)
{
    char out[128], fresh_config[128], store[128];
    snprintf(out, sizeof out, "%s/fresh.log", folder);
    snprintf(fresh_config, sizeof fresh_config, "%s/fresh.xml", folder);
    snprintf(store, sizeof store, "%s/a/new", folder);
    FILE *f = fopen(fresh_config, "w");
    CHECK(f &&
          fprintf(f, "<node xmlns=\"urn:cot:node:1\"><listen ae=\"X\" port=\"0\"/><accept ae=\"*\" host=\"127.0.0.1\"/>"
                     "<store path=\"a/new\"/></node>") > 0 &&
          fclose(f) == 0);
    CHECK_NUMBER(run_serve("--check", "--config", fresh_config, out), 0);
    char *text = text_of(out);
    CHECK_HAS(text, "will be made at the first start");
    free(text);
    CHECK(access(store, F_OK) != 0);
    *strrchr(store, '/') = 0;
    CHECK(access(store, F_OK) != 0);
}

TEST(serve_killed_takes_its_roles_along_and_the_next_one_starts_at_once)
{
    fresh();
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); /* orphans come to us: that they end is an event to wait for */
    const pid_t first = serve();
    REQUIRE(logged("event=worker.ready", 1));
    const pid_t roles[] = {role_pid("door"), role_pid("worker:worker0"), role_pid("sender:nowhere")};
    kill(first, SIGKILL);
    const pid_t second = serve();
    CHECK_NUMBER(exit_code(first), -SIGKILL);
    for (size_t i = 0; i < 3; i++) CHECK_NUMBER(exit_code(roles[i]), -SIGKILL);
    CHECK(logged("event=worker.ready", 2));
    kill(second, SIGTERM);
    CHECK_NUMBER(exit_code(second), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    while (waitpid(-1, NULL, WNOHANG) > 0) {} /* the sandbox of the first */
}

TEST(serve_second_node_on_one_store_is_refused)
{
    char out[128];
    fresh();
    snprintf(out, sizeof out, "%s/second.log", folder);
    const pid_t node = serve();
    REQUIRE(logged("event=worker.ready", 1));
    CHECK_NUMBER(run_serve("--config", config, NULL, out), 5);
    char *text = text_of(out);
    CHECK_HAS(text, "in use by process");
    free(text);
    unlink(out);
    CHECK_NUMBER(run_serve("--check", "--config", config, out), 0);
    text = text_of(out);
    CHECK_HAS(text, "a node is running");
    free(text);
    kill(node, SIGTERM);
    CHECK_NUMBER(exit_code(node), 0);
}

TEST(serve_check_lists_what_the_node_needs)
{
    char out[128], bad[128];
    snprintf(out, sizeof out, "%s/check.log", folder);
    snprintf(bad, sizeof bad, "%s/bad.xml", folder);
    CHECK_NUMBER(run_serve("--check", "--config", config, out), 0);
    char *text = text_of(out);
    CHECK_HAS(text, "ok   store");
    CHECK_HAS(text, "ok   listen");
    CHECK_HAS(text, "ok   model");
    CHECK_HAS(text, "ok   device");
    CHECK_HAS(text, "ok   self-check");
    CHECK_HAS(text, "warn destination    nowhere"); /* nobody answers there: the queue will wait */
    CHECK_HAS(text, "The node can run.");
    CHECK_HAS(text, "Not a medical device");
    free(text);
    unlink(out);
    write_config(bad, "package=\"/no/such/model\"");
    CHECK_NUMBER(run_serve("--check", "--config", bad, out), 4);
    text = text_of(out);
    CHECK_HAS(text, "FAIL model");
    CHECK_HAS(text, "/no/such/model");
    free(text);
    CHECK_NUMBER(run_serve("--config", bad, NULL, out), 4);
    write_config(bad, "colour=\"red\"");
    CHECK_NUMBER(run_serve("--config", bad, NULL, out), 3);
    CHECK_NUMBER(run_serve("--nonsense", NULL, NULL, out), 2);
    CHECK_NUMBER(run_serve("--help", NULL, NULL, out), 0);
}

__attribute__((constructor(101))) static void prepare(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_serve.XXXXXX");
    if (!mkdtemp(folder)) abort();
    snprintf(config, sizeof config, "%s/node.xml", folder);
    snprintf(node_log, sizeof node_log, "%s/node.log", folder);
    write_config(config, "");
}
__attribute__((destructor)) static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays: %s\n", folder, err.text);
}
CHECK_MAIN
