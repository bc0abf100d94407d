/* Gradients of a convolution over NHWC, both as products that read the images where they lie. Compiled once per tile
 * height, as conv_input_<ROWS> and conv_weights_<ROWS>.
 * shape   conv_input: x: dy [images, h, w, c]; w: [panels, taps, c, WIDTH] of pack_weights, taps turned round; y: dx. A
 *         strided convolution is one launch per phase: pixels (phase.s1 + stride*qy, phase.s2 + stride*qx), each with
 *         the taps that reach it; in = h, w, c, taps down, taps across, pad above, pad left, adds;
 *         out = pixels of this phase in all images, qh, qw, columns (x's channels); full = in_h, in_w
 *         conv_weights: partial [slices, taps, …]: rows times columns summed over a slice of the result's lines.
 *         in = h, w, c, taps down, taps across, stride, pad, turned; out = lines, out_h (of one image), out_w, out_c;
 *         size = rows, columns, slices, adds. Rows are dy's channels and columns x's: partial is w's own layout; or,
 *         turned, rows are x's run of c floats and columns dy's: [taps, rows, columns]
 * launch  conv_input: (tiles of ROWS pixels, panels), or the other way round with PANELS_FIRST
 *         conv_weights: (taps * panels * tiles of ROWS rows, slices); the last tile and panel overlap the ones before
 *         them and write only their own part
 * cost    2mnk multiply-adds each; conv_weights reads a slice once per tap, tile and panel: it has to stay in the cache
 * error   |dx - twin|, |dw - twin| <= 1e-6 * terms for numbers in [-1, 1)
 * twin    twin_plain_conv_backward */
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
JOIN(conv_input_, ROWS)(global float *y, global const float *x, global const VEC *w, global const float *zeros,
                        const int flags, const int8 in, const int4 out, const int4 phase, const int2 full)
{
    const int gx = (int)get_global_id(0), gy = (int)get_global_id(1);
    const int tile = flags & PANELS_FIRST ? gy : gx, panel = flags & PANELS_FIRST ? gx : gy;
    const int wanted = tile * ROWS;
    if (wanted >= out.s0) return;
    const int first = min(wanted, out.s0 - ROWS), column = panel * WIDTH;
    const int h = in.s0, width = in.s1, c = in.s2;
    VEC low[ROWS], high[ROWS];
    int top[ROWS], left[ROWS], origin[ROWS], to[ROWS];
    int qx = first % out.s2, qy = first / out.s2 % out.s1, image = first / out.s2 / out.s1;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        low[i] = high[i] = (VEC)(0.0f);
        top[i] = qy - in.s5;
        left[i] = qx - in.s6;
        origin[i] = ((image * h + top[i]) * width + left[i]) * c;
        to[i] = (image * full.s0 + qy * phase.s0 + phase.s1) * full.s1 + qx * phase.s0 + phase.s2;
        const int line_ends = ++qx == out.s2;
        qx = line_ends ? 0 : qx;
        qy += line_ends;
        const int image_ends = qy == out.s1;
        qy = image_ends ? 0 : qy;
        image += image_ends;
    }
    w += (size_t)panel * in.s3 * in.s4 * c * 2;
    for (int down = 0; down < in.s3; down++)
        for (int across = 0; across < in.s4; across++, w += 2 * c) {
            const int shift = (down * width + across) * c;
            global const float *row[ROWS];
            int any = 0;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                const int inside = (uint)(top[i] + down) < (uint)h && (uint)(left[i] + across) < (uint)width;
                row[i] = inside ? x + origin[i] + shift : zeros;
                any |= inside;
            }
            if (!any) continue;
            for (int s = 0; s < c; s++) {
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
        const size_t at = (size_t)to[i] * out.s3 + column;
        if (first + i >= wanted) tile_store(y + at, in.s7 ? y + at : 0, low[i], high[i], -INFINITY, out.s3 - column);
    }
}

kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
JOIN(conv_weights_, ROWS)(global float *partial, global const float *dy, global const float *x, const int8 in,
                          const int4 out, const int4 size)
{
    const int tiles = (size.s0 + ROWS - 1) / ROWS, panels = (size.s1 + WIDTH - 1) / WIDTH;
    const int item = (int)get_global_id(0), slice = (int)get_global_id(1), tap = item / (tiles * panels);
    if (tap >= in.s3 * in.s4) return;
    const int wanted_row = item % tiles * ROWS, wanted_column = item / tiles % panels * WIDTH;
    const int first = min(wanted_row, size.s0 - ROWS), column = min(wanted_column, size.s1 - WIDTH);
    const int down = tap / in.s4, across = tap % in.s4, width = in.s1, c = in.s2, stride = in.s5, pad = in.s6;
    /* pixels x0 to x1 of each line read inside of the image */
    const int reach = pad - across, x0 = reach > 0 ? (reach + stride - 1) / stride : 0;
    const int x1 = min(out.s2, width - 1 + reach < 0 ? 0 : (width - 1 + reach) / stride + 1), n = x1 - x0;
    const int begin = (int)((long)out.s0 * slice / size.s2), end = (int)((long)out.s0 * (slice + 1) / size.s2);
    const int x_step = stride * c, a_step = in.s7 ? x_step : out.s3, b_step = in.s7 ? out.s3 : x_step;
    VEC low[ROWS], high[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) low[i] = high[i] = (VEC)(0.0f);
    int oy = begin % out.s1, image = begin / out.s1;
    for (int line = begin; line < end; line++) {
        const int iy = oy * stride + down - pad;
        global const float *at_x = x + ((size_t)(image * in.s0 + iy) * width + x0 * stride - reach) * c;
        global const float *at_dy = dy + ((size_t)line * out.s2 + x0) * out.s3;
        global const float *a = (in.s7 ? at_x : at_dy) + first, *b = (in.s7 ? at_dy : at_x) + column;
        const int image_ends = ++oy == out.s1;
        oy = image_ends ? 0 : oy;
        image += image_ends;
        if ((uint)iy >= (uint)in.s0) continue;
        for (int s = 0; s < n; s++, a += a_step, b += b_step) {
            const VEC u = VLOAD(0, b), v = VLOAD(1, b);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                const VEC one = (VEC)(a[i]);
                low[i] = fma(one, u, low[i]);
                high[i] = fma(one, v, high[i]);
            }
        }
    }
    const int taps = in.s3 * in.s4, row_step = in.s7 ? size.s1 : taps * size.s1;
    const int tap_step = in.s7 ? size.s0 * size.s1 : size.s1;
    partial += (size_t)slice * taps * size.s0 * size.s1 + (size_t)tap * tap_step + column;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        if (first + i >= wanted_row)
            panel_store(partial + (size_t)(first + i) * row_step, low[i], high[i], wanted_column - column, size.s3);
}
