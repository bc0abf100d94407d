/* The entry: from an image's header and a chain of answers to a report on disk. Identity first: SOP and Series Instance UID
 * derive from what was read, by which model and under which schema, so that the same reading is the same object however
 * often it is made; a changed image, model, schema or kind of report gives another.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"
#include "dicom/translate.h"

#include <cstdio>
#include <cstring>
#include <ctime>

void report_fail(cot_status status, const std::string &text)
{
    throw report_failure{status, text};
}

void report_require(const OFCondition &condition, const char *what)
{
    if (condition.bad()) report_fail(COT_E_BUG, std::string(what) + ": " + condition.text());
}

size_t report_job::steps_available() const
{
    size_t n = 0;
    for (size_t s = 0; !refused() && s < chain->n_steps; s++) n += chain->answers[s].available;
    return n;
}

bool report_job::complete() const
{
    const auto answers_all = [&](const cot_chain &c) {
        size_t n = 0;
        for (size_t s = 0; c.state != COT_CHAIN_REFUSED && s < c.n_steps; s++) n += c.answers[s].available;
        return c.state != COT_CHAIN_REFUSED && !c.forced_id[0] && n == c.n_steps;
    };
    bool all = answers_all(*chain);
    for (const report_picture &picture : more) all = all && answers_all(*picture.chain);
    return all;
}

bool report_job::measurable() const
{
    bool any = cot_report_measurable(chain);
    for (const report_picture &picture : more) any = any || cot_report_measurable(picture.chain);
    return any;
}

const char *report_job::sop_class() const
{
    if (captures()) return UID_SecondaryCaptureImageStorage;
    if (measures()) return options->comprehensive ? UID_ComprehensiveSRStorage : UID_Comprehensive3DSRStorage;
    return options->basic_text ? UID_BasicTextSRStorage : UID_EnhancedSRStorage;
}

static std::string first_of(const char *a, const char *b)
{
    const std::string first = text_line(a ? a : "", LONG_STRING_CHARACTERS);
    return first.empty() ? text_line(b ? b : "", LONG_STRING_CHARACTERS) : first;
}

std::string report_job::manufacturer() const
{
    return first_of(options->manufacturer, "Step-CoT node project");
}

std::string report_job::model_name() const
{
    return first_of(chain->reader.name, first_of(options->program_version, "stepcot").c_str());
}

std::string uid_of(const report_job &job, const std::string &name)
{
    char uid[65] = "";
    cot_uid_derive(uid, job.root(), name.c_str());
    if (!uid[0]) report_fail(COT_E_BUG, "report: no UID could be derived");
    return uid;
}

/* ---- identity ---- */
/* A UID names one content for ever. Raise this by one in every commit after which the same image, model, schema, options and
 * program version give a report with other words, items or order, or with other numbers because pixels are decoded, rendered
 * or scaled differently. */
#define CONTENT_VERSION "5"

static std::string kind_name(const cot_report_options &o)
{
    if (o.kind == COT_REPORT_CAPTURE) return "capture-";
    if (o.kind == COT_REPORT_READING) return o.basic_text ? "reading-basic-" : "reading-enhanced-";
    return std::string(o.comprehensive ? "measurement-2d-" : "measurement-3d-") + (o.by_reference ? "reference-" : "");
}

/* Everything the content follows from. */
static std::string reading_name(const report_job &job)
{
    const cot_report_options &o = *job.options;
    const cot_reader &reader = job.chain->reader, &other = job.chain->other;
    std::string name = kind_name(o) + CONTENT_VERSION;
    for (const std::string &part :
         {job.source.sop_instance, job.dataset_sha256, std::string(reader.package_sha256), std::string(reader.version),
          std::string(job.steps->sha256), std::string(o.title.value), std::string(o.title.scheme),
          std::string(o.title.meaning), job.manufacturer(), std::string(o.station ? o.station : ""),
          std::to_string(o.series_number), std::string(reader.program), std::string(reader.device),
          std::string(reader.role)})
        name += "|" + part;
    if (job.refused()) name += std::string("|") + job.chain->refusal_id;
    if (job.forced()) name += std::string("|forced|") + job.chain->forced_id;
    if (job.chain->has_other)
        name += std::string("|other|") + other.role + "|" + other.package_sha256 + "|" + other.version;
    for (const report_picture &picture : job.more) {
        name += "|" + picture.source.sop_instance + "|" + picture.dataset_sha256;
        if (picture.chain->state == COT_CHAIN_REFUSED) name += std::string("|refused|") + picture.chain->refusal_id;
        if (picture.chain->forced_id[0]) name += std::string("|forced|") + picture.chain->forced_id;
    }
    return name;
}

static std::string name_after(const std::string &reading, const report_former &former)
{
    return reading + (former.instance.empty() ? "" : "|after|" + former.instance);
}

/* A report that replaces another says so, and so its UID follows from the other's, too. When the other is this very reading
 * made earlier, this is that object once more, with that one's predecessor. */
static std::string settle_predecessor(report_job &job, const std::string &reading)
{
    report_former before;
    const report_former former = former_read(*job.options, before);
    const bool same =
        !former.instance.empty() && former.instance == uid_of(job, "report|" + name_after(reading, before));
    job.predecessor = same ? before : former;
    return name_after(reading, job.predecessor);
}

void job_identify(report_job &job, const std::string &content)
{
    const std::string name = settle_predecessor(job, reading_name(job) + (content.empty() ? "" : "|" + content));
    const auto put = [](char(&to)[65], const std::string &uid) { snprintf(to, sizeof to, "%s", uid.c_str()); };
    put(job.made.sop_class, job.sop_class());
    put(job.made.sop_instance, uid_of(job, "report|" + name));
    put(job.made.series, uid_of(job, "report-series|" + name));
    put(job.made.study, job.source.study);
    job.device_uid =
        uid_of(job, "device|" + job.manufacturer() + "|" + (job.options->station ? job.options->station : ""));
}

/* Seconds east of Greenwich of the image's Timezone Offset From UTC (0008,0201), e.g. "+0530"; false when absent or odd. */
static bool offset_read(report_source &source, long &seconds)
{
    OFString value;
    source.head.findAndGetOFString(DCM_TimezoneOffsetFromUTC, value);
    char sign = 0;
    unsigned hours = 0, minutes = 0;
    if (value.length() != 5 || sscanf(value.c_str(), "%c%2u%2u", &sign, &hours, &minutes) != 3) return false;
    if ((sign != '+' && sign != '-') || hours > 14 || minutes > 59) return false;
    seconds = (sign == '-' ? -1 : 1) * static_cast<long>(hours * 3600 + minutes * 60);
    return true;
}

void job_set_time(report_job &job, int64_t now_utc)
{
    long offset = 0;
    std::tm tm = {};
    const bool known = offset_read(job.source, offset);
    const std::time_t at = static_cast<std::time_t>(now_utc + offset);
    if (!(known ? gmtime_r(&at, &tm) : localtime_r(&at, &tm)) || tm.tm_year > 8099 || tm.tm_year < 0)
        report_fail(COT_E_BUG, "report: the time given is not a time");
    char text[16];
    strftime(text, sizeof text, "%Y%m%d", &tm);
    job.date = text;
    strftime(text, sizeof text, "%H%M%S", &tm);
    job.time = text;
}

/* ---- the file ---- */
static DSRTypes::E_DocumentType document_type(const report_job &job)
{
    if (job.measures())
        return job.options->comprehensive ? DSRTypes::DT_ComprehensiveSR : DSRTypes::DT_Comprehensive3DSR;
    return job.options->basic_text ? DSRTypes::DT_BasicTextSR : DSRTypes::DT_EnhancedSR;
}

static std::string report_bytes(const report_job &job)
{
    DSRDocument document(document_type(job));
    report_require(document.createNewSeriesInStudy(job.source.study.c_str()), "report: new series in the study");
    report_require(document.setSpecificCharacterSetType(DSRTypes::CS_UTF8), "report: character set");
    report_tree tree = {document.getTree(), job.options->basic_text && !job.measures()};
    if (job.measures())
        content_measurements(tree, job);
    else
        content_reading(tree, job);
    header_before_write(document, job);
    DcmFileFormat file;
    report_require(document.write(*file.getDataset()), "report: make the data set");
    header_after_write(*file.getDataset(), job);
    return job_file(file);
}

cot_status job_put(const char *path, const std::string &bytes, const cot_report_options &options, cot_error *err)
{
    return (options.folder_later ? cot_file_write_synced : cot_file_write_durable)(path, bytes.data(), bytes.size(),
                                                                                   err);
}

/* ---- the entry ---- */
static void read_images(report_job &job, const cot_report_image *images, size_t n)
{
    job.chain = images[0].chain;
    job.dataset_sha256 = images[0].dataset_sha256;
    job.more.resize(n - 1);
    for (size_t i = 1; i < n; i++) {
        job.more[i - 1].chain = images[i].chain;
        job.more[i - 1].dataset_sha256 = images[i].dataset_sha256;
    }
    check_arguments(job);
    source_read(job.source, images[0].source);
    for (size_t i = 1; i < n; i++) source_read(job.more[i - 1].source, images[i].source);
    job_order_images(job);
    check_images(job);
}

extern "C" cot_status cot_report_write_study(cot_report_made *made, const char *path, const cot_report_image *images,
                                             size_t n, const cot_steps *steps, const cot_report_options *options,
                                             int64_t now_utc, cot_error *err)
try {
    report_job job;
    job.steps = steps;
    job.options = options;
    if (job.captures()) report_fail(COT_E_BUG, "report: a picture of the reading is made by cot_capture_write");
    if (n < 1 || n > COT_REPORT_IMAGES)
        report_fail(n < 1 ? COT_E_BUG : COT_E_LIMIT, "report: a study's report can be about 1 to " +
                                                         std::to_string(COT_REPORT_IMAGES) + " images, not " +
                                                         std::to_string(n) + ". Report each image by itself");
    read_images(job, images, n);
    job_identify(job, "");
    job_set_time(job, now_utc);
    const std::string bytes = report_bytes(job);
    const cot_status status = job_put(path, bytes, *options, err);
    if (status == COT_OK) *made = job.made;
    return status;
} catch (const report_failure &failure) {
    return cot_fail(err, failure.status, "%s", failure.text.c_str());
} catch (...) {
    return fail_exception(err, "report");
}

extern "C" cot_status cot_report_write(cot_report_made *made, const char *path, const char *source,
                                       const char *dataset_sha256, const cot_chain *chain, const cot_steps *steps,
                                       const cot_report_options *options, int64_t now_utc, cot_error *err)
{
    const cot_report_image image = {source, dataset_sha256, chain};
    return cot_report_write_study(made, path, &image, 1, steps, options, now_utc, err);
}

extern "C" bool cot_report_measurable(const cot_chain *chain)
{
    bool any = false;
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) any = any || chain->answers[s].available;
    return any && chain->state != COT_CHAIN_REFUSED && !chain->forced_id[0];
}
