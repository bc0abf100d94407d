/* What is said of an evaluation (evaluate.h): table, JSON, figures. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate.h"
#include "plugin/plot.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

cot_status evaluation_scores(score_interval **out, const evaluation *v, size_t draws, uint64_t seed, cot_error *err)
{
    cot_status status = COT_OK;
    *out = calloc(v->n_steps * SCORES + 1, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "no memory for the scores");
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s]) COT_TRY(scores_of(*out + s * SCORES, &v->rows[s], v->temperature[s], draws, seed, err));
done:
    return status;
}

static const score_kind columns[] = {SCORE_ACCURACY,    SCORE_AUC,       SCORE_AUC_NEGATIVE, SCORE_SENSITIVITY,
                                     SCORE_SPECIFICITY, SCORE_PRECISION, SCORE_F1,           SCORE_ECE};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* ---- table ---- */
static void print_interval(FILE *f, const score_interval *i)
{
    if (isnan(i->value))
        fprintf(f, "  %-20s", "-");
    else if (isnan(i->low))
        fprintf(f, "  %-20.3f", i->value);
    else
        fprintf(f, "  %.3f [%.3f, %.3f]", i->value, i->low, i->high);
}

void evaluation_certainties(char *text, size_t size, const evaluating *e, const evaluation *v)
{
    char raw[300] = "";
    size_t n = 0, calibrated = 0;
    for (size_t s = 0, at = 0; s < v->n_steps; s++) {
        if (!v->available[s]) continue;
        calibrated += v->calibrated[s];
        if (!v->calibrated[s] && at < sizeof raw)
            at += (size_t)snprintf(raw + at, sizeof raw - at, "%s%s", n++ ? ", " : "", e->steps->steps[s].id);
    }
    if (!calibrated)
        snprintf(text, size, "raw, not calibrated");
    else
        snprintf(text, size, "calibrated by temperature%s%s", n ? "; raw: " : "", raw);
}

void evaluation_print(FILE *f, const evaluating *e, const evaluation *v, const score_interval *scores)
{
    char certainties[400];
    fprintf(f, "%s %s (%s%s%s), %s split: %zu images of %zu patients. 95 %% intervals over patients.\n", v->reader.name,
            v->reader.version, v->reader_word, v->ablation[0] ? " " : "", v->ablation, cot_split_name(e->split),
            e->manifest->n, e->patients);
    fprintf(f, "%-14s %5s", "step", "n");
    for (size_t k = 0; k < COLUMNS; k++) fprintf(f, "  %-20s", score_name(columns[k]));
    fputs("\n", f);
    for (size_t s = 0; s < v->n_steps; s++) {
        const char *id = e->steps->steps[s].id;
        if (!v->available[s]) {
            fprintf(f, "%-14s %5zu  %s\n", id, v->rows[s].n,
                    v->rows[s].n ? "not available: the model was not taught it" : "no labels");
            continue;
        }
        fprintf(f, "%-14s %5zu", id, v->rows[s].n);
        for (size_t k = 0; k < COLUMNS; k++) print_interval(f, &scores[s * SCORES + columns[k]]);
        fputs("\n", f);
    }
    fputs("auc_negative: of the answer that says that nothing is there, against all others.\n", f);
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s] && score_left_out(&v->rows[s]) == v->rows[s].classes)
            fprintf(f, "%s: all labels here are the same answer: no auc, no specificity.\n", e->steps->steps[s].id);
        else if (v->available[s] && score_left_out(&v->rows[s]))
            fprintf(f, "%s: %zu of %zu answers are no image's label here; auc is the mean over the others.\n",
                    e->steps->steps[s].id, score_left_out(&v->rows[s]), v->rows[s].classes);
    evaluation_certainties(certainties, sizeof certainties, e, v);
    fprintf(f, "Certainties: %s. %s\n", certainties, COT_NOT_A_DEVICE);
}

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
            !add_number(one, "auc_left_out", (double)score_left_out(&v->rows[s])) ||
            !add_scores(one, scores + s * SCORES, false) || !add_confusion(one, &v->rows[s]))
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
        fputs("<td>", f);
        page_number(f, i->value, 3);
        if (isfinite(i->low)) fprintf(f, "<br><small>%.3f to %.3f</small>", i->low, i->high);
        fputs("</td>", f);
    }
    fputs("</tr>\n", f);
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

static void reliability_figure(FILE *f, const score_rows *rows, double temperature, bool calibrated,
                               const score_interval *ece)
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
    page_number(f, ece->value, 3);
    if (isfinite(ece->low)) fprintf(f, " (95 %% interval %.3f to %.3f)", ece->low, ece->high);
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
    reliability_figure(f, &v->rows[s], v->temperature[s], v->calibrated[s], &scores[s * SCORES + SCORE_ECE]);
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
          "occur. ECE: expected calibration error.</p>\n",
          f);
    for (size_t s = 0; s < v->n_steps; s++)
        if (v->available[s]) COT_TRY(step_figures(f, e, v, s, scores, err));
done:
    return status;
}
