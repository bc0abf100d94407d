/* Two packages on the same images (evaluate.h): differences on the same draws of the bootstrap, so that what is hard for both
 * weighs on neither. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate.h"
#include "plugin/plot.h"

#include <math.h>
#include <stdlib.h>

static const score_kind shown[] = {SCORE_ACCURACY, SCORE_AUC, SCORE_AUC_NEGATIVE, SCORE_F1, SCORE_ECE};
enum { SHOWN = sizeof shown / sizeof *shown };

static bool both(const evaluation *first, const evaluation *second, size_t s)
{
    return first->available[s] && second->available[s];
}

cot_status evaluation_compare(score_interval **out, const evaluation *first, const evaluation *second, size_t draws,
                              uint64_t seed, cot_error *err)
{
    cot_status status = COT_OK;
    *out = calloc(first->n_steps * SCORES + 1, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "no memory for the scores");
    for (size_t s = 0; s < first->n_steps; s++)
        if (both(first, second, s))
            COT_TRY(scores_compare(*out + s * SCORES, &second->rows[s], second->temperature[s], &first->rows[s],
                                   first->temperature[s], draws, seed, err));
done:
    return status;
}

void evaluation_print_compared(FILE *f, const evaluating *e, const evaluation *first, const evaluation *second,
                               const score_interval *differences)
{
    fprintf(
        f,
        "\nCompared with %s %s (%s) on the same images and draws%s%s\nFirst minus second [95 %% interval], share of "
        "the draws above 0; *: the interval does not hold 0\n",
        second->reader.name, second->reader.version, second->reader_word, second->ablation[0] ? "\n" : "",
        second->ablation);
    for (size_t s = 0; s < first->n_steps; s++) {
        if (!both(first, second, s)) continue;
        for (size_t k = 0; k < SHOWN; k++) {
            const score_interval *d = &differences[s * SCORES + shown[k]];
            if (isnan(d->value)) continue;
            fprintf(f, "%-14s  %-12s  %+.3f", e->steps->steps[s].id, score_name(shown[k]), d->value);
            if (!isnan(d->low))
                fprintf(f, "  [%+.3f, %+.3f]  %3.0f %%%s", d->low, d->high, 100 * d->above,
                        d->low > 0 || d->high < 0 ? " *" : "");
            fputs("\n", f);
        }
    }
}

static void page_difference(FILE *f, const score_interval *d)
{
    fputs("<td>", f);
    page_number(f, d->value, 3);
    if (isfinite(d->low))
        fprintf(f, "<br><small>%.3f to %.3f<br>%.0f %% above 0</small>", d->low, d->high, 100 * d->above);
    fputs("</td>", f);
}

void evaluation_page_compared(FILE *f, const evaluating *e, const evaluation *first, const evaluation *second,
                              const score_interval *differences)
{
    fputs("<h2>Compared with ", f);
    page_text(f, second->reader.name);
    fputs(" ", f);
    page_text(f, second->reader.version);
    fprintf(f, " (%s%s%s)</h2>\n<p>First minus second on the same images and the same draws of the bootstrap. ",
            second->reader_word, second->ablation[0] ? " " : "", second->ablation);
    fputs("Where the interval does not hold 0, the difference is more than the choice of these patients.</p>\n"
          "<div class=\"wide\"><table><tr><th class=\"left\">step</th>",
          f);
    for (size_t k = 0; k < SHOWN; k++) fprintf(f, "<th>%s</th>", score_name(shown[k]));
    fputs("</tr>\n", f);
    for (size_t s = 0; s < first->n_steps; s++) {
        if (!both(first, second, s)) continue;
        fputs("<tr><th class=\"left\">", f);
        page_text(f, e->steps->steps[s].title);
        fputs("</th>", f);
        for (size_t k = 0; k < SHOWN; k++) page_difference(f, &differences[s * SCORES + shown[k]]);
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}
