/* Parts of a picture taken away, to see whether an answer rests on them: the regions of an answer, the same shapes at other
 * places, and what is put in their stead.
 *
 * Elsewhere: each region is moved by itself, by whole pixels, to a place drawn evenly from all where it lies inside the
 * picture, until the copies do not touch each other and lie for at most DELETION_OVERLAP on the regions. So shape, size,
 * number and edges are the same and only the place differs; copies that may lie on the region make the difference
 * smaller, never larger.
 *
 * In their stead, a value that should not look like a finding: by default the surroundings, brought inside from the rim by a
 * pyramid (pull and push, Gortler 1996). The patch joins its rim without an edge and has neither texture nor a peak of its own,
 * where a flat grey one is itself an opacity in a lung and a lucency in the heart. Two others show how much that matters.
 * Threads: one at a time per object.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_DELETION_H
#define COT_ENGINE_DELETION_H
#include "config/chain.h"

#define DELETION_OVERLAP 0.25 /* of a copy's pixels that may lie on the regions themselves */

typedef enum deletion_fill {
    DELETION_SURROUNDINGS,
    DELETION_BLUR, /* the picture through a Gaussian of a tenth of its side: no detail, large opacities stay */
    DELETION_MEAN, /* the mean of the picture */
    DELETION_FILLS
} deletion_fill;
const char *deletion_fill_name(deletion_fill fill);             /* "surroundings", "blur", "mean" */
bool deletion_fill_named(deletion_fill *out, const char *name); /* false: no such word */

typedef struct deletion_mask { /* pixels of a square picture */
    size_t n;                  /* that are in */
    unsigned char *in;         /* [side*side] */
} deletion_mask;

typedef struct deletion {
    size_t side, n_regions;
    deletion_fill fill;
    deletion_mask all;     /* what mask the last deletion_take made; copies are drawn from its regions */
    deletion_mask *region; /* [REGIONS_MAX] each by itself */
    deletion_mask copy;    /* of the last deletion_move or deletion_mirror */
    unsigned char *grown;  /* copy and its border: where the next copy must not lie */
    float *blurred;        /* [side*side] of the last deletion_picture */
    float mean;
    const float *picture;
    float *pyramid; /* values and weights of all levels */
} deletion;
cot_status deletion_init(deletion *d, size_t side, deletion_fill fill, cot_error *err);
void deletion_fini(deletion *d);
/* The picture [side*side] that deletion_apply takes from; borrowed until the next. */
void deletion_picture(deletion *d, const float *picture);
/* The regions, in pixels of an image [rows, cols] that lies stretched over the picture: a pixel is in when its centre is. */
void deletion_take(deletion *d, const cot_region *regions, size_t n_regions, size_t rows, size_t cols);
/* The regions elsewhere, into d->copy; which place follows from (seed, draw). False: no place was found. */
bool deletion_move(deletion *d, uint64_t seed, uint64_t draw);
/* The regions where they lie with left and right exchanged; false: more than DELETION_OVERLAP of that is the regions. */
bool deletion_mirror(deletion *d);
/* out [side*side]: the picture without the pixels of mask */
void deletion_apply(float *out, deletion *d, const deletion_mask *mask);
#endif
