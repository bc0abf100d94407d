/* What makes a report one of several: the order of a study's images, what people call each, and the report it replaces.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

#include <algorithm>
#include <cstdlib>

/* ---- order ---- */
/* What was read comes first, so that the first image's model and header stand for the report; then as people count. */
static int rank_of(const cot_chain &chain)
{
    return chain.state == COT_CHAIN_REFUSED ? 2 : cot_report_measurable(&chain) ? 0 : 1;
}

static bool comes_before(const report_picture &a, const report_picture &b)
{
    const int ranks[2] = {rank_of(*a.chain), rank_of(*b.chain)};
    if (ranks[0] != ranks[1]) return ranks[0] < ranks[1];
    for (std::string report_source::*number : {&report_source::series_number, &report_source::instance_number}) {
        const long numbers[2] = {std::strtol((a.source.*number).c_str(), nullptr, 10),
                                 std::strtol((b.source.*number).c_str(), nullptr, 10)};
        if (numbers[0] != numbers[1]) return numbers[0] < numbers[1];
    }
    return a.source.sop_instance < b.source.sop_instance;
}

void job_order_images(report_job &job)
{
    if (job.more.empty()) return;
    std::vector<report_picture> pictures = job.more;
    pictures.push_back({job.source, job.chain, job.dataset_sha256});
    std::vector<const report_picture *> order;
    for (const report_picture &picture : pictures) order.push_back(&picture);
    std::sort(order.begin(), order.end(),
              [](const report_picture *a, const report_picture *b) { return comes_before(*a, *b); });
    job.source = order[0]->source;
    job.chain = order[0]->chain;
    job.dataset_sha256 = order[0]->dataset_sha256;
    for (size_t i = 1; i < order.size(); i++) job.more[i - 1] = *order[i];
}

/* ---- names ---- */
std::string image_label(const report_source &source, size_t number)
{
    std::string facts = source.view_position;
    const auto add = [&](const char *name, const std::string &value) {
        if (!value.empty()) facts += (facts.empty() ? "" : ", ") + std::string(name) + value;
    };
    add("series ", source.series_number);
    add("instance ", source.instance_number);
    return text_line("Image " + std::to_string(number) + (facts.empty() ? "" : " (" + facts + ")"),
                     LONG_STRING_CHARACTERS);
}

std::string why_not_measured(const cot_chain &chain)
{
    if (chain.state == COT_CHAIN_REFUSED)
        return std::string("not analysed: ") + (chain.refusal[0] ? chain.refusal : "no reason was given");
    if (chain.forced_id[0]) return std::string("read by force, although ") + chain.forced + "; no measurements";
    return "no step has an answer";
}

/* ---- the report it replaces ---- */
static std::string uid_in(DcmItem &item, const DcmTagKey &key)
{
    OFString value;
    if (item.findAndGetOFString(key, value).bad() || DcmUniqueIdentifier::checkStringValue(value, "1").bad() ||
        value.empty())
        report_fail(COT_E_INPUT, std::string("earlier report: no valid UID at ") + key.toString().c_str());
    return value.c_str();
}

/* What the earlier report replaced in its turn; a picture names it among its images. */
static report_former former_of(DcmDataset &old)
{
    report_former former;
    DcmItem *study = nullptr, *series = nullptr, *sop = nullptr;
    if (old.findAndGetSequenceItem(DCM_PredecessorDocumentsSequence, study, 0).good() && study &&
        study->findAndGetSequenceItem(DCM_ReferencedSeriesSequence, series, 0).good() && series &&
        series->findAndGetSequenceItem(DCM_ReferencedSOPSequence, sop, 0).good() && sop) {
        former.study = uid_in(*study, DCM_StudyInstanceUID);
        former.series = uid_in(*series, DCM_SeriesInstanceUID);
    } else if (old.findAndGetSequenceItem(DCM_ReferencedImageSequence, sop, 0).bad() || !sop) {
        return former;
    }
    former.sop_class = uid_in(*sop, DCM_ReferencedSOPClassUID);
    former.instance = uid_in(*sop, DCM_ReferencedSOPInstanceUID);
    return former;
}

report_former former_read(const cot_report_options &options, report_former &before)
{
    report_former former;
    DcmFileFormat file;
    if (!options.predecessor || !options.predecessor[0]) return former;
    const OFCondition condition = file.loadFileUntilTag(options.predecessor, EXS_Unknown, EGL_noChange,
                                                        DCM_MaxReadLength, ERM_autoDetect, DCM_PixelData);
    if (condition.bad()) report_fail(COT_E_IO, std::string("earlier report: ") + condition.text());
    DcmDataset &old = *file.getDataset();
    former.instance = uid_in(old, DCM_SOPInstanceUID);
    former.sop_class = uid_in(old, DCM_SOPClassUID);
    former.series = uid_in(old, DCM_SeriesInstanceUID);
    former.study = uid_in(old, DCM_StudyInstanceUID);
    before = former_of(old);
    return former;
}
