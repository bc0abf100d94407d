/* What a reading promises (chain.h), checked before it is written and after it was read: whoever gets it later may rely on
 * every index, count and range. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_json.h"

#include <math.h>
#include <string.h>

static cot_status check_state(const cot_chain *chain, const cot_steps *steps, cot_error *err)
{
    if ((unsigned)chain->state > COT_CHAIN_REFUSED)
        return cot_fail(err, COT_E_INPUT, "reading: unknown state %d", (int)chain->state);
    if ((chain->state == COT_CHAIN_REFUSED) != (chain->refusal_id[0] != 0))
        return cot_fail(err, COT_E_INPUT, "reading: state \"%s\" and refusal \"%s\" contradict each other",
                        chain_state_names[chain->state], chain->refusal_id);
    if (chain->state == COT_CHAIN_REFUSED && chain->forced_id[0])
        return cot_fail(err, COT_E_INPUT, "reading: refused, and yet read by force");
    if (chain->answers && (!steps || chain->n_steps != steps->n_steps))
        return cot_fail(err, COT_E_INPUT, "reading: it has %zu steps, the step schema %zu", chain->n_steps,
                        steps ? steps->n_steps : 0);
    if (!chain->answers && chain->state != COT_CHAIN_REFUSED)
        return cot_fail(err, COT_E_INPUT, "reading: no steps, and no refusal that says why");
    if (chain->rows > CHAIN_SIDE_MAX || chain->cols > CHAIN_SIDE_MAX || !chain->rows != !chain->cols)
        return cot_fail(err, COT_E_INPUT, "reading: an image of %zu rows and %zu columns", chain->rows, chain->cols);
    if (!chain->has_other && chain->other.name[0])
        return cot_fail(err, COT_E_INPUT, "reading: a second reader that did not read");
    return COT_OK;
}

/* ---- one step ---- */
/* Probabilities 0..1 that sum to 1, `largest` the largest of them. */
static bool are_probabilities(const float *p, size_t n, size_t largest)
{
    double sum = 0;
    if (!p || largest >= n) return false;
    for (size_t i = 0; i < n; i++) {
        if (!(p[i] >= 0 && p[i] <= 1) || p[i] > p[largest]) return false;
        sum += (double)p[i];
    }
    return fabs(sum - 1) <= 1e-5;
}

static cot_status check_answer(const cot_answer *a, const cot_step *step, cot_error *err)
{
    if (a->n_options != step->n_options || !a->n_options || a->answer >= a->n_options || a->second >= a->n_options)
        return cot_fail(err, COT_E_INPUT, "reading: step %s has other answers than the step schema", step->id);
    if (!are_probabilities(a->probability, a->n_options, a->answer))
        return cot_fail(err, COT_E_INPUT, "reading: step %s: the probabilities do not agree with the answer", step->id);
    for (size_t i = 0; i < a->n_options; i++)
        if (i != a->answer && a->probability[i] > a->probability[a->second])
            return cot_fail(err, COT_E_INPUT, "reading: step %s: the probabilities do not agree with the answer",
                            step->id);
    if ((a->second == a->answer) != (a->n_options == 1))
        return cot_fail(err, COT_E_INPUT, "reading: step %s: the runner-up is wrong", step->id);
    return COT_OK;
}

static cot_status check_other(const cot_chain *chain, const cot_answer *a, const cot_step *step, cot_error *err)
{
    const cot_opinion *other = &a->other;
    if (other->available && !chain->has_other)
        return cot_fail(err, COT_E_INPUT, "reading: step %s has a second answer, the reading no second reader",
                        step->id);
    if (other->available &&
        (a->n_options != step->n_options || !are_probabilities(other->probability, a->n_options, other->answer)))
        return cot_fail(err, COT_E_INPUT,
                        "reading: step %s: the second reader's probabilities do not agree with its answer", step->id);
    if (a->disagreement != (a->available && other->available && a->answer != other->answer))
        return cot_fail(err, COT_E_INPUT, "reading: step %s: \"disagreement\" is not what the two answers say",
                        step->id);
    return COT_OK;
}

/* Inside the image, largest share first. */
static cot_status check_regions(const cot_chain *chain, const cot_answer *a, const cot_step *step, cot_error *err)
{
    double shares = 0;
    if (a->n_regions > CHAIN_REGIONS_MAX || (a->n_regions && !chain->rows) || (!a->n_regions && a->place[0]))
        return cot_fail(err, COT_E_INPUT,
                        "reading: step %s: %zu regions, at most %d, need an image's size; \"%s\" needs one", step->id,
                        a->n_regions, CHAIN_REGIONS_MAX, a->place);
    for (size_t r = 0; r < a->n_regions; r++) {
        const cot_region *region = &a->regions[r];
        shares += (double)region->share;
        if (!(region->share >= 0 && region->share <= 1) || (r && region->share > a->regions[r - 1].share) ||
            shares > 1 + 1e-4)
            return cot_fail(err, COT_E_INPUT, "reading: step %s: shares of regions must fall and sum to at most 1",
                            step->id);
        if (region->n_points < 3 || region->n_points > CHAIN_POINTS_MAX)
            return cot_fail(err, COT_E_INPUT, "reading: step %s: a region of %zu points; 3 to %d make one", step->id,
                            region->n_points, CHAIN_POINTS_MAX);
        for (size_t i = 0; i < region->n_points; i++) {
            const cot_point p = region->points[i];
            if (!(p.column >= 0 && (double)p.column <= (double)chain->cols) ||
                !(p.row >= 0 && (double)p.row <= (double)chain->rows))
                return cot_fail(err, COT_E_INPUT, "reading: step %s: a point of a region is outside the image",
                                step->id);
        }
    }
    return COT_OK;
}

/* Of earlier steps that were answered, each once, largest first. */
static cot_status check_influences(const cot_chain *chain, const cot_answer *a, size_t s, const cot_step *step,
                                   cot_error *err)
{
    for (size_t i = 0; i < a->n_influences; i++) {
        const cot_influence *one = &a->influences[i];
        bool good = one->step < s && chain->answers[one->step].available && one->change >= -1 && one->change <= 1;
        good = good && (!i || fabsf(one->change) <= fabsf(a->influences[i - 1].change));
        for (size_t k = 0; k < i; k++) good = good && a->influences[k].step != one->step;
        if (!good)
            return cot_fail(
                err, COT_E_INPUT,
                "reading: step %s: influences are changes from -1 to 1 of earlier answered steps, each once, "
                "largest first",
                step->id);
    }
    return COT_OK;
}

static cot_status check_evidence(const cot_chain *chain, size_t s, const cot_step *step, cot_error *err)
{
    const cot_answer *a = &chain->answers[s];
    cot_status status;
    if ((!a->located && a->n_regions) || (!a->weighed && a->n_influences) ||
        (!a->available && (a->located || a->weighed)))
        return cot_fail(err, COT_E_INPUT, "reading: step %s: evidence for what was not answered or not computed",
                        step->id);
    COT_TRY(check_regions(chain, a, step, err));
    COT_TRY(check_influences(chain, a, s, step, err));
done:
    return status;
}

cot_status chain_consistent(const cot_chain *chain, const cot_steps *steps, cot_error *err)
{
    cot_status status;
    size_t missing = 0;
    COT_TRY(check_state(chain, steps, err));
    for (size_t s = 0; chain->answers && s < chain->n_steps; s++) {
        const cot_answer *a = &chain->answers[s];
        missing += !a->available;
        if (a->available && chain->state == COT_CHAIN_REFUSED)
            return cot_fail(err, COT_E_INPUT, "reading: refused, and yet step %s is answered", steps->steps[s].id);
        if (a->available) COT_TRY(check_answer(a, &steps->steps[s], err));
        COT_TRY(check_other(chain, a, &steps->steps[s], err));
        COT_TRY(check_evidence(chain, s, &steps->steps[s], err));
    }
    if (chain->state != COT_CHAIN_REFUSED && (chain->state == COT_CHAIN_PARTIAL) != (missing > 0))
        return cot_fail(err, COT_E_INPUT, "reading: it is called %s, and %zu of %zu steps are missing",
                        chain_state_names[chain->state], missing, chain->n_steps);
done:
    return status;
}
