/* Dropout with numbers from a counter, and the moves of training: nothing is stored, a backward computes its mask again.
 * Philox 4x32-10 (Salmon et al., SC 2011): four numbers of (element / 4, layer, step low, step high) under the seed.
 * shape   x, y, dx, dy: n floats; repeat: x [n], y [items, n]
 * launch  dropout: one work-item per four floats; activation_from, repeat: per VECTOR floats (repeat: by items)
 * cost    reads 4n bytes, writes 4n; 40 integer multiplications per four floats
 * error   dropped ones exactly 0, the others x * (1 / (1 - p)) rounded
 * twin    twin_dropout, twin_activation_from, twin_repeat
 * note    `how`: 0 writes, 1 adds, 2 writes the factors themselves */
#define WRITE   0
#define ADD     1
#define FACTORS 2

static inline uint4 philox(uint4 counter, uint2 key)
{
    for (int round = 0; round < 10; round++) {
        const uint high0 = mul_hi(0xD2511F53u, counter.s0), low0 = 0xD2511F53u * counter.s0;
        const uint high1 = mul_hi(0xCD9E8D57u, counter.s2), low1 = 0xCD9E8D57u * counter.s2;
        counter = (uint4)(high1 ^ counter.s1 ^ key.s0, low1, high0 ^ counter.s3 ^ key.s1, low0);
        key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

/* from = seed low, seed high, step low, step high; numbers below `least` are dropped */
kernel void dropout(global float *y, global const float *x, const int n, const uint4 from, const uint layer,
                    const uint least, const float factor, const int how)
{
    const int i = (int)get_global_id(0) * 4;
    if (i >= n) return;
    const uint4 r = philox((uint4)((uint)i / 4, layer, from.s2, from.s3), from.s01);
    const uint numbers[4] = {r.s0, r.s1, r.s2, r.s3};
    for (int k = 0; k < 4 && i + k < n; k++) {
        const float f = numbers[k] < least ? 0.0f : factor;
        if (how == FACTORS) y[i + k] = f;
        if (how == WRITE) y[i + k] = x[i + k] * f;
        if (how == ADD) y[i + k] = fma(x[i + k], f, y[i + k]);
    }
}

/* dx = or += dy * scale * act'(.), told from y = scale * act(.): ReLU y > 0; ELU, whose slope below 0 is act + 1 */
kernel void activation_from(global float *dx, global const float *dy, global const float *y, const int n,
                            const int act, const float scale, const int replace)
{
    const int i = (int)get_global_id(0) * VECTOR;
    if (i >= n) return;
    const VEC out = load_some(y + i, n - i);
    const VEC below = act == ACT_ELU ? out + scale : (VEC)(0.0f);
    VEC g = load_some(dy + i, n - i) * select(below, (VEC)(scale), out > (VEC)(0.0f));
    if (!replace) g += load_some(dx + i, n - i);
    store_some(g, dx + i, n - i);
}

kernel void repeat_item(global float *y, global const float *x, const int n)
{
    const int i = (int)get_global_id(0) * VECTOR;
    const size_t item = get_global_id(1);
    if (i < n) store_some(load_some(x + i, n - i), y + item * n + i, n - i);
}
