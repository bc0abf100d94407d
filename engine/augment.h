/* Pictures changed a little at each epoch: rotation, size, place, brightness, contrast, and, only where the caller says so,
 * mirrored (never where a side is supervised: the heart would change its). What is drawn depends on seed, epoch and the
 * image's number alone, so that a resumed run draws the same, in whatever batch an image stands.
 * The ranges that the baseline names are INIT's (its amounts are not published; these are small for chests).
 * Threads: any; nothing here touches a device (cot_augment of opencl/training_images.h does what was drawn).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_AUGMENT_H
#define COT_ENGINE_AUGMENT_H
#include "config/base.h"
#include "opencl/training_images.h"

typedef struct augment_options {
    float rotate_deg; /* at most so many degrees either way */
    float scale;      /* size of the picture: 1/(1+scale) … 1+scale */
    float shift;      /* of the side, either way, each axis by itself */
    float brightness; /* added, either way, to pixels of 0 … 1 */
    float contrast;   /* about the mean: 1 - contrast … 1 + contrast */
    bool mirror;      /* half of the pictures, left to right */
} augment_options;
#define AUGMENT_OPTIONS_INIT                                                                                           \
    {                                                                                                                  \
        10.0f, 0.1f, 0.05f, 0.1f, 0.2f, false                                                                          \
    }
/* The picture as it is. */
#define AUGMENT_OPTIONS_NONE                                                                                           \
    {                                                                                                                  \
        0.0f, 0.0f, 0.0f, 0.0f, 0.0f, false                                                                            \
    }

/* For pictures of size x size. */
cot_augmentation augment_draw(const augment_options *options, size_t size, uint64_t seed, uint64_t epoch,
                              uint64_t image);
#endif
