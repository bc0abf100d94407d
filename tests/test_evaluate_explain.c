/* links: plugin */
/* stepcot evaluate --explain on drawn pictures with boxes, with a package that was trained on them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/train_world.h"

#include <cjson/cJSON.h>

static train_world world;
static cot_error err;

/* The manifest again, every picture with a box around its bright half, or no boxes. */
static cot_status rewrite(const char *name, bool boxed)
{
    cot_status status;
    char path[128];
    cot_steps *steps = NULL;
    cot_manifest *m = NULL;
    static cot_box boxes[2] = {{"half", 0, 0, WORLD_SIDE / 2, WORLD_SIDE},
                               {"half", WORLD_SIDE / 2, 0, WORLD_SIDE / 2, WORLD_SIDE}};
    snprintf(path, sizeof path, "%s/%s", world.folder, name);
    COT_TRY(cot_steps_load(&steps, NULL, &err));
    COT_TRY(cot_manifest_open(&m, world.manifest, NULL, steps, NULL, &err));
    for (size_t i = 0; i < m->n; i++) {
        m->cases[i].boxes = &boxes[m->cases[i].label[0] == 1];
        m->cases[i].n_boxes = boxed;
    }
    COT_TRY(cot_manifest_write(m, path, steps, &err));
done:
    for (size_t i = 0; m && i < m->n; i++) m->cases[i].n_boxes = 0;
    cot_manifest_destroy(m);
    cot_steps_destroy(steps);
    return status;
}

static void first_run(void)
{
    static bool made;
    if (made) return;
    made = true;
    REQUIRE_OK(world_make(&world, &err));
    REQUIRE_OK(rewrite("boxes.jsonl", true));
    REQUIRE_OK(rewrite("plain.jsonl", false));
    REQUIRE(
        world_run(&world, cot_cmd_train,
                  "train --stage encoder manifest.jsonl --size 64 --width 4 --dim 8 --batch 8 --min-labels 2 --cache "
                  "cache -o run --epochs 6 --lr 0.01") == 0);
}

static cJSON *explain_json(const char *words)
{
    CHECK_NUMBER(world_run(&world, cot_cmd_evaluate, words), 0);
    char *said = world_said(&world), *json = strchr(said, '{');
    cJSON *root = json ? cJSON_Parse(json) : NULL;
    free(said);
    return root;
}

static const cJSON *at(const cJSON *root, const char *a, const char *b, const char *c)
{
    const char *const keys[] = {a, b, c};
    for (size_t i = 0; i < 3 && keys[i]; i++) root = cJSON_GetObjectItem(root, keys[i]);
    return root;
}

static double number_at(const cJSON *root, const char *a, const char *b, const char *c)
{
    const cJSON *found = at(root, a, b, c);
    return cJSON_IsNumber(found) ? found->valuedouble : (double)NAN;
}

static void check_interval(const cJSON *root, const char *part, const char *name, double low, double high)
{
    const cJSON *one = at(root, "all", part, name);
    const double value = number_at(one, "value", NULL, NULL);
    CHECK(value >= low && value <= high);
    CHECK(number_at(one, "low", NULL, NULL) <= value && value <= number_at(one, "high", NULL, NULL));
}

TEST(the_evidence_of_a_split_is_measured_with_intervals)
{
    first_run();
    cJSON *root = explain_json("evaluate --explain boxes.jsonl --package run/model --json --draws 100 --copies 2");
    REQUIRE(root);
    CHECK(!strcmp(at(root, "schema", NULL, NULL)->valuestring, "urn:stepcot:evaluation-of-evidence:1"));
    CHECK(number_at(root, "images", NULL, NULL) == 12 && number_at(root, "copies", NULL, NULL) == 2);
    CHECK(number_at(root, "answers", NULL, NULL) == 24); /* of the two steps that were taught */
    const double n = number_at(root, "all", "deletion", "n");
    CHECK(n > 0 && n <= number_at(root, "answers_with_regions", NULL, NULL));
    check_interval(root, "deletion", "removed", -1, 1);
    check_interval(root, "deletion", "elsewhere", -1, 1);
    check_interval(root, "pointing", "peak", 0, 1);
    check_interval(root, "pointing", "chance", 0.49, 0.51);
    check_interval(root, "pointing", "fixed", 0, 1);
    check_interval(root, "deletion_of_boxes", "removed", -1, 1);
    CHECK(number_at(root, "steps", "detection", "pointing") != 0 && !at(root, "steps", "pattern", NULL));
    CHECK(number_at(root, "influences", "n", NULL) == 12);
    CHECK(number_at(root, "influences", "largest_difference", NULL) <= number_at(root, "influences", "bound", NULL));
    CHECK(cJSON_IsTrue(at(root, "influences", "agree", NULL)));
    cJSON_Delete(root);
}

TEST(the_same_seed_gives_the_same_table_and_another_filling_another)
{
    static const char *const words[] = {
        "evaluate --explain boxes.jsonl --package run/model --draws 50 --copies 2",
        "evaluate --explain boxes.jsonl --package run/model --draws 50 --copies 2 --fill surroundings",
        "evaluate --explain boxes.jsonl --package run/model --draws 50 --copies 2 --fill mean"};
    char *said[3];
    first_run();
    for (size_t i = 0; i < 3; i++) {
        CHECK_NUMBER(world_run(&world, cot_cmd_evaluate, words[i]), 0);
        said[i] = world_said(&world);
    }
    CHECK_TEXT(said[0], said[1]);
    CHECK(strcmp(said[0], said[2]) != 0);
    CHECK_HAS(said[0], "regions are filled (surroundings)");
    CHECK_HAS(said[0], "map's maximum");
    CHECK_HAS(said[0], "Influences: 12 recomputed");
    CHECK_HAS(said[0], "Not a medical device");
    for (size_t i = 0; i < 3; i++) free(said[i]);
}

TEST(without_boxes_nothing_is_said_of_pointing_but_that)
{
    first_run();
    CHECK_NUMBER(
        world_run(&world, cot_cmd_evaluate, "evaluate --explain plain.jsonl --package run/model --draws 50 --copies 1"),
        0);
    char *said = world_said(&world);
    CHECK_HAS(said, "No image has a box");
    CHECK(!strstr(said, "map's maximum"));
    free(said);
}

TEST(what_does_not_go_together_is_said)
{
    static const char *const words[][2] = {
        {"evaluate --explain boxes.jsonl --compare run/model", "--explain goes with neither"},
        {"evaluate --explain boxes.jsonl -o page.html", "--explain goes with neither"},
        {"evaluate --explain boxes.jsonl --fill grey", "--fill is surroundings, blur or mean"},
        {"evaluate boxes.jsonl --copies 3", "--fill and --copies go with --explain"}};
    first_run();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        CHECK_NUMBER(world_run(&world, cot_cmd_evaluate, words[i][0]), 2);
        char *said = world_said(&world);
        CHECK_HAS(said, words[i][1]);
        free(said);
    }
    CHECK_NUMBER(
        world_run(&world, cot_cmd_evaluate, "evaluate --explain boxes.jsonl --package run/model --model teacher"), 4);
    world_end(&world);
}

CHECK_MAIN
