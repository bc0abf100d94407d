/* Linear layers: y = act(x · w + bias (+ residual)); `lowest` is 0 for ReLU, else -INFINITY. Compiled once per tile height, as gemm_<ROWS>.
 * shape   y, residual: [m, n]; x: [m, k], m >= ROWS; w: [panels, k, WIDTH]; bias: [panels * WIDTH];
 *         flags as in tile.cl
 * launch  (tiles of ROWS rows, panels), or the other way round with PANELS_FIRST; the last tile overlaps the one before it and writes only its own rows
 * cost    2mnk multiply-adds; reads w once per tile, x once per panel
 * error   |y - twin| <= 1e-5 * sum|x·w|
 * twin    ref_linear_forward
 * back    matmul.cl: dx = dy · w and dw = dyᵀ · x, with w as it is */
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
JOIN(gemm_, ROWS)(global float *y, global const float *x, global const VEC *w, global const float *bias,
                  global const float *residual, const int flags, const float lowest, const int act, const int m,
                  const int n, const int k)
{
    const int g0 = (int)get_global_id(0), g1 = (int)get_global_id(1), turned = flags & PANELS_FIRST;
    const int tile = turned ? g1 : g0, panel = turned ? g0 : g1;
    const int wanted = tile * ROWS;
    if (wanted >= m) return;
    const int first = min(wanted, m - ROWS), column = panel * WIDTH;
    VEC low[ROWS], high[ROWS];
    global const float *row[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        low[i] = VLOAD(0, bias + column);
        high[i] = VLOAD(1, bias + column);
        row[i] = x + (size_t)(first + i) * k;
    }
    w += (size_t)panel * k * 2;
    for (int s = 0; s < k; s++) {
        const VEC u = w[2 * s], v = w[2 * s + 1];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const VEC a = (VEC)(row[i][s]);
            low[i] = fma(a, u, low[i]);
            high[i] = fma(a, v, high[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const size_t at = (size_t)(first + i) * n + column;
        if (first + i >= wanted)
            tile_store(y + at, flags & HAS_RESIDUAL ? residual + at : 0, low[i], high[i], lowest, n - column);
    }
    if (act > ACT_RELU) tile_activate(y + column, wanted, first + ROWS, n, n - column, act);
}
