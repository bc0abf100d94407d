/* What a reading says in words: probabilities, the rationale of each step from the schema's phrase, the summary. Only
 * computed facts are filled in; nothing is worded about a step the model was not trained for.
 * Certainty is the softmax, calibrated where the package has temperatures; the summary says which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"

#include <math.h>
#include <string.h>

static const char not_trained[] = "not trained: the training data has no labels for this step";
static const float worth_naming = 0.05f; /* a runner-up below this is not named in the rationale */

/* ---- text ---- */
/* Appends and cuts, never inside a UTF-8 character. */
static void append(char *text, size_t size, const char *more, size_t n)
{
    const size_t at = strlen(text);
    if (at + n >= size) {
        n = size - 1 - at;
        while (n && ((unsigned char)more[n] & 0xc0) == 0x80) n--;
    }
    memcpy(text + at, more, n);
    text[at + n] = 0;
}

static void append_text(char *text, size_t size, const char *more)
{
    append(text, size, more, strlen(more));
}

/* "43.2%", with the table's one decimal; the ends are worded, since a softmax never says impossible or certain. */
static void percent(char text[16], float probability)
{
    const double p = 100.0 * (double)probability;
    if (p < 1)
        snprintf(text, 16, "under 1%%");
    else if (p > 99)
        snprintf(text, 16, "over 99%%");
    else
        snprintf(text, 16, "%.1f%%", p);
}

typedef struct placeholder {
    const char *name, *value;
} placeholder;

/* Copies `phrase`, putting values in place of {names}; what is no known placeholder stays as it stands. */
static void fill_phrase(char *text, size_t size, const char *phrase, const placeholder *places, size_t n)
{
    text[0] = 0;
    while (*phrase) {
        const size_t plain = strcspn(phrase, "{");
        append(text, size, phrase, plain);
        phrase += plain;
        if (!*phrase) break;
        const char *end = strchr(phrase, '}'), *value = NULL;
        const size_t length = end ? (size_t)(end - phrase) - 1 : 0;
        for (size_t i = 0; end && i < n; i++)
            if (strlen(places[i].name) == length && !strncmp(places[i].name, phrase + 1, length))
                value = places[i].value;
        if (value) {
            append_text(text, size, value);
            phrase = end + 1;
        } else {
            append(text, size, phrase++, 1);
        }
    }
}

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

static void fill_rationale(cot_answer *a, const cot_step *step)
{
    char certainty[16], second[16], count[24];
    const bool alone = a->second == a->answer || a->probability[a->second] < worth_naming;
    percent(certainty, a->probability[a->answer]);
    percent(second, a->probability[a->second]);
    snprintf(count, sizeof count, "%zu", a->n_options);
    const placeholder places[] = {{"answer", step->options[a->answer].label},
                                  {"certainty", certainty},
                                  {"second", step->options[a->second].label},
                                  {"second-certainty", second},
                                  {"step-count", count}};
    fill_phrase(a->rationale, sizeof a->rationale, alone ? step->phrase_alone : step->phrase, places,
                sizeof places / sizeof *places);
}

void answer_fill(cot_answer *answer, const cot_step *step, const float *logits, float temperature)
{
    const size_t n = answer->n_options;
    softmax(answer->probability, logits, n, temperature);
    answer->calibrated = temperature > 0;
    answer->available = true;
    answer->reason[0] = 0;
    answer->answer = largest(answer->probability, n, n);
    answer->second = n > 1 ? largest(answer->probability, n, answer->answer) : answer->answer;
    fill_rationale(answer, step);
}

void answer_unavailable(cot_answer *answer)
{
    answer->available = false;
    snprintf(answer->reason, sizeof answer->reason, "%s", not_trained);
}

/* ---- the second reader ---- */
cot_status answer_compare(cot_answer *answer, const cot_step *step, const float *logits, float temperature,
                          const cot_steps *steps, const char *reader, cot_error *err)
{
    cot_status status;
    char certainty[16], sentence[sizeof answer->rationale];
    cot_opinion *other = &answer->other;
    COT_TRY(cot_answer_other(answer, err));
    softmax(other->probability, logits, answer->n_options, temperature);
    other->calibrated = temperature > 0;
    other->available = true;
    other->answer = largest(other->probability, answer->n_options, answer->n_options);
    answer->disagreement = answer->available && other->answer != answer->answer;
    if (!answer->disagreement || !steps->phrases.disagreement[0]) goto done;
    percent(certainty, other->probability[other->answer]);
    const placeholder places[] = {
        {"reader", reader}, {"answer", step->options[other->answer].label}, {"certainty", certainty}};
    fill_phrase(sentence, sizeof sentence, steps->phrases.disagreement, places, sizeof places / sizeof *places);
    append_text(answer->rationale, sizeof answer->rationale, " ");
    append_text(answer->rationale, sizeof answer->rationale, sentence);
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
        if (different++) append_text(titles, sizeof titles, ", ");
        append_text(titles, sizeof titles, steps->steps[s].title);
    }
    const char *phrase = different ? steps->phrases.disagreements : steps->phrases.agreement;
    if (!both || !phrase[0]) return;
    snprintf(count, sizeof count, "%zu", different);
    snprintf(compared, sizeof compared, "%zu", both);
    const placeholder places[] = {
        {"reader", chain->other.role}, {"count", count}, {"compared", compared}, {"steps", titles}};
    fill_phrase(text, size - 1, phrase, places, sizeof places / sizeof *places);
    append_text(text, size, " ");
}

/* ---- the whole reading ---- */
static void append_answer(char *text, size_t size, const cot_answer *a, const cot_step *step)
{
    char certainty[16];
    percent(certainty, a->probability[a->answer]);
    append_text(text, size, step->title);
    append_text(text, size, ": ");
    append_text(text, size, step->options[a->answer].label);
    append_text(text, size, ", certainty ");
    append_text(text, size, certainty);
    append_text(text, size, ". ");
}

static void append_missing(char *text, size_t size, const cot_chain *chain, const cot_steps *steps)
{
    size_t missing = 0;
    for (size_t s = 0; s < chain->n_steps; s++) {
        if (chain->answers[s].available) continue;
        append_text(text, size, missing++ ? ", " : "Not available: ");
        append_text(text, size, steps->steps[s].title);
    }
    if (!missing) return;
    append_text(text, size, " (");
    append_text(text, size, not_trained);
    append_text(text, size, "). ");
}

/* The chain ends in its conclusion: the last step of the schema comes first here, then the others in order. Where
 * the readers disagree, and that the numbers are not calibrated, is never cut: the answers get the room that this leaves. The model's notice is not
 * repeated here: table, JSON and report show it beside the summary. */
void chain_summarise(cot_chain *chain, const cot_steps *steps)
{
    char *text = chain->summary, readers[sizeof chain->summary / 3], limits[sizeof chain->summary / 2];
    const size_t size = sizeof chain->summary, last = chain->n_steps - 1;
    describe_readers(readers, sizeof readers, chain, steps);
    chain->calibrated = cot_chain_calibration(limits, sizeof limits, chain, steps);
    const size_t room = size - strlen(limits), answers_room = room - strlen(readers);
    text[0] = 0;
    if (chain->answers[last].available) append_answer(text, answers_room, &chain->answers[last], &steps->steps[last]);
    for (size_t s = 0; s < last; s++)
        if (chain->answers[s].available) append_answer(text, answers_room, &chain->answers[s], &steps->steps[s]);
    append_text(text, room, readers);
    append_missing(text, room, chain, steps);
    append_text(text, size, limits);
}
