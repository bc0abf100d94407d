/* The table of what a training changes (parameters.h): trained tensors that decay lie first, then those that do not, then
 * what is not trained; each group of a kind is one range of the same four allocations.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/parameters_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */
cot_status parameters_create(parameters **out, cot_device *device, cot_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "parameters: no memory");
    (*out)->device = device;
    return COT_OK;
}

void parameters_destroy(parameters *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) free(p->item[i]);
    for (size_t i = 0; i < PARAMETER_ARENAS; i++) cot_arena_destroy(p->arena[i]);
    cot_buffer_destroy(p->norm);
    free(p->item);
    free(p);
}

parameter *parameters_find(const parameters *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->item[i]->name, name)) return p->item[i];
    return NULL;
}

static cot_status check_spec(const parameters *p, const parameter_spec *s, size_t *count, cot_error *err)
{
    *count = 1;
    if (p->arena[0]) return cot_fail(err, COT_E_BUG, "parameters: %s is added after the commit", s->name);
    if (strlen(s->name) >= PARAMETER_NAME_MAX) return cot_fail(err, COT_E_BUG, "parameters: %s is too long", s->name);
    if (parameters_find(p, s->name)) return cot_fail(err, COT_E_BUG, "parameters: %s is there twice", s->name);
    if (s->rank > PARAMETER_RANK_MAX || (s->channels_last && s->rank != 4))
        return cot_fail(err, COT_E_BUG, "parameters: %s has %zu dimensions", s->name, s->rank);
    for (size_t i = 0; i < s->rank; i++)
        if (!cot_mul(count, *count, s->shape[i]))
            return cot_fail(err, COT_E_LIMIT, "parameters: %s does not fit into memory", s->name);
    return *count ? COT_OK : cot_fail(err, COT_E_BUG, "parameters: %s is empty", s->name);
}

cot_status parameters_add(parameter **out, parameters *p, const parameter_spec *spec, cot_error *err)
{
    cot_status status;
    size_t count = 0;
    COT_TRY(check_spec(p, spec, &count, err));
    if (p->n == p->room) {
        const size_t room = p->room ? 2 * p->room : 64;
        parameter **more = realloc(p->item, room * sizeof(parameter *));
        if (!more) return cot_fail(err, COT_E_MEMORY, "parameters: no memory");
        p->item = more;
        p->room = room;
    }
    parameter *q = calloc(1, sizeof *q);
    if (!q) return cot_fail(err, COT_E_MEMORY, "parameters: no memory for %s", spec->name);
    snprintf(q->name, sizeof q->name, "%s", spec->name);
    q->spec = *spec;
    q->spec.name = q->name;
    q->count = count;
    p->item[p->n++] = q;
    *out = q;
done:
    return status;
}

size_t parameters_count(const parameters *p)
{
    return p->n;
}

parameter *parameters_at(const parameters *p, size_t i)
{
    return i < p->n ? p->item[i] : NULL;
}

size_t parameters_floats(const parameters *p)
{
    size_t sum = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->item[i]->spec.kind == PARAMETER_TRAINED) sum += p->item[i]->count;
    return sum;
}

/* ---- memory ---- */
/* Trained with decay, trained without, not trained. */
static int group_of(const parameter *q)
{
    return q->spec.kind != PARAMETER_TRAINED ? 2 : q->spec.no_decay ? 1 : 0;
}

static cot_status reserve(parameters *p, parameter *q, cot_error *err)
{
    cot_status status;
    cot_buffer **const piece[PARAMETER_ARENAS] = {&q->value, &q->grad, &q->moment[0], &q->moment[1]};
    const size_t arenas = q->spec.kind == PARAMETER_TRAINED ? PARAMETER_ARENAS : 1;
    q->at = cot_arena_floats(p->arena[0]);
    for (size_t i = 0; i < arenas; i++) COT_TRY(cot_arena_reserve(p->arena[i], piece[i], q->count, err));
    q->end = cot_arena_floats(p->arena[0]);
done:
    return status;
}

cot_status parameters_commit(parameters *p, cot_error *err)
{
    cot_status status;
    if (p->arena[0]) return cot_fail(err, COT_E_BUG, "parameters: committed twice");
    for (size_t i = 0; i < PARAMETER_ARENAS; i++) COT_TRY(cot_arena_create(&p->arena[i], p->device, err));
    for (int group = 0; group < 3; group++) {
        for (size_t i = 0; i < p->n; i++)
            if (group_of(p->item[i]) == group) COT_TRY(reserve(p, p->item[i], err));
        if (group < 2) p->end[group] = cot_arena_floats(p->arena[0]);
    }
    for (size_t i = 0; i < PARAMETER_ARENAS; i++) {
        COT_TRY(cot_arena_commit(p->arena[i], err));
        COT_TRY(cot_arena_whole(&p->whole[i], p->arena[i], err));
    }
    COT_TRY(cot_buffer_create(&p->norm, p->device, 2, err));
done:
    return status;
}

/* ---- torch's order and the device's ---- */
/* [out,in,k,k] and [out,k,k,in]: copies `from` to `to`, whichever is the device's. */
static void turn(float *to, const float *from, const parameter_spec *s, bool to_device)
{
    const size_t in = s->shape[1], taps = s->shape[2] * s->shape[3];
    for (size_t o = 0; o < s->shape[0]; o++)
        for (size_t c = 0; c < in; c++)
            for (size_t t = 0; t < taps; t++) {
                const size_t torch = (o * in + c) * taps + t, device = (o * taps + t) * in + c;
                to[to_device ? device : torch] = from[to_device ? torch : device];
            }
}

cot_status parameter_move(float *to, cot_buffer *device, const parameter *q, const float *from, cot_error *err)
{
    cot_status status;
    float *turned = q->spec.channels_last ? malloc(q->count * sizeof *turned) : NULL;
    if (q->spec.channels_last && !turned) return cot_fail(err, COT_E_MEMORY, "parameters: no memory for %s", q->name);
    if (from) {
        if (turned) turn(turned, from, &q->spec, true);
        COT_TRY(cot_buffer_write(device, 0, turned ? turned : from, q->count, err));
    } else {
        COT_TRY(cot_buffer_read(device, 0, turned ? turned : to, q->count, err));
        if (turned) turn(to, turned, &q->spec, false);
    }
done:
    free(turned);
    return status;
}

cot_status parameter_read(const parameter *q, float *to, cot_error *err)
{
    return parameter_move(to, q->value, q, NULL, err);
}

cot_status parameter_write(parameter *q, const float *from, cot_error *err)
{
    q->version++;
    return parameter_move(NULL, q->value, q, from, err);
}

/* ---- initial values ---- */
/* SplitMix64 (Steele et al., 2014) of a counter: value i depends on seed, name and i alone. */
static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* In [0, 1). */
static double uniform(uint64_t key, uint64_t i)
{
    return (double)(mixed(key + (i + 1) * 0x9E3779B97F4A7C15u) >> 11) * 0x1p-53;
}

static double initial(const parameter_spec *s, uint64_t key, size_t i)
{
    const double u = uniform(key, 2 * i);
    if (s->init == INIT_ONES) return 1.0;
    if (s->init == INIT_FAN_IN && s->fan_in) return (2.0 * u - 1.0) / sqrt((double)s->fan_in);
    if (s->init == INIT_XAVIER) return (2.0 * u - 1.0) * sqrt(6.0 / (double)(s->fan_in + s->fan_out));
    if (s->init == INIT_KAIMING_FAN_OUT && s->fan_out) /* Box and Muller */
        return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * uniform(key, 2 * i + 1)) *
               sqrt(2.0 / (double)s->fan_out);
    return 0.0;
}

bool parameter_under(const parameter *q, const char *under)
{
    return !strncmp(q->name, under, strlen(under));
}

cot_status parameters_init(parameters *p, const char *under, uint64_t seed, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t k = 0; k < p->n; k++) {
        parameter *q = p->item[k];
        uint64_t key = mixed(seed ^ 0x5851F42D4C957F2Du);
        if (!parameter_under(q, under)) continue;
        for (const char *c = q->name; *c; c++) key = mixed(key ^ (unsigned char)*c);
        float *v = malloc(q->count * sizeof *v);
        if (!v) return cot_fail(err, COT_E_MEMORY, "parameters: no memory for %s", q->name);
        for (size_t i = 0; i < q->count; i++) v[i] = (float)initial(&q->spec, key, i);
        status = parameter_write(q, v, err);
        free(v);
        COT_TRY(status);
    }
done:
    return status;
}

cot_status parameters_load(parameters *p, const char *under, const weight_source *source, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t k = 0; k < p->n; k++) {
        parameter *q = p->item[k];
        float *v = NULL;
        if (!parameter_under(q, under)) continue;
        COT_TRY(source_floats(&v, source, q->name + strlen(under), q->spec.shape, q->spec.rank, err));
        status = parameter_write(q, v, err);
        free(v);
        COT_TRY(status);
    }
done:
    return status;
}

/* ---- optimiser ---- */
/* Floats from … to of all four arenas, of parameters that stand at the same step. */
static cot_status step_range(parameters *p, size_t from, size_t to, int group, uint64_t step,
                             const optimiser_options *o, cot_error *err)
{
    const float decay = group == 0 ? o->weight_decay : 0.0f;
    const cot_adamw_options adamw = {o->lr, o->beta1, o->beta2, o->eps, decay, step, true};
    return cot_adamw(p->whole[0], p->whole[1], p->whole[2], p->whole[3], from, to - from, p->norm, &adamw, err);
}

/* Neighbours that stand at the same step go in one launch: nearly always all. */
static cot_status step_group(parameters *p, int group, const optimiser_options *o, cot_error *err)
{
    cot_status status = COT_OK;
    size_t from = 0, to = 0;
    uint64_t step = 0;
    for (size_t i = 0; i < p->n; i++) {
        parameter *q = p->item[i];
        if (group_of(q) != group) continue;
        if (q->idle || from == to || q->steps + 1 != step) {
            if (to > from) COT_TRY(step_range(p, from, to, group, step, o, err));
            from = to = q->at;
            step = q->steps + 1;
        }
        if (!q->idle) {
            q->steps++;
            q->version++;
            to = q->end;
        }
        q->idle = false;
    }
    if (to > from) COT_TRY(step_range(p, from, to, group, step, o, err));
done:
    return status;
}

cot_status parameters_step(parameters *p, const optimiser_options *o, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t trained = p->end[1];
    if (trained == 0) goto done;
    p->steps++;
    COT_TRY(cot_gradient_norm(p->norm, p->whole[1], trained, o->max_norm, err));
    for (int group = 0; group < 2; group++) COT_TRY(step_group(p, group, o, err));
done:
    return status;
}

cot_status parameters_norm(double *norm, const parameters *p, cot_error *err)
{
    float v = 0.0f;
    const cot_status status = cot_buffer_read(p->norm, 0, &v, 1, err);
    *norm = (double)v;
    return status;
}

cot_status parameters_zero_gradients(parameters *p, cot_error *err)
{
    return p->end[1] ? cot_buffer_zero(p->whole[1], err) : COT_OK;
}

uint64_t parameters_steps(const parameters *p)
{
    return p->steps;
}
