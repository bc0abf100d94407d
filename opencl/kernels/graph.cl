/* Graph attention over a complete graph of few nodes (eqs. 9-11): every node listens to every node, itself included.
 * shape   y, residual, z: [items, nodes, heads*out], nodes <= NODES; a_src, a_dst: [heads, out]; bias: [heads*out];
 *         factors: [items, heads, nodes, nodes], of alpha (dropout in training)
 * launch  one work-item per item and head
 * cost    items*heads*nodes*out*(nodes + 2) multiply-adds, items*heads*nodes² exp
 * error   |y - twin| <= 1e-5 * max|z|
 * twin    ref_graph_attention_forward
 * back    graph_backward.cl, which computes alpha again */
#define NODES 64 /* GRAPH_NODES_MOST of device.h */
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

/* alpha[j] = softmax over j of leaky_relu(source + target[j]). */
static inline void listen(float *alpha, float source, const float *target, int nodes)
{
    float top = -INFINITY, sum = 0.0f;
    for (int j = 0; j < nodes; j++) {
        const float v = source + target[j];
        alpha[j] = v < 0.0f ? SLOPE * v : v;
        top = fmax(top, alpha[j]);
    }
    for (int j = 0; j < nodes; j++) sum += alpha[j] = exp(alpha[j] - top);
    for (int j = 0; j < nodes; j++) alpha[j] /= sum;
}

kernel void graph_attention_forward(global float *y, global const float *z, global const float *a_src,
                                    global const float *a_dst, global const float *bias, global const float *residual,
                                    global const float *factors, const int has_residual, const int has_factors,
                                    const int items, const int nodes, const int heads,
                                    const int out)
{
    const int head = (int)get_global_id(0) % heads, item = (int)get_global_id(0) / heads, width = heads * out;
    if (item >= items) return;
    float target[NODES], alpha[NODES];
    const size_t at = (size_t)item * nodes * width + head * out;
    z += at;
    a_src += head * out;
    a_dst += head * out;
    bias += head * out;
    for (int j = 0; j < nodes; j++) target[j] = inner(a_dst, z + j * width, out);
    for (int i = 0; i < nodes; i++) {
        global float *to = y + at + i * width;
        global const float *more = residual + (has_residual ? at + i * width : 0);
        listen(alpha, inner(a_src, z + i * width, out), target, nodes);
        if (has_factors)
            for (int j = 0; j < nodes; j++)
                alpha[j] *= factors[(((size_t)item * heads + head) * nodes + i) * nodes + j];
        int e = 0;
        for (; e + VECTOR <= out; e += VECTOR) {
            VEC sum = VLOAD(0, bias + e);
            for (int j = 0; j < nodes; j++) sum = fma((VEC)(alpha[j]), VLOAD(0, z + j * width + e), sum);
            VSTORE(has_residual ? sum + VLOAD(0, more + e) : sum, 0, to + e);
        }
        for (; e < out; e++) {
            float sum = bias[e];
            for (int j = 0; j < nodes; j++) sum = fma(alpha[j], z[j * width + e], sum);
            to[e] = has_residual ? sum + more[e] : sum;
        }
    }
}
