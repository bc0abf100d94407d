/* Boxes on their way into cells (lesion_targets.h): each cell is sampled at a grid of points, each point taken back to the
 * picture as the augmentation does it. SPDX-License-Identifier: Apache-2.0 */
#include "engine/lesion_targets.h"

enum { SAMPLES = 6 }; /* a side of a cell: a nodule of a fifth of a cell is met at least once */

/* Pixel centres count from the picture's centre in both (training_images.h). */
static bool covered(const lesion_box *box, const cot_augmentation *a, double row, double column, size_t size)
{
    const double half = 0.5 * (double)size;
    const double r = row * (double)size - half, c = column * (double)size - half;
    const double down = ((double)a->down[0] * r + (double)a->down[1] * c + (double)a->down[2] + half) / (double)size;
    const double across =
        ((double)a->across[0] * r + (double)a->across[1] * c + (double)a->across[2] + half) / (double)size;
    return down >= (double)box->top && down < (double)box->bottom && across >= (double)box->left &&
           across < (double)box->right;
}

/* How many of a cell's samples lie in the box. */
static int hits(const lesion_box *box, const cot_augmentation *a, size_t row, size_t column, size_t size, size_t side)
{
    int n = 0;
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t k = 0; k < SAMPLES; k++)
            n += covered(box, a, ((double)row + ((double)i + 0.5) / SAMPLES) / (double)side,
                         ((double)column + ((double)k + 0.5) / SAMPLES) / (double)side, size);
    return n;
}

/* Of the cell: the box with the most hits, whose number *most becomes. */
static float label_of(int *most, const lesion_picture *p, const cot_augmentation *a, size_t row, size_t column,
                      size_t size, size_t side)
{
    const lesion_box *in = NULL;
    *most = 0;
    for (size_t b = 0; b < p->n; b++) {
        const int n = hits(&p->boxes[b], a, row, column, size, side);
        if (n > *most) *most = n, in = &p->boxes[b];
    }
    if (!in) return p->complete ? LESION_NONE : LESION_UNKNOWN;
    return 2 * *most >= SAMPLES * SAMPLES ? (float)in->finding : LESION_UNKNOWN;
}

/* A lesion too small to fill half a cell is still taught where it mostly is. */
static void mark_small(float *labels, const lesion_box *box, const cot_augmentation *a, size_t size, size_t side)
{
    size_t best = 0;
    int most = 0;
    for (size_t i = 0; i < side * side; i++) {
        const int n = hits(box, a, i / side, i % side, size, side);
        if (n > most) most = n, best = i;
    }
    if (most && labels[best] < 0) labels[best] = (float)box->finding;
}

void lesion_targets(float *labels, const lesion_picture *p, const cot_augmentation *drawn, size_t size, size_t side)
{
    int most;
    for (size_t i = 0; i < side * side; i++) labels[i] = label_of(&most, p, drawn, i / side, i % side, size, side);
    for (size_t b = 0; b < p->n; b++) mark_small(labels, &p->boxes[b], drawn, size, side);
}
