/* The worker's other work: one report of all images of a study, made of their stored readings (worker.h). Nothing is decoded or
 * read here; images that another model read are sent back to be read again. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/worker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct study {
    cot_job job;
    cot_job *members; /* [n] */
    cot_chain **chains;
    cot_report_image *images;
    size_t n, refused;
    report_set *set;
    cot_report_order *orders; /* [REPORT_FORMS] */
} study;

static void study_fini(study *s)
{
    for (size_t i = 0; s->chains && i < s->n; i++) cot_chain_destroy(s->chains[i]);
    free(s->chains);
    free(s->images);
    free(s->members);
    free(s->set);
    free(s->orders);
}

/* Of a model, reader or schema that is no longer the worker's. A refusal holds whoever reads. */
static bool is_stale(const worker *w, const cot_chain *chain)
{
    if (!chain) return true; /* its JSON is of another schema */
    const bool both = !strcmp(w->config->reader, "both");
    return chain->state != COT_CHAIN_REFUSED &&
           (strcmp(chain->reader.package_sha256, w->reader.package_sha256) != 0 ||
            strcmp(chain->reader.role, w->reader.role) != 0 || chain->has_other != both);
}

static cot_status load_chain(const worker *w, const char *job, cot_chain **chain, cot_error *err)
{
    cot_job row;
    char *json = NULL;
    cot_error unused = COT_ERROR_INIT;
    const cot_status status = cot_store_job(w->store, job, &row, &json, err);
    *chain = NULL;
    if (status == COT_OK && json) cot_chain_from_json(chain, json, strlen(json), w->steps, &unused);
    free(json);
    return status;
}

static cot_status load(const worker *w, study *s, bool *stale, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_store_members(w->store, s->job.id, &s->members, &s->n, err));
    s->chains = calloc(s->n + 1, sizeof *s->chains);
    s->images = calloc(s->n + 1, sizeof *s->images);
    s->set = calloc(1, sizeof *s->set);
    s->orders = calloc(REPORT_FORMS, sizeof *s->orders);
    if (!s->chains || !s->images || !s->set || !s->orders) {
        status = cot_fail(err, COT_E_MEMORY, "worker: no memory for a study of %zu images", s->n);
        goto done;
    }
    for (size_t i = 0; i < s->n; i++) {
        COT_TRY(load_chain(w, s->members[i].id, &s->chains[i], err));
        *stale = *stale || is_stale(w, s->chains[i]);
        s->refused += s->chains[i] && s->chains[i]->state == COT_CHAIN_REFUSED;
        s->images[i] = (cot_report_image){s->members[i].object, s->members[i].dataset_sha256, s->chains[i]};
    }
done:
    return status;
}

static cot_status record(worker *w, study *s, cot_error *err)
{
    cot_status status;
    char why[513] = "";
    if (s->refused == s->n)
        snprintf(why, sizeof why, "none of its %zu image%s was analysed: %.440s", s->n, s->n == 1 ? "" : "s",
                 s->chains[0]->refusal);
    status = worker_record(w, &s->job, NULL, why[0] ? why : NULL, s->set, err);
    if (status == COT_OK)
        cot_log(COT_INFO, "study", s->job.id, "images=%zu refused=%zu%s", s->n, s->refused,
                s->job.predecessor[0] ? " again=yes" : "");
    return status;
}

static cot_status write_study(worker *w, study *s, cot_error *err)
{
    cot_status status;
    const cot_error *why = NULL;
    if (s->n == 0)
        return worker_give_up(w, &s->job, cot_fail(err, COT_E_INPUT, "no image of the study is in the store"), err);
    for (size_t i = 0; i < s->n; i++)
        if (access(s->members[i].object, R_OK) != 0)
            return worker_give_up(
                w, &s->job,
                cot_fail(err, COT_E_INPUT, "the image of job %s is missing from the store", s->members[i].id), err);
    const size_t m = worker_order_reports(w, &s->job, s->images, s->n, s->set, s->orders);
    COT_TRY(cot_sandbox_reports(w->sandbox, s->orders, m, err));
    for (size_t k = 0; k < m; k++) {
        if (!worker_is_passing(w, &s->job, &s->orders[k])) continue;
        cot_fail(err, s->orders[k].error.status, "%s", s->orders[k].error.text);
        return worker_end_badly(w, &s->job, 1, s->orders[k].timed_out, err);
    }
    if (!worker_settle_reports(w, &s->job, s->set, &why))
        return worker_give_up(w, &s->job, cot_fail(err, why->status, "%s", why->text), err);
    status = record(w, s, err);
done:
    return status;
}

cot_status worker_study_turn(worker *w, size_t *n, cot_error *err)
{
    cot_status status;
    size_t made = 0;
    bool stale = false;
    study s = {.n = 0};
    *n = 0;
    COT_TRY(cot_store_gather(w->store, &made, err));
    COT_TRY(cot_store_claim_study(w->store, w->owner, w->config->settle_s, &s.job, n, err));
    if (*n == 0) goto done;
    COT_TRY(load(w, &s, &stale, err));
    if (stale) {
        cot_log(COT_INFO, "study.stale", s.job.id, "reason=\"read by another model: its images are read again\"");
        status = cot_store_stale(w->store, s.job.id, err);
        if (status == COT_E_REFUSED) status = worker_give_up(w, &s.job, status, err);
        goto done;
    }
    status = write_study(w, &s, err);
done:
    study_fini(&s);
    return status;
}
