/* stepcot evaluate --explain (evaluate_explain.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate_explain.h"
#include "engine/model.h"
#include "plugin/train_images.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 16 };

/* The manifest once more, whole: e keeps only the split's images. */
static cot_status find_fixed(pointing_place *out, const evaluating *e, cot_error *err)
{
    cot_manifest *whole = NULL;
    const cot_status status = cot_manifest_open(&whole, e->manifest_path, e->images, e->steps, NULL, err);
    if (status == COT_OK) *out = pointing_fixed(whole, COT_TRAIN);
    cot_manifest_destroy(whole);
    return status;
}

static cot_status measure_all(explaining *x, const evaluating *e, faith *f, const picture_set *set, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t pixels = set->size * set->size;
    const bool shown = isatty(STDERR_FILENO);
    float *pictures = calloc(BATCH * pixels + 1, sizeof *pictures);
    if (!pictures) return cot_fail(err, COT_E_MEMORY, "no memory for a batch of pictures");
    for (size_t at = 0; at < set->n; at += BATCH) {
        const size_t n = set->n - at < BATCH ? set->n - at : BATCH;
        for (size_t i = 0; i < n; i++) picture_set_get(set, at + i, pictures + i * pixels);
        COT_TRY(faith_measure(&x->found, f, pictures, e->manifest->cases + at, e->patient + at, at, n, err));
        if (shown) fprintf(stderr, "\r\033[Kevidence: %zu of %zu images", at + n, set->n);
    }
done:
    if (shown) fputs("\r\033[K", stderr);
    free(pictures);
    return status;
}

static cot_status explain_package(explaining *x, evaluating *e, cot_error *err)
{
    cot_status status;
    cot_package *package = NULL;
    cot_model *model = NULL;
    faith *f = NULL;
    picture_set pictures = {0};
    row_key key;
    faith_options options = {x->fill, x->order->copies, x->order->seed, {false, 0, 0}};
    COT_TRY(cot_package_open(&package, x->order->package, e->steps, err));
    COT_TRY(cot_package_offers(package, x->order->readers, err));
    x->reader = *cot_package_reader_of(package, x->order->readers);
    const model_card *card = package_card(package);
    const train_images_order images = {e->manifest, card->size, card->filter, true, NULL, e->command};
    x->answered = calloc(e->steps->n_steps + 1, sizeof *x->answered);
    if (!x->answered) {
        status = cot_fail(err, COT_E_MEMORY, "no memory");
        goto done;
    }
    const bool taught = x->order->readers == COT_READ_TEACHER;
    memcpy(x->answered, taught ? card->teacher.supervised : card->supervised, e->steps->n_steps * sizeof *x->answered);
    COT_TRY(find_fixed(&options.fixed, e, err));
    x->has_fixed = options.fixed.known;
    COT_TRY(train_images_load(&pictures, &key, e->sandbox, e->device, &images, err));
    COT_TRY(cot_model_create_for(&model, e->device, package, e->steps, x->order->readers, BATCH, err));
    COT_TRY(faith_open(&f, model, BATCH, &options, err));
    COT_TRY(measure_all(x, e, f, &pictures, err));
done:
    faith_close(f);
    picture_set_fini(&pictures);
    cot_model_destroy(model);
    cot_package_close(package);
    return status;
}

int evaluate_explain(evaluating *e, const explaining_order *order)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    explaining x = {.order = order};
    int code = EXIT_SUCCESS;
    if (!deletion_fill_named(&x.fill, order->fill ? order->fill : deletion_fill_name(DELETION_SURROUNDINGS)))
        return cli_usage(e->command, "--fill is surroundings, blur or mean");
    COT_TRY(evaluating_open(e, &err));
    COT_TRY(explain_package(&x, e, &err));
    COT_TRY(order->json ? explaining_json(stdout, e, &x, &err) : explaining_print(stdout, e, &x, &err));
    if (x.found.influences.worst > FAITH_INFLUENCE_BOUND) {
        fprintf(stderr, "%s %s: an influence differs from its re-run by %g, more than %g\n", COT_PROGRAM, e->command,
                x.found.influences.worst, FAITH_INFLUENCE_BOUND);
        code = EXIT_PARTLY;
    }
done:
    faith_found_fini(&x.found);
    free(x.answered);
    evaluating_close(e);
    return status == COT_OK ? code : cli_failure(e->command, &err);
}
