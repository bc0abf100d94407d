/* Normalisations with their statistics, and the sums over rows that parameters' gradients are.
 * shape   x, y, dx, dy: [rows, columns]; gamma, beta: [columns]; stats: means | scales (1 / sqrt(variance + eps)), one
 *         each per row (layer norm) or per column (batch norm); partial: [slices, width]
 * launch  column_sums, batch_slices: (columns, slices); layer_norm_backward: one work-item per row; the others one per
 *         float or per column
 * cost    layer norm reads x and dy four times; batch norm reads x three times forward, x and dy twice backward
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
    const int c = (int)get_global_id(0), slice = (int)get_global_id(1);
    if (c >= columns) return;
    const int end = slice_start(rows, slices, slice + 1);
    float sum = 0.0f, product = 0.0f;
    for (int r = slice_start(rows, slices, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        const float g = dy[at];
        sum += g;
        if (both) {
            const int s = by_row ? r : c;
            product = fma(g, (x[at] - stats[s]) * stats[s + (by_row ? rows : columns)], product);
        }
    }
    partial += (size_t)slice * columns * (both ? 2 : 1);
    partial[c] = sum;
    if (both) partial[columns + c] = product;
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
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    const size_t at = (size_t)row * width;
    dx += at;
    dy += at;
    x += at;
    float sum = 0.0f, squares = 0.0f;
    for (int i = 0; i < width; i++) sum += x[i];
    const float mean = sum / width;
    for (int i = 0; i < width; i++) squares = fma(x[i] - mean, x[i] - mean, squares);
    const float scale = 1.0f / sqrt(squares / width + eps);
    stats[row] = mean;
    stats[rows + row] = scale;
    if (!want_dx) return;
    float flat = 0.0f, tilt = 0.0f; /* what moves the mean, what moves the variance */
    for (int i = 0; i < width; i++) {
        const float g = dy[i] * gamma[i];
        flat += g;
        tilt = fma(g, (x[i] - mean) * scale, tilt);
    }
    flat /= width;
    tilt /= width;
    for (int i = 0; i < width; i++) dx[i] += scale * (dy[i] * gamma[i] - flat - (x[i] - mean) * scale * tilt);
}

/* partial[slice] = means | sums of squares about them. */
kernel void batch_slices(global float *partial, global const float *x, const int rows, const int columns,
                         const int slices)
{
    const int c = (int)get_global_id(0), slice = (int)get_global_id(1);
    if (c >= columns) return;
    const int start = slice_start(rows, slices, slice), end = slice_start(rows, slices, slice + 1);
    float sum = 0.0f, squares = 0.0f;
    for (int r = start; r < end; r++) sum += x[(size_t)r * columns + c];
    const float mean = sum / (end - start);
    for (int r = start; r < end; r++) {
        const float d = x[(size_t)r * columns + c] - mean;
        squares = fma(d, d, squares);
    }
    partial += (size_t)slice * columns * 2;
    partial[c] = mean;
    partial[columns + c] = squares;
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
                            global const float *gamma, global const float *beta, const int n, const int columns)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int c = i % columns;
    y[i] = (x[i] - saved[c]) * saved[columns + c] * gamma[c] + beta[c];
}

/* sums: of dy, then of dy * xhat, over all rows; train: mean and variance move with x. */
kernel void batch_norm_backward(global float *dx, global const float *dy, global const float *x,
                                global const float *gamma, global const float *saved, global const float *sums,
                                const int n, const int columns, const int train)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int c = i % columns;
    const float scale = saved[columns + c];
    float g = dy[i];
    if (train) {
        const float rows = n / columns;
        g -= (sums[c] + (x[i] - saved[c]) * scale * sums[columns + c]) / rows;
    }
    dx[i] += g * scale * gamma[c];
}
