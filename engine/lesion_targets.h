/* Where lesions lie in a picture, cell by cell of an encoder's last activation: what boxes drawn by people teach
 * (lesion_train.h). Boxes are carried along with whatever augmentation was drawn for their picture.
 * Threads: any thread. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_LESION_TARGETS_H
#define COT_ENGINE_LESION_TARGETS_H
#include "opencl/training_images.h"

#define LESION_NONE    0    /* no lesion in the cell; findings count from 1 */
#define LESION_UNKNOWN (-1) /* nobody said */

typedef struct lesion_box {
    int finding;                    /* 1 … findings */
    float top, left, bottom, right; /* shares of the picture's height and width, 0..1 */
} lesion_box;
typedef struct lesion_picture {
    const lesion_box *boxes;
    size_t n;
    bool complete; /* outside the boxes there is nothing; else it is unknown */
} lesion_picture;

/* labels [side*side], row by row, of the picture [size,size] after the augmentation: a box's finding in cells that lie in it
 * by half or more and in the cell that lies in it most, unknown in others that it touches; of two boxes the one that covers
 * more. Without boxes and not complete: all unknown. */
void lesion_targets(float *labels, const lesion_picture *picture, const cot_augmentation *drawn, size_t size,
                    size_t side);
#endif
