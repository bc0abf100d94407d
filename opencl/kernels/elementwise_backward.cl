/* Float by float, or row by row: activations, the write-back, softmax, the GRU's gates; sums of gradients.
 * shape   dx, dy, x, y: n floats or [rows, classes]; gru: gi, gh, dgi, dgh [n/dim, 3*dim] as r|z|n, h, dh, dy [n/dim, dim]
 * launch  one work-item per VECTOR floats; bias: (columns, rows); softmax: one per row; gru: (VECTORs of dim, rows)
 * cost    reads 8n to 28n bytes, writes 4n to 28n
 * error   |dx - twin| <= 1e-6 * max|dy|, GELU 2e-6
 * twin    twin_activation_backward, twin_add_tanh_backward, twin_softmax_backward, twin_gru_backward
 * note    `replace`: dx is dy and is overwritten; else everything accumulates */
static inline VEC logistic(VEC v)
{
    return 1.0f / (1.0f + exp(-v));
}

static inline VEC slope_of(VEC x, int act)
{
    if (act == ACT_RELU) return select((VEC)(1.0f), (VEC)(0.0f), x <= (VEC)(0.0f));
    if (act == ACT_TANH) {
        const VEC t = tanh(x);
        return 1.0f - t * t;
    }
    if (act == ACT_GELU) return fma(x * 0.39894228f, exp(-0.5f * x * x), normal_below_vec(x));
    if (act == ACT_QUICK_GELU) {
        const VEC s = logistic(1.702f * x);
        return s + 1.702f * x * s * (1.0f - s);
    }
    if (act == ACT_ELU) return select(exp(x), (VEC)(1.0f), x > (VEC)(0.0f));
    if (act == ACT_SIGMOID) {
        const VEC s = logistic(x);
        return s * (1.0f - s);
    }
    return (VEC)(1.0f);
}

kernel void activation_forward(global float *y, global const float *x, const int n, const int act)
{
    const int i = (int)get_global_id(0) * VECTOR;
    if (i < n) store_some(activate_vec(load_some(x + i, n - i), act), y + i, n - i);
}

kernel void activation_backward(global float *dx, global const float *dy, global const float *x, const int n,
                                const int act, const int replace)
{
    const int i = (int)get_global_id(0) * VECTOR;
    if (i >= n) return;
    VEC g = load_some(dy + i, n - i) * slope_of(load_some(x + i, n - i), act);
    if (!replace) g += load_some(dx + i, n - i);
    store_some(g, dx + i, n - i);
}

kernel void bias_forward(global float *y, global const float *bias, const int n, const int columns)
{
    const int i = (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (i < columns) y[row * columns + i] = bias[i];
}

kernel void accumulate(global float *y, global const float *x, const int n)
{
    const int i = (int)get_global_id(0) * VECTOR;
    if (i < n) store_some(load_some(y + i, n - i) + load_some(x + i, n - i), y + i, n - i);
}

kernel void add_tanh_backward(global float *db, global const float *dy, global const float *b, const int n)
{
    const int i = (int)get_global_id(0) * VECTOR;
    if (i >= n) return;
    const VEC g = load_some(dy + i, n - i) * slope_of(load_some(b + i, n - i), ACT_TANH);
    store_some(load_some(db + i, n - i) + g, db + i, n - i);
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

static inline void add_some(global float *y, VEC v, int n)
{
    store_some(load_some(y, n) + v, y, n);
}

/* y = (1 - z) * new + z * h, new = tanh(gi_n + r * gh_n); wanted: 1 dgi, 2 dgh, 4 dh */
kernel void gru_backward(global float *dgi, global float *dgh, global float *dh, global const float *dy,
                         global const float *gi, global const float *gh, global const float *h, const int dim,
                         const int wanted)
{
    const int i = (int)get_global_id(0) * VECTOR, n = dim - i;
    if (n <= 0) return;
    const size_t row = get_global_id(1), state = row * dim + i, at = row * 3 * dim + i, at_z = at + dim,
                 at_n = at_z + dim;
    const VEC r = logistic(load_some(gi + at, n) + load_some(gh + at, n));
    const VEC z = logistic(load_some(gi + at_z, n) + load_some(gh + at_z, n));
    const VEC hidden = load_some(gh + at_n, n), fresh = tanh(fma(r, hidden, load_some(gi + at_n, n)));
    const VEC g = load_some(dy + state, n), d_fresh = g * (1.0f - z) * (1.0f - fresh * fresh);
    const VEC d_z = g * (load_some(h + state, n) - fresh) * z * (1.0f - z), d_r = d_fresh * hidden * r * (1.0f - r);
    if (wanted & 1) {
        add_some(dgi + at, d_r, n);
        add_some(dgi + at_z, d_z, n);
        add_some(dgi + at_n, d_fresh, n);
    }
    if (wanted & 2) {
        add_some(dgh + at, d_r, n);
        add_some(dgh + at_z, d_z, n);
        add_some(dgh + at_n, d_fresh * r, n);
    }
    if (wanted & 4) add_some(dh + state, g * z, n);
}
