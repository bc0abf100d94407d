/* The measurement report: TID 1500 "Imaging Measurement Report" for programs and for viewers that draw. Image library, one
 * measurement group per answered step and image, and the whole in words under Qualitative Evaluations. Comprehensive 3D SR
 * and Comprehensive SR have the same content: a radiograph has no frame of reference, its regions lie in the image plane.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

#include <cstdlib>

static measured_image image_of(const report_source &source, const cot_chain &chain, const std::string &sha,
                               size_t number, size_t of)
{
    measured_image image = {&source, &chain, sha, number, of, cot_report_measurable(&chain), {}, {}, {}};
    if (!image.measured) return image;
    image.labels =
        choose_labels(chain, std::strtod(source.rows.c_str(), nullptr), std::strtod(source.columns.c_str(), nullptr));
    image.answer_items.resize(chain.n_steps);
    image.region_items.resize(chain.n_steps);
    return image;
}

static std::vector<measured_image> images_of(const report_job &job)
{
    const size_t n = 1 + job.more.size();
    std::vector<measured_image> images = {image_of(job.source, *job.chain, job.dataset_sha256, 1, n)};
    for (size_t i = 1; i < n; i++) {
        const report_picture &picture = job.more[i - 1];
        images.push_back(image_of(picture.source, *picture.chain, picture.dataset_sha256, i + 1, n));
    }
    return images;
}

/* ---- algorithm identification, TID 4019 ---- */
static void add_algorithm(report_tree &t, size_t container, const report_job &job)
{
    const cot_reader &reader = job.chain->reader;
    const auto modifier = [&](const cot_code &name, const std::string &text) {
        for (const std::string &piece : text_split(text_clean(text), TEXT_ITEM_CHARACTERS))
            tree_item_string(t, container, DSRTypes::RT_hasConceptMod, DSRTypes::VT_Text, name, piece);
    };
    modifier(concept_of::algorithm_name, reader.name[0] ? reader.name : "not named");
    modifier(concept_of::algorithm_version, reader.version[0] ? reader.version : "not given");
    for (const std::string &parameter : context_algorithm_parameters(job))
        modifier(concept_of::algorithm_parameters, parameter);
    tree_item_code(t, container, DSRTypes::RT_hasConceptMod, concept_of::algorithm_family,
                   concept_of::artificial_intelligence);
}

/* ---- the whole in words ---- */
static size_t add_impression(report_tree &t, size_t evaluations, const report_job &job, const measured_image &image)
{
    const size_t last = image.chain->n_steps - 1;
    const cot_answer &diagnosis = image.chain->answers[last];
    if (!diagnosis.available) return 0;
    const cot_option &option = job.steps->steps[last].options[diagnosis.answer];
    const size_t item = tree_item_code(t, evaluations, DSRTypes::RT_contains, concept_of::impression, option.code);
    if (option.laterality.value[0])
        tree_item_code(t, item, DSRTypes::RT_hasConceptMod, concept_of::laterality, option.laterality);
    if (!job.options->by_reference) add_restated(t, item, job, image, last);
    return item;
}

static void add_missing_steps(report_tree &t, size_t evaluations, const report_job &job, const measured_image &image)
{
    for (size_t s = 0; s < image.chain->n_steps; s++)
        if (!image.chain->answers[s].available)
            tree_text(t, evaluations, job.steps->steps[s].code,
                      image.prefix() + context_not_available(image.chain->answers[s]));
}

static size_t add_conclusion(report_tree &t, size_t evaluations, const measured_image &image)
{
    const std::vector<std::string> pieces =
        text_split(text_clean(image.prefix() + image.chain->summary), TEXT_ITEM_CHARACTERS);
    size_t first = 0;
    for (const std::string &piece : pieces) {
        const size_t item =
            tree_item_string(t, evaluations, DSRTypes::RT_contains, DSRTypes::VT_Text, concept_of::conclusion, piece);
        if (!first) first = item;
    }
    return first;
}

static void add_evaluations(report_tree &t, size_t root, const report_job &job,
                            const std::vector<measured_image> &images)
{
    const size_t evaluations = tree_container(t, root, concept_of::qualitative_evaluations);
    std::vector<size_t> impressions, conclusions;
    tree_text(t, evaluations, concept_of::status, text_result_status());
    for (const measured_image &image : images) {
        if (!image.measured) {
            tree_text(t, evaluations, concept_of::not_analysed, image.prefix() + why_not_measured(*image.chain));
            continue;
        }
        impressions.push_back(add_impression(t, evaluations, job, image));
        conclusions.push_back(add_conclusion(t, evaluations, image));
        add_missing_steps(t, evaluations, job, image);
    }
    tree_text(t, evaluations, concept_of::limit, text_guessed_set(job));
    tree_text(t, evaluations, concept_of::model_notice, job.chain->reader.notice);
    tree_text(t, evaluations, concept_of::training, job.chain->reader.training);
    for (size_t i = 0; job.options->by_reference && i < impressions.size(); i++) /* what was measured comes first */
        add_references(t, images[i], impressions[i], conclusions[i]);
}

void content_measurements(report_tree &t, const report_job &job)
{
    std::vector<measured_image> images = images_of(job);
    const size_t root = tree_root(t, concept_of::measurement_report);
    tree_template(t, root, "1500");
    context_language_and_procedure(t, root, job);
    context_observer(t, root, job);
    add_image_library(t, root, images);
    const size_t measurements = tree_container(t, root, concept_of::imaging_measurements);
    add_algorithm(t, measurements, job);
    for (measured_image &image : images)
        for (size_t s = 0; image.measured && s < image.chain->n_steps; s++)
            if (image.chain->answers[s].available) add_group(t, measurements, job, image, s);
    add_evaluations(t, root, job, images);
}
