/* SPDX-License-Identifier: Apache-2.0
 * Regions and influences of a student's answers (evidence.h); host only. */
#include "engine/evidence.h"
#include "engine/regions.h"

#include <math.h>
#include <stdlib.h>

cot_status evidence_init(evidence *e, const weight_source *source, const student_shape *shape, size_t cells_max,
                         cot_error *err)
{
    cot_status status;
    *e = (evidence){.cells_max = cells_max};
    COT_TRY(student_host_init(&e->student, source, shape, err));
    e->gradient = calloc(shape->features + 1, sizeof *e->gradient);
    e->without = calloc(e->student.n_logits + 1, sizeof *e->without);
    e->map = calloc(cells_max + 1, sizeof *e->map);
    if (!e->gradient || !e->without || !e->map) status = cot_fail(err, COT_E_MEMORY, "evidence: no memory");
done:
    return status;
}

void evidence_fini(evidence *e)
{
    student_host_fini(&e->student);
    free(e->gradient);
    free(e->without);
    free(e->map);
    *e = (evidence){.cells_max = 0};
}

/* ---- where ---- */
static void grad_cam(float *map, const evidence_image *image, const float *gradient, size_t features)
{
    for (size_t p = 0; p < image->map_rows * image->map_cols; p++) {
        const float *a = image->activation + p * features;
        double sum = 0;
        for (size_t c = 0; c < features; c++) sum += (double)a[c] * (double)gradient[c];
        map[p] = sum > 0 ? (float)sum : 0;
    }
}

static cot_status keep_map(cot_answer *answer, const evidence_image *image, const float *map, cot_error *err)
{
    cot_status status;
    const size_t cells = image->map_rows * image->map_cols;
    float peak = 0;
    COT_TRY(cot_answer_map(answer, image->map_rows, image->map_cols, err));
    for (size_t p = 0; p < cells; p++) peak = map[p] > peak ? map[p] : peak;
    for (size_t p = 0; p < cells && peak > 0; p++) answer->map[p] = map[p] / peak;
done:
    return status;
}

static cot_status locate(evidence *e, cot_chain *chain, const cot_step *step, size_t s, const evidence_image *image,
                         cot_error *err)
{
    cot_status status;
    cot_answer *answer = &chain->answers[s];
    student_host_gradient(&e->student, e->gradient, s, answer->answer);
    grad_cam(e->map, image, e->gradient, e->student.features);
    if (image->keep_maps) COT_TRY(keep_map(answer, image, e->map, err));
    if (step->options[answer->answer].negative)
        COT_TRY(cot_answer_regions(answer, 0, err));
    else
        COT_TRY(regions_find(answer, e->map, image->map_rows, image->map_cols, chain->rows, chain->cols, err));
    answer->located = true;
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

/* One run per earlier step serves all steps behind it. */
static cot_status weigh(evidence *e, cot_chain *chain, const float *temperature, cot_error *err)
{
    cot_status status = COT_OK;
    for (size_t s = 0; s < chain->n_steps; s++) {
        if (!chain->answers[s].available) continue;
        COT_TRY(cot_answer_influences(&chain->answers[s], s, err));
        chain->answers[s].weighed = true;
    }
    for (size_t t = 0; t + 1 < chain->n_steps; t++) {
        student_host_without(&e->student, e->without, t);
        for (size_t s = 0, at = 0; s < chain->n_steps; at += chain->answers[s++].n_options) {
            cot_answer *a = &chain->answers[s];
            const double degree = temperature ? (double)temperature[s] : 1;
            if (s <= t || !a->available) continue;
            const double without = probability(e->without + at, a->n_options, a->answer, degree);
            a->influences[t] = (cot_influence){t, (float)(given(e, chain, s, at, degree) - without)};
        }
    }
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        if (a->n_influences) qsort(a->influences, a->n_influences, sizeof *a->influences, stronger);
    }
done:
    return status;
}

cot_status evidence_fill(evidence *e, cot_chain *chain, const cot_steps *steps, const evidence_image *image,
                         cot_error *err)
{
    cot_status status = COT_OK;
    if (image->activation && image->map_rows * image->map_cols > e->cells_max)
        return cot_fail(err, COT_E_BUG, "evidence: a map of %zu x %zu, planned for %zu cells", image->map_rows,
                        image->map_cols, e->cells_max);
    student_host_forward(&e->student, image->feature);
    for (size_t s = 0; image->activation && s < chain->n_steps; s++)
        if (chain->answers[s].available) COT_TRY(locate(e, chain, &steps->steps[s], s, image, err));
    COT_TRY(weigh(e, chain, image->temperature, err));
done:
    return status;
}
