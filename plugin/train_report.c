/* report.html of a training run (train.h): curves from the log, and what the best model answers to the validation images.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate.h"
#include "plugin/plot.h"
#include "plugin/train.h"
#include "plugin/train_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES_MOST = 16, DRAWS = 1000 };

/* ---- curves ---- */
typedef struct curves {
    size_t n; /* epochs */
    double *x, *y;
} curves;

static double number_below(const cJSON *line, const char *a, const char *b, const char *c, const char *d)
{
    const char *const keys[] = {a, b, c, d};
    for (size_t i = 0; i < 4 && keys[i]; i++) line = cJSON_GetObjectItemCaseSensitive(line, keys[i]);
    return cJSON_IsNumber(line) ? line->valuedouble : (double)NAN;
}

static void fill(curves *c, size_t at, const cJSON *lines, const char *const path[4])
{
    const cJSON *line;
    size_t i = 0;
    cJSON_ArrayForEach(line, lines) if (cJSON_HasObjectItem(line, "epoch") && i < c->n)
    {
        c->x[i] = number_below(line, "epoch", NULL, NULL, NULL);
        c->y[at * c->n + i++] = number_below(line, path[0], path[1], path[2], path[3]);
    }
}

static void draw(FILE *f, const curves *c, size_t n, const char *const *names, const char *label, const char *caption)
{
    plot p = {label, "epoch", label, 0, fmax((double)c->n, 1), 0, 1, false};
    plot_bounds(&p.y_low, &p.y_high, c->y, n * c->n);
    fputs("<figure>", f);
    plot_begin(f, &p);
    for (size_t i = 0; i < n; i++) plot_line(f, &p, c->x, c->y + i * c->n, c->n, (unsigned)i);
    plot_end(f);
    legend_begin(f);
    for (size_t i = 0; i < n; i++) legend_entry(f, (unsigned)i, names[i]);
    legend_end(f);
    fputs("<figcaption>", f);
    page_text(f, caption);
    fputs("</figcaption></figure>\n", f);
}

/* One curve per taught step of what the validation says of it, and their mean (with `mean`). */
static void draw_validation(FILE *f, curves *c, const train_job *j, const cJSON *lines, const char *key, bool mean,
                            const char *label, const char *caption)
{
    const char *names[CURVES_MOST];
    size_t n = 0;
    for (size_t s = 0; s < j->steps->n_steps && n + 1 < CURVES_MOST; s++) {
        if (!j->supervised[s]) continue;
        const char *const path[4] = {"validation", "steps", j->steps->steps[s].id, key};
        fill(c, n, lines, path);
        names[n++] = j->steps->steps[s].title;
    }
    if (mean && n > 1) {
        const char *const path[4] = {"validation", key, NULL, NULL};
        fill(c, n, lines, path);
        names[n++] = "mean of the steps";
    }
    draw(f, c, n, names, label, caption);
}

static void draw_all(FILE *f, curves *c, const train_job *j, const cJSON *lines)
{
    const char *names[CURVES_MOST];
    const size_t losses = j->loop.learner.n_losses;
    for (size_t i = 0; i < losses; i++) {
        names[i] = j->loop.learner.loss_names[i];
        fill(c, i, lines, (const char *const[4]){"losses", names[i], NULL, NULL});
    }
    fputs("<h2>Curves</h2>\n<div class=\"row\">", f);
    draw(f, c, losses, names, "training loss", "Mean over the batches of an epoch, with augmentation and dropout.");
    draw_validation(f, c, j, lines, "loss", false, "validation loss", "Cross-entropy per step, without either.");
    draw_validation(f, c, j, lines, "accuracy", true, "validation accuracy",
                    "The share of images whose answer is right.");
    draw_validation(f, c, j, lines, "auc", true, "validation AUC",
                    "One answer against the rest, mean over the answers.");
    fill(c, 0, lines, (const char *const[4]){"lr", NULL, NULL, NULL});
    names[0] = "learning rate";
    draw(f, c, 1, names, "learning rate", "At the end of each epoch.");
    fputs("</div>\n", f);
}

static cot_status curves_part(FILE *f, const train_job *j, const cJSON *lines, cot_error *err)
{
    const cJSON *line;
    curves c = {0, NULL, NULL};
    cJSON_ArrayForEach(line, lines) if (cJSON_HasObjectItem(line, "epoch")) c.n++;
    c.x = calloc(c.n + 1, sizeof *c.x);
    c.y = calloc(CURVES_MOST * (c.n + 1), sizeof *c.y);
    const bool memory = c.x && c.y;
    if (memory) draw_all(f, &c, j, lines);
    free(c.x);
    free(c.y);
    return memory ? COT_OK : cot_fail(err, COT_E_MEMORY, "no memory for the curves");
}

/* ---- the best model on validation ---- */
/* Pictures of the split, as the run has them. */
static cot_status split_pictures(picture_set *out, const train_job *j, cot_split split, cot_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < j->manifest->n; i++) n += j->manifest->cases[i].split == split;
    const cot_status status = picture_set_init(out, n, j->pictures.size, j->pictures.floats, err);
    n = 0;
    for (size_t i = 0; status == COT_OK && i < j->manifest->n; i++)
        if (j->manifest->cases[i].split == split)
            memcpy((char *)out->rows + n++ * out->row_bytes, (const char *)j->pictures.rows + i * out->row_bytes,
                   out->row_bytes);
    return status;
}

static cot_status figures_part(FILE *f, const train_job *j, cot_error *err)
{
    cot_status status;
    const train_request *r = j->request;
    char package[1200];
    picture_set pictures = {0};
    evaluation v = {0};
    score_interval *scores = NULL;
    evaluating e = {.manifest_path = r->manifest,
                    .images = r->images[0] ? r->images : NULL,
                    .steps_path = r->steps[0] ? r->steps : NULL,
                    .split = COT_VALIDATION,
                    .command = "train"};
    snprintf(package, sizeof package, "%s/model", r->dir);
    const evaluation_order order = {.package = package,
                                    .readers = r->stage == COT_STAGE_TEACHER ? COT_READ_TEACHER : COT_READ_STUDENT,
                                    .pictures = &pictures};
    COT_TRY(evaluating_open_data(&e, err));
    COT_TRY(split_pictures(&pictures, j, COT_VALIDATION, err));
    e.device = j->device;
    COT_TRY(evaluation_run(&v, &e, &order, err));
    COT_TRY(evaluation_scores(&scores, &v, DRAWS, 1, err));
    fputs(j->request->training.refit ? "<h2>The model on the validation images, which it has learnt</h2>\n"
                                     : "<h2>The model of the best epoch on the validation images</h2>\n",
          f);
    COT_TRY(evaluation_figures(f, &e, &v, scores, err));
done:
    e.device = NULL; /* the run's */
    free(scores);
    evaluation_fini(&v);
    evaluating_close(&e);
    picture_set_fini(&pictures);
    return status;
}

/* ---- the page ---- */
static void head_part(FILE *f, const train_job *j, const run_state *state)
{
    fputs("<p class=\"note\">" COT_NOT_A_DEVICE "</p>\n<p>", f);
    page_text(f, j->manifest->title);
    fprintf(f, ": %zu training and %zu validation images", j->loop.n_train, j->loop.n_validation);
    if (j->unlabelled)
        fprintf(f, "; %zu training images have no label that is taught and were left out", j->unlabelled);
    if (j->request->training.refit)
        fputs(
            ". The validation images were learnt as well: what is called validation below shows no more than that. The "
            "last epoch was kept.",
            f);
    else
        fprintf(f, ". Epoch %llu of %llu was the best on validation.", (unsigned long long)state->schedule.best_epoch,
                (unsigned long long)state->epoch);
    fprintf(f, " Seed %llu.</p>\n<p>Taught steps:", (unsigned long long)j->request->training.seed);
    for (size_t s = 0, n = 0; s < j->steps->n_steps; s++)
        if (j->supervised[s]) {
            fputs(n++ ? ", " : " ", f);
            page_text(f, j->steps->steps[s].title);
        }
    fputs(". All other steps are reported as not available.</p>\n", f);
}

cot_status train_report(const train_job *job, const run_state *state, cot_error *err)
{
    cot_status status;
    char path[1200], title[128], *text = NULL;
    size_t size = 0;
    cJSON *lines = NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f) return cot_fail(err, COT_E_MEMORY, "no memory for the report");
    COT_TRY(train_log_read(&lines, job->request->dir, err));
    snprintf(title, sizeof title, "Training run: stage %s", cot_stage_name(job->request->stage));
    page_begin(f, title);
    head_part(f, job, state);
    COT_TRY(curves_part(f, job, lines, err));
    COT_TRY(figures_part(f, job, err));
    page_end(f, COT_PROGRAM " " COT_VERSION ". " COT_NOT_A_DEVICE);
    if (fflush(f) != 0) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for the report");
        goto done;
    }
    snprintf(path, sizeof path, "%s/report.html", job->request->dir);
    COT_TRY(cot_file_write_durable(path, text, size, err));
done:
    fclose(f);
    free(text);
    cJSON_Delete(lines);
    return status;
}
