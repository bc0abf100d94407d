/* Pictures in memory (picture_set.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/picture_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cot_status picture_set_init(picture_set *set, size_t n, size_t size, bool floats, cot_error *err)
{
    size_t pixels, bytes;
    memset(set, 0, sizeof *set);
    if (!cot_mul(&pixels, size, size) || !cot_mul(&set->row_bytes, pixels, floats ? sizeof(float) : 1) ||
        !cot_mul(&bytes, n, set->row_bytes) || !(set->rows = calloc(bytes ? bytes : 1, 1)))
        return cot_fail(err, COT_E_MEMORY,
                        "no memory for %zu pictures of %zux%zu. Keep them in 8 bit (--store 8bit), or train on fewer",
                        n, size, size);
    set->n = n;
    set->size = size;
    set->floats = floats;
    return COT_OK;
}

void picture_set_fini(picture_set *set)
{
    free(set->rows);
    memset(set, 0, sizeof *set);
}

void picture_set_put(picture_set *set, size_t at, const float *picture)
{
    const size_t pixels = set->size * set->size;
    if (set->floats) {
        memcpy((float *)set->rows + at * pixels, picture, set->row_bytes);
        return;
    }
    unsigned char *to = (unsigned char *)set->rows + at * pixels;
    for (size_t i = 0; i < pixels; i++) to[i] = (unsigned char)lrintf(255 * fminf(fmaxf(picture[i], 0), 1));
}

void picture_set_get(const picture_set *set, size_t at, float *picture)
{
    const size_t pixels = set->size * set->size;
    if (set->floats) {
        memcpy(picture, (const float *)set->rows + at * pixels, set->row_bytes);
        return;
    }
    const unsigned char *from = (const unsigned char *)set->rows + at * pixels;
    for (size_t i = 0; i < pixels; i++) picture[i] = (float)from[i] / 255;
}

static double pixel(const picture_set *set, size_t i)
{
    return set->floats ? (double)((const float *)set->rows)[i] : ((const unsigned char *)set->rows)[i] / 255.0;
}

void picture_set_statistics(double *mean, double *std, const picture_set *set, const size_t *at, size_t n)
{
    const size_t pixels = set->size * set->size;
    double sum = 0, squares = 0, count = (double)n * (double)pixels;
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < pixels; p++) sum += pixel(set, at[i] * pixels + p);
    *mean = n ? sum / count : 0;
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < pixels; p++) {
            const double off = pixel(set, at[i] * pixels + p) - *mean;
            squares += off * off;
        }
    *std = squares > 0 ? sqrt(squares / count) : 1;
}
