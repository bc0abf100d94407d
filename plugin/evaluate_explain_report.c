/* What is said of evidence that was measured (evaluate_explain.h): table, JSON. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate_explain.h"

#include <cjson/cJSON.h>
#include <math.h>

static faith_draws draws_of(const evaluating *e, const explaining *x)
{
    return (faith_draws){e->patients, x->order->draws, x->order->seed};
}

static const char *name_of(const evaluating *e, size_t step)
{
    return step == FAITH_ALL_STEPS ? "all" : e->steps->steps[step].id;
}

/* All steps that are answered, and then FAITH_ALL_STEPS; false behind that. */
static bool next_step(size_t *step, const evaluating *e, const explaining *x)
{
    if (*step == FAITH_ALL_STEPS) return false;
    for (; *step < e->steps->n_steps; (*step)++)
        if (x->answered[*step]) return true;
    *step = FAITH_ALL_STEPS;
    return true;
}

/* ---- table ---- */
static void print_interval(FILE *f, const score_interval *i, double times, int digits)
{
    char text[64] = "-";
    if (isfinite(i->value) && isfinite(i->low))
        snprintf(text, sizeof text, "%.*f [%.*f, %.*f]", digits, times * i->value, digits, times * i->low, digits,
                 times * i->high);
    else if (isfinite(i->value))
        snprintf(text, sizeof text, "%.*f", digits, times * i->value);
    fprintf(f, "  %-20s", text);
}

static double mean_share(const faith_drops *drops)
{
    double sum = 0;
    for (size_t i = 0; i < drops->n; i++) sum += drops->rows[i].share;
    return sum / (double)drops->n;
}

/* name: what was taken away */
static cot_status print_drops(FILE *f, const evaluating *e, const explaining *x, const faith_drops *drops,
                              const char *name, cot_error *err)
{
    cot_status status = COT_OK;
    const faith_draws draws = draws_of(e, x);
    static const char *const head[] = {"elsewhere", "ratio", "more, % of answers", "mirrored"};
    fprintf(f, "%-14s %5s  %-20s", "step", "n", name);
    for (size_t k = 0; k < sizeof head / sizeof *head; k++) fprintf(f, "  %-20s", head[k]);
    fprintf(f, "  %s minus that\n", name);
    for (size_t step = 0; next_step(&step, e, x); step++) {
        static const faith_drop_measure shown[] = {FAITH_REGION, FAITH_ELSEWHERE, FAITH_RATIO,
                                                   FAITH_MORE,   FAITH_MIRRORED,  FAITH_BESIDE};
        score_interval out[FAITH_DROP_MEASURES];
        size_t n, mirrored;
        COT_TRY(faith_drop_scores(out, &n, &mirrored, drops, step, &draws, err));
        fprintf(f, "%-14s %5zu", name_of(e, step), n);
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++)
            print_interval(f, &out[shown[k]], shown[k] == FAITH_RATIO ? 1 : 100,
                           shown[k] == FAITH_MORE    ? 0
                           : shown[k] == FAITH_RATIO ? 2
                                                     : 1);
        fprintf(f, "  (n %zu)\n", mirrored);
        if (step == FAITH_ALL_STEPS) break;
    }
done:
    return status;
}

static cot_status print_deletion(FILE *f, const evaluating *e, const explaining *x, cot_error *err)
{
    cot_status status;
    const faith_found *found = &x->found;
    fprintf(
        f,
        "\nDeletion: by how many percentage points the probability of an answer falls when its regions are filled "
        "(%s), beside the mean\nover %u places of the same shapes elsewhere, and beside the same place on the other "
        "side of the image.\n",
        deletion_fill_name(x->fill), x->order->copies);
    COT_TRY(print_drops(f, e, x, &found->regions, "regions", err));
    fprintf(f, "%zu of %zu answers have regions; they hold %.1f %% of the image on average.\n", found->regions.n,
            found->answers, 100 * mean_share(&found->regions));
    if (!found->boxes.n) goto done;
    fputs("\nThe same of the boxes that people drew: where these do not matter to the model, a map that is true to it "
          "cannot "
          "point at them.\n",
          f);
    COT_TRY(print_drops(f, e, x, &found->boxes, "boxes", err));
done:
    return status;
}

static cot_status print_points(FILE *f, const evaluating *e, const explaining *x, cot_error *err)
{
    cot_status status = COT_OK;
    const faith_draws draws = draws_of(e, x);
    static const char *const head[] = {"map's maximum", "region's centroid", "random place",
                                       "fixed place",   "maximum - random",  "maximum - fixed"};
    if (!x->found.n_points && !x->found.silent) {
        fputs("\nPointing game: none. No image has a box.\n", f);
        return COT_OK;
    }
    fputs("\nPointing game: share of hits, in %, in the boxes of the image, of answers that say that something is "
          "there.\n",
          f);
    fprintf(f, "%-14s %5s", "step", "n");
    for (size_t k = 0; k < sizeof head / sizeof *head; k++) fprintf(f, "  %-20s", head[k]);
    fputs("\n", f);
    for (size_t step = 0; next_step(&step, e, x); step++) {
        static const faith_point_measure shown[] = {FAITH_PEAK,  FAITH_CENTROID,  FAITH_CHANCE,
                                                    FAITH_FIXED, FAITH_PEAK_MORE, FAITH_PEAK_FIXED};
        score_interval out[FAITH_POINT_MEASURES];
        size_t n;
        COT_TRY(faith_point_scores(out, &n, &x->found, step, &draws, err));
        fprintf(f, "%-14s %5zu", name_of(e, step), n);
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++)
            if (x->has_fixed || (shown[k] != FAITH_FIXED && shown[k] != FAITH_PEAK_FIXED))
                print_interval(f, &out[shown[k]], 100, 1);
        fputs("\n", f);
        if (step == FAITH_ALL_STEPS) break;
    }
    fprintf(f, "%zu further answers to images with boxes say that nothing is there. %s\n", x->found.silent,
            x->has_fixed ? "Fixed place: the one in boxes of most training images."
                         : "No training image has a box: no fixed place.");
done:
    return status;
}

cot_status explaining_print(FILE *f, const evaluating *e, const explaining *x, cot_error *err)
{
    cot_status status;
    const faith_influences *i = &x->found.influences;
    fprintf(f, "%s %s (%s), evidence on the %s split: %zu images of %zu patients. 95 %% intervals over patients.\n",
            x->reader.name, x->reader.version, cot_readers_name(x->order->readers), cot_split_name(e->split),
            e->manifest->n, e->patients);
    COT_TRY(print_deletion(f, e, x, err));
    COT_TRY(print_points(f, e, x, err));
    fprintf(f,
            "\nInfluences: %zu recomputed by the plain chain on the device without the step's write-back; largest "
            "difference "
            "%.2g (bound %g)",
            i->n, i->worst, FAITH_INFLUENCE_BOUND);
    if (i->worst > FAITH_INFLUENCE_BOUND)
        fprintf(f, ": NOT the same, %s on %s, line %zu", e->steps->steps[i->step].id, e->steps->steps[i->from].id,
                e->manifest->cases[i->image].line);
    fprintf(f, ".\n%s\n", COT_NOT_A_DEVICE);
done:
    return status;
}

/* ---- JSON ---- */
static bool add_number(cJSON *object, const char *key, double value)
{
    return isfinite(value) ? cJSON_AddNumberToObject(object, key, value) != NULL
                           : cJSON_AddNullToObject(object, key) != NULL;
}

static bool add_intervals(cJSON *to, const char *const *names, const score_interval *values, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        cJSON *one = names[k] ? cJSON_AddObjectToObject(to, names[k]) : NULL;
        if (names[k] && (!one || !add_number(one, "value", values[k].value) || !add_number(one, "low", values[k].low) ||
                         !add_number(one, "high", values[k].high)))
            return false;
    }
    return true;
}

static cot_status add_falls(cJSON *to, const char *key, const faith_drops *drops, size_t step, const faith_draws *draws,
                            cot_error *err)
{
    static const char *const names[FAITH_DROP_MEASURES] = {"removed",
                                                           "elsewhere",
                                                           "ratio",
                                                           "removed_minus_elsewhere",
                                                           "share_removed_more",
                                                           "mirrored",
                                                           "removed_minus_mirrored"};
    cot_status status;
    score_interval out[FAITH_DROP_MEASURES];
    size_t n, n_mirrored;
    cJSON *one = cJSON_AddObjectToObject(to, key);
    COT_TRY(faith_drop_scores(out, &n, &n_mirrored, drops, step, draws, err));
    if (!one || !add_number(one, "n", (double)n) || !add_number(one, "n_mirrored", (double)n_mirrored) ||
        !add_intervals(one, names, out, FAITH_DROP_MEASURES))
        status = cot_fail(err, COT_E_MEMORY, "no memory for the JSON");
done:
    return status;
}

static cot_status add_hits(cJSON *to, const explaining *x, size_t step, const faith_draws *draws, cot_error *err)
{
    const char *names[FAITH_POINT_MEASURES] = {"peak",
                                               "centroid",
                                               "chance",
                                               x->has_fixed ? "fixed" : NULL,
                                               "peak_minus_chance",
                                               "centroid_minus_chance",
                                               x->has_fixed ? "peak_minus_fixed" : NULL};
    cot_status status;
    score_interval out[FAITH_POINT_MEASURES];
    size_t n;
    cJSON *one = cJSON_AddObjectToObject(to, "pointing");
    COT_TRY(faith_point_scores(out, &n, &x->found, step, draws, err));
    if (!one || !add_number(one, "n", (double)n) || !add_intervals(one, names, out, FAITH_POINT_MEASURES))
        status = cot_fail(err, COT_E_MEMORY, "no memory for the JSON");
done:
    return status;
}

static cot_status add_step(cJSON *to, const evaluating *e, const explaining *x, size_t step, cot_error *err)
{
    cot_status status;
    const faith_draws draws = draws_of(e, x);
    COT_TRY(add_falls(to, "deletion", &x->found.regions, step, &draws, err));
    COT_TRY(add_falls(to, "deletion_of_boxes", &x->found.boxes, step, &draws, err));
    COT_TRY(add_hits(to, x, step, &draws, err));
done:
    return status;
}

static bool add_head(cJSON *root, const evaluating *e, const explaining *x)
{
    cJSON *model = cJSON_AddObjectToObject(root, "model");
    return model && cJSON_AddStringToObject(root, "schema", "urn:stepcot:evaluation-of-evidence:1") &&
           cJSON_AddStringToObject(root, "program", COT_PROGRAM " " COT_VERSION) &&
           cJSON_AddStringToObject(root, "notice", COT_NOT_A_DEVICE) &&
           cJSON_AddStringToObject(root, "manifest_sha256", e->manifest->sha256) &&
           cJSON_AddStringToObject(root, "split", cot_split_name(e->split)) &&
           add_number(root, "images", (double)e->manifest->n) && add_number(root, "patients", (double)e->patients) &&
           add_number(root, "bootstrap_draws", x->order->draws) && add_number(root, "seed", x->order->seed) &&
           cJSON_AddStringToObject(model, "name", x->reader.name) &&
           cJSON_AddStringToObject(model, "version", x->reader.version) &&
           cJSON_AddStringToObject(model, "reads", cot_readers_name(x->order->readers)) &&
           cJSON_AddStringToObject(model, "package_sha256", x->reader.package_sha256) &&
           cJSON_AddStringToObject(root, "fill", deletion_fill_name(x->fill)) &&
           add_number(root, "copies", x->order->copies) && add_number(root, "answers", (double)x->found.answers) &&
           add_number(root, "answers_with_regions", (double)x->found.regions.n) &&
           add_number(root, "mean_share_of_image", mean_share(&x->found.regions)) &&
           add_number(root, "silent_with_boxes", (double)x->found.silent);
}

static bool add_influences(cJSON *root, const faith_influences *i)
{
    cJSON *to = cJSON_AddObjectToObject(root, "influences");
    return to && add_number(to, "n", (double)i->n) && add_number(to, "largest_difference", i->worst) &&
           add_number(to, "bound", FAITH_INFLUENCE_BOUND) &&
           cJSON_AddBoolToObject(to, "agree", i->worst <= FAITH_INFLUENCE_BOUND);
}

cot_status explaining_json(FILE *f, const evaluating *e, const explaining *x, cot_error *err)
{
    cot_status status = COT_OK;
    char *text = NULL;
    cJSON *root = cJSON_CreateObject(), *steps = root ? cJSON_AddObjectToObject(root, "steps") : NULL;
    if (!steps || !add_head(root, e, x) || !add_influences(root, &x->found.influences)) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for the JSON");
        goto done;
    }
    for (size_t step = 0; next_step(&step, e, x); step++) {
        cJSON *one = cJSON_AddObjectToObject(step == FAITH_ALL_STEPS ? root : steps, name_of(e, step));
        COT_TRY(add_step(one, e, x, step, err));
        if (step == FAITH_ALL_STEPS) break;
    }
    text = cJSON_Print(root);
    if (text)
        fprintf(f, "%s\n", text);
    else
        status = cot_fail(err, COT_E_MEMORY, "no memory for the JSON");
done:
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}
