/* The caller's side of the sandbox (sandbox.h): hands requests to the server, waits for their ends and checks what the
 * children left on their slips. The server is forked here, once, before any thread or device exists.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/sandbox.h"
#include "plugin/process.h"
#include "plugin/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The server ends children after timeout_s; an answer that takes this much longer means that it is gone itself. */
#define GRACE_MS 30000

struct cot_sandbox {
    cot_sandbox_limits limits;
    int socket_fd;
    pid_t server;
    bool broken;
};

cot_status cot_sandbox_create(cot_sandbox **out, const cot_sandbox_limits *limits, const cot_steps *steps,
                              cot_error *err)
{
    *out = NULL;
    cot_sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (!sandbox) return cot_fail(err, COT_E_MEMORY, "sandbox: no memory");
    sandbox->limits = *limits;
    if (!sandbox->limits.parallel) sandbox->limits.parallel = 1;
    if (!sandbox->limits.timeout_s) sandbox->limits.timeout_s = 1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(sandbox);
        return cot_fail(err, COT_E_IO, "sandbox: socketpair: %s", strerror(errno));
    }
    fflush(NULL); /* nothing buffered may be written twice */
    const pid_t parent = getpid();
    const pid_t server = fork();
    if (server == 0) {
        if (!process_end_with(parent)) _exit(0);
        process_close_but(pair[1]);
        sandbox_server_run(pair[1], &sandbox->limits, steps);
    }
    close(pair[1]);
    sandbox->socket_fd = pair[0];
    sandbox->server = server;
    if (server < 0) {
        const int why = errno;
        cot_sandbox_destroy(sandbox);
        return cot_fail(err, COT_E_IO, "sandbox: fork: %s", strerror(why));
    }
    *out = sandbox;
    return COT_OK;
}

void cot_sandbox_destroy(cot_sandbox *sandbox)
{
    if (!sandbox) return;
    close(sandbox->socket_fd); /* the server ends its children and itself */
    if (sandbox->server > 0)
        while (waitpid(sandbox->server, NULL, 0) < 0 && errno == EINTR) {}
    free(sandbox);
}

/* ---- requests ---- */
static cot_status server_lost(cot_sandbox *sandbox, cot_error *err)
{
    sandbox->broken = true;
    return cot_fail(err, COT_E_BUG, "sandbox: the decoder's process (pid %ld) has ended. Restart the program",
                    (long)sandbox->server);
}

static cot_status slip_create(int *slip, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              cot_error *err)
{
    *slip = memfd_create("stepcot-slip", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*slip < 0) return cot_fail(err, COT_E_IO, "sandbox: memfd: %s", strerror(errno));
    if (pwrite(*slip, head, head_size, 0) != (ssize_t)head_size ||
        (tail_size && pwrite(*slip, tail, tail_size, (off_t)head_size) != (ssize_t)tail_size)) {
        close(*slip);
        *slip = -1;
        return cot_fail(err, COT_E_IO, "sandbox: write request: %s", strerror(errno));
    }
    return COT_OK;
}

static cot_status call_send(cot_sandbox *sandbox, uint32_t id, sandbox_kind kind, int slip, cot_error *err)
{
    if (sandbox->broken) return server_lost(sandbox, err);
    sandbox_call call;
    memset(&call, 0, sizeof call);
    call.id = id;
    call.kind = kind;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec part = {.iov_base = &call, .iov_len = sizeof call};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &slip, sizeof slip);
    ssize_t n;
    do n = sendmsg(sandbox->socket_fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof call ? COT_OK : server_lost(sandbox, err);
}

static cot_status end_receive(cot_sandbox *sandbox, sandbox_end *end, cot_error *err)
{
    const int64_t until = process_now_ms() + (int64_t)sandbox->limits.timeout_s * 1000 + GRACE_MS;
    for (;;) {
        struct pollfd ready = {.fd = sandbox->socket_fd, .events = POLLIN};
        const int64_t left = until - process_now_ms();
        const int polled = left > 0 ? poll(&ready, 1, (int)(left < INT32_MAX ? left : INT32_MAX)) : 0;
        if (polled < 0 && errno == EINTR) continue;
        if (polled <= 0) return server_lost(sandbox, err);
        const ssize_t n = recv(sandbox->socket_fd, end, sizeof *end, 0);
        if (n < 0 && errno == EINTR) continue;
        return n == (ssize_t)sizeof *end ? COT_OK : server_lost(sandbox, err);
    }
}

/* After this nobody can change the slip, nor make it shorter under our mapping. */
static bool slip_seal(int slip, size_t *size)
{
    struct stat st;
    if (fcntl(slip, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0 || fstat(slip, &st) != 0)
        return false;
    *size = (size_t)st.st_size;
    return true;
}

/* By the server, or by the kernel's count of CPU time: the soft limit sends SIGXCPU, the hard one SIGKILL. */
static bool ended_late(const cot_sandbox *sandbox, const sandbox_end *end)
{
    const int by = end->wait_status != -1 && WIFSIGNALED(end->wait_status) ? WTERMSIG(end->wait_status) : 0;
    return end->timed_out || by == SIGXCPU || (by == SIGKILL && end->ms >= 1e3 * sandbox->limits.timeout_s);
}

/* COT_OK: the child ended in good order and its slip can be looked at. `what` is "the decoder", … Nothing in a file can
 * send SIGKILL: that is the kernel out of memory, or a person. */
static cot_status end_judge(const cot_sandbox *sandbox, const sandbox_end *end, const char *what, cot_error *err)
{
    if (ended_late(sandbox, end))
        return cot_fail(err, COT_E_LIMIT, "%s was stopped: it took longer than %u s", what, sandbox->limits.timeout_s);
    if (end->wait_status == -1)
        return cot_fail(err, COT_E_MEMORY, "%s could not be started: no process or memory left", what);
    if (WIFEXITED(end->wait_status) && WEXITSTATUS(end->wait_status) == 0) return COT_OK;
    if (WIFSIGNALED(end->wait_status) && WTERMSIG(end->wait_status) == SIGKILL)
        return cot_fail(err, COT_E_MEMORY, "%s was killed (out of memory?)", what);
    char why[128];
    process_end_text(why, sizeof why, end->wait_status);
    const bool limit = WIFSIGNALED(end->wait_status) && WTERMSIG(end->wait_status) == SIGXFSZ;
    return cot_fail(err, limit ? COT_E_LIMIT : COT_E_INPUT, "%s was stopped (%s); the file is damaged or hostile", what,
                    why);
}

/* ---- a batch of requests, `parallel` under way ---- */
typedef cot_status (*slip_maker)(int *slip, const void *ctx, size_t i, cot_error *err);
typedef void (*end_taker)(const cot_sandbox *sandbox, const void *ctx, size_t i, const sandbox_end *end, int slip);

static cot_status run_batch(cot_sandbox *sandbox, sandbox_kind kind, size_t n, slip_maker make, end_taker take,
                            const void *ctx, cot_error *err)
{
    cot_status status = COT_OK;
    size_t started = 0, ended = 0;
    int *slips = malloc((n ? n : 1) * sizeof *slips);
    if (!slips) return cot_fail(err, COT_E_MEMORY, "sandbox: no memory for %zu requests", n);
    for (size_t i = 0; i < n; i++) slips[i] = -1;
    while (ended < n) {
        sandbox_end end;
        for (; started < n && started - ended < sandbox->limits.parallel; started++) {
            COT_TRY(make(&slips[started], ctx, started, err));
            COT_TRY(call_send(sandbox, (uint32_t)started, kind, slips[started], err));
        }
        COT_TRY(end_receive(sandbox, &end, err));
        if (end.id >= n || slips[end.id] < 0) {
            status = server_lost(sandbox, err);
            goto done;
        }
        take(sandbox, ctx, end.id, &end, slips[end.id]);
        close(slips[end.id]);
        slips[end.id] = -1;
        ended++;
    }
done:
    for (size_t i = 0; i < n; i++)
        if (slips[i] >= 0) close(slips[i]);
    /* requests still under way would be mixed up with later ones */
    if (status != COT_OK && started > ended) sandbox->broken = true;
    free(slips);
    return status;
}

static bool text_ends(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}
#define TEXT_ENDS(array) text_ends((array), sizeof(array))

/* ---- decoding ---- */
static bool head_is_sane(const cot_dicom_head *h)
{
    return TEXT_ENDS(h->sop_class) && TEXT_ENDS(h->sop_instance) && TEXT_ENDS(h->study) && TEXT_ENDS(h->series) &&
           TEXT_ENDS(h->transfer_syntax) && TEXT_ENDS(h->dataset_sha256);
}

static bool facts_are_sane(const cot_dicom_facts *f)
{
    return TEXT_ENDS(f->sop_class) && TEXT_ENDS(f->modality) && TEXT_ENDS(f->body_part) &&
           TEXT_ENDS(f->view_position) && TEXT_ENDS(f->image_laterality) && TEXT_ENDS(f->laterality) &&
           TEXT_ENDS(f->orientation_row) && TEXT_ENDS(f->orientation_column) && TEXT_ENDS(f->view_code_value) &&
           TEXT_ENDS(f->view_code_scheme) && TEXT_ENDS(f->view_code_meaning) && TEXT_ENDS(f->anatomic_code_value) &&
           TEXT_ENDS(f->anatomic_code_scheme) && TEXT_ENDS(f->anatomic_code_meaning) &&
           TEXT_ENDS(f->study_description) && TEXT_ENDS(f->series_description) && TEXT_ENDS(f->protocol) &&
           TEXT_ENDS(f->photometric) && TEXT_ENDS(f->transfer_syntax) && TEXT_ENDS(f->rendering);
}

/* The child may have been taken over by the file it read: nothing on the slip is believed before this. */
static bool decoded_take(cot_decoded *out, int slip)
{
    size_t size, pixels, bytes;
    cot_decoded d;
    if (!slip_seal(slip, &size) || size < sizeof d || pread(slip, &d, sizeof d, 0) != (ssize_t)sizeof d) return false;
    if ((unsigned)d.status > COT_E_BUG || !TEXT_ENDS(d.refusal_id) || !TEXT_ENDS(d.text) || !head_is_sane(&d.head) ||
        !facts_are_sane(&d.facts))
        return false;
    d.grey = NULL;
    d.mapped = 0;
    if (d.status == COT_OK) {
        if (!d.rows || !d.cols || !cot_mul(&pixels, d.rows, d.cols) || !cot_mul(&bytes, pixels, sizeof(float)) ||
            !cot_add(&bytes, bytes, SANDBOX_PIXELS_AT) || bytes != size)
            return false;
        void *map =
            mmap(NULL, size - SANDBOX_PIXELS_AT, PROT_READ | PROT_WRITE, MAP_PRIVATE, slip, (off_t)SANDBOX_PIXELS_AT);
        if (map == MAP_FAILED) return false;
        d.grey = map;
        d.mapped = size - SANDBOX_PIXELS_AT;
    }
    *out = d;
    return true;
}

/* A child that ends in good order without memory has met the bound it was given: it will again, on any day. */
static void name_memory_bound(cot_decoded *out, size_t memory_mib)
{
    char text[sizeof out->text];
    if (out->status != COT_E_MEMORY) return;
    snprintf(text, sizeof text, "%.400s; decode-memory-mib=%zu is too little for this image", out->text, memory_mib);
    memcpy(out->text, text, sizeof text);
    out->status = COT_E_LIMIT;
}

static void decoded_judge(cot_decoded *out, const cot_sandbox *sandbox, const sandbox_end *end, int slip)
{
    cot_error why = COT_ERROR_INIT;
    cot_status status = end_judge(sandbox, end, "the decoder", &why);
    if (status == COT_OK && !decoded_take(out, slip))
        status = cot_fail(&why, COT_E_INPUT, "the decoder left no valid result; the file is damaged or hostile");
    if (status != COT_OK) {
        memset(out, 0, sizeof *out);
        out->status = status;
        snprintf(out->refusal_id, sizeof out->refusal_id, "undecodable");
        snprintf(out->text, sizeof out->text, "%.512s", why.text);
    }
    if (status == COT_OK) name_memory_bound(out, sandbox->limits.memory_mib);
    out->timed_out = ended_late(sandbox, end);
    out->ms = end->ms;
}

typedef struct decode_batch {
    const char *const *paths;
    bool skip_gates;
    cot_decoded *out;
} decode_batch;

static cot_status decode_slip(int *slip, const void *ctx, size_t i, cot_error *err)
{
    const decode_batch *b = ctx;
    sandbox_decode_args args;
    memset(&args, 0, sizeof args);
    if (snprintf(args.path, sizeof args.path, "%s", b->paths[i]) >= (int)sizeof args.path)
        return cot_fail(err, COT_E_INPUT, "sandbox: the path is longer than %zu bytes", sizeof args.path);
    args.skip_gates = b->skip_gates;
    return slip_create(slip, &args, sizeof args, NULL, 0, err);
}

static void decode_ended(const cot_sandbox *sandbox, const void *ctx, size_t i, const sandbox_end *end, int slip)
{
    decoded_judge(&((const decode_batch *)ctx)->out[i], sandbox, end, slip);
}

cot_status cot_sandbox_decode(cot_sandbox *sandbox, const char *const *paths, size_t n, bool skip_gates,
                              cot_decoded *out, cot_error *err)
{
    const decode_batch b = {paths, skip_gates, out};
    memset(out, 0, n * sizeof *out);
    const cot_status status = run_batch(sandbox, SANDBOX_DECODE, n, decode_slip, decode_ended, &b, err);
    for (size_t i = 0; status != COT_OK && i < n; i++) cot_decoded_fini(&out[i]);
    return status;
}

void cot_decoded_fini(cot_decoded *decoded)
{
    if (decoded->grey) munmap(decoded->grey, decoded->mapped);
    decoded->grey = NULL;
    decoded->mapped = 0;
}

/* ---- reports ---- */
static bool text_put(char *to, size_t size, const char *from)
{
    return snprintf(to, size, "%s", from ? from : "") < (int)size;
}

static cot_status report_args_fill(sandbox_report_args *args, const cot_report_order *order, cot_error *err)
{
    const cot_report_options *options = &order->options;
    memset(args, 0, sizeof *args);
    args->options = *options;
    args->options.folder_later = true; /* sync_folders */
    args->n_images = 1 + order->n_more;
    args->now_utc = order->now_utc;
    args->has_predecessor = options->predecessor && options->predecessor[0];
    const bool fits = text_put(args->path, sizeof args->path, order->path) &&
                      text_put(args->predecessor, sizeof args->predecessor, options->predecessor) &&
                      text_put(args->manufacturer, sizeof args->manufacturer, options->manufacturer) &&
                      text_put(args->station, sizeof args->station, options->station) &&
                      text_put(args->uid_root, sizeof args->uid_root, options->uid_root) &&
                      text_put(args->program_version, sizeof args->program_version, options->program_version);
    return fits ? COT_OK : cot_fail(err, COT_E_INPUT, "write report %s: a path or text is too long", order->path);
}

static cot_status report_judge(cot_report_made *made, int slip, cot_error *err)
{
    size_t size;
    sandbox_report_result r;
    if (!slip_seal(slip, &size) || size != sizeof r || pread(slip, &r, sizeof r, 0) != (ssize_t)sizeof r ||
        (unsigned)r.error.status > COT_E_BUG || !TEXT_ENDS(r.error.text) || !TEXT_ENDS(r.made.sop_class) ||
        !TEXT_ENDS(r.made.sop_instance) || !TEXT_ENDS(r.made.series) || !TEXT_ENDS(r.made.study))
        return cot_fail(err, COT_E_INPUT,
                        "the report writer left no valid result; the image's header is damaged or hostile");
    if (r.error.status != COT_OK) return cot_fail(err, r.error.status, "%s", r.error.text);
    *made = r.made;
    return COT_OK;
}

typedef struct report_batch {
    cot_report_order *orders;
} report_batch;

static cot_status report_slip(int *slip, const void *ctx, size_t i, cot_error *err)
{
    cot_status status;
    const cot_report_order *order = &((const report_batch *)ctx)->orders[i];
    void *images = NULL;
    size_t images_size;
    sandbox_report_args *args = malloc(sizeof *args);
    if (!args) return cot_fail(err, COT_E_MEMORY, "write report: no memory");
    COT_TRY(report_args_fill(args, order, err));
    COT_TRY(images_pack(&images, &images_size, order, err));
    COT_TRY(slip_create(slip, args, sizeof *args, images, images_size, err));
done:
    free(images);
    free(args);
    return status;
}

static void report_ended(const cot_sandbox *sandbox, const void *ctx, size_t i, const sandbox_end *end, int slip)
{
    cot_report_order *order = &((const report_batch *)ctx)->orders[i];
    cot_error *err = &order->error;
    cot_status status = end_judge(sandbox, end, "the report writer", err);
    order->timed_out = ended_late(sandbox, end);
    if (status == COT_OK) status = report_judge(&order->made, slip, err);
    if (status != COT_OK)
        cot_fail_in(err, "report on %s", order->source);
    else
        err->status = COT_OK;
}

static bool same_folder(const char *a, const char *b)
{
    const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
    const size_t n = end_a ? (size_t)(end_a - a) + 1 : 0;
    return n == (end_b ? (size_t)(end_b - b) + 1 : 0) && !memcmp(a, b, n);
}

/* A report is on disk when its name is too: one sync per folder, not per report. */
static void sync_folders(cot_report_order *orders, size_t n)
{
    const cot_report_order *last = NULL; /* synced */
    for (size_t i = 0; i < n; i++) {
        cot_report_order *order = &orders[i];
        if (order->error.status != COT_OK || (last && same_folder(last->path, order->path))) continue;
        if (cot_folder_sync(order->path, &order->error) == COT_OK) last = order;
    }
}

cot_status cot_sandbox_reports(cot_sandbox *sandbox, cot_report_order *orders, size_t n, cot_error *err)
{
    const report_batch b = {orders};
    const cot_status status = run_batch(sandbox, SANDBOX_REPORT, n, report_slip, report_ended, &b, err);
    if (status == COT_OK) sync_folders(orders, n);
    return status;
}

cot_status cot_sandbox_report(cot_sandbox *sandbox, cot_report_made *made, const char *path, const char *source,
                              const char *dataset_sha256, const cot_chain *chain, const cot_report_options *options,
                              int64_t now_utc, cot_error *err)
{
    cot_report_order order = {.path = path,
                              .source = source,
                              .dataset_sha256 = dataset_sha256,
                              .chain = chain,
                              .options = *options,
                              .now_utc = now_utc};
    const cot_status status = cot_sandbox_reports(sandbox, &order, 1, err);
    if (status != COT_OK) return status;
    *made = order.made;
    return order.error.status == COT_OK ? COT_OK : cot_fail(err, order.error.status, "%s", order.error.text);
}
