/* The image's header as far as a report needs it: who the patient is, which study this belongs to, what was asked for.
 * Only those attributes are taken, each with the value representation of the dictionary and of bounded length, converted to
 * UTF-8 and then copied as they are, empty ones too. The file has passed guard.c; its pixels are never touched.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

/* PS3.3 C.7.1.1 Patient, C.7.1.3 Clinical Trial Subject, C.7.2.1 General Study, C.7.2.2 Patient Study,
 * C.7.2.3 Clinical Trial Study, and of C.12.1 SOP Common what qualifies those (time zone, shifted dates). */
static const DcmTagKey module_tags[] = {
    DCM_PatientName,
    DCM_PatientID,
    DCM_IssuerOfPatientID,
    DCM_IssuerOfPatientIDQualifiersSequence,
    DCM_TypeOfPatientID,
    DCM_PatientBirthDate,
    DCM_PatientBirthTime,
    DCM_PatientSex,
    DCM_OtherPatientNames,
    DCM_OtherPatientIDsSequence,
    DCM_ReferencedPatientSequence,
    DCM_SourcePatientGroupIdentificationSequence,
    DCM_GroupOfPatientsIdentificationSequence,
    DCM_EthnicGroup,
    DCM_PatientComments,
    DCM_PatientSpeciesDescription,
    DCM_PatientSpeciesCodeSequence,
    DCM_PatientBreedDescription,
    DCM_PatientBreedCodeSequence,
    DCM_BreedRegistrationSequence,
    DCM_ResponsiblePerson,
    DCM_ResponsiblePersonRole,
    DCM_ResponsibleOrganization,
    DCM_PatientIdentityRemoved,
    DCM_DeidentificationMethod,
    DCM_DeidentificationMethodCodeSequence,
    DCM_ClinicalTrialSponsorName,
    DCM_ClinicalTrialProtocolID,
    DCM_ClinicalTrialProtocolName,
    DCM_ClinicalTrialSiteID,
    DCM_ClinicalTrialSiteName,
    DCM_ClinicalTrialSubjectID,
    DCM_ClinicalTrialSubjectReadingID,
    DCM_ClinicalTrialProtocolEthicsCommitteeName,
    DCM_ClinicalTrialProtocolEthicsCommitteeApprovalNumber,
    DCM_StudyDate,
    DCM_StudyTime,
    DCM_ReferringPhysicianName,
    DCM_ReferringPhysicianIdentificationSequence,
    DCM_ConsultingPhysicianName,
    DCM_ConsultingPhysicianIdentificationSequence,
    DCM_StudyID,
    DCM_AccessionNumber,
    DCM_IssuerOfAccessionNumberSequence,
    DCM_StudyDescription,
    DCM_PhysiciansOfRecord,
    DCM_PhysiciansOfRecordIdentificationSequence,
    DCM_NameOfPhysiciansReadingStudy,
    DCM_PhysiciansReadingStudyIdentificationSequence,
    DCM_RequestingServiceCodeSequence,
    DCM_ReferencedStudySequence,
    DCM_ProcedureCodeSequence,
    DCM_ReasonForPerformedProcedureCodeSequence,
    DCM_AdmittingDiagnosesDescription,
    DCM_AdmittingDiagnosesCodeSequence,
    DCM_PatientAge,
    DCM_PatientSize,
    DCM_PatientSizeCodeSequence,
    DCM_PatientWeight,
    DCM_PatientBodyMassIndex,
    DCM_MeasuredAPDimension,
    DCM_MeasuredLateralDimension,
    DCM_MedicalAlerts,
    DCM_Allergies,
    DCM_SmokingStatus,
    DCM_PregnancyStatus,
    DCM_LastMenstrualDate,
    DCM_PatientState,
    DCM_Occupation,
    DCM_AdditionalPatientHistory,
    DCM_AdmissionID,
    DCM_IssuerOfAdmissionIDSequence,
    DCM_ReasonForVisit,
    DCM_ReasonForVisitCodeSequence,
    DCM_ServiceEpisodeID,
    DCM_IssuerOfServiceEpisodeIDSequence,
    DCM_ServiceEpisodeDescription,
    DCM_PatientSexNeutered,
    DCM_ClinicalTrialTimePointID,
    DCM_ClinicalTrialTimePointDescription,
    DCM_ConsentForClinicalTrialUseSequence,
    DCM_TimezoneOffsetFromUTC,
    DCM_LongitudinalTemporalInformationModified,
};
/* Needed to write the report, but not copied to its top level. */
static const DcmTagKey working_tags[] = {
    DCM_StudyInstanceUID,
    DCM_RequestAttributesSequence,
    DCM_CodingSchemeIdentificationSequence,
    DCM_PlacerOrderNumberImagingServiceRequest,
    DCM_FillerOrderNumberImagingServiceRequest,
};
/* What an image library (TID 1602) tells, and a picture made of the image; report_library.cc and capture.cc take what is there. */
static const DcmTagKey library_tags[] = {
    DCM_ContentDate,
    DCM_ContentTime,
    DCM_AcquisitionDate,
    DCM_AcquisitionTime,
    DCM_PatientOrientation,
    DCM_PixelSpacing,
    DCM_ImagerPixelSpacing,
    DCM_ImageLaterality,
    DCM_LossyImageCompression,
    DCM_LossyImageCompressionRatio,
    DCM_LossyImageCompressionMethod,
};
/* A report without these would belong to nobody: a damaged one is refused, other damaged attributes are left out. */
static const DcmTagKey identity_tags[] = {
    DCM_PatientName, DCM_PatientID, DCM_IssuerOfPatientID, DCM_PatientBirthDate, DCM_PatientSex, DCM_AccessionNumber,
};
/* These say whose study it is: copied as they are even where they break their format. */
static const DcmTagKey as_they_are[] = {DCM_PatientBirthDate, DCM_PatientSex, DCM_StudyDate, DCM_StudyTime};
enum : Uint32 { ATTRIBUTE_BYTES = 64 * 1024 };

template <size_t n> static bool listed(const DcmTagKey (&tags)[n], const DcmTagKey &key)
{
    return std::find(tags, tags + n, key) != tags + n;
}

static std::string tag_text(const DcmTagKey &key)
{
    DcmTag tag(key);
    return std::string(tag.getTagName()) + " " + key.toString().c_str();
}

/* Ages, dates, numbers and codes have a format; "62" is no Patient's Age, and would make the report as faulty as the image. */
static bool well_formed(DcmElement &element)
{
    switch (element.ident()) {
    case EVR_AS:
    case EVR_CS:
    case EVR_DA:
    case EVR_DS:
    case EVR_DT:
    case EVR_IS:
    case EVR_TM:
    case EVR_UI: return element.checkValue("1-n").good();
    default: return true;
    }
}

/* A text sent with another text's value representation is taken over under the right one. */
static void copy_attribute(DcmItem &to, DcmItem &from, const DcmTagKey &key)
{
    DcmElement *element = nullptr;
    if (from.findAndGetElement(key, element).bad() || !element) return;
    const bool small = element->getLength(EXS_LittleEndianExplicit) <= ATTRIBUTE_BYTES;
    const bool same_kind = DcmVR(element->getVR()).getEVR() == DcmTag(key).getEVR();
    char *text = nullptr;
    if (small && same_kind) {
        if (!well_formed(*element) && !listed(as_they_are, key)) return;
        report_require(from.findAndInsertCopyOfElement(key, &to), "image header: copy an attribute");
    } else if (small && element->isaString() && DcmTag(key).getEVR() != EVR_SQ && element->getString(text).good()) {
        report_require(to.putAndInsertString(key, text ? text : ""), "image header: copy a text");
    } else if (listed(identity_tags, key)) {
        report_fail(COT_E_INPUT, "image header: " + tag_text(key) +
                                     (small ? " has a wrong value representation" : " is far too long") +
                                     ". Correct it at the sender");
    }
}

/* Whether `wanted` holds for a text somewhere below the item. */
static bool any_text(DcmItem &item, bool (*wanted)(const std::string &))
{
    for (unsigned long i = 0; i < item.card(); i++) {
        DcmElement *element = item.getElement(i);
        char *text = nullptr;
        Uint32 size = 0;
        if (element->ident() == EVR_SQ) {
            auto *sequence = static_cast<DcmSequenceOfItems *>(element);
            for (unsigned long k = 0; k < sequence->card(); k++)
                if (any_text(*sequence->getItem(k), wanted)) return true;
        } else if (element->isaString() && element->getString(text, size).good() && text) {
            if (wanted(std::string(text, size))) return true;
        }
    }
    return false;
}

static bool is_escaped(const std::string &text)
{
    return text.find('\x1b') != std::string::npos;
}

static bool is_non_ascii(const std::string &text)
{
    return is_escaped(text) || std::any_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

static bool is_not_utf8(const std::string &text)
{
    return is_escaped(text) || !text_utf8_valid(text);
}

static void declare(report_source &source, const DcmDataset &original, const char *set)
{
    source.head = original;
    report_require(source.head.putAndInsertString(DCM_SpecificCharacterSet, set), "image header: character set");
}

/* Declared character set first. Devices that lie about it exist, and there are names that no list has: what then is valid
 * UTF-8 is that, anything else loses no byte as Latin-1, and the report says so. */
static void convert_text(report_source &source, const DcmDataset &original)
{
    if (source.head.convertToUTF8().good()) return;
    source.head = original;
    if (japanese_to_utf8(source.head)) return;
    source.head = original;
    const bool guesses = any_text(source.head, is_non_ascii);
    const bool utf8 = !any_text(source.head, is_not_utf8);
    declare(source, original, utf8 ? "ISO_IR 192" : "ISO_IR 100");
    if (guesses) source.guessed_character_set = utf8 ? "UTF-8" : "Latin-1";
    const OFCondition condition = source.head.convertToUTF8();
    if (condition.bad())
        report_fail(COT_E_INPUT,
                    std::string("image header: its text cannot be converted to UTF-8 (") + condition.text() + ")");
}

/* YYYYMMDD as a number; false when there is none. */
static bool date_read(DcmItem &item, const DcmTagKey &key, long &date)
{
    OFString value;
    item.findAndGetOFString(key, value);
    if (value.length() != 8 || value.find_first_not_of("0123456789") != OFString_npos) return false;
    date = std::strtol(value.c_str(), nullptr, 10);
    return true;
}

/* Either of the two is enough: ages are typed in wrong, birth dates are shifted. */
static bool is_child(DcmItem &head)
{
    OFString age;
    long birth = 0, study = 0;
    head.findAndGetOFString(DCM_PatientAge, age);
    const bool has_age =
        age.length() == 4 && age.find_first_not_of("0123456789") == 3 && std::strchr("DWMY", age[3]) != nullptr;
    const long n = std::strtol(age.c_str(), nullptr, 10);
    const long units_in_18_years = !has_age ? 0 : age[3] == 'Y' ? 18 : age[3] == 'M' ? 216 : age[3] == 'W' ? 939 : 6574;
    if (n < units_in_18_years) return true;
    return date_read(head, DCM_PatientBirthDate, birth) && date_read(head, DCM_StudyDate, study) && birth <= study &&
           study - birth < 180000;
}

static std::string uid_read(DcmItem &item, const DcmTagKey &key)
{
    OFString value;
    item.findAndGetOFString(key, value);
    if (value.empty())
        report_fail(COT_E_INPUT,
                    "image header: " + tag_text(key) + " is missing or empty, so no report can refer to it");
    if (DcmUniqueIdentifier::checkStringValue(value, "1").bad())
        report_fail(COT_E_INPUT, "image header: " + tag_text(key) + " is not a valid UID");
    return value.c_str();
}

static std::string line_read(DcmItem &item, const DcmTagKey &key)
{
    OFString value;
    item.findAndGetOFString(key, value);
    return text_line(value.c_str(), SHORT_STRING_CHARACTERS);
}

/* An Integer String as a number; "" when it is none. */
static std::string integer_read(DcmItem &item, const DcmTagKey &key)
{
    Sint32 value = 0;
    return item.findAndGetSint32(key, value).good() ? std::to_string(value) : "";
}

static std::string count_read(DcmItem &item, const DcmTagKey &key)
{
    Uint16 value = 0;
    return item.findAndGetUint16(key, value).good() ? std::to_string(value) : "";
}

void source_read(report_source &source, const char *path)
{
    DcmFileFormat file;
    const OFCondition condition =
        file.loadFileUntilTag(path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_autoDetect, DCM_PixelData);
    if (condition.bad()) report_fail(COT_E_INPUT, std::string("image header: ") + condition.text());
    DcmDataset &image = *file.getDataset();
    source.sop_class = uid_read(image, DCM_SOPClassUID);
    source.sop_instance = uid_read(image, DCM_SOPInstanceUID);
    source.series = uid_read(image, DCM_SeriesInstanceUID);
    source.study = uid_read(image, DCM_StudyInstanceUID);
    source.modality = line_read(image, DCM_Modality);
    source.body_part = line_read(image, DCM_BodyPartExamined);
    source.view_position = line_read(image, DCM_ViewPosition);
    source.series_number = integer_read(image, DCM_SeriesNumber);
    source.instance_number = integer_read(image, DCM_InstanceNumber);
    source.rows = count_read(image, DCM_Rows);
    source.columns = count_read(image, DCM_Columns);
    source.transfer_syntax = DcmXfer(image.getOriginalXfer()).getXferName();
    DcmDataset original;
    copy_attribute(original, image, DCM_SpecificCharacterSet);
    for (const DcmTagKey &key : module_tags) copy_attribute(original, image, key);
    for (const DcmTagKey &key : working_tags) copy_attribute(original, image, key);
    for (const DcmTagKey &key : library_tags) copy_attribute(source.acquisition, image, key);
    source.head = original;
    convert_text(source, original);
    source.child = is_child(source.head);
}

void source_copy_modules(const report_source &source, DcmItem &report)
{
    DcmDataset head(source.head); /* DCMTK's look-ups are not const */
    for (const DcmTagKey &key : module_tags)
        if (head.tagExists(key))
            report_require(head.findAndInsertCopyOfElement(key, &report), "report: copy an attribute");
}

/* Referenced Request is made of the image's Request Attributes. */
bool source_takes_over(const DcmTagKey &key)
{
    return listed(module_tags, key) || key == DCM_ReferencedRequestSequence;
}
