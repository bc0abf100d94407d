/* links: plugin */
/* stepcot evaluate and calibrate on drawn pictures, with a package that was trained on them. SPDX-License-Identifier: Apache-2.0 */
#include "engine/calibration.h"
#include "engine/package.h"
#include "tests/train_world.h"

static train_world world;
static cot_error err;

#define CHECK_SAYS(run, words, code, part)                                                                             \
    do {                                                                                                               \
        CHECK_NUMBER(world_run(&world, run, words), code);                                                             \
        char *said_ = world_said(&world);                                                                              \
        CHECK_HAS(said_, part);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)

static void first_run(void)
{
    static bool made;
    if (made) return;
    made = true;
    REQUIRE_OK(world_make(&world, &err));
    REQUIRE(
        world_run(&world, cot_cmd_train,
                  "train --stage encoder manifest.jsonl --size 32 --width 4 --dim 8 --batch 8 --min-labels 2 --cache "
                  "cache -o run --epochs 6 --lr 0.01") == 0);
}

static cJSON *evaluate_json(const char *words)
{
    CHECK_NUMBER(world_run(&world, cot_cmd_evaluate, words), 0);
    char *said = world_said(&world), *json = strchr(said, '{');
    cJSON *root = json ? cJSON_Parse(json) : NULL;
    free(said);
    return root;
}

static double number_at(const cJSON *root, const char *a, const char *b, const char *c, const char *d)
{
    const char *const keys[] = {a, b, c, d};
    for (size_t i = 0; i < 4 && keys[i]; i++) root = cJSON_GetObjectItem(root, keys[i]);
    return cJSON_IsNumber(root) ? root->valuedouble : (double)NAN;
}

TEST(an_evaluation_gives_scores_with_intervals_of_what_was_taught)
{
    first_run();
    cJSON *root = evaluate_json("evaluate manifest.jsonl --package run/model --json --draws 200");
    REQUIRE(root);
    CHECK(number_at(root, "images", NULL, NULL, NULL) == 12 && number_at(root, "patients", NULL, NULL, NULL) == 12);
    CHECK(number_at(root, "steps", "detection", "auc", "value") > 0.9);
    const double low = number_at(root, "steps", "diagnosis", "accuracy", "low"),
                 value = number_at(root, "steps", "diagnosis", "accuracy", "value"),
                 high = number_at(root, "steps", "diagnosis", "accuracy", "high");
    CHECK(low <= value && value <= high && low < high);
    CHECK(number_at(root, "steps", "detection", "n", NULL) == 12);
    CHECK(isnan(number_at(root, "steps", "pattern", "accuracy", "value")));
    cJSON_Delete(root);
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --split validation", 0,
               "validation split: 12 images of 12 patients");
}

TEST(a_page_is_self_contained_and_has_every_figure)
{
    char path[128], *page = NULL;
    size_t size = 0;
    first_run();
    CHECK_NUMBER(world_run(&world, cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model -o page.html"), 0);
    snprintf(path, sizeof path, "%s/page.html", world.folder);
    REQUIRE_OK(cot_file_read(&page, &size, path, 1 << 22, &err));
    CHECK_HAS(page, "<title>ROC curves</title>");
    CHECK_HAS(page, "<title>Reliability</title>");
    CHECK_HAS(page, "true \\ answered");
    CHECK_HAS(page, "Not a medical device");
    CHECK(!strstr(page, "http://") && !strstr(page, "https://") && !strstr(page, "<script") && !strstr(page, "src="));
    free(page);
}

TEST(calibration_lowers_the_loss_is_kept_and_changes_no_answer)
{
    first_run();
    cJSON *before = evaluate_json("evaluate manifest.jsonl --package run/model --split validation --json --draws 20");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate manifest.jsonl --package run/model --dry-run", 0, "ECE before");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model", 0, "raw, not calibrated");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate manifest.jsonl --package run/model", 0, "fitted on the validation split");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model", 0, "calibrated by temperature");
    cJSON *after = evaluate_json("evaluate manifest.jsonl --package run/model --split validation --json --draws 20");
    REQUIRE(before && after);
    static const char *const steps[] = {"detection", "diagnosis"};
    for (size_t i = 0; i < 2; i++) {
        CHECK(number_at(after, "steps", steps[i], "nll", "value") <=
              number_at(before, "steps", steps[i], "nll", "value"));
        CHECK(number_at(after, "steps", steps[i], "accuracy", "value") ==
              number_at(before, "steps", steps[i], "accuracy", "value"));
        CHECK(number_at(after, "steps", steps[i], "temperature", NULL) > 0.05);
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
}

/* Certainties of a reading through the command line, summary included. */
TEST(a_reading_uses_the_temperatures_and_says_so)
{
    first_run();
    CHECK_NUMBER(world_run(&world, cot_cmd_calibrate, "calibrate manifest.jsonl --package run/model"), 0);
    CHECK_NUMBER(world_run(&world, cot_cmd_infer, "infer --json --force --package run/model picture-08.png"), 0);
    char *said = world_said(&world);
    CHECK_HAS(said, "Certainties were calibrated on validation images");
    free(said);
}

TEST(a_model_compared_with_itself_differs_by_nothing)
{
    first_run();
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --compare run/model --draws 50", 0,
               "accuracy +0.000 [+0.000, +0.000]  auc +0.000");
}

TEST(commands_that_cannot_be_right_are_refused)
{
    first_run();
    CHECK_SAYS(cot_cmd_evaluate, "evaluate", 2, "name one MANIFEST");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --split all", 2, "--split is train, validation or test");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --model both", 2, "--model is student or teacher");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --without memory", 2, "add --model teacher");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --model teacher", 4, "has no teacher");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate manifest.jsonl --package run/model --split test", 2, "must stay unseen");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate manifest.jsonl", 2, "--package DIR");
}

TEST(the_world_ends)
{
    world_end(&world);
}

CHECK_MAIN
