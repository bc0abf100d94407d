/* Copies around a transformer: an image cut into patches, the class token in front, single rows, rows side by side.
 * shape   patches: x [n, channels, size, size] -> y [n*(size/patch)², channels, patch, patch]
 *         tokens: y [items, 1+patches, width] = (cls | patch rows [items, patches, width]) + position [1+patches, width]
 *         copy_rows: row i of `width` floats from x[i*x_stride + x_at] to y[i*y_stride + y_at]
 *         concat: y [rows, a_width + b_width] = a | b
 * launch  patches: (rows of y, channels*patch); the others: (floats of a row of y, rows of y)
 * cost    reads and writes 4 bytes per float of y, tokens reads twice that
 * error   exact
 * twin    ref_patches_forward, ref_tokens_forward, ref_row_forward, ref_concat_forward
 * back    moves_backward.cl */
kernel void patches_forward(global float *restrict y, global const float *restrict x, const int rows,
                            const int channels, const int size, const int patch)
{
    const int row = (int)get_global_id(0), line = (int)get_global_id(1), side = size / patch;
    if (row >= rows) return;
    const int image = row / side / side, top = row / side % side * patch, left = row % side * patch;
    const int channel = line / patch, down = line % patch;
    y += ((size_t)row * channels * patch + line) * patch;
    x += (((size_t)image * channels + channel) * size + top + down) * size + left;
    for (int i = 0; i < patch; i++) y[i] = x[i];
}

kernel void tokens_forward(global float *restrict y, global const float *restrict patches,
                           global const float *restrict cls, global const float *restrict position, const int count,
                           const int width)
{
    const int i = (int)get_global_id(0), row = (int)get_global_id(1), token = row % count, item = row / count;
    if (i >= width) return;
    const float v = token ? patches[(size_t)(item * (count - 1) + token - 1) * width + i] : cls[i];
    y[(size_t)row * width + i] = v + position[token * width + i];
}

kernel void copy_rows(global float *restrict y, global const float *restrict x, const int width, const int y_stride,
                      const int y_at, const int x_stride, const int x_at)
{
    const int i = (int)get_global_id(0), row = (int)get_global_id(1);
    if (i < width) y[(size_t)row * y_stride + y_at + i] = x[(size_t)row * x_stride + x_at + i];
}

kernel void concat_forward(global float *restrict y, global const float *restrict a, global const float *restrict b,
                           const int a_width, const int b_width)
{
    const int i = (int)get_global_id(0), row = (int)get_global_id(1);
    if (i >= a_width + b_width) return;
    y[(size_t)row * (a_width + b_width) + i] =
        i < a_width ? a[(size_t)row * a_width + i] : b[(size_t)row * b_width + i - a_width];
}
