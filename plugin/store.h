/* The store is the queue: received objects are files plus rows in SQLite (WAL, synchronous=FULL); every stage is a
 * transition of a row, checked against one table (store.c), each in one transaction. All processes of the node meet
 * only here. Threads: one handle per process and thread; processes share the folder.
 *
 *   job:       received --claim--> reading --report--> reported          delivery: waiting --take--> sending --+--> delivered
 *                  ^------release-----'  '--give-up--> failed                         ^---again/release---'     +--> dead
 *   A measurement report or capture that a peer does not take: sending -> dropped, where another report goes there as well.
 *   A report that failed lint: waiting -> dead as it is recorded; `retry` reads its image again.
 *   retry (by hand): failed -> received, dead -> waiting;  drop: waiting|dead -> dropped, received|failed -> dropped
 *   redo: reported -> received when a report's file is gone (retry, or the image sent again); failed -> received when the
 *         image is sent again. Dead deliveries wait again, none is taken before the job is reported again.
 *
 *   by request (`queue redo`): reported -> received, and when it is reported again delivered, dead, dropped -> waiting.
 *   A study of which one report is made is a job of its own, made when its images are read (store_study.c).
 *
 * Folder: db (SQLite), incoming/ (being received), objects/<job>.dcm, reports/<job>-<kind>.dcm. Names are job ids,
 * never anything a peer sent. SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_STORE_H
#define COT_STORE_H
#include "config/base.h"
#include "dicom/dicom.h"

#define COT_JOB_ID 24 /* characters + NUL fit: lower-case hex */

typedef enum cot_job_state { COT_JOB_RECEIVED, COT_JOB_READING, COT_JOB_REPORTED, COT_JOB_FAILED, COT_JOB_DROPPED, COT_JOB_STATES } cot_job_state;
typedef enum cot_delivery_state {
    COT_DELIVERY_WAITING, COT_DELIVERY_SENDING, COT_DELIVERY_DELIVERED, COT_DELIVERY_DEAD, COT_DELIVERY_DROPPED, COT_DELIVERY_STATES
} cot_delivery_state;
const char *cot_job_state_name(cot_job_state s);
const char *cot_delivery_state_name(cot_delivery_state s);

typedef struct cot_job {           /* an image, or a study of which one report is made */
    char id[COT_JOB_ID];
    cot_job_state state;
    char object[1024];         /* path of the image, "" after purge */
    char sop_class[65], sop_instance[65], study[65], series[65], dataset_sha256[65];
    char calling[17], host[64];
    int64_t received_us;       /* UTC microseconds */
    int64_t changed_us;        /* last transition */
    unsigned attempts;         /* claims so far */
    char owner[65];            /* who is reading it, or "" */
    char predecessor[COT_JOB_ID]; /* earlier job of the same SOP instance with other bytes, or "" */
    char predecessor_report[1024]; /* its report file, or "" */
    bool alone;                /* it was in trouble before: claimed without others */
    size_t images;             /* 0: it is an image; else a study (no object, no SOP instance): see cot_store_members */
    unsigned turn;             /* how often it was read again by request: its reports' files are named after it */
    char reason[513];          /* failed / refused: why */
    char report[1024];         /* path of the reading report, or "" */
} cot_job;

typedef struct cot_delivery {
    int64_t id;
    char job[COT_JOB_ID];
    char destination[33];
    char kind[17];             /* "reading", "measurement", "capture": a job has at most one of each for a destination */
    cot_delivery_state state;
    char report[1024], fallback[1024]; /* files to send; fallback "" = none */
    unsigned attempts;
    int64_t next_us, first_us; /* not before; when it was made */
    int64_t changed_us;        /* last transition */
    char owner[65];            /* who is sending it, or "" */
    unsigned dimse;
    char text[257];            /* last outcome */
} cot_delivery;

typedef struct cot_store cot_store;
/* Makes the folder and tables when absent; a database of another version is refused, not changed. */
cot_status cot_store_open(cot_store **out, const char *folder, cot_error *err);
void cot_store_close(cot_store *store);
/* One supervisor at a time: takes (and keeps until close or death) an exclusive lock on the folder. COT_E_REFUSED: busy, by pid. */
cot_status cot_store_lock(cot_store *store, cot_error *err);

/* ---- front door ---- */
/* Path for the next incoming object. COT_E_LIMIT below the watermark (text: free and needed MiB). */
cot_status cot_store_place(cot_store *store, size_t watermark_mib, char *path, size_t size, cot_error *err);
/* fsync, rename, fsync folder, insert: durable when it returns COT_OK. Same SOP instance and bytes: *duplicate = true, file removed;
 * but when that job failed, or its report's file is gone, it is received again with this file (*duplicate = false).
 * `job` gets the id (the earlier one for both). A full disk is COT_E_LIMIT. */
cot_status cot_store_receive(cot_store *store, const cot_received *object, char job[COT_JOB_ID], bool *duplicate, cot_error *err);

/* ---- worker ---- */
/* Claims up to `max` received images whose study has been silent for settle_s and whose predecessor is not in work, oldest
 * first. *n = 0: nothing to do. A job whose worker died before comes alone (max or not). */
cot_status cot_store_claim(cot_store *store, const char *owner, double settle_s, cot_job *jobs, size_t max, size_t *n, cot_error *err);
/* A job for each study all of whose images have been read, some of them for its report and not yet in one. *n = how many. */
cot_status cot_store_gather(cot_store *store, size_t *n, cot_error *err);
/* Claims one such job; *n = 0: none waits. */
cot_status cot_store_claim_study(cot_store *store, const char *owner, double settle_s, cot_job *job, size_t *n, cot_error *err);
/* The images it stands for, in the order they were received. Caller frees. */
cot_status cot_store_members(cot_store *store, const char *study_job, cot_job **members, size_t *n, cot_error *err);
/* A claimed study's images were read by several models: it is dropped, they are read again. */
cot_status cot_store_stale(cot_store *store, const char *study_job, cot_error *err);
/* Everything `owner` (NULL: anyone) had claimed goes back (reading -> received, sending -> waiting). NULL: at start of the
 * node. With an owner: from another process, when that role died (a death is counted; a job's third makes it failed, a
 * delivery's third dead); from the owner's own process, to park at shutdown (nothing is counted). n may be NULL. */
cot_status cot_store_release(cot_store *store, const char *owner, size_t *n, cot_error *err);
typedef struct cot_store_report {
    const char *report;                /* the reading report: a durable file already in place (reports/) */
    const char *sop_instance, *series; /* of the report */
    const char *chain_json;            /* the reading, for `queue show` and later interfaces */
    const char *refusal;               /* NULL, or why the image was not analysed (goes to job.reason) */
    bool for_study;                    /* its reading is for the report of its study: `report` is "" */
} cot_store_report;
typedef struct cot_store_post {        /* a report on its way: durable files, fallback NULL = none */
    const char *destination, *kind, *report, *fallback;
    const char *parked;                /* NULL, or why it must not be sent: its delivery is dead from the start */
} cot_store_post;
/* reading -> reported, and one delivery per post (waiting, or dead where parked), in one transaction. */
cot_status cot_store_reported(cot_store *store, const char *job, const cot_store_report *report, const cot_store_post *posts,
                              size_t n_posts, cot_error *err);
/* reading -> received after a fault of the machine or a time-out, to be claimed alone from now on. `counts`: like a death of
 * the worker; at the third the job becomes failed with this reason. */
cot_status cot_store_unread(cot_store *store, const char *job, bool counts, const char *reason, bool *failed, cot_error *err);
/* reading -> failed: parked with its reason. */
cot_status cot_store_failed(cot_store *store, const char *job, const char *reason, cot_error *err);
/* `job` may be "id.2": of its second reading by request. */
void cot_store_report_path(const cot_store *store, const char *job, const char *kind, char *path, size_t size);

/* ---- sender ---- */
cot_status cot_store_take(cot_store *store, const char *owner, const char *destination, cot_delivery *out, size_t max, size_t *n, cot_error *err);
cot_status cot_store_delivered(cot_store *store, int64_t delivery, unsigned dimse, const char *text, cot_error *err);
cot_status cot_store_again(cot_store *store, int64_t delivery, int64_t next_us, unsigned dimse, const char *text, cot_error *err);
cot_status cot_store_dead(cot_store *store, int64_t delivery, unsigned dimse, const char *text, cot_error *err);
/* sending -> dropped: the peer does not take this kind of report, and has another of the same job. */
cot_status cot_store_unwanted(cot_store *store, int64_t delivery, const char *text, cot_error *err);

/* ---- people ---- */
typedef struct cot_store_counts { size_t job[COT_JOB_STATES], delivery[COT_DELIVERY_STATES]; } cot_store_counts;
cot_status cot_store_count(cot_store *store, cot_store_counts *out, cot_error *err);
/* Deliveries that wait for a destination not among `known` (it was renamed or removed): nobody will send them. */
typedef void (*cot_stray_visitor)(void *ctx, const char *destination, size_t n); /* must not use the store */
cot_status cot_store_strays(cot_store *store, const char *const *known, size_t n_known, cot_stray_visitor visit, void *ctx, cot_error *err);
cot_status cot_store_job(cot_store *store, const char *id_or_prefix, cot_job *out, char **chain_json, cot_error *err); /* caller frees json */
typedef bool (*cot_job_visitor)(void *ctx, const cot_job *job, const cot_delivery *deliveries, size_t n); /* false stops; must not use the store */
cot_status cot_store_each(cot_store *store, const char *state_or_null, cot_job_visitor visit, void *ctx, cot_error *err);
cot_status cot_store_one(cot_store *store, const char *id_or_prefix, cot_job_visitor visit, void *ctx, cot_error *err);
/* id (or a unique beginning) of a job: it and its deliveries, as far as the drawing allows; COT_E_REFUSED when nothing can move.
 * NULL: every failed job and dead delivery. *n = how many moved. */
cot_status cot_store_retry(cot_store *store, const char *id_or_null, size_t *n, cot_error *err);
cot_status cot_store_drop(cot_store *store, const char *id_or_null, size_t *n, cot_error *err);
/* Reported images are read again by the model now configured; their new reports name the former, and go where those went. With
 * one image of a study's report all of them. NULL: every reported image that is still here. */
cot_status cot_store_redo(cot_store *store, const char *id_or_null, size_t *n, cot_error *err);
/* Removes image files of jobs whose deliveries are all ended for keep_days, and orphans in incoming/ and reports/ (only under the lock). */
cot_status cot_store_purge(cot_store *store, double keep_days, size_t *n, cot_error *err);
int64_t cot_now_us(void);
#endif
