/* The reports of a batch as the worker orders them (worker_reports.c), for `stepcot bench`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/bench_reports.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const report_form bench_forms[BENCH_FORMS] = {FORM_READING, FORM_3D, FORM_BASIC, FORM_2D};

typedef char report_path[160];

static void name_file(report_path path, const bench_reports *b, size_t image, size_t form)
{
    snprintf(path, sizeof(report_path), "%s/%zu-%s.dcm", b->folder, image, reporting_form_name(bench_forms[form]));
}

cot_status bench_reports_write(const bench_reports *b, const cot_decoded *decoded, cot_chain *const *chains, size_t n,
                               size_t forms, cot_error *err)
{
    cot_status status;
    size_t m = 0;
    report_path *paths = calloc(n * BENCH_FORMS, sizeof *paths);
    cot_report_order *orders = calloc(n * BENCH_FORMS, sizeof *orders);
    if (!paths || !orders) {
        status = cot_fail(err, COT_E_MEMORY, "bench: no memory for %zu reports", n * forms);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < forms && reporting_possible(&decoded[i]); k++) {
            if (reporting_form_measures(bench_forms[k]) && !cot_report_measurable(chains[i])) continue;
            name_file(paths[m], b, i, k);
            orders[m] = (cot_report_order){.path = paths[m],
                                           .source = b->source,
                                           .dataset_sha256 = decoded[i].head.dataset_sha256,
                                           .chain = chains[i],
                                           .now_utc = (int64_t)time(NULL),
                                           .options = reporting_form_options(b->config, bench_forms[k])};
            m++;
        }
    COT_TRY(cot_sandbox_reports(b->sandbox, orders, m, err));
    for (size_t k = 0; k < m && status == COT_OK; k++)
        if (orders[k].error.status != COT_OK)
            status = cot_fail(err, orders[k].error.status, "%s", orders[k].error.text);
done:
    free(orders);
    free(paths);
    return status;
}

void bench_reports_remove(const bench_reports *b, size_t n)
{
    report_path path;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < BENCH_FORMS; k++) {
            name_file(path, b, i, k);
            unlink(path);
        }
}
