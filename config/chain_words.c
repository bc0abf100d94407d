/* Evidence of an answer in words, as reports say it (chain.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/chain.h"

#include <stdio.h>

const char *cot_answer_place(const cot_answer *answer)
{
    if (!answer->available || !answer->located) return "";
    return answer->place[0] || answer->n_regions ? answer->place : "whole image";
}

void cot_influence_text(char *to, size_t size, const cot_chain *chain, const cot_steps *steps,
                        const cot_influence *influence)
{
    const cot_step *step = &steps->steps[influence->step];
    const char *label = step->options[chain->answers[influence->step].answer].label;
    const double points = 100 * (double)influence->change;
    char effect[96];
    if (points > -0.05 && points < 0.05)
        snprintf(effect, sizeof effect, "changes the certainty of this answer by less than 0.1 percentage points");
    else
        snprintf(effect, sizeof effect, "%s the certainty of this answer by %.1f percentage points",
                 points > 0 ? "raises" : "lowers", points > 0 ? points : -points);
    snprintf(to, size, "\"%s\" (%s) %s", label, step->title, effect);
}
