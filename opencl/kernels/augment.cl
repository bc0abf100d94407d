/* Pictures turned, scaled and shifted by an affine map, bilinearly, black outside; brightness and contrast; normalised.
 * shape   y, x: [n, size, size]; drawn: [n, 8]: row' = d0*row + d1*column + d2, column' = d3*row + d4*column + d5, counted from
 *         the centre; gain, offset
 * launch  one work-item per line of y
 * cost    reads 16, writes 4 bytes per pixel
 * error   |y - twin| <= 1e-4 / std
 * twin    twin_augment of tests/test_augment.c
 * note    an augmentation is data: it has no gradient */
/* Always read, so that nothing branches. */
static inline float pixel(global const float *x, int row, int column, int size)
{
    const int inside = ((uint)row < (uint)size) & ((uint)column < (uint)size);
    const float v = x[inside ? row * size + column : 0];
    return inside ? v : 0.0f;
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
    const float down0 = fma(d[0], row, d[2] + centre), across0 = fma(d[3], row, d[5] + centre), end = (float)size;
    for (int i = 0; i < size; i++) {
        const float column = (float)i - centre;
        float r = fma(d[1], column, down0), c = fma(d[4], column, across0);
        r = r > -1.0f ? r : -1.0f, c = c > -1.0f ? c : -1.0f;
        r = r < end ? r : end, c = c < end ? c : end;
        const int a = (int)(r + 1.0f) - 1, b = (int)(c + 1.0f) - 1; /* floor, as both are -1 or more */
        const float down = r - (float)a, across = c - (float)b;
        const float top = mix(pixel(x, a, b, size), pixel(x, a, b + 1, size), across);
        const float bottom = mix(pixel(x, a + 1, b, size), pixel(x, a + 1, b + 1, size), across);
        y[i] = fma(mix(top, bottom, down), gain, shift);
    }
}
