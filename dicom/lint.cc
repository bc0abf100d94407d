/* Lint: does a report keep the rules that viewers and archives need? Each file goes through the guard before anything parses
 * it. Structured Reports are checked by themselves and beside one another; other objects are the images that reports are
 * about, against which their patient and study are compared. Also the last gate before a report of ours is sent.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/translate.h"

#include <cstring>

enum : size_t { LARGEST_REPORT = (size_t)32 << 20, MOST_FILES = 4096 };

/* ---- findings ---- */
static void put(char *to, size_t size, const std::string &text)
{
    snprintf(to, size, "%s", text_line(text, size / 4 - 1).c_str());
}

void lint_session::say_file(const char *rule, const std::string &path, const std::string &what,
                            const std::string &advice)
{
    cot_lint_finding finding = {path.c_str(), "", "file", "", ""};
    snprintf(finding.rule, sizeof finding.rule, "%s", rule);
    put(finding.what, sizeof finding.what, what);
    put(finding.advice, sizeof finding.advice, advice);
    findings++;
    visit(ctx, &finding);
}

void lint_session::say(const char *rule, const lint_report &report, const lint_item *item, const std::string &what,
                       const std::string &advice)
{
    cot_lint_finding finding = {report.path.c_str(), "", "document", "", ""};
    snprintf(finding.rule, sizeof finding.rule, "%s", rule);
    if (item) {
        const std::string meaning = text_line(item->name.meaning, LONG_STRING_CHARACTERS);
        put(finding.where, sizeof finding.where,
            item->position + " " + (item->type.empty() ? "reference" : item->type) +
                (meaning.empty() ? "" : " \"" + meaning + "\""));
    }
    put(finding.what, sizeof finding.what, what);
    put(finding.advice, sizeof finding.advice, advice);
    findings++;
    visit(ctx, &finding);
}

const lint_image *lint_session::image(const std::string &sop_instance) const
{
    for (const lint_image &image : images)
        if (image.source.sop_instance == sop_instance) return &image;
    return nullptr;
}

/* ---- files ---- */
/* What the guard says, without what a finding says anyway: the file before it, and the advice behind. */
static std::string guard_words(const std::string &path, const std::string &said)
{
    const size_t from = said.compare(0, path.size() + 2, path + ": ") == 0 ? path.size() + 2 : 0;
    const size_t to = said.find("; the object is damaged", from);
    return said.substr(from, to == std::string::npos ? to : to - from);
}

static bool is_report(const std::string &sop_class)
{
    return sop_class.compare(0, 28, "1.2.840.10008.5.1.4.1.1.88.1") == 0 ||
           sop_class.compare(0, 26, "1.2.840.10008.5.1.4.1.1.88") == 0;
}

static void load_image(lint_session &s, const char *path)
{
    s.images.emplace_back();
    s.images.back().path = path;
    source_read(s.images.back().source, path);
}

/* A Secondary Capture may be a picture of a reading, or an image that was read. */
static bool is_capture(const char *path, const cot_dicom_head &head)
{
    DcmFileFormat file;
    if (head.sop_class != std::string(UID_SecondaryCaptureImageStorage)) return false;
    return file.loadFileUntilTag(path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_autoDetect, DCM_PixelData)
               .good() &&
           lint_is_capture(*file.getDataset());
}

static void load_report(lint_session &s, const char *path, const cot_dicom_head &head)
{
    auto report = std::make_unique<lint_report>();
    report->path = path;
    report->bytes = head.bytes;
    const OFCondition condition = report->file.loadFile(path);
    if (condition.bad()) {
        s.say_file("R20", path, std::string("DCMTK cannot read it: ") + condition.text(), "write the file again");
        return;
    }
    report->sop_class = head.sop_class;
    report->sop_instance = head.sop_instance;
    report->series = head.series;
    report->study = head.study;
    report->capture = !is_report(head.sop_class);
    if (!report->capture) lint_tree_build(*report);
    report->measurement = report->root.name.value == "126000" && report->root.name.scheme == "DCM";
    s.reports.push_back(std::move(report));
}

static void load(lint_session &s, const char *path)
{
    cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    cot_dicom_head head;
    cot_error err = COT_ERROR_INIT;
    limits.no_digest = true;
    const cot_status status = cot_dicom_guard(&head, path, &limits, &err);
    if (status == COT_E_IO || status == COT_E_MEMORY) report_fail(status, err.text);
    if (status != COT_OK) {
        s.say_file("R20", path, guard_words(path, err.text),
                   "it is no DICOM file that a reader should open; write it again");
    } else if (!is_report(head.sop_class) && !is_capture(path, head)) {
        load_image(s, path);
    } else if (head.bytes > LARGEST_REPORT) {
        s.say_file("R18", path, "the file is larger than any report may be", "split it");
    } else {
        load_report(s, path, head);
    }
}

/* ---- beside one another ---- */
/* R3: viewers open one instance of a series, and not always the one they announce. */
static void check_series(lint_session &s)
{
    std::map<std::string, size_t> series;
    for (const auto &report : s.reports) series[report->series]++;
    for (const auto &report : s.reports) {
        bool shared = series[report->series] > 1;
        for (const lint_image &image : s.images) shared = shared || image.source.series == report->series;
        if (shared)
            s.say("R3", *report, nullptr, "its series holds another object too",
                  "give every report a Series Instance UID of its own");
    }
}

static void check(lint_session &s, lint_report &report)
{
    if (report.capture) {
        lint_text(s, report);
        lint_capture(s, report);
        lint_source(s, report);
        return;
    }
    lint_items(s, report);
    lint_text(s, report);
    lint_document(s, report);
    lint_source(s, report);
    lint_probabilities(s, report);
    lint_chain(s, report);
    if (report.measurement)
        lint_measurement(s, report);
    else
        lint_reading(s, report);
}

extern "C" cot_status cot_report_lint(const char *const *paths, size_t n, cot_lint_visitor visit, void *ctx,
                                      size_t *findings, cot_error *err)
try {
    *findings = 0;
    if (n > MOST_FILES)
        return cot_fail(err, COT_E_LIMIT, "lint: %zu files at once, at most %zu", n, static_cast<size_t>(MOST_FILES));
    lint_session s = {visit, ctx, 0, {}, {}};
    for (size_t i = 0; i < n; i++) load(s, paths[i]);
    for (const auto &report : s.reports) check(s, *report);
    check_series(s);
    *findings = s.findings;
    return s.reports.empty() && !s.findings ? cot_fail(err, COT_E_INPUT, "lint: no Structured Report among the files")
                                            : COT_OK;
} catch (const report_failure &failure) {
    return cot_fail(err, failure.status, "lint: %s", failure.text.c_str());
} catch (...) {
    return fail_exception(err, "lint");
}
