/* The register tile shared by gemm.cl, conv.cl, matmul.cl and conv_backward.cl: ROWS rows by two vectors of columns.
 * Weights come in panels of two vectors, k-major, so that one step along k loads two vectors and broadcasts one number
 * per row.
 * SPDX-License-Identifier: Apache-2.0 */
#define WIDTH (2 * VECTOR)

/* Flags, as in device.h. */
#define HAS_RESIDUAL 1
#define PANELS_FIRST                                                                                                   \
    2                /* neighbours in launch order share rows, not weights: right when all weights fit into the cache */
#define ALL_INSIDE 4 /* no tap leaves the image */

/* Adds the residual, bounds from below (0 for ReLU, -INFINITY for none) and writes one row, `columns` of it. */
static inline void tile_store(global float *y, global const float *residual, VEC low, VEC high, float lowest,
                              int columns)
{
    if (columns >= WIDTH) {
        if (residual) {
            low += VLOAD(0, residual);
            high += VLOAD(1, residual);
        }
        low = select(low, (VEC)(lowest), low < (VEC)(lowest));
        high = select(high, (VEC)(lowest), high < (VEC)(lowest));
        VSTORE(low, 0, y);
        VSTORE(high, 1, y);
    } else {
        float part[WIDTH];
        VSTORE(low, 0, part);
        VSTORE(high, 1, part);
        for (int n = 0; n < columns; n++) {
            const float v = part[n] + (residual ? residual[n] : 0.0f);
            y[n] = v < lowest ? lowest : v;
        }
    }
}

/* Activates what tile_store wrote, still in the nearest cache: rows `first` to `end`, up to WIDTH of `columns`. */
static inline void tile_activate(global float *y, int first, int end, int n, int columns, int act)
{
    for (int i = first; i < end; i++) {
        global float *row = y + (size_t)i * n;
        if (columns >= WIDTH) {
            VSTORE(activate_vec(VLOAD(0, row), act), 0, row);
            VSTORE(activate_vec(VLOAD(1, row), act), 1, row);
        } else {
            for (int c = 0; c < columns; c++) row[c] = activate(row[c], act);
        }
    }
}

/* Writes or adds one row of a panel that overlaps the one before it by `skip` columns. */
static inline void panel_store(global float *c, VEC low, VEC high, int skip, int add)
{
    if (skip == 0) {
        if (add) {
            low += VLOAD(0, c);
            high += VLOAD(1, c);
        }
        VSTORE(low, 0, c);
        VSTORE(high, 1, c);
    } else {
        float part[WIDTH];
        VSTORE(low, 0, part);
        VSTORE(high, 1, part);
        for (int i = skip; i < WIDTH; i++) c[i] = add ? c[i] + part[i] : part[i];
    }
}
