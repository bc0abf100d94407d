/* The gates of a GRU cell, after its two products: r, z = sigmoid(i + h), n = tanh(i_n + r * h_n), y = n + z * (h - n).
 * shape   gi, gh: [rows, 3, dim] as r, z, n; h, y: [rows, dim]; y may be h
 * launch  (vectors of a row, rows); a row's rest is done float by float
 * cost    reads 28 bytes per float of y, writes 4; three exp
 * error   |y - twin| <= 2e-6 * max(1, |h|)
 * twin    ref_gru_forward
 * back    elementwise_backward.cl */
#define GATES(name, exp_of, T)                                                                                         \
    static inline T name(T ir, T iz, T in, T hr, T hz, T hn, T h)                                                      \
    {                                                                                                                  \
        const T r = 1.0f / (1.0f + exp_of(-(ir + hr))), z = 1.0f / (1.0f + exp_of(-(iz + hz))),                        \
                n = tanh(fma(r, hn, in));                                                                              \
        return fma(z, h - n, n);                                                                                       \
    }
GATES(gates, exponential, float)
GATES(gates_vec, exponential_vec, VEC)

kernel void gru_forward(global float *y, global const float *gi, global const float *gh, global const float *h,
                        const int dim)
{
    const int column = (int)get_global_id(0) * VECTOR, row = (int)get_global_id(1);
    if (column >= dim) return;
    gi += (size_t)row * 3 * dim;
    gh += (size_t)row * 3 * dim;
    h += (size_t)row * dim;
    y += (size_t)row * dim;
    if (column + VECTOR <= dim) {
        VSTORE(gates_vec(VLOAD(0, gi + column), VLOAD(0, gi + dim + column), VLOAD(0, gi + 2 * dim + column),
                         VLOAD(0, gh + column), VLOAD(0, gh + dim + column), VLOAD(0, gh + 2 * dim + column),
                         VLOAD(0, h + column)),
               0, y + column);
        return;
    }
    for (int i = column; i < dim; i++)
        y[i] = gates(gi[i], gi[dim + i], gi[2 * dim + i], gh[i], gh[dim + i], gh[2 * dim + i], h[i]);
}
