/* Inside plugin/: what `stepcot bench` measures of reports. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_BENCH_REPORTS_H
#define COT_BENCH_REPORTS_H
#include "plugin/reporting.h"

/* The first two are what a destination with default settings is sent, the others what it is offered where it takes no such
 * class. */
enum { BENCH_FORMS_SENT = 2, BENCH_FORMS = 4 };

typedef struct bench_reports {
    cot_sandbox *sandbox;
    const cot_config *config;
    const char *folder, *source; /* where reports go; the image they are about */
} bench_reports;

/* The reports of n readings of that image in `forms` forms each, all at once as the worker orders them: written, linted and
 * on disk. An image that cannot have any is left out. */
cot_status bench_reports_write(const bench_reports *b, const cot_decoded *decoded, cot_chain *const *chains, size_t n,
                               size_t forms, cot_error *err);
void bench_reports_remove(const bench_reports *b, size_t n);
#endif
