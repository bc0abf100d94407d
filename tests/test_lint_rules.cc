/* links: dicom config
 * Lint, rule by rule: what R1 to R20 name beside the one defect that test_lint.cc has of each; and reports of others, which it
 * may object to but must read. SPDX-License-Identifier: Apache-2.0 */
#include "lint_scene.h"

#include <climits>
#include <cmath>

namespace
{
DcmItem &inference(DcmDataset &d)
{
    return *find(d, [](DcmItem &i) { return text_at(i, DCM_RelationshipType) == "INFERRED FROM"; }).item;
}
DcmItem &number(DcmDataset &d)
{
    return first(of_type(d, "NUM"), DCM_MeasuredValueSequence);
}
/* The frame number below the region's image. */
void set_frames(DcmDataset &d, const char *frames)
{
    set(first(of_type(scoord(d), "IMAGE"), DCM_ReferencedSOPSequence), DCM_ReferencedFrameNumber, frames);
}
DcmItem &group(DcmDataset &d)
{
    return named(d, "125007");
}
void title(DcmDataset &d, const char *value, const char *scheme)
{
    DcmItem &name = first(d, DCM_ConceptNameCodeSequence);
    set(name, DCM_CodeValue, value);
    set(name, DCM_CodingSchemeDesignator, scheme);
}
const std::string HUGE_TEXT((1 << 20) + 2, 'x');

using edit = void (*)(DcmDataset &);
struct more { /* a seeded defect in short */
    const char *what, *rule;
    kind of;
    edit breaks;
};
const more defects[] = {
    {"two concept names", "R1", READING,
     [](DcmDataset &d) {
         DcmSequenceOfItems *names = nullptr;
         if (of_type(d, "TEXT").findAndGetSequence(DCM_ConceptNameCodeSequence, names).bad()) abort();
         names->append(new DcmItem(*names->getItem(0)));
     }},
    {"code without a value", "R1", MEASUREMENT,
     [](DcmDataset &d) { remove(of_type(d, "CODE"), DCM_ConceptCodeSequence); }},
    {"code without meaning", "R1", READING,
     [](DcmDataset &d) { set(first(of_type(d, "CODE"), DCM_ConceptCodeSequence), DCM_CodeMeaning, ""); }},
    {"data set of another class than the file meta information", "R2", READING,
     [](DcmDataset &d) { set(d, DCM_SOPClassUID, UID_BasicTextSRStorage); }},
    {"measurements in Enhanced SR", "R4", MEASUREMENT,
     [](DcmDataset &d) { set(d, DCM_SOPClassUID, UID_EnhancedSRStorage); }},
    {"measurements under another title", "R4", MEASUREMENT, [](DcmDataset &d) { title(d, "18748-4", "LN"); }},
    {"126000 of another scheme", "R4", MEASUREMENT, [](DcmDataset &d) { title(d, "126000", "99X"); }},
    {"template of somebody else", "R4", MEASUREMENT,
     [](DcmDataset &d) { set(first(d, DCM_ContentTemplateSequence), DCM_MappingResource, "99X"); }},
    {"number below a number", "R5", READING, [](DcmDataset &d) { append_copy(of_type(d, "NUM"), of_type(d, "NUM")); }},
    {"image at the root", "R6", READING, [](DcmDataset &d) { append_copy(of_type(d, "IMAGE"), d); }},
    {"no Imaging Measurements", "R7", MEASUREMENT,
     [](DcmDataset &d) {
         DcmItem moved(group(d));
         remove_item(d, "126010");
         append_copy(moved, d);
     }},
    {"group outside Imaging Measurements", "R7", MEASUREMENT, [](DcmDataset &d) { append_copy(group(d), d); }},
    {"group of template 1501", "R8", MEASUREMENT,
     [](DcmDataset &d) { set(first(group(d), DCM_ContentTemplateSequence), DCM_TemplateIdentifier, "1501"); }},
    {"empty tracking identifier", "R9", MEASUREMENT, [](DcmDataset &d) { set(named(d, "112039"), DCM_TextValue, ""); }},
    {"tracking UID as text", "R9", MEASUREMENT,
     [](DcmDataset &d) { set(named(group(d), "112040"), DCM_ValueType, "TEXT"); }},
    {"two regions in a group", "R10", MEASUREMENT, [](DcmDataset &d) { append_copy(scoord(d), group(d)); }},
    {"several points at once", "R11", MEASUREMENT,
     [](DcmDataset &d) { set(scoord(d), DCM_GraphicType, "MULTIPOINT"); }},
    {"region on two images", "R11", MEASUREMENT,
     [](DcmDataset &d) { append_copy(of_type(scoord(d), "IMAGE"), scoord(d)); }},
    {"region on two frames", "R11", MEASUREMENT, [](DcmDataset &d) { set_frames(d, "1\\2"); }},
    {"image of another relationship", "R11", MEASUREMENT,
     [](DcmDataset &d) { set(of_type(scoord(d), "IMAGE"), DCM_RelationshipType, "CONTAINS"); }},
    {"image of another name", "R11", MEASUREMENT,
     [](DcmDataset &d) {
         set(first(of_type(scoord(d), "IMAGE"), DCM_ConceptNameCodeSequence), DCM_CodeValue, "111041");
     }},
    {"two corners", "R12", MEASUREMENT,
     [](DcmDataset &d) {
         set_points(d, {1, 1, 5, 1, 1, 1});
     }},
    {"no coordinates", "R12", MEASUREMENT, [](DcmDataset &d) { remove(scoord(d), DCM_GraphicData); }},
    {"coordinate that is no number", "R12", MEASUREMENT,
     [](DcmDataset &d) {
         set_points(d, {1, 1, NAN, 1, 5, 5, 1, 1});
     }},
    {"infinite coordinate", "R12", MEASUREMENT,
     [](DcmDataset &d) {
         set_points(d, {1, 1, 5, INFINITY, 5, 5, 1, 1});
     }},
    {"region below the image", "R12", MEASUREMENT,
     [](DcmDataset &d) {
         set_points(d, {1, 1, 5, 17, 5, 5, 1, 1});
     }},
    {"evidence of another study", "R13", MEASUREMENT,
     [](DcmDataset &d) {
         set(first(d, DCM_CurrentRequestedProcedureEvidenceSequence), DCM_StudyInstanceUID, "1.2.3");
     }},
    {"evidence listed as current and as other", "R13", READING,
     [](DcmDataset &d) {
         DcmSequenceOfItems *current = nullptr;
         if (d.findAndGetSequence(DCM_CurrentRequestedProcedureEvidenceSequence, current).bad()) abort();
         auto *other = new DcmSequenceOfItems(DCM_PertinentOtherEvidenceSequence);
         other->append(new DcmItem(*current->getItem(0)));
         if (d.insert(other).bad()) abort();
     }},
    {"unit that is not of UCUM", "R14", MEASUREMENT,
     [](DcmDataset &d) { set(first(number(d), DCM_MeasurementUnitsCodeSequence), DCM_CodingSchemeDesignator, "99X"); }},
    {"unit without code", "R14", READING,
     [](DcmDataset &d) { set(first(number(d), DCM_MeasurementUnitsCodeSequence), DCM_CodeValue, ""); }},
    {"number that is none", "R14", READING, [](DcmDataset &d) { set(number(d), DCM_NumericValue, "many"); }},
    {"no verification flag", "R15", MEASUREMENT, [](DcmDataset &d) { remove(d, DCM_VerificationFlag); }},
    {"completion flag of another word", "R15", READING, [](DcmDataset &d) { set(d, DCM_CompletionFlag, "DONE"); }},
    {"no performed procedure step", "R15", READING,
     [](DcmDataset &d) { remove(d, DCM_ReferencedPerformedProcedureStepSequence); }},
    {"no character set", "R16", MEASUREMENT, [](DcmDataset &d) { remove(d, DCM_SpecificCharacterSet); }},
    {"long station name", "R16", READING, [](DcmDataset &d) { set(d, DCM_StationName, "SEVENTEEN LETTERS"); }},
    {"long code value", "R16", READING,
     [](DcmDataset &d) {
         set(first(of_type(d, "TEXT"), DCM_ConceptNameCodeSequence), DCM_CodeValue, "SEVENTEEN_LETTERS");
     }},
    {"line feed in a name", "R16", READING, [](DcmDataset &d) { set(d, DCM_SeriesDescription, "two\nlines"); }},
    {"empty value filled", "R17", READING, [](DcmDataset &d) { set(d, DCM_ReferringPhysicianName, "Somebody"); }},
    {"accession number of another", "R17", MEASUREMENT, [](DcmDataset &d) { set(d, DCM_AccessionNumber, "ACC-8"); }},
    {"name in another case", "R17", READING, [](DcmDataset &d) { set(d, DCM_PatientName, "DOE^JANE"); }},
    {"file of more than a megabyte", "R18", READING,
     [](DcmDataset &d) { set(d, DCM_VisitComments, HUGE_TEXT.c_str()); }},
    {"temporal coordinates", "R19", MEASUREMENT, [](DcmDataset &d) { set(scoord(d), DCM_ValueType, "TCOORD"); }},
    {"waveform", "R19", MEASUREMENT, [](DcmDataset &d) { set(of_type(d, "IMAGE"), DCM_ValueType, "WAVEFORM"); }},
    {"item of an unknown type", "R20", READING, [](DcmDataset &d) { set(of_type(d, "TEXT"), DCM_ValueType, "SOUND"); }},
    {"item of an unknown relationship", "R20", READING,
     [](DcmDataset &d) { set(of_type(d, "TEXT"), DCM_RelationshipType, "BESIDE"); }},
    {"premise renamed", "C1", MEASUREMENT,
     [](DcmDataset &d) { set(first(inference(d), DCM_ConceptNameCodeSequence), DCM_CodeValue, "Q99"); }},
    {"premise of another value", "C1", MEASUREMENT,
     [](DcmDataset &d) { set(first(inference(d), DCM_ConceptCodeSequence), DCM_CodeValue, "S99"); }},
    {"library without a group", "T1", MEASUREMENT, [](DcmDataset &d) { remove_item(d, "126200"); }},
    {"bad Observation UID", "U1", MEASUREMENT, [](DcmDataset &d) { set(inference(d), DCM_ObservationUID, "1.2.x"); }},
};
} // namespace

TEST(every_clause_of_a_rule_has_a_defect_that_it_catches)
{
    const scene s;
    for (const more &m : defects)
        check_defect(s, {m.what, m.rule, m.of, [&m](DcmFileFormat &, DcmDataset &d) { m.breaks(d); }});
}

TEST(an_image_in_the_report_s_series_breaks_rule_3)
{
    const scene s;
    s.write(READING, s.report);
    DcmFileFormat file;
    REQUIRE(file.loadFile(s.report.c_str()).good());
    const std::string series = text_at(*file.getDataset(), DCM_SeriesInstanceUID);
    case_image image = case_image_default();
    image.rich = true;
    image.series = series.c_str();
    case_image_write(s.image.c_str(), &image);
    const std::vector<finding> found = s.lint({s.report, s.image});
    bool said = false;
    for (const finding &f : found) said = said || f.rule == "R3";
    CHECK(said);
}

/* A report cut off anywhere, or with rubbish in or after it, is a finding about that file; the others are still looked at. */
TEST(a_report_cut_off_or_overwritten_is_a_finding_and_the_next_file_is_still_checked)
{
    const scene s;
    cot_error err = COT_ERROR_INIT;
    char *bytes = nullptr;
    size_t size = 0;
    s.write(MEASUREMENT, s.report);
    REQUIRE_OK(cot_file_read(&bytes, &size, s.report.c_str(), 1 << 20, &err));
    s.write(READING, s.other);
    const size_t cuts[] = {0, 1, 127, 131, 132, 200, size / 2, size - 1};
    for (const size_t cut : cuts) {
        REQUIRE_OK(cot_file_write_durable(s.report.c_str(), bytes, cut, &err));
        const std::vector<finding> found = s.lint({s.report, s.other, s.image});
        REQUIRE(!found.empty());
        CHECK(found[0].file == s.report && found[0].rule == "R20" && !found[0].advice.empty());
        CHECK_NUMBER(found.size(), 1); /* nothing about the whole ones */
    }
    unsigned seed = 7;
    for (size_t i = 0; i < size; i++) bytes[i] = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
    memcpy(bytes + 128, "DICM", 4);
    REQUIRE_OK(cot_file_write_durable(s.report.c_str(), bytes, size, &err));
    CHECK_NUMBER(s.lint({s.report, s.other, s.image}).size(), 1);
    free(bytes);
}

CHECK_MAIN
