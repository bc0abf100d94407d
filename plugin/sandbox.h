/* Hostile bytes are parsed in children. cot_sandbox_create forks a small server while this process is still
 * single-threaded and holds no OpenCL context; the server forks one limited child (address space, CPU, file size, open
 * files, wall clock) per request. A child that crashes or hangs is an error with its reason, nothing more. COT_E_MEMORY and
 * COT_E_IO are the machine's faults (killed from outside, not started, disk), COT_E_INPUT is the file's.
 * Threads: one at a time. SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_SANDBOX_H
#define COT_SANDBOX_H
#include "config/base.h"
#include "dicom/dicom.h"

typedef struct cot_sandbox cot_sandbox;
typedef struct cot_sandbox_limits { unsigned timeout_s; size_t memory_mib; unsigned parallel; } cot_sandbox_limits;
cot_status cot_sandbox_create(cot_sandbox **out, const cot_sandbox_limits *limits, const cot_steps *steps, cot_error *err);
void cot_sandbox_destroy(cot_sandbox *sandbox);

typedef struct cot_decoded {
    cot_status status;         /* COT_OK: pixels are there; COT_E_REFUSED: gate; else could not be decoded */
    char refusal_id[33];       /* gate or "undecodable" */
    char text[513];            /* why */
    bool dicom;                /* false: PNG or JPEG picture (facts mostly empty) */
    cot_dicom_head head;       /* of DICOM files */
    cot_dicom_facts facts;
    size_t rows, cols;
    float *grey;               /* [rows*cols] 0..1, mapped memory; NULL without pixels */
    size_t mapped;             /* bytes of the mapping behind grey (internal) */
    bool timed_out;            /* stopped by the time limit: may go better on a machine with less to do */
    double ms;                 /* time the child took */
} cot_decoded;
/* Guards, gates and decodes n files (DICOM, PNG or JPEG, by content), `parallel` at a time. COT_OK even when some could
 * not be decoded: see each. `skip_gates`: decode whatever is decodable (infer --force). */
cot_status cot_sandbox_decode(cot_sandbox *sandbox, const char *const *paths, size_t n, bool skip_gates, cot_decoded *out, cot_error *err);
void cot_decoded_fini(cot_decoded *decoded);

/* Reports, each written in a child (the source's header is parsed there). Options' strings and chains are passed on. */
typedef struct cot_report_order {
    const char *path, *source, *dataset_sha256;
    const cot_chain *chain;
    const cot_report_image *more; /* further images of the study; not for captures */
    size_t n_more;
    cot_report_options options;
    int64_t now_utc;
    cot_report_made made; /* out */
    bool timed_out;       /* out, as in cot_decoded */
    cot_error error;      /* out: status COT_OK = written */
} cot_report_order;
/* `parallel` at a time. COT_OK even when some could not be written: see each. Otherwise the sandbox is gone. */
cot_status cot_sandbox_reports(cot_sandbox *sandbox, cot_report_order *orders, size_t n, cot_error *err);
/* One; COT_E_BUG only when the sandbox is gone. */
cot_status cot_sandbox_report(cot_sandbox *sandbox, cot_report_made *made, const char *path, const char *source,
                              const char *dataset_sha256, const cot_chain *chain, const cot_report_options *options,
                              int64_t now_utc, cot_error *err);
#endif
