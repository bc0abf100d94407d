/* links: engine config
 * The words of a reading, without a device: probabilities, runner-up, rationale, summary.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

/* Answers step `s` of the tiny schema from these logits. Caller destroys. */
static cot_chain *answer(size_t s, const float *logits)
{
    cot_chain *chain = NULL;
    if (cot_chain_create(&chain, tiny_steps(), NULL) == COT_OK)
        answer_fill(&chain->answers[s], &tiny_step[s], logits, 0);
    return chain;
}

TEST(answer_is_the_largest_probability_and_second_the_next)
{
    const float logits[] = {0.0f, 2.0f, 1.0f};
    cot_chain *chain = answer(1, logits);
    REQUIRE(chain);
    const cot_answer *a = &chain->answers[1];
    CHECK_NUMBER(a->answer, 1);
    CHECK_NUMBER(a->second, 2);
    CHECK_NEAR(a->probability[0], 0.0900306, 1e-6);
    CHECK_NEAR(a->probability[1], 0.6652410, 1e-6);
    CHECK_NEAR(a->probability[2], 0.2447285, 1e-6);
    CHECK_TEXT(a->rationale, "Of 3: Option 1.1 66.5%, then Option 1.2 24.5% {unknown}");
    cot_chain_destroy(chain);
}

TEST(answer_of_equal_logits_is_the_first)
{
    const float logits[] = {1, 1, 1, 1, 1};
    cot_chain *chain = answer(2, logits);
    REQUIRE(chain);
    CHECK_NUMBER(chain->answers[2].answer, 0);
    CHECK_NUMBER(chain->answers[2].second, 1);
    cot_chain_destroy(chain);
}

TEST(answer_of_extreme_logits_stays_finite)
{
    const float logits[] = {-3e38f, 3e38f};
    cot_chain *chain = answer(0, logits);
    REQUIRE(chain);
    CHECK(chain->answers[0].probability[0] == 0.0f && chain->answers[0].probability[1] == 1.0f);
    CHECK_TEXT(chain->answers[0].rationale, "Only Option 0.1 over 99%");
    cot_chain_destroy(chain);
}

TEST(rationale_names_no_runner_up_under_five_percent)
{
    const float near[] = {0.0f, -2.9f}, far[] = {0.0f, -3.0f}; /* 5.2%, 4.7% */
    cot_chain *one = answer(0, near), *two = answer(0, far);
    REQUIRE(one && two);
    CHECK_TEXT(one->answers[0].rationale, "Of 2: Option 0.0 94.8%, then Option 0.1 5.2% {unknown}");
    CHECK_TEXT(two->answers[0].rationale, "Only Option 0.0 95.3%");
    cot_chain_destroy(one);
    cot_chain_destroy(two);
}

TEST(rationale_is_cut_between_characters)
{
    const float logits[] = {1, 0};
    tiny_steps();
    cot_option options[2] = {{.label = ""}, {.label = "x"}};
    for (size_t i = 0; i < 94; i++) memcpy(options[0].label + 2 * i, "\xc3\xa4", 2);
    cot_step step = {.n_options = 2, .options = options};
    for (size_t i = 0; i < 50; i++) strcat(step.phrase, "{answer}.");
    float probability[2];
    cot_answer a = {.n_options = 2, .probability = probability};
    answer_fill(&a, &step, logits, 0);
    const size_t n = strlen(a.rationale);
    CHECK(n >= sizeof a.rationale - 2 && n < sizeof a.rationale);
    size_t first = 0, second = 0;
    for (size_t i = 0; i < n; i++) {
        first += (unsigned char)a.rationale[i] == 0xc3;
        second += (unsigned char)a.rationale[i] == 0xa4;
    }
    CHECK_NUMBER(first, second);
}

TEST(phrase_with_an_open_brace_is_left_as_it_stands)
{
    const float logits[] = {1, 0};
    cot_option options[2] = {{.label = "yes"}, {.label = "no"}};
    cot_step step = {.n_options = 2, .options = options, .phrase = "{{answer} {} {answer"};
    float probability[2];
    cot_answer a = {.n_options = 2, .probability = probability};
    answer_fill(&a, &step, logits, 0);
    CHECK_TEXT(a.rationale, "{yes {} {answer");
}

TEST(summary_says_uncalibrated_even_when_titles_are_long)
{
    static const char last[] = "not calibrated.";
    cot_chain *chain = NULL;
    REQUIRE(cot_chain_create(&chain, tiny_steps(), NULL) == COT_OK);
    const float logits[] = {1, 0, 0, 0, 0};
    for (size_t s = 0; s < 3; s++) {
        memset(tiny_step[s].title, 'T', sizeof tiny_step[s].title - 1);
        memset(tiny_options[tiny_step[s].options - tiny_options].label, 'L', sizeof tiny_options[0].label - 1);
        answer_fill(&chain->answers[s], &tiny_step[s], logits, 0);
    }
    chain_summarise(chain, tiny_steps());
    const size_t n = strlen(chain->summary);
    CHECK(n < sizeof chain->summary);
    CHECK_TEXT(chain->summary + n - strlen(last), last);
    cot_chain_destroy(chain);
    memset(tiny_options, 0, sizeof tiny_options);
    memset(tiny_step, 0, sizeof tiny_step);
}

TEST(summary_begins_with_the_conclusion)
{
    cot_chain *chain = NULL;
    const float logits[] = {0, 0, 0, 0, 9};
    REQUIRE(cot_chain_create(&chain, tiny_steps(), NULL) == COT_OK);
    answer_fill(&chain->answers[0], &tiny_step[0], logits, 0);
    answer_unavailable(&chain->answers[1]);
    answer_fill(&chain->answers[2], &tiny_step[2], logits, 0);
    chain_summarise(chain, tiny_steps());
    CHECK_TEXT(chain->summary,
               "Title 2: Option 2.4, certainty over 99%. Title 0: Option 0.0, certainty 50.0%. Not available: Title 1 "
               "(not trained: the training data has no labels for this step). Certainties are the model's raw "
               "probabilities, not calibrated.");
    cot_chain_destroy(chain);
}

TEST(a_temperature_changes_the_certainty_and_not_the_answer)
{
    const float logits[] = {0.0f, 2.0f, 1.0f};
    cot_chain *chain = answer(1, logits);
    REQUIRE(chain);
    cot_answer *a = &chain->answers[1];
    CHECK(!a->calibrated);
    answer_fill(a, &tiny_step[1], logits, 2);
    CHECK(a->calibrated && a->answer == 1 && a->second == 2);
    CHECK_NEAR(a->probability[0], 0.1863237, 1e-6); /* of logits 0, 1, 0.5 */
    CHECK_NEAR(a->probability[1], 0.5064804, 1e-6);
    CHECK_HAS(a->rationale, "50.6%");
    cot_chain_destroy(chain);
}

TEST(summary_says_which_certainties_are_calibrated)
{
    cot_chain *chain = NULL;
    cot_error err = COT_ERROR_INIT;
    const float logits[] = {0, 0, 0, 0, 9};
    REQUIRE(cot_chain_create(&chain, tiny_steps(), NULL) == COT_OK);
    answer_unavailable(&chain->answers[1]); /* counts for nothing */
    answer_fill(&chain->answers[0], &tiny_step[0], logits, 1.5f);
    answer_fill(&chain->answers[2], &tiny_step[2], logits, 0.7f);
    chain_summarise(chain, tiny_steps());
    CHECK_HAS(chain->summary,
              "Certainties were calibrated on validation images; on images of another origin they may be off.");
    CHECK(chain->calibrated);
    answer_fill(&chain->answers[2], &tiny_step[2], logits, 0);
    chain->has_other = true;
    strcpy(chain->other.role, "teacher");
    CHECK_OK(answer_compare(&chain->answers[0], &tiny_step[0], logits, 0, tiny_steps(), "teacher", &err));
    CHECK_OK(answer_compare(&chain->answers[2], &tiny_step[2], logits, 3, tiny_steps(), "teacher", &err));
    CHECK_NEAR(chain->answers[2].other.probability[4], 1 / (1 + 4 * exp(-3)), 1e-6);
    chain_summarise(chain, tiny_steps());
    CHECK_HAS(chain->summary, "Certainties were calibrated on validation images, except those of Title 0 (teacher), "
                              "Title 2, which are raw probabilities; on images of another origin they may be off.");
    CHECK(!chain->calibrated);
    cot_chain_destroy(chain);
}

TEST(a_long_list_of_raw_steps_is_cut_and_says_so)
{
    char text[600], small[40];
    cot_step step[12];
    cot_answer answers[12];
    memset(step, 0, sizeof step);
    memset(answers, 0, sizeof answers);
    const cot_steps steps = {.n_steps = 12, .steps = step};
    const cot_chain chain = {.n_steps = 12, .answers = answers};
    for (size_t s = 0; s < 12; s++) {
        memset(step[s].title, 'T', sizeof step[s].title - 1);
        answers[s].available = true;
        answers[s].calibrated = s == 0;
    }
    cot_chain_calibration(text, sizeof text, &chain, &steps);
    CHECK_HAS(text, "TTT, …, which are raw probabilities;");
    CHECK_HAS(text, "may be off.");
    cot_chain_calibration(small, sizeof small, &chain, &steps);
    CHECK_NUMBER(strlen(small), sizeof small - 1);
}

CHECK_MAIN
