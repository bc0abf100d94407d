/* Pictures turned, scaled and shifted by an affine map, bilinearly, black outside; brightness and contrast; normalised.
 * shape   y, x: [n, size, size]; drawn: [n, 8]: row' = d0*row + d1*column + d2, column' = d3*row + d4*column + d5, counted from
 *         the centre; gain, offset
 * launch  one work-item per line of y
 * cost    reads 16, writes 4 bytes per pixel
 * error   |y - twin| <= 1e-4 / std
 * twin    twin_augment of tests/test_augment.c
 * note    an augmentation is data: it has no gradient */
static inline float pixel(global const float *x, int row, int column, int size)
{
    const int inside = (uint)row < (uint)size && (uint)column < (uint)size;
    return inside ? x[row * size + column] : 0.0f;
}

kernel void augment(global float *y, global const float *x, global const float *drawn, const int lines, const int size,
                    const float mean, const float std)
{
    const int line = (int)get_global_id(0);
    if (line >= lines) return;
    global const float *d = drawn + (size_t)(line / size) * 8;
    const float centre = 0.5f * (float)(size - 1), row = (float)(line % size) - centre, gain = d[6] / std;
    const float shift = (d[7] - d[6] * mean) / std;
    x += (size_t)(line / size) * size * size;
    y += (size_t)line * size;
    for (int i = 0; i < size; i++) {
        const float column = (float)i - centre;
        const float r = clamp(fma(d[0], row, fma(d[1], column, d[2])) + centre, -2.0f, (float)size + 1.0f);
        const float c = clamp(fma(d[3], row, fma(d[4], column, d[5])) + centre, -2.0f, (float)size + 1.0f);
        const float r0 = floor(r), c0 = floor(c), down = r - r0, across = c - c0;
        const int a = (int)r0, b = (int)c0;
        const float top = mix(pixel(x, a, b, size), pixel(x, a, b + 1, size), across);
        const float bottom = mix(pixel(x, a + 1, b, size), pixel(x, a + 1, b + 1, size), across);
        y[i] = fma(mix(top, bottom, down), gain, shift);
    }
}
