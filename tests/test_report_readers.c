/* links: dicom config
 * The reading report of two readers: what the second answers, where they disagree, who both are; a report of one reader has
 * none of it. SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/report_cases.h"

static char folder[] = "/tmp/cot-readers-XXXXXX";
static char image_path[64], report_path[64], output[1 << 18];
static cot_steps *steps;

__attribute__((constructor)) static void set_up(void)
{
    cot_error err = COT_ERROR_INIT;
    const case_image image = case_image_default();
    cot_dicom_init();
    if (!mkdtemp(folder) || cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
    snprintf(image_path, sizeof image_path, "%s/image.dcm", folder);
    snprintf(report_path, sizeof report_path, "%s/report.dcm", folder);
    case_image_write(image_path, &image);
}

__attribute__((destructor)) static void tear_down(void)
{
    unlink(image_path);
    unlink(report_path);
    rmdir(folder);
    cot_steps_destroy(steps);
}

/* The report of the chain as dsrdump shows it; dciodvfy finds no error in it. */
static const char *report_of(const cot_chain *chain, bool basic)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    cot_report_options options = case_options();
    const char *const verify[] = {"dciodvfy", "-new", report_path, NULL};
    const char *const dump[] = {"dsrdump", "+Pl", "+Pc", report_path, NULL};
    options.basic_text = basic;
    output[0] = 0;
    CHECK_OK(cot_report_write(&made, report_path, image_path, CASE_DIGEST, chain, steps, &options, CASE_NOW, &err));
    CHECK_NUMBER(case_run(output, sizeof output, verify), 0);
    CHECK(!strstr(output, "Error"));
    CHECK_NUMBER(case_run(output, sizeof output, dump), 0);
    return output;
}

/* Step 2 has no second answer, the last one no first. */
static cot_chain *two_readers(void)
{
    cot_chain *chain = case_chain(steps, true);
    cot_answer *last = &chain->answers[chain->n_steps - 1];
    case_evidence(chain);
    chain->answers[2].other.available = chain->answers[2].disagreement = false;
    last->available = last->disagreement = last->located = last->weighed = false;
    if (cot_answer_regions(last, 0, NULL) || cot_answer_influences(last, 0, NULL)) abort();
    case_copy(last->reason, sizeof last->reason, "not trained");
    chain->state = COT_CHAIN_PARTIAL;
    return chain;
}

TEST(report_says_what_the_second_reader_answers_and_where_the_two_disagree)
{
    static const char *const wanted[] = {
        "Attention\")=\"the two readers disagree on 2 of the 5 steps that both answered: Abnormal radiodensity;",
        "the second reader (teacher) answers \"Decreased opacity\", 65.5 %: the two readers disagree",
        "\"Answer of the second reader\")=(S1_DECREASED,99STEPCOT,\"Decreased opacity\")",
        "Certainty of the second reader\")=\"65.5",
        "The second reader has no answer to: Radiographic pattern.",
        "second reader: Step-CoT teacher (demonstration)",
        "second reader's role: teacher",
        "second reader's training: NIH ChestX-ray14",
    };
    cot_chain *chain = two_readers();
    for (int basic = 0; basic < 2; basic++) {
        const char *text = report_of(chain, basic == 1);
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (i != 2 || !basic) CHECK_HAS(text, wanted[i]);
        size_t answers = 0, warnings = 0;
        for (const char *at = text; (at = strstr(at, "Answer of the second reader\")")); at++) answers++;
        for (const char *at = text; (at = strstr(at, "Attention\")")); at++) warnings++;
        CHECK_NUMBER(answers, 6); /* of the last step too, which the first reader does not answer */
        CHECK_NUMBER(warnings, 3);
    }
    cot_chain_destroy(chain);
}

TEST(report_of_one_reader_mentions_no_other)
{
    cot_chain *chain = case_chain(steps, true);
    const char *text = report_of(chain, false);
    CHECK(text[0] && !strstr(text, "Attention") && !strstr(text, "econd reader"));
    cot_chain_destroy(chain);
}

TEST(second_answers_that_contradict_themselves_are_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_report_made made;
    const cot_report_options options = case_options();
    for (int fault = 0; fault < 4; fault++) {
        cot_chain *chain = two_readers();
        cot_answer *last = &chain->answers[chain->n_steps - 1];
        if (fault == 0) chain->answers[0].disagreement = false;
        if (fault == 1) last->disagreement = true;
        if (fault == 2) chain->has_other = false;
        if (fault == 3) last->other.answer = last->n_options;
        CHECK_FAILS(
            cot_report_write(&made, report_path, image_path, CASE_DIGEST, chain, steps, &options, CASE_NOW, &err),
            COT_E_BUG,
            fault < 2   ? "whether its readers disagree"
            : fault < 3 ? "reader that did not read"
                        : "second reader's probability");
        cot_chain_destroy(chain);
    }
}

CHECK_MAIN
