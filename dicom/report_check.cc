/* What the caller gives must agree with itself, the schema and the images: a report is written about facts that hold, or not at
 * all. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>

static bool is_share(float value)
{
    return value >= 0 && value <= 1; /* false for NaN */
}

static void check_evidence(const cot_answer &answer, size_t s, const cot_chain &chain, const std::string &where)
{
    for (size_t r = 0; r < answer.n_regions; r++) {
        const cot_region &region = answer.regions[r];
        if (region.n_points < 3 || !region.points || !is_share(region.share))
            report_fail(COT_E_BUG, where + " has a region that is no polygon");
        for (size_t p = 0; p < region.n_points; p++)
            if (!std::isfinite(region.points[p].column) || !std::isfinite(region.points[p].row))
                report_fail(COT_E_BUG, where + " has a region with a point that is no number");
    }
    if (answer.n_regions && !answer.located) report_fail(COT_E_BUG, where + " has regions of a map that was not made");
    std::set<size_t> seen;
    for (size_t i = 0; i < answer.n_influences; i++) {
        const cot_influence &influence = answer.influences[i];
        if (!answer.weighed || influence.step >= s || !chain.answers[influence.step].available ||
            !(influence.change >= -1 && influence.change <= 1) || !seen.insert(influence.step).second)
            report_fail(COT_E_BUG, where + " rests on something that is no earlier answer");
    }
}

static void check_second_reader(const cot_answer &answer, const cot_chain &chain, const std::string &where)
{
    const cot_opinion &other = answer.other;
    if (other.available && !chain.has_other)
        report_fail(COT_E_BUG, where + " has an answer of a reader that did not read");
    if (answer.disagreement != (answer.available && other.available && other.answer != answer.answer))
        report_fail(COT_E_BUG, where + " says wrongly whether its readers disagree");
    for (size_t o = 0; other.available && o < answer.n_options; o++)
        if (!other.probability || !is_share(other.probability[o]) || other.answer >= answer.n_options)
            report_fail(COT_E_BUG, where + " has a second reader's probability outside 0..1");
}

static void check_answer(const cot_chain &chain, size_t s, const cot_step &step)
{
    const cot_answer &answer = chain.answers[s];
    const std::string where = std::string("report: step ") + step.id;
    if (answer.n_options != step.n_options)
        report_fail(COT_E_BUG, where + " has another number of options than the schema");
    check_second_reader(answer, chain, where);
    if (!answer.available) return;
    if (!answer.probability || answer.answer >= answer.n_options)
        report_fail(COT_E_BUG, where + " has no answer among its options");
    for (size_t o = 0; o < answer.n_options; o++)
        if (!is_share(answer.probability[o])) report_fail(COT_E_BUG, where + " has a probability outside 0..1");
    check_evidence(answer, s, chain, where);
}

static void check_chain(const report_job &job, const cot_chain &chain)
{
    if (chain.schema_sha256[0] && std::strcmp(chain.schema_sha256, job.steps->sha256) != 0)
        report_fail(COT_E_BUG, "report: the chain was read under another step schema than the one given");
    if (chain.state == COT_CHAIN_REFUSED) return;
    if (!chain.answers || chain.n_steps != job.steps->n_steps || chain.n_steps == 0)
        report_fail(COT_E_BUG, "report: the chain has another number of steps than the schema");
    for (size_t s = 0; s < chain.n_steps; s++) check_answer(chain, s, job.steps->steps[s]);
}

void check_arguments(const report_job &job)
{
    if (std::strcmp(job.options->title.value, "126000") == 0)
        report_fail(COT_E_CONFIG,
                    "report title 126000 is that of measurement reports, which viewers do not show as text. "
                    "Choose another, e.g. (18748-4, LN, \"Diagnostic Imaging Report\")");
    if ((job.measures() || job.captures()) && !job.measurable())
        report_fail(COT_E_REFUSED, "report: nothing was measured in this image (refused, read by force, or no step "
                                   "answered); its reading report says why");
    check_chain(job, *job.chain);
    const cot_chain *first = job.refused() ? nullptr : job.chain;
    for (const report_picture &picture : job.more) {
        const cot_chain &chain = *picture.chain;
        check_chain(job, chain);
        if (chain.state == COT_CHAIN_REFUSED) continue;
        if (!first) first = &chain;
        if (std::strcmp(chain.reader.package_sha256, first->reader.package_sha256) != 0 ||
            chain.has_other != first->has_other)
            report_fail(COT_E_BUG, "report: its images were read by different models");
    }
}

/* ---- the images ---- */
static void check_regions(const report_source &source, const cot_chain &chain)
{
    if (!cot_report_measurable(&chain)) return;
    const float columns = std::strtof(source.columns.c_str(), nullptr),
                rows = std::strtof(source.rows.c_str(), nullptr);
    if (!(columns > 0 && rows > 0))
        report_fail(COT_E_INPUT, "image header: Rows or Columns is missing, so no region can be placed");
    for (size_t s = 0; s < chain.n_steps; s++)
        for (size_t r = 0; r < chain.answers[s].n_regions; r++) {
            const cot_region &region = chain.answers[s].regions[r];
            for (size_t p = 0; p < region.n_points; p++)
                if (region.points[p].column < 0 || region.points[p].column > columns || region.points[p].row < 0 ||
                    region.points[p].row > rows)
                    report_fail(COT_E_BUG, "report: a region lies outside its image");
        }
}

static std::string patient_of(const report_source &source)
{
    DcmDataset head(source.head);
    OFString id, issuer;
    head.findAndGetOFString(DCM_PatientID, id);
    head.findAndGetOFString(DCM_IssuerOfPatientID, issuer);
    return std::string(id.c_str()) + "\\" + issuer.c_str();
}

void check_images(const report_job &job)
{
    const bool draws = job.measures() || job.captures();
    if (draws) check_regions(job.source, *job.chain);
    std::set<std::string> seen = {job.source.sop_instance};
    for (const report_picture &picture : job.more) {
        if (draws) check_regions(picture.source, *picture.chain);
        if (picture.source.study != job.source.study)
            report_fail(COT_E_INPUT, "report: its images are of different studies. Report each study by itself");
        if (patient_of(picture.source) != patient_of(job.source))
            report_fail(COT_E_INPUT, "report: its images are of different patients. Correct them at the sender");
        if (!seen.insert(picture.source.sop_instance).second)
            report_fail(COT_E_INPUT, "report: an image is given twice");
    }
}
