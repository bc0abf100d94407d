/* Inside the sandbox: one process, one request, then _exit. Limits first, then the hostile bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "plugin/process.h"
#include "plugin/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void (*sandbox_before_work)(const char *path);
void (*sandbox_before_lint)(const char *path);

static void limit(const cot_sandbox_limits *limits)
{
    size_t bytes;
    if (!cot_mul(&bytes, limits->memory_mib, (size_t)1 << 20)) bytes = SIZE_MAX;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    process_limit(RLIMIT_CORE, 0);
    process_limit(RLIMIT_FSIZE, bytes);
    process_limit(RLIMIT_NOFILE, 32);
    process_limit(RLIMIT_CPU, limits->timeout_s + 1);
    process_limit_memory(limits->memory_mib);
}

static bool write_at(int fd, const void *from, size_t size, size_t at)
{
    const char *bytes = from;
    while (size) {
        const ssize_t n = pwrite(fd, bytes, size, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- decoding ---- */
static cot_status sniff(bool *picture, const char *path, cot_error *err)
{
    unsigned char first[16] = {0};
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cot_fail(err, COT_E_IO, "open %s: %s", path, strerror(errno));
    const bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    const ssize_t n = regular ? pread(fd, first, sizeof first, 0) : 0;
    close(fd);
    if (!regular) return cot_fail(err, COT_E_INPUT, "%s is not a regular file", path);
    if (n < 0) return cot_fail(err, COT_E_IO, "read %s: %s", path, strerror(errno));
    *picture = cot_picture_is(first);
    return COT_OK;
}

static cot_status keep_pixels(int slip, cot_decoded *d, const float *grey, bool skip_gates, cot_error *err)
{
    cot_status status;
    size_t bytes;
    if (!skip_gates) COT_TRY(cot_gate_pixels(&d->facts, grey, d->rows, d->cols, d->refusal_id, err));
    if (!cot_mul(&bytes, d->rows, d->cols) || !cot_mul(&bytes, bytes, sizeof *grey) ||
        !write_at(slip, grey, bytes, SANDBOX_PIXELS_AT))
        return cot_fail(err, COT_E_LIMIT, "decode: %zu x %zu pixels are more than the decoder may hold", d->rows,
                        d->cols);
    status = COT_OK;
done:
    return status;
}

static cot_status decode_picture(int slip, cot_decoded *d, const sandbox_decode_args *args, cot_error *err)
{
    cot_status status;
    float *grey = NULL;
    COT_TRY(cot_picture_load(&grey, &d->rows, &d->cols, args->path, err));
    COT_TRY(keep_pixels(slip, d, grey, args->skip_gates, err));
done:
    free(grey);
    return status;
}

static cot_status decode_dicom(int slip, cot_decoded *d, const sandbox_decode_args *args, cot_error *err)
{
    cot_status status;
    const cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    cot_dicom_image *image = NULL;
    d->dicom = true;
    COT_TRY(cot_dicom_guard(&d->head, args->path, &limits, err));
    COT_TRY(cot_dicom_facts_read(&d->facts, args->path, err));
    if (!args->skip_gates) COT_TRY(cot_gate_facts(&d->facts, d->refusal_id, err));
    COT_TRY(cot_dicom_image_create(&image, args->path, err));
    d->facts = *cot_dicom_image_facts(image);
    const float *grey = cot_dicom_image_pixels(image, &d->rows, &d->cols);
    COT_TRY(keep_pixels(slip, d, grey, args->skip_gates, err));
done:
    cot_dicom_image_destroy(image);
    return status;
}

static bool do_decode(int slip, const sandbox_decode_args *args)
{
    static cot_decoded d;
    cot_error err = COT_ERROR_INIT;
    bool picture = false;
    d.status = sniff(&picture, args->path, &err);
    if (d.status == COT_OK)
        d.status = picture ? decode_picture(slip, &d, args, &err) : decode_dicom(slip, &d, args, &err);
    if (d.status != COT_OK) {
        if (d.status != COT_E_REFUSED || !d.refusal_id[0]) snprintf(d.refusal_id, sizeof d.refusal_id, "undecodable");
        snprintf(d.text, sizeof d.text, "%.512s", err.text);
    }
    return write_at(slip, &d, sizeof d, 0);
}

/* ---- reports ---- */
/* The first finding is the reason; the number says how much is wrong. */
static void keep_finding(void *ctx, const cot_lint_finding *finding)
{
    cot_error *err = ctx;
    if (err->status != COT_OK) return;
    cot_fail(err, COT_E_REFUSED, "the report does not pass lint and is not sent: %s at %.200s: %.300s", finding->rule,
             finding->where, finding->what);
}

/* The last gate: what was written is read again, beside its images. A report that fails stays, for people. */
static cot_status lint_report(const sandbox_report_args *args, const cot_report_image *images, cot_error *err)
{
    const char *paths[1 + COT_REPORT_IMAGES] = {args->path};
    cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    cot_dicom_head head;
    limits.no_digest = true;
    cot_error found = COT_ERROR_INIT;
    size_t n = 0, n_paths = 1;
    for (size_t i = 0; i < args->n_images; i++) /* a damaged image has a report that says so, and nothing to compare */
        if (cot_dicom_guard(&head, images[i].source, &limits, err) == COT_OK) paths[n_paths++] = images[i].source;
    const cot_status status = cot_report_lint(paths, n_paths, keep_finding, &found, &n, err);
    if (status != COT_OK || n == 0) return status;
    return cot_fail(err, found.status, "%s (%zu finding%s; stepcot lint FILE lists them)", found.text, n,
                    n == 1 ? "" : "s");
}

static bool do_report(int slip, sandbox_report_args *args, const cot_report_image *images, const cot_steps *steps)
{
    static sandbox_report_result r;
    cot_report_options *o = &args->options;
    o->manufacturer = args->manufacturer;
    o->station = args->station;
    o->uid_root = args->uid_root;
    o->program_version = args->program_version;
    o->predecessor = args->has_predecessor ? args->predecessor : NULL;
    if (o->kind == COT_REPORT_CAPTURE)
        r.error.status = cot_capture_write(&r.made, args->path, images[0].source, images[0].dataset_sha256,
                                           images[0].chain, steps, o, args->now_utc, &r.error);
    else
        r.error.status =
            cot_report_write_study(&r.made, args->path, images, args->n_images, steps, o, args->now_utc, &r.error);
    if (r.error.status == COT_OK && sandbox_before_lint) sandbox_before_lint(args->path);
    if (r.error.status == COT_OK) r.error.status = lint_report(args, images, &r.error);
    return write_at(slip, &r, sizeof r, 0);
}

/* ---- entry ---- */
/* All of the slip into memory, and an empty slip for the result. */
static char *take_args(int slip, size_t *size)
{
    struct stat st;
    if (fstat(slip, &st) != 0 || st.st_size <= 0) return NULL;
    *size = (size_t)st.st_size;
    char *bytes = malloc(*size);
    if (bytes && (pread(slip, bytes, *size, 0) != (ssize_t)*size || ftruncate(slip, 0) != 0)) {
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

static void confine_report(const sandbox_report_args *args)
{
    char folder[sizeof args->path];
    snprintf(folder, sizeof folder, "%s", args->path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    sandbox_confine(slash ? folder : ".", args->options.kind == COT_REPORT_CAPTURE);
}

_Noreturn void sandbox_child_run(int slip, sandbox_kind kind, const cot_sandbox_limits *limits, const cot_steps *steps)
{
    size_t size = 0;
    bool good = false;
    char *args = take_args(slip, &size);
    limit(limits);
    if (args && kind == SANDBOX_DECODE && size == sizeof(sandbox_decode_args)) {
        const sandbox_decode_args *a = (const void *)args;
        sandbox_confine(NULL, false);
        if (sandbox_before_work) sandbox_before_work(a->path);
        good = do_decode(slip, a);
    } else if (args && kind == SANDBOX_REPORT && size >= sizeof(sandbox_report_args)) {
        sandbox_report_args *a = (void *)args;
        cot_report_image images[COT_REPORT_IMAGES];
        confine_report(a);
        good = images_unpack(images, a->n_images, args + sizeof *a, size - sizeof *a);
        if (good && sandbox_before_work) sandbox_before_work(images[0].source);
        good = good && do_report(slip, a, images, steps);
    }
    _exit(good ? 0 : 1);
}
