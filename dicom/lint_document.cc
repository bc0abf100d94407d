/* Rules on the document around the tree: what it is, what it refers to, how it is flagged, which schemes it uses, whether DCMTK
 * reads it, and whether its patient and study are the image's. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/report_concepts.h"

static bool is_measurement_class(const std::string &sop_class)
{
    return sop_class == UID_ComprehensiveSRStorage || sop_class == UID_Comprehensive3DSRStorage;
}

/* R2, R4 */
static void check_kind(lint_session &s, lint_report &report)
{
    const bool text_class = report.sop_class == UID_BasicTextSRStorage || report.sop_class == UID_EnhancedSRStorage;
    if (lint_string(report.data(), DCM_Modality) != "SR")
        s.say("R2", report, nullptr, "Modality is not SR", "set Modality (0008,0060) to SR");
    if (!text_class && !is_measurement_class(report.sop_class))
        s.say("R2", report, nullptr, "viewers do not open this SOP class",
              "use Basic Text, Enhanced, Comprehensive or Comprehensive 3D SR");
    if (lint_string(report.data(), DCM_SOPClassUID) !=
        lint_string(*report.file.getMetaInfo(), DCM_MediaStorageSOPClassUID))
        s.say("R2", report, nullptr, "data set and file meta information name different SOP classes",
              "write the file meta information anew");
    if (report.measurement && text_class)
        s.say("R4", report, &report.root, "a measurement report in a SOP class for text",
              "use Comprehensive or Comprehensive 3D SR");
    if (!report.measurement && is_measurement_class(report.sop_class))
        s.say("R4", report, &report.root, "the root is not (126000, DCM), so that viewers show no regions",
              "title it Imaging Measurement Report, or use Enhanced SR");
    if (report.measurement && report.root.tid != "DCMR/1500")
        s.say("R4", report, &report.root, "the root does not name template 1500 of DCMR",
              "add its Content Template Sequence");
    if (report.root.type != "CONTAINER")
        s.say("R4", report, &report.root, "the root is no container", "begin the tree with a CONTAINER");
}

/* ---- R13: evidence ---- */
static void collect_references(const lint_report &report, std::map<std::string, const lint_item *> &referenced)
{
    for (const lint_item *item : report.items) {
        DcmItem *sop = nullptr;
        if (item->data->findAndGetSequenceItem(DCM_ReferencedSOPSequence, sop, 0).good() && sop)
            referenced.emplace(lint_string(*sop, DCM_ReferencedSOPInstanceUID), item);
    }
}

static void collect_evidence(DcmItem &data, const DcmTagKey &key, const std::string &study,
                             std::map<std::string, size_t> &evidence, bool &stray)
{
    DcmItem *of_study = nullptr, *series = nullptr, *sop = nullptr;
    for (signed long i = 0; data.findAndGetSequenceItem(key, of_study, i).good() && of_study; i++) {
        stray = stray || (key == DCM_CurrentRequestedProcedureEvidenceSequence &&
                          lint_string(*of_study, DCM_StudyInstanceUID) != study);
        for (signed long k = 0;
             of_study->findAndGetSequenceItem(DCM_ReferencedSeriesSequence, series, k).good() && series; k++)
            for (signed long m = 0; series->findAndGetSequenceItem(DCM_ReferencedSOPSequence, sop, m).good() && sop;
                 m++)
                evidence[lint_string(*sop, DCM_ReferencedSOPInstanceUID)]++;
    }
}

static void check_evidence(lint_session &s, lint_report &report)
{
    std::map<std::string, const lint_item *> referenced;
    std::map<std::string, size_t> evidence;
    bool stray = false;
    collect_references(report, referenced);
    collect_evidence(report.data(), DCM_CurrentRequestedProcedureEvidenceSequence, report.study, evidence, stray);
    collect_evidence(report.data(), DCM_PertinentOtherEvidenceSequence, report.study, evidence, stray);
    for (const auto &reference : referenced)
        if (!evidence.count(reference.first))
            s.say("R13", report, reference.second, "refers to an instance that the evidence does not list",
                  "list it in Current Requested Procedure Evidence Sequence");
    for (const auto &entry : evidence) {
        if (entry.second > 1)
            s.say("R13", report, nullptr, "the evidence lists an instance twice", "list every instance once");
        if (!referenced.count(entry.first))
            s.say("R13", report, nullptr, "the evidence lists an instance that no item refers to",
                  "list what the report refers to, and nothing else");
    }
    if (stray)
        s.say("R13", report, nullptr, "Current Requested Procedure Evidence names another study",
              "put instances of other studies into Pertinent Other Evidence Sequence");
}

/* ---- R15: flags ---- */
static void check_flags(lint_session &s, lint_report &report)
{
    DcmDataset &data = report.data();
    const std::string completion = lint_string(data, DCM_CompletionFlag),
                      verification = lint_string(data, DCM_VerificationFlag);
    if (completion != "COMPLETE" && completion != "PARTIAL")
        s.say("R15", report, nullptr, "Completion Flag is neither COMPLETE nor PARTIAL", "set (0040,A491)");
    if (verification != "VERIFIED" && verification != "UNVERIFIED")
        s.say("R15", report, nullptr, "Verification Flag is neither VERIFIED nor UNVERIFIED", "set (0040,A493)");
    DcmItem *observer = nullptr;
    if (verification == "VERIFIED" &&
        (data.findAndGetSequenceItem(DCM_VerifyingObserverSequence, observer, 0).bad() || !observer))
        s.say("R15", report, nullptr, "is VERIFIED by nobody", "name the Verifying Observer, or say UNVERIFIED");
    for (const DcmTagKey &key : {DCM_ReferencedPerformedProcedureStepSequence, DCM_PerformedProcedureCodeSequence})
        if (!data.tagExists(key))
            s.say("R15", report, nullptr, std::string(DcmTag(key).getTagName()) + " is missing",
                  "add it, empty when nothing is known");
}

/* ---- S1: private schemes say whose they are ---- */
static void check_schemes(lint_session &s, lint_report &report)
{
    std::set<std::string> known, said;
    DcmItem *scheme = nullptr;
    for (signed long i = 0;
         report.data().findAndGetSequenceItem(DCM_CodingSchemeIdentificationSequence, scheme, i).good() && scheme; i++)
        known.insert(lint_string(*scheme, DCM_CodingSchemeDesignator));
    for (const lint_item *item : report.items)
        for (const lint_code *code : {&item->name, &item->value})
            if (code->scheme.compare(0, 2, "99") == 0 && !known.count(code->scheme) && said.insert(code->scheme).second)
                s.say("S1", report, item, "uses a private coding scheme that the document does not identify",
                      "add it to Coding Scheme Identification Sequence");
}

/* ---- R20: another reader ---- */
static void check_dcmtk(lint_session &s, lint_report &report)
{
    DSRDocument document;
    const OFCondition condition = document.read(report.data());
    if (condition.bad())
        s.say("R20", report, nullptr, std::string("DCMTK does not accept it: ") + condition.text(),
              "run dsrdump on the file: it names the item");
    else if (!document.isValid())
        s.say("R20", report, nullptr, "DCMTK finds the document incomplete", "run dsrdump on the file");
}

void lint_document(lint_session &s, lint_report &report)
{
    check_kind(s, report);
    check_evidence(s, report);
    check_flags(s, report);
    check_schemes(s, report);
    check_dcmtk(s, report);
}

/* ---- R17: patient and study ---- */
static std::vector<DcmTagKey> differences(lint_report &report, const lint_image &image)
{
    DcmDataset expected;
    std::vector<DcmTagKey> found;
    source_copy_modules(image.source, expected);
    for (unsigned long i = 0; i < expected.card(); i++) {
        DcmElement *want = expected.getElement(i), *got = nullptr;
        const DcmTagKey key = want->getTag();
        if (report.data().findAndGetElement(key, got).bad() || !got || got->compare(*want) != 0) found.push_back(key);
    }
    return found;
}

/* A report of several images has the attributes of one of them; images of one study differ in what was typed in. */
static void compare(lint_session &s, lint_report &report, const std::vector<const lint_image *> &images)
{
    std::vector<DcmTagKey> fewest;
    for (size_t i = 0; i < images.size(); i++) {
        const std::vector<DcmTagKey> found = differences(report, *images[i]);
        if (i == 0 || found.size() < fewest.size()) fewest = found;
        if (report.study != images[i]->source.study)
            s.say("R17", report, nullptr, "lies in another study than the image it is about",
                  "take Study Instance UID from the image");
        DcmDataset head(images[i]->source.head);
        if (images.size() > 1 && lint_string(head, DCM_PatientID) != lint_string(report.data(), DCM_PatientID))
            s.say("R17", report, nullptr, "is about an image of another patient", "report each patient by itself");
    }
    for (const DcmTagKey &key : fewest)
        s.say("R17", report, nullptr, std::string(DcmTag(key).getTagName()) + " differs from the image's",
              "copy it from the image as it is, also when it is empty");
}

void lint_source(lint_session &s, lint_report &report)
{
    std::map<std::string, const lint_item *> referenced;
    DcmItem *made_of = nullptr;
    collect_references(report, referenced);
    if (report.capture && report.data().findAndGetSequenceItem(DCM_SourceImageSequence, made_of, 0).good() && made_of)
        referenced.emplace(lint_string(*made_of, DCM_ReferencedSOPInstanceUID), nullptr);
    std::vector<const lint_image *> images;
    for (const auto &reference : referenced)
        if (const lint_image *image = s.image(reference.first)) images.push_back(image);
    compare(s, report, images);
}
