/* The sandbox's server: takes calls, forks one child for each, ends those that take too long, tells how each ended. It
 * parses nothing and keeps no memory of what children did; it ends when its caller closes the socket or dies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/process.h"
#include "plugin/sandbox_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct job {
    pid_t pid; /* 0: free */
    uint32_t id;
    int64_t deadline;
    double started;
    bool timed_out;
} job;

typedef struct server {
    int socket_fd;
    cot_sandbox_limits limits;
    const cot_steps *steps;
    job *jobs; /* [limits.parallel] */
    size_t busy;
    sigset_t waiting; /* signal mask while in ppoll: lets SIGCHLD in */
} server;

static void on_child(int signal_number)
{
    (void)signal_number;
}

static double now_exact_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void tell_end(const server *s, uint32_t id, int wait_status, bool timed_out, double ms)
{
    sandbox_end end;
    memset(&end, 0, sizeof end);
    end.id = id;
    end.wait_status = wait_status;
    end.timed_out = timed_out;
    end.ms = ms;
    while (send(s->socket_fd, &end, sizeof end, MSG_NOSIGNAL) < 0 && errno == EINTR) {}
}

static void reap(server *s)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        for (unsigned i = 0; i < s->limits.parallel; i++) {
            job *j = &s->jobs[i];
            if (j->pid != pid) continue;
            tell_end(s, j->id, wait_status, j->timed_out, now_exact_ms() - j->started);
            j->pid = 0;
            s->busy--;
        }
}

/* Ends children that are over their time; how long until the next one will be, -1: no child. */
static int64_t end_late(server *s)
{
    const int64_t now = process_now_ms();
    int64_t next = -1;
    for (unsigned i = 0; i < s->limits.parallel; i++) {
        job *j = &s->jobs[i];
        if (!j->pid || j->timed_out) continue;
        if (now >= j->deadline) {
            j->timed_out = true;
            kill(j->pid, SIGKILL);
        } else if (next < 0 || j->deadline - now < next) {
            next = j->deadline - now;
        }
    }
    return next;
}

static void start(server *s, const sandbox_call *call, int slip)
{
    job *j = s->jobs;
    while (j->pid) j++; /* there is a free one: calls are only taken then */
    const pid_t parent = getpid();
    j->id = call->id;
    j->timed_out = false;
    j->started = now_exact_ms();
    j->deadline = process_now_ms() + (int64_t)s->limits.timeout_s * 1000;
    const pid_t pid = fork();
    if (pid == 0) {
        if (!process_end_with(parent)) _exit(1);
        signal(SIGCHLD, SIG_DFL);
        sigprocmask(SIG_SETMASK, &s->waiting, NULL);
        process_close_but(slip);
        sandbox_child_run(slip, call->kind, &s->limits, s->steps);
    }
    close(slip);
    if (pid < 0) {
        tell_end(s, call->id, -1, false, 0);
        return;
    }
    j->pid = pid;
    s->busy++;
}

/* false: the caller is gone. */
static bool take_call(server *s)
{
    sandbox_call call;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = &call, .iov_len = sizeof call};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    const ssize_t n = recvmsg(s->socket_fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (n != (ssize_t)sizeof call) return false;
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int))) { /* no descriptors left */
        tell_end(s, call.id, -1, false, 0);
        return true;
    }
    int slip;
    memcpy(&slip, CMSG_DATA(c), sizeof slip);
    start(s, &call, slip);
    return true;
}

static void prepare(server *s)
{
    /* SIGINT of a terminal goes to the whole group: the caller decides when we end, by closing the socket */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &s->waiting);
    sigdelset(&s->waiting, SIGCHLD);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a child of the same user must not look into us */
    cot_dicom_init();
}

_Noreturn void sandbox_server_run(int socket_fd, const cot_sandbox_limits *limits, const cot_steps *steps)
{
    server s = {.socket_fd = socket_fd, .limits = *limits, .steps = steps};
    s.jobs = calloc(limits->parallel, sizeof *s.jobs);
    if (!s.jobs) _exit(1);
    prepare(&s);
    for (;;) {
        reap(&s);
        const int64_t next = end_late(&s);
        const struct timespec wait = {.tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000};
        /* no free place: calls wait in the socket, but its end is still seen */
        struct pollfd ready = {.fd = socket_fd, .events = s.busy < limits->parallel ? POLLIN : POLLRDHUP};
        const int n = ppoll(&ready, 1, next < 0 ? NULL : &wait, &s.waiting);
        if (n <= 0) continue;
        if ((ready.revents & POLLIN) && take_call(&s)) continue;
        break;
    }
    for (unsigned i = 0; i < limits->parallel; i++)
        if (s.jobs[i].pid) kill(s.jobs[i].pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    _exit(0);
}
