/* Graph attention's gradients (eqs. 9-11, complete graph). Scores first, then nodes, then the two attention vectors.
 * shape   z, dz, dy [items, nodes, heads*out]; a_src, a_dst [heads, out]; alpha, dl [items, heads, nodes, nodes]: the
 *         probabilities and the gradients of the scores before leaky ReLU; ends [items, heads, nodes, 2]: sums of dl over
 *         each node's row (as source) and column (as target); partial [slices, 2 * heads*out]; s = nodes, heads, out
 *         factors [items, heads, nodes, nodes]: of alpha (dropout), s3 & 2
 * launch  scores, nodes: one work-item per item, head and node; vectors: (heads*out, slices)
 * cost    scores: nodes * 6 * out per node; nodes: nodes * 2 * out; vectors: 4 * out
 * error   |gradient - twin| <= 1e-5 * its largest
 * twin    twin_graph_attention_backward */
#define SLOPE 0.2f

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

kernel void graph_backward_scores(global float *alpha, global float *dl, global const float *dy, global const float *z,
                                  global const float *a_src, global const float *a_dst,
                                  global const float *factors, const int4 s, const int n)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int nodes = s.s0, heads = s.s1, out = s.s2, node = i % nodes, head = i / nodes % heads;
    const size_t row = (size_t)heads * out, first = (size_t)(i / nodes / heads) * nodes * row + head * out;
    factors += s.s3 & 2 ? (size_t)i * nodes : 0;
    z += first;
    dy += first + node * row;
    a_dst += head * out;
    alpha += (size_t)i * nodes;
    dl += (size_t)i * nodes;
    const float source = inner(z + node * row, a_src + head * out, out);
    float top = -INFINITY, sum = 0.0f, mean = 0.0f;
    for (int j = 0; j < nodes; j++) {
        const float v = source + inner(z + j * row, a_dst, out);
        alpha[j] = v > 0.0f ? v : SLOPE * v;
        dl[j] = inner(dy, z + j * row, out);
        if (s.s3 & 2) dl[j] *= factors[j];
        top = fmax(top, alpha[j]);
    }
    for (int j = 0; j < nodes; j++) {
        const float p = exp(alpha[j] - top);
        sum += p;
        mean = fma(p, dl[j], mean);
    }
    mean /= sum;
    for (int j = 0; j < nodes; j++) {
        const float score = alpha[j], p = exp(score - top) / sum;
        dl[j] = p * (dl[j] - mean) * (score > 0.0f ? 1.0f : SLOPE);
        alpha[j] = s.s3 & 2 ? p * factors[j] : p; /* what dy went through */
    }
}

kernel void graph_backward_nodes(global float *dz, global float *ends, global const float *alpha,
                                 global const float *dl, global const float *dy, global const float *a_src,
                                 global const float *a_dst, const int4 s, const int n)
{
    const int i = (int)get_global_id(0);
    if (i >= n) return;
    const int nodes = s.s0, heads = s.s1, out = s.s2, node = i % nodes, head = i / nodes % heads;
    const size_t row = (size_t)heads * out, first = (size_t)(i / nodes / heads) * nodes * row + head * out;
    const size_t pairs = (size_t)(i - node) * nodes;
    float as_source = 0.0f, as_target = 0.0f;
    for (int j = 0; j < nodes; j++) {
        as_source += dl[pairs + node * nodes + j];
        as_target += dl[pairs + j * nodes + node];
    }
    ends[2 * i] = as_source;
    ends[2 * i + 1] = as_target;
    if (!(s.s3 & 1)) return; /* dz is not wanted */
    dz += first + node * row;
    dy += first;
    add_scaled(dz, as_source, a_src + head * out, out);
    add_scaled(dz, as_target, a_dst + head * out, out);
    for (int j = 0; j < nodes; j++) add_scaled(dz, alpha[pairs + j * nodes + node], dy + j * row, out);
}

kernel void graph_backward_vectors(global float *partial, global const float *ends, global const float *z, const int4 s,
                                   const int rows, const int slices)
{
    const int column = (int)get_global_id(0), slice = (int)get_global_id(1);
    const int nodes = s.s0, heads = s.s1, out = s.s2, columns = heads * out, head = column / out;
    if (column >= columns) return;
    const int start = (int)((long)rows * slice / slices), end = (int)((long)rows * (slice + 1) / slices);
    float source = 0.0f, target = 0.0f;
    for (int r = start; r < end; r++) {
        const size_t at = 2 * ((size_t)(r / nodes * heads + head) * nodes + r % nodes);
        const float v = z[(size_t)r * columns + column];
        source = fma(ends[at], v, source);
        target = fma(ends[at + 1], v, target);
    }
    partial += (size_t)slice * columns * 2;
    partial[column] = source;
    partial[columns + column] = target;
}
