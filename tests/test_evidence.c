/* links: engine config */
/* Evidence: a map that adds up to what the logit owes to the image, influences that agree with a run by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/evidence.h"
#include "engine/golden.h"
#include "tests/check.h"

enum { SIDE = 5 };

typedef struct world {
    cot_golden *golden;
    evidence evidence;
    cot_steps *steps;
    cot_chain *chain;
    float *feature, *activation, *gradients, *maps;
} world;

static cot_status open_world(world *w, cot_error *err)
{
    cot_status status;
    *w = (world){.golden = NULL};
    COT_TRY(cot_golden_open(&w->golden, NULL, err));
    const golden_sizes *z = &w->golden->sizes;
    const weight_source weights = golden_source(w->golden, GOLDEN_STUDENT);
    const weight_source expected = golden_source(w->golden, GOLDEN_EXPECTED);
    const student_shape shape = {z->image_dim, z->student, w->golden->n_steps, w->golden->classes};
    COT_TRY(evidence_init(&w->evidence, &weights, &shape, err));
    COT_TRY(source_floats(&w->feature, &expected, "image_features", (const size_t[]){z->batch, z->image_dim}, 2, err));
    COT_TRY(cot_steps_load(&w->steps, NULL, err));
    COT_TRY(cot_chain_create(&w->chain, w->steps, err));
    w->activation = calloc((size_t)SIDE * SIDE * z->image_dim, sizeof *w->activation);
    w->gradients = calloc(w->steps->n_steps * z->image_dim, sizeof *w->gradients);
    w->maps = calloc(w->steps->n_steps * SIDE * SIDE, sizeof *w->maps);
    if (!w->activation || !w->gradients || !w->maps) status = cot_fail(err, COT_E_MEMORY, "no memory");
done:
    return status;
}

static void close_world(world *w)
{
    evidence_fini(&w->evidence);
    cot_chain_destroy(w->chain);
    cot_steps_destroy(w->steps);
    free(w->feature);
    free(w->activation);
    free(w->gradients);
    free(w->maps);
    cot_golden_close(w->golden);
}

/* The chain as the model's logits give it, steps 3 and 5 not available. */
static void answer(world *w)
{
    const student_host *m = &w->evidence.student;
    student_host_forward(&w->evidence.student, w->feature);
    for (size_t s = 0, at = 0; s < w->chain->n_steps; at += m->classes[s++]) {
        cot_answer *a = &w->chain->answers[s];
        a->available = s != 2 && s != 4;
        for (size_t k = 1; k < a->n_options; k++)
            if (m->logits[at + k] > m->logits[at + a->answer]) a->answer = k;
    }
    w->chain->rows = 300;
    w->chain->cols = 200;
}

/* All of the feature comes from one cell, so that each map is nothing elsewhere. */
static cot_status explain_one_cell(world *w, size_t cell, cot_error *err)
{
    cot_status status;
    const size_t features = w->evidence.student.features, cells = (size_t)SIDE * SIDE;
    const evidence_maps maps = {w->maps, SIDE, true};
    for (size_t c = 0; c < features; c++) w->activation[cell * features + c] = w->feature[c] * (float)cells;
    COT_TRY(evidence_weigh(&w->evidence, w->chain, w->feature, NULL, w->gradients, err));
    for (size_t s = 0; s < w->chain->n_steps; s++)
        evidence_grad_cam(w->maps + s * cells, w->activation, cells, w->gradients + s * features, features);
    COT_TRY(evidence_locate(w->chain, w->steps, &maps, err));
done:
    return status;
}

TEST(what_comes_from_one_cell_is_found_there)
{
    world w;
    cot_error err = {.status = COT_OK};
    size_t found = 0;
    REQUIRE_OK(open_world(&w, &err));
    answer(&w);
    CHECK_OK(explain_one_cell(&w, 1 * SIDE + 4, &err));
    for (size_t s = 0; s < w.chain->n_steps; s++) {
        const cot_answer *a = &w.chain->answers[s];
        CHECK(a->located == a->available);
        if (!a->available) CHECK(!a->map && !a->n_regions && !a->weighed);
        if (w.steps->steps[s].options[a->answer].negative) CHECK(a->n_regions == 0);
        for (size_t p = 0; a->map && p < SIDE * SIDE; p++)
            CHECK(p == SIDE + 4 ? a->map[p] == 0 || a->map[p] == 1 : a->map[p] == 0);
        if (!a->n_regions) continue;
        found++;
        CHECK(a->n_regions == 1 && a->regions[0].share > 0.3f);
        double column = 0, row = 0;
        for (size_t i = 0; i < a->regions[0].n_points; i++) {
            column += (double)a->regions[0].points[i].column / (double)a->regions[0].n_points;
            row += (double)a->regions[0].points[i].row / (double)a->regions[0].n_points;
        }
        CHECK_NEAR(column, 180, 12);
        CHECK_NEAR(row, 90, 12);
    }
    CHECK(found >= 1);
    close_world(&w);
}

TEST(influences_are_the_change_that_a_run_by_hand_gives)
{
    world w;
    cot_error err = {.status = COT_OK};
    REQUIRE_OK(open_world(&w, &err));
    answer(&w);
    const float degrees[] = {1, 2, 1, 1, 1, 0.5f, 1.5f};
    CHECK_OK(evidence_weigh(&w.evidence, w.chain, w.feature, degrees, NULL, &err));
    student_host *m = &w.evidence.student;
    float *without = calloc(m->n_logits, sizeof *without);
    for (size_t s = 0, at = 0, answered = 0; without && s < w.chain->n_steps; at += m->classes[s++]) {
        const cot_answer *a = &w.chain->answers[s];
        CHECK(a->weighed == a->available && !a->located);
        CHECK_NUMBER(a->n_influences, a->available ? answered : 0);
        answered += a->available;
        for (size_t i = 0; i < a->n_influences; i++) {
            const cot_influence *f = &a->influences[i];
            double p[2], sum[2] = {0, 0};
            REQUIRE(f->step < s && w.chain->answers[f->step].available);
            if (i) CHECK(fabsf(f->change) <= fabsf(f[-1].change));
            student_host_without(m, without, f->step);
            for (size_t k = 0; k < m->classes[s]; k++) {
                sum[0] += exp(m->logits[at + k] / (double)degrees[s]);
                sum[1] += exp((double)without[at + k] / (double)degrees[s]);
            }
            p[0] = exp(m->logits[at + a->answer] / (double)degrees[s]) / sum[0];
            p[1] = exp((double)without[at + a->answer] / (double)degrees[s]) / sum[1];
            CHECK_NEAR(f->change, p[0] - p[1], 1e-5);
        }
    }
    free(without);
    close_world(&w);
}

/* The sum over the map, before the cut at 0, is gradient times feature: no relevance is invented or lost. */
TEST(a_map_adds_up_to_what_the_logit_owes_to_the_feature)
{
    enum { CELLS = 3, FEATURES = 13 };
    float activation[CELLS * FEATURES], gradient[FEATURES], map[CELLS];
    double want = 0, got = 0;
    for (size_t i = 0; i < CELLS * FEATURES; i++) activation[i] = (float)(i % 7) + 0.5f;
    for (size_t c = 0; c < FEATURES; c++) gradient[c] = (float)(c + 1) * 0.125f;
    for (size_t i = 0; i < CELLS * FEATURES; i++) want += (double)activation[i] * (double)gradient[i % FEATURES];
    evidence_grad_cam(map, activation, CELLS, gradient, FEATURES);
    for (size_t p = 0; p < CELLS; p++) got += (double)map[p];
    CHECK_NEAR(got, want, 1e-4);
    for (size_t c = 0; c < FEATURES; c++) gradient[c] = -gradient[c];
    evidence_grad_cam(map, activation, CELLS, gradient, FEATURES);
    for (size_t p = 0; p < CELLS; p++) CHECK(map[p] == 0);
}

CHECK_MAIN
