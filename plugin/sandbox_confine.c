/* What the sandbox's children may ask of the kernel: a seccomp filter that refuses (EPERM) network, programs, other
 * processes and kernel features no decoder needs, and Landlock so that nothing is written but below one folder. A list
 * of what is refused, not of what is allowed: libc and sanitizers change, these calls do not.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef THIS_ARCH
static const unsigned refused[] = {
    SYS_execve,
    SYS_execveat,
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_mount,
    SYS_umount2,
    SYS_chroot,
    SYS_pivot_root,
    SYS_setns,
    SYS_unshare,
    SYS_io_uring_setup,
    SYS_userfaultfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    SYS_shmget,
    SYS_msgget,
    SYS_semget,
    SYS_mq_open,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
};
#define N_REFUSED (sizeof refused / sizeof *refused)

/* New processes are refused; a thread (CLONE_THREAD) inherits filter and rules. clone3's flags lie in memory where no filter
 * can look: it does not exist here, and libc falls back to clone. */
static void refuse_calls(bool threads)
{
    struct sock_filter program[2 * N_REFUSED + 24];
    unsigned short n = 0;
#define PUT(code, k, yes, no) program[n++] = (struct sock_filter)BPF_JUMP((code), (k), (yes), (no))
#define LOAD(field)           PUT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field), 0, 0)
#define EQUAL(value, yes, no) PUT(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define ANSWER(what)          PUT(BPF_RET | BPF_K, (what), 0, 0)
    LOAD(arch);
    EQUAL(THIS_ARCH, 1, 0);
    ANSWER(SECCOMP_RET_KILL_PROCESS);
    LOAD(nr);
#ifdef __x86_64__
    PUT(BPF_JMP | BPF_JGE | BPF_K, 0x40000000U, 0, 1); /* the x32 twins of every call */
    ANSWER(SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < N_REFUSED; i++) {
        EQUAL(refused[i], 0, 1);
        ANSWER(SECCOMP_RET_ERRNO | 1);
    }
    EQUAL(SYS_clone3, 0, 1);
    ANSWER(SECCOMP_RET_ERRNO | (threads ? ENOSYS : EPERM));
    EQUAL(SYS_clone, 0, 4);
    LOAD(args[0]);
    PUT(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
    ANSWER(threads ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM);
    ANSWER(SECCOMP_RET_ERRNO | EPERM);
    EQUAL(SYS_tgkill, 0, 3); /* abort() signals the process itself, and only that is allowed */
    LOAD(args[0]);
    EQUAL((unsigned)getpid(), 1, 0);
    ANSWER(SECCOMP_RET_ERRNO | 1);
    ANSWER(SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {.len = n, .filter = program};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}
#else
static void refuse_calls(bool threads)
{
    (void)threads;
}
#endif

#define WRITING                                                                                                        \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                  \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                        \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                     \
     LANDLOCK_ACCESS_FS_MAKE_SYM)

static void write_only_below(const char *folder)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = WRITING};
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0) return;
    bool ready = true;
    if (folder) {
        const int fd = open(folder, O_PATH | O_CLOEXEC | O_DIRECTORY);
        const struct landlock_path_beneath_attr below = {.allowed_access = WRITING, .parent_fd = fd};
        ready = fd >= 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0;
        if (fd >= 0) close(fd);
    }
    if (ready) syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
}

void sandbox_confine(const char *writable, bool threads)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    write_only_below(writable);
    refuse_calls(threads);
}
