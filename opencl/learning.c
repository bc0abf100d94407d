/* Training's moves and dropout (learning.h). Each checks its buffers' sizes, then binds and enqueues. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/learning_device.h"

cot_status cot_training_prepare(cot_device *device, cot_error *err)
{
    return cot_backward_prepare(device, err); /* one table has them all */
}

/* ---- moves ---- */
cot_status cot_copy(cot_buffer *y, size_t y_at, const cot_buffer *x, size_t x_at, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    size_t y_end = 0, x_end = 0;
    if (!cot_add(&y_end, y_at, n) || !cot_add(&x_end, x_at, n)) return cot_fail(err, COT_E_BUG, "copy: %zu floats", n);
    COT_TRY(buffer_check(y, y->device, y_end, "copy: result", err));
    COT_TRY(buffer_check(x, y->device, x_end, "copy: source", err));
    if (y->mem == x->mem) return cot_fail(err, COT_E_BUG, "copy: within one buffer");
    if (n == 0) goto done;
    const cl_int code = clEnqueueCopyBuffer(y->device->queue, x->mem, y->mem, x_at * sizeof(float),
                                            y_at * sizeof(float), n * sizeof(float), 0, NULL, NULL);
    if (code != CL_SUCCESS) return device_fail(err, code, "copy %zu floats", n);
    y->device->ledger.launches++;
done:
    return status;
}

cot_status cot_repeat(cot_buffer *y, const cot_buffer *x, size_t items, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    COT_TRY(backward_count(&all, items, n, 1, 1, "repeat", err));
    COT_TRY(buffer_check(y, y->device, all, "repeat: result", err));
    COT_TRY(buffer_check(x, y->device, n, "repeat: item", err));
    if (y->mem == x->mem) return cot_fail(err, COT_E_BUG, "repeat: the result is the item");
    const cl_int floats = (cl_int)n;
    const kernel_arg args[] = {ARG_BUFFER(y), ARG_BUFFER(x), ARG_VALUE(floats)};
    COT_TRY(BACKWARD_LAUNCH(y->device, TRAINING_REPEAT, args, backward_vectors(y->device, n), items, err));
done:
    return status;
}

cot_status cot_repeat_backward(cot_buffer *dx, const cot_buffer *dy, size_t items, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *partial = NULL;
    size_t all = 0, slices = 0;
    COT_TRY(backward_count(&all, items, n, 1, 1, "repeat backward", err));
    COT_TRY(buffer_check(dy, dx->device, all, "repeat backward: gradient", err));
    COT_TRY(buffer_check(dx, dx->device, n, "repeat backward: result", err));
    COT_TRY(backward_columns(&partial, &slices, dy, NULL, NULL, false, items, n, err));
    COT_TRY(backward_fold(dx, partial, slices, n, 0, n, true, err));
done:
    return status;
}

cot_status cot_activation_backward_from(cot_buffer *dx, const cot_buffer *dy, const cot_buffer *y, size_t n,
                                        cot_activation act, float scale, cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    if (act != COT_ACT_RELU && act != COT_ACT_ELU)
        return cot_fail(err, COT_E_BUG, "activation backward: %d cannot be told from its result", (int)act);
    COT_TRY(backward_count(&all, n, 1, 1, 1, "activation backward", err));
    COT_TRY(buffer_check(dx, dy->device, n, "activation backward: result", err));
    COT_TRY(buffer_check(dy, dy->device, n, "activation backward: gradient", err));
    COT_TRY(buffer_check(y, dy->device, n, "activation backward: the forward's result", err));
    const cl_int count = (cl_int)n, what = (cl_int)act, replace = dx->mem == dy->mem;
    const cl_float factor = scale;
    const kernel_arg args[] = {ARG_BUFFER(dx),  ARG_BUFFER(dy),    ARG_BUFFER(y),     ARG_VALUE(count),
                               ARG_VALUE(what), ARG_VALUE(factor), ARG_VALUE(replace)};
    COT_TRY(BACKWARD_LAUNCH(dy->device, TRAINING_ACTIVATION_FROM, args, backward_vectors(dy->device, n), 1, err));
done:
    return status;
}

/* ---- weights that change ---- */
enum { PACK_ROWS = 16 }; /* as in batch_training.cl */

static cot_status weights_reserve(cot_weights *w, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t columns = tile_panels(w->device, w->out) * w->device->tile.vector * 2;
    const size_t floats = (w->choice == COT_GEMM_CLBLAST ? w->out : columns) * w->in;
    COT_TRY(cot_buffer_create(&w->bias, w->device, columns, err));
    COT_TRY(cot_buffer_create(&w->w, w->device, floats, err));
done:
    return status;
}

/* Panels of the tile, with the kernel that packs convolutions: one tap, runs of `in`. */
static cot_status panels_pack(cot_weights *packed, const cot_buffer *w, cot_error *err)
{
    const cl_int4 s = {{(cl_int)packed->out, (cl_int)packed->in, 1, 0}}, step = {{(cl_int)packed->in, 1, 0, 0}};
    const cl_int taps = 1;
    const kernel_arg args[] = {ARG_BUFFER(packed->w), ARG_BUFFER(w), ARG_VALUE(s), ARG_VALUE(taps), ARG_VALUE(step)};
    return BACKWARD_LAUNCH(packed->device, BACKWARD_PACK, args, (packed->in + PACK_ROWS - 1) / PACK_ROWS,
                           tile_panels(packed->device, packed->out), err);
}

cot_status cot_linear_pack(cot_weights **packed, const cot_buffer *w, const cot_buffer *bias, size_t out, size_t in,
                           cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(buffer_check(w, w->device, 0, "pack: weights", err));
    if (!*packed) {
        cot_weights *fresh = NULL;
        COT_TRY(weights_create(&fresh, w->device, out, in, err));
        status = weights_reserve(fresh, err);
        if (status != COT_OK) {
            cot_weights_destroy(fresh);
            goto done;
        }
        *packed = fresh;
    }
    if ((*packed)->out != out || (*packed)->in != in)
        return cot_fail(err, COT_E_BUG, "pack: weights of %zu x %zu into %zu x %zu", out, in, (*packed)->out,
                        (*packed)->in);
    COT_TRY(buffer_check(w, w->device, out * in, "pack: weights", err));
    if (bias) COT_TRY(cot_copy((*packed)->bias, 0, bias, 0, out, err));
    if ((*packed)->choice == COT_GEMM_CLBLAST)
        COT_TRY(cot_copy((*packed)->w, 0, w, 0, out * in, err));
    else
        COT_TRY(panels_pack(*packed, w, err));
done:
    return status;
}

/* ---- dropout ---- */
enum { HOW_WRITE, HOW_ADD, HOW_FACTORS }; /* as in dropout.cl */

static cot_status dropout_run(cot_buffer *y, const cot_buffer *x, size_t n, const cot_dropout *drop, int how,
                              cot_error *err)
{
    cot_status status = COT_OK;
    size_t all = 0;
    if (!(drop->p >= 0.0f && drop->p < 1.0f))
        return cot_fail(err, COT_E_BUG, "dropout: probability %g", (double)drop->p);
    COT_TRY(backward_count(&all, n, 1, 1, 1, "dropout", err));
    COT_TRY(buffer_check(y, y->device, n, "dropout: result", err));
    COT_TRY(buffer_check(x, y->device, n, "dropout: input", err));
    const cl_int floats = (cl_int)n, mode = how;
    const cl_uint4 from = {
        {(cl_uint)drop->seed, (cl_uint)(drop->seed >> 32), (cl_uint)drop->step, (cl_uint)(drop->step >> 32)}};
    const cl_uint layer = drop->layer, least = (cl_uint)((double)drop->p * 4294967296.0);
    const cl_float factor = 1.0f / (1.0f - drop->p);
    const kernel_arg args[] = {ARG_BUFFER(y),    ARG_BUFFER(x),    ARG_VALUE(floats), ARG_VALUE(from),
                               ARG_VALUE(layer), ARG_VALUE(least), ARG_VALUE(factor), ARG_VALUE(mode)};
    COT_TRY(BACKWARD_LAUNCH(y->device, TRAINING_DROPOUT, args, (n + 3) / 4, 1, err));
done:
    return status;
}

cot_status cot_dropout_forward(cot_buffer *y, const cot_buffer *x, size_t n, const cot_dropout *drop, cot_error *err)
{
    return dropout_run(y, x, n, drop, HOW_WRITE, err);
}

cot_status cot_dropout_backward(cot_buffer *dx, const cot_buffer *dy, size_t n, const cot_dropout *drop, cot_error *err)
{
    return dropout_run(dx, dy, n, drop, dx->mem == dy->mem ? HOW_WRITE : HOW_ADD, err);
}

/* Factors of alpha, in scratch that the launch behind it reads; NULL without dropout. */
static cot_status alpha_factors(cot_buffer **out, cot_device *device, size_t items, size_t nodes, size_t heads,
                                const cot_dropout *drop, cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    *out = NULL;
    if (!drop || drop->p == 0.0f) return COT_OK;
    COT_TRY(backward_count(&n, items, heads, nodes, nodes, "graph attention: dropout", err));
    COT_TRY(backward_scratch(out, device, SCRATCH_SUMS, n, err));
    COT_TRY(dropout_run(*out, *out, n, drop, HOW_FACTORS, err));
done:
    return status;
}

cot_status cot_graph_attention_training_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src,
                                                const cot_buffer *a_dst, const cot_buffer *bias,
                                                const cot_buffer *residual, size_t items, size_t nodes, size_t heads,
                                                size_t out, const cot_dropout *drop, cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *factors = NULL;
    COT_TRY(alpha_factors(&factors, y->device, items, nodes, heads, drop, err));
    COT_TRY(graph_attention_masked_forward(y, z, a_src, a_dst, bias, residual, factors, items, nodes, heads, out, err));
done:
    return status;
}

cot_status cot_graph_attention_training_backward(cot_buffer *dz, cot_buffer *da_src, cot_buffer *da_dst,
                                                 cot_buffer *dbias, const cot_buffer *dy, const cot_buffer *z,
                                                 const cot_buffer *a_src, const cot_buffer *a_dst, size_t items,
                                                 size_t nodes, size_t heads, size_t out, const cot_dropout *drop,
                                                 cot_error *err)
{
    cot_status status = COT_OK;
    cot_buffer *factors = NULL; /* read before anything else asks for that scratch */
    COT_TRY(alpha_factors(&factors, dy->device, items, nodes, heads, drop, err));
    COT_TRY(graph_attention_masked_backward(dz, da_src, da_dst, dbias, dy, z, a_src, a_dst, factors, items, nodes,
                                            heads, out, err));
done:
    return status;
}
