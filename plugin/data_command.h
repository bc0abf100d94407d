/* Inside plugin/: the parts of `stepcot data`. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DATA_COMMAND_H
#define COT_DATA_COMMAND_H
#include "config/steps.h"
#include "engine/data.h"

/* ---- what was found wrong: named with its line, counted by kind (data_log.c) ---- */
typedef enum data_kind {
    DATA_BROKEN,     /* a row, record or line that cannot be understood */
    DATA_OPTION,     /* an unknown finding or option */
    DATA_TWICE,      /* given twice */
    DATA_BOX,        /* a box without its image or finding, or outside the image */
    DATA_MISSING,    /* no such image */
    DATA_UNREADABLE, /* an image that cannot be decoded */
    DATA_CHANGED,    /* another image than when the manifest was made */
    DATA_UNLISTED,   /* an image file that no row names */
    DATA_SAME,       /* from here on warnings: the same bytes twice, of one patient in one split */
    DATA_ABSENT,     /* a listed test patient without an image */
    DATA_KINDS
} data_kind;
enum {
    DATA_NAMED = 20, /* of each kind, unless all are to be named */
    DATA_FAULTS = DATA_SAME
};
typedef struct data_log {
    FILE *to; /* NULL: only counted */
    bool all;
    size_t n[DATA_KINDS];
} data_log;
const char *data_kind_name(data_kind kind); /* "broken_records", a JSON member and a word in the summary */
const char *data_kind_words(data_kind kind);
/* "FILE:LINE: text"; line 0: "FILE: text" */
void data_say(data_log *log, data_kind kind, const char *file, size_t line, const char *format, ...) COT_PRINTF(5, 6);
size_t data_log_faults(const data_log *log); /* without warnings */
/* "3 missing images, 1 …" on one line; nothing when there is none. */
void data_log_sum(const data_log *log, FILE *stream);
/* A bar on stderr, when that is a terminal; done == all wipes it. */
void data_progress(const char *what, size_t done, size_t all);

/* ---- the images themselves (data_images.c): decoded in sandbox children, hashed ---- */
typedef struct data_image {
    bool missing;
    bool readable;
    size_t rows, cols;
    char sha256[65];
    char text[513]; /* why not */
} data_image;
typedef void data_image_seen(void *ctx, size_t at, const data_image *image);
/* Every case's image in turn. */
cot_status data_images_look(const cot_manifest *manifest, const cot_steps *steps, data_image_seen *seen, void *ctx,
                            cot_error *err);

/* ---- imports ---- */
typedef struct data_import {
    const char *dir, *out; /* source folder; manifest to write */
    const char *rules;     /* label rules, NULL: the embedded ones (nih) */
    const char *words;     /* further wordings of options, CSV, or NULL (step-cot) */
    const char *test_list; /* one patient a line, or NULL */
    cot_split_options split;
    const cot_steps *steps;
    data_log *log;
    size_t rows; /* out: rows or records of the source */
} data_import;
/* Reads the source, looks at the images, splits and writes import->out; the manifest is for what is said of it. */
cot_status data_nih_import(data_import *import, cot_manifest **out, cot_error *err);
cot_status data_chain_import(data_import *import, cot_manifest **out, cot_error *err);
/* The rest of an import (data_import.c): looks at the images, scales boxes by `width` and `height` of the images they were
 * drawn on (0: not), leaves out what cannot be read, splits, writes. */
cot_status data_import_finish(cot_manifest *manifest, data_import *import, double width, double height, cot_error *err);
/* Before hours of work: whether import->out can be written. What is there already must be a manifest. */
cot_status data_output_check(const char *out, cot_error *err);
/* Splits as asked and writes import->out (data_import.c). */
cot_status data_resplit(cot_manifest *manifest, const data_import *import, cot_error *err);

/* ---- texts of answers (data_words.c) ---- */
typedef struct data_words data_words;
/* path NULL: only the schema's own words. A CSV file with the columns step, text, option. */
cot_status data_words_load(data_words **out, const char *path, const cot_steps *steps, cot_error *err);
void data_words_destroy(data_words *words);
/* Option of the step that this text names: its id, label or a further wording, whatever case and punctuation; -1. */
int data_words_option(const data_words *words, size_t step, const char *text);
bool data_words_same(const char *a, const char *b); /* but for case and punctuation */

/* ---- check and counts (data_check.c) ---- */
typedef struct data_check {
    const char *path, *images;
    bool json, skip_images;
    const cot_steps *steps;
    data_log *log;
} data_check;
cot_status data_check_run(data_check *check, cot_error *err);
/* The same image under two names: a fault when patient or split differ (what is learnt from one is tested on the other), else
 * a warning. */
cot_status data_twins_say(const cot_manifest *manifest, data_log *log, cot_error *err);
/* Options of each step by split. */
void data_counts_print(const cot_manifest *manifest, const cot_steps *steps, FILE *stream);
#endif
