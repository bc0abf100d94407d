/* links: dicom config
 * Lint: reports of every kind pass; each defect, one per rule and those that validators miss, is named by its rule.
 * SPDX-License-Identifier: Apache-2.0 */
#include "lint_scene.h"

namespace
{
const std::string LONG_TEXT(1100, 'x');
} // namespace

#define BREAKS [](DcmFileFormat & f, DcmDataset & d)
/* The defects that validators miss or see differently (a prototype's list) and one or more per rule. */
static const seeded defects[] = {{"reference to a missing item", "C1", REFERENCE, BREAKS{(void)f;
set_path(reference(d), {1, 10, 5, 99});
}
}
, {"reference to an ancestor", "C2", REFERENCE, BREAKS{(void)f;
std::vector<Uint32> path = path_of(reference(d));
path.pop_back();
set_path(reference(d), path);
}
}
, {"reference to what is no answer", "C1", REFERENCE, BREAKS{(void)f;
set_path(reference(d), {1, 1}); /* the language */
}
}
, {"reference to a later answer", "C2", REFERENCE, BREAKS{(void)f;
DcmItem &conclusion = named(d, "121077");
const std::vector<Uint32> last = path_of(first(conclusion, DCM_ContentSequence));
const found_item answer = find(d, [](DcmItem &item) {
    return text_at(item, DCM_ValueType) == "CODE" &&
           find(item, [](DcmItem &below) {
               return below.tagExists(DCM_ReferencedContentItemIdentifier) != OFFalse;
           }).item;
});
std::vector<Uint32> later = last;
later[2] += 3; /* a group further on */
set_path(reference(*answer.item), later);
}
}
, {"reference to itself", "C2", REFERENCE, BREAKS{(void)f;
DcmItem &conclusion = named(d, "121077");
const std::vector<Uint32> answer = path_of(first(conclusion, DCM_ContentSequence));
set_path(reference(named(d, "125007")), answer);
}
}
, {"reference in Enhanced SR", "C3", REFERENCE, BREAKS{set(d, DCM_SOPClassUID, UID_EnhancedSRStorage);
set(*f.getMetaInfo(), DCM_MediaStorageSOPClassUID, UID_EnhancedSRStorage);
}
}
, {"reference directly in a group", "C3", REFERENCE, BREAKS{(void)f;
append_copy(reference(d), named(d, "125007"));
}
}
, {"premise without identity", "C1", MEASUREMENT, BREAKS{(void)f;
remove(*find(d, [](DcmItem &i) { return text_at(i, DCM_RelationshipType) == "INFERRED FROM"; }).item,
       DCM_ObservationUID);
}
}
, {"premise of another answer", "C1", MEASUREMENT, BREAKS{(void)f;
set(*find(d, [](DcmItem &i) { return text_at(i, DCM_RelationshipType) == "INFERRED FROM"; }).item, DCM_ObservationUID,
    "2.25.77");
}
}
, {"premise with another tracking UID", "C1", MEASUREMENT, BREAKS{(void)f;
DcmItem &premise = *find(d, [](DcmItem &i) { return text_at(i, DCM_RelationshipType) == "INFERRED FROM"; }).item;
set(named(premise, "112040"), DCM_UID, "2.25.78");
}
}
, {"contained text below a code", "R20", MEASUREMENT, BREAKS{(void)f;
set(*find(d, [](DcmItem &i) { return text_at(i, DCM_RelationshipType) == "HAS PROPERTIES"; }).item,
    DCM_RelationshipType, "CONTAINS");
}
}
, {"region without image", "R11", MEASUREMENT, BREAKS{(void)f;
remove(scoord(d), DCM_ContentSequence);
}
}
, {"evidence missing", "R13", MEASUREMENT, BREAKS{(void)f;
remove(d, DCM_CurrentRequestedProcedureEvidenceSequence);
}
}
, {"evidence of something else", "R13", MEASUREMENT, BREAKS{(void)f;
set(sop_of_evidence(d), DCM_ReferencedSOPInstanceUID, "1.2.3");
}
}
, {"evidence listed twice", "R13", READING, BREAKS{(void)f;
DcmItem &series = first(first(d, DCM_CurrentRequestedProcedureEvidenceSequence), DCM_ReferencedSeriesSequence);
DcmSequenceOfItems *sops = nullptr;
if (series.findAndGetSequence(DCM_ReferencedSOPSequence, sops).bad()) abort();
sops->append(new DcmItem(*sops->getItem(0)));
}
}
, {"root template missing", "R4", MEASUREMENT, BREAKS{(void)f;
remove(d, DCM_ContentTemplateSequence);
}
}
, {"tracking UID with a leading zero", "U1", MEASUREMENT, BREAKS{(void)f;
set(named(d, "112040"), DCM_UID, "2.25.00123");
}
}
, {"odd number of coordinates", "R12", MEASUREMENT, BREAKS{(void)f;
set_points(d, {1, 1, 5, 1, 5, 5, 1, 1, 3});
}
}
, {"long code meaning", "R16", MEASUREMENT, BREAKS{(void)f;
set(first(of_type(d, "CODE"), DCM_ConceptCodeSequence), DCM_CodeMeaning, std::string(80, 'x').c_str());
}
}
, {"private scheme not identified", "S1", MEASUREMENT, BREAKS{(void)f;
remove(d, DCM_CodingSchemeIdentificationSequence);
}
}
, {"verified by nobody", "R15", READING, BREAKS{(void)f;
set(d, DCM_VerificationFlag, "VERIFIED");
}
}
, {"item without name", "R1", READING, BREAKS{(void)f;
remove(of_type(d, "TEXT"), DCM_ConceptNameCodeSequence);
}
}
, {"name without meaning", "R1", MEASUREMENT, BREAKS{(void)f;
set(first(of_type(d, "TEXT"), DCM_ConceptNameCodeSequence), DCM_CodeMeaning, "");
}
}
, {"another modality", "R2", READING, BREAKS{(void)f;
set(d, DCM_Modality, "OT");
}
}
, {"a class viewers do not open", "R2", MEASUREMENT, BREAKS{set(d, DCM_SOPClassUID, UID_ChestCADSRStorage);
set(*f.getMetaInfo(), DCM_MediaStorageSOPClassUID, UID_ChestCADSRStorage);
}
}
, {"reading titled as measurement", "R4", READING, BREAKS{(void)f;
DcmItem &name = first(d, DCM_ConceptNameCodeSequence);
set(name, DCM_CodeValue, "126000");
set(name, DCM_CodingSchemeDesignator, "DCM");
}
}
, {"information below a code", "R5", READING, BREAKS{(void)f;
DcmItem &text = named(d, "RATIONALE");
append_copy(text, of_type(d, "CODE"));
}
}
, {"image in the first section", "R6", READING, BREAKS{(void)f;
append_copy(of_type(d, "IMAGE"), of_type(d, "CONTAINER"));
}
}
, {"empty Imaging Measurements", "R7", MEASUREMENT, BREAKS{(void)f;
remove(named(d, "126010"), DCM_ContentSequence);
}
}
, {"group without template", "R8", MEASUREMENT, BREAKS{(void)f;
remove(named(d, "125007"), DCM_ContentTemplateSequence);
}
}
, {"group without tracking identifier", "R9", MEASUREMENT, BREAKS{(void)f;
remove_item(named(d, "125007"), "112039");
}
}
, {"group without tracking UID", "R9", MEASUREMENT, BREAKS{(void)f;
remove_item(named(d, "125007"), "112040");
}
}
, {"two groups with one tracking UID", "R9", MEASUREMENT, BREAKS{(void)f;
append_copy(named(d, "125007"), named(d, "126010"));
}
}
, {"group without region", "R10", MEASUREMENT, BREAKS{(void)f;
remove_item(named(d, "125007"), "111030");
}
}
, {"ellipse", "R11", MEASUREMENT, BREAKS{(void)f;
set(scoord(d), DCM_GraphicType, "ELLIPSE");
}
}
, {"region of another name", "R11", MEASUREMENT, BREAKS{(void)f;
set(first(scoord(d), DCM_ConceptNameCodeSequence), DCM_CodeValue, "111041");
}
}
, {"open polygon", "R12", MEASUREMENT, BREAKS{(void)f;
set_points(d, {1, 1, 5, 1, 5, 5, 2, 5});
}
}
, {"region outside the image", "R12", MEASUREMENT, BREAKS{(void)f;
set_points(d, {1, 1, 17, 1, 17, 5, 1, 1});
}
}
, {"region left of the image", "R12", MEASUREMENT, BREAKS{(void)f;
set_points(d, {-1, 1, 5, 1, 5, 5, -1, 1});
}
}
, {"number without unit", "R14", READING, BREAKS{(void)f;
remove(first(of_type(d, "NUM"), DCM_MeasuredValueSequence), DCM_MeasurementUnitsCodeSequence);
}
}
, {"number without value", "R14", READING, BREAKS{(void)f;
remove(of_type(d, "NUM"), DCM_MeasuredValueSequence);
}
}
, {"no completion flag", "R15", READING, BREAKS{(void)f;
remove(d, DCM_CompletionFlag);
}
}
, {"no performed procedure codes", "R15", MEASUREMENT, BREAKS{(void)f;
remove(d, DCM_PerformedProcedureCodeSequence);
}
}
, {"Latin-1 declared", "R16", READING, BREAKS{(void)f;
set(d, DCM_SpecificCharacterSet, "ISO_IR 100");
}
}
, {"broken UTF-8", "R16", READING, BREAKS{(void)f;
set(named(d, "RATIONALE"), DCM_TextValue, "broken \xff");
}
}
, {"control character", "R16", READING, BREAKS{(void)f;
set(named(d, "RATIONALE"), DCM_TextValue, "a\x1b[31m");
}
}
, {"another patient", "R17", READING, BREAKS{(void)f;
set(d, DCM_PatientID, "PID-2");
}
}
, {"issuer left out", "R17", MEASUREMENT, BREAKS{(void)f;
remove(d, DCM_IssuerOfPatientID);
}
}
, {"another study", "R17", READING, BREAKS{(void)f;
set(d, DCM_StudyInstanceUID, "1.2.3.4");
}
}
, {"long text", "R18", READING, BREAKS{(void)f;
set(named(d, "RATIONALE"), DCM_TextValue, LONG_TEXT.c_str());
}
}
, {"deep nesting", "R18", MEASUREMENT, BREAKS{(void)f;
DcmItem *at = &named(d, "ALL_OPTIONS");
for (int i = 0; i < 9; i++) {
    DcmItem bare(*at);
    bare.findAndDeleteElement(DCM_ContentSequence);
    append_copy(bare, *at);
    DcmSequenceOfItems *content = nullptr;
    at->findAndGetSequence(DCM_ContentSequence, content);
    at = content->getItem(content->card() - 1);
}
}
}
, {"three-dimensional coordinates", "R19", MEASUREMENT, BREAKS{(void)f;
set(scoord(d), DCM_ValueType, "SCOORD3D");
}
}
, {"library without template", "T1", MEASUREMENT, BREAKS{(void)f;
remove(named(d, "111028"), DCM_ContentTemplateSequence);
}
}
, {"group without finding", "T1", MEASUREMENT, BREAKS{(void)f;
remove_item(named(d, "125007"), "121071");
}
}
, {"probability changed", "P1", MEASUREMENT, BREAKS{(void)f;
set(first(named(d, "122157"), DCM_MeasuredValueSequence), DCM_NumericValue, "1.00");
}
}
, {"probability changed in the reading", "P1", READING, BREAKS{(void)f;
DcmItem &box = named(d, "OPTIONS");
set(first(of_type(box, "NUM"), DCM_MeasuredValueSequence), DCM_NumericValue, "1.0");
}
}
, {"probability changed in Basic Text", "P1", BASIC, BREAKS{(void)f;
set(of_type(named(d, "OPTIONS"), "TEXT"), DCM_TextValue, "1.0 %");
}
}
,
}
;

TEST(every_seeded_defect_is_caught_by_its_rule)
{
    const scene s;
    for (const seeded &d : defects) check_defect(s, d);
}

TEST(every_rule_has_a_defect_here_or_a_test_of_its_own)
{
    for (int rule = 1; rule <= 20; rule++) {
        const std::string name = "R" + std::to_string(rule);
        bool found = name == "R3";
        for (const seeded &d : defects) found = found || name == d.rule;
        if (!found) CHECK_FAIL_("%s has no defect", name.c_str());
        check_count++;
    }
}

TEST(reports_of_every_kind_pass)
{
    const scene s;
    cot_chain *chains[4] = {case_chain(s.steps, true), case_chain(s.steps, false), case_refused(s.steps),
                            case_forced(s.steps)};
    for (const kind k : {READING, BASIC, MEASUREMENT, REFERENCE}) {
        s.write(k, s.report);
        check_clean("with evidence", s.lint({s.report, s.image}));
        check_clean("without its image", s.lint({s.report}));
        for (size_t c = 0; c < (k == READING || k == BASIC ? 4 : 2); c++) {
            s.write(k, s.report, chains[c]);
            check_clean("plain", s.lint({s.report, s.image}));
        }
    }
    for (cot_chain *chain : chains) cot_chain_destroy(chain);
}

TEST(two_reports_in_one_series_break_rule_3)
{
    const scene s;
    s.write(READING, s.report);
    s.write(MEASUREMENT, s.other);
    check_clean("two series", s.lint({s.report, s.other, s.image}));
    s.write(READING, s.other);
    const std::vector<finding> found = s.lint({s.report, s.other});
    REQUIRE(found.size() == 2);
    CHECK(found[0].rule == "R3" && found[1].rule == "R3");
    CHECK(found[0].file == s.report && found[1].file == s.other);
}

TEST(what_is_no_report_is_a_finding_or_an_error_never_a_crash)
{
    const scene s;
    cot_error err = COT_ERROR_INIT;
    std::vector<finding> found;
    size_t n = 0;
    const char *paths[1] = {s.report.c_str()};
    CHECK_FAILS(cot_report_lint(paths, 1, collect, &found, &n, &err), COT_E_IO, "report.dcm");
    REQUIRE_OK(cot_file_write_durable(s.report.c_str(), "no DICOM at all", 15, &err));
    found = s.lint({s.report});
    REQUIRE(found.size() == 1);
    CHECK(found[0].rule == "R20" && found[0].where == "file");
    CHECK_TEXT(found[0].what.c_str(), "15 bytes are no DICOM file"); /* its name stands before the finding already */
    paths[0] = s.image.c_str();
    CHECK_FAILS(cot_report_lint(paths, 1, collect, &found, &n, &err), COT_E_INPUT, "no Structured Report");
    CHECK_FAILS(cot_report_lint(paths, 5000, collect, &found, &n, &err), COT_E_LIMIT, "at most");
}

/* Every byte of a report cut off or turned: findings or errors, no crash (the sanitizer build looks on). */
TEST(damaged_reports_are_survived)
{
    const scene s;
    cot_error err = COT_ERROR_INIT;
    char *bytes = nullptr;
    size_t size = 0;
    s.write(REFERENCE, s.report);
    REQUIRE_OK(cot_file_read(&bytes, &size, s.report.c_str(), 1 << 20, &err));
    size_t looked_at = 0;
    for (size_t i = 140; i < size; i += size / 150) {
        std::vector<finding> found;
        const char *paths[1] = {s.report.c_str()};
        size_t n = 0;
        const char before = bytes[i];
        bytes[i] = static_cast<char>(before ^ 0x15);
        REQUIRE_OK(cot_file_write_durable(s.report.c_str(), bytes, size, &err));
        looked_at += cot_report_lint(paths, 1, collect, &found, &n, &err) == COT_OK;
        bytes[i] = before;
        REQUIRE_OK(cot_file_write_durable(s.report.c_str(), bytes, i, &err));
        looked_at += cot_report_lint(paths, 1, collect, &found, &n, &err) == COT_OK;
        CHECK(n > 0); /* a report cut off is never clean */
    }
    CHECK(looked_at > 100);
    free(bytes);
}

TEST(findings_quote_no_value_of_the_data_set)
{
    const scene s;
    s.write(READING, s.report);
    DcmFileFormat file;
    REQUIRE(file.loadFile(s.report.c_str()).good());
    file.loadAllDataIntoMemory();
    set(*file.getDataset(), DCM_PatientName, "Secret^Name");
    set(*file.getDataset(), DCM_PatientID, "SECRET");
    set(named(*file.getDataset(), "RATIONALE"), DCM_TextValue, "SECRET \x01");
    REQUIRE(file.saveFile(s.report.c_str(), EXS_LittleEndianExplicit).good());
    const std::vector<finding> found = s.lint({s.report, s.image});
    CHECK(found.size() >= 3);
    for (const finding &f : found) CHECK(!strcasestr((f.where + f.what + f.advice).c_str(), "secret"));
}

CHECK_MAIN
