/* What only moved forward is gathered back: im2col, patches, rows, halves of a concatenation.
 * shape   col2im: dx [images, h, w, c], col [images*out_h*out_w, kernel*kernel, c]; in = h, w, c, kernel, stride, pad, out_h, out_w;
 *         images counted from `from`.  patches_backward: dx [n, channels, size, size], dy [n*grid², channels*patch²]
 *         add_block: y [items, y_stride] from y_at on += x [items, x_stride] from x_at on, `width` floats each
 * launch  col2im: (VECTORs of c, pixels); patches: one work-item per float of dx; add_block: (width, items)
 * cost    col2im reads kernel² floats at most per float of dx; the others read 8 and write 4 bytes per float
 * error   col2im 1e-6 * kernel² * max|col|; the others exact
 * twin    twin_plain_conv_backward, twin_patches_backward, twin_tokens_backward, twin_row_backward, twin_concat_backward */
kernel void col2im(global float *dx, global const float *col, const int8 in, const int from)
{
    const int ch = (int)get_global_id(0) * VECTOR, pixel = (int)get_global_id(1);
    const int h = in.s0, w = in.s1, c = in.s2, size = in.s3, stride = in.s4, pad = in.s5, oh = in.s6, ow = in.s7;
    if (ch >= c) return;
    const int ix = pixel % w, iy = pixel / w % h, image = pixel / w / h;
    VEC sum = (VEC)(0.0f);
    for (int ky = 0; ky < size; ky++) {
        const int top = iy + pad - ky, oy = top / stride;
        if (top < 0 || oy * stride != top || oy >= oh) continue;
        for (int kx = 0; kx < size; kx++) {
            const int left = ix + pad - kx, ox = left / stride;
            if (left < 0 || ox * stride != left || ox >= ow) continue;
            const size_t row = ((size_t)image * oh + oy) * ow + ox;
            sum += load_some(col + (row * size * size + ky * size + kx) * c + ch, c - ch);
        }
    }
    dx += (size_t)(from * h * w + pixel) * c + ch;
    store_some(load_some(dx, c - ch) + sum, dx, c - ch);
}

/* im2col by whole rows of taps, which lie side by side in the image: (rows, 1). */
kernel void im2col_rows(global float *restrict y, global const float *restrict x, const int8 in, const int from,
                        const int rows)
{
    const int row = (int)get_global_id(0);
    const int h = in.s0, w = in.s1, c = in.s2, size = in.s3, run = size * c;
    if (row >= rows) return;
    const int top = row / in.s7 % in.s6 * in.s4 - in.s5, left = row % in.s7 * in.s4 - in.s5;
    x += (size_t)(row / in.s7 / in.s6 + from) * h * w * c;
    y += (size_t)row * size * run;
    for (int ky = 0; ky < size; ky++, y += run) {
        const int iy = top + ky, inside = iy >= 0 && iy < h;
        const int start = inside ? clamp(-left, 0, size) * c : run, end = inside ? clamp(w - left, 0, size) * c : run;
        global const float *line = x + ((long)iy * w + left) * c;
        for (int i = 0; i < start; i++) y[i] = 0.0f;
        for (int i = start; i < end; i += VECTOR) store_some(load_some(line + i, end - i), y + i, end - i);
        for (int i = max(start, end); i < run; i++) y[i] = 0.0f;
    }
}

kernel void patches_backward(global float *dx, global const float *dy, const int n, const int channels, const int size,
                             const int patch)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int x = i % size, y = i / size % size, c = i / size / size % channels, item = i / size / size / channels;
    const int grid = size / patch, px = x / patch, py = y / patch;
    if (px >= grid || py >= grid) return; /* a rest that no patch covers */
    const size_t row = ((size_t)item * grid + py) * grid + px;
    dx[i] += dy[((row * channels + c) * patch + y % patch) * patch + x % patch];
}

/* `clear`: x becomes 0 where it was read. */
kernel void add_block(global float *y, global float *x, const int width, const int y_stride, const int y_at,
                      const int x_stride, const int x_at, const int what)
{
    const int i = (int)get_global_id(0);
    const size_t item = get_global_id(1);
    if (i >= width) return;
    global float *from = x + item * x_stride + x_at + i;
    if (what & 1) y[item * y_stride + y_at + i] += *from;
    if (what & 2) *from = 0.0f;
}
