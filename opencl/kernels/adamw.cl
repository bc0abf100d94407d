/* The optimiser: norm of all gradients, and AdamW (Loshchilov & Hutter) in one pass over value, gradient and both moments.
 * shape   value, g, m, v: n floats; partial: [slices]; norm: norm | factor that clips
 * launch  square_sums: one work-item per slice; norm_finish: one; adamw: one per VECTOR floats
 * cost    memory: square_sums reads 4n bytes; adamw reads 16n, writes 12n, 16n when it clears g
 * error   |value - twin| <= 1e-6 of the step; norm 1e-6 relative
 * twin    twin_adamw
 * note    slices in order, no atomics: the same bits each time */
kernel void square_sums(global float *partial, global const float *g, const int n, const int slices)
{
    const int slice = (int)get_global_id(0);
    if (slice >= slices) return;
    int i = (int)((long)n * slice / slices);
    const int end = (int)((long)n * (slice + 1) / slices);
    VEC sums = (VEC)(0.0f);
    float sum = 0.0f;
    for (; i + VECTOR <= end; i += VECTOR) {
        const VEC x = VLOAD(0, g + i);
        sums = fma(x, x, sums);
    }
    for (; i < end; i++) sum = fma(g[i], g[i], sum);
    partial[slice] = sum + sum_lanes(sums);
}

kernel void norm_finish(global float *norm, global const float *partial, const int slices, const float most)
{
    if (get_global_id(0) > 0) return;
    VEC sums = (VEC)(0.0f);
    float sum = 0.0f;
    int i = 0;
    for (; i + VECTOR <= slices; i += VECTOR) sums += VLOAD(0, partial + i);
    for (; i < slices; i++) sum += partial[i];
    const float total = sqrt(sum + sum_lanes(sums)), factor = most / (total + 1e-6f);
    norm[0] = total;
    norm[1] = most > 0.0f && factor < 1.0f ? factor : 1.0f;
}

/* by = 1 - lr * decay, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t), eps; flags: 1 clips, 2 clears g */
kernel void adamw(global float *value, global float *g, global float *m, global float *v, global const float *norm,
                  const int from, const int n, const float8 by, const int flags)
{
    const int i = (int)get_global_id(0) * VECTOR, left = n - i;
    if (left <= 0) return;
    value += from + i;
    g += from + i;
    m += from + i;
    v += from + i;
    const float clip = flags & 1 ? norm[1] : 1.0f;
    const VEC d = load_some(g, left) * clip, old = load_some(m, left);
    const VEC first = fma(d - old, (VEC)(by.s1), old), second = fma(d * d, (VEC)(by.s3), load_some(v, left) * by.s2);
    const VEC step = first / fma(sqrt(second), (VEC)(by.s5), (VEC)(by.s6));
    store_some(first, m, left);
    store_some(second, v, left);
    store_some(fma(step, (VEC)(-by.s4), load_some(value, left) * by.s0), value, left);
    if (flags & 2) store_some((VEC)(0.0f), g, left);
}
