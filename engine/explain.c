/* What a reading says in words: probabilities, the rationale of each step from the schema's phrase, the summary. Only
 * computed facts are filled in; nothing is worded about a step the model was not trained for.
 * Certainty is the softmax, calibrated where the package has temperatures; the summary says which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"
#include "engine/wording.h"

#include <math.h>
#include <string.h>

static const char not_trained[] = "not trained: the training data has no labels for this step";
static const float worth_naming = 0.05f; /* a runner-up below this is not named in the rationale */

/* ---- one step ---- */
/* Numerically safe softmax of logits / temperature; double, so that the sum is 1 within float rounding. */
static void softmax(float *p, const float *logits, size_t n, float temperature)
{
    const double t = temperature > 0 ? (double)temperature : 1;
    double top = (double)logits[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = fmax(top, (double)logits[i]);
    for (size_t i = 0; i < n; i++) sum += exp(((double)logits[i] - top) / t);
    for (size_t i = 0; i < n; i++) p[i] = (float)(exp(((double)logits[i] - top) / t) / sum);
}

/* The largest but `without` (n: none); of equals, the first. */
static size_t largest(const float *p, size_t n, size_t without)
{
    size_t best = without == 0 && n > 1 ? 1 : 0;
    for (size_t i = 0; i < n; i++)
        if (i != without && p[i] > p[best]) best = i;
    return best;
}

static void fill_rationale(cot_answer *a, const cot_step *step, const cot_phrases *words)
{
    char certainty[PERCENT_MAX], second[PERCENT_MAX], count[24];
    const bool alone = a->second == a->answer || a->probability[a->second] < worth_naming;
    percent_text(certainty, a->probability[a->answer], words);
    percent_text(second, a->probability[a->second], words);
    snprintf(count, sizeof count, "%zu", a->n_options);
    const placeholder places[] = {{"answer", step->options[a->answer].label},
                                  {"certainty", certainty},
                                  {"second", step->options[a->second].label},
                                  {"second-certainty", second},
                                  {"step-count", count}};
    phrase_fill(a->rationale, sizeof a->rationale, alone ? step->phrase_alone : step->phrase, places,
                sizeof places / sizeof *places);
}

void answer_fill(cot_answer *answer, const cot_step *step, const cot_phrases *words, const float *logits,
                 float temperature)
{
    const size_t n = answer->n_options;
    softmax(answer->probability, logits, n, temperature);
    answer->calibrated = temperature > 0;
    answer->available = true;
    answer->reason[0] = 0;
    answer->answer = largest(answer->probability, n, n);
    answer->second = n > 1 ? largest(answer->probability, n, answer->answer) : answer->answer;
    fill_rationale(answer, step, words);
}

void answer_unavailable(cot_answer *answer, const cot_phrases *words)
{
    answer->available = false;
    phrase_fill(answer->reason, sizeof answer->reason, phrase_or(words->not_trained, not_trained), NULL, 0);
}

/* ---- the second reader ---- */
cot_status answer_compare(cot_answer *answer, const cot_step *step, const float *logits, float temperature,
                          const cot_steps *steps, const char *reader, cot_error *err)
{
    cot_status status;
    char certainty[PERCENT_MAX];
    cot_opinion *other = &answer->other;
    COT_TRY(cot_answer_other(answer, err));
    softmax(other->probability, logits, answer->n_options, temperature);
    other->calibrated = temperature > 0;
    other->available = true;
    other->answer = largest(other->probability, answer->n_options, answer->n_options);
    answer->disagreement = answer->available && other->answer != answer->answer;
    if (!answer->disagreement) goto done;
    percent_text(certainty, other->probability[other->answer], &steps->phrases);
    const placeholder places[] = {
        {"reader", reader}, {"answer", step->options[other->answer].label}, {"certainty", certainty}};
    phrase_append(answer->rationale, sizeof answer->rationale, steps->phrases.disagreement, places,
                  sizeof places / sizeof *places);
done:
    return status;
}

/* On how many steps the readers disagree, and on which; "" where no step has both answers. */
static void describe_readers(char *text, size_t size, const cot_chain *chain, const cot_steps *steps)
{
    char titles[513] = "", count[24], compared[24];
    size_t different = 0, both = 0;
    text[0] = 0;
    for (size_t s = 0; s < chain->n_steps; s++) {
        const cot_answer *a = &chain->answers[s];
        both += a->available && a->other.available;
        if (!a->disagreement) continue;
        if (different++) text_append(titles, sizeof titles, ", ");
        text_append(titles, sizeof titles, steps->steps[s].title);
    }
    const char *phrase = different ? steps->phrases.disagreements : steps->phrases.agreement;
    if (!both) return;
    snprintf(count, sizeof count, "%zu", different);
    snprintf(compared, sizeof compared, "%zu", both);
    const placeholder places[] = {
        {"reader", chain->other.role}, {"count", count}, {"compared", compared}, {"steps", titles}};
    phrase_fill(text, size, phrase, places, sizeof places / sizeof *places);
}

/* ---- the whole reading ---- */
static void append_answer(char *text, size_t size, const cot_answer *a, const cot_step *step, const cot_phrases *words)
{
    char certainty[PERCENT_MAX];
    percent_text(certainty, a->probability[a->answer], words);
    const placeholder places[] = {
        {"step", step->title}, {"answer", step->options[a->answer].label}, {"certainty", certainty}};
    phrase_append(text, size, phrase_or(words->answered, "{step}: {answer}, certainty {certainty}."), places,
                  sizeof places / sizeof *places);
}

static void append_missing(char *text, size_t size, const cot_chain *chain, const cot_steps *steps)
{
    const cot_phrases *words = &steps->phrases;
    char titles[sizeof chain->summary] = "";
    for (size_t s = 0; s < chain->n_steps; s++) {
        if (chain->answers[s].available) continue;
        if (titles[0]) text_append(titles, sizeof titles, ", ");
        text_append(titles, sizeof titles, steps->steps[s].title);
    }
    if (!titles[0]) return;
    const placeholder places[] = {{"steps", titles}, {"reason", phrase_or(words->not_trained, not_trained)}};
    phrase_append(text, size, phrase_or(words->missing, "Not available: {steps} ({reason})."), places,
                  sizeof places / sizeof *places);
}

/* The chain ends in its conclusion: the last step of the schema comes first here, then the others in order. Where the readers
 * disagree, and what the numbers are, is never cut: the answers get the room that this leaves. The model's notice is not
 * repeated here: table, JSON and report show it beside the summary. */
void chain_summarise(cot_chain *chain, const cot_steps *steps)
{
    const cot_phrases *words = &steps->phrases;
    char *text = chain->summary, readers[sizeof chain->summary / 3], limits[sizeof chain->summary / 2];
    const size_t size = sizeof chain->summary, last = chain->n_steps - 1;
    describe_readers(readers, sizeof readers, chain, steps);
    chain->calibrated = cot_chain_calibration(limits, sizeof limits, chain, steps);
    const size_t room = size - strlen(limits) - 1, answers_room = room - strlen(readers) - 1;
    text[0] = 0;
    if (chain->answers[last].available)
        append_answer(text, answers_room, &chain->answers[last], &steps->steps[last], words);
    for (size_t s = 0; s < last; s++)
        if (chain->answers[s].available) append_answer(text, answers_room, &chain->answers[s], &steps->steps[s], words);
    phrase_append(text, room, readers, NULL, 0);
    append_missing(text, room, chain, steps);
    phrase_append(text, size, limits, NULL, 0);
}
