/* Float by float: the student's write-back, what follows a product that CLBlast made, and zeros for new memory.
 * shape   y, a, b, residual: n floats; epilogue: y [n/columns, columns], bias [columns]
 * launch  one work-item per float; zero_fill: per VECTOR floats
 * cost    reads 8n bytes, writes 4n
 * error   |y - twin| <= 1e-6
 * twin    ref_add_tanh_forward; epilogue through ref_linear_forward
 * back    elementwise_backward.cl */
kernel void zero_fill(global float *y, const ulong n)
{
    const size_t at = get_global_id(0) * VECTOR;
    if (at < n) store_some((VEC)(0.0f), y + at, (int)min(n - at, (ulong)VECTOR));
}

kernel void add_tanh_forward(global float *y, global const float *a, global const float *b, const ulong n)
{
    const size_t i = get_global_id(0);
    if (i < n) y[i] = a[i] + tanh(b[i]);
}

kernel void epilogue_forward(global float *y, global const float *bias, global const float *residual, const ulong n,
                             const ulong columns, const int has_residual, const int act)
{
    const size_t i = get_global_id(0);
    if (i >= n) return;
    float v = y[i] + bias[i % columns];
    if (has_residual) v += residual[i];
    y[i] = activate(v, act);
}
