/* Pooling over NHWC.
 * shape   max: x [n,h,w,c] -> y [n,oh,ow,c]; s = h, w, c, oh, ow, kernel, stride, pad; outside of the image is -inf.
 *         mean: x [n,pixels,c] -> y [n,c]
 *         norm: c floats from the at-th of each pixel's row of `apart` floats, of x [n,h,w] to y [n, h/window, w/window]:
 *         y = mean over the window of act(x * scale + shift), without `normed` of x itself. A rest at the right and the
 *         bottom is left out. s = h, w, c, window, x apart, x at, y apart, y at
 * launch  max: one work-item per output pixel and vector of channels; mean: one per float of y; norm: one per output
 *         pixel and `share` channels
 * cost    max reads kernel² * 4 bytes per float of y; mean and norm read x once
 * error   max exact (a NaN in the window gives NaN); mean, norm |y - twin| <= 1e-6 * mean|x|
 * twin    ref_max_pool_forward, ref_mean_pool_forward, ref_norm_pool_forward
 * back    pool_backward.cl, which finds the maximum again */
kernel void max_pool_forward(global float *y, global const float *x, const int n, const int8 s)
{
    const int h = s.s0, w = s.s1, c = s.s2, oh = s.s3, ow = s.s4, size = s.s5;
    const int blocks = (c + VECTOR - 1) / VECTOR;
    const int pixel = (int)get_global_id(0) / blocks, channel = (int)get_global_id(0) % blocks * VECTOR;
    if (pixel >= n * oh * ow) return;
    const int top = pixel / ow % oh * s.s6 - s.s7, left = pixel % ow * s.s6 - s.s7;
    const int y0 = max(top, 0), y1 = min(top + size, h), x0 = max(left, 0), x1 = min(left + size, w);
    global const float *image = x + (size_t)(pixel / ow / oh) * h * w * c + channel;
    y += (size_t)pixel * c + channel;
    if (channel + VECTOR <= c) {
        VEC best = (VEC)(-INFINITY);
        for (int iy = y0; iy < y1; iy++)
            for (int ix = x0; ix < x1; ix++) {
                const VEC v = VLOAD(0, image + (iy * w + ix) * c);
                best = select(v, best, v <= best || isnan(best));
            }
        VSTORE(best, 0, y);
        return;
    }
    for (int i = 0; i < c - channel; i++) {
        float best = -INFINITY;
        for (int iy = y0; iy < y1; iy++)
            for (int ix = x0; ix < x1; ix++) {
                const float v = image[(iy * w + ix) * c + i];
                best = v <= best || isnan(best) ? best : v;
            }
        y[i] = best;
    }
}

kernel void mean_pool_forward(global float *y, global const float *x, const int n, const int pixels, const int c)
{
    const int i = (int)get_global_id(0);
    if (i >= n * c) return;
    x += (size_t)(i / c) * pixels * c + i % c;
    float sum = 0.0f;
    for (int p = 0; p < pixels; p++) sum += x[(size_t)p * c];
    y[i] = sum / pixels;
}

kernel void norm_pool_forward(global float *y, global const float *x, global const float *scale,
                              global const float *shift, const int n, const int8 s, const int share, const int normed,
                              const int act)
{
    const int h = s.s0, w = s.s1, c = s.s2, window = s.s3, oh = h / window, ow = w / window;
    const int blocks = (c + share - 1) / share;
    const int pixel = (int)get_global_id(0) / blocks, from = (int)get_global_id(0) % blocks * share;
    if (pixel >= n * oh * ow) return;
    const int end = min(from + share, c), image = pixel / ow / oh;
    const float part = 1.0f / (window * window);
    global const float *corner =
        x + ((size_t)(image * h + pixel / ow % oh * window) * w + pixel % ow * window) * s.s4 + s.s5;
    y += (size_t)pixel * s.s6 + s.s7;
    for (int i = from; i < end; i += VECTOR) {
        const int some = end - i;
        const VEC a = normed ? load_some(scale + i, some) : (VEC)(1.0f);
        const VEC b = normed ? load_some(shift + i, some) : (VEC)(0.0f);
        VEC sum = (VEC)(0.0f);
        for (int iy = 0; iy < window; iy++)
            for (int ix = 0; ix < window; ix++)
                sum += activate_vec(fma(load_some(corner + (size_t)(iy * w + ix) * s.s4 + i, some), a, b), act);
        store_some(sum * part, y + i, some);
    }
}
