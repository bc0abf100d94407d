/* Inside plugin/: one reading on one page of HTML, with its image, maps, regions, probabilities and influences, and without
 * any other resource or script. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_EXPLAIN_PAGE_H
#define COT_EXPLAIN_PAGE_H
#include "config/chain.h"

enum { EXPLAIN_SIDE_MOST = 1024 }; /* pixels of the image on the page */

typedef struct explained {
    const cot_chain *chain;
    const cot_steps *steps;
    const float *grey; /* [rows, cols] */
    size_t rows, cols;
    const char *name; /* of the image, for people */
} explained;
cot_status explain_page(char **out, size_t *size, const explained *e, cot_error *err); /* caller frees *out */

/* PNG of 8 bits, `channels` 1 (grey) or 4 (RGBA), as data URI into `f` (data_uri.c). */
cot_status data_uri_png(FILE *f, const unsigned char *pixels, size_t rows, size_t cols, size_t channels,
                        cot_error *err);
#endif
