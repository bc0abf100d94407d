/* Everything around the content tree: series, equipment, flags, evidence, predecessor, coding schemes through DSRDocument, and
 * after its write what DCMTK 3.6.7 does not know: our UIDs, author observer, requests, contributing equipment, and the
 * patient and study attributes as the image has them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

static std::string given(const char *text, size_t characters = LONG_STRING_CHARACTERS)
{
    return text_line(text ? text : "", characters);
}

/* ---- before: what DSRDocument knows ---- */
static void set_series_and_equipment(DSRDocument &document, const report_job &job)
{
    const cot_reader &reader = job.chain->reader;
    const std::string description = job.measures()  ? "AI chest X-ray measurements, not verified"
                                    : job.refused() ? "AI chest X-ray: not analysed"
                                    : job.forced()  ? "AI reading, forced on an image outside its scope, not verified"
                                                    : "AI chest X-ray reading, not verified";
    std::string software = given(reader.program[0] ? reader.program : job.options->program_version);
    if (reader.version[0]) software += "\\" + given((std::string("model ") + reader.version).c_str());
    report_require(document.setSeriesDescription(description.c_str()), "report: series description");
    report_require(document.setSeriesNumber(std::to_string(job.options->series_number + job.measures()).c_str()),
                   "report: series number");
    report_require(document.setInstanceNumber("1"), "report: instance number");
    report_require(document.setSeriesDate(job.date.c_str()), "report: series date");
    report_require(document.setSeriesTime(job.time.c_str()), "report: series time");
    report_require(document.setContentDate(job.date.c_str()), "report: content date");
    report_require(document.setContentTime(job.time.c_str()), "report: content time");
    report_require(document.setManufacturer(job.manufacturer().c_str(), OFFalse), "report: manufacturer");
    report_require(document.setManufacturerModelName(job.model_name().c_str(), OFFalse), "report: model name");
    report_require(document.setDeviceSerialNumber(given(job.options->station).c_str(), OFFalse),
                   "report: serial number");
    report_require(document.setSoftwareVersions(software.c_str(), OFFalse), "report: software versions");
}

static void set_flags(DSRDocument &document, const report_job &job)
{
    report_require(document.setPreliminaryFlag(DSRTypes::PF_Preliminary), "report: preliminary flag");
    if (job.complete())
        report_require(document.completeDocument("AI generated; not reviewed by a physician"),
                       "report: completion flag");
}

static void add_scheme(DSRDocument &document, const report_job &job, const std::string &designator,
                       const std::string &name, const std::string &organization)
{
    const std::string uid = uid_of(job, "coding-scheme|" + designator);
    report_require(document.getCodingSchemeIdentification().addItem(designator.c_str(), uid.c_str(), name.c_str(),
                                                                    organization.c_str(), OFFalse),
                   "report: coding scheme");
}

static void add_schemes(DSRDocument &document, const report_job &job)
{
    const std::string own = given(job.steps->scheme.value, SHORT_STRING_CHARACTERS);
    const std::string name = given(job.steps->scheme.meaning), organization = given(job.steps->organization);
    if (!own.empty()) add_scheme(document, job, own, name, organization);
    if (own != COT_REPORT_SCHEME)
        add_scheme(document, job, COT_REPORT_SCHEME, "Step-CoT report sections", job.manufacturer());
}

/* A hospital's own procedure codes: whose they are, as the image has it, or that it does not say. */
static void add_image_scheme(DSRDocument &document, const report_job &job)
{
    const std::string used = context_procedure(job.source).scheme;
    if ((used.compare(0, 2, "99") != 0 && used != "L") || used == COT_REPORT_SCHEME || used == job.steps->scheme.value)
        return;
    DcmDataset head(job.source.head);
    OFString designator, uid, name = "Not identified in the image", organization;
    DcmItem *item = nullptr;
    for (signed long i = 0; head.findAndGetSequenceItem(DCM_CodingSchemeIdentificationSequence, item, i).good() && item;
         i++) {
        item->findAndGetOFString(DCM_CodingSchemeDesignator, designator);
        if (used != designator.c_str()) continue;
        item->findAndGetOFString(DCM_CodingSchemeUID, uid);
        item->findAndGetOFString(DCM_CodingSchemeName, name);
        item->findAndGetOFString(DCM_CodingSchemeResponsibleOrganization, organization);
        break;
    }
    if (DcmUniqueIdentifier::checkStringValue(uid, "1").bad()) uid.clear();
    report_require(document.getCodingSchemeIdentification().addItem(used.c_str(), uid, given(name.c_str()).c_str(),
                                                                    given(organization.c_str()).c_str(), OFFalse),
                   "report: coding scheme of the procedure");
}

static void add_evidence(DSRDocument &document, const report_source &source)
{
    report_require(document.getCurrentRequestedProcedureEvidence().addItem(source.study.c_str(), source.series.c_str(),
                                                                           source.sop_class.c_str(),
                                                                           source.sop_instance.c_str()),
                   "report: evidence");
}

void header_before_write(DSRDocument &document, const report_job &job)
{
    set_series_and_equipment(document, job);
    set_flags(document, job);
    add_schemes(document, job);
    add_image_scheme(document, job);
    add_evidence(document, job.source);
    for (const report_picture &picture : job.more) add_evidence(document, picture.source);
    const report_former &old = job.predecessor;
    if (!old.instance.empty())
        report_require(document.getPredecessorDocuments().addItem(old.study.c_str(), old.series.c_str(),
                                                                  old.sop_class.c_str(), old.instance.c_str()),
                       "report: predecessor");
}

/* ---- after: what it does not ---- */
static void put(DcmItem &item, const DcmTagKey &key, const std::string &value)
{
    report_require(item.putAndInsertString(key, value.c_str()), "report: set an attribute");
}

static DcmItem &new_item(DcmItem &parent, const DcmTagKey &sequence)
{
    DcmItem *item = nullptr;
    report_require(parent.findOrCreateSequenceItem(sequence, item, -2), "report: add a sequence item");
    return *item;
}

static void put_identity(DcmDataset &report, const report_job &job)
{
    put(report, DCM_SOPInstanceUID, job.made.sop_instance);
    put(report, DCM_SeriesInstanceUID, job.made.series);
    put(report, DCM_InstanceCreatorUID, job.device_uid);
    put(report, DCM_InstanceCreationDate, job.date);
    put(report, DCM_InstanceCreationTime, job.time);
    const std::string station = given(job.options->station, SHORT_STRING_CHARACTERS);
    if (!station.empty()) put(report, DCM_StationName, station);
}

static std::string study_completion(const report_job &job)
{
    size_t read = job.chain->state != COT_CHAIN_REFUSED;
    for (const report_picture &picture : job.more) read += picture.chain->state != COT_CHAIN_REFUSED;
    return std::to_string(read) + " of " + std::to_string(1 + job.more.size()) +
           " images read; AI generated; not reviewed by a physician";
}

/* Why a report is partial; DSRDocument takes a description for complete ones only. */
static void put_completion_text(DcmDataset &report, const report_job &job)
{
    if (job.complete()) return;
    if (!job.more.empty()) {
        put(report, DCM_CompletionFlagDescription, given(study_completion(job).c_str()));
        return;
    }
    const std::string why = job.refused() ? std::string("Not analysed: ") + job.chain->refusal_id
                            : job.forced()
                                ? std::string("Forced (") + job.chain->forced_id + "); not reviewed by a physician"
                                : std::to_string(job.steps_available()) + " of " + std::to_string(job.chain->n_steps) +
                                      " steps; AI generated; not reviewed by a physician";
    put(report, DCM_CompletionFlagDescription, given(why.c_str()));
}

/* Identified Person or Device: a device made these observations, no person. */
static void put_author(DcmDataset &report, const report_job &job)
{
    DcmItem &author = new_item(report, DCM_AuthorObserverSequence);
    put(author, DCM_ObserverType, "DEV");
    const std::string station = given(job.options->station, SHORT_STRING_CHARACTERS);
    if (!station.empty()) put(author, DCM_StationName, station);
    put(author, DCM_DeviceUID, job.device_uid);
    put(author, DCM_Manufacturer, job.manufacturer());
    put(author, DCM_ManufacturerModelName, job.model_name());
    report_require(author.insertEmptyElement(DCM_InstitutionName), "report: author");
    report_require(author.insertEmptyElement(DCM_InstitutionCodeSequence), "report: author");
}

/* The algorithm as equipment, so that archives can find reports by model. */
static void put_contributing_equipment(DcmDataset &report, const report_job &job)
{
    const cot_reader &reader = job.chain->reader;
    if (job.refused() || !reader.name[0]) return;
    DcmItem &equipment = new_item(report, DCM_ContributingEquipmentSequence);
    DcmItem &purpose = new_item(equipment, DCM_PurposeOfReferenceCodeSequence);
    put(purpose, DCM_CodeValue, "109102");
    put(purpose, DCM_CodingSchemeDesignator, "DCM");
    put(purpose, DCM_CodeMeaning, "Processing Equipment");
    put(equipment, DCM_Manufacturer, job.manufacturer());
    put(equipment, DCM_ManufacturerModelName, given(reader.name));
    if (reader.version[0]) put(equipment, DCM_SoftwareVersions, given(reader.version));
    put(equipment, DCM_ContributionDescription, "Neural network that answered the steps");
}

static void copy_or_empty(DcmItem &to, DcmItem &from, const DcmTagKey &key, DcmItem *fallback = nullptr)
{
    if (from.findAndInsertCopyOfElement(key, &to).good()) return;
    if (fallback && fallback->findAndInsertCopyOfElement(key, &to).good()) return;
    report_require(to.insertEmptyElement(key), "report: request");
}

static void copy_if_there(DcmItem &to, DcmItem &from, const DcmTagKey &key)
{
    if (from.tagExists(key)) report_require(from.findAndInsertCopyOfElement(key, &to), "report: request");
}

/* Request Attributes of the image -> Referenced Request of the report (PS3.3 C.17.2), so that a RIS can match it. */
static void put_requests(DcmDataset &report, const report_job &job)
{
    DcmDataset head(job.source.head);
    DcmItem *request = nullptr;
    for (signed long i = 0; head.findAndGetSequenceItem(DCM_RequestAttributesSequence, request, i).good() && request;
         i++) {
        DcmItem &item = new_item(report, DCM_ReferencedRequestSequence);
        OFString study;
        request->findAndGetOFString(DCM_StudyInstanceUID, study);
        put(item, DCM_StudyInstanceUID, study.empty() ? job.source.study : study.c_str());
        copy_or_empty(item, *request, DCM_ReferencedStudySequence);
        copy_or_empty(item, *request, DCM_AccessionNumber, &head);
        copy_or_empty(item, *request, DCM_PlacerOrderNumberImagingServiceRequest, &head);
        copy_or_empty(item, *request, DCM_FillerOrderNumberImagingServiceRequest, &head);
        copy_or_empty(item, *request, DCM_RequestedProcedureID);
        copy_or_empty(item, *request, DCM_RequestedProcedureDescription);
        copy_or_empty(item, *request, DCM_RequestedProcedureCodeSequence);
        copy_if_there(item, *request, DCM_IssuerOfAccessionNumberSequence);
        copy_if_there(item, *request, DCM_ReasonForTheRequestedProcedure);
        copy_if_there(item, *request, DCM_ReasonForRequestedProcedureCodeSequence);
    }
}

void header_of_image(DcmDataset &image, const report_job &job)
{
    DcmDataset head(job.source.head);
    source_copy_modules(job.source, image);
    put_identity(image, job);
    put_contributing_equipment(image, job);
    copy_if_there(image, head, DCM_RequestAttributesSequence);
}

void header_after_write(DcmDataset &report, const report_job &job)
{
    source_copy_modules(job.source, report);
    put_identity(report, job);
    put_completion_text(report, job);
    put_author(report, job);
    put_contributing_equipment(report, job);
    put_requests(report, job);
}
