/* links: engine config */
/* Evidence of a model of which all is known: it sees brightness at one place per cell, and its answers follow from that.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/faithfulness.h"
#include "engine/schedule.h"
#include "tests/known_model.h"

enum { SIDE = KNOWN_SIDE, PIXELS = SIDE * SIDE, BATCH = 4, IMAGES = 12, SPOT = 20 };

static struct {
    cot_device *device;
    char folder[64];
    cot_package *package;
    cot_model *model;
    float *pictures; /* [IMAGES, PIXELS] */
    cot_case cases[IMAGES];
    cot_box boxes[IMAGES];
    size_t patients[IMAGES];
} world;

/* A spot over the place that cell (row, column) sees. */
static void draw_spot(float *picture, size_t row, size_t column)
{
    const size_t cell = SIDE / KNOWN_CELLS, top = row * cell + (cell - SPOT) / 2,
                 left = column * cell + (cell - SPOT) / 2;
    for (size_t i = 0; i < SPOT * SPOT; i++) picture[(top + i / SPOT) * SIDE + left + i % SPOT] = 0.9f;
}

/* Dark pictures with one spot, each elsewhere, and a box around it. */
static void draw_all(void)
{
    const double cell = (double)SIDE / KNOWN_CELLS;
    for (size_t i = 0; i < IMAGES; i++) {
        const size_t row = 1 + i % 4, column = 1 + 2 * (i / 4);
        draw_spot(world.pictures + i * PIXELS, row, column);
        world.boxes[i] = (cot_box){"spot", ((double)column + 0.5) * cell - 12, ((double)row + 0.5) * cell - 12, 24, 24};
        world.cases[i] = (cot_case){.rows = SIDE, .cols = SIDE, .boxes = &world.boxes[i], .n_boxes = 1};
        world.patients[i] = i;
    }
}

static cot_status open_world(cot_error *err)
{
    cot_status status = COT_OK;
    char package[100];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    if (world.model) return COT_OK;
    world.pictures = calloc((size_t)IMAGES * PIXELS, sizeof *world.pictures);
    if (!world.pictures || !make_folder(world.folder)) return cot_fail(err, COT_E_IO, "no folder");
    draw_all();
    snprintf(package, sizeof package, "%s/package", world.folder);
    COT_TRY(known_package(package, err));
    COT_TRY(cot_device_open(&world.device, &options, err));
    COT_TRY(cot_package_open(&world.package, package, known_steps(), err));
    COT_TRY(cot_model_create(&world.model, world.device, world.package, known_steps(), BATCH, err));
done:
    return status;
}

__attribute__((destructor)) static void close_world(void)
{
    cot_model_destroy(world.model);
    cot_package_close(world.package);
    cot_device_close(world.device);
    free(world.pictures);
    if (world.folder[0]) remove_folder(world.folder);
}

static const faith_options plain = {DELETION_SURROUNDINGS, 6, 1, {true, 0.9, 0.9}};
static const faith_draws draws = {IMAGES, 200, 1};

static void measure(faith_found *found, const faith_options *options)
{
    cot_error err = COT_ERROR_INIT;
    faith *f = NULL;
    REQUIRE_OK(faith_open(&f, world.model, BATCH, options, &err));
    for (size_t at = 0; at < IMAGES; at += BATCH)
        CHECK_OK(faith_measure(found, f, world.pictures + at * PIXELS, world.cases + at, world.patients + at, at, BATCH,
                               &err));
    faith_close(f);
}

TEST(where_one_place_decides_its_deletion_and_no_other_changes_the_answer)
{
    cot_error err = COT_ERROR_INIT;
    score_interval out[FAITH_DROP_MEASURES];
    size_t n, mirrored;
    REQUIRE_OK(open_world(&err));
    for (int fill = 0; fill < DELETION_FILLS; fill++) {
        faith_found found = {.answers = 0};
        faith_options options = plain;
        options.fill = (deletion_fill)fill;
        measure(&found, &options);
        CHECK_NUMBER(found.answers, IMAGES * KNOWN_STEPS);
        CHECK_NUMBER(found.regions.n, IMAGES * KNOWN_STEPS);
        for (size_t step = 0; step <= KNOWN_STEPS; step++) {
            const bool all = step == KNOWN_STEPS;
            CHECK_OK(faith_drop_scores(out, &n, &mirrored, &found.regions, all ? FAITH_ALL_STEPS : step, &draws, &err));
            CHECK_NUMBER(n, all ? IMAGES * KNOWN_STEPS : IMAGES);
            CHECK(mirrored > 0 && mirrored <= n);
            CHECK(out[FAITH_REGION].low > 0.3);
            CHECK(fabs(out[FAITH_ELSEWHERE].value) < 0.06);
            CHECK(out[FAITH_DIFFERENCE].low > 0.3 && out[FAITH_BESIDE].low > 0.3 && out[FAITH_MORE].value >= 1);
            CHECK(out[FAITH_RATIO].low > 5 || out[FAITH_ELSEWHERE].low <= 0);
        }
        CHECK_OK(faith_drop_scores(out, &n, &mirrored, &found.boxes, 0, &draws, &err));
        CHECK(n == IMAGES && out[FAITH_REGION].low > 0.3 && fabs(out[FAITH_ELSEWHERE].value) < 0.06);
        faith_found_fini(&found);
    }
}

TEST(the_map_of_that_model_points_at_the_spot)
{
    cot_error err = COT_ERROR_INIT;
    score_interval out[FAITH_POINT_MEASURES];
    faith_found found = {.answers = 0};
    size_t n;
    REQUIRE_OK(open_world(&err));
    measure(&found, &plain);
    CHECK_OK(faith_point_scores(out, &n, &found, FAITH_ALL_STEPS, &draws, &err));
    CHECK_NUMBER(n, IMAGES * KNOWN_STEPS);
    CHECK(out[FAITH_PEAK].value >= 1 && out[FAITH_CENTROID].value >= 1);
    CHECK_NEAR(out[FAITH_CHANCE].value, 24.0 * 24 / PIXELS, 0.002);
    CHECK(out[FAITH_FIXED].value <= 0 && found.silent == 0);
    faith_found_fini(&found);
}

/* Squares at places drawn from (seed, image), instead of the model's own regions. */
static cot_status invent_regions(cot_chain *chain, size_t image, cot_error *err)
{
    cot_status status = COT_OK;
    enum { LARGE = 60 };
    size_t order[1], place[2];
    static double even[SIDE - LARGE];
    for (size_t i = 0; i < SIDE - LARGE; i++) even[i] = 1;
    for (size_t s = 0; s < chain->n_steps; s++) {
        cot_answer *a = &chain->answers[s];
        for (size_t k = 0; k < 2; k++) {
            size_t all[SIDE - LARGE];
            if (!order_draw(all, SIDE - LARGE, even, 7 + k, image * KNOWN_STEPS + s)) return COT_E_MEMORY;
            order[0] = all[0];
            place[k] = order[0];
        }
        COT_TRY(cot_answer_regions(a, 1, err));
        COT_TRY(cot_region_points(&a->regions[0], 4, err));
        for (size_t i = 0; i < 4; i++)
            a->regions[0].points[i] = (cot_point){(float)(place[0] + (i == 1 || i == 2 ? LARGE : 0)),
                                                  (float)(place[1] + (i > 1 ? LARGE : 0))};
    }
done:
    return status;
}

TEST(regions_drawn_at_random_matter_as_much_as_their_copies)
{
    enum { ROUNDS = 8 };
    cot_error err = COT_ERROR_INIT;
    faith_found found = {.answers = 0};
    faith *f = NULL;
    score_interval out[FAITH_DROP_MEASURES];
    cot_case none[BATCH] = {{.rows = SIDE}};
    size_t n;
    REQUIRE_OK(open_world(&err));
    REQUIRE_OK(faith_open(&f, world.model, BATCH, &plain, &err));
    for (size_t at = 0; at < (size_t)IMAGES * ROUNDS; at += BATCH) {
        cot_picture pictures[BATCH];
        cot_chain *chains[BATCH] = {NULL};
        const size_t from = at % IMAGES;
        for (size_t i = 0; i < BATCH; i++)
            pictures[i] = (cot_picture){world.pictures + (from + i) * PIXELS, SIDE, SIDE, COT_ORIENTATION_ASSUMED};
        CHECK_OK(cot_model_read(world.model, chains, pictures, BATCH, &err));
        for (size_t i = 0; i < BATCH && chains[i]; i++) CHECK_OK(invent_regions(chains[i], at + i, &err));
        CHECK_OK(faith_judge(&found, f, chains, world.pictures + from * PIXELS, none, world.patients + from, at, BATCH,
                             &err));
        for (size_t i = 0; i < BATCH; i++) cot_chain_destroy(chains[i]);
    }
    faith_close(f);
    CHECK_OK(faith_drop_scores(out, &n, NULL, &found.regions, FAITH_ALL_STEPS, &draws, &err));
    CHECK_NUMBER(n, IMAGES * ROUNDS * KNOWN_STEPS);
    CHECK(out[FAITH_RATIO].low < 1 && out[FAITH_RATIO].high > 1);
    CHECK(out[FAITH_RATIO].value > 0.7 && out[FAITH_RATIO].value < 1.4);
    CHECK(out[FAITH_DIFFERENCE].low < 0 && out[FAITH_DIFFERENCE].high > 0);
    faith_found_fini(&found);
}

/* ---- influences ---- */
typedef struct influenced {
    cot_chain *chain;
    float whole[2 * KNOWN_STEPS], without[KNOWN_STEPS][2 * KNOWN_STEPS];
    const float *of[KNOWN_STEPS];
} influenced;

static void read_influences(influenced *x)
{
    cot_error err = COT_ERROR_INIT;
    const cot_picture picture = {world.pictures, SIDE, SIDE, COT_ORIENTATION_ASSUMED};
    CHECK_OK(cot_model_explain(world.model, true, false, &err));
    REQUIRE_OK(cot_model_read(world.model, &x->chain, &picture, 1, &err));
    memcpy(x->whole, world.model->logits, sizeof x->whole);
    for (size_t t = 0; t < KNOWN_STEPS; t++) {
        CHECK_OK(model_without(world.model, 1, t, &err));
        memcpy(x->without[t], world.model->logits, sizeof x->without[t]);
        x->of[t] = x->without[t];
    }
    CHECK_OK(cot_model_explain(world.model, false, false, &err));
}

static double worst(const influenced *x)
{
    faith_influences to = {.n = 0};
    faith_compare(&to, x->chain, x->whole, x->of, NULL, 0);
    CHECK_NUMBER(to.n, KNOWN_STEPS * (KNOWN_STEPS - 1) / 2);
    return to.worst;
}

TEST(influences_agree_with_the_plain_chain_and_a_wrong_one_is_caught)
{
    cot_error err = COT_ERROR_INIT;
    influenced x = {.chain = NULL};
    REQUIRE_OK(open_world(&err));
    read_influences(&x);
    REQUIRE(x.chain && x.chain->answers[2].n_influences == 2);
    cot_influence *first = x.chain->answers[2].influences;
    CHECK(fabsf(first[0].change) > 0.05f); /* there is something to be wrong about */
    CHECK(worst(&x) < 1e-5);
    const cot_influence kept = first[0];
    first[0].change += 0.002f;
    CHECK_NEAR(worst(&x), 0.002, 1e-5);
    CHECK(worst(&x) > FAITH_INFLUENCE_BOUND);
    first[0].change = -kept.change; /* raises said for lowers */
    CHECK(worst(&x) > 0.1);
    first[0] = kept;
    first[0].step = first[1].step; /* there twice, another missing */
    CHECK(isinf(worst(&x)));
    first[0] = kept;
    first[0].change = NAN;
    CHECK(isinf(worst(&x)));
    first[0] = kept;
    x.chain->answers[2].n_influences = 1;
    CHECK(isinf(worst(&x)));
    x.chain->answers[2].n_influences = 2;
    CHECK(worst(&x) < 1e-5);
    cot_chain_destroy(x.chain);
}

TEST(all_influences_of_a_split_are_run_again)
{
    cot_error err = COT_ERROR_INIT;
    faith_found found = {.answers = 0};
    REQUIRE_OK(open_world(&err));
    measure(&found, &plain);
    CHECK_NUMBER(found.influences.n, IMAGES * KNOWN_STEPS * (KNOWN_STEPS - 1) / 2);
    CHECK(found.influences.worst < FAITH_INFLUENCE_BOUND / 10);
    faith_found_fini(&found);
}

CHECK_MAIN
