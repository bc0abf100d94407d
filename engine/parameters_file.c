/* Parameters on their way into and out of files (parameters.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/parameters_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const moment_names[2] = {"exp_avg", "exp_avg_sq"};

/* ---- a list of tensors ---- */
cot_status tensor_list_add(tensor_list *list, const char *name, tensor_type type, const size_t *shape, size_t rank,
                           const void *data, cot_error *err)
{
    tensor t = {.type = type, .rank = rank, .count = 1};
    const size_t each = type == TENSOR_I64 ? 8 : 4;
    if ((type != TENSOR_I64 && type != TENSOR_F32) || rank > TENSOR_RANK_MAX || strlen(name) >= TENSOR_NAME_MAX)
        return cot_fail(err, COT_E_BUG, "tensor %s: neither F32 nor I64, or its name is too long", name);
    for (size_t i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        if (!cot_mul(&t.count, t.count, shape[i])) return cot_fail(err, COT_E_LIMIT, "tensor %s is too large", name);
    }
    if (!cot_mul(&t.bytes, t.count, each)) return cot_fail(err, COT_E_LIMIT, "tensor %s is too large", name);
    if (list->n == list->room) {
        const size_t room = list->room ? 2 * list->room : 64;
        tensor *more = realloc(list->items, room * sizeof *more);
        if (!more) return cot_fail(err, COT_E_MEMORY, "no memory for tensor %s", name);
        list->items = more;
        list->room = room;
    }
    /* data and name in one piece, data first: it is aligned */
    unsigned char *piece = malloc(t.bytes + strlen(name) + 1);
    if (!piece) return cot_fail(err, COT_E_MEMORY, "no memory for tensor %s", name);
    memcpy(piece, data, t.bytes);
    memcpy(piece + t.bytes, name, strlen(name) + 1);
    t.data = piece;
    t.name = (const char *)piece + t.bytes;
    list->items[list->n++] = t;
    return COT_OK;
}

void tensor_list_free(tensor_list *list)
{
    for (size_t i = 0; i < list->n; i++) free((void *)(uintptr_t)list->items[i].data);
    free(list->items);
    memset(list, 0, sizeof *list);
}

/* ---- out ---- */
/* One device buffer of the shape of q, as prefix + name. */
static cot_status collect(tensor_list *list, const parameter *q, cot_buffer *buffer, const char *prefix,
                          const char *name, cot_error *err)
{
    cot_status status;
    char full[TENSOR_NAME_MAX];
    float *v = malloc(q->count * sizeof *v);
    if (!v) return cot_fail(err, COT_E_MEMORY, "no memory for tensor %s", q->name);
    const int n = snprintf(full, sizeof full, "%s%s", prefix, name);
    if (n < 0 || (size_t)n >= sizeof full) {
        status = cot_fail(err, COT_E_BUG, "tensor %s%s: its name is too long", prefix, name);
        goto done;
    }
    COT_TRY(parameter_move(v, buffer, q, NULL, err));
    COT_TRY(tensor_list_add(list, full, TENSOR_F32, q->spec.shape, q->spec.rank, v, err));
done:
    free(v);
    return status;
}

cot_status parameters_collect(tensor_list *list, const parameters *p, const char *under, const char *prefix,
                              cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t i = 0; i < p->n; i++) {
        const parameter *q = p->item[i];
        if (parameter_under(q, under)) COT_TRY(collect(list, q, q->value, prefix, q->name + strlen(under), err));
    }
done:
    return status;
}

/* The step of each parameter and, behind them, of the table; caller frees. NULL: no memory. */
static int64_t *all_steps(const parameters *p)
{
    int64_t *steps = calloc(p->n + 1, sizeof *steps);
    if (!steps) return NULL;
    for (size_t i = 0; i < p->n; i++) steps[i] = (int64_t)p->item[i]->steps;
    steps[p->n] = (int64_t)p->steps;
    return steps;
}

cot_status parameters_checkpoint(tensor_list *list, const parameters *p, const char *prefix, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    const size_t n_steps = p->n + 1;
    int64_t *steps = all_steps(p);
    if (!steps) return cot_fail(err, COT_E_MEMORY, "checkpoint: no memory");
    COT_TRY(parameters_collect(list, p, "", prefix, err));
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < 2 && p->item[i]->grad; k++) {
            const parameter *q = p->item[i];
            snprintf(part, sizeof part, "%s.%s", moment_names[k], q->name);
            COT_TRY(collect(list, q, q->moment[k], prefix, part, err));
        }
    snprintf(part, sizeof part, "%ssteps", prefix);
    COT_TRY(tensor_list_add(list, part, TENSOR_I64, &n_steps, 1, steps, err));
done:
    free(steps);
    return status;
}

/* ---- in ---- */
static cot_status resume_moment(parameter *q, size_t k, const weight_source *source, cot_error *err)
{
    cot_status status;
    char part[TENSOR_NAME_MAX];
    float *v = NULL;
    snprintf(part, sizeof part, "%s.%s", moment_names[k], q->name);
    COT_TRY(source_floats(&v, source, part, q->spec.shape, q->spec.rank, err));
    COT_TRY(parameter_move(NULL, q->moment[k], q, v, err));
done:
    free(v);
    return status;
}

cot_status parameters_resume(parameters *p, const weight_source *source, cot_error *err)
{
    cot_status status;
    int64_t steps = 0;
    const tensor *t = source_find(source, "steps");
    if (!t || t->type != TENSOR_I64 || t->count != p->n + 1)
        return cot_fail(err, COT_E_MODEL,
                        "%s: tensor %ssteps (I64, %zu numbers) is missing: this is no checkpoint of "
                        "this training",
                        source->where, source->prefix, p->n + 1);
    COT_TRY(parameters_load(p, "", source, err));
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < 2 && p->item[i]->grad; k++) COT_TRY(resume_moment(p->item[i], k, source, err));
    for (size_t i = 0; i <= p->n; i++) {
        memcpy(&steps, t->data + i * sizeof steps, sizeof steps);
        if (steps < 0) return cot_fail(err, COT_E_MODEL, "%s: %ssteps is negative", source->where, source->prefix);
        *(i < p->n ? &p->item[i]->steps : &p->steps) = (uint64_t)steps;
    }
done:
    return status;
}
