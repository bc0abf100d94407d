/* SPDX-License-Identifier: Apache-2.0
 * Regions and influences (evidence.h); host only. */
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
    e->changed = calloc(e->student.n_logits + 1, sizeof *e->changed);
    if (!e->without || !e->changed) status = cot_fail(err, COT_E_MEMORY, "evidence: no memory");
done:
    return status;
}

void evidence_fini(evidence *e)
{
    student_host_fini(&e->student);
    free(e->without);
    free(e->changed);
    e->without = NULL;
    e->changed = NULL;
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
static double probability(const double *logits, size_t n, size_t of, double temperature)
{
    double top = logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = fmax(top, logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp((logits[i] - top) / temperature);
    return exp((logits[of] - top) / temperature) / sum;
}

static int stronger(const void *a, const void *b)
{
    const cot_influence *x = a, *y = b;
    const float dx = fabsf(x->change), dy = fabsf(y->change);
    if (dx != dy) return dx < dy ? 1 : -1;
    return x->step < y->step ? -1 : 1;
}

cot_status influences_begin(cot_chain *chain, cot_error *err)
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

void influences_without(cot_chain *chain, size_t t, const double *given, const double *without,
                        const float *temperature)
{
    size_t earlier = 0;
    for (size_t s = 0; s < t; s++) earlier += chain->answers[s].available;
    for (size_t s = 0, at = 0; s < chain->n_steps; at += chain->answers[s++].n_options) {
        cot_answer *a = &chain->answers[s];
        const double degree = temperature && temperature[s] > 0 ? (double)temperature[s] : 1;
        if (s <= t || !a->available) continue;
        const double change = probability(given + at, a->n_options, a->answer, degree) -
                              probability(without + at, a->n_options, a->answer, degree);
        a->influences[earlier] = (cot_influence){t, (float)change};
    }
}

void influences_end(cot_chain *chain)
{
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        if (a->n_influences) qsort(a->influences, a->n_influences, sizeof *a->influences, stronger);
    }
}

/* One run per earlier step serves all steps behind it. */
static void weigh(evidence *e, cot_chain *chain, const float *temperature)
{
    for (size_t t = 0; t + 1 < chain->n_steps; t++) {
        if (!chain->answers[t].available) continue;
        student_host_without(&e->student, e->without, t);
        for (size_t k = 0; k < e->student.n_logits; k++) e->changed[k] = (double)e->without[k];
        influences_without(chain, t, e->student.logits, e->changed, temperature);
    }
    influences_end(chain);
}

cot_status evidence_weigh(evidence *e, cot_chain *chain, const float *feature, const float *temperature,
                          float *gradients, cot_error *err)
{
    cot_status status;
    const size_t features = e->student.features;
    COT_TRY(influences_begin(chain, err));
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
