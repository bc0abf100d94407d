/* What is said of an evaluation (evaluate.h): JSON, figures. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "plugin/evaluate.h"
#include "plugin/plot.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const score_kind columns[] = {
    SCORE_ACCURACY, SCORE_AUC, SCORE_AUC_NEGATIVE, SCORE_SENSITIVITY, SCORE_SPECIFICITY, SCORE_PRECISION, SCORE_F1};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* ---- JSON ---- */
static bool add_number(cJSON *object, const char *key, double value)
{
    return isfinite(value) ? cJSON_AddNumberToObject(object, key, value) != NULL
                           : cJSON_AddNullToObject(object, key) != NULL;
}

static bool add_scores(cJSON *to, const score_interval *scores, bool difference)
{
    for (int k = 0; k < SCORES; k++) {
        cJSON *one = cJSON_AddObjectToObject(to, score_name((score_kind)k));
        if (!one || !add_number(one, "value", scores[k].value) || !add_number(one, "low", scores[k].low) ||
            !add_number(one, "high", scores[k].high) ||
            (difference && !add_number(one, "share_above_0", scores[k].above)))
            return false;
    }
    return true;
}

static bool add_calibration_error(cJSON *to, const calibration_error *c)
{
    cJSON *chance = cJSON_AddObjectToObject(to, "ece_by_chance"),
          *rms = cJSON_AddObjectToObject(to, "rms_calibration_error");
    return chance && rms && add_number(chance, "mean", c->chance) && add_number(chance, "high", c->chance_high) &&
           add_number(chance, "p", c->reached) && add_number(to, "ece_equal_mass", c->mass) &&
           add_number(rms, "value", c->rms) && add_number(rms, "low", c->rms_low) &&
           add_number(rms, "high", c->rms_high) && add_number(rms, "square", c->square);
}

static bool add_confusion(cJSON *to, const score_rows *rows)
{
    size_t *counts = calloc(rows->classes * rows->classes + 1, sizeof *counts);
    cJSON *table = counts ? cJSON_AddArrayToObject(to, "confusion") : NULL;
    bool ok = table != NULL;
    if (counts) score_confusion(counts, rows);
    for (size_t r = 0; ok && r < rows->classes; r++) {
        cJSON *row = cJSON_CreateArray();
        ok = row && cJSON_AddItemToArray(table, row);
        for (size_t c = 0; ok && c < rows->classes; c++)
            ok = cJSON_AddItemToArray(row, cJSON_CreateNumber((double)counts[r * rows->classes + c]));
    }
    free(counts);
    return ok;
}

static bool add_model(cJSON *root, const char *key, const evaluation *v)
{
    cJSON *m = cJSON_AddObjectToObject(root, key);
    return m && cJSON_AddStringToObject(m, "name", v->reader.name) &&
           cJSON_AddStringToObject(m, "version", v->reader.version) &&
           cJSON_AddStringToObject(m, "reads", v->reader_word) &&
           cJSON_AddStringToObject(m, "package_sha256", v->reader.package_sha256) &&
           (!v->ablation[0] || cJSON_AddStringToObject(m, "ablation", v->ablation));
}

static bool add_steps(cJSON *root, const evaluating *e, const evaluation *v, const score_interval *scores,
                      const evaluation *other, const score_interval *differences)
{
    cJSON *steps = cJSON_AddObjectToObject(root, "steps");
    for (size_t s = 0; steps && s < v->n_steps; s++) {
        cJSON *one = cJSON_AddObjectToObject(steps, e->steps->steps[s].id), *part = NULL;
        if (!one || !cJSON_AddBoolToObject(one, "available", v->available[s]) ||
            !add_number(one, "n", (double)v->rows[s].n))
            return false;
        if (!v->available[s]) continue;
        if (!add_number(one, "temperature", v->temperature[s]) ||
            !cJSON_AddBoolToObject(one, "calibrated", v->calibrated[s]) ||
            !cJSON_AddBoolToObject(one, "temperature_at_bound",
                                   v->calibrated[s] && calibration_at_bound(v->temperature[s])) ||
            !add_number(one, "auc_left_out", (double)score_left_out(&v->rows[s])) ||
            !add_scores(one, scores + s * SCORES, false) || !add_calibration_error(one, &v->errors[s]) ||
            !add_confusion(one, &v->rows[s]))
            return false;
        if (other && other->available[s] &&
            (!(part = cJSON_AddObjectToObject(one, "difference")) || !add_scores(part, differences + s * SCORES, true)))
            return false;
    }
    return steps != NULL;
}

cot_status evaluation_json(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores,
                           const evaluation *other, const score_interval *differences, size_t draws, uint64_t seed,
                           cot_error *err)
{
    cJSON *root = cJSON_CreateObject();
    const bool ok = root && cJSON_AddStringToObject(root, "schema", "urn:stepcot:evaluation:1") &&
                    cJSON_AddStringToObject(root, "program", COT_PROGRAM " " COT_VERSION) &&
                    cJSON_AddStringToObject(root, "notice", COT_NOT_A_DEVICE) &&
                    cJSON_AddStringToObject(root, "manifest_sha256", e->manifest->sha256) &&
                    cJSON_AddStringToObject(root, "split", cot_split_name(e->split)) &&
                    add_number(root, "images", (double)e->manifest->n) &&
                    add_number(root, "patients", (double)e->patients) &&
                    add_number(root, "bootstrap_draws", (double)draws) && add_number(root, "seed", (double)seed) &&
                    add_model(root, "model", v) && (!other || add_model(root, "compared_with", other)) &&
                    add_steps(root, e, v, scores, other, differences);
    char *text = ok ? cJSON_Print(root) : NULL;
    if (text) fprintf(f, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return text ? COT_OK : cot_fail(err, COT_E_MEMORY, "no memory for the JSON");
}

/* ---- figures ---- */
static void cell(FILE *f, double value, double low, double high, const char *word)
{
    fputs("<td>", f);
    page_number(f, value, 3);
    if (isfinite(low)) fprintf(f, "<br><small>%s%.3f to %.3f</small>", word, low, high);
    fputs("</td>", f);
}

static void table_row(FILE *f, const evaluating *e, const evaluation *v, size_t s, const score_interval *scores)
{
    fputs("<tr><th class=\"left\">", f);
    page_text(f, e->steps->steps[s].title);
    fprintf(f, "</th><td>%zu</td>", v->rows[s].n);
    if (!v->available[s]) {
        fprintf(f, "<td class=\"left\" colspan=\"%d\">%s</td></tr>\n", COLUMNS,
                v->rows[s].n ? "not taught" : "no labels");
        return;
    }
    for (size_t k = 0; k < COLUMNS; k++) {
        const score_interval *i = &scores[s * SCORES + columns[k]];
        cell(f, i->value, i->low, i->high, "");
    }
    fputs("</tr>\n", f);
}

static void certainty_table(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores)
{
    fputs("<h3>Calibration error</h3>\n<div class=\"wide\"><table><tr><th class=\"left\">step</th><th>n</th><th>ECE"
          "</th><th>by chance</th><th>p</th><th>equal mass</th><th>RMS, unbiased</th></tr>\n",
          f);
    for (size_t s = 0; s < v->n_steps; s++) {
        const calibration_error *c = &v->errors[s];
        if (!v->available[s]) continue;
        fputs("<tr><th class=\"left\">", f);
        page_text(f, e->steps->steps[s].title);
        fprintf(f, "</th><td>%zu</td>", v->rows[s].n);
        cell(f, scores[s * SCORES + SCORE_ECE].value, (double)NAN, (double)NAN, "");
        cell(f, c->chance, 0, c->chance_high, "95 %: ");
        cell(f, c->reached, (double)NAN, (double)NAN, "");
        cell(f, c->mass, (double)NAN, (double)NAN, "");
        cell(f, c->rms, c->rms_low, c->rms_high, "");
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n<p>ECE: expected calibration error, 15 bins of equal width. By chance: what a perfectly "
          "calibrated model with the same certainties would measure on so many images; p: how often at least as much. "
          "Equal mass: the same error over bins of equally many images. RMS: root mean square error over these, free "
          "of what chance adds (Kumar, Liang and Ma 2019; variance over patients); 0 where chance explains all.</p>\n",
          f);
}

static cot_status roc_figure(FILE *f, const cot_step *step, const score_rows *rows, cot_error *err)
{
    const plot p = {"ROC curves", "false positive rate", "true positive rate", 0, 1, 0, 1, true};
    double *x = calloc(rows->n + 2, sizeof *x), *y = calloc(rows->n + 2, sizeof *y);
    if (!x || !y) {
        free(x);
        free(y);
        return cot_fail(err, COT_E_MEMORY, "no memory for a figure");
    }
    fputs("<figure>", f);
    plot_begin(f, &p);
    plot_diagonal(f, &p);
    for (size_t c = 0; c < rows->classes; c++) {
        const size_t n = score_roc(x, y, rows, c, err);
        if (n) plot_line(f, &p, x, y, n, (unsigned)c);
    }
    plot_end(f);
    legend_begin(f);
    for (size_t c = 0; c < rows->classes; c++) {
        char text[300];
        size_t positives = 0;
        for (size_t i = 0; i < rows->n; i++) positives += rows->label[i] == (int)c;
        snprintf(text, sizeof text, "%s (%zu)", step->options[c].label, positives);
        if (positives && positives < rows->n) legend_entry(f, (unsigned)c, text);
    }
    legend_end(f);
    fprintf(
        f,
        "<figcaption>Each answer against all others, n = %zu images; in brackets the images that have it. Few images "
        "make a rough curve.</figcaption></figure>\n",
        rows->n);
    free(x);
    free(y);
    return COT_OK;
}

static void reliability_figure(FILE *f, const score_rows *rows, double temperature, bool calibrated, double ece,
                               const calibration_error *error)
{
    const plot p = {"Reliability", "certainty", "share that was right", 0, 1, 0, 1, true};
    score_bin bins[SCORES_BINS];
    score_bins(bins, rows, temperature);
    fputs("<figure>", f);
    plot_begin(f, &p);
    plot_diagonal(f, &p);
    for (size_t b = 0; b < SCORES_BINS; b++) {
        char tip[80];
        if (!bins[b].n) continue;
        snprintf(tip, sizeof tip, "%zu images: certainty %.2f, right %.2f", bins[b].n, bins[b].confidence,
                 bins[b].accuracy);
        plot_bar(f, &p, ((double)b + 0.5) / SCORES_BINS, 0.9 / SCORES_BINS, (double)bins[b].n / (double)rows->n, 7);
        plot_dot(f, &p, bins[b].confidence, bins[b].accuracy, 3 + 6 * sqrt((double)bins[b].n / (double)rows->n), 0,
                 tip);
    }
    plot_end(f);
    fputs("<figcaption>Dots: answers of like certainty, larger with more images; on the dashed line a certainty of 80 "
          "% is right "
          "in 8 of 10. Grey: share of the images. ",
          f);
    if (calibrated)
        fprintf(f, "Calibrated with temperature %.2f. ", temperature);
    else
        fputs("Raw, not calibrated. ", f);
    fputs("ECE ", f);
    page_number(f, ece, 3);
    fputs(", by chance alone ", f);
    page_number(f, error->chance, 3);
    fputs(".</figcaption></figure>\n", f);
}

static cot_status step_figures(FILE *f, const evaluating *e, const evaluation *v, size_t s,
                               const score_interval *scores, cot_error *err)
{
    cot_status status = COT_OK;
    const cot_step *step = &e->steps->steps[s];
    const size_t k = v->rows[s].classes;
    size_t *counts = calloc(k * k + 1, sizeof *counts);
    const char **labels = calloc(k + 1, sizeof *labels);
    if (!counts || !labels) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for a figure");
        goto done;
    }
    fputs("<h3>", f);
    page_text(f, step->title);
    fputs("</h3>\n", f);
    for (size_t c = 0; c < k; c++) labels[c] = step->options[c].label;
    score_confusion(counts, &v->rows[s]);
    page_confusion(f, counts, labels, k);
    fputs("<div class=\"row\">", f);
    COT_TRY(roc_figure(f, step, &v->rows[s], err));
    reliability_figure(f, &v->rows[s], v->temperature[s], v->calibrated[s], scores[s * SCORES + SCORE_ECE].value,
                       &v->errors[s]);
    fputs("</div>\n", f);
done:
    free(counts);
    free(labels);
    return status;
}

cot_status evaluation_figures(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores,
                              cot_error *err)
{
    cot_status status = COT_OK;
    fputs("<p>", f);
    page_text(f, v->reader.name);
    fputs(" ", f);
    page_text(f, v->reader.version);
    fprintf(
        f,
        " (%s%s%s) on the %s split: %zu images of %zu patients. Below each number its 95 %% interval, a bootstrap over "
        "patients.</p>\n",
        v->reader_word, v->ablation[0] ? " " : "", v->ablation, cot_split_name(e->split), e->manifest->n, e->patients);
    if (e->split != COT_TEST)
        fputs("<p class=\"note\">On these images the epoch was chosen or the certainty calibrated: the numbers are "
              "better than on "
              "new patients.</p>\n",
              f);
    fputs("<div class=\"wide\"><table><tr><th class=\"left\">step</th><th>n</th>", f);
    for (size_t k = 0; k < COLUMNS; k++) fprintf(f, "<th>%s</th>", score_name(columns[k]));
    fputs("</tr>\n", f);
    for (size_t s = 0; s < v->n_steps; s++) table_row(f, e, v, s, scores);
    fputs("</table></div>\n<p>AUC: one answer against the rest, mean over the answers that occur; auc_negative: of the "
          "answer "
          "that says that nothing is there. Sensitivity, specificity, precision and F1: means over the answers that "
          "occur.</p>\n",
          f);
    certainty_table(f, e, v, scores);
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s]) COT_TRY(step_figures(f, e, v, s, scores, err));
done:
    return status;
}
