/* What every role of the node needs of the operating system: being woken, ending with its parent, limits, clean file
 * descriptors. Threads: the main thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_PROCESS_H
#define COT_PROCESS_H
#include "config/base.h"

#include <sys/types.h>

int64_t process_now_ms(void); /* monotonic */

/* A descriptor that becomes readable when a caught signal came; drain it, then look at the flags. */
int process_wake_fd(void);
void process_wake_drain(void);
void process_wake_on(int signal_number); /* SIGCHLD, SIGHUP: only wakes */
bool process_hangup_taken(void);         /* true once per SIGHUP */

/* Catchable signals are held back between these two: around fork, until the child has its own handlers. */
void process_hold_signals(void);
void process_free_signals(void);

/* SIGKILL for this process when `parent` ends; false: it has already ended. */
bool process_end_with(pid_t parent);
/* Closes every descriptor from 3 on except `keep` (-1: none). */
void process_close_but(int keep);
/* Address space: what is mapped now plus `mib`. No effect under AddressSanitizer, whose shadow needs terabytes. */
void process_limit_memory(size_t mib);
void process_limit(int resource, uint64_t value); /* RLIMIT_…, soft and hard, never above the present hard limit */
/* "signal 11, segmentation fault" or "exit code 3". */
void process_end_text(char *out, size_t size, int wait_status);
#endif
