/* What an answer rests on. Each influence is a number (by how much the earlier step changes the probability of this answer)
 * and an INFERRED FROM relation to the earlier answer, strongest first: by value (the answer once more, with the Observation
 * UID and Tracking Unique Identifier of the first) or by reference (a path to it). Where nothing was weighed, the answer is
 * inferred from all earlier answers, as the model is built, and no number is given. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/measurement.h"

static std::vector<size_t> premises_of(const cot_chain &chain, size_t step)
{
    std::vector<size_t> premises;
    const cot_answer &answer = chain.answers[step];
    for (size_t i = 0; i < answer.n_influences; i++) premises.push_back(answer.influences[i].step);
    for (size_t s = 0; !answer.weighed && s < step; s++)
        if (chain.answers[s].available) premises.push_back(s);
    return premises;
}

static void add_laterality(report_tree &t, size_t item, const cot_option &option)
{
    if (option.laterality.value[0])
        tree_item_code(t, item, DSRTypes::RT_hasConceptMod, concept_of::laterality, option.laterality);
}

void add_restated(report_tree &t, size_t parent, const report_job &job, const measured_image &image, size_t step)
{
    const cot_step &schema = job.steps->steps[step];
    const cot_option &option = schema.options[image.chain->answers[step].answer];
    const size_t item = tree_item_code(t, parent, DSRTypes::RT_inferredFrom, schema.concept, option.code);
    report_require(t.tree.getCurrentContentItem().setObservationUID(observation_uid_of(job, image, step).c_str()),
                   "report: observation UID");
    add_laterality(t, item, option);
    tree_item_string(t, item, DSRTypes::RT_hasObsContext, DSRTypes::VT_UIDRef, concept_of::tracking_uid,
                     tracking_uid_of(job, image, step, 0));
}

void add_premises(report_tree &t, const report_job &job, const measured_image &image, size_t step)
{
    const cot_answer &answer = image.chain->answers[step];
    const size_t parent = image.answer_items[step];
    for (size_t i = 0; i < answer.n_influences; i++) {
        const cot_influence &influence = answer.influences[i];
        const size_t number =
            tree_item_number(t, parent, DSRTypes::RT_hasProperties, concept_of::effect,
                             measured_percent(static_cast<double>(influence.change)), concept_of::percent);
        tree_item_code(t, number, DSRTypes::RT_hasConceptMod, concept_of::step, job.steps->steps[influence.step].code);
    }
    if (job.options->by_reference) return;
    for (const size_t premise : premises_of(*image.chain, step)) add_restated(t, parent, job, image, premise);
}

static void refer(report_tree &t, size_t from, size_t to)
{
    if (!t.tree.gotoNode(from) || !t.tree.addByReferenceRelationship(DSRTypes::RT_inferredFrom, to))
        report_fail(COT_E_BUG, "report: DCMTK refuses a by-reference relation");
}

void add_references(report_tree &t, const measured_image &image, size_t impression, size_t conclusion)
{
    for (size_t s = 0; s < image.chain->n_steps; s++) {
        if (!image.answer_items[s]) continue;
        for (const size_t premise : premises_of(*image.chain, s))
            refer(t, image.answer_items[s], image.answer_items[premise]);
        refer(t, image.answer_items[s], image.region_items[s]);
        if (conclusion) refer(t, conclusion, image.answer_items[s]);
    }
    if (impression) refer(t, impression, image.answer_items[image.chain->n_steps - 1]);
}
