/* The alignment of features (CH, section 3): per step, the KL between softened features of teacher and student, weighted by
 * how much alike the rows relate to each other (HSIC). All steps in each launch.
 * shape   ku [steps, rows, width], kv [rows, width]: softmax(. / T); labels [steps, rows]; means [steps, 2, width] over the
 *         valid rows; gram [steps, 2, rows, rows]: products of centred rows, of ku | of kv, 0 where a row is masked;
 *         part [steps, rows]: each row's KL; factor [steps, 3]; mix [rows, rows]
 *         these lie in `work`, from the floats `at` on in the order named: ku, kv, means, gram, part, factor, mix, and d
 *         [rows, width]
 * launch  soften: one work-item per row; means: (width, steps); gram, mix: (rows, steps), (rows, 1); factors: steps;
 *         feature: one per row
 * cost    steps * rows² * width * 4 multiply-adds, steps * rows * width * 2 log
 * error   |loss - twin| <= 1e-5 * |loss|, gradient 1e-4 of its largest
 * twin    twin_alignment
 * note    K_u = H ku kuᵀ H; w = <Ku,Kv> / (D + 1e-12), D = sqrt((<Ku,Ku> + 1e-12) (<Kv,Kv> + 1e-12)). Rows are centred before
 *         the products: differences of nearly equal numbers are taken once, on the features.
 *         d/dkv of w * KL = w * -ku / (kv + 1e-12) / n + KL * 2 (dw/dKv) kv,
 *         dw/dKv = Ku / (D + 1e-12) - <Ku,Kv> (<Ku,Ku> + 1e-12) / (D (D + 1e-12)²) Kv */
#define TINY 1e-12f

kernel void soften(global float *work, global const float *x, const int to, const int rows, const int width,
                   const float by)
{
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    x += (size_t)row * width;
    global float *y = work + to + (size_t)row * width;
    float top = -INFINITY, sum = 0.0f;
    for (int c = 0; c < width; c++) top = fmax(top, x[c] * by);
    for (int c = 0; c < width; c++) sum += y[c] = exponential(x[c] * by - top);
    for (int c = 0; c < width; c++) y[c] /= sum;
}

kernel void alignment_means(global float *work, global const float *labels, const int8 at, const int rows,
                            const int width)
{
    const int c = (int)get_global_id(0), step = (int)get_global_id(1);
    if (c >= width) return;
    global const float *ku = work + at.s0, *kv = work + at.s1;
    global float *means = work + at.s2;
    float u = 0.0f, v = 0.0f;
    int n = 0;
    for (int r = 0; r < rows; r++) {
        if (labels[step * rows + r] < 0.0f) continue;
        u += ku[((size_t)step * rows + r) * width + c];
        v += kv[(size_t)r * width + c];
        n++;
    }
    means[(size_t)step * 2 * width + c] = n ? u / n : 0.0f;
    means[((size_t)step * 2 + 1) * width + c] = n ? v / n : 0.0f;
}

static inline float centred(global const float *a, global const float *b, global const float *mean, int n)
{
    VEC sums = (VEC)(0.0f);
    float sum = 0.0f;
    int i = 0;
    for (; i + VECTOR <= n; i += VECTOR) {
        const VEC m = VLOAD(0, mean + i);
        sums = fma(VLOAD(0, a + i) - m, VLOAD(0, b + i) - m, sums);
    }
    for (; i < n; i++) sum = fma(a[i] - mean[i], b[i] - mean[i], sum);
    return sum + sum_lanes(sums);
}

kernel void alignment_gram(global float *work, global const float *labels, const int8 at, const int rows,
                           const int width)
{
    const int i = (int)get_global_id(0), step = (int)get_global_id(1);
    if (i >= rows) return;
    const bool valid = labels[step * rows + i] >= 0.0f;
    global float *gu = work + at.s3 + ((size_t)step * 2 * rows + i) * rows, *gv = gu + (size_t)rows * rows;
    global const float *mean = work + at.s2 + (size_t)step * 2 * width;
    global const float *ku = work + at.s0 + (size_t)step * rows * width, *kv = work + at.s1;
    for (int j = 0; j < rows; j++) {
        const bool both = valid && labels[step * rows + j] >= 0.0f;
        gu[j] = both ? centred(ku + (size_t)i * width, ku + (size_t)j * width, mean, width) : 0.0f;
        gv[j] = both ? centred(kv + (size_t)i * width, kv + (size_t)j * width, mean + width, width) : 0.0f;
    }
    float sum = 0.0f;
    for (int c = 0; valid && c < width; c++) {
        const float t = ku[(size_t)i * width + c];
        if (t > 0.0f) sum = fma(t, log(t) - log(kv[(size_t)i * width + c] + TINY), sum);
    }
    work[at.s4 + step * rows + i] = sum;
}

/* factor = of ku / (kv + tiny), of Ku, of Kv */
kernel void alignment_factors(global float *work, global float *loss, global const float *labels, const int8 at,
                              const int rows, const int steps)
{
    const int step = (int)get_global_id(0);
    if (step >= steps) return;
    global const float *gu = work + at.s3 + (size_t)step * 2 * rows * rows, *gv = gu + (size_t)rows * rows;
    global const float *part = work + at.s4;
    global float *factor = work + at.s5;
    float uv = 0.0f, uu = 0.0f, vv = 0.0f, kl = 0.0f;
    int n = 0;
    for (int i = 0; i < rows; i++) {
        float a = 0.0f, b = 0.0f, c = 0.0f;
        for (int j = 0; j < rows; j++) {
            const float u = gu[i * rows + j], v = gv[i * rows + j];
            a = fma(u, v, a);
            b = fma(u, u, b);
            c = fma(v, v, c);
        }
        uv += a;
        uu += b;
        vv += c;
        kl += part[step * rows + i];
        n += labels[step * rows + i] >= 0.0f ? 1 : 0;
    }
    const bool any = n > 1;
    kl = any ? kl / n : 0.0f;
    const float d = sqrt((uu + TINY) * (vv + TINY)), under = d + TINY, w = uv / under;
    loss[step] = any ? w * kl : 0.0f;
    factor[step * 3] = any ? -w / n : 0.0f;
    factor[step * 3 + 1] = any ? 2.0f * kl / under : 0.0f;
    factor[step * 3 + 2] = any ? -2.0f * kl * (uv / under) * ((uu + TINY) / d) / under : 0.0f;
}

/* ds += scale * gradient: first the sum over steps of what multiplies each row of kv, then the gradient of kv (in `d`), then
 * softmax's */
kernel void alignment_feature(global float *ds, global float *work, global const float *labels, const int8 at,
                              const int4 shape, const float by, const float scale)
{
    const int row = (int)get_global_id(0), steps = shape.s0, rows = shape.s1, width = shape.s2;
    if (row >= rows) return;
    global const float *ku = work + at.s0, *kv = work + at.s1, *gram = work + at.s3, *factor = work + at.s5;
    global float *mix = work + at.s6 + (size_t)row * rows, *d = work + at.s7 + (size_t)row * width;
    ds += (size_t)row * width;
    for (int j = 0; j < rows; j++) {
        float sum = 0.0f;
        for (int s = 0; s < steps; s++) {
            global const float *gu = gram + ((size_t)s * 2 * rows + row) * rows;
            sum = fma(factor[s * 3 + 1], gu[j], sum);
            sum = fma(factor[s * 3 + 2], gu[(size_t)rows * rows + j], sum);
        }
        mix[j] = sum;
    }
    global const float *own = kv + (size_t)row * width;
    float along = 0.0f;
    for (int c = 0; c < width; c += VECTOR) {
        const int n = width - c;
        const VEC k = load_some(own + c, n);
        VEC sum = (VEC)(0.0f);
        for (int s = 0; s < steps; s++)
            if (labels[s * rows + row] >= 0.0f)
                sum = fma(load_some(ku + ((size_t)s * rows + row) * width + c, n), (VEC)(factor[s * 3]) / (k + TINY), sum);
        for (int j = 0; j < rows; j++) sum = fma((VEC)(mix[j]), load_some(kv + (size_t)j * width + c, n), sum);
        store_some(sum, d + c, n);
        along += sum_lanes(sum * k);
    }
    for (int c = 0; c < width; c += VECTOR) {
        const int n = width - c;
        const VEC g = load_some(own + c, n) * (load_some(d + c, n) - along);
        store_some(fma(g, (VEC)(scale * by), load_some(ds + c, n)), ds + c, n);
    }
}
