/* links: config */
/* The step schema: the embedded seven steps, and files that must be refused. SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "tests/check.h"

#include <unistd.h>

static cot_error err;

static const cot_option *find(const cot_step *step, const char *label)
{
    for (size_t o = 0; o < step->n_options; o++)
        if (!strcmp(step->options[o].label, label)) return &step->options[o];
    return NULL;
}

TEST(the_embedded_schema_has_seven_steps_with_4_4_6_7_5_7_9_options)
{
    static const size_t counts[] = {4, 4, 6, 7, 5, 7, 9};
    cot_steps *steps;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE(steps->n_steps == 7);
    for (size_t s = 0; s < 7; s++) CHECK_NUMBER(steps->steps[s].n_options, counts[s]);
    CHECK_TEXT(steps->id, "urn:stepcot:steps:cxr:1");
    CHECK_TEXT(steps->scheme.value, "99STEPCOT");
    CHECK_TEXT(steps->language, "en-US");
    CHECK_NUMBER(strlen(steps->sha256), 64);
    cot_steps_destroy(steps);
}

TEST(the_published_chain_can_be_answered_in_the_published_words)
{
    static const char *const chain[] = {"Decreased opacity",  "Focal",        "Cavity",      "Pleura/Chest wall",
                                        "Well-circumscribed", "Pneumothorax", "Pneumothorax"};
    cot_steps *steps;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    for (size_t s = 0; s < 7; s++) {
        const cot_option *o = find(&steps->steps[s], chain[s]);
        CHECK(o && !o->ours && !o->negative);
    }
    cot_steps_destroy(steps);
}

TEST(steps_1_and_7_have_the_published_answers_in_order)
{
    static const char *const first[] = {"No abnormality", "Increased opacity", "Decreased opacity", "Mixed"};
    static const char *const last[] = {"Normal",    "Nodule",       "Atelectasis", "Infiltration", "Effusion",
                                       "Pneumonia", "Cardiomegaly", "Mass",        "Pneumothorax"};
    cot_steps *steps;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    for (size_t o = 0; o < 4; o++) CHECK_TEXT(steps->steps[0].options[o].label, first[o]);
    for (size_t o = 0; o < 9; o++) CHECK_TEXT(steps->steps[6].options[o].label, last[o]);
    cot_steps_destroy(steps);
}

static void check_code(const cot_code *c)
{
    CHECK(c->value[0] && strlen(c->value) <= 16);
    CHECK(c->scheme[0] && strlen(c->scheme) <= 16);
    CHECK(c->meaning[0] && strlen(c->meaning) <= 64);
    CHECK(!strcmp(c->scheme, "DCM") || !strcmp(c->scheme, "SCT") || !strcmp(c->scheme, "99STEPCOT"));
}

TEST(every_answer_has_a_unique_key_a_code_that_fits_and_each_step_one_negative_answer)
{
    cot_steps *steps;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    for (size_t s = 0; s < steps->n_steps; s++) {
        const cot_step *step = &steps->steps[s];
        char number[32];
        size_t negatives = 0;
        snprintf(number, sizeof number, "STEP%zu", s + 1);
        CHECK_TEXT(step->code.value, number);
        check_code(&step->code);
        check_code(&step->concept);
        for (size_t o = 0; o < step->n_options; o++) {
            negatives += step->options[o].negative;
            check_code(&step->options[o].code);
            for (size_t i = 0; i <= s; i++)
                for (size_t k = 0; k < (i == s ? o : steps->steps[i].n_options); k++)
                    CHECK(strcmp(steps->steps[i].options[k].key, step->options[o].key) != 0);
        }
        CHECK_NUMBER(negatives, 1);
    }
    cot_steps_destroy(steps);
}

TEST(an_answer_without_a_standard_code_is_coded_by_its_key)
{
    cot_steps *steps;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    const cot_option *cavity = find(&steps->steps[2], "Cavity");
    REQUIRE(cavity);
    CHECK_TEXT(cavity->code.value, "S3_CAVITY");
    CHECK_TEXT(cavity->code.scheme, "99STEPCOT");
    const cot_option *both = find(&steps->steps[3], "Both lungs");
    REQUIRE(both);
    CHECK_TEXT(both->laterality.value, "51440002");
    CHECK(!cavity->laterality.value[0]);
    cot_steps_destroy(steps);
}

/* ---- schemas that must be refused: the good one below with one piece replaced ---- */
static const char good[] = "<steps xmlns='urn:cot:steps:1' id='urn:x' version='1' language='en'>\n"
                           "<scheme designator='99X' name='n' organization='o'/>\n"
                           "<step id='a' title='t' ask='q'><code value='STEP1' scheme='99X' meaning='m'/>\n"
                           "<concept value='Q1' scheme='99X' meaning='m'/>\n"
                           "<answer id='yes' label='Yes' key='K1' meaning='m'/>\n"
                           "<answer id='no' label='No' key='K2' meaning='m'/>\n"
                           "<phrase>{answer} {second}</phrase>\n"
                           "<phrase-alone>{answer}</phrase-alone></step></steps>\n";

static cot_status load_with(const char *old, const char *new)
{
    char path[] = "/tmp/cot-steps-XXXXXX", text[4096];
    cot_steps *steps = NULL;
    const char *at = old ? strstr(good, old) : NULL;
    if (old && !at) return cot_fail(&err, COT_E_BUG, "the test's text is not in the schema");
    if (at)
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
    else
        snprintf(text, sizeof text, "%s", good);
    const int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) abort();
    close(fd);
    const cot_status status = cot_steps_load(&steps, path, &err);
    if (status == COT_OK && strcmp(steps->steps[0].options[1].id, "no") != 0) cot_fail(&err, COT_E_BUG, "wrong order");
    cot_steps_destroy(steps);
    unlink(path);
    return status;
}

TEST(a_schema_of_another_maker_loads)
{
    CHECK_OK(load_with(NULL, NULL));
}

TEST(keys_or_ids_used_twice_are_refused)
{
    CHECK_FAILS(load_with("K2", "K1"), COT_E_CONFIG, ":6: answer \"no\" has the id or the key");
    CHECK_FAILS(load_with("id='no'", "id='yes'"), COT_E_CONFIG, ":6:");
}

TEST(half_a_code_is_refused)
{
    CHECK_FAILS(load_with("key='K2'", "key='K2' code='1'"), COT_E_CONFIG, "only one of code and scheme");
}

TEST(a_code_value_of_17_characters_is_refused)
{
    CHECK_FAILS(load_with("key='K2'", "key='K2' code='12345678901234567' scheme='SCT'"), COT_E_CONFIG, "1 to 16");
}

TEST(unknown_placeholders_and_a_lone_phrase_with_a_second_are_refused)
{
    CHECK_FAILS(load_with("{second}</phrase>", "{third}</phrase>"), COT_E_CONFIG,
                ":7: unknown placeholder at \"{third}");
    CHECK_FAILS(load_with("{second}</phrase>", "}</phrase>"), COT_E_CONFIG, "unknown placeholder");
    CHECK_FAILS(load_with("<phrase-alone>{answer}", "<phrase-alone>{second}"), COT_E_CONFIG, ":8: <phrase-alone>");
}

TEST(a_step_without_answers_is_refused_with_the_order_of_its_elements)
{
    CHECK_FAILS(
        load_with(
            "<answer id='yes' label='Yes' key='K1' meaning='m'/>\n<answer id='no' label='No' key='K2' meaning='m'/>\n",
            ""),
        COT_E_CONFIG, "code, concept, answer, phrase, phrase-alone");
}

TEST(text_that_does_not_fit_its_field_is_refused_not_cut)
{
    char title[600] = "title='";
    for (int i = 0; i < 64; i++) strcat(title, "\xf0\x9d\x84\x9e"); /* 64 characters, 256 bytes */
    strcat(title, "'");
    CHECK_FAILS(load_with("title='t'", title), COT_E_CONFIG, "title has 256 bytes");
}

/* Same numbers, ids, keys and codes; every sentence there, none left in English. */
TEST(the_german_schema_is_the_english_one_in_other_words)
{
    cot_steps *en, *de;
    REQUIRE_OK(cot_steps_load(&en, "en", &err));
    REQUIRE_OK(cot_steps_load(&de, "de", &err));
    CHECK_TEXT(en->language, "en-US");
    CHECK_TEXT(de->language, "de-DE");
    CHECK_TEXT(de->id, en->id);
    CHECK(strcmp(de->sha256, en->sha256) != 0);
    REQUIRE(de->n_steps == en->n_steps);
    for (size_t s = 0; s < en->n_steps; s++) {
        const cot_step *a = &en->steps[s], *b = &de->steps[s];
        CHECK_TEXT(b->id, a->id);
        CHECK(!memcmp(&b->code, &a->code, sizeof a->code) && !memcmp(&b->concept, &a->concept, sizeof a->concept));
        CHECK(strcmp(b->title, a->title) && strcmp(b->question, a->question) && strcmp(b->phrase, a->phrase));
        CHECK(strcmp(b->phrase_alone, a->phrase_alone) != 0);
        REQUIRE(b->n_options == a->n_options);
        for (size_t o = 0; o < a->n_options; o++) {
            const cot_option *x = &a->options[o], *y = &b->options[o];
            CHECK_TEXT(y->id, x->id);
            CHECK_TEXT(y->key, x->key);
            CHECK(!memcmp(&y->code, &x->code, sizeof x->code) && y->negative == x->negative && y->ours == x->ours);
            CHECK(!memcmp(&y->laterality, &x->laterality, sizeof x->laterality));
        }
    }
    cot_steps_destroy(en);
    cot_steps_destroy(de);
}

TEST(both_schemas_have_every_phrase_and_every_place)
{
    static const char *const words[] = {"en", "de"};
    for (size_t l = 0; l < 2; l++) {
        cot_steps *steps;
        REQUIRE_OK(cot_steps_load(&steps, words[l], &err));
        const cot_phrases *p = &steps->phrases;
        const char *const all[] = {p->disagreement,      p->where,        p->whole,         p->influences,
                                   p->influence,         p->no_influence, p->disagreements, p->agreement,
                                   p->answered,          p->missing,      p->calibrated,    p->uncalibrated,
                                   p->partly_calibrated, p->not_trained,  p->percent,       p->percent_under,
                                   p->percent_over,      p->decimal_mark, p->place_assumed, p->evidence_of};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) CHECK(all[i][0] != 0);
        for (size_t i = 0; i < COT_SIDES; i++)
            for (size_t k = 0; k < COT_ZONES; k++) CHECK(p->place[i][k][0] != 0);
        cot_steps_destroy(steps);
    }
}

CHECK_MAIN
