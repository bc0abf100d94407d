/* Pools: each input gathers from the windows it is in, so that no two work-items write the same float.
 * shape   max: dx, x [n,h,w,c], dy [n,oh,ow,c]; s = h, w, c, oh, ow, kernel, stride, pad.  mean: dx [n,pixels,c], dy [n,c]
 * launch  max: (VECTORs of c, windows) to find the maxima, then (VECTORs of c, pixels); mean: one work-item per float of dx
 * cost    max reads kernel² floats per window, then dy and places of up to ceil(kernel/stride)² windows per pixel
 * error   exact but for the order of sums: 1e-6 * max|dx|
 * twin    twin_max_pool_backward, twin_mean_pool_backward */

#define INTS    JOIN(int, VECTOR)
#define AS_INTS JOIN(as_int, VECTOR)
#define AS_VEC  JOIN(as_float, VECTOR)

/* where: per window the place iy * w + ix of its first maximum, as the bits of an int; a NaN counts as one. */
kernel void max_pool_where(global float *where, global const float *x, const int8 s)
{
    const int ch = (int)get_global_id(0) * VECTOR, window = (int)get_global_id(1), left_c = s.s2 - ch;
    if (left_c <= 0) return;
    const int top = window / s.s4 % s.s3 * s.s6 - s.s7, left = window % s.s4 * s.s6 - s.s7;
    const int y0 = max(top, 0), y1 = min(top + s.s5, s.s0), x0 = max(left, 0), x1 = min(left + s.s5, s.s1);
    x += (size_t)(window / s.s4 / s.s3) * s.s0 * s.s1 * s.s2 + ch;
    VEC best = (VEC)(-INFINITY);
    INTS at = (INTS)(y0 * s.s1 + x0);
    for (int iy = y0; iy < y1; iy++)
        for (int ix = x0; ix < x1; ix++) {
            const VEC v = load_some(x + (iy * s.s1 + ix) * s.s2, left_c);
            const INTS stays = v <= best || isnan(best);
            best = select(v, best, stays);
            at = select((INTS)(iy * s.s1 + ix), at, stays);
        }
    store_some(AS_VEC(at), where + (size_t)window * s.s2 + ch, left_c);
}

kernel void max_pool_backward(global float *dx, global const float *dy, global const float *where, const int8 s)
{
    const int ch = (int)get_global_id(0) * VECTOR, i = (int)get_global_id(1), left_c = s.s2 - ch;
    if (left_c <= 0) return;
    const int pixel = i % (s.s0 * s.s1), iy = pixel / s.s1, ix = pixel % s.s1;
    const size_t image = (size_t)(i / (s.s0 * s.s1)) * s.s3 * s.s4 * s.s2 + ch;
    /* windows oy with oy*stride - pad <= iy < oy*stride - pad + kernel */
    const int oy0 = max((iy + s.s7 - s.s5 + s.s6) / s.s6, 0), oy1 = min((iy + s.s7) / s.s6, s.s3 - 1);
    const int ox0 = max((ix + s.s7 - s.s5 + s.s6) / s.s6, 0), ox1 = min((ix + s.s7) / s.s6, s.s4 - 1);
    VEC sum = (VEC)(0.0f);
    for (int oy = oy0; oy <= oy1; oy++)
        for (int ox = ox0; ox <= ox1; ox++) {
            const size_t at = image + (size_t)(oy * s.s4 + ox) * s.s2;
            const INTS here = AS_INTS(load_some(where + at, left_c)) == (INTS)(pixel);
            sum += select((VEC)(0.0f), load_some(dy + at, left_c), here);
        }
    dx += (size_t)i * s.s2 + ch;
    store_some(load_some(dx, left_c) + sum, dx, left_c);
}

kernel void mean_pool_backward(global float *dx, global const float *dy, const int n, const int pixels, const int c)
{
    const int i = (int)get_global_id(0);
    if (i < n) dx[i] += dy[(size_t)(i / c / pixels) * c + i % c] / pixels;
}
