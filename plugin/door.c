/* The front door: one listening socket, one short-lived child per association. A connection that says nothing costs a file
 * descriptor here, not a process and not an association: only its first byte makes it a caller. The door itself parses
 * nothing, opens no store and no device, and is single-threaded.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/door.h"
#include "plugin/node.h"
#include "plugin/process.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SILENT_MAX  128   /* connections whose first byte is awaited */
#define GOODBYE_MAX 16    /* children that turn callers away */
#define HOSTS_MAX   64    /* hosts whose rate is remembered */
#define RATE        500.0 /* connections per second and host, after a burst of: */
#define BURST       2000.0
#define WALL_MS     (12 * 3600000LL) /* no association lasts longer */
#define LEAVE_MS    10000            /* after SIGTERM, for objects in hand */

typedef struct silent {
    int fd;
    char host[64];
    int64_t since, deadline;
} silent;

typedef struct child {
    pid_t pid; /* 0: free */
    bool serves;
    char host[64];
    int64_t started;
} child;

typedef struct door {
    const cot_config *config;
    int listen_fd;
    silent silent[SILENT_MAX];
    size_t n_silent, n_serving, n_goodbye, n_children;
    child *children; /* [n_children]: max_associations + GOODBYE_MAX */
    door_bucket buckets[HOSTS_MAX];
    size_t throttled;
    int64_t throttled_said, accept_again;
} door;

/* ---- children ---- */
static void child_ended(door *d, child *c, int wait_status)
{
    char why[128];
    if (c->serves)
        d->n_serving--;
    else
        d->n_goodbye--;
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM)
        cot_log(COT_WARN, "association.hung", NULL, "host=%s reason=\"no progress, ended by the watchdog\"", c->host);
    else if (wait_status != 0 && !(WIFSIGNALED(wait_status) && cot_stop_asked())) {
        process_end_text(why, sizeof why, wait_status);
        cot_log(COT_ERROR_LEVEL, "association.crash", NULL, "host=%s reason=\"%s\"", c->host, why);
    }
    c->pid = 0;
}

static void reap(door *d)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        for (size_t i = 0; i < d->n_children; i++)
            if (d->children[i].pid == pid) child_ended(d, &d->children[i], wait_status);
}

static void signal_children(const door *d, int signal_number, int64_t older_than)
{
    for (size_t i = 0; i < d->n_children; i++)
        if (d->children[i].pid && d->children[i].started <= older_than) kill(d->children[i].pid, signal_number);
}

/* Takes fd: served or turned away by a child, or just closed when even that is too much. */
static void start_child(door *d, int fd, const char *host, bool serves, door_rejection why)
{
    child *c = d->children;
    const pid_t parent = getpid();
    if (!serves && d->n_goodbye >= GOODBYE_MAX) {
        close(fd);
        return;
    }
    while (c->pid) c++; /* as many places as both limits together */
    snprintf(c->host, sizeof c->host, "%s", host);
    process_hold_signals();
    const pid_t pid = fork();
    if (pid == 0) {
        if (!process_end_with(parent)) _exit(0);
        process_close_but(fd);
        if (serves) door_serve_one(d->config, fd, c->host);
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        process_free_signals();
        door_turn_away(fd, why);
    }
    const int failed = pid < 0 ? errno : 0;
    process_free_signals();
    close(fd);
    if (failed) {
        cot_log(COT_ERROR_LEVEL, "association.reject", NULL, "host=%s reason=\"fork: %s\"", host, strerror(failed));
        return;
    }
    c->pid = pid;
    c->serves = serves;
    c->started = process_now_ms();
    if (serves)
        d->n_serving++;
    else
        d->n_goodbye++;
}

/* ---- connections ---- */
static void caller_speaks(door *d, int fd, const char *host)
{
    if (!door_admits_host(d->config, host)) {
        cot_log(COT_WARN, "association.reject", NULL, "host=%s reason=\"no <accept> names this host\"", host);
        start_child(d, fd, host, false, DOOR_STRANGER);
    } else if (d->n_serving >= d->config->max_associations) {
        cot_log(COT_WARN, "association.reject", NULL, "host=%s reason=\"local limit: %zu associations\"", host,
                d->n_serving);
        start_child(d, fd, host, false, DOOR_BUSY);
    } else {
        start_child(d, fd, host, true, DOOR_BUSY);
    }
}

static void forget_silent(door *d, size_t i)
{
    d->silent[i] = d->silent[--d->n_silent];
}

/* The first byte, the end (a health check: nothing to say about it), or the time-out. */
static void look_at_silent(door *d, size_t i, bool readable, int64_t now)
{
    silent s = d->silent[i];
    char byte;
    if (readable) {
        const ssize_t n = recv(s.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        forget_silent(d, i);
        if (n == 1) {
            caller_speaks(d, s.fd, s.host);
            return;
        }
        cot_log(COT_DEBUG, "connection.closed", NULL, "host=%s reason=\"closed without a word\"", s.host);
    } else if (now >= s.deadline) {
        forget_silent(d, i);
        cot_log(COT_INFO, "connection.closed", NULL, "host=%s reason=\"silent for %lld s\"", s.host,
                (long long)(now - s.since) / 1000);
    } else {
        return;
    }
    close(s.fd);
}

static void make_room(door *d)
{
    size_t oldest = 0;
    for (size_t i = 1; i < d->n_silent; i++)
        if (d->silent[i].since < d->silent[oldest].since) oldest = i;
    cot_log(COT_WARN, "connection.closed", NULL, "host=%s reason=\"too many silent connections\"",
            d->silent[oldest].host);
    close(d->silent[oldest].fd);
    forget_silent(d, oldest);
}

static void throttle(door *d, const char *host, int64_t now)
{
    d->throttled++;
    if (now - d->throttled_said < 10000) return;
    cot_log(COT_WARN, "connection.throttled", NULL, "host=%s connections=%zu", host, d->throttled);
    d->throttled = 0;
    d->throttled_said = now;
}

static void take_connection(door *d)
{
    const int yes = 1;
    struct sockaddr_storage from = {0};
    socklen_t size = sizeof from;
    char host[64];
    const int64_t now = process_now_ms();
    const int fd = accept4(d->listen_fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            cot_log(COT_ERROR_LEVEL, "connection.refused", NULL, "reason=\"%s\"", strerror(errno));
            d->accept_again = now + 200;
        }
        return;
    }
    door_host_text(host, &from);
    if (!door_bucket_take(d->buckets, HOSTS_MAX, host, now, RATE, BURST)) {
        throttle(d, host, now);
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (d->n_silent == SILENT_MAX) make_room(d);
    silent *s = &d->silent[d->n_silent++];
    s->fd = fd;
    snprintf(s->host, sizeof s->host, "%s", host);
    s->since = now;
    s->deadline = now + (int64_t)d->config->acse_timeout_s * 1000;
}

/* ---- the loop ---- */
static int next_wait(const door *d, int64_t now)
{
    int64_t next = now + 60000;
    for (size_t i = 0; i < d->n_silent; i++)
        if (d->silent[i].deadline < next) next = d->silent[i].deadline;
    if (d->accept_again > now && d->accept_again < next) next = d->accept_again;
    return next > now ? (int)(next - now) : 0;
}

static void turn_once(door *d)
{
    struct pollfd fds[2 + SILENT_MAX];
    const size_t n_silent = d->n_silent;
    int64_t now = process_now_ms();
    fds[0] = (struct pollfd){.fd = process_wake_fd(), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = now >= d->accept_again ? d->listen_fd : -1, .events = POLLIN};
    for (size_t i = 0; i < n_silent; i++) fds[2 + i] = (struct pollfd){.fd = d->silent[i].fd, .events = POLLIN};
    if (poll(fds, 2 + n_silent, next_wait(d, now)) < 0) return;
    now = process_now_ms();
    process_wake_drain();
    reap(d);
    signal_children(d, SIGKILL, now - WALL_MS);
    for (size_t i = n_silent; i-- > 0;) /* downwards: what leaves is replaced by what was looked at already */
        look_at_silent(d, i, fds[2 + i].revents != 0, now);
    if (fds[1].revents) take_connection(d);
}

static void leave(door *d)
{
    const int64_t until = process_now_ms() + LEAVE_MS;
    while (d->n_silent) close(d->silent[--d->n_silent].fd);
    signal_children(d, SIGTERM, INT64_MAX);
    for (int64_t left = LEAVE_MS; left > 0 && d->n_serving + d->n_goodbye; left = until - process_now_ms()) {
        struct pollfd wake = {.fd = process_wake_fd(), .events = POLLIN};
        if (poll(&wake, 1, (int)left) > 0) process_wake_drain();
        reap(d);
    }
    if (d->n_serving + d->n_goodbye)
        cot_log(COT_WARN, "door.stop", NULL, "reason=\"%zu associations cut off\"", d->n_serving + d->n_goodbye);
    signal_children(d, SIGKILL, INT64_MAX);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
}

cot_status cot_door_run(const cot_config *config, int listen_fd, cot_error *err)
{
    cot_status status = COT_OK;
    door *d = calloc(1, sizeof *d);
    if (!d) return cot_fail(err, COT_E_MEMORY, "door: no memory");
    d->config = config;
    d->listen_fd = listen_fd;
    d->n_children = config->max_associations + GOODBYE_MAX;
    d->children = calloc(d->n_children, sizeof *d->children);
    if (!d->children) {
        status = cot_fail(err, COT_E_MEMORY, "door: no memory");
        goto done;
    }
    cot_stop_on_signals();
    process_wake_on(SIGCHLD);
    if (listen_fd < 0) COT_TRY(door_listen(&d->listen_fd, config, err));
    fcntl(d->listen_fd, F_SETFL,
          fcntl(d->listen_fd, F_GETFL) | O_NONBLOCK); /* callers may be gone again before accept */
    cot_dicom_init();                                 /* once, for all children */
    cot_log(COT_INFO, "listen", NULL, "ae=\"%s\" bind=%s port=%u", config->ae, config->bind[0] ? config->bind : "*",
            door_port(d->listen_fd));
    while (!cot_stop_asked()) turn_once(d);
    if (listen_fd < 0) close(d->listen_fd);
    leave(d);
    cot_log(COT_INFO, "door.stopped", NULL, NULL);
done:
    free(d->children);
    free(d);
    return status;
}
