/* The pictures of a training run, resized once as a reading resizes them and kept in memory: 8 bit (a quarter of the room,
 * rounded to 1/255) or float. Values 0 black … 1 white, not normalised.
 * Threads: one at a time; reading: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PICTURE_SET_H
#define COT_ENGINE_PICTURE_SET_H
#include "config/base.h"

typedef struct picture_set {
    size_t n, size; /* each size x size */
    bool floats;
    void *rows;       /* [n] of row_bytes */
    size_t row_bytes; /* of one picture */
} picture_set;
cot_status picture_set_init(picture_set *set, size_t n, size_t size, bool floats, cot_error *err);
void picture_set_fini(picture_set *set);
void picture_set_put(picture_set *set, size_t at, const float *picture); /* [size,size]; cut to 0 … 1 in 8 bit */
void picture_set_get(const picture_set *set, size_t at, float *picture);
/* Over the pixels of pictures at[0 … n-1]; a flat set has deviation 1. */
void picture_set_statistics(double *mean, double *std, const picture_set *set, const size_t *at, size_t n);
#endif
