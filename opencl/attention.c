/* Launches for transformers: attention, an image's patches, the class token, rows and parts of rows. Each checks its
 * buffers' sizes, then binds and enqueues; nothing is allocated. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <math.h>

enum { ATTENTION_QUERIES = 4 }; /* of one work-item, as in attention.cl */

/* Floats from the first one of `rows` rows that lie `stride` apart to the end of `width` floats at `at` of the last. */
static cot_status span(size_t *floats, size_t rows, size_t stride, size_t at, size_t width, const char *what,
                       cot_error *err)
{
    size_t end = 0;
    *floats = 0;
    if (rows == 0) return COT_OK;
    if (!cot_add(&end, at, width) || end > stride)
        return cot_fail(err, COT_E_BUG, "%s: floats %zu to %zu of rows of %zu", what, at, at + width, stride);
    if (!cot_mul(floats, rows - 1, stride) || !cot_add(floats, *floats, end) || *floats > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "%s: %zu rows of %zu are more than one launch takes; lower the batch", what,
                        rows, stride);
    return COT_OK;
}

static cot_status attention_check(const cot_buffer *y, const cot_buffer *q, const cot_buffer *kv,
                                  const cot_buffer *mask, const cot_attention_shape *s, cot_error *err)
{
    cot_status status = COT_OK;
    size_t asked = 0, known = 0, n = 0;
    if (!s->tokens || !s->heads || !s->width || s->width % s->heads)
        return cot_fail(err, COT_E_BUG, "attention: %zu tokens, width %zu in %zu heads", s->tokens, s->width, s->heads);
    if (!cot_mul(&asked, s->items, s->queries) || !cot_mul(&known, s->items, s->tokens))
        return cot_fail(err, COT_E_LIMIT, "attention: %zu items are more than one launch takes", s->items);
    COT_TRY(span(&n, asked, s->width, 0, s->width, "attention: result", err));
    COT_TRY(buffer_check(y, y->device, n, "attention: result", err));
    COT_TRY(span(&n, asked, s->q_stride, s->q_at, s->width, "attention: queries", err));
    COT_TRY(buffer_check(q, y->device, n, "attention: queries", err));
    COT_TRY(span(&n, known, s->kv_stride, s->k_at, s->width, "attention: keys", err));
    COT_TRY(buffer_check(kv, y->device, n, "attention: keys", err));
    COT_TRY(span(&n, known, s->kv_stride, s->v_at, s->width, "attention: values", err));
    COT_TRY(buffer_check(kv, y->device, n, "attention: values", err));
    if (mask) COT_TRY(buffer_check(mask, y->device, known, "attention: mask", err));
done:
    return status;
}

cot_status cot_attention_forward(cot_buffer *y, const cot_buffer *q, const cot_buffer *kv, const cot_buffer *mask,
                                 const cot_attention_shape *shape, cot_error *err)
{
    const cot_attention_shape *s = shape;
    const cot_status status = attention_check(y, q, kv, mask, s, err);
    if (status != COT_OK) return status;
    const size_t depth = s->width / s->heads, blocks = (s->queries + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES;
    const cl_int has_mask = mask != NULL, items = (cl_int)s->items;
    const cl_int8 sizes = {{(cl_int)s->tokens, (cl_int)s->queries, (cl_int)s->heads, (cl_int)depth, (cl_int)s->q_stride,
                            (cl_int)s->kv_stride, 0, 0}};
    const cl_int4 at = {{(cl_int)s->q_at, (cl_int)s->k_at, (cl_int)s->v_at, 0}};
    const cl_float scale = (cl_float)(1.0 / sqrt((double)depth));
    const kernel_arg args[] = {ARG_BUFFER(y),       ARG_BUFFER(q),    ARG_BUFFER(kv),   ARG_BUFFER(mask ? mask : kv),
                               ARG_VALUE(has_mask), ARG_VALUE(items), ARG_VALUE(sizes), ARG_VALUE(at),
                               ARG_VALUE(scale)};
    return KERNEL_LAUNCH(y->device, KERNEL_ATTENTION, args, s->items * s->heads * blocks, 1, err);
}

cot_status cot_patches_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t channels, size_t size, size_t patch,
                               cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0;
    if (!patch || !channels || size < patch) /* a rest at the right and bottom is left out, as the convolution does */
        return cot_fail(err, COT_E_BUG, "patches: %zu channels, patches of %zu on images of %zu", channels, patch,
                        size);
    if (!cot_mul(&nx, n, channels) || !cot_mul(&nx, nx, size) || !cot_mul(&nx, nx, size) || nx > FLOATS_MOST)
        return cot_fail(err, COT_E_LIMIT, "patches: %zu images are more than one launch takes; lower the batch", n);
    const size_t rows = n * (size / patch) * (size / patch);
    COT_TRY(buffer_check(y, y->device, rows * channels * patch * patch, "patches: result", err));
    COT_TRY(buffer_check(x, y->device, nx, "patches: images", err));
    const cl_int r = (cl_int)rows, c = (cl_int)channels, side = (cl_int)size, p = (cl_int)patch;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(r), ARG_VALUE(c), ARG_VALUE(side), ARG_VALUE(p)};
    COT_TRY(KERNEL_LAUNCH(y->device, KERNEL_PATCHES, args, rows, channels * patch, err));
done:
    return status;
}

cot_status cot_tokens_forward(cot_buffer *y, const cot_buffer *patches, const cot_buffer *cls,
                              const cot_buffer *position, size_t items, size_t n_patches, size_t width, cot_error *err)
{
    cot_status status = COT_OK;
    size_t rows = 0, count = 0, ny = 0, np = 0;
    if (!cot_add(&count, n_patches, 1) || !cot_mul(&rows, items, count))
        return cot_fail(err, COT_E_LIMIT, "tokens: %zu items of %zu patches", items, n_patches);
    COT_TRY(span(&ny, rows, width, 0, width, "tokens: result", err));
    COT_TRY(span(&np, items * n_patches, width, 0, width, "tokens: patches", err));
    COT_TRY(buffer_check(y, y->device, ny, "tokens: result", err));
    COT_TRY(buffer_check(patches, y->device, np, "tokens: patches", err));
    COT_TRY(buffer_check(cls, y->device, width, "tokens: class token", err));
    COT_TRY(span(&np, count, width, 0, width, "tokens: positions", err));
    COT_TRY(buffer_check(position, y->device, np, "tokens: positions", err));
    const cl_int tokens = (cl_int)count, w = (cl_int)width;
    const kernel_arg args[] = {ARG_BUFFER(y),        ARG_BUFFER(patches), ARG_BUFFER(cls),
                               ARG_BUFFER(position), ARG_VALUE(tokens),   ARG_VALUE(w)};
    COT_TRY(KERNEL_LAUNCH(y->device, KERNEL_TOKENS, args, width, rows, err));
done:
    return status;
}

/* ---- rows ---- */
typedef struct row_layout {
    size_t stride, at;
} row_layout;

static cot_status rows_copy(cot_buffer *y, row_layout to, const cot_buffer *x, row_layout from, size_t rows,
                            size_t width, const char *what, cot_error *err)
{
    cot_status status = COT_OK;
    size_t nx = 0, ny = 0;
    COT_TRY(span(&ny, rows, to.stride, to.at, width, what, err));
    COT_TRY(span(&nx, rows, from.stride, from.at, width, what, err));
    COT_TRY(buffer_check(y, y->device, ny, what, err));
    COT_TRY(buffer_check(x, y->device, nx, what, err));
    const cl_int w = (cl_int)width, y_stride = (cl_int)to.stride, y_at = (cl_int)to.at;
    const cl_int x_stride = (cl_int)from.stride, x_at = (cl_int)from.at;
    const kernel_arg args[] = {ARG_BUFFER(y),   ARG_BUFFER(x),       ARG_VALUE(w),   ARG_VALUE(y_stride),
                               ARG_VALUE(y_at), ARG_VALUE(x_stride), ARG_VALUE(x_at)};
    COT_TRY(KERNEL_LAUNCH(y->device, KERNEL_COPY_ROWS, args, width, rows, err));
done:
    return status;
}

/* Row `at` of each item of `rows` rows. */
static cot_status row_of(row_layout *layout, size_t rows, size_t at, size_t width, const char *what, cot_error *err)
{
    if (at >= rows) return cot_fail(err, COT_E_BUG, "%s: row %zu of %zu", what, at, rows);
    if (!cot_mul(&layout->stride, rows, width))
        return cot_fail(err, COT_E_LIMIT, "%s: %zu rows of %zu floats", what, rows, width);
    layout->at = at * width;
    return COT_OK;
}

cot_status cot_row_forward(cot_buffer *y, const cot_buffer *x, size_t items, size_t rows, size_t at, size_t width,
                           cot_error *err)
{
    row_layout from;
    const cot_status status = row_of(&from, rows, at, width, "read rows", err);
    if (status != COT_OK) return status;
    return rows_copy(y, (row_layout){width, 0}, x, from, items, width, "read rows", err);
}

cot_status cot_row_write(cot_buffer *y, const cot_buffer *x, size_t items, size_t rows, size_t at, size_t width,
                         cot_error *err)
{
    row_layout to;
    const cot_status status = row_of(&to, rows, at, width, "write rows", err);
    if (status != COT_OK) return status;
    return rows_copy(y, to, x, (row_layout){width, 0}, items, width, "write rows", err);
}

cot_status cot_concat_forward(cot_buffer *y, const cot_buffer *a, size_t a_width, const cot_buffer *b, size_t b_width,
                              size_t rows, cot_error *err)
{
    cot_status status = COT_OK;
    size_t width = 0, n = 0;
    if (!cot_add(&width, a_width, b_width))
        return cot_fail(err, COT_E_LIMIT, "concat: widths %zu and %zu", a_width, b_width);
    COT_TRY(span(&n, rows, width, 0, width, "concat: result", err));
    COT_TRY(buffer_check(y, y->device, n, "concat: result", err));
    COT_TRY(buffer_check(a, y->device, rows * a_width, "concat: left part", err));
    COT_TRY(buffer_check(b, y->device, rows * b_width, "concat: right part", err));
    const cl_int left = (cl_int)a_width, right = (cl_int)b_width;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(a), ARG_BUFFER(b), ARG_VALUE(left), ARG_VALUE(right)};
    COT_TRY(KERNEL_LAUNCH(y->device, KERNEL_CONCAT, args, width, rows, err));
done:
    return status;
}
