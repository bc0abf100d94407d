/* Losses over the classes of one step, with their gradients: cross-entropy, and softened KL (KD).
 * shape   x, teacher, dx: [rows, classes]; labels, loss: [rows]; weights: [classes]; a label below 0 or of `classes` or
 *         more masks its row
 * launch  one work-item per row, which counts the valid rows itself: rows² reads, nothing beside a model's products
 * cost    rows * classes * 3 exp and log
 * error   |loss - twin| <= 2e-6 * |loss|, gradients 1e-6
 * twin    twin_cross_entropy, twin_soft_kl
 * note    loss[row] is the row's part of the mean, so that their sum is the loss; flags: 1 loss, 2 dx, 4 weights */
static inline bool counts(float label, int classes)
{
    return label >= 0.0f && label < (float)classes;
}

/* log(sum of exp(x * by)) */
static inline float log_sum(global const float *x, int n, float by)
{
    float top = -INFINITY, sum = 0.0f;
    for (int c = 0; c < n; c++) top = fmax(top, x[c] * by);
    for (int c = 0; c < n; c++) sum += exp(x[c] * by - top);
    return top + log(sum);
}

kernel void cross_entropy(global float *loss, global float *dx, global const float *x, global const float *labels,
                          global const float *weights, const int rows, const int classes, const float smoothing,
                          const float scale, const int flags)
{
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    if (!counts(labels[row], classes)) {
        if (flags & 1) loss[row] = 0.0f;
        return;
    }
    const int label = (int)labels[row], weighted = flags & 4;
    float all = 0.0f, every = 0.0f, sum = 0.0f;
    for (int r = 0; r < rows; r++)
        if (counts(labels[r], classes)) all += weighted ? weights[(int)labels[r]] : 1.0f;
    for (int c = 0; c < classes; c++) every += weighted ? weights[c] : 1.0f;
    x += (size_t)row * classes;
    dx += (size_t)row * classes;
    /* the target: q_c = (1 - smoothing) w_c [c is the label] + smoothing / classes * w_c */
    const float even = smoothing / classes, own = (1.0f - smoothing) * (weighted ? weights[label] : 1.0f);
    const float total = own + even * every, base = log_sum(x, classes, 1.0f);
    for (int c = 0; c < classes; c++) {
        const float q = (c == label ? own : 0.0f) + even * (weighted ? weights[c] : 1.0f), lp = x[c] - base;
        if (q != 0.0f) sum -= q * lp;
        if (flags & 2) dx[c] += scale / all * (exp(lp) * total - q);
    }
    if (flags & 1) loss[row] = all > 0.0f ? sum / all : 0.0f;
}

kernel void soft_kl(global float *loss, global float *dx, global const float *x, global const float *teacher,
                    global const float *labels, const int rows, const int classes, const float temperature,
                    const float scale, const int flags)
{
    const int row = (int)get_global_id(0);
    if (row >= rows) return;
    if (!counts(labels[row], classes)) {
        if (flags & 1) loss[row] = 0.0f;
        return;
    }
    int valid = 0;
    for (int r = 0; r < rows; r++) valid += counts(labels[r], classes) ? 1 : 0;
    const size_t at = (size_t)row * classes;
    const float by = 1.0f / temperature;
    const float base = log_sum(x + at, classes, by), teachers = log_sum(teacher + at, classes, by);
    float sum = 0.0f;
    for (int c = 0; c < classes; c++) {
        const float lp = fma(x[at + c], by, -base), lt = fma(teacher[at + c], by, -teachers), t = exp(lt);
        if (t > 0.0f) sum = fma(t, lt - lp, sum);
        if (flags & 2) dx[at + c] += scale * temperature / valid * (exp(lp) - t);
    }
    if (flags & 1) loss[row] = sum * temperature * temperature / valid;
}
