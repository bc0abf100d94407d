/* The receiver under test as a server in child processes, with its log and its stored files. For test_scp.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_SCP_SERVER_H
#define COT_TESTS_SCP_SERVER_H
#include "tests/check.h"
#include "tests/log_lines.h"
#include "tests/loopback.h"

typedef struct server {
    char folder[64], log[96];
    unsigned port;
    pid_t pid;
    cot_scp_options options;
    bool hang;               /* the handler never comes back from storing */
    cot_status place, store; /* what the handler answers */
    unsigned objects;
    int receive_buffer; /* of the sockets; 0: the system's */
} server;

static bool accept_by_title(void *ctx, const char *calling, const char *host)
{
    (void)ctx;
    return strcmp(calling, "STRANGER") != 0 && strcmp(host, "127.0.0.1") == 0;
}
static cot_status place_object(void *ctx, char *path, size_t size, cot_error *err)
{
    server *s = ctx;
    if (s->place != COT_OK) return cot_fail(err, s->place, "disk is below its watermark: 3 MiB free");
    snprintf(path, size, "%s/incoming-%d-%u", s->folder, (int)getpid(), s->objects++);
    return COT_OK;
}
static cot_status store_object(void *ctx, const cot_received *object, cot_error *err)
{
    const server *s = ctx;
    char to[160];
    while (s->hang) pause();
    if (s->store != COT_OK) return cot_fail(err, s->store, "the store says no");
    snprintf(to, sizeof to, "%s/stored-%d-%u", s->folder, (int)getpid(), s->objects);
    cot_log(COT_INFO, "test.stored", NULL, "calling=%s host=%s rows=%zu", object->calling, object->host,
            object->head->rows);
    return rename(object->path, to) == 0 ? COT_OK : cot_fail(err, COT_E_IO, "rename");
}
static void refuse_object(void *ctx, const cot_received *object, const cot_error *why)
{
    (void)ctx;
    cot_log(COT_INFO, "test.refused", NULL, "there=%d text=\"%s\"", access(object->path, F_OK) == 0, why->text);
}

static volatile sig_atomic_t stopping;
static void on_stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}
/* Accepts until told to stop; every association in a process of its own, one after the other. */
static void serve_forever(server *s, int listener)
{
    const cot_scp_handler handler = {s, place_object, store_object, refuse_object};
    const struct sigaction stop = {.sa_handler = on_stop};
    sigset_t term, none;
    sigaction(SIGTERM, &stop, NULL);
    sigemptyset(&none);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    while (!stopping) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        if (ppoll(&p, 1, NULL, &none) <= 0) continue;
        const int fd = accept(listener, NULL, NULL);
        const pid_t child = fork();
        if (child == 0) {
            cot_error err = COT_ERROR_INIT;
            close(listener);
            signal(SIGTERM, SIG_DFL);
            sigprocmask(SIG_SETMASK, &none, NULL);
            const cot_status status = cot_scp_serve(fd, "127.0.0.1", &s->options, &handler, &err);
            cot_log(COT_INFO, "test.served", NULL, "status=%s text=\"%s\"", cot_status_name(status), err.text);
            exit(0); /* not _exit: a leak is found by the sanitizer build */
        }
        close(fd);
        int how = 0;
        waitpid(child, &how, 0);
        if (s->hang && WIFSIGNALED(how) && WTERMSIG(how) == SIGALRM)
            cot_log(COT_INFO, "test.hung", NULL, NULL);
        else if (!WIFEXITED(how) || WEXITSTATUS(how))
            cot_log(COT_ERROR_LEVEL, "test.crashed", NULL, "how=%d", how);
    }
}
static void server_start(server *s)
{
    if (!s->folder[0]) {
        snprintf(s->folder, sizeof s->folder, "/tmp/cot-network-XXXXXX");
        if (!mkdtemp(s->folder)) abort();
    }
    snprintf(s->log, sizeof s->log, "%s/log", s->folder);
    s->options.called_ae = "NODE";
    s->options.accept = accept_by_title;
    if (!s->options.pdu) s->options.pdu = 131072;
    if (!s->options.acse_timeout_s) s->options.acse_timeout_s = 10;
    if (!s->options.dimse_timeout_s) s->options.dimse_timeout_s = 10;
    if (!s->options.limits.max_bytes) s->options.limits = (cot_guard_limits)COT_GUARD_LIMITS_INIT;
    const int listener = listen_anywhere(&s->port);
    if (s->receive_buffer) setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &s->receive_buffer, sizeof s->receive_buffer);
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        FILE *log = fopen(s->log, "ae");
        setvbuf(log, NULL, _IOLBF, 0);
        cot_log_to_stream(log, COT_DEBUG, "test");
        serve_forever(s, listener);
        exit(0);
    }
    close(listener);
}
/* Ends the server after its last association and returns its log, the caller's. */
static char *server_stop(server *s)
{
    char *log = NULL;
    size_t size = 0;
    kill(s->pid, SIGTERM);
    waitpid(s->pid, NULL, 0);
    if (cot_file_read(&log, &size, s->log, 1 << 20, NULL) != COT_OK) log = calloc(1, 1);
    CHECK(!strstr(log, "test.crashed"));
    check_log_lines(log);
    CHECK(!strstr(log, "Planted")); /* no patient data, whatever happened */
    if (strstr(log, "test.crashed")) fputs(log, stderr);
    return log;
}
static int count_files(const server *s, const char *prefix)
{
    int n = 0;
    DIR *d = opendir(s->folder);
    for (struct dirent *e; d && (e = readdir(d));) n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d) closedir(d);
    return n;
}
#define END_SERVER(s, log)                                                                                             \
    do {                                                                                                               \
        free(log);                                                                                                     \
        folder_clean((s).folder);                                                                                      \
    } while (0)

static inline int run_tool(char *const argv[])
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    int how = 0;
    waitpid(pid, &how, 0);
    return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}
#endif
