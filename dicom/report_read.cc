/* A measurement report back into the chain it was written from: what other programs can take out of it, and the proof that
 * nothing is lost. Only reports of this program (99STEPCOT) about one image are read; the file may come from anywhere and goes
 * through the guard. What a report does not hold (relevance maps, size of the image, rationale of steps without answer) stays
 * empty. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/report_concepts.h"
#include "dicom/translate.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

enum : size_t { MOST_POINTS = 100000 };

[[noreturn]] static void read_fail(const lint_item &item, const std::string &what)
{
    report_fail(COT_E_INPUT, "read report: item " + item.position + ": " + what);
}

static void require_memory(cot_status status, const cot_error &err)
{
    if (status != COT_OK) report_fail(status, err.text);
}

template <size_t n> static void put(char (&to)[n], const std::string &text)
{
    snprintf(to, n, "%s", text.c_str());
}

/* CR LF is how DICOM ends a line; the chain has LF. */
static std::string plain(const std::string &text)
{
    std::string out;
    for (size_t i = 0; i < text.size(); i++)
        if (text[i] != '\r' || i + 1 >= text.size() || text[i + 1] != '\n') out += text[i];
    return out;
}

static std::string text_of(const lint_item &parent, const cot_code &name)
{
    const lint_item *item = parent.child(name);
    return item ? plain(item->text) : "";
}

static float fraction_of(const lint_item &item)
{
    double percent = 0;
    int decimals = 0;
    if (!lint_percent(item, percent, decimals)) read_fail(item, "no percentage");
    return static_cast<float>(percent / 100);
}

/* ---- which step, which option ---- */
static size_t step_of(const lint_item &code, const cot_steps &steps)
{
    for (size_t s = 0; s < steps.n_steps; s++)
        if (code.value.is(steps.steps[s].code)) return s;
    read_fail(code, "a step that the schema does not have");
}

static size_t option_of(const lint_item &code, const cot_steps &steps, const cot_step &step)
{
    for (size_t o = 0; o < step.n_options; o++)
        if (code.value.is(context_option_key(steps, step.options[o]))) return o;
    read_fail(code, "an answer that the schema does not have");
}

static void read_probabilities(const lint_item &box, const cot_steps &steps, const cot_step &step, float *probability)
{
    size_t n = 0;
    for (const auto &item : box.children) {
        const lint_item *option = item->child(concept_of::option);
        if (!option) read_fail(*item, "a probability of no option");
        probability[option_of(*option, steps, step)] = fraction_of(*item);
        n++;
    }
    if (n != step.n_options) read_fail(box, "not every option has a probability");
}

static size_t second_of(const cot_answer &a)
{
    size_t second = a.answer;
    for (size_t o = 0; o < a.n_options; o++)
        if (o != a.answer && (second == a.answer || a.probability[o] > a.probability[second])) second = o;
    return second;
}

/* ---- evidence ---- */
static void read_region(const lint_item &group, cot_region &region)
{
    const lint_item *outline = group.child(concept_of::image_region), *basis = group.child(concept_of::region_basis);
    const lint_item *share = basis ? basis->child(concept_of::share) : nullptr;
    std::vector<float> values;
    Float32 value = 0;
    cot_error err = COT_ERROR_INIT;
    if (!outline || !share) read_fail(group, "no region with its share");
    for (unsigned long i = 0; i < 2 * MOST_POINTS && outline->data->findAndGetFloat32(DCM_GraphicData, value, i).good();
         i++)
        values.push_back(value);
    const size_t n = values.size() / 2;
    if (n < 4) read_fail(*outline, "too few points");
    require_memory(cot_region_points(&region, n - 1, &err), err); /* the last repeats the first */
    for (size_t p = 0; p + 1 < n; p++) region.points[p] = {values[2 * p], values[2 * p + 1]};
    region.share = fraction_of(*share);
}

/* Its own region is no premise; neither is anything a broken reference leads to. */
static bool is_premise(const lint_report &report, const lint_item &item)
{
    if (item.relation != "INFERRED FROM") return false;
    if (!item.by_reference()) return true;
    std::string path;
    for (const Uint32 number : item.target) path += (path.empty() ? "" : ".") + std::to_string(number);
    const lint_item *target = report.at(path);
    return target && target->type == "CODE";
}

static void read_effects(const lint_report &report, const lint_item &answer_item, const cot_steps &steps, cot_answer &a)
{
    std::vector<cot_influence> influences;
    cot_error err = COT_ERROR_INIT;
    bool premises = false;
    for (const auto &item : answer_item.children) {
        premises = premises || is_premise(report, *item);
        if (!item->name.is(concept_of::effect)) continue;
        const lint_item *step = item->child(concept_of::step);
        if (!step) read_fail(*item, "the effect of no step");
        influences.push_back({step_of(*step, steps), fraction_of(*item)});
    }
    a.weighed = !influences.empty() || !premises;
    require_memory(cot_answer_influences(&a, influences.size(), &err), err);
    std::copy(influences.begin(), influences.end(), a.influences);
}

static void read_other(const lint_item &group, const cot_steps &steps, const cot_step &step, cot_answer &a)
{
    const lint_item *answer = group.child(concept_of::other_answer), *all = group.child(concept_of::other_options),
                    *agreement = group.child(concept_of::agreement);
    cot_error err = COT_ERROR_INIT;
    if (!answer || !all) return;
    require_memory(cot_answer_other(&a, &err), err);
    a.other.available = true;
    a.other.answer = option_of(*answer, steps, step);
    read_probabilities(*all, steps, step, a.other.probability);
    a.disagreement = agreement && agreement->value.is(concept_of::disagree);
}

/* ---- groups ---- */
static void read_step(const lint_report &report, const lint_item &group, const cot_steps &steps, size_t s,
                      cot_answer &a)
{
    const cot_step &step = steps.steps[s];
    const lint_item *answer = group.child(concept_of::answer), *all = group.child(concept_of::all_options),
                    *coded = group.child(step.concept), *basis = group.child(concept_of::region_basis);
    if (!answer || !all || !coded || !basis) read_fail(group, "lacks answer, probabilities or basis of its region");
    a.available = true;
    a.answer = option_of(*answer, steps, step);
    read_probabilities(*all, steps, step, a.probability);
    a.second = second_of(a);
    put(a.rationale, text_of(group, concept_of::rationale));
    put(a.place, text_of(group, concept_of::place));
    a.located = !basis->value.is(concept_of::basis_none);
    read_effects(report, *coded, steps, a);
    read_other(group, steps, step, a);
}

static void read_groups(const lint_report &report, const lint_item &measurements, const cot_steps &steps,
                        cot_chain &chain)
{
    std::vector<std::vector<const lint_item *>> regions(steps.n_steps);
    cot_error err = COT_ERROR_INIT;
    for (const auto &group : measurements.children) {
        if (!group->is_container(concept_of::measurement_group)) continue;
        const lint_item *code = group->child(concept_of::step), *basis = group->child(concept_of::region_basis);
        if (!code || !basis) read_fail(*group, "names no step");
        const size_t s = step_of(*code, steps);
        if (basis->value.is(concept_of::basis_relevance)) regions[s].push_back(group.get());
        if (!group->child(concept_of::answer)) continue; /* a further region */
        if (chain.answers[s].available) report_fail(COT_E_INPUT, "read report: it is about several images");
        read_step(report, *group, steps, s, chain.answers[s]);
    }
    for (size_t s = 0; s < steps.n_steps; s++) {
        require_memory(cot_answer_regions(&chain.answers[s], regions[s].size(), &err), err);
        for (size_t r = 0; r < regions[s].size(); r++) read_region(*regions[s][r], chain.answers[s].regions[r]);
    }
}

/* ---- the reader and the words ---- */
static void read_parameter(const std::string &text, cot_chain &chain)
{
    const size_t colon = text.find(": ");
    if (colon == std::string::npos) return;
    const std::string label = text.substr(0, colon), value = plain(text.substr(colon + 2));
    cot_reader &reader = chain.reader, &other = chain.other;
    if (label == "role") put(reader.role, value);
    if (label == "model package SHA-256") put(reader.package_sha256, value);
    if (label == "rendering") put(chain.rendering, value);
    if (label == "grey range") chain.range_from_pixels = true;
    if (label == "certainties") chain.calibrated = true;
    if (label == "device") put(reader.device, value);
    if (label == "program") put(reader.program, value);
    if (label == "second reader") put(other.name, value);
    if (label == "second reader's version") put(other.version, value);
    if (label == "second reader's role") put(other.role, value);
    if (label == "second reader's package SHA-256") put(other.package_sha256, value);
    chain.has_other = chain.has_other || label == "second reader";
}

static void read_reader(const lint_item &measurements, cot_chain &chain)
{
    put(chain.reader.name, text_of(measurements, concept_of::algorithm_name));
    put(chain.reader.version, text_of(measurements, concept_of::algorithm_version));
    for (const auto &item : measurements.children)
        if (item->name.is(concept_of::algorithm_parameters)) read_parameter(item->text, chain);
}

static void read_words(const lint_item &evaluations, const cot_steps &steps, cot_chain &chain)
{
    static const char prefix[] = "not available: ";
    put(chain.summary, text_of(evaluations, concept_of::conclusion));
    put(chain.reader.notice, text_of(evaluations, concept_of::model_notice));
    put(chain.reader.training, text_of(evaluations, concept_of::training));
    for (size_t s = 0; s < steps.n_steps; s++) {
        const std::string text = text_of(evaluations, steps.steps[s].code);
        if (text.compare(0, sizeof prefix - 1, prefix) == 0)
            put(chain.answers[s].reason, text.substr(sizeof prefix - 1));
    }
}

static void read_chain(const lint_report &report, const cot_steps &steps, cot_chain &chain)
{
    const lint_item *measurements = report.root.child(concept_of::imaging_measurements),
                    *evaluations = report.root.child(concept_of::qualitative_evaluations);
    if (!report.root.name.is(concept_of::measurement_report) || !measurements || !evaluations)
        report_fail(COT_E_INPUT, "read report: it is no measurement report of this program");
    read_reader(*measurements, chain);
    read_words(*evaluations, steps, chain);
    read_groups(report, *measurements, steps, chain);
    size_t n = 0;
    for (size_t s = 0; s < steps.n_steps; s++) n += chain.answers[s].available;
    chain.state = n == steps.n_steps ? COT_CHAIN_COMPLETE : COT_CHAIN_PARTIAL;
}

extern "C" cot_status cot_report_read(cot_chain **out, const char *path, const cot_steps *steps, cot_error *err)
try {
    cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    limits.max_bytes = (size_t)32 << 20;
    limits.no_digest = true;
    cot_dicom_head head;
    *out = nullptr;
    cot_status status = cot_dicom_guard(&head, path, &limits, err);
    if (status != COT_OK) return status;
    lint_report report;
    const OFCondition condition = report.file.loadFile(path);
    if (condition.bad()) return cot_fail(err, COT_E_INPUT, "read report: %s", condition.text());
    lint_tree_build(report);
    cot_chain *chain = nullptr;
    if ((status = cot_chain_create(&chain, steps, err)) != COT_OK) return status;
    std::unique_ptr<cot_chain, void (*)(cot_chain *)> owner(chain, cot_chain_destroy);
    read_chain(report, *steps, *chain);
    *out = owner.release();
    return COT_OK;
} catch (const report_failure &failure) {
    return cot_fail(err, failure.status, "%s", failure.text.c_str());
} catch (...) {
    return fail_exception(err, "read report");
}
