/* links: dicom config
 * Lint of the pictures of readings: a good one passes, each defect is named by its rule, and an image that is itself a
 * Secondary Capture is no picture of a reading. SPDX-License-Identifier: Apache-2.0 */
#include "lint_scene.h"

namespace
{
struct capture_scene : scene {
    capture_scene()
    {
        cot_error err = COT_ERROR_INIT;
        cot_report_made made;
        cot_report_options options = case_options();
        options.kind = COT_REPORT_CAPTURE;
        cot_chain *chain = case_chain(steps, true);
        case_evidence(chain);
        CHECK_OK(cot_capture_write(&made, report.c_str(), image.c_str(), CASE_DIGEST, chain, steps, &options, CASE_NOW,
                                   &err));
        cot_chain_destroy(chain);
    }
};

struct defect {
    const char *what, *rule;
    void (*breaks)(DcmDataset &d);
};
void number(DcmItem &d, const DcmTagKey &key, Uint16 value)
{
    if (d.putAndInsertUint16(key, value).bad()) abort();
}
} // namespace

static const defect defects[] = {
    {"modality of reports", "R2", [](DcmDataset &d) { set(d, DCM_Modality, "SR"); }},
    {"no source", "R13", [](DcmDataset &d) { remove(d, DCM_SourceImageSequence); }},
    {"source without instance", "R13",
     [](DcmDataset &d) { first(d, DCM_SourceImageSequence).findAndDeleteElement(DCM_ReferencedSOPInstanceUID); }},
    {"two sources", "R13",
     [](DcmDataset &d) {
         DcmItem *item = nullptr;
         d.findOrCreateSequenceItem(DCM_SourceImageSequence, item, -2);
     }},
    {"no purpose", "R13",
     [](DcmDataset &d) { first(d, DCM_SourceImageSequence).findAndDeleteElement(DCM_PurposeOfReferenceCodeSequence); }},
    {"an original", "R15", [](DcmDataset &d) { set(d, DCM_ImageType, "ORIGINAL\\PRIMARY"); }},
    {"no text in its pixels", "R15", [](DcmDataset &d) { set(d, DCM_BurnedInAnnotation, "NO"); }},
    {"silent about AI", "R15", [](DcmDataset &d) { set(d, DCM_ImageComments, "A picture"); }},
    {"series silent about AI", "R15", [](DcmDataset &d) { set(d, DCM_SeriesDescription, "Chest"); }},
    {"no conversion type", "R15", [](DcmDataset &d) { remove(d, DCM_ConversionType); }},
    {"no model", "R15", [](DcmDataset &d) { remove(d, DCM_ContributingEquipmentSequence); }},
    {"control character", "R16", [](DcmDataset &d) { set(d, DCM_DeviceSerialNumber, "A\x01"); }},
    {"another patient", "R17", [](DcmDataset &d) { set(d, DCM_PatientID, "OTHER"); }},
    {"another study", "R17", [](DcmDataset &d) { set(d, DCM_StudyInstanceUID, "2.25.9"); }},
    {"rows too many", "R20", [](DcmDataset &d) { number(d, DCM_Rows, 9999); }},
    {"no columns", "R20", [](DcmDataset &d) { number(d, DCM_Columns, 0); }},
    {"grey", "R20", [](DcmDataset &d) { set(d, DCM_PhotometricInterpretation, "MONOCHROME2"); }},
    {"plane by plane", "R20", [](DcmDataset &d) { number(d, DCM_PlanarConfiguration, 1); }},
    {"no pixels", "R20", [](DcmDataset &d) { remove(d, DCM_PixelData); }},
};

TEST(good_capture_passes_beside_its_image_and_alone)
{
    const capture_scene s;
    check_clean("beside its image", s.lint({s.report, s.image}));
    check_clean("alone", s.lint({s.report}));
    s.write(READING, s.other);
    check_clean("beside the reading", s.lint({s.report, s.other, s.image}));
}

TEST(each_defect_of_a_capture_is_named_by_its_rule)
{
    const capture_scene s;
    for (const defect &d : defects) {
        DcmFileFormat file;
        bool named = false;
        REQUIRE(file.loadFile(s.report.c_str()).good());
        file.loadAllDataIntoMemory();
        d.breaks(*file.getDataset());
        REQUIRE(file.saveFile(s.other.c_str(), EXS_LittleEndianExplicit).good());
        const std::vector<finding> found = s.lint({s.other, s.image});
        for (const finding &f : found) named = named || (f.rule == d.rule && !f.what.empty() && !f.advice.empty());
        check_count++;
        if (!named) CHECK_FAIL_("%s: %s is not among %zu findings", d.what, d.rule, found.size());
    }
}

TEST(captures_in_one_series_break_rule_3)
{
    const capture_scene s;
    DcmFileFormat file;
    REQUIRE(file.loadFile(s.report.c_str()).good());
    REQUIRE(file.saveFile(s.other.c_str(), EXS_LittleEndianExplicit).good());
    const std::vector<finding> found = s.lint({s.report, s.other});
    REQUIRE(found.size() == 2);
    CHECK(found[0].rule == "R3" && found[1].rule == "R3");
}

/* A digitized film is received as Secondary Capture too: reports about it are compared with it, it is not judged. */
TEST(image_that_is_a_secondary_capture_is_no_picture_of_a_reading)
{
    const scene s;
    DcmFileFormat file;
    s.write(READING, s.report);
    REQUIRE(file.loadFile(s.image.c_str()).good());
    file.loadAllDataIntoMemory();
    set(*file.getDataset(), DCM_SOPClassUID, UID_SecondaryCaptureImageStorage);
    REQUIRE(file.saveFile(s.other.c_str(), EXS_LittleEndianExplicit).good());
    check_clean("a film", s.lint({s.report, s.other}));
}

CHECK_MAIN
