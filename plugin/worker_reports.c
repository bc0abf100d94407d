/* The reports of one job: which are written, for what the destinations can be sent; what each replaces; and the record that
 * puts them on their way (worker.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void worker_choose_forms(worker *w)
{
    report_form first, fallback;
    w->forms[FORM_READING] = true; /* what `queue show` names, whoever is sent it */
    for (size_t i = 0; i < w->config->n_destinations; i++)
        for (size_t k = 0; k < REPORTING_KINDS; k++) {
            if (!reporting_sends(&w->config->destinations[i], (cot_report_kind)k, &first, &fallback)) continue;
            w->forms[first] = true;
            if (fallback < REPORT_FORMS) w->forms[fallback] = true;
        }
}

/* The earlier report of the same form, if its file is still there: an administrator may have cleared old ones. */
static const char *predecessor_of(const cot_job *job, report_form form, char *path, size_t size)
{
    const char *dash = strrchr(job->predecessor_report, '-');
    if (!job->predecessor_report[0]) return NULL;
    if (form == FORM_READING || !dash)
        snprintf(path, size, "%s", job->predecessor_report);
    else /* beside the reading report, named after the same job */
        snprintf(path, size, "%.*s-%s.dcm", (int)(dash - job->predecessor_report), job->predecessor_report,
                 reporting_form_name(form));
    if (access(path, R_OK) == 0) return path;
    if (form == FORM_READING) cot_log(COT_WARN, "predecessor.gone", job->id, "errno=%d", errno);
    return NULL;
}

size_t worker_order_reports(const worker *w, const cot_job *job, const cot_chain *chain, report_set *set,
                            cot_report_order *orders)
{
    size_t n = 0;
    const bool measurable = cot_report_measurable(chain);
    for (report_form form = 0; form < REPORT_FORMS; form++) {
        set->orders[form] = NULL;
        if (!w->forms[form] || (reporting_form_measures(form) && !measurable)) continue;
        cot_store_report_path(w->store, job->id, reporting_form_name(form), set->path[form], sizeof set->path[form]);
        cot_report_order *order = set->orders[form] = &orders[n++];
        *order = (cot_report_order){.path = set->path[form],
                                    .source = job->object,
                                    .dataset_sha256 = job->dataset_sha256,
                                    .chain = chain,
                                    /* not now: a report made again after a crash is the same bytes */
                                    .now_utc = job->received_us / 1000000,
                                    .options = reporting_form_options(w->config, form)};
        order->options.predecessor = predecessor_of(job, form, set->before[form], sizeof set->before[form]);
    }
    return n;
}

/* ---- a report that failed ---- */
/* Beside the reports, for people; under another name, so that nobody sends it. */
static void parked_path(const worker *w, const cot_job *job, report_form form, char *path, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%s.parked", reporting_form_name(form));
    cot_store_report_path(w->store, job->id, name, path, size);
}

/* Said in the log, put aside where it was written at all; true: it passed. */
static bool passed(const worker *w, const cot_job *job, const report_set *set, report_form form)
{
    char aside[1300];
    const cot_report_order *order = set->orders[form];
    parked_path(w, job, form, aside, sizeof aside);
    if (order->error.status == COT_OK) {
        unlink(aside); /* of an earlier try */
        return true;
    }
    rename(order->path, aside);
    cot_log(COT_ERROR_LEVEL, "report.parked", job->id, "report=%s reason=\"%s\"", reporting_form_name(form),
            order->error.text);
    return false;
}

bool worker_settle_reports(const worker *w, const cot_job *job, report_set *set, const cot_error **why)
{
    bool any = false;
    *why = NULL;
    for (report_form form = 0; form < REPORT_FORMS; form++) {
        if (!set->orders[form]) continue;
        set->passed[form] = passed(w, job, set, form);
        any = any || set->passed[form];
        if (!set->passed[form] && !*why) *why = &set->orders[form]->error;
    }
    return any;
}

/* Who is sent what of these reports. */
static size_t list_posts(const worker *w, bool refused, const report_set *set, cot_store_post *posts)
{
    size_t n = 0;
    report_form first, fallback;
    for (size_t i = 0; i < w->config->n_destinations; i++) {
        const cot_config_destination *to = &w->config->destinations[i];
        for (size_t k = 0; k < REPORTING_KINDS && !(refused && !to->refusals); k++) {
            const cot_report_kind kind = (cot_report_kind)k;
            if (!reporting_sends(to, kind, &first, &fallback) || !set->orders[first]) continue;
            const bool falls_back = fallback < REPORT_FORMS && set->passed[fallback];
            posts[n++] = (cot_store_post){.destination = to->name,
                                          .kind = reporting_kind_name(kind),
                                          .report = set->path[first],
                                          .fallback = falls_back ? set->path[fallback] : NULL,
                                          .parked = set->passed[first] ? NULL : set->orders[first]->error.text};
        }
    }
    return n;
}

cot_status worker_record(const worker *w, const cot_job *job, const cot_chain *chain, const report_set *set,
                         cot_error *err)
{
    cot_status status;
    char *json = NULL;
    const bool refused = chain->state == COT_CHAIN_REFUSED;
    cot_store_post *posts = calloc(REPORTING_KINDS * w->config->n_destinations + 1, sizeof *posts);
    if (!posts) return cot_fail(err, COT_E_MEMORY, "worker: no memory for deliveries");
    COT_TRY(cot_chain_to_json(&json, chain, w->steps, NULL, err));
    const cot_report_made *made = &set->orders[FORM_READING]->made;
    const cot_store_report report = {.report = set->path[FORM_READING],
                                     .chain_json = json,
                                     .sop_instance = made->sop_instance,
                                     .series = made->series,
                                     .refusal = refused ? chain->refusal : NULL};
    COT_TRY(cot_store_reported(w->store, job->id, &report, posts, list_posts(w, refused, set, posts), err));
done:
    free(json);
    free(posts);
    return status;
}
