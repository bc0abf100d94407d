/* The most fused multiply-adds per second this device makes: 12 independent chains of vectors per work-item, nothing
 * from memory. The chains converge to 1, so no value overflows.
 * shape   y: [work-items, VECTOR]
 * launch  CPU: a few work-items per core; GPU: many
 * cost    12 * VECTOR * steps multiply-adds per work-item
 * error   none: the result only keeps the compiler honest
 * twin    none
 * back    none */
kernel void peak(global float *y, const int steps)
{
    const VEC a = (VEC)(0.999f), b = (VEC)(1e-3f);
    VEC v[12];
#pragma unroll
    for (int i = 0; i < 12; i++) v[i] = (VEC)((float)(get_global_id(0) + i) * 1e-3f);
    for (int s = 0; s < steps; s++) {
#pragma unroll
        for (int i = 0; i < 12; i++) v[i] = fma(v[i], a, b);
    }
    VEC sum = v[0];
#pragma unroll
    for (int i = 1; i < 12; i++) sum += v[i];
    VSTORE(sum, get_global_id(0), y);
}
