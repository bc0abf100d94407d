/* Plain-C twins of the kernels (reference.h): the shortest loops that say what is meant, sums in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/reference.h"

#include <math.h>
#include <stdlib.h>

void ref_fill(float *x, size_t n, uint32_t seed)
{
    uint32_t s = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    }
}

float ref_activate(double v, cot_activation act)
{
    switch (act) {
    case COT_ACT_RELU: return v < 0.0 ? 0.0f : (float)v;
    case COT_ACT_TANH: return (float)tanh(v);
    case COT_ACT_GELU: return (float)(0.5 * v * erfc(-v * sqrt(0.5)));
    case COT_ACT_QUICK_GELU: return (float)(v / (1.0 + exp(-1.702 * v)));
    case COT_ACT_ELU: return (float)(v > 0.0 ? v : expm1(v));
    case COT_ACT_SIGMOID: return (float)(1.0 / (1.0 + exp(-v)));
    case COT_ACT_NONE: break;
    }
    return (float)v;
}

void ref_linear_forward(float *y, const float *x, const float *w, const float *bias, size_t out, size_t in, size_t rows,
                        const float *residual, cot_activation act)
{
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < out; n++) {
            double sum = bias ? (double)bias[n] : 0.0;
            for (size_t k = 0; k < in; k++) sum += (double)x[m * in + k] * (double)w[n * in + k];
            if (residual) sum += (double)residual[m * out + n];
            y[m * out + n] = ref_activate(sum, act);
        }
}

/* One output channel `o` at one place, without scale and shift. */
static double conv_at(const float *image, const float *w, const cot_conv_shape *s, size_t oy, size_t ox, size_t o)
{
    double sum = 0.0;
    for (size_t ky = 0; ky < s->kernel; ky++)
        for (size_t kx = 0; kx < s->kernel; kx++) {
            const size_t iy = oy * s->stride + ky, ix = ox * s->stride + kx;
            if (iy < s->pad || ix < s->pad || iy - s->pad >= s->in_h || ix - s->pad >= s->in_w) continue;
            const float *pixel = image + ((iy - s->pad) * s->in_w + ix - s->pad) * s->in_c;
            for (size_t c = 0; c < s->in_c; c++)
                sum += (double)pixel[c] * (double)w[((o * s->in_c + c) * s->kernel + ky) * s->kernel + kx];
        }
    return sum;
}

void ref_conv_forward(float *y, const float *x, const float *w, const float *scale, const float *shift,
                      const cot_conv_shape *s, size_t n, const float *residual, cot_activation act)
{
    const size_t oh = cot_conv_out(s->in_h, s->kernel, s->stride, s->pad),
                 ow = cot_conv_out(s->in_w, s->kernel, s->stride, s->pad);
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < oh * ow; p++)
            for (size_t o = 0; o < s->out_c; o++) {
                const size_t at = (i * oh * ow + p) * s->out_c + o;
                double v = conv_at(x + i * s->in_h * s->in_w * s->in_c, w, s, p / ow, p % ow, o);
                if (scale) v *= (double)scale[o];
                if (shift) v += (double)shift[o];
                if (residual) v += (double)residual[at];
                y[at] = ref_activate(v, act);
            }
}

void ref_batch_norm_forward(float *y, const float *x, const float *scale, const float *shift, size_t rows,
                            size_t channels, cot_activation act)
{
    for (size_t i = 0; i < rows * channels; i++)
        y[i] = ref_activate((double)x[i] * (double)scale[i % channels] + (double)shift[i % channels], act);
}

void ref_max_pool_forward(float *y, const float *x, size_t n, size_t h, size_t w, size_t c, size_t kernel,
                          size_t stride, size_t pad)
{
    const size_t oh = cot_conv_out(h, kernel, stride, pad), ow = cot_conv_out(w, kernel, stride, pad);
    for (size_t i = 0; i < n * oh * ow * c; i++) {
        const size_t ch = i % c, ox = i / c % ow, oy = i / c / ow % oh, image = i / c / ow / oh;
        float best = -INFINITY;
        for (size_t k = 0; k < kernel * kernel; k++) {
            const size_t iy = oy * stride + k / kernel, ix = ox * stride + k % kernel;
            if (iy < pad || ix < pad || iy - pad >= h || ix - pad >= w) continue;
            const float v = x[((image * h + iy - pad) * w + ix - pad) * c + ch];
            if (isnan(v) || v > best) best = v;
            if (isnan(best)) break;
        }
        y[i] = best;
    }
}

void ref_mean_pool_forward(float *y, const float *x, size_t n, size_t pixels, size_t c)
{
    for (size_t i = 0; i < n * c; i++) {
        double sum = 0.0;
        for (size_t p = 0; p < pixels; p++) sum += (double)x[(i / c * pixels + p) * c + i % c];
        y[i] = (float)(sum / (double)pixels);
    }
}

void ref_norm_pool_forward(float *y, cot_slice to, const float *x, cot_slice from, const float *scale,
                           const float *shift, size_t n, size_t h, size_t w, size_t c, size_t window,
                           cot_activation act)
{
    const size_t oh = h / window, ow = w / window;
    for (size_t i = 0; i < n * oh * ow * c; i++) {
        const size_t pixel = i / c, k = i % c, image = pixel / ow / oh, top = pixel / ow % oh * window,
                     left = pixel % ow * window;
        double sum = 0.0;
        for (size_t t = 0; t < window * window; t++) {
            const size_t at = (image * h + top + t / window) * w + left + t % window;
            const double v = (double)x[at * from.apart + from.at + k];
            sum += (double)ref_activate(scale ? v * (double)scale[k] + (double)shift[k] : v, act);
        }
        y[pixel * to.apart + to.at + k] = (float)(sum / (double)(window * window));
    }
}

void ref_layer_norm_forward(float *y, const float *x, const float *gamma, const float *beta, size_t rows, size_t width,
                            double eps, cot_activation act)
{
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        double mean = 0.0, variance = 0.0;
        for (size_t i = 0; i < width; i++) mean += (double)x[i] / (double)width;
        for (size_t i = 0; i < width; i++) variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)width;
        for (size_t i = 0; i < width; i++)
            y[i] = ref_activate(((double)x[i] - mean) / sqrt(variance + eps) * (double)gamma[i] + (double)beta[i], act);
    }
}

void ref_softmax_forward(float *y, const float *x, size_t rows, size_t classes)
{
    for (size_t r = 0; r < rows; r++, x += classes, y += classes) {
        double top = -INFINITY, sum = 0.0;
        for (size_t c = 0; c < classes; c++) top = fmax(top, (double)x[c]);
        for (size_t c = 0; c < classes; c++) sum += exp((double)x[c] - top);
        for (size_t c = 0; c < classes; c++) y[c] = (float)(exp((double)x[c] - top) / sum);
    }
}

void ref_add_tanh_forward(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)a[i] + tanh((double)b[i]));
}

/* ---- Pillow, src/libImaging/Resample.c: precompute_coeffs and the two 32-bit float passes ---- */
static double filter_at(cot_filter filter, double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (filter == COT_FILTER_BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

/* Output i of a line of `in` numbers that lie `step` apart, resized to `out`. */
static double line_at(const float *x, size_t step, size_t in, size_t out, size_t i, cot_filter filter)
{
    const double scale = (double)in / (double)out, filterscale = scale < 1.0 ? 1.0 : scale;
    const double support = (filter == COT_FILTER_BICUBIC ? 2.0 : 1.0) * filterscale, center = ((double)i + 0.5) * scale;
    long from = (long)(center - support + 0.5), to = (long)(center + support + 0.5);
    if (from < 0) from = 0;
    if (to > (long)in) to = (long)in;
    double sum = 0.0, weights = 0.0;
    for (long k = from; k < to; k++) {
        const double w = filter_at(filter, ((double)k - center + 0.5) / filterscale);
        weights += w;
        sum += w * (double)x[(size_t)k * step];
    }
    return weights != 0.0 ? sum / weights : sum;
}

void ref_resample(float *y, const float *x, size_t rows, size_t cols, size_t size, cot_filter filter, double mean,
                  double std)
{
    float *middle = malloc(rows * size * sizeof *middle);
    if (!middle) return;
    for (size_t i = 0; i < rows * size; i++)
        middle[i] = (float)line_at(x + i / size * cols, 1, cols, size, i % size, filter);
    for (size_t i = 0; i < size * size; i++)
        y[i] = (float)((line_at(middle + i % size, size, rows, size, i / size, filter) - mean) / std);
    free(middle);
}

/* Every test has this file, so here is said once what LeakSanitizer need not report: drivers keep what they compile,
 * fontconfig what it found. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libpocl\nleak:libclblast\nleak:libLLVM\nleak:libclang\nleak:libOpenCL\nleak:libRusticlOpenCL\n"
           "leak:libMesaOpenCL\nleak:libfontconfig\n";
}

/* A driver that is loaded and dropped again is only recognised in a whole call stack; slow, so only for tests with a device. */
__attribute__((weak)) cot_status cot_devices_list(cot_device_info **out, size_t *n, cot_error *err);
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return cot_devices_list ? "fast_unwind_on_malloc=0" : "";
}
