/* Rules on pictures of readings (Secondary Captures of this program), which go the same ways as reports: what viewers need to
 * show them, and what keeps anybody from taking one for an image of the patient.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"

bool lint_is_capture(DcmDataset &data)
{
    return lint_string(data, DCM_SeriesDescription) == capture_series ||
           lint_string(data, DCM_DerivationDescription) == capture_derivation ||
           lint_string(data, DCM_ImageComments).rfind(capture_comment, 0) == 0; /* more may follow */
}

/* R2 */
static void check_kind(lint_session &s, lint_report &report)
{
    const std::string modality = lint_string(report.data(), DCM_Modality);
    if (modality.empty() || modality == "SR")
        s.say("R2", report, nullptr, "Modality is not that of a picture", "set Modality (0008,0060) to OT");
    if (lint_string(report.data(), DCM_SOPClassUID) !=
        lint_string(*report.file.getMetaInfo(), DCM_MediaStorageSOPClassUID))
        s.say("R2", report, nullptr, "data set and file meta information name different SOP classes",
              "write the file meta information anew");
}

/* R13: what it was made of. */
static void check_source(lint_session &s, lint_report &report)
{
    DcmItem *item = nullptr, *second = nullptr, *purpose = nullptr;
    DcmDataset &data = report.data();
    if (data.findAndGetSequenceItem(DCM_SourceImageSequence, item, 0).bad() || !item ||
        lint_string(*item, DCM_ReferencedSOPClassUID).empty() ||
        lint_string(*item, DCM_ReferencedSOPInstanceUID).empty()) {
        s.say("R13", report, nullptr, "does not say which image it was made of",
              "name class and instance of the image in Source Image Sequence");
        return;
    }
    if (data.findAndGetSequenceItem(DCM_SourceImageSequence, second, 1).good() && second)
        s.say("R13", report, nullptr, "says that it was made of several images", "list the one that was drawn on");
    if (lint_string(*item, DCM_ReferencedSOPInstanceUID) == report.sop_instance)
        s.say("R13", report, nullptr, "names itself as its source", "name the image in Source Image Sequence");
    if (item->findAndGetSequenceItem(DCM_PurposeOfReferenceCodeSequence, purpose, 0).bad() || !purpose ||
        lint_string(*purpose, DCM_CodeValue).empty())
        s.say("R13", report, nullptr, "does not say what its source was for",
              "add (121322, DCM) as Purpose of Reference");
}

/* R15: nobody may take it for an image of the patient, or for something a person said. */
static void check_marks(lint_session &s, lint_report &report)
{
    DcmDataset &data = report.data();
    DcmItem *equipment = nullptr;
    if (lint_string(data, DCM_ImageType).compare(0, 17, "DERIVED\\SECONDARY") != 0)
        s.say("R15", report, nullptr, "Image Type does not say that it is derived", "set it to DERIVED\\SECONDARY");
    if (lint_string(data, DCM_BurnedInAnnotation) != "YES")
        s.say("R15", report, nullptr, "has text in its pixels and does not say so",
              "set Burned In Annotation (0028,0301) to YES");
    for (const DcmTagKey &key : {DCM_SeriesDescription, DCM_ImageComments}) {
        const std::string text = lint_string(data, key);
        if (text.find("AI") == std::string::npos || text.find("ot verified") == std::string::npos)
            s.say("R15", report, nullptr,
                  std::string(DcmTag(key).getTagName()) + " does not say that an AI made it and nobody verified it",
                  "say both, for viewers that show nothing else");
    }
    if (lint_string(data, DCM_ConversionType).empty())
        s.say("R15", report, nullptr, "Conversion Type is missing", "set (0008,0064) to WSD");
    if (data.findAndGetSequenceItem(DCM_ContributingEquipmentSequence, equipment, 0).bad() || !equipment ||
        lint_string(*equipment, DCM_ManufacturerModelName).empty())
        s.say("R15", report, nullptr, "does not name the model that answered", "add Contributing Equipment Sequence");
}

/* R20: pixels that every viewer can show, and all of them. */
static void check_pixels(lint_session &s, lint_report &report)
{
    static const struct {
        DcmTagKey key;
        Uint16 want;
    } numbers[] = {{DCM_SamplesPerPixel, 3}, {DCM_PlanarConfiguration, 0}, {DCM_BitsAllocated, 8}, {DCM_BitsStored, 8},
                   {DCM_HighBit, 7},         {DCM_PixelRepresentation, 0}};
    DcmDataset &data = report.data();
    DcmElement *pixels = nullptr;
    Uint16 rows = 0, columns = 0;
    for (const auto &number : numbers) {
        Uint16 value = 0;
        if (data.findAndGetUint16(number.key, value).bad() || value != number.want)
            s.say("R20", report, nullptr,
                  std::string(DcmTag(number.key).getTagName()) + " is not " + std::to_string(number.want),
                  "write RGB of 8 bits, pixel by pixel");
    }
    if (lint_string(data, DCM_PhotometricInterpretation) != "RGB")
        s.say("R20", report, nullptr, "Photometric Interpretation is not RGB", "write RGB of 8 bits, pixel by pixel");
    data.findAndGetUint16(DCM_Rows, rows);
    data.findAndGetUint16(DCM_Columns, columns);
    const size_t bytes = size_t{3} * rows * columns;
    if (!bytes || data.findAndGetElement(DCM_PixelData, pixels).bad() || !pixels ||
        pixels->getLength() != bytes + bytes % 2)
        s.say("R20", report, nullptr, "has not as many pixels as Rows and Columns say", "write the picture again");
}

void lint_capture(lint_session &s, lint_report &report)
{
    check_kind(s, report);
    check_source(s, report);
    check_marks(s, report);
    check_pixels(s, report);
}
