/* Pictures as a training step wants them, changed as somebody drew (engine/augment.h).
 * Threads: as opencl.h. SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_OPENCL_TRAINING_IMAGES_H
#define COT_OPENCL_TRAINING_IMAGES_H
#include "opencl/opencl.h"

/* Result pixel (row, column), counted from the picture's centre, is read at row' = down[0]*row + down[1]*column + down[2] and
 * column' = across[0]*row + across[1]*column + across[2], bilinearly, black outside; then gain * (v - mean) + offset. */
typedef struct cot_augmentation {
    float down[3], across[3];
    float gain, offset;
} cot_augmentation;
#define COT_AUGMENTATION_INIT { {1, 0, 0}, {0, 1, 0}, 1, 0 }

/* y [n,size,size,1] = (gain * (x' - mean) + offset) / std; x [n,size,size] of 0 … 1; drawn [n, 8]: a cot_augmentation each, float by
 * float; y is not x */
cot_status cot_augment(cot_buffer *y, const cot_buffer *x, const cot_buffer *drawn, size_t n, size_t size, float mean, float std, cot_error *err);
#endif
