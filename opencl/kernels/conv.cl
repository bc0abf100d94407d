/* Convolution as an implicit GEMM over NHWC: a row of the product is an output pixel, the sum runs over taps and
 * channels. A tap outside of the image reads `zeros`. Compiled once per tile height, as conv_<ROWS>.
 * shape   x: [images, h, w, c]; w: [panels, taps, run, WIDTH]; residual: [m = images*out_h*out_w, n]; m >= ROWS;
 *         y: n floats from the at-th of each of m rows of `apart` floats, so that a block's layers write side by side;
 *         in = h, w, c, run, taps down, taps across, stride, pad; out = m, out_h, out_w, n, apart, at. `run` floats are
 *         summed per tap: c, or kernel*c with one tap across, when x has its border already; zeros: [run]
 *         flags as in tile.cl
 * launch  (tiles of ROWS pixels, panels), or the other way round with PANELS_FIRST; the last tile overlaps the one before it and writes only its own rows
 * cost    2*m*n*taps*run multiply-adds at most; a tap that no pixel of the tile has is skipped
 * error   |y - twin| <= 1e-5 * sum|x·w|
 * twin    ref_conv_forward
 * back    moves_backward.cl and matmul.cl: products over im2col rows */
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
JOIN(conv_, ROWS)(global float *y, global const float *x, global const VEC *w, global const float *bias,
                  global const float *residual, global const float *zeros, const int flags, const float lowest,
                  const int act, const int8 in, const int8 out)
{
    const int g0 = (int)get_global_id(0), g1 = (int)get_global_id(1), turned = flags & PANELS_FIRST;
    const int tile = turned ? g1 : g0, panel = turned ? g0 : g1;
    const int wanted = tile * ROWS;
    if (wanted >= out.s0) return;
    const int first = min(wanted, out.s0 - ROWS), column = panel * WIDTH;
    const int h = in.s0, width = in.s1, c = in.s2, run = in.s3;
    VEC low[ROWS], high[ROWS];
    int top[ROWS], left[ROWS], origin[ROWS];
    /* counted on from the first pixel: a division per pixel would cost as much as a small product */
    int ox = first % out.s2, oy = first / out.s2 % out.s1, image = first / out.s2 / out.s1;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        low[i] = VLOAD(0, bias + column);
        high[i] = VLOAD(1, bias + column);
        top[i] = oy * in.s6 - in.s7;
        left[i] = ox * in.s6 - in.s7;
        origin[i] = ((image * h + top[i]) * width + left[i]) * c;
        const int line_ends = ++ox == out.s2;
        ox = line_ends ? 0 : ox;
        oy += line_ends;
        const int image_ends = oy == out.s1;
        oy = image_ends ? 0 : oy;
        image += image_ends;
    }
    w += (size_t)panel * in.s4 * in.s5 * run * 2;
    for (int down = 0; down < in.s4; down++)
        for (int across = 0; across < in.s5; across++, w += 2 * run) {
            const int shift = (down * width + across) * c;
            global const float *row[ROWS];
            if (flags & ALL_INSIDE) {
#pragma unroll
                for (int i = 0; i < ROWS; i++) row[i] = x + origin[i] + shift;
            } else {
                int any = 0;
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    const int inside = (uint)(top[i] + down) < (uint)h && (uint)(left[i] + across) < (uint)width;
                    row[i] = inside ? x + origin[i] + shift : zeros;
                    any |= inside;
                }
                if (!any) continue;
            }
            for (int s = 0; s < run; s++) {
                const VEC u = w[2 * s], v = w[2 * s + 1];
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    const VEC a = (VEC)(row[i][s]);
                    low[i] = fma(a, u, low[i]);
                    high[i] = fma(a, v, high[i]);
                }
            }
        }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const size_t at = (size_t)(first + i) * out.s3 + column;
        global float *to = y + (size_t)(first + i) * out.s4 + out.s5 + column;
        if (first + i >= wanted)
            tile_store(to, flags & HAS_RESIDUAL ? residual + at : 0, low[i], high[i], lowest, out.s3 - column);
    }
    if (act > ACT_RELU) tile_activate(y + out.s5 + column, wanted, first + ROWS, out.s4, out.s3 - column, act);
}
