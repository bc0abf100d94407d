/* Pooling over NHWC.
 * shape   max: x [n,h,w,c] -> y [n,oh,ow,c]; s = h, w, c, oh, ow, kernel, stride, pad; outside of the image is -inf.
 *         mean: x [n,pixels,c] -> y [n,c]
 * launch  max: one work-item per output pixel and vector of channels; mean: one per float of y
 * cost    max reads kernel² * 4 bytes per float of y; mean reads x once
 * error   max exact (a NaN in the window gives NaN); mean |y - twin| <= 1e-6 * mean|x|
 * twin    ref_max_pool_forward, ref_mean_pool_forward
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
