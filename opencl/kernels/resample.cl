/* Antialiased resize in two passes with tables of weights (resample.c), then (v - mean) * scale.
 * shape   down: x [rows, width] -> y [size, width]; across: x [size, width] -> y [size, size] from float `at` on;
 *         weights [size, taps], first [size]: output i sums weights[i, t] * x[first[i] + t]
 * launch  down: (vectors of columns, size); across: (size, size)
 * cost    down: taps*width*size multiply-adds, reads x about twice; across: taps*size²
 * error   |y - twin| <= 1e-6 * std
 * twin    ref_resample (Pillow's algorithm in double), and Pillow's own results in tests/golden
 * back    none: images are not learned */
kernel void resample_down(global float *y, global const float *x, global const float *weights, global const int *first,
                          const int size, const int width, const int taps)
{
    const int column = (int)get_global_id(0) * VECTOR, line = (int)get_global_id(1);
    if (column >= width || line >= size) return;
    weights += (size_t)line * taps;
    x += (size_t)first[line] * width + column;
    y += (size_t)line * width + column;
    if (column + VECTOR <= width) {
        VEC sum = (VEC)(0.0f);
        for (int t = 0; t < taps; t++) sum = fma((VEC)(weights[t]), VLOAD(0, x + (size_t)t * width), sum);
        VSTORE(sum, 0, y);
        return;
    }
    for (int i = 0; i < width - column; i++) {
        float sum = 0.0f;
        for (int t = 0; t < taps; t++) sum = fma(weights[t], x[(size_t)t * width + i], sum);
        y[i] = sum;
    }
}

kernel void resample_across(global float *y, global const float *x, global const float *weights,
                            global const int *first, const ulong at, const int size, const int width, const int taps,
                            const float mean, const float scale)
{
    const int column = (int)get_global_id(0), line = (int)get_global_id(1);
    if (column >= size || line >= size) return;
    weights += (size_t)column * taps;
    x += (size_t)line * width + first[column];
    float sum = 0.0f;
    for (int t = 0; t < taps; t++) sum = fma(weights[t], x[t], sum);
    y[at + (size_t)line * size + column] = (sum - mean) * scale;
}
