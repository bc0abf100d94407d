/* links: dicom config
 * Evidence in words: where an answer lies and what it rests on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/report_cases.h"

TEST(an_influence_is_told_with_its_direction_and_size)
{
    char words[600];
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    cot_chain *chain = case_chain(steps, true);
    static const struct {
        float change;
        const char *words;
    } cases[] = {{-0.25f, "lowers the certainty of this answer by 25.0 percentage points"},
                 {0.125f, "raises the certainty of this answer by 12.5 percentage points"},
                 {0.0004f, "changes the certainty of this answer by less than 0.1 percentage points"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const cot_influence influence = {0, cases[i].change};
        cot_influence_text(words, sizeof words, chain, steps, &influence);
        CHECK_HAS(words, cases[i].words);
        CHECK_HAS(words, steps->steps[0].title);
        CHECK_HAS(words, steps->steps[0].options[chain->answers[0].answer].label);
    }
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(an_unlocated_or_unavailable_answer_has_no_place)
{
    cot_answer answer = {.available = true};
    CHECK_TEXT(cot_answer_place(&answer), "");
    answer.located = true;
    CHECK_TEXT(cot_answer_place(&answer), "whole image");
    answer.available = false;
    CHECK_TEXT(cot_answer_place(&answer), "");
}

CHECK_MAIN
