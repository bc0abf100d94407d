/* One step as a Measurement Group (TID 1410): tracking, finding, region, certainty, and the step's question, answer, reasons and
 * probabilities. A step has exactly one region: the one with the largest share of the relevance, or the frame of the whole
 * image with the reason for it (viewers break on groups without region). Further regions are groups of their own that say
 * no more than where they are. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

std::string tracking_uid_of(const report_job &job, const measured_image &image, size_t step, size_t region)
{
    return uid_of(job, "tracking|" + image.source->sop_instance + "|" + job.steps->id + "|" +
                           job.steps->steps[step].id + "|" + std::to_string(region));
}

std::string observation_uid_of(const report_job &job, const measured_image &image, size_t step)
{
    const cot_reader &reader = image.chain->reader;
    return uid_of(job, "observation|" + image.source->sop_instance + "|" + image.dataset_sha256 + "|" +
                           reader.package_sha256 + "|" + reader.version + "|" + reader.device + "|" + reader.program +
                           "|" + job.steps->sha256 + "|" + job.steps->steps[step].id);
}

std::string measured_percent(double fraction)
{
    char text[32];
    snprintf(text, sizeof text, "%.2f", fraction * 100);
    return text;
}

/* ---- the region ---- */
/* Closed: the first point again at the end. It begins where the label shall stand (measurement_labels.cc). No region: the
 * outer corners of the image, down the left edge first. */
static std::vector<cot_point> outline(const cot_region *region, size_t first, const report_source &source)
{
    const float columns = std::strtof(source.columns.c_str(), nullptr),
                rows = std::strtof(source.rows.c_str(), nullptr);
    std::vector<cot_point> points = {{0, 0}, {0, rows}, {columns, rows}, {columns, 0}};
    if (region) {
        points.assign(region->points, region->points + region->n_points);
        std::rotate(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(first), points.end());
    }
    points.push_back(points.front());
    return points;
}

static size_t add_region(report_tree &t, size_t group, const report_source &source, const cot_region *region,
                         size_t first)
{
    tree_item_code(t, group, DSRTypes::RT_contains, concept_of::region_purpose, concept_of::bounded_by);
    const size_t item = tree_item(t, group, DSRTypes::RT_contains, DSRTypes::VT_SCoord, concept_of::image_region);
    DSRSpatialCoordinatesValue coordinates(DSRTypes::GT_Polyline);
    for (const cot_point &point : outline(region, first, source))
        coordinates.getGraphicDataList().addItem(point.column, point.row);
    report_require(t.tree.getCurrentContentItem().setSpatialCoordinates(coordinates), "report: set a region");
    tree_item(t, item, DSRTypes::RT_selectedFrom, DSRTypes::VT_Image, concept_of::original_source);
    const DSRImageReferenceValue image(source.sop_class.c_str(), source.sop_instance.c_str());
    report_require(t.tree.getCurrentContentItem().setImageReference(image), "report: refer to the image");
    return item;
}

/* Whose region it is, and how much of the relevance it holds: below a code, where viewers make no label of it. */
static void add_basis(report_tree &t, size_t group, const cot_answer &answer, const cot_region *region)
{
    const size_t basis = tree_item_code(t, group, DSRTypes::RT_contains, concept_of::region_basis,
                                        region           ? concept_of::basis_relevance
                                        : answer.located ? concept_of::basis_whole
                                                         : concept_of::basis_none);
    if (region)
        tree_item_number(t, basis, DSRTypes::RT_hasProperties, concept_of::share,
                         measured_percent(static_cast<double>(region->share)), concept_of::percent);
}

/* ---- what all groups begin with ---- */
static size_t begin_group(report_tree &t, size_t measurements, const report_job &job, const measured_image &image,
                          size_t s, size_t region)
{
    const cot_step &step = job.steps->steps[s];
    const size_t group = tree_container(t, measurements, concept_of::measurement_group);
    tree_template(t, group, "1410");
    std::string name = step.code.meaning;
    if (region) name += ", region " + std::to_string(region + 1);
    if (image.of > 1) name += ", " + image.label();
    tree_context_text(t, group, concept_of::tracking_identifier, name);
    tree_context_uid(t, group, concept_of::tracking_uid, tracking_uid_of(job, image, s, region));
    return group;
}

static bool is_place(const cot_step &step, const cot_option &option)
{
    return !std::strcmp(step.concept.value, "112013") && !std::strcmp(step.concept.scheme, "DCM") &&
           !std::strcmp(option.code.scheme, "SCT");
}

/* Every group has a Finding (3D Slicer looks for it). A place is named as Finding Site below it: in the group itself OHIF
 * would write it on the image under its bare code. */
static void add_finding(report_tree &t, size_t group, const cot_step &step, const cot_option &option)
{
    const size_t finding = tree_item_code(t, group, DSRTypes::RT_contains, concept_of::finding, option.code);
    if (option.laterality.value[0])
        tree_item_code(t, finding, DSRTypes::RT_hasConceptMod, concept_of::laterality, option.laterality);
    if (is_place(step, option))
        tree_item_code(t, finding, DSRTypes::RT_hasConceptMod, concept_of::finding_site, option.code);
}

/* ---- the answer ---- */
static void add_answer(report_tree &t, size_t group, const report_job &job, measured_image &image, size_t s)
{
    const cot_step &step = job.steps->steps[s];
    const cot_answer &answer = image.chain->answers[s];
    const cot_option &option = step.options[answer.answer];
    tree_item_code(t, group, DSRTypes::RT_contains, concept_of::answer, context_option_key(*job.steps, option));
    const size_t item = tree_item_code(t, group, DSRTypes::RT_contains, step.concept, option.code);
    image.answer_items[s] = item;
    report_require(t.tree.getCurrentContentItem().setObservationUID(observation_uid_of(job, image, s).c_str()),
                   "report: observation UID");
    if (option.laterality.value[0])
        tree_item_code(t, item, DSRTypes::RT_hasConceptMod, concept_of::laterality, option.laterality);
    tree_item_number(t, item, DSRTypes::RT_hasProperties, concept_of::certainty,
                     measured_percent(static_cast<double>(answer.probability[answer.answer])), concept_of::percent);
    add_premises(t, job, image, s);
}

static void add_options(report_tree &t, size_t group, const cot_code &name, const report_job &job, const cot_step &step,
                        const float *probability)
{
    const size_t box = tree_container(t, group, name);
    for (size_t o = 0; o < step.n_options; o++) {
        const size_t item =
            tree_item_number(t, box, DSRTypes::RT_contains, concept_of::probability,
                             measured_percent(static_cast<double>(probability[o])), concept_of::percent);
        tree_item_code(t, item, DSRTypes::RT_hasConceptMod, concept_of::option,
                       context_option_key(*job.steps, step.options[o]));
    }
}

static void add_other(report_tree &t, size_t group, const report_job &job, const cot_answer &answer,
                      const cot_step &step)
{
    const cot_opinion &other = answer.other;
    if (!other.available) return;
    const size_t item = tree_item_code(t, group, DSRTypes::RT_contains, concept_of::other_answer,
                                       context_option_key(*job.steps, step.options[other.answer]));
    tree_item_number(t, item, DSRTypes::RT_hasProperties, concept_of::certainty,
                     measured_percent(static_cast<double>(other.probability[other.answer])), concept_of::percent);
    tree_item_code(t, group, DSRTypes::RT_contains, concept_of::agreement,
                   answer.disagreement ? concept_of::disagree : concept_of::agree);
    add_options(t, group, concept_of::other_options, job, step, other.probability);
}

static void add_further_regions(report_tree &t, size_t measurements, const report_job &job, const measured_image &image,
                                size_t s)
{
    const cot_step &step = job.steps->steps[s];
    const cot_answer &answer = image.chain->answers[s];
    for (size_t r = 1; r < answer.n_regions; r++) {
        const size_t group = begin_group(t, measurements, job, image, s, r);
        add_finding(t, group, step, step.options[answer.answer]);
        add_region(t, group, *image.source, &answer.regions[r], 0);
        add_basis(t, group, answer, &answer.regions[r]);
        tree_item_code(t, group, DSRTypes::RT_contains, concept_of::step, step.code);
    }
}

void add_group(report_tree &t, size_t measurements, const report_job &job, measured_image &image, size_t s)
{
    const cot_step &step = job.steps->steps[s];
    const cot_answer &answer = image.chain->answers[s];
    const cot_region *region = answer.n_regions ? &answer.regions[0] : nullptr;
    const size_t group = begin_group(t, measurements, job, image, s, 0);
    add_finding(t, group, step, step.options[answer.answer]);
    image.region_items[s] = add_region(t, group, *image.source, region, image.labels[s].first);
    if (image.labels[s].shown) /* under the answer's own name: viewers write "Nodule: 81.50 %" beside the region */
        tree_item_number(t, group, DSRTypes::RT_contains, context_option_key(*job.steps, step.options[answer.answer]),
                         measured_percent(static_cast<double>(answer.probability[answer.answer])), concept_of::percent);
    add_basis(t, group, answer, region);
    tree_item_code(t, group, DSRTypes::RT_contains, concept_of::step, step.code);
    tree_text(t, group, concept_of::place, answer.place);
    tree_text(t, group, concept_of::question, step.question);
    add_answer(t, group, job, image, s);
    tree_text(t, group, concept_of::rationale, answer.rationale);
    add_options(t, group, concept_of::all_options, job, step, answer.probability);
    add_other(t, group, job, answer, step);
    add_further_regions(t, measurements, job, image, s);
}
