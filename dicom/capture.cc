/* A reading as Secondary Capture: for viewers and archives that show no Structured Reports. The image is decoded, drawn with
 * its regions and steps (capture_draw.c), and filed in its patient and study in a series of its own. Its UIDs name the very
 * pixels: fonts differ between machines, and one UID must not have two contents. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/capture.h"
#include "dicom/report_internal.h"
#include "dicom/translate.h"

#include <cstdlib>
#include <cstring>
#include <memory>

static void put(DcmItem &item, const DcmTagKey &key, const std::string &value)
{
    report_require(item.putAndInsertString(key, value.c_str()), "capture: set an attribute");
}

static void put_number(DcmItem &item, const DcmTagKey &key, size_t value)
{
    report_require(item.putAndInsertUint16(key, static_cast<Uint16>(value)), "capture: set an attribute");
}

/* ---- the pixels ---- */
struct canvas : capture_canvas {
    canvas() : capture_canvas{} {}
    ~canvas() { std::free(rgb); }
    canvas(const canvas &) = delete;
    canvas &operator=(const canvas &) = delete;
    size_t bytes() const { return rows * cols * 3; }
};

static void draw(canvas &out, const report_job &job, const char *source)
{
    cot_error err = COT_ERROR_INIT;
    cot_dicom_image *decoded = nullptr;
    if (cot_dicom_image_create(&decoded, source, &err) != COT_OK) report_fail(err.status, err.text);
    const std::unique_ptr<cot_dicom_image, void (*)(cot_dicom_image *)> image(decoded, cot_dicom_image_destroy);
    capture_picture picture = {};
    picture.grey = cot_dicom_image_pixels(decoded, &picture.rows, &picture.cols);
    if (job.chain->rows && (job.chain->rows != picture.rows || job.chain->cols != picture.cols))
        report_fail(COT_E_BUG, "capture: the reading is of an image of another size");
    if (capture_draw(&out, job.chain, job.steps, &picture, job.options->capture_steps, &err) != COT_OK)
        report_fail(err.status, err.text);
}

/* ---- the modules ---- */
static void put_series_and_equipment(DcmDataset &set, const report_job &job)
{
    const cot_reader &reader = job.chain->reader;
    const auto line = [](const char *text) { return text_line(text ? text : "", LONG_STRING_CHARACTERS); };
    put(set, DCM_Modality, "OT");
    put(set, DCM_BodyPartExamined, "CHEST"); /* nothing else is read */
    put(set, DCM_StudyInstanceUID, job.source.study);
    put(set, DCM_SeriesDescription, "AI chest X-ray reading as a picture, not verified");
    put(set, DCM_SeriesNumber, std::to_string(job.options->series_number + 2));
    put(set, DCM_SeriesDate, job.date);
    put(set, DCM_SeriesTime, job.time);
    put(set, DCM_Manufacturer, job.manufacturer());
    put(set, DCM_ManufacturerModelName, job.model_name());
    put(set, DCM_DeviceSerialNumber, line(job.options->station));
    std::string software = line(reader.program[0] ? reader.program : job.options->program_version);
    if (reader.version[0]) software += "\\" + line((std::string("model ") + reader.version).c_str());
    put(set, DCM_SoftwareVersions, software);
    put(set, DCM_ConversionType, "WSD");
    put(set, DCM_DateOfSecondaryCapture, job.date);
    put(set, DCM_TimeOfSecondaryCapture, job.time);
    put(set, DCM_SecondaryCaptureDeviceManufacturer, job.manufacturer());
    put(set, DCM_SecondaryCaptureDeviceManufacturerModelName, job.model_name());
}

/* Type 2 in the modules of patient and study: there, and empty where the image has none. */
static void put_empty(DcmDataset &set)
{
    for (const DcmTagKey &key : {DCM_PatientName, DCM_PatientID, DCM_PatientBirthDate, DCM_PatientSex, DCM_StudyDate,
                                 DCM_StudyTime, DCM_ReferringPhysicianName, DCM_StudyID, DCM_AccessionNumber})
        if (!set.tagExists(key)) report_require(set.insertEmptyElement(key), "capture: patient and study");
}

/* What was lossy once is lossy for ever: the source says so, or its transfer syntax does. */
static void put_lossy(DcmDataset &set, const report_source &source, const std::string &transfer_syntax)
{
    DcmDataset image(source.acquisition);
    OFString was;
    image.findAndGetOFString(DCM_LossyImageCompression, was);
    const bool now =
        transfer_syntax == UID_JPEGProcess1TransferSyntax || transfer_syntax == UID_JPEGProcess2_4TransferSyntax;
    if (!now && was != "01") return;
    put(set, DCM_LossyImageCompression, "01");
    for (const DcmTagKey &key : {DCM_LossyImageCompressionRatio, DCM_LossyImageCompressionMethod})
        if (image.tagExists(key)) report_require(image.findAndInsertCopyOfElement(key, &set), "capture: lossy");
}

static void put_image(DcmDataset &set, const report_job &job)
{
    put(set, DCM_InstanceNumber, "1");
    put(set, DCM_ContentDate, job.date);
    put(set, DCM_ContentTime, job.time);
    put(set, DCM_ImageType, "DERIVED\\SECONDARY\\OTHER");
    report_require(set.insertEmptyElement(DCM_PatientOrientation), "capture: patient orientation");
    put(set, DCM_BurnedInAnnotation, "YES");
    put(set, DCM_RecognizableVisualFeatures, "NO");
    put(set, DCM_DerivationDescription,
        "Image scaled, with regions and answers of a neural network drawn beside and over it");
    put(set, DCM_ImageComments, "Generated by an automated algorithm (AI). Not verified. Not for diagnosis.");
    DcmItem *item = nullptr, *purpose = nullptr;
    report_require(set.findOrCreateSequenceItem(DCM_SourceImageSequence, item, 0), "capture: source image");
    put(*item, DCM_ReferencedSOPClassUID, job.source.sop_class);
    put(*item, DCM_ReferencedSOPInstanceUID, job.source.sop_instance);
    report_require(item->findOrCreateSequenceItem(DCM_PurposeOfReferenceCodeSequence, purpose, 0), "capture: purpose");
    put(*purpose, DCM_CodeValue, "121322");
    put(*purpose, DCM_CodingSchemeDesignator, "DCM");
    put(*purpose, DCM_CodeMeaning, "Source image for image processing operation");
}

static void put_pixels(DcmDataset &set, const canvas &pixels)
{
    put_number(set, DCM_SamplesPerPixel, 3);
    put(set, DCM_PhotometricInterpretation, "RGB");
    put_number(set, DCM_PlanarConfiguration, 0);
    put_number(set, DCM_Rows, pixels.rows);
    put_number(set, DCM_Columns, pixels.cols);
    put_number(set, DCM_BitsAllocated, 8);
    put_number(set, DCM_BitsStored, 8);
    put_number(set, DCM_HighBit, 7);
    put_number(set, DCM_PixelRepresentation, 0);
    std::string even(reinterpret_cast<const char *>(pixels.rgb), pixels.bytes());
    even.resize(even.size() + even.size() % 2);
    report_require(set.putAndInsertUint8Array(DCM_PixelData, reinterpret_cast<const Uint8 *>(even.data()),
                                              static_cast<unsigned long>(even.size())),
                   "capture: pixel data");
}

static std::string capture_bytes(const report_job &job, const canvas &pixels, const std::string &transfer_syntax)
{
    DcmFileFormat file;
    DcmDataset &set = *file.getDataset();
    put(set, DCM_SpecificCharacterSet, "ISO_IR 192");
    put(set, DCM_SOPClassUID, job.made.sop_class);
    put_series_and_equipment(set, job);
    put_image(set, job);
    put_lossy(set, job.source, transfer_syntax);
    put_pixels(set, pixels);
    header_of_image(set, job);
    put_empty(set);
    return job_file(file);
}

/* ---- the entry ---- */
extern "C" cot_status cot_capture_write(cot_report_made *made, const char *path, const char *source,
                                        const char *dataset_sha256, const cot_chain *chain, const cot_steps *steps,
                                        const cot_report_options *options, int64_t now_utc, cot_error *err)
try {
    report_job job;
    cot_dicom_facts facts;
    canvas pixels;
    char digest[65];
    job.chain = chain;
    job.steps = steps;
    job.options = options;
    job.dataset_sha256 = dataset_sha256;
    if (!job.captures()) report_fail(COT_E_BUG, "capture: the options are of another kind of report");
    check_arguments(job);
    source_read(job.source, source);
    check_images(job);
    if (cot_dicom_facts_read(&facts, source, err) != COT_OK) return err->status;
    draw(pixels, job, source);
    cot_sha256_of(digest, pixels.rgb, pixels.bytes());
    job_identify(job, digest);
    job_set_time(job, now_utc);
    const std::string bytes = capture_bytes(job, pixels, facts.transfer_syntax);
    const cot_status status = job_put(path, bytes, *options, err);
    if (status == COT_OK) *made = job.made;
    return status;
} catch (const report_failure &failure) {
    return cot_fail(err, failure.status, "%s", failure.text.c_str());
} catch (...) {
    return fail_exception(err, "capture");
}
