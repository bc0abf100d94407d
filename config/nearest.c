/* Levenshtein distance over a short list (nearest.h). SPDX-License-Identifier: Apache-2.0 */
#include "config/nearest.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
    size_t row[65];
    const size_t na = strlen(a), nb = strlen(b);
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

const char *cot_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 0;
    if (strlen(word) > 63) return NULL;
    for (size_t i = 0; i < n; i++) {
        const size_t longer = strlen(word) > strlen(words[i]) ? strlen(word) : strlen(words[i]);
        if (longer > 63) continue;
        const size_t d = distance(word, words[i]);
        if (d > 0 && d > (longer + 2) / 3) continue;
        if (best && d >= best_distance) continue;
        best = words[i];
        best_distance = d;
    }
    return best;
}
