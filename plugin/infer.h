/* Inside plugin/: the parts of `stepcot infer`. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_INFER_H
#define COT_INFER_H
#include "engine/engine.h"
#include "plugin/cli.h"

/* ---- which files (infer_files.c) ---- */
typedef struct infer_files {
    char **paths;
    size_t n, room;
    size_t skipped; /* in folders: neither DICOM nor picture */
    size_t failed;  /* named but not there; already said on stderr */
} infer_files;
/* Words are files or folders. Folders: sorted, hidden entries and links left out, at most 16 deep, only DICOM, PNG and JPEG
 * by content. */
cot_status infer_files_collect(infer_files *files, const char *const *words, size_t n, cot_error *err);
void infer_files_fini(infer_files *files);

/* ---- what comes out (infer_output.c) ---- */
typedef struct infer_output {
    const char *folder; /* NULL: only standard output */
    bool json;
    bool capture;            /* pictures of the readings too */
    uint64_t capture_steps;  /* bit s: with the regions of step s (0-based); 0: with those of all */
    bool per_study;          /* one report of all images of a study, at the end */
    struct infer_kept *kept; /* readings that wait for it */
    size_t n_kept;
    void *names; /* file names given so far (tsearch) */
    size_t written;
} infer_output;
cot_status infer_output_init(infer_output *out, const char *folder, bool json, cot_error *err);
void infer_output_fini(infer_output *out);
/* Prints the reading and, with a folder, writes its report (DICOM) or JSON (pictures, and DICOM without identity). Takes the
 * chain (*chain = NULL) when its report is to be that of its study. */
cot_status infer_output_put(infer_output *out, cot_chain **chain, const cot_steps *steps, const cot_config *config,
                            const char *path, const cot_decoded *decoded, cot_sandbox *sandbox, cot_error *err);
/* The reports of the studies kept; *failed = studies of which one was not written, each said on standard error. */
cot_status infer_output_studies(infer_output *out, const cot_config *config, cot_sandbox *sandbox, size_t *failed,
                                cot_error *err);
#endif
