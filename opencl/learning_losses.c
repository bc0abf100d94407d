/* Losses with their gradients, and the optimiser (learning.h). One thread per device. SPDX-License-Identifier: Apache-2.0 */
#include "opencl/learning_device.h"

#include <math.h>

/* ---- over classes ---- */
static cot_status classes_check(cot_buffer *loss, cot_buffer *dx, const cot_buffer *x, const cot_buffer *labels,
                                size_t rows, size_t classes, cot_error *err)
{
    cot_status status = COT_OK;
    size_t n = 0;
    if (classes == 0) return cot_fail(err, COT_E_BUG, "loss: no classes");
    COT_TRY(backward_count(&n, rows, classes, 1, 1, "loss", err));
    COT_TRY(buffer_check(x, x->device, n, "loss: logits", err));
    COT_TRY(buffer_check(labels, x->device, rows, "loss: labels", err));
    if (loss) COT_TRY(buffer_check(loss, x->device, rows, "loss: rows", err));
    if (dx) COT_TRY(buffer_check(dx, x->device, n, "loss: gradient", err));
done:
    return status;
}

cot_status cot_cross_entropy(cot_buffer *loss, cot_buffer *dx, const cot_buffer *x, const cot_buffer *labels,
                             const cot_buffer *weights, float smoothing, float scale, size_t rows, size_t classes,
                             cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(classes_check(loss, dx, x, labels, rows, classes, err));
    if (weights) COT_TRY(buffer_check(weights, x->device, classes, "cross-entropy: weights", err));
    const cl_int r = (cl_int)rows, c = (cl_int)classes, flags = (loss ? 1 : 0) | (dx ? 2 : 0) | (weights ? 4 : 0);
    const cl_float smooth = smoothing, factor = scale;
    const kernel_arg args[] = {ARG_BUFFER(loss ? loss : x),
                               ARG_BUFFER(dx ? dx : x),
                               ARG_BUFFER(x),
                               ARG_BUFFER(labels),
                               ARG_BUFFER(weights ? weights : x),
                               ARG_VALUE(r),
                               ARG_VALUE(c),
                               ARG_VALUE(smooth),
                               ARG_VALUE(factor),
                               ARG_VALUE(flags)};
    COT_TRY(BACKWARD_LAUNCH(x->device, TRAINING_CROSS_ENTROPY, args, rows, 1, err));
done:
    return status;
}

cot_status cot_soft_kl(cot_buffer *loss, cot_buffer *dx, const cot_buffer *x, const cot_buffer *teacher,
                       const cot_buffer *labels, float temperature, float scale, size_t rows, size_t classes,
                       cot_error *err)
{
    cot_status status = COT_OK;
    if (!(temperature > 0.0f)) return cot_fail(err, COT_E_BUG, "softened KL: temperature %g", (double)temperature);
    COT_TRY(classes_check(loss, dx, x, labels, rows, classes, err));
    COT_TRY(buffer_check(teacher, x->device, rows * classes, "softened KL: teacher", err));
    const cl_int r = (cl_int)rows, c = (cl_int)classes, flags = (loss ? 1 : 0) | (dx ? 2 : 0);
    const cl_float t = temperature, factor = scale;
    const kernel_arg args[] = {ARG_BUFFER(loss ? loss : x),
                               ARG_BUFFER(dx ? dx : x),
                               ARG_BUFFER(x),
                               ARG_BUFFER(teacher),
                               ARG_BUFFER(labels),
                               ARG_VALUE(r),
                               ARG_VALUE(c),
                               ARG_VALUE(t),
                               ARG_VALUE(factor),
                               ARG_VALUE(flags)};
    COT_TRY(BACKWARD_LAUNCH(x->device, TRAINING_SOFT_KL, args, rows, 1, err));
done:
    return status;
}

/* ---- alignment of features ---- */
enum { AT_KU, AT_KV, AT_MEANS, AT_GRAM, AT_PART, AT_FACTOR, AT_MIX, AT_D, AT_COUNT }; /* as in alignment.cl */

/* Where each part of the scratch begins; *all: floats of it. */
static cot_status alignment_layout(cl_int8 *at, size_t *all, const cot_alignment_shape *s, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t sizes[AT_COUNT][4] = {
        [AT_KU] = {s->steps, s->rows, s->width, 1}, [AT_KV] = {s->rows, s->width, 1, 1},
        [AT_MEANS] = {s->steps, 2, s->width, 1},    [AT_GRAM] = {s->steps, 2, s->rows, s->rows},
        [AT_PART] = {s->steps, s->rows, 1, 1},      [AT_FACTOR] = {s->steps, 3, 1, 1},
        [AT_MIX] = {s->rows, s->rows, 1, 1},        [AT_D] = {s->rows, s->width, 1, 1}};
    *all = 0;
    for (size_t i = 0; i < AT_COUNT; i++) {
        size_t n = 0;
        COT_TRY(backward_count(&n, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], "alignment", err));
        at->s[i] = (cl_int)*all;
        *all += n;
        COT_TRY(backward_count(all, *all, 1, 1, 1, "alignment", err));
    }
done:
    return status;
}

static cot_status soften(cot_buffer *work, const cot_buffer *x, cl_int to, size_t rows, size_t width, float by,
                         cot_error *err)
{
    const cl_int r = (cl_int)rows, w = (cl_int)width;
    const cl_float factor = by;
    const kernel_arg args[] = {ARG_BUFFER(work), ARG_BUFFER(x), ARG_VALUE(to),
                               ARG_VALUE(r),     ARG_VALUE(w),  ARG_VALUE(factor)};
    return BACKWARD_LAUNCH(work->device, TRAINING_SOFTEN, args, rows, 1, err);
}

/* Means, Gram matrices, losses and the factors of the gradient. */
static cot_status alignment_sums(cot_buffer *loss, cot_buffer *work, const cot_buffer *labels, const cl_int8 *at,
                                 const cot_alignment_shape *s, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = work->device;
    const cl_int rows = (cl_int)s->rows, width = (cl_int)s->width, steps = (cl_int)s->steps;
    const kernel_arg sums[] = {ARG_BUFFER(work), ARG_BUFFER(labels), ARG_VALUE(*at), ARG_VALUE(rows), ARG_VALUE(width)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_ALIGNMENT_MEANS, sums, s->width, s->steps, err));
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_ALIGNMENT_GRAM, sums, s->rows, s->steps, err));
    const kernel_arg factors[] = {ARG_BUFFER(work), ARG_BUFFER(loss), ARG_BUFFER(labels),
                                  ARG_VALUE(*at),   ARG_VALUE(rows),  ARG_VALUE(steps)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_ALIGNMENT_FACTORS, factors, s->steps, 1, err));
done:
    return status;
}

cot_status cot_alignment(cot_buffer *loss, cot_buffer *ds, const cot_buffer *t, const cot_buffer *s,
                         const cot_buffer *labels, float scale, const cot_alignment_shape *shape, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = loss->device;
    cot_buffer *work = NULL;
    cl_int8 at = {{0}};
    size_t all = 0;
    const size_t features = shape->rows * shape->width;
    const float by = 1.0f / shape->temperature;
    if (!(shape->temperature > 0.0f) || !shape->steps || !shape->rows || !shape->width)
        return cot_fail(err, COT_E_BUG, "alignment: %zu steps of %zu rows of %zu, temperature %g", shape->steps,
                        shape->rows, shape->width, (double)shape->temperature);
    COT_TRY(alignment_layout(&at, &all, shape, err));
    COT_TRY(buffer_check(loss, device, shape->steps, "alignment: losses", err));
    COT_TRY(buffer_check(t, device, shape->steps * features, "alignment: teacher", err));
    COT_TRY(buffer_check(s, device, features, "alignment: student", err));
    COT_TRY(buffer_check(labels, device, shape->steps * shape->rows, "alignment: labels", err));
    if (ds) COT_TRY(buffer_check(ds, device, features, "alignment: gradient", err));
    COT_TRY(backward_scratch(&work, device, SCRATCH_LAYER, all, err));
    COT_TRY(soften(work, t, at.s[AT_KU], shape->steps * shape->rows, shape->width, by, err));
    COT_TRY(soften(work, s, at.s[AT_KV], shape->rows, shape->width, by, err));
    COT_TRY(alignment_sums(loss, work, labels, &at, shape, err));
    if (!ds) goto done;
    const cl_int4 sizes = {{(cl_int)shape->steps, (cl_int)shape->rows, (cl_int)shape->width, 0}};
    const cl_float softened = by, factor = scale;
    const kernel_arg args[] = {ARG_BUFFER(ds),   ARG_BUFFER(work),    ARG_BUFFER(labels), ARG_VALUE(at),
                               ARG_VALUE(sizes), ARG_VALUE(softened), ARG_VALUE(factor)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_ALIGNMENT_FEATURE, args, shape->rows, 1, err));
done:
    return status;
}

/* ---- optimiser ---- */
cot_status cot_gradient_norm(cot_buffer *norm, const cot_buffer *g, size_t n, float max_norm, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = norm->device;
    cot_buffer *partial = NULL;
    size_t all = 0;
    COT_TRY(backward_count(&all, n, 1, 1, 1, "gradient norm", err));
    COT_TRY(buffer_check(g, device, n, "gradient norm: gradients", err));
    COT_TRY(buffer_check(norm, device, 2, "gradient norm: result", err));
    const size_t slices = n / 1024 + 1 < 4096 ? n / 1024 + 1 : 4096; /* short sums keep their digits */
    COT_TRY(backward_scratch(&partial, device, SCRATCH_SUMS, slices, err));
    const cl_int floats = (cl_int)n, parts = (cl_int)slices;
    const cl_float most = max_norm;
    const kernel_arg sums[] = {ARG_BUFFER(partial), ARG_BUFFER(g), ARG_VALUE(floats), ARG_VALUE(parts)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_SQUARE_SUMS, sums, slices, 1, err));
    const kernel_arg finish[] = {ARG_BUFFER(norm), ARG_BUFFER(partial), ARG_VALUE(parts), ARG_VALUE(most)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_NORM, finish, 1, 1, err));
done:
    return status;
}

cot_status cot_adamw(cot_buffer *value, cot_buffer *g, cot_buffer *m, cot_buffer *v, size_t from, size_t n,
                     const cot_buffer *norm, const cot_adamw_options *o, cot_error *err)
{
    cot_status status = COT_OK;
    cot_device *device = value->device;
    cot_buffer *const buffers[] = {value, g, m, v};
    size_t end = 0, all = 0;
    if (o->step == 0) return cot_fail(err, COT_E_BUG, "AdamW: steps count from 1");
    if (!cot_add(&end, from, n)) return cot_fail(err, COT_E_BUG, "AdamW: %zu floats", n);
    COT_TRY(backward_count(&all, end, 1, 1, 1, "AdamW", err));
    for (size_t i = 0; i < 4; i++) COT_TRY(buffer_check(buffers[i], device, end, "AdamW", err));
    if (norm) COT_TRY(buffer_check(norm, device, 2, "AdamW: norm", err));
    const double first = 1.0 - pow((double)o->beta1, (double)o->step);
    const double second = 1.0 - pow((double)o->beta2, (double)o->step);
    const cl_float8 by = {{(float)(1.0 - (double)o->lr * (double)o->weight_decay), (float)(1.0 - (double)o->beta1),
                           o->beta2, (float)(1.0 - (double)o->beta2), (float)((double)o->lr / first),
                           (float)(1.0 / sqrt(second)), o->eps, 0.0f}};
    const cl_int start = (cl_int)from, floats = (cl_int)n, flags = (norm ? 1 : 0) | (o->clear ? 2 : 0);
    const kernel_arg args[] = {
        ARG_BUFFER(value), ARG_BUFFER(g),     ARG_BUFFER(m), ARG_BUFFER(v),   ARG_BUFFER(norm ? norm : value),
        ARG_VALUE(start),  ARG_VALUE(floats), ARG_VALUE(by), ARG_VALUE(flags)};
    COT_TRY(BACKWARD_LAUNCH(device, TRAINING_ADAMW, args, backward_vectors(device, n), 1, err));
done:
    return status;
}
