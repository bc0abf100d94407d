/* What the reading report says, in the order a person reads it: summary, one section per step of the schema, limits,
 * algorithm, and the image last. An image that was not analysed gets the reason in place of steps; a step without an answer
 * gets its reason in place of an answer. Nothing is said that does not follow from the chain, the schema or the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_concepts.h"
#include "dicom/report_internal.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

/* ---- one step ---- */
/* The name of the answer in standard codes: the schema's concept where the standard has one, else Finding; a place that has a
 * standard code is a Finding Site. */
static const cot_code &finding_name(const cot_steps &steps, const cot_step &step, const cot_option &option)
{
    const bool is_place = !std::strcmp(step.concept.value, "112013") && !std::strcmp(step.concept.scheme, "DCM");
    if (is_place && !std::strcmp(option.code.scheme, "SCT")) return concept_of::finding_site;
    return std::strcmp(step.concept.scheme, steps.scheme.value) ? step.concept : concept_of::finding;
}

/* All options but the answer, most probable first. */
static void add_other_options(report_tree &t, size_t parent, const cot_steps &steps, const cot_step &step,
                              const cot_answer &answer)
{
    if (answer.n_options < 2) return;
    std::vector<size_t> order(answer.n_options);
    std::iota(order.begin(), order.end(), size_t{0});
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(answer.answer));
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return answer.probability[a] > answer.probability[b]; });
    const size_t box = tree_container(t, parent, concept_of::options);
    for (const size_t o : order)
        tree_percent(t, box, context_option_key(steps, step.options[o]), static_cast<double>(answer.probability[o]));
}

/* What the second reader says to the step; where it says otherwise, in words too. */
static void add_second_reader(report_tree &t, size_t section, const report_job &job, const cot_step &step,
                              const cot_answer &answer)
{
    if (!answer.other.available) return;
    const cot_option &option = step.options[answer.other.answer];
    const double certainty = static_cast<double>(answer.other.probability[answer.other.answer]);
    if (answer.disagreement)
        tree_text(t, section, concept_of::attention,
                  std::string("the second reader (") + job.chain->other.role + ") answers \"" + option.label + "\", " +
                      text_percent(certainty) + " %: the two readers disagree, a person should look here first");
    tree_code(t, section, concept_of::other_answer, context_option_key(*job.steps, option));
    tree_percent(t, section, concept_of::other_certainty, certainty);
}

/* The earlier answers, strongest first, as the chain has them. */
static void add_influences(report_tree &t, size_t section, const report_job &job, const cot_answer &answer)
{
    char text[512];
    for (size_t i = 0; answer.weighed && i < answer.n_influences; i++) {
        cot_influence_text(text, sizeof text, job.chain, job.steps, &answer.influences[i]);
        tree_text(t, section, concept_of::premise, text);
    }
}

/* A reading by force keeps its answers under their private keys only: no search for a finding may meet it. */
static void add_step(report_tree &t, size_t root, const report_job &job, size_t s)
{
    const cot_steps &steps = *job.steps;
    const cot_step &step = steps.steps[s];
    const cot_answer &answer = job.chain->answers[s];
    const size_t section = tree_container(t, root, step.code);
    tree_text(t, section, concept_of::question, step.question);
    if (!answer.available) {
        tree_text(t, section, concept_of::answer, context_not_available(answer));
        add_second_reader(t, section, job, step, answer);
        return;
    }
    const cot_option &option = step.options[answer.answer];
    tree_code(t, section, concept_of::answer, context_option_key(steps, option));
    tree_percent(t, section, concept_of::certainty, static_cast<double>(answer.probability[answer.answer]));
    add_second_reader(t, section, job, step, answer);
    tree_text(t, section, concept_of::rationale, answer.rationale);
    tree_text(t, section, concept_of::place, cot_answer_place(&answer));
    add_influences(t, section, job, answer);
    if (!job.forced()) tree_coded(t, section, finding_name(steps, step, option), option);
    add_other_options(t, section, steps, step, answer);
}

/* ---- summary ---- */
/* "2 of 7 steps …: title; title"; "" where they agree, or one read alone. */
static std::string disagreements(const report_job &job)
{
    size_t different = 0, both = 0;
    std::string titles;
    for (size_t s = 0; s < job.chain->n_steps; s++) {
        const cot_answer &answer = job.chain->answers[s];
        both += answer.available && answer.other.available;
        if (!answer.disagreement) continue;
        titles += (different++ ? "; " : "") + std::string(job.steps->steps[s].title);
    }
    return different ? "the two readers disagree on " + std::to_string(different) + " of the " + std::to_string(both) +
                           " steps that both answered: " + titles
                     : "";
}

static void add_model_words(report_tree &t, size_t section, const cot_reader &reader)
{
    tree_text(t, section, concept_of::model_notice, reader.notice);
    tree_text(t, section, concept_of::training, reader.training);
}

/* The schema's last question is the diagnosis: the others lead to it. */
static void add_summary(report_tree &t, size_t root, const report_job &job)
{
    const cot_chain &chain = *job.chain;
    const size_t last = chain.n_steps - 1;
    const cot_answer &diagnosis = chain.answers[last];
    const size_t section = tree_container(t, root, concept_of::summary);
    if (job.forced()) {
        tree_text(t, section, concept_of::impression,
                  std::string("not given: read by force, although ") + job.chain->forced);
    } else if (diagnosis.available) {
        tree_coded(t, section, concept_of::impression, job.steps->steps[last].options[diagnosis.answer]);
        tree_percent(t, section, concept_of::certainty, static_cast<double>(diagnosis.probability[diagnosis.answer]));
    } else {
        tree_text(t, section, concept_of::impression, context_not_available(diagnosis));
    }
    tree_text(t, section, concept_of::attention, disagreements(job));
    tree_text(t, section, concept_of::conclusion, chain.summary);
    tree_text(t, section, concept_of::steps_answered,
              std::to_string(job.steps_available()) + " of " + std::to_string(chain.n_steps));
    tree_text(t, section, concept_of::status, text_result_status());
    add_model_words(t, section, chain.reader);
}

static void add_refusal(report_tree &t, size_t root, const report_job &job)
{
    const size_t section = tree_container(t, root, concept_of::summary);
    const std::string why = job.chain->refusal;
    tree_text(t, section, concept_of::not_analysed, why.empty() ? "no reason was given" : why);
    tree_text(t, section, concept_of::refusal, job.chain->refusal_id);
    tree_text(t, section, concept_of::status, text_result_status());
}

/* ---- limits: each sentence follows from chain, schema or header ---- */
static std::string missing_steps(const report_job &job)
{
    std::string titles;
    for (size_t s = 0; s < job.chain->n_steps; s++)
        if (!job.chain->answers[s].available)
            titles += (titles.empty() ? "" : "; ") + std::string(job.steps->steps[s].title);
    const size_t missing = job.chain->n_steps - job.steps_available();
    return titles.empty() ? ""
                          : std::to_string(missing) + " of " + std::to_string(job.chain->n_steps) +
                                (missing == 1 ? " steps has no answer: " : " steps have no answer: ") + titles + ".";
}

static std::string second_missing(const report_job &job)
{
    std::string titles;
    for (size_t s = 0; job.chain->has_other && s < job.chain->n_steps; s++)
        if (!job.chain->answers[s].other.available)
            titles += (titles.empty() ? "" : "; ") + std::string(job.steps->steps[s].title);
    return titles.empty() ? "" : "The second reader has no answer to: " + titles + ".";
}

static std::string own_wording(const report_job &job)
{
    size_t ours = 0, all = 0;
    for (size_t s = 0; s < job.chain->n_steps; s++) {
        const cot_step &step = job.steps->steps[s];
        for (size_t o = 0; job.chain->answers[s].available && o < step.n_options; o++, all++)
            ours += step.options[o].ours;
    }
    return ours ? "The wording of " + std::to_string(ours) + " of the " + std::to_string(all) +
                      " possible answers was chosen by this project; the data set does not publish it."
                : "";
}

static void add_close_calls(report_tree &t, size_t section, const report_job &job)
{
    for (size_t s = 0; s < job.chain->n_steps; s++) {
        const cot_answer &a = job.chain->answers[s];
        const cot_step &step = job.steps->steps[s];
        if (!a.available || a.second >= a.n_options || a.second == a.answer) continue;
        const double first = static_cast<double>(a.probability[a.answer]),
                     second = static_cast<double>(a.probability[a.second]);
        if (first - second >= 0.1) continue;
        tree_text(t, section, concept_of::limit,
                  std::string(step.title) + " is undecided: \"" + step.options[a.answer].label + "\" (" +
                      text_percent(first) + " %) is less than 10 percentage points ahead of \"" +
                      step.options[a.second].label + "\" (" + text_percent(second) + " %).");
    }
}

/* What the image itself takes away from the reading. */
static std::vector<std::string> image_limits(const report_job &job)
{
    std::vector<std::string> limits;
    if (job.forced())
        limits.push_back(std::string("This image is outside the scope of the model and was read by force, although ") +
                         job.chain->forced + ". The answers mean nothing.");
    if (job.source.child)
        limits.push_back("By its header the image is of a patient under 18 years old. Readings are meant for images of "
                         "adults; how well children's images are read was not tested here.");
    if (job.chain->range_from_pixels)
        limits.push_back("The file does not say which of its values are black and white (no usable VOI LUT or window); "
                         "the range was taken from the pixels, so the image may have been read darker, brighter or "
                         "flatter than it is viewed.");
    return limits;
}

/* Where some are calibrated and some are not, the sentence of the summary, which names them. */
static std::string certainties(const report_job &job)
{
    char text[sizeof job.chain->summary];
    if (job.chain->calibrated)
        return "Certainties were calibrated on validation images of the training data; on images of another origin 90 "
               "% "
               "need not mean right in 9 of 10 cases.";
    for (size_t s = 0; s < job.chain->n_steps; s++) {
        const cot_answer &a = job.chain->answers[s];
        if (!(a.available && a.calibrated) && !(a.other.available && a.other.calibrated)) continue;
        cot_chain_calibration(text, sizeof text, job.chain, job.steps);
        return text;
    }
    return "Certainties are the model's own probabilities. They are not calibrated: 90 % does not mean right in 9 of "
           "10 "
           "cases.";
}

static void add_limits(report_tree &t, size_t root, const report_job &job)
{
    const size_t section = tree_container(t, root, concept_of::limits);
    const auto say = [&](const std::string &sentence) { tree_text(t, section, concept_of::limit, sentence); };
    if (!job.refused()) {
        for (const std::string &sentence : image_limits(job)) say(sentence);
        say(missing_steps(job));
        say(second_missing(job));
        if (job.steps_available()) {
            say(certainties(job));
            add_close_calls(t, section, job);
            say(own_wording(job));
        }
        say("Only the answers listed under a step can be given; whatever else the image shows is not reported.");
        say("This one image was read by itself: no other view, no earlier image, no clinical information.");
    } else {
        say("No question was answered and nothing is said about the patient.");
        if (job.chain->reader.name[0]) say("The model named below was not asked.");
    }
    say(text_guessed_set(job));
}

/* ---- algorithm (TID 4019) and image ---- */
static void add_algorithm(report_tree &t, size_t root, const report_job &job)
{
    const cot_reader &reader = job.chain->reader;
    const size_t section = tree_container(t, root, concept_of::algorithm);
    tree_text(t, section, concept_of::algorithm_name, reader.name[0] ? reader.name : "no model was asked");
    tree_text(t, section, concept_of::algorithm_version, reader.version);
    tree_code(t, section, concept_of::algorithm_family, concept_of::artificial_intelligence);
    for (const std::string &parameter : context_algorithm_parameters(job))
        tree_text(t, section, concept_of::algorithm_parameters, parameter);
}

static std::string class_name(const std::string &sop_class)
{
    static const char *const names[][2] = {
        {UID_ComputedRadiographyImageStorage, "Computed Radiography image"},
        {UID_DigitalXRayImageStorageForPresentation, "Digital X-Ray image, for presentation"},
        {UID_DigitalXRayImageStorageForProcessing, "Digital X-Ray image, for processing"},
        {UID_SecondaryCaptureImageStorage, "Secondary Capture image"},
    };
    for (const auto &name : names)
        if (sop_class == name[0]) return name[1];
    const char *known = dcmFindNameOfUID(sop_class.c_str());
    return known ? known : sop_class;
}

static void describe_image(report_tree &t, size_t section, const report_source &source)
{
    std::string object = class_name(source.sop_class);
    if (!source.rows.empty() && !source.columns.empty())
        object += ", " + source.columns + " x " + source.rows + " pixels";
    tree_text(t, section, concept_of::object_kind, object + ", " + source.transfer_syntax);
    tree_text(t, section, concept_of::modality, source.modality);
    tree_text(t, section, concept_of::body_part, source.body_part);
    tree_text(t, section, concept_of::view_position, source.view_position);
    tree_image(t, section, concept_of::original_source, source.sop_class, source.sop_instance);
}

static const cot_code &images_name(const cot_chain &chain)
{
    return chain.state == COT_CHAIN_REFUSED ? concept_of::image_received : concept_of::image_analysed;
}

/* ---- one image ---- */
static void add_reading(report_tree &t, size_t root, const report_job &job)
{
    if (job.refused()) {
        add_refusal(t, root, job);
    } else {
        add_summary(t, root, job);
        for (size_t s = 0; s < job.chain->n_steps; s++) add_step(t, root, job, s);
    }
    add_limits(t, root, job);
}

static void add_image(report_tree &t, size_t root, const report_job &job)
{
    describe_image(t, tree_container(t, root, images_name(*job.chain)), job.source);
}

/* ---- several images of a study ---- */
/* A section of its own, under what people call the image; its code says no more than its number. */
static size_t image_container(report_tree &t, size_t parent, const report_source &source, size_t number)
{
    cot_code name = {"", COT_REPORT_SCHEME, ""};
    snprintf(name.value, sizeof name.value, "%s", ("IMAGE_" + std::to_string(number)).c_str());
    snprintf(name.meaning, sizeof name.meaning, "%s", image_label(source, number).c_str());
    return tree_container(t, parent, name);
}

/* The report's job as if it were about this image alone. */
static void of_one(report_job &one, const report_job &job, const report_picture &picture)
{
    one.source = picture.source;
    one.chain = picture.chain;
    one.dataset_sha256 = picture.dataset_sha256;
    one.steps = job.steps;
    one.options = job.options;
}

static void add_study_summary(report_tree &t, size_t root, const std::vector<report_job> &images)
{
    const size_t section = tree_container(t, root, concept_of::summary);
    size_t read = 0;
    for (size_t i = 0; i < images.size(); i++) {
        const cot_chain &chain = *images[i].chain;
        const std::string label = image_label(images[i].source, i + 1) + ": ";
        if (chain.state == COT_CHAIN_REFUSED)
            tree_text(t, section, concept_of::not_analysed, label + why_not_measured(chain));
        else
            tree_text(t, section, concept_of::conclusion, label + chain.summary);
        read += chain.state != COT_CHAIN_REFUSED;
    }
    tree_text(t, section, concept_of::images_read,
              std::to_string(read) + " of " + std::to_string(images.size()) + "; each was read by itself");
    tree_text(t, section, concept_of::status, text_result_status());
    add_model_words(t, section, images[0].chain->reader);
}

static void add_images(report_tree &t, size_t root, const std::vector<report_job> &images)
{
    const size_t section = tree_container(t, root, concept_of::images_of_study);
    for (size_t i = 0; i < images.size(); i++) {
        const size_t box = image_container(t, section, images[i].source, i + 1);
        describe_image(t, box, images[i].source);
    }
}

static void add_study(report_tree &t, size_t root, const report_job &job)
{
    std::vector<report_job> images(1 + job.more.size());
    of_one(images[0], job, {job.source, job.chain, job.dataset_sha256});
    for (size_t i = 1; i < images.size(); i++) of_one(images[i], job, job.more[i - 1]);
    add_study_summary(t, root, images);
    for (size_t i = 0; i < images.size(); i++)
        add_reading(t, image_container(t, root, images[i].source, i + 1), images[i]);
    add_algorithm(t, root, job);
    add_images(t, root, images);
}

void content_reading(report_tree &t, const report_job &job)
{
    const size_t root = tree_root(t, job.options->title);
    context_language_and_procedure(t, root, job);
    if (job.more.empty()) {
        add_reading(t, root, job);
        add_algorithm(t, root, job);
        add_image(t, root, job);
    } else {
        add_study(t, root, job);
    }
    context_observer(t, root, job);
}
