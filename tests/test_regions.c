/* links: config engine */
/* Regions: a bump of relevance at a known place of an asymmetric image becomes a polygon there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/regions.h"
#include "tests/check.h"

enum { N = 7 };

static void find(cot_answer *a, const float *map, size_t map_rows, size_t map_cols, size_t rows, size_t cols)
{
    cot_error err = {.status = COT_OK};
    CHECK_OK(regions_find(a, map, map_rows, map_cols, rows, cols, &err));
}

static void forget(cot_answer *a)
{
    cot_error err = {.status = COT_OK};
    CHECK_OK(cot_answer_regions(a, 0, &err));
}

static double area(const cot_region *region)
{
    double sum = 0;
    for (size_t i = 0; i < region->n_points; i++) {
        const cot_point a = region->points[i], b = region->points[(i + 1) % region->n_points];
        sum += (double)a.column * (double)b.row - (double)b.column * (double)a.row;
    }
    return fabs(sum) / 2;
}

TEST(a_bump_off_the_middle_of_a_wide_image_is_outlined_there)
{
    float map[N * N] = {0};
    cot_answer a = {.available = true};
    map[1 * N + 5] = 1; /* second row, sixth column */
    find(&a, map, N, N, 1000, 3000);
    REQUIRE(a.n_regions == 1);
    const cot_point middle = region_centroid(&a.regions[0]);
    CHECK_NEAR(middle.row, 1.5 / N * 1000, 10);
    CHECK_NEAR(middle.column, 5.5 / N * 3000, 30);
    CHECK(region_contains(&a.regions[0], middle.column, middle.row));
    CHECK(!region_contains(&a.regions[0], 3000 - middle.column, middle.row)); /* not mirrored */
    CHECK(!region_contains(&a.regions[0], middle.column, 1000 - middle.row)); /* not upside down */
    /* its area is that of the samples above half of the peak, but for what the cut moves inside of a sample */
    size_t inside = 0;
    float peak = 0;
    static float fine[REGIONS_FINE * REGIONS_FINE];
    regions_upsample(fine, map, N, N);
    for (size_t i = 0; i < REGIONS_FINE * REGIONS_FINE; i++) peak = fine[i] > peak ? fine[i] : peak;
    for (size_t i = 0; i < REGIONS_FINE * REGIONS_FINE; i++) inside += fine[i] > peak / 2;
    CHECK_NEAR(area(&a.regions[0]) / 3e6, (double)inside / (REGIONS_FINE * REGIONS_FINE), 7e-4);
    CHECK(a.regions[0].n_points >= 4 && a.regions[0].n_points < 60);
    CHECK(a.regions[0].share > 0.3f && a.regions[0].share < 1);
    forget(&a);
}

TEST(two_bumps_are_two_regions_the_stronger_first)
{
    float map[N * N] = {0};
    cot_answer a = {.available = true};
    map[5 * N + 1] = 0.8f;
    map[2 * N + 5] = 1;
    find(&a, map, N, N, 700, 700);
    REQUIRE(a.n_regions == 2);
    CHECK(a.regions[0].share > a.regions[1].share);
    CHECK(region_contains(&a.regions[0], 550, 250));
    CHECK(region_contains(&a.regions[1], 150, 550));
    forget(&a);
}

TEST(diagonal_neighbours_are_apart_or_joined_but_never_cross)
{
    float map[4] = {1, 0, 0, 1};
    cot_answer a = {.available = true};
    find(&a, map, 2, 2, 100, 100);
    CHECK(a.n_regions == 1 || a.n_regions == 2);
    double sum = 0;
    for (size_t r = 0; r < a.n_regions; r++) sum += area(&a.regions[r]);
    CHECK(sum > 4000 && sum < 6000);
    forget(&a);
}

TEST(a_region_at_the_border_stays_inside_of_the_image)
{
    float map[N * N] = {0};
    cot_answer a = {.available = true};
    map[0] = 1;
    map[N * N - 1] = 0.9f;
    find(&a, map, N, N, 333, 222);
    REQUIRE(a.n_regions == 2);
    for (size_t r = 0; r < 2; r++)
        for (size_t i = 0; i < a.regions[r].n_points; i++) {
            const cot_point p = a.regions[r].points[i];
            CHECK(p.column >= 0 && p.column <= 222 && p.row >= 0 && p.row <= 333);
        }
    CHECK(region_contains(&a.regions[0], 1.5f, 1.5f));
    CHECK(region_contains(&a.regions[1], 221, 331.5f));
    forget(&a);
}

TEST(no_relevance_or_the_same_everywhere_gives_no_region)
{
    float nothing[N * N] = {0}, everywhere[N * N], broken[N * N] = {0};
    cot_answer a = {.available = true};
    cot_error err = {.status = COT_OK};
    for (size_t i = 0; i < N * N; i++) everywhere[i] = 0.3f;
    broken[3] = NAN;
    broken[9] = INFINITY;
    find(&a, nothing, N, N, 100, 100);
    CHECK(a.n_regions == 0);
    find(&a, everywhere, N, N, 100, 100);
    CHECK(a.n_regions == 0);
    find(&a, broken, N, N, 100, 100);
    CHECK(a.n_regions == 0);
    CHECK(regions_find(&a, nothing, 0, N, 100, 100, &err) == COT_E_BUG);
    CHECK(regions_find(&a, nothing, REGIONS_FINE + 1, 1, 100, 100, &err) == COT_E_BUG);
}

/* Every kind of map: outlines are simple, disjoint enough to hold their share, and closed. */
TEST(outlines_of_noise_agree_with_the_samples_they_surround)
{
    unsigned state = 7;
    size_t found = 0;
    static float fine[REGIONS_FINE * REGIONS_FINE];
    for (size_t round = 0; round < 60; round++) {
        float map[14 * 14];
        cot_answer a = {.available = true};
        for (size_t i = 0; i < 14 * 14; i++) {
            state = state * 1664525u + 1013904223u;
            map[i] = (float)(state >> 8) / (float)(1u << 24);
            map[i] *= map[i] * map[i];
        }
        find(&a, map, 14, 14, REGIONS_FINE, REGIONS_FINE);
        regions_upsample(fine, map, 14, 14);
        CHECK(a.n_regions <= REGIONS_MAX);
        found += a.n_regions;
        for (size_t r = 0; r < a.n_regions; r++) {
            double above = 0, total = 0, peak = 0;
            for (size_t i = 0; i < REGIONS_FINE * REGIONS_FINE; i++) {
                total += (double)fine[i];
                if ((double)fine[i] > peak) peak = (double)fine[i];
            }
            for (size_t i = 0; i < REGIONS_FINE * REGIONS_FINE; i++)
                if ((double)fine[i] > peak / 2 &&
                    region_contains(&a.regions[r], (float)(i % REGIONS_FINE) + 0.5f, (float)(i / REGIONS_FINE) + 0.5f))
                    above += (double)fine[i];
            CHECK_NEAR(above / total, (double)a.regions[r].share, 0.02);
        }
        forget(&a);
    }
    CHECK(found > 60); /* scattered relevance may give none, most maps give some */
}
CHECK_MAIN
