/* links: plugin */
/* A reading survives JSON and back bit for bit; JSON that is not exactly a reading is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_json.h"
#include "plugin/utf8.h"
#include "tests/check.h"

static cot_error err;

static cot_steps *steps(void)
{
    static cot_steps *loaded;
    if (!loaded && cot_steps_load(&loaded, NULL, &err) != COT_OK) abort();
    return loaded;
}

/* Probabilities without a short decimal form, largest at (s * 3) % n. */
static void fill_answer(cot_answer *a, size_t s)
{
    float sum = 0;
    a->available = true;
    a->answer = (s * 3) % a->n_options;
    a->second = (a->answer + 1) % a->n_options;
    a->calibrated = s % 2 == 0;
    for (size_t i = 0; i < a->n_options; i++) {
        a->probability[i] = i == a->answer ? 0 : i == a->second ? 1.0f / 7 : 1.0f / (float)(97 + 11 * i + s);
        sum += a->probability[i];
    }
    a->probability[a->answer] = 1 - sum;
    snprintf(a->rationale, sizeof a->rationale, "because \"%zu\" \\ \n\t \x01", s);
}

static cot_chain *made(cot_chain_state state)
{
    cot_chain *c;
    if (cot_chain_create(&c, steps(), &err) != COT_OK) abort();
    c->state = state;
    for (size_t s = 0; s < c->n_steps; s++) fill_answer(&c->answers[s], s);
    if (state == COT_CHAIN_PARTIAL) {
        c->answers[3].available = false;
        snprintf(c->answers[3].reason, sizeof c->answers[3].reason, "not trained");
    }
    strcpy(c->summary, "all \xc3\xa4\xe2\x82\xac\xf0\x9f\xab\x81");
    strcpy(c->reader.name, "Reader");
    strcpy(c->reader.version, "1");
    memset(c->reader.training, 't', sizeof c->reader.training - 1);
    memset(c->reader.notice, '"', sizeof c->reader.notice - 1);
    return c;
}

static void check_same_evidence(const cot_answer *x, const cot_answer *y)
{
    CHECK(x->located == y->located && x->weighed == y->weighed && x->disagreement == y->disagreement);
    CHECK(x->n_regions == y->n_regions && x->n_influences == y->n_influences);
    CHECK_TEXT(y->place, x->place);
    CHECK(x->other.available == y->other.available && y->map == NULL);
    if (x->n_regions != y->n_regions || x->n_influences != y->n_influences) return;
    for (size_t r = 0; r < x->n_regions; r++) {
        const cot_region *p = &x->regions[r], *q = &y->regions[r];
        CHECK(p->n_points == q->n_points && !memcmp(&p->share, &q->share, sizeof p->share));
        CHECK(p->n_points == q->n_points && !memcmp(p->points, q->points, p->n_points * sizeof *p->points));
    }
    for (size_t i = 0; i < x->n_influences; i++) {
        CHECK_NUMBER(y->influences[i].step, x->influences[i].step);
        CHECK(!memcmp(&x->influences[i].change, &y->influences[i].change, sizeof(float)));
    }
    if (!x->other.available || !y->other.available) return;
    CHECK_NUMBER(y->other.answer, x->other.answer);
    CHECK(x->other.calibrated == y->other.calibrated);
    CHECK(!memcmp(x->other.probability, y->other.probability, x->n_options * sizeof(float)));
}

static void check_same(const cot_chain *a, const cot_chain *b)
{
    CHECK(a->state == b->state && a->n_steps == b->n_steps);
    CHECK(!memcmp(&a->reader, &b->reader, sizeof a->reader));
    CHECK_TEXT(b->summary, a->summary);
    CHECK_TEXT(b->refusal, a->refusal);
    CHECK_TEXT(b->refusal_id, a->refusal_id);
    CHECK_TEXT(b->schema_sha256, a->schema_sha256);
    CHECK_TEXT(b->rendering, a->rendering);
    CHECK_TEXT(b->forced_id, a->forced_id);
    CHECK_TEXT(b->forced, a->forced);
    CHECK(b->range_from_pixels == a->range_from_pixels);
    CHECK(b->calibrated == a->calibrated);
    CHECK(a->has_other == b->has_other && !memcmp(&a->other, &b->other, sizeof a->other));
    CHECK(a->rows == b->rows && a->cols == b->cols);
    for (size_t s = 0; a->answers && s < a->n_steps; s++) {
        const cot_answer *x = &a->answers[s], *y = &b->answers[s];
        CHECK(x->available == y->available);
        CHECK_TEXT(y->reason, x->reason);
        check_same_evidence(x, y);
        if (!x->available) continue;
        CHECK(x->answer == y->answer && x->second == y->second && x->n_options == y->n_options);
        CHECK(!memcmp(x->probability, y->probability, x->n_options * sizeof *x->probability));
        CHECK_TEXT(y->rationale, x->rationale);
        CHECK(x->calibrated == y->calibrated);
    }
}

/* Regions, influences and a second reader, which answers step 3 too, whether the first does or not, and no step 5. */
static cot_chain *made_rich(cot_chain_state state)
{
    cot_chain *c = made(state);
    c->rows = 2021;
    c->cols = 1777;
    c->has_other = true;
    strcpy(c->other.name, "Second");
    strcpy(c->other.role, "teacher");
    strcpy(c->reader.role, "student");
    for (size_t s = 0, earlier = 0; s < c->n_steps; earlier += c->answers[s++].available) {
        cot_answer *a = &c->answers[s];
        const size_t other = (s * 3 + s % 2) % a->n_options; /* of odd steps another answer */
        if (cot_answer_regions(a, a->available ? s % 3 : 0, &err) || cot_answer_other(a, &err) ||
            cot_answer_influences(a, a->available ? earlier : 0, &err))
            abort();
        a->located = a->available && s != 1;
        a->weighed = a->available;
        if (s == 1 && cot_answer_regions(a, 0, &err)) abort();
        for (size_t r = 0; r < a->n_regions; r++) {
            if (cot_region_points(&a->regions[r], 3 + r, &err)) abort();
            a->regions[r].share = 0.6f / (float)(1 + r * 2);
            for (size_t i = 0; i < 3 + r; i++)
                a->regions[r].points[i] = (cot_point){1777 / (float)(i + 1), 0.1f * (float)i};
            strcpy(a->place, "right \xc3\xa4 lower zone");
        }
        for (size_t i = 0, k = s; i < a->n_influences && k-- > 0;) /* of answered steps, the nearest first */
            if (c->answers[k].available) {
                a->influences[i] = (cot_influence){k, (i % 2 ? 0.9f : -0.9f) / (float)(i + 1)};
                i++;
            }
        a->other.available = s != 5;
        a->other.calibrated = s % 3 == 0;
        for (size_t i = 0; s != 5 && i < a->n_options; i++)
            a->other.probability[i] = i == other ? 1 - 0.03f * (float)(a->n_options - 1) : 0.03f;
        a->other.answer = s == 5 ? 0 : other;
        a->disagreement = a->available && s != 5 && a->answer != other;
    }
    return c;
}

TEST(evidence_and_a_second_reader_come_back_bit_for_bit)
{
    for (int state = COT_CHAIN_COMPLETE; state <= COT_CHAIN_PARTIAL; state++) {
        cot_chain *a = made_rich((cot_chain_state)state), *b;
        char *json = NULL;
        REQUIRE_OK(cot_chain_to_json(&json, a, steps(), NULL, &err));
        CHECK_HAS(json, "\"image\":{\"rows\":2021,\"columns\":1777},\"second_reader\":{\"name\":\"Second\"");
        CHECK_HAS(json, "\"evidence\":{\"place\":\"\",\"regions\":[]}"); /* a map without a region: the whole image */
        CHECK_HAS(json, "\"points\":[[1777,0],[888.5,");
        CHECK_HAS(json, "\"influences\":[{\"step\":\"distribution\",\"change\":-0.899999976}");
        CHECK_HAS(json, "\"disagreement\":true");
        CHECK_HAS(json, "\"evidence_of\":\"student\"");
        REQUIRE_OK(cot_chain_from_json(&b, json, strlen(json), steps(), &err));
        check_same(a, b);
        CHECK(b->answers[1].disagreement && b->answers[3].other.available && !b->answers[5].other.available);
        CHECK(b->answers[3].disagreement == (state == COT_CHAIN_COMPLETE));
        free(json);
        cot_chain_destroy(a);
        cot_chain_destroy(b);
    }
}

TEST(evidence_that_breaks_its_promises_is_not_written)
{
    static const char *const errors[] = {
        "outside the image",   "outside the image", "shares of regions", "shares of regions", "a region of 2 points",
        "influences are",      "influences are",    "influences are",    "influences are",    "second reader's probab",
        "\"disagreement\" is", "no second reader",  "not computed",      "needs one",         "0 rows and 1777",
        "that did not read",   "regions, at most"};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        cot_chain *c = made_rich(COT_CHAIN_COMPLETE);
        cot_answer *a = &c->answers[2];
        char *json;
        switch (i) {
        case 0: a->regions[1].points[2].column = 1777.5f; break;
        case 1: a->regions[0].points[0].row = NAN; break;
        case 2: a->regions[1].share = 0.7f; break;
        case 3: a->regions[0].share = a->regions[1].share = 0.51f; break;
        case 4: a->regions[0].n_points = 2; break;
        case 5: a->influences[0].step = 2; break;
        case 6: a->influences[1].step = a->influences[0].step; break;
        case 7: a->influences[1].change = -0.95f; break;
        case 8: a->influences[0].change = NAN; break;
        case 9: a->other.answer = (a->other.answer + 1) % a->n_options; break;
        case 10: a->disagreement = !a->disagreement; break;
        case 11:
            c->has_other = false;
            memset(&c->other, 0, sizeof c->other);
            break;
        case 12: a->located = false; break;
        case 13: strcpy(c->answers[0].place, "left"); break;
        case 14: c->rows = 0; break;
        case 15: c->has_other = false; break;
        default: c->rows = c->cols = 0; break;
        }
        CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, errors[i]);
        cot_chain_destroy(c);
    }
}

TEST(an_influence_of_a_step_that_was_not_answered_is_not_written)
{
    cot_chain *c = made_rich(COT_CHAIN_PARTIAL);
    char *json = NULL;
    size_t missing = 0, last = c->n_steps - 1;
    while (missing < last && c->answers[missing].available) missing++;
    REQUIRE(missing < last && c->answers[last].available && c->answers[last].n_influences);
    c->answers[last].influences[0].step = missing;
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "earlier answered steps");
    cot_chain_destroy(c);
}

TEST(evidence_of_another_shape_is_refused_by_name)
{
    static const struct {
        const char *from, *to, *error;
    } cases[] = {
        {"\"points\":[[1777,0]", "\"points\":[[1777, ]", "not JSON"},
        {"\"points\":[[1777,0]", "\"points\":[[177700]", "points"},
        {"[888.5,", "[1,1,1,", "more than two"},
        {"\"share\":0.6", "\"share\":6.0", "\"share\""},
        {"\"step\":\"distribution\",\"change\"", "\"step\":\"distributio\",\"change\"  ", "names step \"distributio\""},
        {"\"change\":-0.899999976", "\"change\":null", "\"change\""},
        {"\"probabilities\":[", "\"probabilitie\":[ ", "\"probabilities\""},
        {"\"calibrated\":true", "\"calibrated\":null", "\"calibrated\""},
        {"\"disagreement\":true", "\"disagreement\":null", "\"disagreement\""},
        {"\"disagreement\":true", "\"disagreement\":false", "\"disagreement\" is not what"},
        {"\"rows\":2021", "\"rows\":2.21", "\"rows\""},
        {"\"columns\":1777", "\"columns\":1776", "outside the image"},
        {"\"second_reader\":{\"name\"", "\"second_reader\":{\"nam\"  ", "\"name\""},
        {"\"regions\":[]", "\"regions\":{}", "\"regions\""},
    };
    cot_chain *a = made_rich(COT_CHAIN_COMPLETE), *b;
    char *json = NULL, *bad = NULL;
    REQUIRE_OK(cot_chain_to_json(&json, a, steps(), NULL, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = strstr(json, cases[i].from);
        REQUIRE(at && asprintf(&bad, "%.*s%s%s", (int)(at - json), json, cases[i].to, at + strlen(cases[i].from)) > 0);
        CHECK_FAILS(cot_chain_from_json(&b, bad, strlen(bad), steps(), &err), COT_E_INPUT, cases[i].error);
        free(bad);
    }
    free(json);
    cot_chain_destroy(a);
}

TEST(a_reading_comes_back_bit_for_bit_complete_or_partial)
{
    for (int state = COT_CHAIN_COMPLETE; state <= COT_CHAIN_PARTIAL; state++) {
        cot_chain *a = made((cot_chain_state)state), *b;
        char *json = NULL;
        REQUIRE_OK(cot_chain_to_json(&json, a, steps(), "file", &err));
        CHECK_HAS(json, "\"schema\":\"urn:stepcot:reading:1\"");
        CHECK_HAS(json, "\"notice\":\"Not a medical device. Not for diagnosis.\"");
        CHECK(!strchr(json, '\n'));
        REQUIRE_OK(cot_chain_from_json(&b, json, strlen(json), steps(), &err));
        check_same(a, b);
        free(json);
        cot_chain_destroy(a);
        cot_chain_destroy(b);
    }
}

TEST(a_refusal_without_steps_comes_back)
{
    cot_chain *a, *b;
    char *json;
    const cot_reader reader = {.name = "R"};
    REQUIRE_OK(cot_chain_refuse(&a, steps(), &reader, "body-part", "body part HIP is not a chest", &err));
    CHECK_TEXT(a->summary, "Not analysed: body part HIP is not a chest.");
    REQUIRE_OK(cot_chain_to_json(&json, a, steps(), NULL, &err));
    CHECK_HAS(json, "\"refusal\":{\"id\":\"body-part\"");
    REQUIRE_OK(cot_chain_from_json(&b, json, strlen(json), steps(), &err));
    check_same(a, b);
    CHECK(b->answers == NULL);
    free(json);
    cot_chain_destroy(a);
    cot_chain_destroy(b);
}

TEST(rendering_and_force_come_back_and_may_be_absent)
{
    cot_chain *a = made(COT_CHAIN_COMPLETE), *b;
    char *json;
    strcpy(a->rendering, "no VOI: values present 12 to 3071");
    a->range_from_pixels = a->calibrated = true;
    strcpy(a->forced_id, "body-part");
    strcpy(a->forced, "body part HIP is not a chest");
    REQUIRE_OK(cot_chain_to_json(&json, a, steps(), NULL, &err));
    CHECK_HAS(json, "\"forced\":{\"id\":\"body-part\",\"text\":\"body part HIP is not a chest\"}");
    CHECK_HAS(json, "\"rendering\":\"no VOI: values present 12 to 3071\",\"range_from_pixels\":true");
    REQUIRE_OK(cot_chain_from_json(&b, json, strlen(json), steps(), &err));
    check_same(a, b);
    cot_chain_destroy(b);
    memcpy(strstr(json, "_pixels\":true"), "_pixels\":1234", 13);
    CHECK_FAILS(cot_chain_from_json(&b, json, strlen(json), steps(), &err), COT_E_INPUT, "range_from_pixels");
    free(json);
    memset(a->rendering, 0, sizeof a->rendering);
    a->range_from_pixels = false;
    a->forced_id[0] = a->forced[0] = 0;
    REQUIRE_OK(cot_chain_to_json(&json, a, steps(), NULL, &err));
    CHECK(!strstr(json, "forced") && !strstr(json, "rendering") && !strstr(json, "range_from_pixels"));
    free(json);
    cot_chain_destroy(a);
    REQUIRE_OK(cot_chain_refuse(&a, steps(), NULL, "body-part", "x", &err));
    strcpy(a->forced_id, "body-part");
    CHECK_FAILS(cot_chain_to_json(&json, a, steps(), NULL, &err), COT_E_INPUT, "read by force");
    cot_chain_destroy(a);
}

TEST(a_source_name_that_is_no_utf8_gives_valid_json)
{
    cot_chain *a = made(COT_CHAIN_COMPLETE), *b;
    char *json;
    REQUIRE_OK(cot_chain_to_json(&json, a, steps(), "bad\xff\xc0\xaf\xed\xa0\x80name", &err));
    CHECK(utf8_valid(json));
    CHECK_OK(cot_chain_from_json(&b, json, strlen(json), steps(), &err));
    free(json);
    cot_chain_destroy(a);
    cot_chain_destroy(b);
}

TEST(a_chain_that_breaks_its_promises_is_not_written)
{
    char *json;
    cot_chain *c = made(COT_CHAIN_COMPLETE);
    c->answers[2].probability[0] = NAN;
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "step pattern");
    cot_chain_destroy(c);
    c = made(COT_CHAIN_COMPLETE);
    c->answers[2].answer = 99;
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "other answers");
    cot_chain_destroy(c);
    c = made(COT_CHAIN_COMPLETE);
    c->answers[2].available = false;
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "1 of 7 steps are missing");
    c->state = COT_CHAIN_REFUSED;
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "contradict");
    strcpy(c->refusal_id, "body-part");
    CHECK_FAILS(cot_chain_to_json(&json, c, steps(), NULL, &err), COT_E_INPUT, "refused, and yet step detection");
    cot_chain_destroy(c);
}

/* ---- what must be refused: a good text with one piece replaced ---- */
static char *good(void)
{
    static char *json;
    if (!json) {
        cot_chain *c = made(COT_CHAIN_PARTIAL);
        if (cot_chain_to_json(&json, c, steps(), "file", &err) != COT_OK) abort();
        cot_chain_destroy(c);
    }
    return json;
}

static cot_status read_with(const char *old, const char *new)
{
    const char *json = good(), *at = strstr(json, old);
    if (!at) return cot_fail(&err, COT_E_BUG, "the test's text is not in the JSON");
    const size_t size = strlen(json) + strlen(new) + 1;
    char *text = malloc(size);
    if (!text) abort();
    snprintf(text, size, "%.*s%s%s", (int)(at - json), json, new, at + strlen(old));
    cot_chain *c = NULL;
    const cot_status status = cot_chain_from_json(&c, text, strlen(text), steps(), &err);
    cot_chain_destroy(c);
    free(text);
    return status;
}

TEST(another_schema_version_or_step_schema_is_refused)
{
    CHECK_FAILS(read_with("reading:1", "reading:2"), COT_E_INPUT, "\"schema\" is not");
    CHECK_FAILS(read_with("steps:cxr:1", "steps:cxr:9"), COT_E_INPUT, "another step schema");
    CHECK_FAILS(read_with("\"id\":\"detection\"", "\"id\":\"other\""), COT_E_INPUT, "\"id\" is not \"detection\"");
}

TEST(wrong_kinds_and_missing_members_are_named)
{
    CHECK_FAILS(read_with("\"summary\":\"", "\"summary\":7,\"x\":\""), COT_E_INPUT,
                "\"summary\" is missing or no string");
    CHECK_FAILS(read_with("\"state\":\"partial\"", "\"state\":\"done\""), COT_E_INPUT, "\"state\" is \"done\"");
    CHECK_FAILS(read_with("\"available\":true", "\"available\":1"), COT_E_INPUT, "\"available\"");
    CHECK_FAILS(read_with("\"certainty\":", "\"certainly\":"), COT_E_INPUT, "\"certainty\"");
    CHECK_FAILS(read_with("\"reader\":{", "\"reader\":[],\"x\":{"), COT_E_INPUT, "\"reader\"");
    CHECK_FAILS(read_with("\"steps\":[", "\"steps\":[1,"), COT_E_INPUT, "\"steps\"");
    CHECK_FAILS(read_with("\"options\":[", "\"options\":[{},"), COT_E_INPUT, "\"options\" of step");
}

TEST(numbers_that_are_no_probabilities_are_refused)
{
    CHECK_FAILS(read_with("\"probability\":", "\"probability\":-"), COT_E_INPUT, "no number from 0 to 1");
    CHECK_FAILS(read_with("\"probability\":", "\"probability\":1e999,\"x\":"), COT_E_INPUT, "no number from 0 to 1");
    CHECK_FAILS(read_with("\"probability\":", "\"probability\":0.5,\"x\":"), COT_E_INPUT,
                "differs from the probability");
    CHECK_FAILS(read_with("\"certainty\":", "\"certainty\":0.5,\"x\":"), COT_E_INPUT, "differs from the probability");
}

TEST(text_longer_than_its_field_is_refused)
{
    char much[4000];
    strcpy(much, "\"summary\":\"");
    memset(much + strlen(much), 'x', 2000);
    much[2011] = 0;
    CHECK_FAILS(read_with("\"summary\":\"", much), COT_E_INPUT, "at most 1024 fit");
}

TEST(state_and_steps_that_contradict_each_other_are_refused)
{
    CHECK_FAILS(read_with("\"state\":\"partial\"", "\"state\":\"complete\""), COT_E_INPUT, "steps are missing");
    CHECK_FAILS(read_with("\"state\":\"partial\"", "\"state\":\"refused\""), COT_E_INPUT, "\"refusal\"");
}

TEST(every_truncation_is_refused)
{
    const char *json = good();
    const size_t size = strlen(json);
    size_t refused = 0;
    for (size_t n = 0; n < size; n++) {
        char *part = malloc(n ? n : 1); /* exactly n bytes: a read beyond is seen by the sanitizer */
        cot_chain *c;
        memcpy(part, json, n);
        refused += cot_chain_from_json(&c, part, n, steps(), &err) == COT_E_INPUT;
        free(part);
    }
    CHECK_NUMBER(refused, size);
}

TEST(flipped_bytes_never_crash_and_never_break_the_promises)
{
    const char *json = good();
    const size_t size = strlen(json);
    char *text = malloc(size);
    unsigned seed = 1;
    REQUIRE(text);
    for (int round = 0; round < 3000; round++) {
        cot_chain *c = NULL;
        memcpy(text, json, size);
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 4) % size] = (char)(seed >> 24);
        }
        if (cot_chain_from_json(&c, text, size, steps(), &err) == COT_OK)
            CHECK(chain_consistent(c, steps(), &err) == COT_OK);
        cot_chain_destroy(c);
    }
    free(text);
}

TEST(deep_long_and_trailing_text_is_refused)
{
    cot_chain *c;
    char deep[200001];
    memset(deep, '[', 200000);
    deep[200000] = 0;
    CHECK_FAILS(cot_chain_from_json(&c, deep, 200000, steps(), &err), COT_E_INPUT, "nested deeper");
    const size_t large = CHAIN_JSON_MAX + 1;
    char *much = malloc(large);
    REQUIRE(much);
    memset(much, ' ', large);
    CHECK_FAILS(cot_chain_from_json(&c, much, large, steps(), &err), COT_E_LIMIT, "at most");
    free(much);
    CHECK_FAILS(cot_chain_from_json(&c, "{}x", 3, steps(), &err), COT_E_INPUT, "after the JSON");
    CHECK_FAILS(cot_chain_from_json(&c, "{\0}", 3, steps(), &err), COT_E_INPUT, "NUL byte");
    CHECK_FAILS(cot_chain_from_json(&c, "{\"a\":\"\\u0000\"}", 14, steps(), &err), COT_E_INPUT, "NUL character");
    CHECK_FAILS(cot_chain_from_json(&c, "", 0, steps(), &err), COT_E_INPUT, "not JSON");
}

/* ---- the table ---- */
static void printed(char *to, size_t size, const cot_chain *c, const char *source)
{
    FILE *stream = tmpfile();
    if (!stream) abort();
    cot_chain_print(c, steps(), source, stream);
    rewind(stream);
    to[fread(to, 1, size - 1, stream)] = 0;
    fclose(stream);
}

TEST(the_table_has_a_row_per_step_and_says_what_is_not_available)
{
    char text[16384];
    cot_chain *c = made(COT_CHAIN_PARTIAL);
    printed(text, sizeof text, c, "im\x1b[31mage\xff");
    CHECK_HAS(text, "im?[31mage?\n");
    for (size_t s = 0; s < 7; s++) CHECK_HAS(text, steps()->steps[s].title);
    CHECK_HAS(text, "not available: not trained");
    CHECK_HAS(text, COT_NOT_A_DEVICE);
    char percent[2][32];
    const float *p = c->answers[0].probability;
    snprintf(percent[0], sizeof percent[0], "  %.1f%%  (next: ", 100.0 * (double)p[c->answers[0].answer]);
    snprintf(percent[1], sizeof percent[1], " %.1f%%)\n", 100.0 * (double)p[c->answers[0].second]);
    for (int i = 0; i < 2; i++) CHECK_HAS(text, percent[i]); /* one decimal, as in the report */
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) CHECK(utf8_width(line) <= 100);
    cot_chain_destroy(c);
}

TEST(the_table_of_a_refusal_says_why)
{
    char text[16384];
    cot_chain *c;
    REQUIRE_OK(cot_chain_refuse(&c, steps(), NULL, "body-part", "body part HIP", &err));
    printed(text, sizeof text, c, "x");
    CHECK_HAS(text, "Not analysed: body part HIP (body-part)");
    cot_chain_destroy(c);
}

TEST(utf8_is_told_from_what_is_not)
{
    char clean[16];
    CHECK(utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\xab\x81"));
    CHECK(!utf8_valid("\xc0\xaf") && !utf8_valid("\xed\xa0\x80") && !utf8_valid("\xf4\x90\x80\x80") &&
          !utf8_valid("\xe2\x82"));
    utf8_clean(clean, sizeof clean,
               "a\nb\xe2\x80\xae"
               "c");
    CHECK_TEXT(clean, "a?b?c");
    utf8_clean(clean, 4, "ab\xe2\x82\xac");
    CHECK_TEXT(clean, "ab");
    CHECK_NUMBER(utf8_width("\xe8\x83\xb8"
                            "a\xcc\x88"),
                 3);
}

CHECK_MAIN
