/* links: config */
/* The memory of a reading: what an answer owns can be replaced, emptied and is freed (the sanitizers watch).
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/chain.h"
#include "config/config.h"
#include "tests/check.h"

TEST(an_answer_owns_regions_influences_and_a_map_that_can_be_replaced)
{
    cot_error err = {.status = COT_OK};
    cot_steps *steps = NULL;
    cot_chain *chain = NULL;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE_OK(cot_chain_create(&chain, steps, &err));
    cot_answer *a = &chain->answers[1];
    for (size_t n = 3; n-- > 0;) { /* the last round leaves none */
        CHECK_OK(cot_answer_regions(a, n, &err));
        CHECK(a->n_regions == n && (n == 0) == (a->regions == NULL));
        for (size_t r = 0; r < n; r++) {
            CHECK_OK(cot_region_points(&a->regions[r], 4, &err));
            CHECK_OK(cot_region_points(&a->regions[r], 3, &err));
            CHECK(a->regions[r].n_points == 3 && a->regions[r].points[2].row == 0);
        }
        CHECK_OK(cot_answer_influences(a, n, &err));
        CHECK(a->n_influences == n);
    }
    CHECK_OK(cot_answer_map(a, 7, 5, &err));
    CHECK(a->map_rows == 7 && a->map_cols == 5 && a->map[34] == 0);
    CHECK(cot_answer_map(a, SIZE_MAX, 3, &err) == COT_E_MEMORY);
    CHECK(a->map == NULL && a->map_rows == 0);
    CHECK_OK(cot_answer_other(a, &err));
    CHECK(a->other.probability[a->n_options - 1] == 0);
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}
CHECK_MAIN
