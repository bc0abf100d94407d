/* Multi-head scaled dot-product attention. A work-item answers QUERIES queries of one head: the products with VECTOR /
 * QUERIES tokens at a time stay in registers as vectors along the head and are summed across by a tree. Scores of CHUNK
 * tokens are kept; more tokens pass in several chunks with a running maximum and sum, results rescaled in between.
 * shape   y: [items*queries, heads*depth]; q, kv: rows of `stride` floats; mask: [items, tokens] or any buffer
 *         s = tokens, queries, heads, depth, stride of q, stride of kv; at = floats before q, k and v in their rows
 * launch  one work-item per item, head and QUERIES queries; the last ones repeat a query and write only their own
 * cost    2*queries*tokens*width multiply-adds per item, queries*tokens*heads exp
 * error   |y - twin| <= 1e-5 * max|v|
 * twin    ref_attention_forward
 * back    attention_backward.cl, which computes the scores again */
#define QUERIES 4
#define ABREAST (VECTOR / QUERIES) /* tokens whose scores one vector has, for each query */
#define CHUNK   128

/* Lanes of two vectors; those of the second count from VECTOR on. LANES: the same four in each block of four lanes;
 * EVEN_BLOCKS, ODD_BLOCKS: every other block of both. Compilers have one instruction for each. */
#if VECTOR == 16
#define LANES(a, b, c, d)                                                                                              \
    (uint16)(a, b, c, d, a + 4, b + 4, c + 4, d + 4, a + 8, b + 8, c + 8, d + 8, a + 12, b + 12, c + 12, d + 12)
#define EVEN_BLOCKS (uint16)(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_BLOCKS  (EVEN_BLOCKS + 4)
#elif VECTOR == 8
#define LANES(a, b, c, d) (uint8)(a, b, c, d, a + 4, b + 4, c + 4, d + 4)
#define EVEN_BLOCKS       (uint8)(0, 1, 2, 3, 8, 9, 10, 11)
#define ODD_BLOCKS        (EVEN_BLOCKS + 4)
#else
#define LANES(a, b, c, d) (uint4)(a, b, c, d)
#endif

/* Sums each of VECTOR vectors; sum i is lane i. Halves the vectors level by level: within blocks of four lanes, then
 * across blocks. */
static inline VEC sums_across(VEC *v)
{
    const int B = VECTOR;
#pragma unroll
    for (int i = 0; i < VECTOR / 2; i++)
        v[i] = shuffle2(v[2 * i], v[2 * i + 1], LANES(0, B, 1, B + 1)) +
               shuffle2(v[2 * i], v[2 * i + 1], LANES(2, B + 2, 3, B + 3));
#pragma unroll
    for (int i = 0; i < VECTOR / 4; i++)
        v[i] = shuffle2(v[2 * i], v[2 * i + 1], LANES(0, 1, B, B + 1)) +
               shuffle2(v[2 * i], v[2 * i + 1], LANES(2, 3, B + 2, B + 3));
#if VECTOR > 4
#pragma unroll
    for (int n = VECTOR / 8; n >= 1; n /= 2)
#pragma unroll
        for (int i = 0; i < n; i++)
            v[i] = shuffle2(v[2 * i], v[2 * i + 1], EVEN_BLOCKS) + shuffle2(v[2 * i], v[2 * i + 1], ODD_BLOCKS);
#endif
    return v[0];
}

/* q[r] · k[t] in lane r * ABREAST + t. */
static inline VEC products(global const float *const *q, global const float *const *k, int depth)
{
    VEC sum[VECTOR];
    float rest[VECTOR];
    const int whole = depth / VECTOR;
#pragma unroll
    for (int i = 0; i < VECTOR; i++) sum[i] = (VEC)(0.0f);
    for (int s = 0; s < whole; s++)
#pragma unroll
        for (int i = 0; i < VECTOR; i++) sum[i] = fma(VLOAD(s, q[i / ABREAST]), VLOAD(s, k[i % ABREAST]), sum[i]);
    const VEC all = sums_across(sum);
    if (whole * VECTOR == depth) return all;
    for (int i = 0; i < VECTOR; i++) {
        rest[i] = 0.0f;
        for (int s = whole * VECTOR; s < depth; s++) rest[i] = fma(q[i / ABREAST][s], k[i % ABREAST][s], rest[i]);
    }
    return all + VLOAD(0, rest);
}

/* Scores of tokens beyond the last one become -inf. Those of masked ones become the smallest number, as in PyTorch: they
 * weigh nothing beside any other, and all the same where all are masked. `token` is that of the first lane. */
static inline VEC hide(VEC v, global const float *mask, int token, int tokens)
{
    float seen[VECTOR];
    VSTORE(v, 0, seen);
    for (int i = 0; i < VECTOR; i++) {
        const int at = token + i % ABREAST;
        if (at >= tokens)
            seen[i] = -INFINITY;
        else if (mask && mask[at] == 0.0f)
            seen[i] = -MAXFLOAT;
    }
    return VLOAD(0, seen);
}

/* Each lane gets the largest, or the sum, of its query's lanes. */
static inline VEC over_query(VEC v, int want_sum)
{
    float part[VECTOR];
    VSTORE(v, 0, part);
    for (int r = 0; r < QUERIES; r++) {
        float one = part[r * ABREAST];
        for (int t = 1; t < ABREAST; t++)
            one = want_sum ? one + part[r * ABREAST + t] : fmax(one, part[r * ABREAST + t]);
        for (int t = 0; t < ABREAST; t++) part[r * ABREAST + t] = one;
    }
    return VLOAD(0, part);
}

/* For each query: y = (y * before +) sum of score * value, times after, for one vector of y. Lanes of tokens beyond the
 * last one have a score of 0. */
static inline void weigh(global float *y, int y_stride, int own, const float *before, const float *after,
                         const float *score, global const float *values, int stride, int steps, int last)
{
    VEC part[QUERIES];
#pragma unroll
    for (int r = 0; r < QUERIES; r++)
        part[r] = before && r < own ? VLOAD(0, y + r * y_stride) * before[r * ABREAST] : (VEC)(0.0f);
    for (int step = 0; step < steps; step++, score += VECTOR)
#pragma unroll
        for (int t = 0; t < ABREAST; t++) {
            const VEC v = VLOAD(0, values + (size_t)min(step * ABREAST + t, last) * stride);
#pragma unroll
            for (int r = 0; r < QUERIES; r++) part[r] = fma((VEC)(score[r * ABREAST + t]), v, part[r]);
        }
#pragma unroll
    for (int r = 0; r < QUERIES; r++)
        if (r < own) VSTORE(part[r] * after[r * ABREAST], 0, y + r * y_stride);
}

kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void
attention_forward(global float *y, global const float *q, global const float *kv, global const float *mask,
                  const int has_mask, const int items, const int8 s, const int4 at, const float scale)
{
    const int tokens = s.s0, queries = s.s1, heads = s.s2, depth = s.s3, blocks = (queries + QUERIES - 1) / QUERIES;
    const int block = (int)get_global_id(0) % blocks, head = (int)get_global_id(0) / blocks % heads,
              item = (int)get_global_id(0) / blocks / heads;
    if (item >= items) return;
    const int first = block * QUERIES, own = min(QUERIES, queries - first);
    global const float *row[QUERIES], *k[ABREAST];
    global const float *keys = kv + (size_t)item * tokens * s.s5 + at.s1 + head * depth,
                       *values = kv + (size_t)item * tokens * s.s5 + at.s2 + head * depth;
    for (int r = 0; r < QUERIES; r++)
        row[r] = q + ((size_t)item * queries + first + min(r, own - 1)) * s.s4 + at.s0 + head * depth;
    y += ((size_t)item * queries + first) * heads * depth + head * depth;
    mask += has_mask ? (size_t)item * tokens : 0;

    VEC score[QUERIES * CHUNK / VECTOR];             /* [token / ABREAST][query][token % ABREAST] */
    VEC top = (VEC)(-MAXFLOAT), total = (VEC)(0.0f); /* finite: a chunk may be masked as a whole */
    for (int from = 0; from < tokens; from += CHUNK) {
        const int n = min(CHUNK, tokens - from), steps = (n + ABREAST - 1) / ABREAST;
        VEC most = top, sum = (VEC)(0.0f);
        for (int step = 0; step < steps; step++) {
            for (int t = 0; t < ABREAST; t++) k[t] = keys + (size_t)min(from + step * ABREAST + t, tokens - 1) * s.s5;
            VEC v = products(row, k, depth) * scale;
            if (has_mask || (step + 1) * ABREAST > n) v = hide(v, has_mask ? mask : 0, from + step * ABREAST, tokens);
            most = fmax(most, v);
            score[step] = v;
        }
        most = over_query(most, 0);
        for (int step = 0; step < steps; step++) {
            const VEC e = exponential_vec(score[step] - most);
            sum += e;
            score[step] = e;
        }
        const VEC fade = exponential_vec(top - most);
        total = total * fade + over_query(sum, 1);
        top = most;
        float before[VECTOR], after[VECTOR]; /* factors of what earlier chunks gave, and of the result */
        VSTORE(fade, 0, before);
        VSTORE(from + n < tokens ? (VEC)(1.0f) : 1.0f / total, 0, after);

        global const float *v = values + (size_t)from * s.s5;
        const float *weight = (const float *)score;
        const int last = tokens - 1 - from;
        int e = 0;
        for (; e + VECTOR <= depth; e += VECTOR)
            weigh(y + e, heads * depth, own, from ? before : 0, after, weight, v + e, s.s5, steps, last);
        for (; e < depth; e++)
            for (int r = 0; r < own; r++) {
                float part = from ? y[r * heads * depth + e] * before[r * ABREAST] : 0.0f;
                for (int j = 0; j < n; j++)
                    part = fma(weight[j / ABREAST * VECTOR + r * ABREAST + j % ABREAST],
                               values[(size_t)(from + j) * s.s5 + e], part);
                y[r * heads * depth + e] = part * after[r * ABREAST];
            }
    }
}
