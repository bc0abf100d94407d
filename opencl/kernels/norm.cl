/* Normalisations. Batch norm with running statistics is a scale and a shift per channel (convolutions fold it in);
 * layer norm has the mean and the biased variance of each row.
 * shape   batch norm: y, x [rows, channels] as n floats; scale, shift [channels].  layer norm: y, x [rows, width]
 * launch  batch norm: one work-item per float; layer norm: one per row
 * cost    batch norm reads and writes 4n bytes; layer norm reads three times, writes once
 * error   batch norm 1e-6 relative; layer norm |y - twin| <= 1e-5
 * twin    ref_batch_norm_forward, ref_layer_norm_forward
 * back    norm_backward.cl, which also has the batch statistics */
kernel void batch_norm_forward(global float *y, global const float *x, global const float *scale,
                               global const float *shift, const int n, const int channels, const int act)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int c = i % channels;
    y[i] = activate(fma(x[i], scale[c], shift[c]), act);
}

kernel void layer_norm_forward(global float *y, global const float *x, global const float *gamma,
                               global const float *beta, const int rows, const int width, const float eps,
                               const int act)
{
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    x += (size_t)row * width;
    y += (size_t)row * width;
    VEC sums = (VEC)(0.0f), squares = (VEC)(0.0f);
    float sum = 0.0f, square = 0.0f;
    int i = 0;
    for (; i + VECTOR <= width; i += VECTOR) sums += VLOAD(0, x + i);
    for (; i < width; i++) sum += x[i];
    const float mean = (sum + sum_lanes(sums)) / width;
    for (i = 0; i + VECTOR <= width; i += VECTOR) {
        const VEC v = VLOAD(0, x + i) - mean;
        squares = fma(v, v, squares);
    }
    for (; i < width; i++) square = fma(x[i] - mean, x[i] - mean, square);
    const float scale = 1.0f / sqrt((square + sum_lanes(squares)) / width + eps);
    for (i = 0; i + VECTOR <= width; i += VECTOR) {
        const VEC v = fma((VLOAD(0, x + i) - mean) * scale, VLOAD(0, gamma + i), VLOAD(0, beta + i));
        VSTORE(activate_vec(v, act), 0, y + i);
    }
    for (; i < width; i++) y[i] = activate((x[i] - mean) * scale * gamma[i] + beta[i], act);
}
