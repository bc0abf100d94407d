/* links: engine config
 * The words of a reading, without a device: probabilities, runner-up, rationale, summary.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/model.h"
#include "engine/wording.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

static const cot_phrases plain; /* a schema without phrases */

/* Answers step `s` of the tiny schema from these logits. Caller destroys. */
static cot_chain *answer(size_t s, const float *logits)
{
    cot_chain *chain = NULL;
    if (cot_chain_create(&chain, tiny_steps(), NULL) == COT_OK)
        answer_fill(&chain->answers[s], &tiny_step[s], &plain, logits, 0);
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
    answer_fill(&a, &step, &plain, logits, 0);
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
    answer_fill(&a, &step, &plain, logits, 0);
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
        answer_fill(&chain->answers[s], &tiny_step[s], &plain, logits, 0);
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
    answer_fill(&chain->answers[0], &tiny_step[0], &plain, logits, 0);
    answer_unavailable(&chain->answers[1], &plain);
    answer_fill(&chain->answers[2], &tiny_step[2], &plain, logits, 0);
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
    answer_fill(a, &tiny_step[1], &plain, logits, 2);
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
    answer_unavailable(&chain->answers[1], &plain); /* counts for nothing */
    answer_fill(&chain->answers[0], &tiny_step[0], &plain, logits, 1.5f);
    answer_fill(&chain->answers[2], &tiny_step[2], &plain, logits, 0.7f);
    chain_summarise(chain, tiny_steps());
    CHECK_HAS(chain->summary,
              "Certainties were calibrated on validation images; on images of another origin they may be off.");
    CHECK(chain->calibrated);
    answer_fill(&chain->answers[2], &tiny_step[2], &plain, logits, 0);
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

/* ---- evidence in words ---- */
/* An answered step with one region, columns c0..c1 and rows r0..r1 of an image of 100 x 200. */
static cot_chain *located(cot_steps **steps, const char *language, size_t s, float c0, float c1, float r0, float r1)
{
    cot_chain *chain = NULL;
    const float logits[16] = {0, 3, 1};
    if (cot_steps_load(steps, language, NULL) != COT_OK || cot_chain_create(&chain, *steps, NULL) != COT_OK)
        return NULL;
    chain->rows = 100;
    chain->cols = 200;
    for (size_t k = 0; k <= s; k++) answer_fill(&chain->answers[k], &(*steps)->steps[k], &(*steps)->phrases, logits, 0);
    cot_answer *a = &chain->answers[s];
    a->located = true;
    if (cot_answer_regions(a, 1, NULL) != COT_OK || cot_region_points(&a->regions[0], 4, NULL) != COT_OK) return NULL;
    const cot_point points[] = {{c0, r0}, {c1, r0}, {c1, r1}, {c0, r1}};
    memcpy(a->regions[0].points, points, sizeof points);
    a->regions[0].share = 0.413f;
    return chain;
}

static void check_place(float c0, float c1, float r0, float r1, cot_orientation orientation, const char *want)
{
    cot_steps *steps = NULL;
    cot_chain *chain = located(&steps, NULL, 3, c0, c1, r0, r1);
    REQUIRE(chain);
    const cot_answer *a = &chain->answers[3];
    answer_reason(chain, 3, steps, orientation);
    CHECK_TEXT(a->place, want);
    if (want[0])
        CHECK_HAS(a->rationale, want);
    else
        CHECK(!strstr(a->rationale, "relevance map"));
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(a_place_is_named_by_side_and_zone_the_patients_right_on_the_images_left)
{
    const cot_orientation known = COT_ORIENTATION_STANDARD;
    check_place(20, 60, 10, 30, known, "right upper zone");
    check_place(120, 160, 70, 90, known, "left lower zone");
    check_place(120, 160, 40, 55, known, "left middle zone");
    check_place(92, 108, 40, 55, known, "middle of the midline");
    check_place(20, 180, 60, 90, known, "lower zone of both sides");
    check_place(20, 60, 10, 90, known, "right side");
    check_place(10, 190, 5, 95, known, "right and left side, over several zones");
}

TEST(a_place_says_when_orientation_is_assumed_and_nothing_when_the_image_is_turned)
{
    check_place(20, 60, 10, 30, COT_ORIENTATION_ASSUMED, "right upper zone (in standard orientation)");
    check_place(20, 60, 10, 30, COT_ORIENTATION_OTHER, "");
}

TEST(a_rationale_names_the_strongest_three_effects_of_a_point_or_more)
{
    cot_steps *steps = NULL;
    cot_chain *chain = located(&steps, NULL, 5, 20, 60, 70, 90);
    REQUIRE(chain);
    cot_answer *a = &chain->answers[5];
    REQUIRE(cot_answer_influences(a, 5, NULL) == COT_OK);
    a->weighed = true;
    const cot_influence all[] = {{4, -0.25f}, {0, 0.124f}, {2, 0.0101f}, {1, 0.01f}, {3, 0.001f}};
    memcpy(a->influences, all, sizeof all);
    answer_reason(chain, 5, steps, COT_ORIENTATION_STANDARD);
    CHECK_HAS(a->rationale, "the region with the largest share (41.3%) lies in the right lower zone.");
    CHECK_HAS(a->rationale, "in percentage points: Morphologic feature (Well-circumscribed) -25; Abnormal radiodensity "
                            "(Increased opacity) +12; Radiographic pattern (Consolidation) +1.");
    CHECK(!strstr(a->rationale, "Lesion distribution"));
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(a_rationale_says_that_no_earlier_answer_matters_only_when_that_was_computed)
{
    static const char none[] = "No earlier answer changes this probability";
    cot_steps *steps = NULL;
    cot_chain *chain = located(&steps, NULL, 1, 20, 60, 70, 90);
    REQUIRE(chain);
    cot_answer *a = &chain->answers[1];
    answer_reason(chain, 1, steps, COT_ORIENTATION_STANDARD);
    CHECK(!strstr(a->rationale, none)); /* not weighed */
    a->weighed = true;
    answer_reason(chain, 1, steps, COT_ORIENTATION_STANDARD);
    CHECK(!strstr(a->rationale, none)); /* no earlier step was answered */
    REQUIRE(cot_answer_influences(a, 1, NULL) == COT_OK);
    a->influences[0].change = 0.009f;
    answer_reason(chain, 1, steps, COT_ORIENTATION_STANDARD);
    CHECK_HAS(a->rationale, none);
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(a_map_without_region_is_said_of_findings_only)
{
    static const char none[] = "The relevance map singles out no region.";
    cot_steps *steps = NULL;
    cot_chain *chain = located(&steps, NULL, 0, 20, 60, 70, 90);
    REQUIRE(chain);
    cot_answer *a = &chain->answers[0];
    REQUIRE(cot_answer_regions(a, 0, NULL) == COT_OK);
    a->answer = 0; /* "No abnormality": no region was looked for */
    answer_reason(chain, 0, steps, COT_ORIENTATION_STANDARD);
    CHECK(!strstr(a->rationale, none));
    a->answer = 1;
    answer_reason(chain, 0, steps, COT_ORIENTATION_STANDARD);
    CHECK_HAS(a->rationale, none);
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(german_readings_have_german_words_and_numbers)
{
    cot_steps *steps = NULL;
    cot_chain *chain = located(&steps, "de", 6, 120, 160, 70, 90);
    REQUIRE(chain);
    cot_answer *a = &chain->answers[6];
    REQUIRE(cot_answer_influences(a, 1, NULL) == COT_OK);
    a->weighed = true;
    a->influences[0] = (cot_influence){0, 0.12f};
    answer_unavailable(&chain->answers[4], &steps->phrases);
    answer_reason(chain, 6, steps, COT_ORIENTATION_ASSUMED);
    chain_summarise(chain, steps);
    CHECK_TEXT(a->place, "linkes Unterfeld (bei Standardausrichtung)");
    CHECK_HAS(a->rationale, "Unter den Diagnosen gibt das Modell „Rundherd“ die höchste Wahrscheinlichkeit, ");
    CHECK_HAS(a->rationale, "(41,3 %) hier: linkes Unterfeld");
    CHECK_HAS(a->rationale, "Auffällige Strahlendichte (Vermehrte Verschattung) +12.");
    CHECK_HAS(chain->summary, "Diagnose: Rundherd, Sicherheit ");
    CHECK_HAS(chain->summary, "Nicht verfügbar: Morphologisches Merkmal (nicht trainiert: ");
    CHECK_HAS(chain->summary, "nicht kalibriert.");
    static const char *const english[] = {"certainty", "available", "calibrated", "probability", "under 1", "over 99"};
    for (size_t i = 0; i < sizeof english / sizeof *english; i++)
        CHECK(!strstr(chain->summary, english[i]) && !strstr(a->rationale, english[i]));
    cot_chain_destroy(chain);
    cot_steps_destroy(steps);
}

TEST(percents_are_rounded_and_worded_at_the_ends)
{
    char text[PERCENT_MAX];
    const cot_phrases none = {.percent = ""};
    percent_text(text, 0.4321f, &none);
    CHECK_TEXT(text, "43.2%");
    percent_text(text, 0.98999f, &none);
    CHECK_TEXT(text, "99.0%");
    percent_text(text, 0.995f, &none);
    CHECK_TEXT(text, "over 99%");
    percent_text(text, 0.0099f, &none);
    CHECK_TEXT(text, "under 1%");
}

CHECK_MAIN
