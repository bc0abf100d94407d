/* Float by float, or row by row: activations, the write-back, softmax, the GRU's gates; sums of gradients.
 * shape   dx, dy, x, y: n floats or [rows, classes]; gru: gi, gh, dgi, dgh [n/dim, 3*dim] as r|z|n, h, dh, dy [n/dim, dim]
 * launch  one work-item per float; softmax: per row
 * cost    reads 8n to 28n bytes, writes 4n to 28n
 * error   |dx - twin| <= 1e-6 * max|dy|, GELU 2e-6
 * twin    twin_activation_backward, twin_add_tanh_backward, twin_softmax_backward, twin_gru_backward
 * note    `replace`: dx is dy and is overwritten; else everything accumulates */
static inline float logistic(float v)
{
    return 1.0f / (1.0f + exp(-v));
}

static inline float slope_of(float x, int act)
{
    if (act == ACT_RELU) return x <= 0.0f ? 0.0f : 1.0f;
    if (act == ACT_TANH) {
        const float t = tanh(x);
        return 1.0f - t * t;
    }
    if (act == ACT_GELU) return 0.5f * erfc(x * -0.70710678f) + x * 0.39894228f * exp(-0.5f * x * x);
    if (act == ACT_QUICK_GELU) {
        const float s = logistic(1.702f * x);
        return s + 1.702f * x * s * (1.0f - s);
    }
    if (act == ACT_ELU) return x > 0.0f ? 1.0f : exp(x);
    if (act == ACT_SIGMOID) {
        const float s = logistic(x);
        return s * (1.0f - s);
    }
    return 1.0f;
}

kernel void activation_forward(global float *y, global const float *x, const int n, const int act)
{
    const int i = (int)get_global_id(0);
    if (i < n) y[i] = activate(x[i], act);
}

kernel void activation_backward(global float *dx, global const float *dy, global const float *x, const int n,
                                const int act, const int replace)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const float g = dy[i] * slope_of(x[i], act);
    dx[i] = replace ? g : dx[i] + g;
}

kernel void bias_forward(global float *y, global const float *bias, const int n, const int columns)
{
    const int i = (int)get_global_id(0);
    if (i < n) y[i] = bias[i % columns];
}

kernel void accumulate(global float *y, global const float *x, const int n)
{
    const int i = (int)get_global_id(0);
    if (i < n) y[i] += x[i];
}

kernel void add_tanh_backward(global float *db, global const float *dy, global const float *b, const int n)
{
    const int i = (int)get_global_id(0);
    if (i < n) db[i] += dy[i] * slope_of(b[i], ACT_TANH);
}

kernel void softmax_backward(global float *dx, global const float *dy, global const float *y, const int rows,
                             const int classes, const int replace)
{
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    const size_t at = (size_t)row * classes;
    dx += at;
    dy += at;
    y += at;
    float sum = 0.0f;
    for (int c = 0; c < classes; c++) sum = fma(dy[c], y[c], sum);
    for (int c = 0; c < classes; c++) {
        const float g = y[c] * (dy[c] - sum);
        dx[c] = replace ? g : dx[c] + g;
    }
}

/* y = (1 - z) * new + z * h, new = tanh(gi_n + r * gh_n); wanted: 1 dgi, 2 dgh, 4 dh */
kernel void gru_backward(global float *dgi, global float *dgh, global float *dh, global const float *dy,
                         global const float *gi, global const float *gh, global const float *h, const int n,
                         const int dim, const int wanted)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const size_t at = (size_t)(i / dim) * 3 * dim + i % dim, at_z = at + dim, at_n = at_z + dim;
    const float r = logistic(gi[at] + gh[at]), z = logistic(gi[at_z] + gh[at_z]), hidden = gh[at_n];
    const float fresh = tanh(fma(r, hidden, gi[at_n])), g = dy[i];
    const float d_fresh = g * (1.0f - z) * (1.0f - fresh * fresh);
    const float d_z = g * (h[i] - fresh) * z * (1.0f - z), d_r = d_fresh * hidden * r * (1.0f - r);
    if (wanted & 1) {
        dgi[at] += d_r;
        dgi[at_z] += d_z;
        dgi[at_n] += d_fresh;
    }
    if (wanted & 2) {
        dgh[at] += d_r;
        dgh[at_z] += d_z;
        dgh[at_n] += d_fresh * r;
    }
    if (wanted & 4) dh[i] += g * z;
}
