/* Products of plain matrices: c = op(a) · b, or += . Compiled once per tile height, as matmul_<ROWS>; as gemm.cl, but b
 * lies as it is, and a's rows may lie across (a weight's gradient sums over the rows of both).
 * shape   c: [m, n], m >= ROWS, n >= WIDTH; b: [k, n]; a: (i, s) at i*a_row + s*a_step;
 *         from: floats into c, a, b; flags: 1 adds, PANELS_FIRST
 * launch  (tiles of ROWS rows, panels of WIDTH columns), or the other way round with PANELS_FIRST; the last tile and the
 *         last panel overlap the ones before them
 *         and write only their own part
 * cost    2mnk multiply-adds; reads b once per tile, a once per panel
 * error   |c - twin| <= 1e-6 * k for numbers in [-1, 1)
 * twin    twin_matmul */
kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
JOIN(matmul_, ROWS)(global float *c, global const float *a, global const float *b, const int m, const int n,
                    const int k, const int a_row, const int a_step, const int flags, const int4 from)
{
    c += from.s0;
    a += from.s1;
    b += from.s2;
    const int x = (int)get_global_id(0), y = (int)get_global_id(1);
    const int wanted = (flags & PANELS_FIRST ? y : x) * ROWS, wanted_column = (flags & PANELS_FIRST ? x : y) * WIDTH;
    if (wanted >= m) return;
    const int first = min(wanted, m - ROWS), column = min(wanted_column, n - WIDTH);
    VEC low[ROWS], high[ROWS];
    global const float *row[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        low[i] = high[i] = (VEC)(0.0f);
        row[i] = a + (size_t)(first + i) * a_row;
    }
    b += column;
    for (int s = 0; s < k; s++) {
        const VEC u = VLOAD(0, b), v = VLOAD(1, b);
        const size_t at = (size_t)s * a_step;
        b += n;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const VEC one = (VEC)(row[i][at]);
            low[i] = fma(one, u, low[i]);
            high[i] = fma(one, v, high[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        if (first + i >= wanted)
            panel_store(c + (size_t)(first + i) * n + column, low[i], high[i], wanted_column - column, flags & 1);
}
