/* Inside plugin/: stepcot evaluate --explain, how true the evidence of a package's answers is on a split's images
 * (engine/faithfulness.h). SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_EVALUATE_EXPLAIN_H
#define COT_EVALUATE_EXPLAIN_H
#include "engine/faithfulness.h"
#include "plugin/evaluate.h"

typedef struct explaining_order {
    const char *package, *fill; /* fill NULL: surroundings */
    cot_readers readers;        /* student or teacher */
    unsigned copies, draws, seed;
    bool json;
} explaining_order;
typedef struct explaining { /* what was found of one package */
    const explaining_order *order;
    cot_reader reader;
    deletion_fill fill;
    faith_found found;
    bool has_fixed; /* training images of the manifest have boxes */
    bool *answered; /* [n_steps] the model answers it */
} explaining;
/* Prints table or JSON; the exit code: 1 where an influence differs from its re-run by more than FAITH_INFLUENCE_BOUND. */
int evaluate_explain(evaluating *e, const explaining_order *order);

/* ---- evaluate_explain_report.c ---- */
cot_status explaining_print(FILE *f, const evaluating *e, const explaining *x, cot_error *err);
cot_status explaining_json(FILE *f, const evaluating *e, const explaining *x, cot_error *err);
#endif
