/* Inside plugin/: the parts of `stepcot train`. What a run was begun with lies in its folder: run.json (which data, which
 * start) and training.xml (hyper-parameters), so that --resume needs nothing else.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TRAIN_H
#define COT_TRAIN_H
#include "config/training.h"
#include "engine/data.h"
#include "engine/package.h"
#include "engine/train_loop.h"
#include "plugin/cli.h"
#include "plugin/train_images.h"

typedef struct train_request { /* run.json, or the command line */
    cot_stage stage;
    char manifest[1024], images[1024], init[1024],
        steps[1024];                         /* absolute; "" none; init "imported": the embedded one */
    char name[65], version[33], notice[513]; /* of the package; "" ours */
    cot_training training;
    char dir[1024];  /* the run's folder */
    char given[512]; /* hyper-parameters named on the command line, each between blanks */
    const char *device, *cache;
    bool resume;
    bool other_patients; /* said of those that the package of init has learnt */
} train_request;

/* ---- train_request.c ---- */
/* Makes the run's folder and writes run.json and training.xml into it; it must not exist. */
cot_status train_request_begin(const train_request *request, cot_error *err);
/* One process at a time writes into the folder; *fd holds it until it is closed. Call where nothing is forked any more. */
cot_status train_request_lock(int *fd, const train_request *request, cot_error *err);
/* Removes half-written files that a killed process has left; call with the lock. */
cot_status train_request_sweep(const train_request *request, cot_error *err);
/* Fills all but dir, device, cache and resume from the folder. */
cot_status train_request_read(train_request *request, cot_error *err);

/* ---- train_open.c: everything that a run needs, in the order in which it must be opened ---- */
typedef struct train_job {
    const train_request *request;
    cot_steps *steps;
    cot_manifest *manifest;
    cot_package *init; /* NULL: new weights */
    cot_sandbox *sandbox;
    cot_device *device;
    picture_set pictures;
    float *features;
    learner_data data;
    size_t *classes, *rows; /* rows: training, then validation */
    int *labels;
    float **class_weights;
    double *draw;
    bool *supervised; /* [n_steps] */
    double mean, std;
    teacher_arch teacher;
    float *prompts;
    train_loop loop;
    const char **findings; /* [n_findings] that boxes name */
    size_t n_findings;
    lesion_picture *lesions; /* [images] */
    lesion_box *boxes;       /* theirs */
    float lesion_weight;
    char split_sha256[COT_SPLITS][65]; /* of each split's patients */
    const char *init_patients;         /* whom init has learnt, in words */
    size_t unlabelled;                 /* training images without a label that is taught: left out */
} train_job;
cot_status train_job_open(train_job *job, const train_request *request, cot_error *err);
/* The hyper-parameters in effect: the sizes of a model that the run began with are that model's. */
cot_training train_job_training(const train_job *job);
void train_job_close(train_job *job);

/* ---- train_features.c: of the frozen encoder, and the teacher's prompts ---- */
cot_status train_features_load(train_job *job, cot_error *err);

/* ---- train_labels.c: what the manifest's labels teach ---- */
cot_status train_labels_prepare(train_job *job, cot_error *err);

/* ---- train_places.c: what its boxes teach ---- */
cot_status train_places_prepare(train_job *job, cot_error *err);

/* ---- train_watch.c: log.jsonl, progress, signals ---- */
typedef struct train_watching {
    const train_job *job;
    FILE *log;
    bool terminal;
    double began, epoch_began, last_line; /* seconds of a clock that only runs forward */
    size_t images;                        /* since began */
    bool heard;                           /* a stop was said to have been heard */
    bool finished;                        /* a run that was resumed had nothing left to learn */
} train_watching;
cot_status train_watch_open(train_watching *w, train_job *job, cot_error *err); /* fills job->loop.watch */
cot_status train_watch_end(train_watching *w, train_end end, const run_state *state, cot_error *err);
void train_watch_close(train_watching *w);

/* ---- train_lineage.c: whom the package of init has learnt ---- */
/* Refuses one that may have learnt who is validated or tested here, unless other patients were said. */
cot_status train_lineage_check(train_job *job, cot_error *err);
/* splits_sha256 and init of a recipe. False: no memory. */
bool train_lineage_add(cJSON *recipe, const train_job *job);
/* Data and terms of the manifest and of what the run began with. */
void train_attribute(char text[1025], const train_job *job);

/* ---- train_package.c ---- */
/* RUN/model and RUN/report.html; of a run that was finished before, only what is missing: the model may have been calibrated. */
cot_status train_finish(train_job *job, const run_state *state, bool finished, cot_error *err);
/* RUN/model from RUN/best.safetensors. */
cot_status train_package(train_job *job, const run_state *state, cot_error *err);

/* ---- train_report.c ---- */
cot_status train_report(const train_job *job, const run_state *state, cot_error *err);
#endif
