/* Between the three pieces of the sandbox: the caller (sandbox.c), its server (sandbox_server.c) and the limited child
 * (sandbox_child.c). They are one program image, so structs travel as they are. Each request comes with a slip: an
 * anonymous file that holds the arguments going in and the result coming out; the server never looks into it, and the
 * caller believes nothing it reads there before checking it. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_SANDBOX_PARTS_H
#define COT_SANDBOX_PARTS_H
#include "plugin/sandbox.h"

typedef enum sandbox_kind { SANDBOX_DECODE = 1, SANDBOX_REPORT = 2 } sandbox_kind;

typedef struct sandbox_call { /* caller -> server, with the slip */
    uint32_t id;
    sandbox_kind kind;
} sandbox_call;
typedef struct sandbox_end { /* server -> caller */
    uint32_t id;
    int wait_status; /* of the child; -1: it could not be started */
    bool timed_out;
    double ms;
} sandbox_end;

typedef struct sandbox_decode_args {
    char path[4096];
    bool skip_gates;
} sandbox_decode_args;
/* Result of a decode: a cot_decoded (grey NULL), and at this offset the pixels. */
#define SANDBOX_PIXELS_AT ((size_t)16384)

/* Followed by its images as images_pack leaves them. */
typedef struct sandbox_report_args {
    _Alignas(16) char path[1200];
    char predecessor[1200];
    size_t n_images;
    char manufacturer[65], station[65], uid_root[65], program_version[65];
    bool has_predecessor;
    cot_report_options options; /* its pointers are set again in the child */
    int64_t now_utc;
} sandbox_report_args;
/* All images of the order as one block (sandbox_images.c). Caller frees *out. */
cot_status images_pack(void **out, size_t *size, const cot_report_order *order, cot_error *err);
/* Lets images[n] point into the block (aligned like malloc's); false when they do not fit. */
bool images_unpack(cot_report_image *images, size_t n, void *block, size_t size);
typedef struct sandbox_report_result {
    cot_error error; /* status COT_OK: written */
    cot_report_made made;
} sandbox_report_result;

_Noreturn void sandbox_server_run(int socket_fd, const cot_sandbox_limits *limits, const cot_steps *steps);
_Noreturn void sandbox_child_run(int slip, sandbox_kind kind, const cot_sandbox_limits *limits, const cot_steps *steps);
/* No network, no programs, no other process, no writing outside `writable` (NULL: nowhere). Where the kernel has no
 * seccomp or Landlock, the limits of the process remain. `threads`: it may start threads, confined as it is (Pango does). */
void sandbox_confine(const char *writable, bool threads);

/* For tests only: called in the child before it works, when set before cot_sandbox_create. */
extern void (*sandbox_before_work)(const char *path);
/* Likewise, with the report's path, between its writing and its lint. */
extern void (*sandbox_before_lint)(const char *path);
#endif
