/* Softmax over the classes of each row.
 * shape   y, x: [rows, classes] f32 row-major; a row needs one finite logit; y may be x
 * launch  one work-item per row
 * cost    N = rows*classes: reads 12N bytes, writes 8N, N exp
 * error   |y - twin| <= 1e-6; a logit of -INFINITY gives exactly 0
 * twin    ref_softmax_forward
 * back    elementwise_backward.cl */
kernel void softmax_forward(global float *y, global const float *x, const ulong rows, const ulong classes)
{
    const size_t row = get_global_id(0);
    if (row >= rows) return;
    x += row * classes;
    y += row * classes;

    float top = x[0];
    for (ulong c = 1; c < classes; c++) top = fmax(top, x[c]);
    float sum = 0.0f;
    for (ulong c = 0; c < classes; c++) sum += y[c] = exp(x[c] - top);
    for (ulong c = 0; c < classes; c++) y[c] /= sum;
}
