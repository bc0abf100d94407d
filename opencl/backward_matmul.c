/* Products of plain matrices and what is made of them: linear layers on weights that training changes. Tile kernels on
 * CPUs, CLBlast where the device does better with it; small and odd shapes one float at a time. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"

static cl_int4 from_arg(product_at at)
{
    const cl_int4 from = {{(cl_int)at.c, (cl_int)at.a, (cl_int)at.b, 0}};
    return from;
}

/* Flags of the product kernels: the smaller factor is walked through for each piece of the larger one, which is then
 * read once. Work-groups side by side need the rows in the first dimension. */
static cl_int flags_of(const cot_device *device, size_t m, size_t n, bool add)
{
    return (add ? 1 : 0) | (device->tile.local == 1 && n < m ? TILE_PANELS_FIRST : 0);
}

/* Short sums: the result is most of the memory, and rows of it are written along. */
static bool writes_most(size_t m, size_t n, size_t k)
{
    return k <= 64 && k < m && k < n;
}

/* c = a · bᵀ, vectors along the sum. */
static cot_status dot_run(cot_buffer *c, const cot_buffer *a, const cot_buffer *b, size_t m, size_t n, size_t k,
                          bool add, product_at at, cot_error *err)
{
    const bool wide = c->device->tile.vector == 16;
    const size_t down = wide ? 4 : 2, across = wide ? 6 : 4; /* as in product_backward.cl */
    const size_t groups[2] = {(m + down - 1) / down, (n + across - 1) / across};
    const cl_int rows = (cl_int)m, columns = (cl_int)n, sum = (cl_int)k, flags = flags_of(c->device, m, n, add);
    const cl_int4 from = from_arg(at);
    const kernel_arg args[] = {ARG_BUFFER(c),      ARG_BUFFER(a),  ARG_BUFFER(b),    ARG_VALUE(rows),
                               ARG_VALUE(columns), ARG_VALUE(sum), ARG_VALUE(flags), ARG_VALUE(from)};
    const bool turned = flags & TILE_PANELS_FIRST;
    return BACKWARD_LAUNCH(c->device, BACKWARD_DOT, args, groups[turned], groups[!turned], err);
}

static cot_status tile_run(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, size_t m, size_t n,
                           size_t k, bool add, product_at at, cot_error *err)
{
    cot_device *device = c->device;
    const size_t panels = tile_panels(device, n);
    const unsigned height = tile_height(device, m, panels);
    const size_t groups[2] = {(m + device->tile.heights[height] - 1) / device->tile.heights[height], panels};
    const cl_int rows = (cl_int)m, columns = (cl_int)n, sum = (cl_int)k;
    const cl_int flags = flags_of(device, m, writes_most(m, n, k) ? 0 : n, add);
    const cl_int row = a_t ? 1 : (cl_int)k, step = a_t ? (cl_int)m : 1;
    const cl_int4 from = from_arg(at);
    const kernel_arg args[] = {ARG_BUFFER(c),  ARG_BUFFER(a),  ARG_BUFFER(b),   ARG_VALUE(rows),  ARG_VALUE(columns),
                               ARG_VALUE(sum), ARG_VALUE(row), ARG_VALUE(step), ARG_VALUE(flags), ARG_VALUE(from)};
    const bool turned = flags & TILE_PANELS_FIRST;
    return BACKWARD_LAUNCH(device, (backward_id)(BACKWARD_MATMUL + height), args, groups[turned], groups[!turned], err);
}

static cot_status plain_run(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, bool b_t, size_t m,
                            size_t n, size_t k, bool add, product_at at, cot_error *err)
{
    const cl_int columns = (cl_int)n, sum = (cl_int)k, plus = add;
    const cl_int4 steps = {{a_t ? 1 : (cl_int)k, a_t ? (cl_int)m : 1, b_t ? 1 : (cl_int)n, b_t ? (cl_int)k : 1}};
    const cl_int4 from = from_arg(at);
    const kernel_arg args[] = {ARG_BUFFER(c),  ARG_BUFFER(a),    ARG_BUFFER(b),   ARG_VALUE(columns),
                               ARG_VALUE(sum), ARG_VALUE(steps), ARG_VALUE(plus), ARG_VALUE(from)};
    return BACKWARD_LAUNCH(c->device, BACKWARD_PLAIN, args, n, m, err);
}

cot_status product_run(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, bool b_t, size_t m, size_t n,
                       size_t k, bool add, product_at at, cot_error *err)
{
    cot_device *device = c->device;
    if (m == 0 || n == 0) return COT_OK;
    if (device->gemm == COT_GEMM_CLBLAST && k > 0)
        return clblast_multiply(device, c->mem, at.c, a->mem, at.a, a_t, b->mem, at.b, b_t, m, n, k, add, err);
    if (b_t && !a_t) return dot_run(c, a, b, m, n, k, add, at, err);
    if (!b_t && n >= (size_t)device->tile.vector * 2) return tile_run(c, a, a_t, b, m, n, k, add, at, err);
    return plain_run(c, a, a_t, b, b_t, m, n, k, add, at, err);
}

cot_status cot_matmul(cot_buffer *c, const cot_buffer *a, bool a_t, const cot_buffer *b, bool b_t, size_t m, size_t n,
                      size_t k, bool add, cot_error *err)
{
    cot_status status = COT_OK;
    const product_at start = {0, 0, 0};
    size_t nc = 0, na = 0, nb = 0;
    COT_TRY(backward_count(&nc, m, n, 1, 1, "product", err));
    COT_TRY(backward_count(&na, m, k, 1, 1, "product", err));
    COT_TRY(backward_count(&nb, k, n, 1, 1, "product", err));
    COT_TRY(buffer_check(c, c->device, nc, "product: result", err));
    COT_TRY(buffer_check(a, c->device, na, "product: left", err));
    COT_TRY(buffer_check(b, c->device, nb, "product: right", err));
    if (c->mem == a->mem || c->mem == b->mem)
        return cot_fail(err, COT_E_BUG, "product: the result is one of the factors");
    COT_TRY(product_run(c, a, a_t, b, b_t, m, n, k, add, start, err));
done:
    return status;
}

cot_status cot_linear_plain_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *w, const cot_buffer *bias,
                                    size_t rows, size_t out, size_t in, cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    COT_TRY(backward_count(&n, rows, out, 1, 1, "linear", err));
    COT_TRY(buffer_check(y, y->device, n, "linear: result", err));
    if (bias) { /* the bias first, then the product on top */
        COT_TRY(buffer_check(bias, y->device, out, "linear: bias", err));
        const cl_int all = (cl_int)n, columns = (cl_int)out;
        const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(bias), ARG_VALUE(all), ARG_VALUE(columns)};
        COT_TRY(BACKWARD_LAUNCH(y->device, BACKWARD_BIAS, args, out, rows, err));
    }
    COT_TRY(cot_matmul(y, x, false, w, true, rows, out, in, bias != NULL, err));
done:
    return status;
}

cot_status cot_linear_backward(cot_buffer *dx, cot_buffer *dw, cot_buffer *db, const cot_buffer *dy,
                               const cot_buffer *x, const cot_buffer *w, size_t rows, size_t out, size_t in,
                               cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0, slices = 0;
    cot_buffer *partial = NULL;
    COT_TRY(backward_count(&n, rows, out, 1, 1, "linear backward", err));
    COT_TRY(buffer_check(dy, dy->device, n, "linear backward: gradient", err));
    if (dx) COT_TRY(cot_matmul(dx, dy, false, w, false, rows, in, out, true, err));
    if (dw) COT_TRY(cot_matmul(dw, dy, true, x, false, out, in, rows, true, err));
    if (db) {
        COT_TRY(buffer_check(db, dy->device, out, "linear backward: bias", err));
        COT_TRY(backward_columns(&partial, &slices, dy, NULL, NULL, false, rows, out, err));
        COT_TRY(backward_fold(db, partial, slices, out, 0, out, true, err));
    }
done:
    return status;
}
