/* Tables of what the text normalisation of bert-base-uncased does to code points. Read-only, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_WORDPIECE_UNICODE_H
#define COT_ENGINE_WORDPIECE_UNICODE_H
#include <stddef.h>
#include <stdint.h>

typedef enum code_kind {
    CODE_PLAIN,
    CODE_DROP,        /* control characters, accents standing by themselves */
    CODE_SPACE,       /* ends a word */
    CODE_PUNCTUATION, /* a word by itself */
    CODE_IDEOGRAPH    /* the same; decided before decomposition */
} code_kind;
/* Sorted by first, disjoint; what is in none is plain. */
typedef struct code_range {
    uint32_t first, last;
    code_kind kind;
} code_range;
/* Code points that become another one: from + i*step becomes to + i*to_step, i < n. Sorted, disjoint. */
typedef struct code_run {
    uint32_t from, to;
    uint8_t n, step, to_step;
} code_run;
/* Code points that become several (0: no more). Sorted. */
typedef struct code_longer {
    uint32_t from, to[3];
} code_longer;
extern const code_range code_ranges[];
extern const code_run code_runs[];
extern const code_longer code_longers[];
extern const size_t n_code_ranges, n_code_runs, n_code_longers;
#endif
