/* SPDX-License-Identifier: Apache-2.0
 * Regions and influences of a student's answers (evidence.h); host only. */
#include "engine/evidence.h"
#include "engine/regions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cot_status evidence_init(evidence *e, const weight_source *source, const student_shape *shape, cot_error *err)
{
    cot_status status;
    *e = (evidence){.without = NULL};
    COT_TRY(student_host_init(&e->student, source, shape, err));
    e->without = calloc(e->student.n_logits + 1, sizeof *e->without);
    if (!e->without) status = cot_fail(err, COT_E_MEMORY, "evidence: no memory");
done:
    return status;
}

void evidence_fini(evidence *e)
{
    student_host_fini(&e->student);
    free(e->without);
    e->without = NULL;
}

/* ---- where ---- */
void evidence_grad_cam(float *map, const float *activation, size_t cells, const float *gradient, size_t features)
{
    enum { LANES = 8 }; /* sums that a compiler keeps in one vector */
    for (size_t p = 0; p < cells; p++) {
        const float *a = activation + p * features;
        float sums[LANES] = {0}, sum = 0;
        size_t c = 0;
        for (; c + LANES <= features; c += LANES)
            for (size_t k = 0; k < LANES; k++) sums[k] += a[c + k] * gradient[c + k];
        for (; c < features; c++) sum += a[c] * gradient[c];
        for (size_t k = 0; k < LANES; k++) sum += sums[k];
        map[p] = sum > 0 ? sum : 0;
    }
}

static cot_status keep_map(cot_answer *answer, const float *map, size_t side, cot_error *err)
{
    cot_status status;
    float peak = 0;
    COT_TRY(cot_answer_map(answer, side, side, err));
    for (size_t p = 0; p < side * side; p++) peak = map[p] > peak ? map[p] : peak;
    for (size_t p = 0; p < side * side && peak > 0; p++) answer->map[p] = map[p] / peak;
done:
    return status;
}

cot_status evidence_locate(cot_chain *chain, const cot_steps *steps, const evidence_maps *maps, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t side = maps->side;
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *answer = &chain->answers[s];
        const float *map = maps->maps + s * side * side;
        if (!answer->available) continue;
        if (maps->keep) COT_TRY(keep_map(answer, map, side, err));
        if (steps->steps[s].options[answer->answer].negative)
            COT_TRY(cot_answer_regions(answer, 0, err));
        else
            COT_TRY(regions_find(answer, map, side, side, chain->rows, chain->cols, err));
        answer->located = true;
    }
done:
    return status;
}

/* ---- on what ---- */
static double probability(const float *logits, size_t n, size_t of, double temperature)
{
    double top = (double)logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = fmax(top, (double)logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp(((double)logits[i] - top) / temperature);
    return exp(((double)logits[of] - top) / temperature) / sum;
}

static int stronger(const void *a, const void *b)
{
    const cot_influence *x = a, *y = b;
    const float dx = fabsf(x->change), dy = fabsf(y->change);
    if (dx != dy) return dx < dy ? 1 : -1;
    return x->step < y->step ? -1 : 1;
}

static double given(const evidence *e, const cot_chain *chain, size_t s, size_t at, double temperature)
{
    double top = e->student.logits[at], sum = 0;
    const cot_answer *a = &chain->answers[s];
    for (size_t k = 1; k < a->n_options; k++) top = fmax(top, e->student.logits[at + k]);
    for (size_t k = 0; k < a->n_options; k++) sum += exp((e->student.logits[at + k] - top) / temperature);
    return exp((e->student.logits[at + a->answer] - top) / temperature) / sum;
}

/* Room for one influence of each earlier step that was answered. */
static cot_status make_room(cot_chain *chain, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0, answered = 0; s < chain->n_steps; s++) {
        if (!chain->answers[s].available) continue;
        COT_TRY(cot_answer_influences(&chain->answers[s], answered++, err));
        chain->answers[s].weighed = true;
    }
done:
    return status;
}

/* One run per earlier step serves all steps behind it. */
static void weigh(evidence *e, cot_chain *chain, const float *temperature)
{
    for (size_t t = 0, earlier = 0; t + 1 < chain->n_steps; t++) {
        if (!chain->answers[t].available) continue;
        student_host_without(&e->student, e->without, t);
        for (size_t s = 0, at = 0; s < chain->n_steps; at += chain->answers[s++].n_options) {
            cot_answer *a = &chain->answers[s];
            const double degree = temperature && temperature[s] > 0 ? (double)temperature[s] : 1;
            if (s <= t || !a->available) continue;
            const double without = probability(e->without + at, a->n_options, a->answer, degree);
            a->influences[earlier] = (cot_influence){t, (float)(given(e, chain, s, at, degree) - without)};
        }
        earlier++;
    }
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        if (a->n_influences) qsort(a->influences, a->n_influences, sizeof *a->influences, stronger);
    }
}

cot_status evidence_weigh(evidence *e, cot_chain *chain, const float *feature, const float *temperature,
                          float *gradients, cot_error *err)
{
    cot_status status;
    const size_t features = e->student.features;
    COT_TRY(make_room(chain, err));
    student_host_forward(&e->student, feature);
    weigh(e, chain, temperature);
    for (size_t s = 0; gradients && s < chain->n_steps; s++) {
        float *to = gradients + s * features;
        if (chain->answers[s].available)
            student_host_gradient(&e->student, to, s, chain->answers[s].answer);
        else
            memset(to, 0, features * sizeof *to);
    }
done:
    return status;
}
