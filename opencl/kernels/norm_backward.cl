/* Normalisations with their statistics, and the sums over rows that parameters' gradients are.
 * shape   x, y, dx, dy: [rows, columns]; gamma, beta: [columns]; stats: means | scales (1 / sqrt(variance + eps)), one
 *         each per row (layer norm) or per column (batch norm); partial: [slices, width]
 * launch  layer_norm_backward: one work-item per row; fold_slices, batch_merge, batch_running: one per column; the others
 *         (VECTORs of columns, slices)
 * cost    layer norm reads x and dy four times; batch norm reads x twice forward, x and dy twice backward
 * error   |dx - twin| <= 1e-5 * max|dx|; parameters 1e-5 * max|dgamma|
 * twin    twin_layer_norm_backward, twin_batch_norm, twin_batch_norm_backward
 * note    slices of rows, then the slices in order: no atomics, the same bits each time; variances of slices are joined
 *         about their own means (Chan et al.), so that a large mean does not drown a small variance */
static inline int slice_start(int rows, int slices, int slice)
{
    return (int)((long)rows * slice / slices);
}

/* partial[slice] = sums of dy, then (both) of dy * (x - mean) * scale. */
kernel void column_sums(global float *partial, global const float *dy, global const float *x, global const float *stats,
                        const int rows, const int columns, const int slices, const int by_row, const int both)
{
    const int c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_start(rows, slices, slice + 1);
    VEC sum = (VEC)(0.0f), product = (VEC)(0.0f), mean = (VEC)(0.0f), scale = (VEC)(0.0f);
    if (both && !by_row) {
        mean = load_some(stats + c, n);
        scale = load_some(stats + columns + c, n);
    }
    for (int r = slice_start(rows, slices, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        const VEC g = load_some(dy + at, n);
        sum += g;
        if (!both) continue;
        if (by_row) {
            mean = (VEC)(stats[r]);
            scale = (VEC)(stats[rows + r]);
        }
        product = fma(g, (load_some(x + at, n) - mean) * scale, product);
    }
    partial += (size_t)slice * columns * (both ? 2 : 1) + c;
    store_some(sum, partial, n);
    if (both) store_some(product, partial + columns, n);
}

kernel void fold_slices(global float *out, global const float *partial, const int slices, const int stride,
                        const int at, const int n, const int add)
{
    const int c = (int)get_global_id(0);
    if (c >= n) return;
    float sum = 0.0f;
    for (int s = 0; s < slices; s++) sum += partial[(size_t)s * stride + at + c];
    out[c] = add ? out[c] + sum : sum;
}

/* Also writes the rows' stats, which the parameters' sums read. */
kernel void layer_norm_backward(global float *dx, global float *stats, global const float *dy, global const float *x,
                                global const float *gamma, const int rows, const int width, const float eps,
                                const int want_dx)
{
    const int row = (int)get_global_id(0), whole = width / VECTOR * VECTOR;
    if (row >= rows) return;
    const size_t at = (size_t)row * width;
    dx += at;
    dy += at;
    x += at;
    VEC sums = (VEC)(0.0f), tilts = (VEC)(0.0f);
    float sum = 0.0f, squares = 0.0f;
    for (int i = 0; i < whole; i += VECTOR) sums += VLOAD(0, x + i);
    for (int i = whole; i < width; i++) sum += x[i];
    const float mean = (sum + sum_lanes(sums)) / width;
    sums = (VEC)(0.0f);
    for (int i = 0; i < whole; i += VECTOR) {
        const VEC d = VLOAD(0, x + i) - mean;
        sums = fma(d, d, sums);
    }
    for (int i = whole; i < width; i++) squares = fma(x[i] - mean, x[i] - mean, squares);
    const float scale = 1.0f / sqrt((squares + sum_lanes(sums)) / width + eps);
    stats[row] = mean;
    stats[rows + row] = scale;
    if (!want_dx) return;
    float flat = 0.0f, tilt = 0.0f; /* what moves the mean, what moves the variance */
    sums = (VEC)(0.0f);
    for (int i = 0; i < whole; i += VECTOR) {
        const VEC g = VLOAD(0, dy + i) * VLOAD(0, gamma + i);
        sums += g;
        tilts = fma(g, (VLOAD(0, x + i) - mean) * scale, tilts);
    }
    for (int i = whole; i < width; i++) {
        flat += dy[i] * gamma[i];
        tilt = fma(dy[i] * gamma[i], (x[i] - mean) * scale, tilt);
    }
    flat = (flat + sum_lanes(sums)) / width;
    tilt = (tilt + sum_lanes(tilts)) / width;
    for (int i = 0; i < width; i += VECTOR) {
        const int n = width - i;
        const VEC g = load_some(dy + i, n) * load_some(gamma + i, n), xhat = (load_some(x + i, n) - mean) * scale;
        store_some(load_some(dx + i, n) + scale * (g - flat - xhat * tilt), dx + i, n);
    }
}

/* partial[slice] = means | sums of squares about them; by CHUNKs of rows that stay in the nearest cache. */
#define CHUNK 64
kernel void batch_slices(global float *partial, global const float *x, const int rows, const int columns,
                         const int slices)
{
    const int c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int start = slice_start(rows, slices, slice), end = slice_start(rows, slices, slice + 1);
    VEC mean = (VEC)(0.0f), squares = (VEC)(0.0f);
    for (int first = start; first < end; first += CHUNK) {
        const int last = min(first + CHUNK, end);
        const float more = last - first, before = first - start;
        VEC sum = (VEC)(0.0f), part = (VEC)(0.0f);
        for (int r = first; r < last; r++) sum += load_some(x + (size_t)r * columns + c, n);
        const VEC here = sum / more;
        for (int r = first; r < last; r++) {
            const VEC d = load_some(x + (size_t)r * columns + c, n) - here;
            part = fma(d, d, part);
        }
        const VEC apart = here - mean;
        mean += apart * (more / (before + more));
        squares += part + apart * apart * (before * more / (before + more));
    }
    partial += (size_t)slice * columns * 2 + c;
    store_some(mean, partial, n);
    store_some(squares, partial + columns, n);
}

kernel void batch_merge(global float *saved, global float *running_mean, global float *running_var,
                        global const float *partial, const int rows, const int columns, const int slices,
                        const float eps, const float momentum)
{
    const int c = (int)get_global_id(0);
    if (c >= columns) return;
    float mean = 0.0f, squares = 0.0f, n = 0.0f;
    for (int s = 0; s < slices; s++, partial += (size_t)columns * 2) {
        const float more = slice_start(rows, slices, s + 1) - slice_start(rows, slices, s), d = partial[c] - mean;
        mean += d * more / (n + more);
        squares += partial[columns + c] + d * d * n * more / (n + more);
        n += more;
    }
    saved[c] = mean;
    saved[columns + c] = 1.0f / sqrt(squares / rows + eps);
    running_mean[c] += momentum * (mean - running_mean[c]);
    running_var[c] += momentum * (squares / (rows - 1) - running_var[c]);
}

kernel void batch_running(global float *saved, global const float *running_mean, global const float *running_var,
                          const int columns, const float eps)
{
    const int c = (int)get_global_id(0);
    if (c >= columns) return;
    saved[c] = running_mean[c];
    saved[columns + c] = 1.0f / sqrt(running_var[c] + eps);
}

kernel void batch_normalise(global float *y, global const float *x, global const float *saved,
                            global const float *gamma, global const float *beta, const int rows, const int columns,
                            const int slices)
{
    const int c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_start(rows, slices, slice + 1);
    const VEC mean = load_some(saved + c, n), scale = load_some(saved + columns + c, n) * load_some(gamma + c, n),
              shift = load_some(beta + c, n);
    for (int r = slice_start(rows, slices, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        store_some(fma(load_some(x + at, n) - mean, scale, shift), y + at, n);
    }
}

/* sums: of dy, then of dy * xhat, over all rows; train: mean and variance move with x. */
kernel void batch_norm_backward(global float *dx, global const float *dy, global const float *x,
                                global const float *gamma, global const float *saved, global const float *sums,
                                const int rows, const int columns, const int slices, const int train)
{
    const int c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_start(rows, slices, slice + 1);
    const VEC mean = load_some(saved + c, n), scale = load_some(saved + columns + c, n);
    const VEC all = scale * load_some(gamma + c, n), flat = train ? load_some(sums + c, n) / (float)rows : (VEC)(0.0f);
    const VEC tilt = train ? load_some(sums + columns + c, n) * scale / (float)rows : (VEC)(0.0f);
    for (int r = slice_start(rows, slices, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        const VEC g = load_some(dy + at, n) - flat - (load_some(x + at, n) - mean) * tilt;
        store_some(fma(g, all, load_some(dx + at, n)), dx + at, n);
    }
}
