/* "Did you mean …?": the nearest known word. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_NEAREST_H
#define COT_NEAREST_H
#include <stddef.h>

/* The word of `words` that differs least from `word` (Levenshtein distance), if at most a third of it differs; else NULL.
 * Words of more than 63 characters are never near. */
const char *cot_nearest(const char *word, const char *const *words, size_t n);
#endif
