/* The table of an evaluation (evaluate.h), at most 100 columns wide. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "plugin/evaluate.h"

#include <math.h>
#include <stdlib.h>

enum { ERROR_DRAWS = 1000 };

cot_status evaluation_scores(score_interval **out, evaluation *v, size_t draws, uint64_t seed, cot_error *err)
{
    cot_status status = COT_OK;
    free(v->errors);
    *out = calloc(v->n_steps * SCORES + 1, sizeof **out);
    v->errors = calloc(v->n_steps + 1, sizeof *v->errors);
    if (!*out || !v->errors) return cot_fail(err, COT_E_MEMORY, "no memory for the scores");
    for (size_t s = 0; s < v->n_steps; s++) {
        if (!v->available[s]) continue;
        COT_TRY(scores_of(*out + s * SCORES, &v->rows[s], v->temperature[s], draws, seed, err));
        COT_TRY(calibration_error_of(&v->errors[s], &v->rows[s], v->temperature[s], ERROR_DRAWS, seed, err));
    }
done:
    return status;
}

/* Ids of available steps for which `is`, between commas; how many. */
static size_t list_steps(char *text, size_t size, const evaluating *e, const evaluation *v,
                         bool (*is)(const evaluation *v, size_t s))
{
    size_t n = 0, at = 0;
    text[0] = 0;
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s] && is(v, s) && at < size)
            at += (size_t)snprintf(text + at, size - at, "%s%s", n++ ? ", " : "", e->steps->steps[s].id);
    return n;
}

static bool is_raw(const evaluation *v, size_t s)
{
    return !v->calibrated[s];
}

static bool is_at_bound(const evaluation *v, size_t s)
{
    return v->calibrated[s] && calibration_at_bound(v->temperature[s]);
}

void evaluation_certainties(char *text, size_t size, const evaluating *e, const evaluation *v)
{
    char raw[300], bound[300];
    size_t available = 0;
    const size_t n = list_steps(raw, sizeof raw, e, v, is_raw), m = list_steps(bound, sizeof bound, e, v, is_at_bound);
    for (size_t s = 0; s < v->n_steps; s++) available += v->available[s];
    if (n == available)
        snprintf(text, size, "raw, not calibrated");
    else
        snprintf(text, size, "calibrated by temperature%s%s%s%s", n ? "; raw: " : "", raw,
                 m ? "; temperature at its bound: " : "", bound);
}

/* ---- one block of columns ---- */
static void print_interval(FILE *f, double value, double low, double high)
{
    if (isnan(value))
        fprintf(f, "  %-17s", "-");
    else if (isnan(low))
        fprintf(f, "  %-17.3f", value);
    else
        fprintf(f, "  %.3f %.3f-%.3f", value, low, high);
}

static void print_step(FILE *f, const evaluating *e, const evaluation *v, size_t s)
{
    fprintf(f, "%-12s %5zu", e->steps->steps[s].id, v->rows[s].n);
}

/* `all`: steps that are not available, too. */
static void print_block(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores,
                        const score_kind *kinds, size_t n, bool all)
{
    fprintf(f, "\n%-12s %5s", "step", "n");
    for (size_t k = 0; k < n; k++) fprintf(f, "  %-17s", score_name(kinds[k]));
    fputs("\n", f);
    for (size_t s = 0; s < v->n_steps; s++) {
        if (!v->available[s] && !all) continue;
        print_step(f, e, v, s);
        for (size_t k = 0; v->available[s] && k < n; k++) {
            const score_interval *i = &scores[s * SCORES + kinds[k]];
            print_interval(f, i->value, i->low, i->high);
        }
        if (!v->available[s])
            fprintf(f, "  %s", v->rows[s].n ? "not available: the model was not taught it" : "no labels");
        fputs("\n", f);
    }
}

static void print_certainties(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores)
{
    char certainties[700];
    fprintf(f, "\n%-12s %5s  %-17s  ece    by chance      p      ece_mass rms_ce\n", "step", "n", "nll");
    for (size_t s = 0; s < v->n_steps; s++) {
        if (!v->available[s]) continue;
        const score_interval *of = &scores[s * SCORES];
        const calibration_error *c = &v->errors[s];
        print_step(f, e, v, s);
        print_interval(f, of[SCORE_NLL].value, of[SCORE_NLL].low, of[SCORE_NLL].high);
        fprintf(f, "  %.3f  %.3f (%.3f)  %.3f  %.3f  ", of[SCORE_ECE].value, c->chance, c->chance_high, c->reached,
                c->mass);
        print_interval(f, c->rms, c->rms_low, c->rms_high);
        fputs("\n", f);
    }
    evaluation_certainties(certainties, sizeof certainties, e, v);
    fprintf(f,
            "Certainties: %s.\n"
            "ece: 15 bins of equal width; by chance: of a perfectly calibrated model with these certainties on\n"
            "so many images (in 95 %% of draws at most), p: how often as much as here; ece_mass: bins of equally\n"
            "many images; rms_ce: root mean square over these, freed of what chance adds (Kumar 2019).\n",
            certainties);
}

/* ---- all ---- */
static void print_left_out(FILE *f, const evaluating *e, const evaluation *v)
{
    fputs("auc_negative: of the answer that says that nothing is there, against all others.\n", f);
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s] && score_left_out(&v->rows[s]) == v->rows[s].classes)
            fprintf(f, "%s: all labels here are the same answer: no auc, no specificity.\n", e->steps->steps[s].id);
        else if (v->available[s] && score_left_out(&v->rows[s]))
            fprintf(f, "%s: %zu of %zu answers are no image's label here; auc is the mean over the others.\n",
                    e->steps->steps[s].id, score_left_out(&v->rows[s]), v->rows[s].classes);
}

void evaluation_print(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores)
{
    static const score_kind answers[] = {SCORE_ACCURACY, SCORE_AUC, SCORE_AUC_NEGATIVE, SCORE_F1},
                            shares[] = {SCORE_SENSITIVITY, SCORE_SPECIFICITY, SCORE_PRECISION};
    fprintf(f, "%s %s (%s)\n", v->reader.name, v->reader.version, v->reader_word);
    if (v->ablation[0]) fprintf(f, "%s\n", v->ablation);
    fprintf(f, "%s split: %zu images of %zu patients. 95 %% intervals over patients.\n", cot_split_name(e->split),
            e->manifest->n, e->patients);
    print_block(f, e, v, scores, answers, sizeof answers / sizeof *answers, true);
    print_left_out(f, e, v);
    print_block(f, e, v, scores, shares, sizeof shares / sizeof *shares, false);
    print_certainties(f, e, v, scores);
    fprintf(f, "%s\n", COT_NOT_A_DEVICE);
}
