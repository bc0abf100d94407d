/* links: engine */
/* Learning rates against torch's, early stopping, the order of images. SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"
#include "tests/check.h"

static cot_training_stage stage(cot_schedule_kind kind)
{
    return (cot_training_stage){
        .schedule = kind, .warmup = 0.3, .factor = 0.5, .min_lr = 1e-6, .patience = 2, .stop = 4};
}

TEST(one_cycle_rates_are_those_of_torch)
{
    /* torch 2: OneCycleLR(max_lr=2e-3, total_steps=20, pct_start=0.3) */
    static const double want[] = {8e-05,          0.000263343685, 0.000743343685, 0.00133665631,  0.00181665631,
                                  0.002,          0.00197492801,  0.00190096926,  0.00178183236,  0.00162349131,
                                  0.001433886,    0.00122252404,  0.001000004,    0.000777483956, 0.000566121996,
                                  0.000376516692, 0.000218175645, 9.9038736e-05,  2.50799875e-05, 8e-09};
    schedule s;
    const cot_training_stage kind = stage(COT_SCHEDULE_ONE_CYCLE);
    schedule_init(&s, &kind, 20);
    for (uint64_t i = 0; i < 20; i++) CHECK_NEAR(schedule_rate(&s, 2e-3, i), want[i], 1e-11);
}

TEST(one_cycle_of_a_single_step_and_without_warmup_stays_finite)
{
    schedule s;
    cot_training_stage kind = stage(COT_SCHEDULE_ONE_CYCLE);
    schedule_init(&s, &kind, 1);
    CHECK_NEAR(schedule_rate(&s, 0.1, 0), 0.1, 1e-12);
    kind.warmup = 0;
    schedule_init(&s, &kind, 10);
    CHECK_NEAR(schedule_rate(&s, 0.1, 0), 0.1, 1e-12);
    CHECK(schedule_rate(&s, 0.1, 9) < 1e-5);
}

TEST(cosine_rises_straight_and_falls_to_nothing)
{
    schedule s;
    const cot_training_stage kind = stage(COT_SCHEDULE_COSINE);
    schedule_init(&s, &kind, 100);
    CHECK(schedule_rate(&s, 1, 0) > 0);
    for (uint64_t i = 1; i < 30; i++) CHECK(schedule_rate(&s, 1, i) > schedule_rate(&s, 1, i - 1));
    for (uint64_t i = 31; i < 100; i++) CHECK(schedule_rate(&s, 1, i) < schedule_rate(&s, 1, i - 1));
    CHECK_NEAR(schedule_rate(&s, 1, 30), 1, 1e-12);
    CHECK(schedule_rate(&s, 1, 99) < 1e-3);
}

TEST(plateau_halves_after_patience_and_not_below_the_least)
{
    schedule s;
    const cot_training_stage kind = stage(COT_SCHEDULE_PLATEAU);
    schedule_init(&s, &kind, 100);
    CHECK(schedule_tell(&s, 0.5));
    CHECK(!schedule_tell(&s, 0.5) && schedule_rate(&s, 1e-5, 0) == 1e-5);
    CHECK(!schedule_tell(&s, NAN));
    CHECK_NEAR(schedule_rate(&s, 1e-5, 0), 5e-6, 1e-15);
    for (int i = 0; i < 20; i++) schedule_tell(&s, 0);
    CHECK_NEAR(schedule_rate(&s, 1e-5, 0), 1e-6, 1e-15);
    CHECK(schedule_tell(&s, 0.6) && s.state.best_epoch == 24);
    CHECK_NEAR(schedule_rate(&s, 1e-7, 0), 1e-7, 0); /* a rate below the least is left alone */
}

TEST(training_stops_when_nothing_better_has_come)
{
    schedule s;
    const cot_training_stage kind = stage(COT_SCHEDULE_CONSTANT);
    schedule_init(&s, &kind, 100);
    schedule_tell(&s, 0.5);
    for (int i = 0; i < 3; i++) schedule_tell(&s, 0.4);
    CHECK(!schedule_stops(&s));
    schedule_tell(&s, 0.4);
    CHECK(schedule_stops(&s));
    s.stage.stop = 0;
    CHECK(!schedule_stops(&s));
}

TEST(shuffles_are_permutations_that_depend_on_seed_and_epoch_alone)
{
    size_t a[1000], b[1000], c[1000], first[10] = {0};
    bool seen[1000] = {false};
    order_shuffle(a, 1000, 7, 3);
    order_shuffle(b, 1000, 7, 3);
    order_shuffle(c, 1000, 7, 4);
    CHECK(!memcmp(a, b, sizeof a) && memcmp(a, c, sizeof a));
    for (size_t i = 0; i < 1000; i++) seen[a[i]] = true;
    for (size_t i = 0; i < 1000; i++) CHECK(seen[i]);
    for (uint64_t e = 0; e < 10000; e++) { /* each place is as likely */
        order_shuffle(b, 10, 1, e);
        first[b[0]]++;
    }
    for (size_t i = 0; i < 10; i++) CHECK_NEAR(first[i], 1000, 150);
}

TEST(draws_follow_the_weights)
{
    static const double weight[4] = {1, 0, 2, 5};
    size_t order[4], times[4] = {0};
    for (uint64_t e = 0; e < 4000; e++) {
        REQUIRE(order_draw(order, 4, weight, 9, e));
        for (size_t i = 0; i < 4; i++) times[order[i]]++;
    }
    CHECK_NUMBER(times[1], 0);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(times[i], 2000 * weight[i], 250);
}

TEST(batches_cover_all_images_and_differ_by_one)
{
    for (size_t n = 1; n < 200; n++) {
        const size_t count = batch_count(n, 32);
        CHECK(batch_begin(n, count, 0) == 0 && batch_begin(n, count, count) == n);
        for (size_t i = 0; i < count; i++) {
            const size_t size = batch_begin(n, count, i + 1) - batch_begin(n, count, i);
            CHECK(size <= 32 && size >= n / count && (n == 1 || size >= 2));
        }
    }
}

CHECK_MAIN
