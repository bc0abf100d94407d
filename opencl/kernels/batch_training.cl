/* What training a convolutional network needs besides its products: weights packed at each step, batch norm with the
 * residual and ReLU behind it in one pass, and with ReLU and max pooling behind it (the stem).
 * shape   pack_weights: to [panels, taps, run, 2*VECTOR]; s = columns, run, taps across, first; step = floats of w from
 *         one column, row of the run, tap down, tap across to the next.  fold_turned: dw [columns, rows] += the sum of
 *         partial [slices, rows, columns].  Norms: x, y, dx, dy, residual [rows, columns]; saved: means | scales; sums:
 *         of g | of g * xhat; s = rows, columns, slices, flags.  Pool: x [images, h, w, c] -> y, peak, where
 *         [images, oh, ow, c]; s = h, w, c, oh, ow, kernel, stride, pad
 * launch  pack_weights: (PACK_ROWS of run, panels * taps); fold_weights: FOLDED vectors of w; fold_turned: (columns,
 *         rows); norms: (VECTORs of columns, slices);
 *         pool_forward: (VECTORs of c, windows); pool_backward: (VECTORs of c, pixels)
 * cost    each float once per operand; the backward of a norm reads g and x twice; pool_forward reads kernel² per window
 * error   1e-5 * max|result|
 * twin    twin_plain_conv, twin_batch_norm with twin_activation and twin_max_pool behind it, and their backward
 * note    g = dy where the result is above 0. The sums over the stem's pixels need only the windows' maxima (peak holds
 *         x there): no other pixel has a gradient. */
#define NORM_RESIDUAL 1 /* forward: adds `residual` */
#define NORM_RELU     2
#define NORM_MASK_Y   4 /* backward: g from the result y, and written over dy; otherwise NORM_RELU forms y again */
#define NORM_MOVING   8 /* mean and variance move with x */

#define PACK_ROWS 16
kernel void pack_weights(global float *to, global const float *w, const int4 s, const int taps, const int4 step)
{
    const int first = (int)get_global_id(0) * PACK_ROWS, end = min(first + PACK_ROWS, s.s1);
    const int tap = (int)get_global_id(1) % taps, panel = (int)get_global_id(1) / taps;
    const int column = panel * 2 * VECTOR, n = min(s.s0 - column, 2 * VECTOR);
    to += (size_t)(panel * taps + tap) * s.s1 * 2 * VECTOR;
    w += s.s3 + (tap / s.s2) * step.s2 + (tap % s.s2) * step.s3 + column * step.s0;
    for (int r = first; r < end; r++) {
        global const float *from = w + r * step.s1;
        global float *row = to + r * 2 * VECTOR;
        if (step.s0 == 1 && n == 2 * VECTOR) {
            VSTORE(VLOAD(0, from), 0, row);
            VSTORE(VLOAD(1, from), 1, row);
        } else {
            for (int i = 0; i < n; i++) row[i] = from[i * step.s0];
            for (int i = n; i < 2 * VECTOR; i++) row[i] = 0.0f;
        }
    }
}

/* dw[i] += the sum of partial [slices, n] at i; FOLDED vectors a work-item. */
#define FOLDED 4
kernel void fold_weights(global float *dw, global const float *partial, const int slices, const int n)
{
    const int first = (int)get_global_id(0) * FOLDED * VECTOR;
    if (first >= n) return;
    if (n - first < FOLDED * VECTOR) {
        for (int i = first; i < n; i++) {
            float sum = 0.0f;
            for (int s = 0; s < slices; s++) sum += partial[(size_t)s * n + i];
            dw[i] += sum;
        }
        return;
    }
    VEC sum[FOLDED];
#pragma unroll
    for (int k = 0; k < FOLDED; k++) sum[k] = (VEC)(0.0f);
    partial += first;
    for (int s = 0; s < slices; s++, partial += n)
#pragma unroll
        for (int k = 0; k < FOLDED; k++) sum[k] += VLOAD(k, partial);
    dw += first;
#pragma unroll
    for (int k = 0; k < FOLDED; k++) VSTORE(VLOAD(k, dw) + sum[k], k, dw);
}

kernel void fold_turned(global float *dw, global const float *partial, const int slices, const int rows,
                        const int columns)
{
    const int column = (int)get_global_id(0), row = (int)get_global_id(1);
    if (column >= columns) return;
    float sum = 0.0f;
    partial += (size_t)row * columns + column;
    for (int s = 0; s < slices; s++) sum += partial[(size_t)s * rows * columns];
    dw[(size_t)column * rows + row] += sum;
}

static inline int slice_begin(int rows, int slices, int slice)
{
    return (int)((long)rows * slice / slices);
}

static inline VEC normalised(VEC x, VEC mean, VEC scale, VEC shift)
{
    return fma(x - mean, scale, shift);
}

kernel void norm_forward(global float *y, global const float *x, global const float *residual,
                         global const float *saved, global const float *gamma, global const float *beta, const int4 s)
{
    const int columns = s.s1, c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_begin(s.s0, s.s2, slice + 1);
    const VEC mean = load_some(saved + c, n), scale = load_some(saved + columns + c, n) * load_some(gamma + c, n),
              shift = load_some(beta + c, n);
    for (int r = slice_begin(s.s0, s.s2, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        VEC v = normalised(load_some(x + at, n), mean, scale, shift);
        if (s.s3 & NORM_RESIDUAL) v += load_some(residual + at, n);
        if (s.s3 & NORM_RELU) v = select(v, (VEC)(0.0f), v < (VEC)(0.0f));
        store_some(v, y + at, n);
    }
}

kernel void norm_sums(global float *partial, global float *dy, global const float *y, global const float *x,
                      global const float *saved, global const float *gamma, global const float *beta, const int4 s)
{
    const int columns = s.s1, c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_begin(s.s0, s.s2, slice + 1);
    const VEC mean = load_some(saved + c, n), rate = load_some(saved + columns + c, n),
              scale = rate * load_some(gamma + c, n), shift = load_some(beta + c, n);
    VEC sum = (VEC)(0.0f), product = (VEC)(0.0f);
    for (int r = slice_begin(s.s0, s.s2, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        const VEC v = load_some(x + at, n);
        VEC g = load_some(dy + at, n);
        if (s.s3 & NORM_MASK_Y) {
            g = select((VEC)(0.0f), g, load_some(y + at, n) > (VEC)(0.0f));
            store_some(g, dy + at, n);
        } else if (s.s3 & NORM_RELU) {
            g = select((VEC)(0.0f), g, normalised(v, mean, scale, shift) > (VEC)(0.0f));
        }
        sum += g;
        product = fma(g, (v - mean) * rate, product);
    }
    partial += (size_t)slice * columns * 2 + c;
    store_some(sum, partial, n);
    store_some(product, partial + columns, n);
}

/* dx is written, and may be dy; with NORM_MASK_Y dy is g already. */
kernel void norm_backward(global float *dx, global const float *dy, global const float *x, global const float *saved,
                          global const float *gamma, global const float *beta, global const float *sums, const int4 s)
{
    const int columns = s.s1, c = (int)get_global_id(0) * VECTOR, slice = (int)get_global_id(1), n = columns - c;
    if (n <= 0) return;
    const int end = slice_begin(s.s0, s.s2, slice + 1), moving = s.s3 & NORM_MOVING;
    const int again = (s.s3 & (NORM_MASK_Y | NORM_RELU)) == NORM_RELU;
    const VEC mean = load_some(saved + c, n), rate = load_some(saved + columns + c, n),
              scale = rate * load_some(gamma + c, n), shift = load_some(beta + c, n);
    const VEC flat = moving ? load_some(sums + c, n) / (float)s.s0 : (VEC)(0.0f),
              tilt = moving ? load_some(sums + columns + c, n) * rate / (float)s.s0 : (VEC)(0.0f);
    for (int r = slice_begin(s.s0, s.s2, slice); r < end; r++) {
        const size_t at = (size_t)r * columns + c;
        const VEC v = load_some(x + at, n);
        VEC g = load_some(dy + at, n);
        if (again) g = select((VEC)(0.0f), g, normalised(v, mean, scale, shift) > (VEC)(0.0f));
        store_some(scale * (g - flat - (v - mean) * tilt), dx + at, n);
    }
}

#define INTS    JOIN(int, VECTOR)
#define AS_INTS JOIN(as_int, VECTOR)
#define AS_VEC  JOIN(as_float, VECTOR)

/* y = max over the window of relu(norm(x)); peak: x there; where: the place iy * w + ix, as the bits of an int. */
kernel void norm_pool_forward(global float *y, global float *peak, global float *where, global const float *x,
                              global const float *saved, global const float *gamma, global const float *beta,
                              const int8 s)
{
    const int ch = (int)get_global_id(0) * VECTOR, window = (int)get_global_id(1), n = s.s2 - ch;
    if (n <= 0) return;
    const int top = window / s.s4 % s.s3 * s.s6 - s.s7, left = window % s.s4 * s.s6 - s.s7;
    const int y0 = max(top, 0), y1 = min(top + s.s5, s.s0), x0 = max(left, 0), x1 = min(left + s.s5, s.s1);
    const VEC mean = load_some(saved + ch, n), scale = load_some(saved + s.s2 + ch, n) * load_some(gamma + ch, n),
              shift = load_some(beta + ch, n);
    x += (size_t)(window / s.s4 / s.s3) * s.s0 * s.s1 * s.s2 + ch;
    VEC best = (VEC)(-INFINITY), raw = (VEC)(0.0f);
    INTS at = (INTS)(y0 * s.s1 + x0);
    for (int iy = y0; iy < y1; iy++)
        for (int ix = x0; ix < x1; ix++) {
            const VEC r = load_some(x + (iy * s.s1 + ix) * s.s2, n);
            VEC v = normalised(r, mean, scale, shift);
            v = select(v, (VEC)(0.0f), v < (VEC)(0.0f));
            const INTS stays = v <= best || isnan(best);
            best = select(v, best, stays);
            raw = select(r, raw, stays);
            at = select((INTS)(iy * s.s1 + ix), at, stays);
        }
    const size_t to = (size_t)window * s.s2 + ch;
    store_some(best, y + to, n);
    store_some(raw, peak + to, n);
    store_some(AS_VEC(at), where + to, n);
}

/* dx is written; dy is g; rows: of x, in all images. */
kernel void norm_pool_backward(global float *dx, global const float *dy, global const float *where,
                               global const float *x, global const float *saved, global const float *gamma,
                               global const float *sums, const int8 s, const int rows, const int moving)
{
    const int ch = (int)get_global_id(0) * VECTOR, i = (int)get_global_id(1), n = s.s2 - ch;
    if (n <= 0) return;
    const int pixel = i % (s.s0 * s.s1), iy = pixel / s.s1, ix = pixel % s.s1;
    const size_t image = (size_t)(i / (s.s0 * s.s1)) * s.s3 * s.s4 * s.s2 + ch;
    /* windows oy with oy*stride - pad <= iy < oy*stride - pad + kernel */
    const int oy0 = max((iy + s.s7 - s.s5 + s.s6) / s.s6, 0), oy1 = min((iy + s.s7) / s.s6, s.s3 - 1);
    const int ox0 = max((ix + s.s7 - s.s5 + s.s6) / s.s6, 0), ox1 = min((ix + s.s7) / s.s6, s.s4 - 1);
    const VEC mean = load_some(saved + ch, n), rate = load_some(saved + s.s2 + ch, n);
    const VEC flat = moving ? load_some(sums + ch, n) / (float)rows : (VEC)(0.0f),
              tilt = moving ? load_some(sums + s.s2 + ch, n) * rate / (float)rows : (VEC)(0.0f);
    VEC g = (VEC)(0.0f);
    for (int oy = oy0; oy <= oy1; oy++)
        for (int ox = ox0; ox <= ox1; ox++) {
            const size_t at = image + (size_t)(oy * s.s4 + ox) * s.s2;
            const INTS here = AS_INTS(load_some(where + at, n)) == (INTS)(pixel);
            g += select((VEC)(0.0f), load_some(dy + at, n), here);
        }
    const size_t to = (size_t)i * s.s2 + ch;
    store_some(rate * load_some(gamma + ch, n) * (g - flat - (load_some(x + to, n) - mean) * tilt), dx + to, n);
}
