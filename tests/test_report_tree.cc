/* links: dicom config
 * The reading report read back through DCMTK: every answer, number and sentence of the chain is there, exactly, and the tree
 * keeps the rules that viewers need (names everywhere, nothing below items other than containers, image last, short texts).
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "dicom/report_internal.h"
#include "report_cases.h"

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmsr/dsrdoc.h>
#include <string>
#include <vector>

namespace
{
/* One content item: its path of concept meanings is "Diagnostic Imaging Report/Step 1 ...". */
struct item {
    std::string section, type, relation, code, scheme, meaning, value, value_code, value_scheme;
    size_t depth;
};
struct report {
    std::vector<item> items;
    cot_status status;
    cot_error err;
    const item *find(const std::string &section, const std::string &meaning, size_t nth = 0) const
    {
        for (const item &i : items)
            if (i.section == section && i.meaning == meaning && nth-- == 0) return &i;
        return nullptr;
    }
};

struct scene { /* a folder with one image, and the schema */
    char folder[32] = "/tmp/cot-tree-XXXXXX";
    std::string image, path;
    cot_steps *steps = nullptr;
    scene()
    {
        cot_error err = COT_ERROR_INIT;
        cot_dicom_init();
        if (!mkdtemp(folder) || cot_steps_load(&steps, nullptr, &err) != COT_OK) abort();
        image = std::string(folder) + "/image.dcm";
        path = std::string(folder) + "/report.dcm";
        const case_image plain = case_image_default();
        case_image_write(image.c_str(), &plain);
    }
    ~scene()
    {
        unlink(image.c_str());
        unlink(path.c_str());
        rmdir(folder);
        cot_steps_destroy(steps);
    }
    scene(const scene &) = delete;
    scene &operator=(const scene &) = delete;
};

std::string text_at(DcmItem &from, const DcmTagKey &key)
{
    OFString value;
    from.findAndGetOFStringArray(key, value);
    return value.c_str();
}

item code_of(DcmItem &from, const DcmTagKey &sequence)
{
    item code = {};
    DcmItem *coded = nullptr;
    if (from.findAndGetSequenceItem(sequence, coded, 0).good() && coded) {
        code.code = text_at(*coded, DCM_CodeValue);
        code.scheme = text_at(*coded, DCM_CodingSchemeDesignator);
        code.meaning = text_at(*coded, DCM_CodeMeaning);
    }
    return code;
}

/* The plain data set, not DSRDocument: what a viewer gets, without DCMTK's own repairs. */
void collect(std::vector<item> &items, DcmItem &from, const std::string &section, size_t depth)
{
    item it = code_of(from, DCM_ConceptNameCodeSequence);
    it.section = section;
    it.depth = depth;
    it.type = text_at(from, DCM_ValueType);
    it.relation = text_at(from, DCM_RelationshipType);
    it.value = text_at(from, it.type == "UIDREF" ? DCM_UID : DCM_TextValue);
    if (it.type == "CODE") {
        const item value = code_of(from, DCM_ConceptCodeSequence);
        it.value = value.meaning;
        it.value_code = value.code;
        it.value_scheme = value.scheme;
    }
    DcmItem *measured = nullptr;
    if (it.type == "NUM" && from.findAndGetSequenceItem(DCM_MeasuredValueSequence, measured, 0).good() && measured) {
        it.value = text_at(*measured, DCM_NumericValue);
        it.value_code = code_of(*measured, DCM_MeasurementUnitsCodeSequence).code;
    }
    items.push_back(it);
    DcmItem *child = nullptr;
    const std::string below = depth ? section + (section.empty() ? "" : "/") + it.meaning : "";
    for (signed long i = 0; from.findAndGetSequenceItem(DCM_ContentSequence, child, i).good() && child; i++)
        collect(items, *child, below, depth + 1);
}

report write_and_read(const scene &s, const cot_chain *chain, bool basic)
{
    report r = {{}, COT_OK, COT_ERROR_INIT};
    cot_report_made made;
    cot_report_options options = case_options();
    options.basic_text = basic;
    r.status = cot_report_write(&made, s.path.c_str(), s.image.c_str(), CASE_DIGEST, chain, s.steps, &options, CASE_NOW,
                                &r.err);
    DcmFileFormat file;
    if (r.status == COT_OK && file.loadFile(s.path.c_str()).good()) collect(r.items, *file.getDataset(), "", 0);
    return r;
}

size_t characters(const std::string &utf8)
{
    size_t n = 0;
    for (const char c : utf8) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    return n;
}

/* peers' viewer rules R1, R2, R4, R5, R6, R14, R16, R18 */
void check_viewer_rules(const report &r, bool basic)
{
    REQUIRE(r.items.size() > 10);
    CHECK_TEXT(r.items[0].type.c_str(), "CONTAINER");
    CHECK(r.items[0].code != "126000");
    std::string last_container;
    for (const item &i : r.items) {
        CHECK(!i.meaning.empty() && !i.code.empty() && !i.scheme.empty());
        CHECK(characters(i.meaning) <= 64 && i.code.size() <= 16);
        CHECK(i.type == "CONTAINER" || i.type == "IMAGE" || !i.value.empty());
        CHECK(characters(i.value) <= 1024);
        CHECK(i.depth <= 3);
        CHECK(!(basic && i.type == "NUM"));
        if (i.type == "NUM") CHECK_TEXT(i.value_code.c_str(), "%");
        if (i.type == "CONTAINER" && i.depth == 1) last_container = i.meaning;
        for (const char c : i.value) CHECK(static_cast<unsigned char>(c) >= 0x20 || c == '\r' || c == '\n');
    }
    for (const item &i : r.items) {
        if (i.type == "IMAGE") CHECK_TEXT(i.section.c_str(), last_container.c_str());
        /* what lies below something must lie below a container of that name */
        if (i.depth < 2) continue;
        bool found = false;
        for (const item &c : r.items)
            found =
                found || (c.type == "CONTAINER" && (c.section.empty() ? "" : c.section + "/") + c.meaning == i.section);
        CHECK(found);
    }
}

void check_value(const report &r, const std::string &section, const char *meaning, const char *value)
{
    const item *found = r.find(section, meaning);
    if (!found) {
        CHECK_FAIL_("%s has no \"%s\"", section.c_str(), meaning);
        return;
    }
    CHECK_TEXT(found->value.c_str(), value);
}

std::string percent(float fraction, bool basic)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f%s", static_cast<double>(fraction) * 100, basic ? " %" : "");
    return text;
}

/* Under which name the answer stands in standard codes. */
const char *finding_name(const cot_steps &steps, const cot_step &step, const cot_option &option)
{
    if (!strcmp(step.id, "location") && !strcmp(option.code.scheme, "SCT")) return "Finding Site";
    return strcmp(step.concept.scheme, steps.scheme.value) ? step.concept.meaning : "Finding";
}

void check_answered_step(const report &r, const cot_steps &steps, const cot_step &step, const cot_answer &a, bool basic)
{
    const std::string section = step.code.meaning, others = section + "/Other answers, with their probabilities";
    const cot_option &option = step.options[a.answer];
    check_value(r, section, "Question", step.question);
    check_value(r, section, "Answer", option.label);
    check_value(r, section, "Certainty of Finding", percent(a.probability[a.answer], basic).c_str());
    check_value(r, section, "Rationale", a.rationale);
    const char *name = finding_name(steps, step, option);
    check_value(r, section, name, option.code.meaning);
    const item *answer = r.find(section, "Answer"), *coded = r.find(section, name);
    REQUIRE(answer && coded);
    CHECK_TEXT(answer->value_code.c_str(), option.key);
    CHECK_TEXT(answer->value_scheme.c_str(), steps.scheme.value);
    CHECK_TEXT(coded->value_code.c_str(), option.code.value);
    CHECK_TEXT(coded->value_scheme.c_str(), option.code.scheme);
    CHECK((r.find(section, "Laterality") != nullptr) == (option.laterality.value[0] != 0));
    double sum = atof(percent(a.probability[a.answer], true).c_str()), before = 100;
    size_t n = 0;
    for (const item &i : r.items) {
        if (i.section != others) continue;
        const double value = atof(i.value.c_str());
        CHECK(value <= before);
        before = value;
        sum += value;
        n++;
    }
    for (size_t o = 0; o < step.n_options; o++)
        if (o != a.answer) check_value(r, others, step.options[o].label, percent(a.probability[o], basic).c_str());
    CHECK_NUMBER(n, step.n_options - 1);
    CHECK_NEAR(sum, 100, 0.05 * static_cast<double>(step.n_options));
}

bool any_contains(const report &r, const char *part)
{
    for (const item &i : r.items)
        if (i.value.find(part) != std::string::npos) return true;
    return false;
}
} // namespace

TEST(every_answer_of_every_step_reads_back_exactly)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    for (const bool basic : {false, true}) {
        const report r = write_and_read(s, chain, basic);
        CHECK_TEXT(r.err.text, "");
        check_viewer_rules(r, basic);
        for (size_t k = 0; k < s.steps->n_steps; k++)
            check_answered_step(r, *s.steps, s.steps->steps[k], chain->answers[k], basic);
    }
    cot_chain_destroy(chain);
}

TEST(each_option_can_be_the_answer_of_each_step)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    for (size_t k = 0; k < s.steps->n_steps; k++)
        for (size_t o = 0; o < s.steps->steps[k].n_options; o++) {
            case_answer(chain, s.steps, k, o, 0.871f);
            const report r = write_and_read(s, chain, false);
            check_answered_step(r, *s.steps, s.steps->steps[k], chain->answers[k], false);
        }
    cot_chain_destroy(chain);
}

/* All values under `meaning` in the section of step s, in order. */
std::vector<std::string> values_of(const scene &sc, const report &r, size_t s, const char *meaning)
{
    std::vector<std::string> values;
    const std::string section = sc.steps->steps[s].code.meaning;
    for (size_t nth = 0; const item *found = r.find(section, meaning, nth); nth++) values.push_back(found->value);
    return values;
}

TEST(place_and_influences_stand_in_words_under_their_step_strongest_first)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    cot_chain *chain = case_chain(s.steps, true);
    case_evidence(chain);
    cot_answer &third = chain->answers[2];
    REQUIRE_OK(cot_answer_influences(&third, 2, &err));
    third.influences[0] = {1, -0.1234f};
    third.influences[1] = {0, 0.0004f};
    const std::string second = s.steps->steps[1].title, first = s.steps->steps[0].title;
    const auto label = [&](size_t step) {
        return std::string(s.steps->steps[step].options[chain->answers[step].answer].label);
    };
    for (const bool basic : {false, true}) {
        const report r = write_and_read(s, chain, basic);
        CHECK_OK(r.status);
        CHECK(values_of(s, r, 0, "Place of the region") == std::vector<std::string>{"right lower zone"});
        CHECK(values_of(s, r, 1, "Place of the region") == std::vector<std::string>{"whole image"});
        CHECK(values_of(s, r, 2, "Place of the region").empty()); /* no map was made */
        CHECK(values_of(s, r, 0, "Rests on").empty());
        CHECK(
            (values_of(s, r, 2, "Rests on") ==
             std::vector<std::string>{
                 "\"" + label(1) + "\" (" + second + ") lowers the certainty of this answer by 12.3 percentage points",
                 "\"" + label(0) + "\" (" + first +
                     ") changes the certainty of this answer by less than 0.1 percentage points"}));
        CHECK(values_of(s, r, 1, "Rests on").front().find("raises the certainty of this answer by 40.0") !=
              std::string::npos);
    }
    third.weighed = false; /* as a chain that was not weighed: nothing is said */
    REQUIRE_OK(cot_answer_influences(&third, 0, &err));
    CHECK(values_of(s, write_and_read(s, chain, false), 2, "Rests on").empty());
    cot_chain_destroy(chain);
}

TEST(summary_comes_first_and_says_what_this_is)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    const report r = write_and_read(s, chain, false);
    const cot_step &last = s.steps->steps[s.steps->n_steps - 1];
    const char *summary = "Document Summary";
    for (const item &i : r.items)
        if (i.type == "CONTAINER" && i.depth == 1) {
            CHECK_TEXT(i.meaning.c_str(), summary);
            break;
        }
    check_value(r, summary, "Impression", last.options[chain->answers[s.steps->n_steps - 1].answer].code.meaning);
    check_value(r, summary, "Certainty of Finding", "65.5");
    check_value(r, summary, "Conclusion", chain->summary);
    check_value(r, summary, "Result status",
                "Generated by an automated algorithm (AI). Not verified by a physician. Not a medical device. "
                "Not for diagnosis.");
    check_value(r, summary, "About the model", chain->reader.notice);
    check_value(r, summary, "Training of the model", chain->reader.training);
    check_value(r, "Algorithm", "Algorithm Name", chain->reader.name);
    CHECK(any_contains(r, chain->reader.package_sha256));
    CHECK(any_contains(r, s.steps->sha256));
    CHECK(any_contains(r, chain->reader.device));
    cot_chain_destroy(chain);
}

TEST(step_without_an_answer_says_why_and_nothing_else)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, false);
    const size_t n = s.steps->n_steps;
    snprintf(chain->answers[n - 1].reason, sizeof chain->answers[n - 1].reason, "no weights");
    chain->answers[n - 1].available = false;
    const report r = write_and_read(s, chain, false);
    check_viewer_rules(r, false);
    for (size_t k = 1; k < n; k++) {
        const std::string section = s.steps->steps[k].code.meaning;
        size_t items = 0;
        for (const item &i : r.items) items += i.section == section;
        CHECK_NUMBER(items, 2);
        check_value(r, section, "Question", s.steps->steps[k].question);
        check_value(r, section, "Answer", (std::string("not available: ") + chain->answers[k].reason).c_str());
    }
    check_value(r, "Document Summary", "Impression", "not available: no weights");
    CHECK(!r.find("Document Summary", "Certainty of Finding"));
    check_value(r, "Document Summary", "Steps answered", "1 of 7");
    CHECK(any_contains(r, "6 of 7 steps have no answer"));
    cot_chain_destroy(chain);
    chain = case_chain(s.steps, true);
    snprintf(chain->answers[4].reason, sizeof chain->answers[4].reason, "no weights");
    chain->answers[4].available = false;
    CHECK(any_contains(write_and_read(s, chain, false), "1 of 7 steps has no answer: "));
    cot_chain_destroy(chain);
}

TEST(limits_name_close_calls_and_only_those)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    CHECK(!any_contains(write_and_read(s, chain, false), "is undecided"));
    case_answer(chain, s.steps, 0, 0, 0.40f); /* the next option gets 0.36 */
    const report r = write_and_read(s, chain, false);
    const item *first = nullptr;
    for (const item &i : r.items)
        if (i.value.find("is undecided") != std::string::npos) first = &i;
    REQUIRE(first);
    CHECK_TEXT(first->section.c_str(), "Limits of this reading");
    CHECK_HAS(first->value.c_str(), s.steps->steps[0].options[0].label);
    CHECK_HAS(first->value.c_str(), "(40.0 %)");
    CHECK_HAS(first->value.c_str(), "(36.0 %)");
    cot_chain_destroy(chain);
}

TEST(limits_draw_the_line_of_a_close_call_at_ten_points)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    case_answer(chain, s.steps, 0, 0, 0.5f); /* four options: the next gets 0.30 */
    CHECK(!any_contains(write_and_read(s, chain, false), "is undecided"));
    case_answer(chain, s.steps, 0, 0, 0.44f); /* 0.336: 10.4 points */
    CHECK(!any_contains(write_and_read(s, chain, false), "is undecided"));
    case_answer(chain, s.steps, 0, 0, 0.435f); /* 0.339: 9.6 points */
    CHECK(any_contains(write_and_read(s, chain, false), "is undecided"));
    cot_chain_destroy(chain);
}

TEST(findings_stand_under_the_standard_names_finding_and_finding_site)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    const report r = write_and_read(s, chain, false);
    size_t findings = 0, sites = 0;
    for (const item &i : r.items) {
        findings += i.code == "121071" && i.scheme == "DCM" && i.type == "CODE";
        sites += i.code == "363698007" && i.scheme == "SCT" && i.type == "CODE";
    }
    CHECK_NUMBER(findings, 5); /* all but distribution and location */
    CHECK_NUMBER(sites, 1);
    case_answer(chain, s.steps, 3, 0, 0.9f); /* "No abnormal site" is no site */
    for (const item &i : write_and_read(s, chain, false).items) CHECK(i.code != "363698007");
    cot_chain_destroy(chain);
}

TEST(rendering_is_told_and_a_range_taken_from_the_pixels_is_a_limit)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    CHECK(!any_contains(write_and_read(s, chain, false), "rendering: "));
    snprintf(chain->rendering, sizeof chain->rendering, "window 550/1024 LINEAR, inverted");
    report r = write_and_read(s, chain, false);
    CHECK(any_contains(r, "rendering: window 550/1024 LINEAR, inverted"));
    CHECK(!any_contains(r, "taken from the pixels"));
    chain->range_from_pixels = true;
    r = write_and_read(s, chain, false);
    bool limit = false;
    for (const item &i : r.items)
        limit = limit || (i.section == "Limits of this reading" && i.value.find("taken from the pixels") < 1024);
    CHECK(limit);
    cot_chain_destroy(chain);
}

TEST(reading_by_force_gives_no_coded_impression_or_finding)
{
    const scene s;
    cot_chain *chain = case_forced(s.steps);
    const report r = write_and_read(s, chain, false);
    check_viewer_rules(r, false);
    const item *impression = r.find("Document Summary", "Impression");
    REQUIRE(impression);
    CHECK_TEXT(impression->type.c_str(), "TEXT");
    CHECK_TEXT(impression->value.c_str(), "not given: read by force, although body part HIP is not a chest");
    CHECK(!r.find("Document Summary", "Certainty of Finding"));
    CHECK(
        any_contains(r, "outside the scope of the model and was read by force, although body part HIP is not a chest"));
    for (const item &i : r.items)
        if (i.type == "CODE" && i.section.compare(0, 4, "Step") == 0)
            CHECK_TEXT(i.value_scheme.c_str(), s.steps->scheme.value);
    cot_chain_destroy(chain);
}

static bool calls_it_a_child(const char *age, const char *birth)
{
    const scene s;
    case_image image = case_image_default();
    image.age = age;
    image.birth = birth;
    case_image_write(s.image.c_str(), &image);
    cot_chain *chain = case_chain(s.steps, true);
    const report r = write_and_read(s, chain, false);
    CHECK_TEXT(r.err.text, "");
    cot_chain_destroy(chain);
    return any_contains(r, "under 18 years old");
}

TEST(patient_under_18_years_is_a_limit)
{
    CHECK(calls_it_a_child("017Y", nullptr));
    CHECK(calls_it_a_child("017Y", "19700102"));
    CHECK(calls_it_a_child("215M", nullptr));
    CHECK(calls_it_a_child("003W", nullptr));
    CHECK(calls_it_a_child("010D", nullptr));
    CHECK(calls_it_a_child(nullptr, "20080302")); /* the study is of 2026-03-01 */
    CHECK(calls_it_a_child("050Y", "20260301"));
    CHECK(!calls_it_a_child(nullptr, "20080301"));
    CHECK(!calls_it_a_child("018Y", nullptr));
    CHECK(!calls_it_a_child("216M", nullptr));
    CHECK(!calls_it_a_child("017", nullptr)); /* no age */
    CHECK(!calls_it_a_child(nullptr, nullptr));
    CHECK(!calls_it_a_child(nullptr, "20270101")); /* after the study: says nothing */
    CHECK(!calls_it_a_child(nullptr, "19700102"));
}

TEST(refused_image_has_no_steps_no_impression_and_no_number)
{
    const scene s;
    cot_chain *chain = case_refused(s.steps);
    const report r = write_and_read(s, chain, false);
    check_viewer_rules(r, true);
    check_value(r, "Document Summary", "Not analysed", chain->refusal);
    check_value(r, "Document Summary", "Reason code", chain->refusal_id);
    check_value(r, "Images received, not analysed", "Body Part Examined", "CHEST");
    for (const item &i : r.items) CHECK(i.meaning != "Impression" && i.meaning != "Question" && i.type != "NUM");
    cot_chain_destroy(chain);
}

TEST(long_and_hostile_texts_are_split_and_cleaned_not_lost)
{
    const scene s;
    cot_chain *chain = case_chain(s.steps, true);
    std::string words;
    while (words.size() + 6 < sizeof chain->summary) words += "w" + std::to_string(words.size()) + " ";
    snprintf(chain->summary, sizeof chain->summary, "%s", words.c_str());
    snprintf(chain->answers[0].rationale, sizeof chain->answers[0].rationale,
             "a\x01\x1b[0m\tb\xc2\x85 \\ \"q\" <&> \xff\xc3\n\xe8\x82\xba");
    snprintf(s.steps->steps[1].options[1].label, sizeof s.steps->steps[1].options[1].label, "%s",
             "\xe8\x82\xba\\0123456789012345678901234567890123456789012345678901234567890123456789");
    case_answer(chain, s.steps, 1, 1, 0.5f);
    const report r = write_and_read(s, chain, false);
    CHECK_TEXT(r.err.text, "");
    check_viewer_rules(r, false);
    check_value(r, "Document Summary", "Conclusion", words.substr(0, words.find_last_not_of(' ') + 1).c_str());
    check_value(r, s.steps->steps[0].code.meaning, "Rationale",
                "a  [0m b  \\ \"q\" <&> \xef\xbf\xbd\xef\xbf\xbd\r\n\xe8\x82\xba");
    check_value(r, s.steps->steps[1].code.meaning, "Answer",
                "\xe8\x82\xba/01234567890123456789012345678901234567890123456789012345678901");
    cot_chain_destroy(chain);
}

TEST(text_is_split_at_spaces_where_there_are_any_and_never_inside_a_character)
{
    const std::vector<std::string> words = text_split("one two three", 8);
    REQUIRE(words.size() == 2);
    CHECK_TEXT(words[0].c_str(), "one two");
    CHECK_TEXT(words[1].c_str(), "three");
    std::string lungs, again;
    for (int i = 0; i < 2500; i++) lungs += "\xe8\x82\xba";
    const std::vector<std::string> pieces = text_split(lungs, TEXT_ITEM_CHARACTERS);
    CHECK_NUMBER(pieces.size(), 3);
    for (const std::string &piece : pieces) {
        CHECK(characters(piece) <= 1024);
        again += piece;
    }
    CHECK(again == lungs);
    CHECK_NUMBER(text_split("", 8).size(), 0);
    CHECK(text_clean("a\nb\r\nc\rd\n") == "a\r\nb\r\nc d");
    CHECK(text_line(" a\\b\nc ", 64) == "a/b  c");
}

CHECK_MAIN
