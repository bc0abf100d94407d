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
    w->per_study = !strcmp(w->config->per, "study");
    w->forms[FORM_READING] = true; /* what `queue show` names, whoever is sent it */
    for (size_t i = 0; i < w->config->n_destinations; i++)
        for (size_t k = 0; k < REPORTING_KINDS; k++) {
            if (!reporting_sends(&w->config->destinations[i], (cot_report_kind)k, &first, &fallback)) continue;
            w->forms[first] = true;
            if (fallback < REPORT_FORMS) w->forms[fallback] = true;
        }
}

/* ---- files and what they replace ---- */
/* The first reading's files are named after the job, later ones' after job and turn: "id.2-reading.dcm". */
static void path_of(const worker *w, const cot_job *job, unsigned turn, const char *name, char *path, size_t size)
{
    char files[COT_JOB_ID + 16];
    snprintf(files, sizeof files, "%s", job->id);
    if (turn) snprintf(files, sizeof files, "%s.%u", job->id, turn);
    cot_store_report_path(w->store, files, name, path, size);
}

/* Of the job before this one, beside its reading report. */
static const char *report_of_predecessor(const cot_job *job, report_form form, char *path, size_t size)
{
    const char *dash = strrchr(job->predecessor_report, '-');
    if (!job->predecessor_report[0]) return NULL;
    if (form == FORM_READING || !dash)
        snprintf(path, size, "%s", job->predecessor_report);
    else
        snprintf(path, size, "%.*s-%s.dcm", (int)(dash - job->predecessor_report), job->predecessor_report,
                 reporting_form_name(form));
    if (access(path, R_OK) == 0) return path;
    if (form == FORM_READING) cot_log(COT_WARN, "predecessor.gone", job->id, "errno=%d", errno);
    return NULL;
}

/* The latest earlier report of the same form whose file is still there: an administrator may have cleared old ones. */
static const char *predecessor_of(const worker *w, const cot_job *job, report_form form, char *path, size_t size)
{
    for (unsigned turn = job->turn; turn-- > 0;) {
        path_of(w, job, turn, reporting_form_name(form), path, size);
        if (access(path, R_OK) == 0) return path;
    }
    return report_of_predecessor(job, form, path, size);
}

/* Of an image whose study gets the report only a picture is made; of a study no picture. */
static bool is_made(const worker *w, const cot_job *job, report_form form, bool measurable)
{
    const bool capture = form == FORM_CAPTURE;
    if (!w->forms[form] || (reporting_form_measures(form) && !measurable)) return false;
    return job->images ? !capture : capture || !w->per_study;
}

size_t worker_order_reports(const worker *w, const cot_job *job, const cot_report_image *images, size_t n,
                            report_set *set, cot_report_order *orders)
{
    size_t m = 0;
    bool measurable = false;
    for (size_t i = 0; i < n; i++) measurable = measurable || cot_report_measurable(images[i].chain);
    for (report_form form = 0; form < REPORT_FORMS; form++) {
        set->orders[form] = NULL;
        if (!is_made(w, job, form, measurable)) continue;
        path_of(w, job, job->turn, reporting_form_name(form), set->path[form], sizeof set->path[form]);
        cot_report_order *order = set->orders[form] = &orders[m++];
        *order = (cot_report_order){.path = set->path[form],
                                    .source = images[0].source,
                                    .dataset_sha256 = images[0].dataset_sha256,
                                    .chain = images[0].chain,
                                    .more = images + 1,
                                    .n_more = n - 1,
                                    /* not now: a report made again after a crash is the same bytes */
                                    .now_utc = job->received_us / 1000000,
                                    .options = reporting_form_options(w->config, form)};
        order->options.predecessor = predecessor_of(w, job, form, set->before[form], sizeof set->before[form]);
    }
    return m;
}

/* ---- a report that failed ---- */
/* Beside the reports, for people; under another name, so that nobody sends it. */
static void parked_path(const worker *w, const cot_job *job, report_form form, char *path, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%s.parked", reporting_form_name(form));
    path_of(w, job, job->turn, name, path, size);
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

bool worker_is_passing(const worker *w, const cot_job *job, const cot_report_order *order)
{
    const cot_status why = order->error.status;
    if (why == COT_OK) return false;
    if (order->timed_out) return !job->alone;
    return why == COT_E_MEMORY || why == COT_E_IO || why == COT_E_LIMIT || worker_disk_is_full(w);
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
    return any || !*why;
}

/* Who is sent what of these reports. */
static size_t list_posts(const worker *w, const char *refusal, const report_set *set, cot_store_post *posts)
{
    size_t n = 0;
    report_form first, fallback;
    for (size_t i = 0; i < w->config->n_destinations; i++) {
        const cot_config_destination *to = &w->config->destinations[i];
        for (size_t k = 0; k < REPORTING_KINDS && !(refusal && !to->refusals); k++) {
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

cot_status worker_record(const worker *w, const cot_job *job, const cot_chain *chain, const char *refusal,
                         const report_set *set, cot_error *err)
{
    cot_status status = COT_OK;
    char *json = NULL;
    const bool for_study = w->per_study && !job->images;
    const cot_report_order *reading = set->orders[FORM_READING];
    cot_store_post *posts = calloc(REPORTING_KINDS * w->config->n_destinations + 1, sizeof *posts);
    if (!posts) return cot_fail(err, COT_E_MEMORY, "worker: no memory for deliveries");
    if (chain) COT_TRY(cot_chain_to_json(&json, chain, w->steps, NULL, err));
    const cot_store_report report = {.report = for_study ? "" : set->path[FORM_READING],
                                     .chain_json = json,
                                     .sop_instance = reading ? reading->made.sop_instance : "",
                                     .series = reading ? reading->made.series : "",
                                     .refusal = refusal,
                                     .for_study = for_study};
    COT_TRY(cot_store_reported(w->store, job->id, &report, posts, list_posts(w, refusal, set, posts), err));
done:
    free(json);
    free(posts);
    return status;
}
