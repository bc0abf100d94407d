/* The reader's parts in the order they must be opened: the sandbox is forked before the store and the device exist.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_WORKER_H
#define COT_WORKER_H
#include "engine/engine.h"
#include "plugin/device_choice.h"
#include "plugin/node.h"
#include "plugin/reporting.h"

typedef struct worker {
    const cot_config *config;
    const char *owner;
    cot_steps *steps;
    cot_package *package;
    cot_readers readers;
    cot_sandbox *sandbox;
    cot_store *store;
    device_choice choice;
    cot_device *device; /* of choice */
    cot_model *model;
    cot_reader reader; /* of the model and device, for reports without a reading */
    size_t parallel;   /* decoders at a time */
    size_t batch;      /* the arrays below have this many places */
    cot_job *jobs;
    cot_decoded *decoded;
    cot_chain **chains;       /* by job; NULL: no reading yet */
    bool forms[REPORT_FORMS]; /* what the destinations can be sent */
    bool per_study;           /* a report is about a study; images by themselves get captures only */
    bool strained;            /* the machine killed or starved something: rest before the next claim */
} worker;

/* Which of the package's models read, as configured; COT_E_MODEL when it lacks the teacher. */
cot_status readers_of(cot_readers *out, const cot_package *package, const cot_config *config, cot_error *err);
/* Steps, package, sandbox, store, the best device that computes rightly, model, and one reading of a drawn picture as
 * self-check. */
cot_status worker_open(worker *w, const cot_config *config, const char *owner, cot_error *err);
void worker_close(worker *w);
/* Everything but store and sandbox, for `serve --check`. */
cot_status worker_open_reader(worker *w, const cot_config *config, cot_error *err);

/* Claims and reads once; *n = jobs claimed. COT_OK also when single images failed or went back because of the machine.
 * COT_E_DEVICE (lost) and COT_E_BUG (sandbox gone): the worker must end; a batch was given back uncounted, to be claimed one
 * by one; a single job stays claimed for the supervisor, which counts a death. Else (disk, database): wait and release. */
cot_status worker_turn(worker *w, size_t *n, cot_error *err);
/* ---- reports of a job (worker_reports.c) ---- */
typedef struct report_set {
    char path[REPORT_FORMS][1200], before[REPORT_FORMS][1200];
    cot_report_order *orders[REPORT_FORMS]; /* in the array that is handed to the sandbox; NULL: not made */
    bool passed[REPORT_FORMS];              /* written, and through lint */
} report_set;
void worker_choose_forms(worker *w);
/* What is made of an image or a study: at most REPORT_FORMS into orders; returns how many. Strings stay with job, images and set. */
size_t worker_order_reports(const worker *w, const cot_job *job, const cot_report_image *images, size_t n,
                            report_set *set, cot_report_order *orders);
/* A fault of the machine, not of the report: all of the job is tried again. */
bool worker_is_passing(const worker *w, const cot_job *job, const cot_report_order *order);
/* Puts aside what failed for good, each report by itself. false: none passed of those that were made; *why is the first's. */
bool worker_settle_reports(const worker *w, const cot_job *job, report_set *set, const cot_error **why);
/* The reading and its deliveries, in one transaction. `chain` NULL: a study. `refusal`: NULL, or why nothing was analysed. */
cot_status worker_record(const worker *w, const cot_job *job, const cot_chain *chain, const char *refusal,
                         const report_set *set, cot_error *err);
/* ---- ends of a job (worker.c) ---- */
bool worker_disk_is_full(const worker *w);
/* Parked with the reason in err. Returns COT_OK unless the store fails; `why` is what err->status was. */
cot_status worker_give_up(worker *w, const cot_job *job, cot_status why, cot_error *err);
/* One of n claimed jobs could not be read or reported: tried again, or given up. */
cot_status worker_end_badly(worker *w, const cot_job *job, size_t n, bool timed_out, cot_error *err);
/* ---- studies (worker_study.c) ---- */
/* Makes the jobs of studies that are due, and the reports of one; *n = 1 when there was one. Errors as worker_turn. */
cot_status worker_study_turn(worker *w, size_t *n, cot_error *err);

/* Decoded pixels held at a time (a round of decoders may come on top); tests make it small. */
extern size_t worker_decoded_bytes;
#endif
