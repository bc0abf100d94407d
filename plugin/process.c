/* Stopping, waking and limits of the node's processes (process.h). Signal handlers only set flags and write one byte
 * into a pipe, so that a signal between a look at the flag and the wait is never lost.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/process.h"
#include "plugin/node.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_flag, hangup_flag;
static int wake_pipe[2] = {-1, -1};

static void on_signal(int signal_number)
{
    const int kept = errno;
    if (signal_number == SIGTERM || signal_number == SIGINT) stop_flag = 1;
    if (signal_number == SIGHUP) hangup_flag = 1;
    const ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
    errno = kept;
}

/* No SA_RESTART: a blocked system call returns and its loop sees the flag. */
static void catch_signal(int signal_number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

void cot_stop_on_signals(void)
{
    for (int i = 0; i < 2; i++) /* after a fork these are shared with the parent: take a pipe of our own */
        if (wake_pipe[i] >= 0) close(wake_pipe[i]);
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) wake_pipe[0] = wake_pipe[1] = -1;
    stop_flag = hangup_flag = 0;
    catch_signal(SIGPIPE, SIG_IGN);
    catch_signal(SIGXFSZ, SIG_IGN); /* a write beyond a limit fails with EFBIG, which is answered like a full disk */
    catch_signal(SIGTERM, on_signal);
    catch_signal(SIGINT, on_signal);
    process_free_signals();
}

bool cot_stop_asked(void)
{
    return stop_flag;
}

void process_wake_on(int signal_number)
{
    catch_signal(signal_number, on_signal);
}
int process_wake_fd(void)
{
    return wake_pipe[0];
}

void process_wake_drain(void)
{
    char bytes[64];
    while (read(wake_pipe[0], bytes, sizeof bytes) > 0) {}
}

bool process_hangup_taken(void)
{
    const bool was = hangup_flag;
    hangup_flag = 0;
    return was;
}

void cot_pause(unsigned ms)
{
    const int64_t until = process_now_ms() + ms;
    for (int64_t left = ms; left > 0 && !stop_flag; left = until - process_now_ms()) {
        struct pollfd wake = {.fd = wake_pipe[0], .events = POLLIN};
        if (poll(&wake, 1, (int)left) > 0) process_wake_drain();
    }
}

int64_t process_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void caught_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

void process_hold_signals(void)
{
    sigset_t set;
    caught_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void process_free_signals(void)
{
    sigset_t set;
    caught_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

bool process_end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent;
}

void process_close_but(int keep)
{
    if (keep > 3) close_range(3, (unsigned)keep - 1, 0);
    close_range(keep >= 3 ? (unsigned)keep + 1 : 3, ~0U, 0);
}

void process_limit(int resource, uint64_t value)
{
    struct rlimit now, wanted;
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0) return;
    wanted.rlim_cur = wanted.rlim_max = value < now.rlim_max ? value : now.rlim_max;
    setrlimit((__rlimit_resource_t)resource, &wanted);
}

void process_limit_memory(size_t mib)
{
#ifdef __SANITIZE_ADDRESS__
    (void)mib;
#else
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm) return;
    if (fscanf(statm, "%lu", &pages) != 1) pages = 0;
    fclose(statm);
    size_t bytes, mapped;
    if (!pages || !cot_mul(&bytes, mib, (size_t)1 << 20) || !cot_mul(&mapped, pages, (size_t)sysconf(_SC_PAGESIZE)) ||
        !cot_add(&bytes, bytes, mapped))
        return;
    process_limit(RLIMIT_AS, bytes);
#endif
}

void process_end_text(char *out, size_t size, int wait_status)
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, size, "signal %d, %s", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out, size, "exit code %d", WEXITSTATUS(wait_status));
}
