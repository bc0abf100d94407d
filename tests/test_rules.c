/* links: config
 * Label rules from XML: what the embedded ones say, and each fault of grammar and meaning with its line.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/rules.h"
#include "tests/check.h"

#include <unistd.h>

static cot_error err;
static cot_steps *steps;

__attribute__((constructor)) static void open_steps(void)
{
    if (cot_steps_load(&steps, NULL, &err) != COT_OK) exit(1);
}

__attribute__((destructor)) static void close_steps(void)
{
    cot_steps_destroy(steps);
}

/* A good file of one rule, each element on its own line; a test puts its own text in place of one. */
enum { ROOT, SOURCE, FIELD, FINDING, SET, STEP, WHEN, END, LINES };
static const char *const good[LINES] = {
    [ROOT] = "<rules xmlns=\"urn:cot:rules:1\" id=\"urn:test\" version=\"1\" schema=\"urn:stepcot:steps:cxr:1\">",
    [SOURCE] = "<source title=\"t\" attribution=\"a\" terms=\"b\" width=\"100\" height=\"100\"/>",
    [FIELD] = "<lung-field top=\"0\" bottom=\"1\" left=\"0\" right=\"1\"/>",
    [FINDING] = "<finding name=\"A\"/><finding name=\"B\" box=\"Bee\"/>",
    [SET] = "<set name=\"all\" findings=\"A|B\"/>",
    [STEP] = "<step id=\"detection\">",
    [WHEN] = "<when only=\"all\" answer=\"increased\"/>",
    [END] = "</step></rules>",
};

static cot_status load_with(cot_rules **out, int line, const char *text)
{
    char path[] = "/tmp/cot_rules_XXXXXX";
    const int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    *out = NULL;
    if (!f) return COT_E_IO;
    for (int i = 0; i < LINES; i++) fprintf(f, "%s\n", i == line ? text : good[i]);
    fclose(f);
    const cot_status status = cot_rules_load(out, path, steps, &err);
    unlink(path);
    return status;
}

static void refuses(int line, const char *text, const char *part)
{
    cot_rules *rules;
    char where[16];
    CHECK_FAILS(load_with(&rules, line, text), COT_E_CONFIG, part);
    snprintf(where, sizeof where, ":%d: ", line + 1);
    CHECK_HAS(err.text, where);
    CHECK(!rules);
}

TEST(the_embedded_rules_load_and_name_their_source)
{
    cot_rules *r = NULL;
    REQUIRE_OK(cot_rules_load(&r, NULL, steps, &err));
    CHECK_NUMBER(r->n_findings, 15);
    CHECK_NUMBER(r->n_steps, steps->n_steps);
    CHECK_HAS(r->attribution, "NIH Clinical Center");
    CHECK_NUMBER(strlen(r->sha256), 64);
    for (size_t s = 0; s < r->n_steps; s++) /* of margins the labels say nothing */
        CHECK((r->steps[s].n == 0) == !strcmp(steps->steps[s].id, "morphology"));
    cot_rules_destroy(r);
}

TEST(sets_ranges_and_defaults_are_read)
{
    cot_rules *r = NULL;
    REQUIRE_OK(load_with(&r, WHEN,
                         "<when has=\"all\" without=\"B\" boxes=\"2-3\" area=\"40-\" fields=\"1\" side=\"left\" "
                         "zone=\"lower\" answer=\"mixed\"/>"));
    const cot_rule *rule = &r->steps[0].rules[0];
    CHECK_TEXT(r->findings[0].box, "A");
    CHECK_TEXT(r->findings[1].box, "Bee");
    CHECK_NEAR(r->middle, 0.5, 0);
    CHECK_NUMBER(rule->has, 3);
    CHECK_NUMBER(rule->without, 2);
    CHECK_NUMBER(rule->only, 0);
    CHECK(rule->boxes.low == 2 && rule->boxes.high == 3 && rule->area.low == 40 && isinf(rule->area.high));
    CHECK(rule->fields.low == 1 && rule->fields.high == 1 && rule->labels.low == -1);
    CHECK(rule->side == 'L' && rule->zone == 2 && rule->sides == 0 && !rule->boxed);
    CHECK_NUMBER(rule->line, WHEN + 1);
    CHECK_TEXT(steps->steps[0].options[rule->answer].id, "mixed");
    cot_rules_destroy(r);
}

TEST(faults_of_grammar_are_refused_with_line_and_rule)
{
    refuses(SOURCE, "<source title=\"t\" attribution=\"a\" terms=\"b\" width=\"0\" height=\"9\"/>", "width");
    refuses(SOURCE, "<source title=\"t\" terms=\"b\" width=\"9\" height=\"9\"/>", "attribution");
    refuses(FIELD, "<lung-field top=\"0\" bottom=\"1.5\" left=\"0\" right=\"1\"/>", "from 0 to 1");
    refuses(WHEN, "<when only=\"all\"/>", "answer");
    refuses(WHEN, "<when only=\"all\" answer=\"mixed\" colour=\"red\"/>", "colour");
    refuses(WHEN, "<when labels=\"two\" answer=\"mixed\"/>", "1, 2-3 or 2-");
    refuses(WHEN, "<when zone=\"top\" answer=\"mixed\"/>", "upper, middle or lower");
    refuses(WHEN, "<when only=\"all\" answer=mixed/>", "well-formed");
    refuses(ROOT, "<!DOCTYPE a [<!ENTITY x SYSTEM \"/etc/passwd\">]><rules>", "DOCTYPE");
}

TEST(faults_of_meaning_are_refused_with_line_and_remedy)
{
    refuses(ROOT, "<rules xmlns=\"urn:cot:rules:1\" id=\"urn:test\" version=\"1\" schema=\"urn:other\">",
            "answer the step schema \"urn:other\"");
    refuses(FIELD, "<lung-field top=\"0.5\" bottom=\"0.5\" left=\"0\" right=\"1\"/>", "lung field is empty");
    refuses(FIELD, "<lung-field top=\"0\" bottom=\"1\" left=\"0.6\" right=\"1\"/>", "midline");
    refuses(FINDING, "<finding name=\"A\"/><finding name=\"A\"/>", "Give each once");
    refuses(FINDING, "<finding name=\"A\"/><finding name=\"B\" box=\"A\"/>", "Give each once");
    refuses(SET, "<set name=\"all\" findings=\"A|C\"/>", "names \"C\"");
    refuses(SET, "<set name=\"all\" findings=\"later\"/><set name=\"later\" findings=\"A\"/>", "names \"later\"");
    refuses(SET, "<set name=\"all\" findings=\"A\"/><set name=\"all\" findings=\"B\"/>", "Give it its own");
    refuses(STEP, "<step id=\"colour\">", "no step \"colour\"");
    refuses(STEP, "<step id=\"detection\"><when has=\"A\" answer=\"none\"/></step><step id=\"detection\">",
            "stands twice");
    refuses(WHEN, "<when only=\"all\" answer=\"blue\"/>", "no answer \"blue\"");
    refuses(WHEN, "<when has=\"Bee\" answer=\"mixed\"/>", "names \"Bee\"");
    refuses(WHEN, "<when answer=\"mixed\"/>", "always holds");
    refuses(WHEN, "<when has=\"A\" of=\"A\" answer=\"mixed\"/>", "nothing is asked of them");
    refuses(WHEN, "<when boxes=\"3-2\" answer=\"mixed\"/>", "holds nothing");
}

TEST(all_faults_are_listed_at_once)
{
    cot_rules *r;
    CHECK_FAILS(load_with(&r, WHEN, "<when has=\"X\" answer=\"blue\"/>\n<when answer=\"mixed\"/>"), COT_E_CONFIG,
                ":7: ");
    CHECK_HAS(err.text, "\"X\"");
    CHECK_HAS(err.text, "\"blue\"");
    CHECK_HAS(err.text, ":8: ");
}

TEST(a_missing_file_or_a_folder_is_said_so)
{
    cot_rules *r;
    CHECK_FAILS(cot_rules_load(&r, "/nowhere/rules.xml", steps, &err), COT_E_CONFIG, "/nowhere/rules.xml");
    CHECK_FAILS(cot_rules_load(&r, "/tmp", steps, &err), COT_E_CONFIG, "not a regular file");
}

CHECK_MAIN
