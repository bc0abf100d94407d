/* Labelled images for training and evaluation, in the project's one format, the manifest: JSON lines, a header and then one
 * image a line (the format in words: engine/README.md). Written by `stepcot data import`, read by train, evaluate and
 * calibrate. Labels are options of the step schema; pixels are not touched here.
 * Threads: any thread; a manifest is read-only between open and destroy, except for cot_manifest_split.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_DATA_H
#define COT_DATA_H
#include "config/base.h"
#include "config/steps.h"

#define COT_MANIFEST_SCHEMA "urn:stepcot:manifest:1"
#define COT_MASKED          (-1)

typedef enum cot_split { COT_TRAIN, COT_VALIDATION, COT_TEST, COT_SPLITS } cot_split;
const char *cot_split_name(cot_split split); /* "train", "validation", "test" */

typedef struct cot_box { /* a finding's place, in pixels of the image file, origin top left */
    char finding[33];
    double x, y, w, h;
} cot_box;

typedef struct cot_case { /* one image; strings owned by the manifest, "" where nothing is known */
    char *path;       /* below the manifest's images folder; never absolute, never with ".." */
    char *patient;    /* who must not be in two splits */
    cot_split split;
    int *label;       /* [n_steps] option, or COT_MASKED */
    size_t rows, cols; /* of the image file */
    char sha256[65];  /* of the image file */
    char *origin, *view, *report;
    char **reasoning; /* [n_steps] */
    size_t n_boxes;
    cot_box *boxes;
    size_t line;      /* in the manifest, or in the source while it is imported */
    void *block;      /* internal: the memory of all of the above */
} cot_case;

typedef struct cot_manifest {
    char path[1024];    /* the manifest's file; "" before it is written */
    char images[1024];  /* folder that the paths start at: absolute, or relative to the manifest's folder ("" = that folder) */
    char folder[1024];  /* the same folder, to be opened from here */
    char steps_id[65], steps_sha256[65]; /* step schema when it was made; the ids of steps and options must be today's */
    char title[257], attribution[1025], terms[1025];
    char made[1025];    /* by which import, rules and split, in words */
    char sha256[65];    /* of the manifest's file, once opened or written */
    size_t n_steps, n;
    cot_case *cases;    /* [n] in order of path */
    size_t room;        /* internal */
} cot_manifest;

/* A fault at a line of a file, told to whoever asked. `text` says what and what to do, without the file's name. */
typedef struct cot_data_faults {
    void (*say)(void *ctx, size_t line, const char *text);
    void *ctx;
    size_t n; /* how many were said */
} cot_data_faults;

/* Opens and checks: syntax, bounds, schema, every option by name, paths (given twice, leaving the folder), boxes within the
 * image, patients in two splits. `images`: the folder instead of the one the manifest names, or NULL. With `faults` NULL the
 * first fault is COT_E_INPUT with its line; else each is told there and its line left out (the patient in two splits stays).
 * Caller destroys. */
cot_status cot_manifest_open(cot_manifest **out, const char *path, const char *images, const cot_steps *steps,
                             cot_data_faults *faults, cot_error *err);
/* Writes cases in order of path, durably, and numbers their lines. The same cases give the same bytes. */
cot_status cot_manifest_write(cot_manifest *manifest, const char *path, const cot_steps *steps, cot_error *err);
void cot_manifest_destroy(cot_manifest *manifest);

/* An empty one for `steps`; then one case after the other (copied). */
cot_status cot_manifest_create(cot_manifest **out, const cot_steps *steps, cot_error *err);
cot_status cot_manifest_add(cot_manifest *manifest, const cot_case *one, const cot_steps *steps, cot_error *err);
/* Leaves out the cases i with !keep[i]. */
void cot_manifest_keep(cot_manifest *manifest, const bool *keep);
/* By path; before two manifests made in different orders are compared. Write does it by itself. */
void cot_manifest_sort(cot_manifest *manifest);

/* Where the image of a case is; COT_E_INPUT when links lead from there out of the images folder. */
cot_status cot_manifest_image(char *to, size_t size, const cot_manifest *manifest, size_t at, cot_error *err);
/* Images of a split with this option at this step; option COT_MASKED: without a label. */
size_t cot_manifest_count(const cot_manifest *manifest, cot_split split, size_t step, int option);

/* Who goes where: whole patients, stratified by the label of the last step (a patient counts under the rarest of his or
 * hers), the same for the same patients, seed and shares in whatever order the images stand. */
typedef struct cot_split_options {
    uint64_t seed;
    double share[COT_SPLITS];        /* sum 1 */
    const char *const *test_patients; /* [n_test_patients] exactly these are the test split, whatever share[COT_TEST] says; the
                                         others are shared out among train and validation. NULL: drawn */
    size_t n_test_patients;
} cot_split_options;
#define COT_SPLIT_OPTIONS_INIT { 1, { 0.70, 0.15, 0.15 }, NULL, 0 }
cot_status cot_manifest_split(cot_manifest *manifest, const cot_steps *steps, const cot_split_options *options, cot_error *err);
#endif
