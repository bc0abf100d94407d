/* Linear layers: weights prepared once (column panels for the tile kernel, as they are for CLBlast), one product per
 * launch. The tile's height follows the number of rows, so that 49 rows cost 49 and not 60. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <clblast_c.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHED_WEIGHTS ((size_t)384 << 10) /* of a second-level cache of 512 KiB or more */
#define ALIAS          ((size_t)4096)      /* bytes of one way of a first-level cache: 64 sets of 64 bytes */

enum { PACKERS_MOST = 8, PACK_TOGETHER = 1 << 18 }; /* threads; floats from which on several are worth it */

/* ---- weights ---- */
cot_status weights_create(cot_weights **out, cot_device *device, size_t out_features, size_t in_features,
                          cot_error *err)
{
    size_t all = 0;
    *out = NULL;
    if (out_features == 0 || in_features == 0)
        return cot_fail(err, COT_E_BUG, "weights of %zu x %zu", out_features, in_features);
    if (!cot_mul(&all, out_features, in_features) || all > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "weights of %zu x %zu are more than this program handles", out_features,
                        in_features);
    cot_weights *w = calloc(1, sizeof *w);
    if (!w) return cot_fail(err, COT_E_MEMORY, "prepare weights: no memory");
    w->device = device;
    w->choice = device->gemm;
    w->out = out_features;
    w->in = in_features;
    *out = w;
    return COT_OK;
}

size_t tile_panels(const cot_device *device, size_t columns)
{
    const size_t width = (size_t)device->tile.vector * 2;
    return (columns + width - 1) / width;
}

/* Row n of the stacked parts; NULL: beyond the last. */
static const float *part_row(const cot_linear_part *parts, size_t n_parts, size_t n, size_t in)
{
    for (size_t i = 0; i < n_parts; n -= parts[i++].rows)
        if (n < parts[i].rows) return parts[i].w + n * in;
    return NULL;
}

/* [width][in] -> [in][width]; rows that are not there become zeros. In blocks that the nearest cache holds. */
static void pack_panel(float *to, const float *const *row, size_t width, size_t in)
{
    enum { BLOCK = 64 };
    for (size_t from = 0; from < in; from += BLOCK) {
        const size_t end = from + BLOCK < in ? from + BLOCK : in;
        for (size_t n = 0; n < width; n++)
            for (size_t k = from; k < end; k++) to[k * width + n] = row[n] ? row[n][k] : 0.0f;
    }
}

/* Panels `first` to `end` of [panel][in][width]. */
typedef struct pack_job {
    float *to;
    const cot_weights *w;
    const cot_linear_part *parts;
    size_t n_parts, first, end;
} pack_job;

static void *pack_panels(void *arg)
{
    const pack_job *job = arg;
    const size_t width = (size_t)job->w->device->tile.vector * 2, in = job->w->in;
    const float *row[2 * TILE_VECTOR_MAX];
    for (size_t p = job->first; p < job->end; p++) {
        for (size_t n = 0; n < width; n++) row[n] = part_row(job->parts, job->n_parts, p * width + n, in);
        pack_panel(job->to + p * in * width, row, width, in);
    }
    return NULL;
}

/* As the device's implementation wants them: panels, or plain rows. Large matrices by several threads, for half of the time
 * goes into getting the memory. */
static void pack(float *to, const cot_weights *w, const cot_linear_part *parts, size_t n_parts)
{
    const size_t panels = tile_panels(w->device, w->out);
    if (w->choice == COT_GEMM_CLBLAST) {
        for (size_t i = 0; i < n_parts; to += parts[i++].rows * w->in)
            memcpy(to, parts[i].w, parts[i].rows * w->in * sizeof *to);
        return;
    }
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const bool alone = cores < 2 || w->out * w->in < PACK_TOGETHER;
    const size_t n = alone ? 1 : cores < PACKERS_MOST ? (size_t)cores : PACKERS_MOST;
    pack_job jobs[PACKERS_MOST];
    pthread_t threads[PACKERS_MOST];
    bool started[PACKERS_MOST] = {false};
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (pack_job){to, w, parts, n_parts, panels * i / n, panels * (i + 1) / n};
        started[i] = i + 1 < n && pthread_create(&threads[i], NULL, pack_panels, &jobs[i]) == 0;
        if (!started[i]) pack_panels(&jobs[i]);
    }
    for (size_t i = 0; i < n; i++)
        if (started[i]) pthread_join(threads[i], NULL);
}

/* Straight into the device's memory where it is the host's: no copy lies in between. */
static cot_status weights_take(cot_weights *w, const cot_linear_part *parts, size_t n_parts, cot_error *err)
{
    cot_status status;
    const size_t columns = tile_panels(w->device, w->out) * w->device->tile.vector * 2;
    float *host = NULL, *bias = calloc(columns, sizeof *bias);
    if (!bias) return cot_fail(err, COT_E_MEMORY, "prepare weights: no memory");
    for (size_t i = 0, at = 0; i < n_parts; at += parts[i++].rows)
        if (parts[i].bias) memcpy(bias + at, parts[i].bias, parts[i].rows * sizeof *bias);
    COT_TRY(buffer_of(&w->bias, w->device, bias, columns, err));
    COT_TRY(buffer_raw(&w->w, w->device, (w->choice == COT_GEMM_CLBLAST ? w->out : columns) * w->in, err));
    COT_TRY(buffer_map(&host, w->w, err));
    pack(host, w, parts, n_parts);
    COT_TRY(buffer_unmap(w->w, host, err));
done:
    free(bias);
    return status;
}

cot_status weights_upload(cot_weights *w, const float *rows, const float *bias, cot_error *err)
{
    return weights_take(w, &(cot_linear_part){rows, bias, w->out}, 1, err);
}

cot_status cot_linear_prepare_stacked(cot_weights **out, cot_device *device, const cot_linear_part *parts, size_t n,
                                      size_t in_features, cot_error *err)
{
    cot_status status;
    size_t out_features = 0;
    *out = NULL;
    for (size_t i = 0; i < n; i++)
        if (!cot_add(&out_features, out_features, parts[i].rows))
            return cot_fail(err, COT_E_LIMIT, "prepare weights: too many rows");
    COT_TRY(weights_create(out, device, out_features, in_features, err));
    COT_TRY(weights_take(*out, parts, n, err));
done:
    if (status != COT_OK) {
        cot_weights_destroy(*out);
        *out = NULL;
    }
    return status;
}

cot_status cot_linear_prepare(cot_weights **out, cot_device *device, const float *w, const float *bias,
                              size_t out_features, size_t in_features, cot_error *err)
{
    return cot_linear_prepare_stacked(out, device, &(cot_linear_part){w, bias, out_features}, 1, in_features, err);
}

void cot_weights_destroy(cot_weights *w)
{
    if (!w) return;
    cot_buffer_destroy(w->w);
    cot_buffer_destroy(w->bias);
    cot_buffer_destroy(w->zeros);
    free(w);
}

/* ---- tile ---- */
/* Cost of one step along k: two vector multiply-adds per row, and about one row's worth of loads. Rows that lie a multiple
 * of ALIAS bytes apart meet in one set of the nearest cache, and the tallest tiles push their own rows out: 14 rows of
 * 3072 floats reach 74 % of the peak, 12 reach 92 %, 10 reach 95 %. */
unsigned tile_height_apart(const cot_device *device, size_t rows, size_t panels, size_t stride)
{
    const tile_plan *tile = &device->tile;
    const size_t units = device->info.compute_units ? device->info.compute_units : 1;
    unsigned best = tile->n_heights - 1;
    double least = INFINITY;
    for (unsigned i = 0; i < tile->n_heights; i++) {
        const size_t height = tile->heights[i];
        if (height > rows || (height > 12 && device->tile.local == 1 && stride * sizeof(float) % ALIAS == 0)) continue;
        const size_t tiles = (rows + height - 1) / height * panels;
        const double cost = (double)((tiles + units - 1) / units) * ((double)height + 1.0);
        if (cost < least * 0.999) {
            least = cost;
            best = i;
        }
    }
    return best;
}

unsigned tile_height(const cot_device *device, size_t rows, size_t panels)
{
    return tile_height_apart(device, rows, panels, 1);
}

/* Weights that a core's cache holds are walked through for each tile of rows, so that the rows are read once; larger
 * ones panel by panel. Work-groups side by side need the tiles in the first dimension. */
int tile_order(const cot_weights *w)
{
    const size_t bytes = w->in * tile_panels(w->device, w->out) * w->device->tile.vector * 2 * sizeof(float);
    return w->device->tile.local == 1 && bytes <= CACHED_WEIGHTS ? TILE_PANELS_FIRST : 0;
}

cot_status tile_launch(cot_device *device, kernel_id family, const kernel_arg *args, cl_uint n_args, unsigned height,
                       size_t rows, size_t panels, int flags, cot_error *err)
{
    const size_t tiles = (rows + device->tile.heights[height] - 1) / device->tile.heights[height];
    const bool panels_first = flags & TILE_PANELS_FIRST;
    return kernel_launch(device, (kernel_id)(family + height), args, n_args, panels_first ? panels : tiles,
                         panels_first ? tiles : panels, err);
}

static cot_status tile_forward(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t rows,
                               const cot_buffer *residual, cot_activation act, cot_error *err)
{
    cot_device *device = w->device;
    const size_t panels = tile_panels(device, w->out);
    const unsigned height = tile_height_apart(device, rows, panels, w->in);
    const cl_int flags = tile_order(w) | (residual ? TILE_RESIDUAL : 0);
    const cl_int m = (cl_int)rows, n = (cl_int)w->out, k = (cl_int)w->in, what = (cl_int)act;
    const cl_float lowest = act == COT_ACT_RELU ? 0.0f : -INFINITY;
    const kernel_arg args[] = {
        ARG_BUFFER(y),    ARG_BUFFER(x),     ARG_BUFFER(w->w), ARG_BUFFER(w->bias), ARG_BUFFER(residual ? residual : y),
        ARG_VALUE(flags), ARG_VALUE(lowest), ARG_VALUE(what),  ARG_VALUE(m),        ARG_VALUE(n),
        ARG_VALUE(k)};
    return tile_launch(device, KERNEL_GEMM, args, sizeof args / sizeof *args, height, rows, panels, flags, err);
}

/* ---- CLBlast ---- */
static cot_status blast_fail(cot_error *err, CLBlastStatusCode code)
{
    if (code <= -1 && code > -100) return device_fail(err, (cl_int)code, "CLBlast");
    return cot_fail(err, COT_E_DEVICE, "CLBlast: error %d; force gemm=\"tile\" for this device", (int)code);
}

/* CLBlast pads into temporary memory; kept here, so that steady state allocates nothing. */
static cot_status work_grow(cot_device *device, size_t bytes, cot_error *err)
{
    const size_t floats = bytes / sizeof(float) + 1;
    if (bytes == 0 || (device->work && device->work->floats >= floats)) return COT_OK;
    cot_status status = cot_device_finish(device, err);
    if (status != COT_OK) return status;
    cot_buffer_destroy(device->work);
    device->work = NULL;
    return cot_buffer_create(&device->work, device, floats, err);
}

cot_status clblast_multiply(cot_device *device, cl_mem c, size_t c_at, cl_mem a, size_t a_at, bool a_t, cl_mem b,
                            size_t b_at, bool b_t, size_t m, size_t n, size_t k, bool add, cot_error *err)
{
    const CLBlastTranspose ta = a_t ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastTranspose tb = b_t ? CLBlastTransposeYes : CLBlastTransposeNo;
    const size_t lda = a_t ? m : k, ldb = b_t ? k : n;
    size_t bytes = 0;
    CLBlastStatusCode code = CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, ta, tb, m, n, k, a_at, lda, b_at, ldb,
                                                        c_at, n, &device->queue, &bytes);
    if (code != CLBlastSuccess) return blast_fail(err, code);
    const cot_status status = work_grow(device, bytes, err);
    if (status != COT_OK) return status;
    code = CLBlastSgemmWithTempBuffer(CLBlastLayoutRowMajor, ta, tb, m, n, k, 1.0f, a, a_at, lda, b, b_at, ldb,
                                      add ? 1.0f : 0.0f, c, c_at, n, &device->queue, NULL,
                                      bytes ? device->work->mem : NULL);
    if (code != CLBlastSuccess) return blast_fail(err, code);
    device->ledger.launches++;
    return COT_OK;
}

cot_status clblast_product(cl_mem y, size_t y_at, cl_mem x, const cot_weights *w, size_t rows, bool add, cot_error *err)
{
    return clblast_multiply(w->device, y, y_at, x, 0, false, w->w->mem, 0, true, rows, w->out, w->in, add, err);
}

cot_status epilogue_forward(cot_buffer *y, const cot_weights *w, size_t rows, const cot_buffer *residual,
                            cot_activation act, cot_error *err)
{
    const cl_ulong n = rows * w->out, columns = w->out;
    const cl_int what = (cl_int)act, has_residual = residual != NULL;
    const kernel_arg args[] = {ARG_BUFFER(y),  ARG_BUFFER(w->bias), ARG_BUFFER(residual ? residual : y),
                               ARG_VALUE(n),   ARG_VALUE(columns),  ARG_VALUE(has_residual),
                               ARG_VALUE(what)};
    return KERNEL_LAUNCH(w->device, KERNEL_EPILOGUE, args, n, 1, err);
}

cot_status cot_linear_forward(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t rows,
                              const cot_buffer *residual, cot_activation act, cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0, ny = 0;
    if (w->is_conv) return cot_fail(err, COT_E_BUG, "linear: these weights are a convolution's");
    if (!cot_mul(&nx, rows, w->in) || !cot_mul(&ny, rows, w->out) || nx > FLOATS_MOST || ny > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "linear: %zu rows are more than one launch takes; lower the batch", rows);
    COT_TRY(buffer_check(y, w->device, ny, "linear: result", err));
    COT_TRY(buffer_check(x, w->device, nx, "linear: input", err));
    if (residual) COT_TRY(buffer_check(residual, w->device, ny, "linear: residual", err));
    if (rows == 0) goto done;
    if (w->choice == COT_GEMM_CLBLAST) {
        const bool in_place = residual && residual->mem == y->mem;
        COT_TRY(clblast_product(y->mem, 0, x->mem, w, rows, in_place, err));
        COT_TRY(epilogue_forward(y, w, rows, in_place ? NULL : residual, act, err));
    } else {
        COT_TRY(tile_forward(y, x, w, rows, residual, act, err));
    }
done:
    return status;
}
