/* Multi-head attention's gradients. Probabilities are computed again; per query only the logarithm of the softmax's
 * denominator and the product of probabilities with their gradients are kept.
 * shape   dq as q, dkv as kv: rows of a stride, from an offset on; dy [items*queries, heads*depth]; mask [items, tokens];
 *         kept [items*heads*queries, 2]; s = tokens, queries, heads, depth, q_stride, kv_stride, has_mask, want_dq;
 *         at = q_at, k_at, v_at
 * launch  queries: one work-item per item, head and query; keys: one per item, head and token, after it
 * cost    queries: 10 * depth, keys: 8 * depth floating-point operations for each pair, and an exp or two
 * error   |gradient - twin| <= 1e-5 * its largest
 * twin    twin_attention_backward */
static inline float inner(global const float *a, global const float *b, int n)
{
    VEC sums = (VEC)(0.0f);
    float sum = 0.0f;
    int i = 0;
    for (; i + VECTOR <= n; i += VECTOR) sums = fma(VLOAD(0, a + i), VLOAD(0, b + i), sums);
    for (; i < n; i++) sum = fma(a[i], b[i], sum);
    return sum + sum_lanes(sums);
}

/* y += f * x */
static inline void add_scaled(global float *y, float f, global const float *x, int n)
{
    for (int i = 0; i < n; i += VECTOR)
        store_some(fma((VEC)(f), load_some(x + i, n - i), load_some(y + i, n - i)), y + i, n - i);
}

kernel void attention_backward_queries(global float *dq, global float *kept, global const float *dy,
                                       global const float *q, global const float *kv, global const float *mask,
                                       const int8 s, const int4 at, const int n, const float scale)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int tokens = s.s0, queries = s.s1, heads = s.s2, depth = s.s3;
    const int r = i % queries, head = i / queries % heads, item = i / queries / heads;
    const size_t row = (size_t)item * queries + r, here = row * s.s4 + at.s0 + head * depth;
    q += here;
    dy += (row * heads + head) * depth;
    kv += (size_t)item * tokens * s.s5 + head * depth;
    mask += s.s6 ? (size_t)item * tokens : 0;
    float top = -INFINITY, sum = 0.0f, mean = 0.0f; /* of exp(score - top), and of it times dy·v */
    for (int t = 0; t < tokens; t++) {
        if (s.s6 && mask[t] == 0.0f) continue;
        const float score = scale * inner(q, kv + (size_t)t * s.s5 + at.s1, depth);
        const float weighs = inner(dy, kv + (size_t)t * s.s5 + at.s2, depth);
        const float above = fmax(top, score), shrink = exp(top - above), p = exp(score - above);
        sum = fma(sum, shrink, p);
        mean = fma(mean, shrink, p * weighs);
        top = above;
    }
    mean /= sum;
    const float all = top + log(sum);
    kept[2 * i] = all;
    kept[2 * i + 1] = mean;
    if (!s.s7) return;
    dq += here;
    for (int t = 0; t < tokens; t++) {
        if (s.s6 && mask[t] == 0.0f) continue;
        global const float *k = kv + (size_t)t * s.s5 + at.s1;
        const float p = exp(scale * inner(q, k, depth) - all);
        const float d = scale * p * (inner(dy, kv + (size_t)t * s.s5 + at.s2, depth) - mean);
        add_scaled(dq, d, k, depth);
    }
}

kernel void attention_backward_keys(global float *dkv, global const float *kept, global const float *dy,
                                    global const float *q, global const float *kv, global const float *mask,
                                    const int8 s, const int4 at, const int n, const float scale)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int tokens = s.s0, queries = s.s1, heads = s.s2, depth = s.s3;
    const int t = i % tokens, head = i / tokens % heads, item = i / tokens / heads;
    if (s.s6 && mask[(size_t)item * tokens + t] == 0.0f) return;
    const size_t here = ((size_t)item * tokens + t) * s.s5 + head * depth;
    global const float *k = kv + here + at.s1, *v = kv + here + at.s2;
    global float *dk = dkv + here + at.s1, *dv = dkv + here + at.s2;
    kept += 2 * ((size_t)item * heads + head) * queries;
    for (int r = 0; r < queries; r++) {
        const size_t row = (size_t)item * queries + r;
        global const float *one = q + row * s.s4 + at.s0 + head * depth, *g = dy + (row * heads + head) * depth;
        const float p = exp(scale * inner(one, k, depth) - kept[2 * r]);
        const float d = scale * p * (inner(g, v, depth) - kept[2 * r + 1]);
        add_scaled(dv, p, g, depth);
        add_scaled(dk, d, one, depth);
    }
}
