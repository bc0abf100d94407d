/* Loading, memory, and from logits to influences (teacher_evidence.h). SPDX-License-Identifier: Apache-2.0 */
#include "engine/teacher_evidence.h"
#include "engine/evidence.h"
#include "opencl/learning.h"

#include <stdlib.h>
#include <string.h>

/* ---- weights the other way ---- */
static cot_status load_graph(teacher_evidence *e, const weight_source *source, cot_error *err)
{
    cot_status status = COT_OK;
    char name[64];
    const teacher *m = e->model;
    for (size_t l = 0; l < m->memory_gat.n_layers; l++) {
        snprintf(name, sizeof name, "memory_gat.layers.%zu.W", l);
        COT_TRY(source_linear_back(&e->back.W[l], m->device, source, name, m->dim, m->dim, err));
        snprintf(name, sizeof name, "memory_gat.projs.%zu", l);
        COT_TRY(source_linear_back(&e->back.proj[l], m->device, source, name, m->dim, m->dim, err));
    }
done:
    return status;
}

/* torch's GRUCell names its matrices weight_hh, not hh.weight. */
static cot_status load_gates(teacher_evidence *e, const weight_source *source, cot_error *err)
{
    cot_status status;
    const size_t dim = e->model->dim, rows = 3 * dim;
    float *w = NULL, *turned = NULL;
    COT_TRY(source_floats(&w, source, "mem_gru.weight_hh", (const size_t[]){rows, dim}, 2, err));
    turned = calloc(rows * dim + 1, sizeof *turned);
    if (!turned) {
        status = cot_fail(err, COT_E_MEMORY, "evidence: no memory for the teacher's gates");
        goto done;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < dim; d++) turned[d * rows + r] = w[r * dim + d];
    COT_TRY(cot_linear_prepare(&e->back.hh, e->model->device, turned, NULL, dim, rows, err));
done:
    free(w);
    free(turned);
    return status;
}

static cot_status load(teacher_evidence *e, const weight_source *source, cot_error *err)
{
    cot_status status;
    char name[64];
    const teacher *m = e->model;
    COT_TRY(load_graph(e, source, err));
    COT_TRY(load_gates(e, source, err));
    COT_TRY(source_linear_back(&e->back.fusion_proj, m->device, source, "fusion_proj.0", m->dim, 2 * m->dim, err));
    for (size_t s = 0; s <= e->last; s++) {
        snprintf(name, sizeof name, "step_models.%zu.img_proj.0", s);
        COT_TRY(source_linear_back(&e->back.image[s], m->device, source, name, m->dim, m->image_dim, err));
        snprintf(name, sizeof name, "step_models.%zu.fusion_head.0", s);
        COT_TRY(source_linear_back(&e->back.head[0][s], m->device, source, name, m->dim, 2 * m->dim, err));
        snprintf(name, sizeof name, "step_models.%zu.fusion_head.4", s);
        COT_TRY(source_linear_back(&e->back.head[1][s], m->device, source, name, m->dim, m->dim, err));
    }
done:
    return status;
}

/* ---- memory ---- */
static bool allocate(teacher_evidence *e)
{
    const size_t steps = e->model->n_steps, layers = e->model->memory_gat.n_layers;
    e->available = calloc(steps + 1, sizeof *e->available);
    e->classes = calloc(2 * steps + 1, sizeof *e->classes);
    e->trace = calloc(steps + 1, sizeof *e->trace);
    e->back.W = calloc(2 * layers + 1, sizeof(cot_weights *));
    e->back.image = calloc(3 * steps + 1, sizeof(cot_weights *));
    e->rows.acts.logits = calloc(steps + 1, sizeof(cot_buffer *));
    if (!e->available || !e->classes || !e->trace || !e->back.W || !e->back.image || !e->rows.acts.logits) return false;
    e->column = e->classes + steps;
    e->back.proj = e->back.W + layers;
    for (size_t i = 0; i < 2; i++) e->back.head[i] = e->back.image + (i + 1) * steps;
    for (size_t s = 0; s < steps; s++) {
        teacher_trace *t = &e->trace[s];
        t->z = calloc(3 * layers + 1, sizeof(cot_buffer *));
        if (!t->z) return false;
        t->sum = t->z + layers;
        t->out = t->sum + layers;
    }
    return true;
}

static void count(teacher_evidence *e, const bool *available, size_t max_batch)
{
    const teacher *m = e->model;
    e->most_classes = 1;
    for (size_t s = 0; s < m->n_steps; s++) {
        e->available[s] = available[s];
        e->n_available += available[s];
        if (available[s]) e->last = s;
        e->classes[s] = m->step[s].classes;
        e->column[s] = e->n_logits;
        e->n_logits += e->classes[s];
        if (e->classes[s] > e->most_classes) e->most_classes = e->classes[s];
    }
    e->chunk = max_batch < TEACHER_EVIDENCE_CHUNK ? max_batch : TEACHER_EVIDENCE_CHUNK;
    e->max_rows = e->chunk * e->n_available;
}

static cot_status plan_trace(teacher_evidence *e, size_t s, cot_error *err)
{
    cot_status status = COT_OK;
    const teacher *m = e->model;
    teacher_trace *t = &e->trace[s];
    const size_t floats = e->chunk * m->dim, gates = 3 * floats;
    cot_buffer **const vectors[] = {&t->context_linear, &t->context,       &t->image_linear,
                                    &t->image,          &t->hidden_linear, &t->hidden,
                                    &t->fused_linear,   &t->fused,         &t->memory};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        COT_TRY(cot_arena_reserve(e->arena, vectors[i], floats, err));
    for (size_t l = 0; s && l < 3 * m->memory_gat.n_layers; l++) /* z, sum and out lie one behind the other */
        COT_TRY(cot_arena_reserve(e->arena, &t->z[l], m->nodes * floats, err));
    COT_TRY(cot_arena_reserve(e->arena, &t->gi, gates, err));
    COT_TRY(cot_arena_reserve(e->arena, &t->gh, gates, err));
    COT_TRY(cot_arena_reserve(e->arena, &t->p, e->chunk * e->classes[s], err));
done:
    return status;
}

typedef struct piece {
    cot_buffer **buffer;
    size_t width;
} piece;

static cot_status plan_grads(teacher_evidence *e, cot_error *err)
{
    cot_status status = COT_OK;
    const teacher *m = e->model;
    teacher_grads *g = &e->grads;
    const size_t dim = m->dim, nodes = m->nodes * dim, classes = e->most_classes;
    const piece pieces[] = {
        {&g->nodes[0], nodes},    {&g->nodes[1], nodes},    {&g->sum, nodes},        {&g->z, nodes},
        {&g->spread, nodes},      {&g->pair, 2 * dim},      {&g->gi, 3 * dim},       {&g->gh, 3 * dim},
        {&g->spread_gi, 3 * dim}, {&g->spread_gh, 3 * dim}, {&g->memory, dim},       {&g->next, dim},
        {&g->row, dim},           {&g->context, dim},       {&g->image, dim},        {&g->hidden, dim},
        {&g->fused, dim},         {&g->linear, dim},        {&g->spread_y, dim},     {&g->spread_x, dim},
        {&g->p, classes},         {&g->logits, classes},    {&g->spread_p, classes}, {&g->feature, m->image_dim},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        COT_TRY(cot_arena_reserve(e->arena, pieces[i].buffer, e->max_rows * pieces[i].width, err));
done:
    return status;
}

static cot_status plan(teacher_evidence *e, cot_error *err)
{
    cot_status status;
    const teacher *m = e->model;
    const size_t widest = m->image_dim > e->most_classes ? m->image_dim : e->most_classes;
    COT_TRY(cot_arena_create(&e->arena, m->device, err));
    COT_TRY(cot_arena_reserve(e->arena, &e->feature, e->chunk * m->image_dim, err));
    COT_TRY(teacher_plan(&e->rows, e->arena, e->max_rows, err));
    for (size_t s = 0; s <= e->last; s++) COT_TRY(plan_trace(e, s, err));
    COT_TRY(plan_grads(e, err));
    COT_TRY(cot_arena_commit(e->arena, err));
    e->logits = calloc(e->max_rows * e->n_logits + 1, sizeof *e->logits);
    e->host = calloc(e->max_rows * widest + 1, sizeof *e->host);
    e->given = calloc(2 * e->n_logits + 1, sizeof *e->given);
    e->without = e->given + e->n_logits;
    if (!e->logits || !e->host || !e->given) status = cot_fail(err, COT_E_MEMORY, "evidence: no memory");
done:
    return status;
}

cot_status teacher_evidence_init(teacher_evidence *e, const teacher *m, const weight_source *source,
                                 const bool *available, size_t max_batch, cot_error *err)
{
    cot_status status;
    e->model = m;
    e->rows = *m; /* borrows the weights */
    memset(&e->rows.acts, 0, sizeof e->rows.acts);
    if (!allocate(e)) return cot_fail(err, COT_E_MEMORY, "evidence: no memory for %zu steps", m->n_steps);
    count(e, available, max_batch);
    if (!e->n_available) return COT_OK;
    COT_TRY(load(e, source, err));
    COT_TRY(plan(e, err));
done:
    return status;
}

void teacher_evidence_fini(teacher_evidence *e)
{
    const teacher *m = e->model;
    if (!m) return;
    for (size_t i = 0; e->back.W && i < 2 * m->memory_gat.n_layers; i++) cot_weights_destroy(e->back.W[i]);
    for (size_t i = 0; e->back.image && i < 3 * m->n_steps; i++) cot_weights_destroy(e->back.image[i]);
    cot_weights_destroy(e->back.fusion_proj);
    cot_weights_destroy(e->back.hh);
    cot_arena_destroy(e->arena);
    for (size_t s = 0; e->trace && s < m->n_steps; s++) free(e->trace[s].z);
    free(e->trace);
    free(e->available);
    free(e->classes);
    free(e->back.W);
    free(e->back.image);
    free(e->rows.acts.logits);
    free(e->logits);
    free(e->host);
    free(e->given);
    memset(e, 0, sizeof *e);
}

/* ---- influences ---- */
static cot_status weigh_one(teacher_evidence *e, cot_chain *chain, size_t i, const float *temperature, cot_error *err)
{
    cot_status status;
    const size_t block = e->chunk * e->n_logits;
    const float *own = e->logits + i * e->n_logits;
    COT_TRY(influences_begin(chain, err));
    for (size_t k = 0; k < e->n_logits; k++) e->given[k] = (double)own[k];
    for (size_t t = 0, b = 0; t < e->last; t++) {
        if (!e->available[t]) continue;
        b++;
        for (size_t k = 0; k < e->n_logits; k++) e->without[k] = (double)own[b * block + k];
        influences_without(chain, t, e->given, e->without, temperature);
    }
    influences_end(chain);
done:
    return status;
}

static void take_answers(size_t *answers, cot_chain *const *chains, size_t n_steps, size_t n)
{
    for (size_t s = 0; s < n_steps; s++)
        for (size_t i = 0; i < n; i++) answers[s * n + i] = chains[i]->answers[s].answer;
}

cot_status teacher_evidence_weigh(teacher_evidence *e, cot_chain *const *chains, const cot_buffer *feature, size_t n,
                                  const float *temperature, float *gradients, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t steps = e->model->n_steps, features = e->model->image_dim;
    size_t *answers = calloc(e->chunk * steps + 1, sizeof *answers);
    if (!answers) return cot_fail(err, COT_E_MEMORY, "evidence: no memory");
    if (gradients) memset(gradients, 0, n * steps * features * sizeof *gradients);
    for (size_t at = 0, now; e->n_available && at < n; at += now) {
        now = n - at < e->chunk ? n - at : e->chunk;
        COT_TRY(cot_copy(e->feature, 0, feature, at * features, now * features, err));
        COT_TRY(teacher_evidence_forward(e, now, err));
        for (size_t i = 0; i < now; i++) COT_TRY(weigh_one(e, chains[at + i], i, temperature, err));
        take_answers(answers, chains + at, steps, now);
        if (gradients) COT_TRY(teacher_evidence_back(e, gradients + at * steps * features, answers, now, err));
    }
done:
    free(answers);
    return status;
}
