/* links: engine config */
/* The student on the host: its logits are the oracle's, a removed step changes only what follows, gradients are differences.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden.h"
#include "engine/student_host.h"
#include "tests/check.h"

typedef struct world {
    cot_golden *golden;
    student_host student;
    float *feature; /* [batch, features] */
} world;

static cot_status open_world(world *w, const char *folder, cot_error *err)
{
    cot_status status;
    *w = (world){.golden = NULL};
    COT_TRY(cot_golden_open(&w->golden, folder, err));
    const golden_sizes *z = &w->golden->sizes;
    const weight_source weights = golden_source(w->golden, GOLDEN_STUDENT);
    const weight_source expected = golden_source(w->golden, GOLDEN_EXPECTED);
    const student_shape shape = {z->image_dim, z->student, w->golden->n_steps, w->golden->classes};
    COT_TRY(student_host_init(&w->student, &weights, &shape, err));
    COT_TRY(source_floats(&w->feature, &expected, "image_features", (const size_t[]){z->batch, z->image_dim}, 2, err));
done:
    return status;
}

static void close_world(world *w)
{
    student_host_fini(&w->student);
    free(w->feature);
    cot_golden_close(w->golden);
}

static void check_logits(world *w)
{
    cot_error err = {.status = COT_OK};
    const golden_sizes *z = &w->golden->sizes;
    const weight_source expected = golden_source(w->golden, GOLDEN_EXPECTED);
    for (size_t s = 0, at = 0; s < w->golden->n_steps; at += w->golden->classes[s++]) {
        char name[64];
        float *want = NULL;
        const size_t classes = w->golden->classes[s];
        snprintf(name, sizeof name, "student_logits.%zu", s);
        REQUIRE_OK(source_floats(&want, &expected, name, (const size_t[]){z->batch, classes}, 2, &err));
        for (size_t b = 0; b < z->batch; b++) {
            student_host_forward(&w->student, w->feature + b * z->image_dim);
            for (size_t k = 0; k < classes; k++)
                CHECK_NEAR(w->student.logits[at + k], want[b * classes + k],
                           2e-5 * (1 + fabs((double)want[b * classes + k])));
        }
        free(want);
    }
}

TEST(logits_are_those_of_the_oracle)
{
    static const char *const folders[] = {"tiny", "odd", "batch17", "one_step"};
    for (size_t i = 0; i < 4; i++) {
        world w;
        char path[256];
        cot_error err = {.status = COT_OK};
        snprintf(path, sizeof path, "%s/tests/golden/%s", COT_SOURCE_DIR, folders[i]);
        CHECK_OK(open_world(&w, path, &err));
        if (err.status == COT_OK) check_logits(&w);
        close_world(&w);
    }
}

TEST(a_removed_step_changes_what_follows_and_nothing_before)
{
    world w;
    cot_error err = {.status = COT_OK};
    REQUIRE_OK(open_world(&w, NULL, &err));
    student_host *m = &w.student;
    float *without = calloc(m->n_logits, sizeof *without);
    student_host_forward(m, w.feature);
    for (size_t step = 0; without && step < m->n_steps; step++) {
        student_host_without(m, without, step);
        for (size_t s = 0, at = 0; s < m->n_steps; at += m->classes[s++]) {
            double moved = 0;
            for (size_t k = 0; k < m->classes[s]; k++) moved += fabs((double)without[at + k] - m->logits[at + k]);
            if (s <= step)
                CHECK(moved < 1e-6 * (double)m->classes[s]);
            else
                CHECK(moved > 1e-3);
        }
    }
    /* by hand: the step behind the removed one answers from the feature before it */
    student_host_without(m, without, 0);
    double want = (double)m->head_b[m->classes[0]];
    for (size_t d = 0; d < m->dim; d++) want += (double)m->head_w[m->classes[0] * m->dim + d] * m->feat[d];
    CHECK_NEAR(without[m->classes[0]], want, 1e-5);
    free(without);
    close_world(&w);
}

TEST(gradients_are_finite_differences)
{
    world w;
    cot_error err = {.status = COT_OK};
    REQUIRE_OK(open_world(&w, NULL, &err));
    student_host *m = &w.student;
    float *g = calloc(m->features, sizeof *g);
    for (size_t s = 0, at = 0; g && s < m->n_steps; at += m->classes[s++]) {
        const size_t option = m->classes[s] - 1;
        student_host_forward(m, w.feature);
        student_host_gradient(m, g, s, option);
        for (size_t i = 0; i < m->features; i += 7) {
            const float keep = w.feature[i], h = 1e-3f;
            double side[2];
            for (int k = 0; k < 2; k++) {
                w.feature[i] = k ? keep + h : keep - h;
                student_host_forward(m, w.feature);
                side[k] = m->logits[at + option];
            }
            const double step = (double)(keep + h) - (double)(keep - h);
            w.feature[i] = keep;
            CHECK_NEAR(g[i], (side[1] - side[0]) / step, 2e-3 * (fabs((double)g[i]) + 1e-2));
        }
    }
    free(g);
    close_world(&w);
}
CHECK_MAIN
