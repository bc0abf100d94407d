/* links: engine config */
/* What is taken away, where else, and what stands in its stead; and what a place that is pointed at hits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/deletion.h"
#include "engine/pointing.h"
#include "tests/check.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, COLUMNS = 200, ROWS = 100 };

/* A wedge and a square of an image [ROWS, COLUMNS], far from each other. */
static cot_point wedge[] = {{20, 10}, {80, 10}, {20, 50}}, square[] = {{150, 70}, {190, 70}, {190, 90}, {150, 90}};
static const cot_region both[] = {{3, wedge, 0.6f}, {4, square, 0.3f}};

static void check_copy(const deletion *d)
{
    size_t n = 0, on = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        n += d->copy.in[i];
        on += d->copy.in[i] && d->all.in[i];
    }
    CHECK_NUMBER(n, d->all.n);
    CHECK_NUMBER(n, d->copy.n);
    CHECK((double)on <= DELETION_OVERLAP * (double)n);
}

TEST(copies_have_the_regions_size_and_lie_elsewhere_inside_the_picture)
{
    cot_error err = COT_ERROR_INIT;
    deletion d;
    size_t touched = 0, seen[PIXELS] = {0};
    REQUIRE_OK(deletion_init(&d, SIDE, DELETION_SURROUNDINGS, &err));
    deletion_take(&d, both, 2, ROWS, COLUMNS);
    CHECK_NEAR(d.all.n, 0.5 * 60 * 40 * 0.2048 + 40 * 20 * 0.2048, 30); /* areas, in pixels of the picture */
    CHECK(d.all.in[(size_t)(80 * 0.64) * SIDE + (size_t)(170 * 0.32)] && !d.all.in[SIDE / 2 * SIDE + SIDE / 2]);
    for (uint64_t k = 0; k < 200; k++) {
        REQUIRE(deletion_move(&d, 1, k));
        check_copy(&d);
        for (size_t i = 0; i < PIXELS; i++) seen[i] += d.copy.in[i];
    }
    for (size_t i = 0; i < PIXELS; i++) touched += seen[i] > 0;
    CHECK(touched > PIXELS * 3 / 4); /* corners of the picture are reached by corners of shapes only */
    unsigned char *first = malloc(PIXELS);
    REQUIRE(first && deletion_move(&d, 1, 3));
    memcpy(first, d.copy.in, PIXELS);
    CHECK(deletion_move(&d, 1, 4) && memcmp(first, d.copy.in, PIXELS) != 0);
    CHECK(deletion_move(&d, 2, 3) && memcmp(first, d.copy.in, PIXELS) != 0);
    CHECK(deletion_move(&d, 1, 3) && !memcmp(first, d.copy.in, PIXELS));
    free(first);
    deletion_fini(&d);
}

TEST(where_there_is_no_other_place_none_is_made_up)
{
    cot_error err = COT_ERROR_INIT;
    deletion d;
    cot_point most[] = {{2, 2}, {198, 2}, {198, 98}, {2, 98}}, inner[] = {{90, 40}, {110, 40}, {100, 60}};
    cot_point middle[] = {{80, 20}, {120, 20}, {120, 60}, {80, 60}}, left[] = {{10, 20}, {60, 20}, {60, 60}};
    const cot_region large = {4, most, 1}, nested[] = {{3, inner, 0.2f}, {4, middle, 0.5f}}, aside = {3, left, 1};
    REQUIRE_OK(deletion_init(&d, SIDE, DELETION_MEAN, &err));
    deletion_take(&d, &large, 1, ROWS, COLUMNS);
    CHECK(!deletion_move(&d, 1, 1) && !deletion_mirror(&d));
    deletion_take(&d, nested, 2, ROWS, COLUMNS); /* a shape within another is that one's */
    REQUIRE(deletion_move(&d, 1, 1));
    check_copy(&d);
    CHECK(!deletion_mirror(&d)); /* in the middle, both sides are one */
    deletion_take(&d, &aside, 1, ROWS, COLUMNS);
    REQUIRE(deletion_mirror(&d));
    check_copy(&d);
    for (size_t i = 0; i < PIXELS; i++) CHECK(d.copy.in[i] == d.all.in[i / SIDE * SIDE + SIDE - 1 - i % SIDE]);
    deletion_take(&d, &aside, 0, ROWS, COLUMNS);
    CHECK(!d.all.n && !deletion_move(&d, 1, 1) && !deletion_mirror(&d));
    deletion_fini(&d);
}

/* A slope with a bright spot in the wedge. */
static void draw(float *picture)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const size_t r = i / SIDE, c = i % SIDE;
        picture[i] = 0.2f + 0.3f * (float)c / SIDE + (r > 10 && r < 16 && c > 9 && c < 14 ? 0.5f : 0);
    }
}

TEST(the_surroundings_take_the_finding_away_and_leave_no_edge)
{
    cot_error err = COT_ERROR_INIT;
    static float picture[PIXELS], out[PIXELS];
    deletion d;
    REQUIRE_OK(deletion_init(&d, SIDE, DELETION_SURROUNDINGS, &err));
    draw(picture);
    deletion_picture(&d, picture);
    deletion_take(&d, both, 2, ROWS, COLUMNS);
    deletion_apply(out, &d, &d.all);
    for (size_t i = 0; i < PIXELS; i++)
        if (d.all.in[i])
            CHECK_NEAR(out[i], 0.2 + 0.3 * (double)(i % SIDE) / SIDE, 0.05); /* the slope goes on, the spot is gone */
        else
            CHECK(out[i] == picture[i]);
    deletion_fini(&d);
}

TEST(the_other_fillings_are_the_blurred_picture_and_its_mean)
{
    cot_error err = COT_ERROR_INIT;
    static float picture[PIXELS], out[PIXELS];
    deletion d;
    double mean = 0;
    draw(picture);
    for (size_t i = 0; i < PIXELS; i++) mean += (double)picture[i] / PIXELS;
    for (int fill = DELETION_BLUR; fill <= DELETION_MEAN; fill++) {
        REQUIRE_OK(deletion_init(&d, SIDE, (deletion_fill)fill, &err));
        deletion_picture(&d, picture);
        deletion_take(&d, both, 2, ROWS, COLUMNS);
        deletion_apply(out, &d, &d.all);
        for (size_t i = 0; i < PIXELS; i++)
            if (!d.all.in[i])
                CHECK(out[i] == picture[i]);
            else if (fill == DELETION_MEAN)
                CHECK_NEAR(out[i], mean, 1e-5);
            else
                CHECK(out[i] > 0.2f && out[i] < 0.5f); /* the spot of 1 is spread out */
        deletion_fini(&d);
    }
    for (size_t i = 0; i < PIXELS; i++) picture[i] = 0.25f;
    REQUIRE_OK(deletion_init(&d, SIDE, DELETION_BLUR, &err));
    deletion_picture(&d, picture);
    for (size_t i = 0; i < PIXELS; i++) CHECK_NEAR(d.blurred[i], 0.25, 1e-6);
    deletion_fini(&d);
    deletion_fill fill;
    CHECK(deletion_fill_named(&fill, "blur") && fill == DELETION_BLUR && !deletion_fill_named(&fill, "grey"));
}

/* ---- pointing ---- */
TEST(a_place_hits_the_boxes_of_its_image_only)
{
    cot_box boxes[] = {{"Mass", 20, 10, 40, 20}, {"Mass", 50, 20, 50, 30}};
    const cot_case image = {.rows = 100, .cols = 200, .boxes = boxes, .n_boxes = 2}, plain = {.rows = 100, .cols = 200};
    CHECK(pointing_hits(&image, (pointing_place){true, 0.11, 0.11}));
    CHECK(pointing_hits(&image, (pointing_place){true, 0.49, 0.49}));
    CHECK(!pointing_hits(&image, (pointing_place){true, 0.11, 0.31}));
    CHECK(!pointing_hits(&image, (pointing_place){false, 0.11, 0.11}));
    CHECK(!pointing_hits(&plain, (pointing_place){true, 0.11, 0.11}));
    CHECK_NEAR(pointing_chance(&image), (40 * 20 + 50 * 30 - 10 * 10) / 20000.0, 0.002);
    CHECK(pointing_chance(&plain) == 0);
}

TEST(the_fixed_place_is_in_most_boxes_of_its_split)
{
    cot_box a = {"Mass", 20, 10, 40, 20}, b = {"Mass", 50, 20, 50, 30}, c = {"Mass", 150, 80, 10, 10};
    cot_case cases[] = {{.rows = 100, .cols = 200, .boxes = &a, .n_boxes = 1, .split = COT_TRAIN},
                        {.rows = 100, .cols = 200, .boxes = &b, .n_boxes = 1, .split = COT_TRAIN},
                        {.rows = 100, .cols = 200, .boxes = &c, .n_boxes = 1, .split = COT_TEST}};
    cot_manifest m = {.cases = cases, .n = 3};
    pointing_place place = pointing_fixed(&m, COT_TRAIN);
    CHECK(place.known && pointing_hits(&cases[0], place) && pointing_hits(&cases[1], place));
    place = pointing_fixed(&m, COT_TEST);
    CHECK(place.known && pointing_hits(&cases[2], place));
    CHECK(!pointing_fixed(&m, COT_VALIDATION).known);
}

TEST(a_map_points_at_its_largest_cell_and_a_region_at_its_middle)
{
    float map[6] = {0, 0.2f, 0.1f, 0, 0.3f, 0}, nothing[6] = {0};
    cot_region region = {4, square, 1};
    cot_answer answer = {.map = map, .map_rows = 2, .map_cols = 3, .regions = &region, .n_regions = 1};
    pointing_place place = pointing_peak(&answer);
    CHECK(place.known);
    CHECK_NEAR(place.across, 0.5, 1e-6);
    CHECK_NEAR(place.down, 0.75, 1e-6);
    place = pointing_centroid(&answer, ROWS, COLUMNS);
    CHECK(place.known);
    CHECK_NEAR(place.across, 0.85, 1e-5);
    CHECK_NEAR(place.down, 0.8, 1e-5);
    answer.map = nothing;
    answer.n_regions = 0;
    CHECK(!pointing_peak(&answer).known && !pointing_centroid(&answer, ROWS, COLUMNS).known);
    answer.map = NULL;
    CHECK(!pointing_peak(&answer).known);
}

CHECK_MAIN
