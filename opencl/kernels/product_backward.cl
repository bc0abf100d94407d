/* Products that matmul.cl does not make: rows times rows (a linear layer on plain weights), and small or odd ones.
 * shape   dot_tile: c [m, n] (+)= a [m, k] · b [n, k]ᵀ.  product_plain: a (i, s) at i*at.s0 + s*at.s1, b (s, j) at
 *         s*at.s2 + j*at.s3; from: floats into c, a, b
 * launch  dot_tile: (groups of DOWN rows, groups of ACROSS columns), or the other way round; product_plain: (n, m)
 * cost    2mnk multiply-adds; dot_tile reads b once per DOWN rows, a once per ACROSS columns
 * error   |c - twin| <= 1e-6 * k for numbers in [-1, 1)
 * twin    twin_matmul */
#define ACROSS_FIRST 2
#if VECTOR == 16
#define DOWN   4 /* accumulators fill the registers */
#define ACROSS 6
static inline float total(float16 v)
{
    const float8 a = v.lo + v.hi;
    const float4 b = a.lo + a.hi;
    return (b.s0 + b.s2) + (b.s1 + b.s3);
}
#else
#define DOWN   2
#define ACROSS 4
#if VECTOR == 8
static inline float total(float8 v)
{
    const float4 b = v.lo + v.hi;
    return (b.s0 + b.s2) + (b.s1 + b.s3);
}
#else
static inline float total(float4 b)
{
    return (b.s0 + b.s2) + (b.s1 + b.s3);
}
#endif
#endif

kernel void dot_tile(global float *c, global const float *a, global const float *b, const int m, const int n,
                     const int k, const int flags, const int4 from)
{
    const int across = flags & ACROSS_FIRST, add = flags & 1;
    const int first = (int)get_global_id(0), second = (int)get_global_id(1);
    const int i0 = (across ? second : first) * DOWN, j0 = (across ? first : second) * ACROSS;
    c += from.s0;
    a += from.s1;
    b += from.s2;
    if (i0 >= m || j0 >= n) return;
    VEC sum[DOWN][ACROSS];
    global const float *x[DOWN], *w[ACROSS]; /* beyond the end the last row again: read, never written */
#pragma unroll
    for (int i = 0; i < DOWN; i++) x[i] = a + (size_t)min(i0 + i, m - 1) * k;
#pragma unroll
    for (int j = 0; j < ACROSS; j++) w[j] = b + (size_t)min(j0 + j, n - 1) * k;
#pragma unroll
    for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++) sum[i][j] = (VEC)(0.0f);
    const int whole = k / VECTOR * VECTOR;
    for (int s = 0; s < whole; s += VECTOR) {
        VEC u[DOWN];
#pragma unroll
        for (int i = 0; i < DOWN; i++) u[i] = VLOAD(0, x[i] + s);
#pragma unroll
        for (int j = 0; j < ACROSS; j++) {
            const VEC v = VLOAD(0, w[j] + s);
#pragma unroll
            for (int i = 0; i < DOWN; i++) sum[i][j] = fma(u[i], v, sum[i][j]);
        }
    }
#pragma unroll
    for (int i = 0; i < DOWN; i++)
#pragma unroll
        for (int j = 0; j < ACROSS; j++) {
            if (i0 + i >= m || j0 + j >= n) continue;
            float v = total(sum[i][j]);
            for (int s = whole; s < k; s++) v = fma(x[i][s], w[j][s], v);
            const size_t at = (size_t)(i0 + i) * n + j0 + j;
            c[at] = add ? c[at] + v : v;
        }
}

kernel void product_plain(global float *c, global const float *a, global const float *b, const int n, const int k,
                          const int4 at, const int add, const int4 from)
{
    c += from.s0;
    a += from.s1;
    b += from.s2;
    const int j = (int)get_global_id(0);
    const size_t i = get_global_id(1);
    if (j >= n) return;
    float sum = 0.0f;
    for (size_t s = 0; s < (size_t)k; s++) sum = fma(a[i * at.s0 + s * at.s1], b[s * at.s2 + (size_t)j * at.s3], sum);
    c += i * n + j;
    *c = add ? *c + sum : sum;
}
