/* Copies that make a convolution a plain product: im2col for CLBlast, a zero border for stems with few channels.
 * shape   im2col: y [rows, kernel*kernel, c], rows = images*out_h*out_w counted from image `from`;
 *         in = h, w, c, kernel, stride, pad, out_h, out_w.   border_copy: x [n,h,w,c] -> y [n, h+2pad, w+2pad, c]
 * launch  im2col: (rows, kernel*kernel); border_copy: one work-item per bordered line
 * cost    reads and writes 4 bytes per float of y
 * error   exact
 * twin    ref_im2col; border_copy is tested through ref_conv_forward
 * back    moves_backward.cl: a gather, no atomics */
kernel void im2col(global float *restrict y, global const float *restrict x, const int8 in, const ulong from,
                   const ulong rows)
{
    const size_t row = get_global_id(0), tap = get_global_id(1);
    if (row >= rows) return;
    const int h = in.s0, w = in.s1, c = in.s2, kernel_size = in.s3;
    const size_t ox = row % in.s7, oy = row / in.s7 % in.s6, image = row / in.s7 / in.s6 + from;
    const int iy = (int)oy * in.s4 - in.s5 + (int)tap / kernel_size,
              ix = (int)ox * in.s4 - in.s5 + (int)tap % kernel_size;
    global float *to = y + (row * kernel_size * kernel_size + tap) * c;
    if (iy >= 0 && iy < h && ix >= 0 && ix < w) {
        global const float *at = x + ((image * h + iy) * w + ix) * c;
        for (int i = 0; i < c; i++) to[i] = at[i];
    } else {
        for (int i = 0; i < c; i++) to[i] = 0.0f;
    }
}

kernel void border_copy(global float *restrict y, global const float *restrict x, const int n, const int h, const int w,
                        const int c, const int pad)
{
    const int line = (int)get_global_id(0), lines = h + 2 * pad, floats = (w + 2 * pad) * c;
    if (line >= n * lines) return;
    const int from = line % lines - pad;
    global float *to = y + (size_t)line * floats;
    if (from < 0 || from >= h) {
        for (int i = 0; i < floats; i++) to[i] = 0.0f;
        return;
    }
    global const float *at = x + ((size_t)(line / lines) * h + from) * w * c;
    for (int i = 0; i < pad * c; i++) to[i] = to[floats - 1 - i] = 0.0f;
    for (int i = 0; i < w * c; i++) to[pad * c + i] = at[i];
}
