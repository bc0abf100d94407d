/* What a rationale says of the evidence (chain.h): where the region with the largest share lies, and which earlier answers
 * change the probability. Only what was computed; nothing of a step that was not located or weighed. Where two read it is of the
 * first, and says so.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/model.h"
#include "engine/wording.h"

#include <math.h>
#include <string.h>

static const float worth_saying = 0.01f; /* an influence of 1 percentage point */
enum { INFLUENCES_SAID = 3 };

static void say_where(cot_chain *chain, size_t s, const cot_steps *steps, cot_orientation orientation)
{
    cot_answer *a = &chain->answers[s];
    const cot_phrases *words = &steps->phrases;
    char share[PERCENT_MAX];
    if (!a->located) return;
    if (!a->n_regions) { /* of an answer that nothing is there no region was looked for */
        if (!steps->steps[s].options[a->answer].negative)
            phrase_append(a->rationale, sizeof a->rationale, words->whole, NULL, 0);
        return;
    }
    place_text(a->place, sizeof a->place, &a->regions[0], chain->rows, chain->cols, orientation, words);
    if (!a->place[0]) return;
    percent_text(share, a->regions[0].share, words);
    const placeholder places[] = {{"place", a->place}, {"share", share}};
    phrase_append(a->rationale, sizeof a->rationale, words->where, places, sizeof places / sizeof *places);
}

static void list_influence(char *list, size_t size, const cot_influence *influence, const cot_chain *chain,
                           const cot_steps *steps)
{
    char points[16];
    const cot_step *earlier = &steps->steps[influence->step];
    const cot_answer *answer = &chain->answers[influence->step];
    snprintf(points, sizeof points, "%+d", (int)lroundf(100 * influence->change));
    const placeholder places[] = {
        {"step", earlier->title}, {"answer", earlier->options[answer->answer].label}, {"points", points}};
    if (list[0]) text_append(list, size, ";");
    phrase_append(list, size, steps->phrases.influence, places, sizeof places / sizeof *places);
}

/* Strongest first, as they are in the chain. */
static void say_influences(cot_chain *chain, size_t s, const cot_steps *steps)
{
    cot_answer *a = &chain->answers[s];
    const cot_phrases *words = &steps->phrases;
    char list[sizeof a->rationale] = "";
    if (!a->weighed || !a->n_influences) return;
    if (!(fabsf(a->influences[0].change) >= worth_saying)) {
        phrase_append(a->rationale, sizeof a->rationale, words->no_influence, NULL, 0);
        return;
    }
    if (!words->influence[0]) return;
    for (size_t i = 0; i < a->n_influences && i < INFLUENCES_SAID; i++)
        if (fabsf(a->influences[i].change) >= worth_saying)
            list_influence(list, sizeof list, &a->influences[i], chain, steps);
    const placeholder places[] = {{"list", list}};
    phrase_append(a->rationale, sizeof a->rationale, words->influences, places, sizeof places / sizeof *places);
}

void answer_reason(cot_chain *chain, size_t s, const cot_steps *steps, cot_orientation orientation)
{
    cot_answer *a = &chain->answers[s];
    const size_t before = strlen(a->rationale);
    say_where(chain, s, steps, orientation);
    say_influences(chain, s, steps);
    if (!chain->has_other || strlen(a->rationale) == before) return;
    const placeholder places[] = {{"reader", chain->reader.role}, {"other", chain->other.role}};
    phrase_append(a->rationale, sizeof a->rationale, steps->phrases.evidence_of, places,
                  sizeof places / sizeof *places);
}
