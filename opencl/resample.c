/* Antialiased resize on the device with Pillow's arithmetic: when shrinking, the filter's support is stretched by the
 * ratio; output pixel i lies at (i + 0.5) * ratio; weights are normalised, computed here in double. Columns are reduced
 * before rows (Pillow: rows first): both passes are linear, so only rounding differs, and this order reads the large
 * image once in whole vectors. Tables and device memory grow to the largest image seen.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One axis: output i is the sum over t of weights[i * taps + t] * input[first[i] + t]. The host copies are what the next
 * image of another size is computed into. */
typedef struct axis {
    size_t in, taps;
    cot_buffer *weights, *first; /* [size, taps]; [size], used as ints */
    float *host_weights;
    cl_int *host_first;
    size_t room; /* floats that host_weights and weights have */
} axis;

struct cot_resampler {
    cot_device *device;
    size_t size;
    cot_filter filter;
    float mean, std;
    axis down, across;
    cot_buffer *source, *middle; /* [rows, cols]; [size, cols] */
};

/* ---- Pillow's filters ---- */
static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double support_of(cot_filter filter, double stretch)
{
    return (filter == COT_FILTER_BICUBIC ? 2.0 : 1.0) * stretch;
}

static void fill_row(float *weights, cl_int *first, size_t i, size_t in, double ratio, cot_filter filter)
{
    const double stretch = ratio < 1.0 ? 1.0 : ratio, support = support_of(filter, stretch);
    const double centre = ((double)i + 0.5) * ratio;
    const double low = centre - support + 0.5, high = centre + support + 0.5;
    const size_t from = low < 0.0 ? 0 : (size_t)low, to = high > (double)in ? in : (size_t)high;
    double sum = 0.0;
    for (size_t k = from; k < to; k++) {
        const double at = ((double)k - centre + 0.5) / stretch;
        sum += filter == COT_FILTER_BICUBIC ? bicubic(at) : bilinear(at);
    }
    for (size_t k = from; k < to; k++) {
        const double at = ((double)k - centre + 0.5) / stretch;
        const double w = filter == COT_FILTER_BICUBIC ? bicubic(at) : bilinear(at);
        weights[k - from] = (float)(sum != 0.0 ? w / sum : w);
    }
    *first = (cl_int)from;
}

/* ---- tables ---- */
static cot_status axis_grow(axis *a, cot_device *device, size_t size, size_t floats, cot_error *err)
{
    cot_status status = COT_OK;
    if (!a->host_first) a->host_first = calloc(size, sizeof *a->host_first);
    if (!a->host_first) return cot_fail(err, COT_E_MEMORY, "resample: no memory");
    if (!a->first) COT_TRY(cot_buffer_create(&a->first, device, size, err));
    if (floats <= a->room) goto done;
    a->room = 0;
    free(a->host_weights);
    cot_buffer_destroy(a->weights);
    a->weights = NULL;
    a->host_weights = calloc(floats, sizeof *a->host_weights);
    if (!a->host_weights) return cot_fail(err, COT_E_MEMORY, "resample: no memory for %zu weights", floats);
    COT_TRY(cot_buffer_create(&a->weights, device, floats, err));
    a->room = floats;
done:
    return status;
}

static cot_status axis_set(axis *a, const cot_resampler *r, size_t in, cot_error *err)
{
    cot_status status = COT_OK;
    if (a->in == in) return COT_OK;
    a->in = 0;
    const double ratio = (double)in / (double)r->size, stretch = ratio < 1.0 ? 1.0 : ratio;
    const size_t wide = (size_t)ceil(support_of(r->filter, stretch)) * 2 + 1;
    a->taps = wide < in ? wide : in;
    COT_TRY(axis_grow(a, r->device, r->size, r->size * a->taps, err));
    memset(a->host_weights, 0, r->size * a->taps * sizeof *a->host_weights);
    for (size_t i = 0; i < r->size; i++) {
        fill_row(a->host_weights + i * a->taps, &a->host_first[i], i, in, ratio, r->filter);
        /* every row has `taps` weights; the last rows start earlier, so that none reads beyond the image */
        const size_t first = (size_t)a->host_first[i], late = first + a->taps > in ? first + a->taps - in : 0;
        float *w = a->host_weights + i * a->taps;
        memmove(w + late, w, (a->taps - late) * sizeof *w);
        memset(w, 0, late * sizeof *w);
        a->host_first[i] = (cl_int)(first - late);
    }
    COT_TRY(cot_buffer_write(a->weights, 0, a->host_weights, r->size * a->taps, err));
    const cl_int code = clEnqueueWriteBuffer(r->device->queue, a->first->mem, CL_TRUE, 0, r->size * sizeof(cl_int),
                                             a->host_first, 0, NULL, NULL);
    if (code != CL_SUCCESS) return device_fail(err, code, "resample: write the table");
    a->in = in;
done:
    return status;
}

static void axis_fini(axis *a)
{
    cot_buffer_destroy(a->weights);
    cot_buffer_destroy(a->first);
    free(a->host_weights);
    free(a->host_first);
}

/* ---- the resampler ---- */
cot_status cot_resampler_create(cot_resampler **out, cot_device *device, size_t size, cot_filter filter, float mean,
                                float std, cot_error *err)
{
    *out = NULL;
    if (size == 0 || size > 1 << 14)
        return cot_fail(err, COT_E_LIMIT, "resample: to %zu pixels; 1 to 16384 are possible", size);
    if (!(std > 0.0f) || !isfinite(std) || !isfinite(mean))
        return cot_fail(err, COT_E_MODEL, "resample: mean %g and standard deviation %g cannot normalise", (double)mean,
                        (double)std);
    cot_resampler *r = calloc(1, sizeof *r);
    if (!r) return cot_fail(err, COT_E_MEMORY, "resample: no memory");
    r->device = device;
    r->size = size;
    r->filter = filter;
    r->mean = mean;
    r->std = std;
    *out = r;
    return COT_OK;
}

void cot_resampler_destroy(cot_resampler *r)
{
    if (!r) return;
    axis_fini(&r->down);
    axis_fini(&r->across);
    cot_buffer_destroy(r->source);
    cot_buffer_destroy(r->middle);
    free(r);
}

static cot_status grow(cot_buffer **b, cot_device *device, size_t floats, cot_error *err)
{
    if (*b && (*b)->floats >= floats) return COT_OK;
    cot_buffer_destroy(*b);
    *b = NULL;
    return cot_buffer_create(b, device, floats, err);
}

static cot_status passes(cot_resampler *r, cot_buffer *y, size_t at_image, size_t cols, cot_error *err)
{
    cot_status status = COT_OK;
    const cl_int size = (cl_int)r->size, width = (cl_int)cols, taps_down = (cl_int)r->down.taps,
                 taps_across = (cl_int)r->across.taps;
    const cl_ulong at = at_image * r->size * r->size;
    const cl_float mean = r->mean, scale = 1.0f / r->std;
    const kernel_arg down[] = {ARG_BUFFER(r->middle),     ARG_BUFFER(r->source), ARG_BUFFER(r->down.weights),
                               ARG_BUFFER(r->down.first), ARG_VALUE(size),       ARG_VALUE(width),
                               ARG_VALUE(taps_down)};
    const kernel_arg across[] = {ARG_BUFFER(y),
                                 ARG_BUFFER(r->middle),
                                 ARG_BUFFER(r->across.weights),
                                 ARG_BUFFER(r->across.first),
                                 ARG_VALUE(at),
                                 ARG_VALUE(size),
                                 ARG_VALUE(width),
                                 ARG_VALUE(taps_across),
                                 ARG_VALUE(mean),
                                 ARG_VALUE(scale)};
    const size_t blocks = (cols + r->device->tile.vector - 1) / r->device->tile.vector;
    COT_TRY(KERNEL_LAUNCH(r->device, KERNEL_RESAMPLE_DOWN, down, blocks, r->size, err));
    COT_TRY(KERNEL_LAUNCH(r->device, KERNEL_RESAMPLE_ACROSS, across, r->size, r->size, err));
done:
    return status;
}

cot_status cot_resampler_run(cot_resampler *r, cot_buffer *y, size_t at_image, const float *x, size_t rows, size_t cols,
                             cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0, middle = 0, end = 0;
    if (rows == 0 || cols == 0) return cot_fail(err, COT_E_INPUT, "resample: an image of %zux%zu pixels", rows, cols);
    if (!cot_mul(&floats, rows, cols) || floats > FLOATS_MOST || !cot_mul(&middle, r->size, cols) ||
        middle > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "resample: an image of %zux%zu pixels is more than this program handles",
                        rows, cols);
    if (!cot_add(&end, at_image, 1) || !cot_mul(&end, end, r->size * r->size))
        return cot_fail(err, COT_E_BUG, "resample: image %zu of a batch", at_image);
    COT_TRY(buffer_check(y, r->device, end, "resample: result", err));
    COT_TRY(axis_set(&r->down, r, rows, err));
    COT_TRY(axis_set(&r->across, r, cols, err));
    COT_TRY(grow(&r->source, r->device, floats, err));
    COT_TRY(grow(&r->middle, r->device, middle, err));
    COT_TRY(cot_buffer_write(r->source, 0, x, floats, err));
    COT_TRY(passes(r, y, at_image, cols, err));
done:
    return status;
}
