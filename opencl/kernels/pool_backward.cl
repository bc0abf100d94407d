/* Pools: each input gathers from the windows it is in, so that no two work-items write the same float.
 * shape   max: dx, x [n,h,w,c], dy [n,oh,ow,c]; s = h, w, c, oh, ow, kernel, stride, pad.  mean: dx [n,pixels,c], dy [n,c]
 * launch  one work-item per float of dx
 * cost    max: reads kernel² floats for each of up to ceil(kernel/stride)² windows; mean reads dy, writes dx
 * error   exact but for the order of sums: 1e-6 * max|dx|
 * twin    twin_max_pool_backward, twin_mean_pool_backward */

/* Where the first maximum of the window at (top, left) lies, as iy * w + ix; a NaN counts as one. */
static inline int first_maximum(global const float *x, int top, int left, int8 s)
{
    const int y0 = max(top, 0), y1 = min(top + s.s5, s.s0), x0 = max(left, 0), x1 = min(left + s.s5, s.s1);
    float best = -INFINITY;
    int at = y0 * s.s1 + x0;
    for (int iy = y0; iy < y1; iy++)
        for (int ix = x0; ix < x1; ix++) {
            const float v = x[(iy * s.s1 + ix) * s.s2];
            if (v <= best || isnan(best)) continue;
            best = v;
            at = iy * s.s1 + ix;
        }
    return at;
}

kernel void max_pool_backward(global float *dx, global const float *dy, global const float *x, const int n,
                              const int8 s)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int c = i % s.s2, pixel = i / s.s2 % (s.s0 * s.s1), iy = pixel / s.s1, ix = pixel % s.s1;
    const int image = i / s.s2 / (s.s0 * s.s1);
    x += (size_t)image * s.s0 * s.s1 * s.s2 + c;
    dy += (size_t)image * s.s3 * s.s4 * s.s2 + c;
    /* windows oy with oy*stride - pad <= iy < oy*stride - pad + kernel */
    const int oy0 = max((iy + s.s7 - s.s5 + s.s6) / s.s6, 0), oy1 = min((iy + s.s7) / s.s6, s.s3 - 1);
    const int ox0 = max((ix + s.s7 - s.s5 + s.s6) / s.s6, 0), ox1 = min((ix + s.s7) / s.s6, s.s4 - 1);
    float sum = 0.0f;
    for (int oy = oy0; oy <= oy1; oy++)
        for (int ox = ox0; ox <= ox1; ox++)
            if (first_maximum(x, oy * s.s6 - s.s7, ox * s.s6 - s.s7, s) == pixel) sum += dy[(oy * s.s4 + ox) * s.s2];
    dx[i] += sum;
}

kernel void mean_pool_backward(global float *dx, global const float *dy, const int n, const int pixels, const int c)
{
    const int i = (int)get_global_id(0);
    if (i < n) dx[i] += dy[(size_t)(i / c / pixels) * c + i % c] / pixels;
}
