/* How step labels follow from a data set's finding labels and boxes: rules as data (nih-rules.xml), read here, applied by
 * plugin/labels.c. Only plugin/ includes this header. Threads: read-only after load, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_RULES_H
#define COT_RULES_H
#include "config/base.h"
#include "config/steps.h"

enum { COT_RULES_FINDINGS = 64 }; /* a set of findings is 64 bits: bit i is findings[i] */

typedef struct cot_finding {
    char name[33]; /* as the data set's label file says it */
    char box[33];  /* as its box file says it */
} cot_finding;

typedef struct cot_range { double low, high; } cot_range; /* both inclusive; high INFINITY: no bound; low -1: any, not asked */

typedef struct cot_rule { /* holds when every condition that is set holds */
    int answer;          /* option of the step */
    uint64_t only;       /* all findings of the image are among these; 0: not asked */
    uint64_t has;        /* one of them is; 0: not asked */
    uint64_t without;    /* none of them is */
    cot_range labels;    /* number of findings */
    bool boxed;          /* every finding of the image has a box */
    uint64_t of;         /* the boxes that count below are those of these findings */
    cot_range boxes;     /* number of them */
    cot_range fields;    /* number of different fields (side and zone) that hold their centres */
    cot_range area;      /* their areas together, in percent of the lung field */
    int sides;           /* 1 or 2 sides of the chest hold their centres; 0: not asked */
    char side;           /* 'R' or 'L', the patient's: all centres are there; 0: not asked */
    int zone;            /* 0 upper, 1 middle, 2 lower third: all centres are there; -1: not asked */
    long line;
} cot_rule;

typedef struct cot_step_rules { size_t n; cot_rule *rules; } cot_step_rules; /* the first that holds answers; none: masked */

typedef struct cot_rules {
    char id[65], version[17];
    char sha256[65];      /* of the XML bytes */
    char title[257], attribution[1025], terms[1025];
    double width, height; /* of the images the boxes were drawn on, pixels */
    double top, bottom, left, right, middle; /* lung field and midline, in shares of height and width */
    size_t n_findings;
    cot_finding findings[COT_RULES_FINDINGS];
    size_t n_steps;       /* the schema's */
    cot_step_rules *steps;
} cot_rules;

/* path NULL: the embedded nih-rules.xml. All problems are listed, one a line. Caller destroys. */
cot_status cot_rules_load(cot_rules **out, const char *path, const cot_steps *steps, cot_error *err);
void cot_rules_destroy(cot_rules *rules);
#endif
