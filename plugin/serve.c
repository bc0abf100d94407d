/* The supervisor: checks what the roles will need, holds the store's lock and the listening socket, starts door, worker and
 * senders as processes of this program, and starts again what dies, with growing pauses, after giving back what it held. It
 * opens no device and parses nothing from outside. Roles die with it (SIGKILL by the kernel), so that a new supervisor finds
 * nothing half alive. They all get the configuration as it was at the start, whatever happens to its file meanwhile.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/serve.h"
#include "engine/engine.h"
#include "plugin/door.h"
#include "plugin/process.h"
#include "plugin/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACK_OFF_FIRST_MS 200
#define BACK_OFF_MAX_MS   10000
#define STEADY_MS         30000 /* a role that lived this long starts over with the first pause */
#define PATIENCE_MS       5000  /* for the remains of a killed predecessor: lock and port */
#define LEAVE_MS          15000 /* after SIGTERM */
#define PURGE_MS          3600000

typedef struct role {
    char name[48];  /* in the log */
    char owner[64]; /* in the store; "" = owns nothing there */
    const char *argv[10];
    pid_t pid;                 /* 0: not running */
    int64_t started, start_at; /* monotonic ms */
    unsigned back_off;
    bool holds; /* died: what it had claimed must go back before it starts again */
} role;

typedef struct supervisor {
    const cot_config *config;
    cot_store *store;
    int listen_fd;
    int config_fd; /* a sealed file in memory with the checked configuration: standard input of every role */
    char fd_text[16];
    role *roles;
    size_t n_roles;
    int64_t purge_at;
} supervisor;

/* ---- start ---- */
static cot_status check_model(const cot_config *config, cot_error *err)
{
    cot_status status;
    cot_steps *steps = NULL;
    cot_package *package = NULL;
    cot_readers readers;
    COT_TRY(cot_steps_load(&steps, config->steps[0] ? config->steps : NULL, err));
    COT_TRY(cot_package_open(&package, config->package[0] ? config->package : NULL, steps, err));
    COT_TRY(readers_of(&readers, package, config, err));
done:
    cot_package_close(package);
    cot_steps_destroy(steps);
    return status;
}

/* A predecessor that was killed may be about to leave: lock and port get a few seconds. */
static cot_status lock_patiently(cot_store *store, cot_error *err)
{
    const int64_t until = process_now_ms() + PATIENCE_MS;
    cot_status status = cot_store_lock(store, err);
    while (status == COT_E_REFUSED && process_now_ms() < until && !cot_stop_asked()) {
        cot_pause(100);
        status = cot_store_lock(store, err);
    }
    if (status == COT_E_REFUSED && err) err->status = COT_E_IO; /* for the exit code: the store cannot be had */
    return status == COT_E_REFUSED ? COT_E_IO : status;
}

static cot_status listen_patiently(int *fd, const cot_config *config, cot_error *err)
{
    const int64_t until = process_now_ms() + PATIENCE_MS;
    cot_status status = door_listen(fd, config, err);
    while (status == COT_E_NETWORK && process_now_ms() < until && !cot_stop_asked()) {
        cot_pause(100);
        status = door_listen(fd, config, err);
    }
    return status;
}

static void purge(supervisor *s)
{
    cot_error err = COT_ERROR_INIT;
    size_t n = 0;
    s->purge_at = process_now_ms() + PURGE_MS;
    if (cot_store_purge(s->store, s->config->keep_days, &n, &err) != COT_OK)
        cot_log(COT_WARN, "store.purge", NULL, "reason=\"%s\"", err.text);
    else if (n)
        cot_log(COT_INFO, "store.purge", NULL, "files=%zu", n);
}

static cot_status take_store(supervisor *s, cot_error *err)
{
    cot_status status;
    size_t n = 0;
    COT_TRY(cot_store_open(&s->store, s->config->store, err));
    COT_TRY(lock_patiently(s->store, err));
    COT_TRY(cot_store_release(s->store, NULL, &n, err));
    if (n) cot_log(COT_INFO, "store.release", NULL, "claims=%zu", n);
    purge(s);
done:
    return status;
}

/* argv of a role: stepcot role KIND --config SERVE_ROLE_CONFIG OPTION VALUE */
static void add_role(supervisor *s, const char *kind, const char *option, const char *value, const char *owner)
{
    role *r = &s->roles[s->n_roles++];
    size_t n = 0;
    const bool plain = !strcmp(kind, "door");
    snprintf(r->name, sizeof r->name, "%s%s%s", kind, plain ? "" : ":", plain ? "" : value);
    snprintf(r->owner, sizeof r->owner, "%s", owner);
    r->argv[n++] = COT_PROGRAM;
    r->argv[n++] = "role";
    r->argv[n++] = kind;
    r->argv[n++] = "--config";
    r->argv[n++] = SERVE_ROLE_CONFIG;
    r->argv[n++] = option;
    r->argv[n++] = value;
}

/* Every value spelled out and every path absolute, so that it means the same wherever it lies. */
static cot_status keep_config(supervisor *s, cot_error *err)
{
    cot_status status;
    s->config_fd = memfd_create("stepcot-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int fd = s->config_fd < 0 ? -1 : fcntl(s->config_fd, F_DUPFD_CLOEXEC, 0);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (!stream) {
        status = cot_fail(err, COT_E_IO, "keep the configuration: %s", strerror(errno));
        if (fd >= 0) close(fd);
        return status;
    }
    status = cot_config_print(s->config, stream, err);
    if (fclose(stream) != 0 && status == COT_OK)
        status = cot_fail(err, COT_E_IO, "keep the configuration: %s", strerror(errno));
    if (status == COT_OK &&
        fcntl(s->config_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        status = cot_fail(err, COT_E_IO, "keep the configuration: %s", strerror(errno));
    return status;
}

static void say_stray(void *ctx, const char *destination, size_t n)
{
    char text[256];
    (void)ctx;
    serve_stray_text(text, sizeof text, destination, n);
    cot_log(COT_WARN, "send.nowhere", NULL, "destination=%s deliveries=%zu reason=\"%s\"", destination, n, text);
}

static cot_status plan_roles(supervisor *s, cot_error *err)
{
    const cot_config *c = s->config;
    s->roles = calloc(2 + c->n_destinations, sizeof *s->roles);
    if (!s->roles) return cot_fail(err, COT_E_MEMORY, "serve: no memory");
    snprintf(s->fd_text, sizeof s->fd_text, "%d", s->listen_fd);
    add_role(s, "door", "--fd", s->fd_text, "");
    add_role(s, "worker", "--owner", "worker0", "worker0");
    for (size_t i = 0; i < c->n_destinations; i++) {
        char owner[64];
        serve_sender_owner(owner, sizeof owner, c->destinations[i].name);
        add_role(s, "sender", "--to", c->destinations[i].name, owner);
    }
    return COT_OK;
}

/* ---- roles ---- */
_Noreturn static void become(const supervisor *s, const role *r, pid_t parent)
{
    char *argv[10];
    memcpy(argv, r->argv, sizeof argv); /* execv takes them without const and leaves them alone */
    if (!process_end_with(parent)) _exit(0);
    const bool door = r == s->roles;
    if (dup2(s->config_fd, STDIN_FILENO) < 0) _exit(127);
    if (door) fcntl(s->listen_fd, F_SETFD, 0);
    process_close_but(door ? s->listen_fd : -1);
    signal(SIGCHLD, SIG_DFL);
    process_free_signals();
    execv("/proc/self/exe", argv);
    _exit(127);
}

static void start_role(supervisor *s, role *r)
{
    cot_error err = COT_ERROR_INIT;
    size_t n = 0;
    const pid_t parent = getpid();
    r->start_at = process_now_ms() + r->back_off; /* if it does not work out */
    if (r->holds && cot_store_release(s->store, r->owner, &n, &err) != COT_OK) {
        cot_log(COT_ERROR_LEVEL, "store.release", NULL, "owner=%s reason=\"%s\"", r->owner, err.text);
        return;
    }
    if (n) cot_log(COT_INFO, "store.release", NULL, "owner=%s claims=%zu", r->owner, n);
    r->holds = false;
    fflush(NULL);
    process_hold_signals();
    const pid_t pid = fork();
    if (pid == 0) become(s, r, parent);
    const int why = errno;
    process_free_signals();
    if (pid < 0) {
        cot_log(COT_ERROR_LEVEL, "role.start", NULL, "name=%s reason=\"fork: %s\"", r->name, strerror(why));
        return;
    }
    r->pid = pid;
    r->started = process_now_ms();
    cot_log(COT_INFO, "role.start", NULL, "name=%s pid=%ld", r->name, (long)pid);
}

static void role_ended(role *r, int wait_status)
{
    char why[128];
    const int64_t now = process_now_ms(), lived = now - r->started;
    r->pid = 0;
    r->holds = r->owner[0] != 0;
    if (cot_stop_asked()) return;
    if (lived >= STEADY_MS) r->back_off = BACK_OFF_FIRST_MS;
    process_end_text(why, sizeof why, wait_status);
    cot_log(COT_ERROR_LEVEL, "role.died", NULL, "name=%s reason=\"%s\" lived_ms=%lld again_ms=%u", r->name, why,
            (long long)lived, r->back_off);
    r->start_at = now + r->back_off;
    r->back_off = r->back_off * 2 < BACK_OFF_MAX_MS ? r->back_off * 2 : BACK_OFF_MAX_MS;
}

static size_t reap(supervisor *s)
{
    int wait_status;
    pid_t pid;
    size_t running = 0;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        for (size_t i = 0; i < s->n_roles; i++)
            if (s->roles[i].pid == pid) role_ended(&s->roles[i], wait_status);
    for (size_t i = 0; i < s->n_roles; i++) running += s->roles[i].pid != 0;
    return running;
}

static void wait_for_signal(int64_t ms)
{
    struct pollfd wake = {.fd = process_wake_fd(), .events = POLLIN};
    if (ms > 0 && poll(&wake, 1, (int)ms) > 0) process_wake_drain();
}

static void watch(supervisor *s)
{
    while (!cot_stop_asked()) {
        int64_t now = process_now_ms(), next = s->purge_at;
        reap(s);
        for (size_t i = 0; i < s->n_roles; i++) {
            role *r = &s->roles[i];
            if (!r->pid && now >= r->start_at) start_role(s, r);
            if (!r->pid && r->start_at < next) next = r->start_at;
        }
        if (now >= s->purge_at) purge(s);
        if (process_hangup_taken())
            cot_log(COT_WARN, "config.reload", NULL, "reason=\"restart to reload the configuration\"");
        wait_for_signal(next - process_now_ms() + 1);
    }
}

static void signal_roles(const supervisor *s, int signal_number)
{
    for (size_t i = 0; i < s->n_roles; i++)
        if (s->roles[i].pid) kill(s->roles[i].pid, signal_number);
}

static void leave(supervisor *s)
{
    cot_error err = COT_ERROR_INIT;
    const int64_t until = process_now_ms() + LEAVE_MS;
    cot_log(COT_INFO, "node.stop", NULL, NULL);
    close(s->listen_fd); /* no new callers; the door closes its own with SIGTERM */
    signal_roles(s, SIGTERM);
    while (reap(s) && process_now_ms() < until) wait_for_signal(until - process_now_ms());
    for (size_t i = 0; i < s->n_roles; i++)
        if (s->roles[i].pid)
            cot_log(COT_WARN, "role.killed", NULL, "name=%s reason=\"did not end in %d s\"", s->roles[i].name,
                    LEAVE_MS / 1000);
    signal_roles(s, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {}
    if (cot_store_release(s->store, NULL, NULL, &err) != COT_OK)
        cot_log(COT_WARN, "store.release", NULL, "reason=\"%s\"", err.text);
    cot_log(COT_INFO, "node.stopped", NULL, NULL);
}

cot_status cot_serve(const cot_config *config, cot_error *err)
{
    cot_status status;
    supervisor s = {.config = config, .listen_fd = -1, .config_fd = -1};
    cot_stop_on_signals();
    process_wake_on(SIGCHLD);
    process_wake_on(SIGHUP);
    COT_TRY(check_model(config, err));
    COT_TRY(take_store(&s, err));
    COT_TRY(listen_patiently(&s.listen_fd, config, err));
    COT_TRY(keep_config(&s, err));
    COT_TRY(plan_roles(&s, err));
    for (size_t i = 0; i < s.n_roles; i++) s.roles[i].back_off = BACK_OFF_FIRST_MS;
    cot_log(COT_INFO, "node.start", NULL, "program=%s-%s pid=%ld store=%s destinations=%zu", COT_PROGRAM, COT_VERSION,
            (long)getpid(), config->store, config->n_destinations);
    COT_TRY(serve_strays(s.store, config, say_stray, NULL, err));
    watch(&s);
    leave(&s);
    s.listen_fd = -1;
done:
    if (s.listen_fd >= 0) close(s.listen_fd);
    if (s.config_fd >= 0) close(s.config_fd);
    cot_store_close(s.store);
    free(s.roles);
    return status;
}

void serve_sender_owner(char *out, size_t size, const char *destination)
{
    snprintf(out, size, "sender-%s", destination);
}
