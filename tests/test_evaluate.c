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
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl --dry-run", 0,
               "left out  ECE: before");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model", 0, "raw, not calibrated");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl --split train --dry-run", 1,
               "has learnt the training images of this manifest");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl", 0, "fitted on the validation split");
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
    CHECK_NUMBER(world_run(&world, cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl"), 0);
    CHECK_NUMBER(world_run(&world, cot_cmd_infer, "infer --json --force --package run/model picture-08.png"), 0);
    char *said = world_said(&world);
    CHECK_HAS(said, "Certainties were calibrated on validation images");
    free(said);
}

/* Bytes of the longest line that the last command said. */
static size_t longest_line(void)
{
    char *said = world_said(&world);
    size_t longest = 0;
    for (const char *line = said; *line;) {
        const size_t n = strcspn(line, "\n");
        longest = n > longest ? n : longest;
        line += n + (line[n] != 0);
    }
    free(said);
    return longest;
}

TEST(the_tables_fit_into_100_columns)
{
    first_run();
    CHECK_NUMBER(world_run(&world, cot_cmd_evaluate,
                           "evaluate manifest.jsonl --package run/model --compare default --draws 50 -o page2.html"),
                 0);
    CHECK(longest_line() <= 100 && longest_line() > 60);
    CHECK_NUMBER(world_run(&world, cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl --dry-run"), 0);
}

TEST(a_calibration_error_stands_beside_what_chance_alone_gives)
{
    char path[128], *page = NULL;
    size_t size = 0;
    first_run();
    cJSON *root = evaluate_json("evaluate manifest.jsonl --package run/model --json --draws 50");
    REQUIRE(root);
    const double chance = number_at(root, "steps", "detection", "ece_by_chance", "mean"),
                 p = number_at(root, "steps", "detection", "ece_by_chance", "p"),
                 low = number_at(root, "steps", "detection", "rms_calibration_error", "low"),
                 rms = number_at(root, "steps", "detection", "rms_calibration_error", "value"),
                 high = number_at(root, "steps", "detection", "rms_calibration_error", "high");
    CHECK(chance > 0 && number_at(root, "steps", "detection", "ece_by_chance", "high") >= chance && p >= 0 && p <= 1);
    CHECK(low <= rms && rms <= high && low < high);
    CHECK(number_at(root, "steps", "detection", "ece_equal_mass", NULL) >= 0);
    CHECK(isnan(number_at(root, "steps", "detection", "ece", "low"))); /* a bootstrap's would be wrong */
    CHECK(number_at(root, "steps", "detection", "ece", "value") >= 0);
    cJSON_Delete(root);
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --draws 50 -o page3.html", 0,
               "ece    by chance");
    snprintf(path, sizeof path, "%s/page3.html", world.folder);
    REQUIRE_OK(cot_file_read(&page, &size, path, 1 << 22, &err));
    CHECK_HAS(page, "<h3>Calibration error</h3>");
    CHECK_HAS(page, ", by chance alone ");
    free(page);
}

TEST(a_model_compared_with_itself_differs_by_nothing)
{
    first_run();
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --compare run/model --draws 50", 0,
               "accuracy      +0.000  [+0.000, +0.000]   50 %\ndetection       auc           +0.000");
    char *said = world_said(&world);
    const char *first = strstr(said, "images read");
    CHECK(first && !strstr(first + 1, "images read")); /* both want the same pictures: decoded once */
    free(said);
}

TEST(a_calibrated_copy_leaves_the_package_as_it_is)
{
    char path[160];
    cot_package *package = NULL;
    cot_steps *steps = NULL;
    first_run();
    CHECK_NUMBER(world_run(&world, cot_cmd_calibrate, "calibrate default --manifest manifest.jsonl -o copy"), 0);
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    snprintf(path, sizeof path, "%s/copy", world.folder);
    REQUIRE_OK(cot_package_open(&package, path, steps, &err));
    const float *temperature = calibration_of(package_card(package), false),
                *of_teacher = calibration_of(package_card(package), true);
    CHECK(temperature[0] >= 0.05f && temperature[0] <= 20 && temperature[steps->n_steps - 1] > 0);
    CHECK(!(temperature[1] > 0) && !(of_teacher[0] > 0)); /* no labels; nobody */
    const cJSON *part = cJSON_GetObjectItem(cJSON_GetObjectItem(package_card(package)->json, "calibration"), "student");
    CHECK_TEXT(cJSON_GetStringValue(cJSON_GetObjectItem(part, "on")), "validation split, 12 images of 12 patients");
    static const char *const kept[] = {"ece_before", "ece_after",    "ece_by_chance", "nll_before",
                                       "nll_after",  "nll_left_out", "temperature"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        CHECK(number_at(part, kept[i], "detection", NULL, NULL) >= 0);
    CHECK(number_at(part, "nll_after", "detection", NULL, NULL) <=
          number_at(part, "nll_left_out", "detection", NULL, NULL)); /* fitted on the same images, or not */
    CHECK(cJSON_IsArray(cJSON_GetObjectItem(part, "at_bound")));
    cot_package_close(package);
    cot_steps_destroy(steps);
    CHECK_SAYS(cot_cmd_calibrate, "calibrate default --manifest manifest.jsonl -o copy", 2, "is there already");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate default --manifest manifest.jsonl", 2, "add -o DIR");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --draws 20 --package copy", 0, "calibrated by temperature.");
    char command[512];
    snprintf(command, sizeof command, "cd %s && cp run/model/model.json before.json", world.folder);
    REQUIRE(system(command) == 0);
    CHECK_NUMBER(world_run(&world, cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl -o copy2"), 0);
    snprintf(command, sizeof command, "cd %s && cmp run/model/model.json before.json && test -s copy2/model.json",
             world.folder);
    CHECK(system(command) == 0);
}

/* ---- another data set, in the published layout: the pictures of the world's test split, with the world's answers to the
 * first step, answers to a step that the model was not taught, and none to one that it was ---- */
static bool put_elsewhere(const cot_steps *steps)
{
    char path[128], text[256];
    const char *between = "[";
    snprintf(path, sizeof path, "%s/elsewhere", world.folder);
    if (mkdir(path, 0700) != 0) return false;
    snprintf(path, sizeof path, "%s/elsewhere/data.json", world.folder);
    FILE *f = fopen(path, "w"), *list;
    snprintf(path, sizeof path, "%s/all.txt", world.folder);
    list = fopen(path, "w");
    if (!f || !list) return false;
    for (size_t i = 0; i < WORLD_IMAGES; i++) {
        if (i % 10 < 8) continue;
        fprintf(list, "q%zu\n", i);
        fprintf(f, "%s{\"patient_id\": \"q%zu\", \"image_path\": \"%zu.png\", \"origin\": \"x\", \"report\": \"\", ",
                between, i, i);
        fputs("\"vqa_chain\": [", f);
        for (size_t s = 0; s < steps->n_steps; s++) {
            const cot_step *step = &steps->steps[s];
            const char *answer = s == 0 ? step->options[i % 2].label : s == 2 ? step->options[i % 3].label : "N/A";
            fprintf(f, "%s{\"step\": \"%s\", \"question\": \"?\", \"answer\": \"%s\", \"reasoning\": \"\"}",
                    s ? ", " : "", step->id, answer);
        }
        fputs("]}", f);
        between = ",\n";
        snprintf(text, sizeof text, "cp %s/picture-%02zu.png %s/elsewhere/%zu.png", world.folder, i, world.folder, i);
        if (system(text) != 0) return false;
    }
    fputs("]\n", f);
    return fclose(f) == 0 && fclose(list) == 0;
}

TEST(a_model_is_measured_on_another_data_set_as_far_as_both_have_a_step)
{
    cot_steps *steps = NULL;
    first_run();
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE(put_elsewhere(steps));
    CHECK_SAYS(cot_cmd_data, "data import step-cot elsewhere -o elsewhere.jsonl --test-list all.txt", 0,
               "12 records read, 12 images taken");
    cJSON *own = evaluate_json("evaluate manifest.jsonl --package run/model --json --draws 20"),
          *cross = evaluate_json("evaluate elsewhere.jsonl --package run/model --json --draws 20");
    REQUIRE(own && cross);
    static const char *const of[] = {"auc", "nll", "accuracy"};
    for (size_t i = 0; i < 3; i++) /* the same pictures with the same answers */
        CHECK_NEAR(number_at(cross, "steps", "detection", of[i], "value"),
                   number_at(own, "steps", "detection", of[i], "value"), 1e-9);
    CHECK(number_at(own, "steps", "diagnosis", "n", NULL) == 12 &&
          number_at(cross, "steps", "diagnosis", "n", NULL) == 0);
    CHECK(number_at(own, "steps", "pattern", "n", NULL) == 0 && number_at(cross, "steps", "pattern", "n", NULL) == 12);
    const cJSON *of_cross = cJSON_GetObjectItem(cross, "steps");
    CHECK(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetObjectItem(of_cross, "pattern"), "available")));
    CHECK(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetObjectItem(of_cross, "diagnosis"), "available")));
    cJSON_Delete(own);
    cJSON_Delete(cross);
    CHECK_SAYS(cot_cmd_evaluate, "evaluate elsewhere.jsonl --package run/model --draws 20", 0,
               "pattern         12  not available: the model was not taught it");
    /* the second package knows the pattern, the first does not: no difference is made up */
    CHECK_SAYS(cot_cmd_evaluate, "evaluate elsewhere.jsonl --package run/model --compare default --draws 20 -o c.html",
               0, "\ndetection       accuracy ");
    char *said = world_said(&world);
    CHECK(!strstr(said, "\npattern         accuracy") && !strstr(said, "\ndiagnosis       accuracy"));
    free(said);
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model --manifest elsewhere.jsonl --dry-run", 1,
               "no image is in the validation split");
    cot_steps_destroy(steps);
}

/* The golden folder's student, encoder and teacher as a package "taught". */
static bool import_teacher(void)
{
    char command[1024];
    snprintf(command, sizeof command,
             "cd %s && mkdir source clip && cp %s/student.safetensors source/weights.safetensors && cp "
             "%s/clip.safetensors clip/model.safetensors && cp %s/teacher.safetensors teacher.safetensors && "
             "echo '{\"vision_config\": {\"num_attention_heads\": 4}}' > clip/config.json && "
             "echo '{\"supervised_steps\": [1, 7], \"name\": \"tiny\", \"training\": \"none\", \"teacher\": "
             "{\"supervised_steps\": [1, 7]}}' > source/summary.json",
             world.folder, COT_SOURCE_DIR "/tests/golden/tiny", COT_SOURCE_DIR "/tests/golden/tiny",
             COT_SOURCE_DIR "/tests/golden/tiny");
    return system(command) == 0 &&
           world_run(&world, cot_cmd_model,
                     "model import source --clip clip --teacher teacher.safetensors -o taught") == 0;
}

TEST(a_teacher_is_measured_without_its_memory_and_without_its_text)
{
    char path[128], *page = NULL;
    size_t size = 0;
    first_run();
    REQUIRE(import_teacher());
    cJSON *whole = evaluate_json("evaluate manifest.jsonl --package taught --model teacher --json --draws 20"),
          *forgets = evaluate_json(
              "evaluate manifest.jsonl --package taught --model teacher --without memory --json --draws 20"),
          *deaf = evaluate_json(
              "evaluate manifest.jsonl --package taught --model teacher --without text --json --draws 20");
    REQUIRE(whole && forgets && deaf);
    const char *const first[] = {"steps", "detection", "nll", "value"}, *const last[] = {"steps", "diagnosis", "nll",
                                                                                         "value"};
#define NLL(root_, at_) number_at(root_, at_[0], at_[1], at_[2], at_[3])
    CHECK(NLL(forgets, first) == NLL(whole, first)); /* nothing has been written before the first answer */
    CHECK(fabs(NLL(forgets, last) - NLL(whole, last)) > 1e-4);
    CHECK(fabs(NLL(deaf, first) - NLL(whole, first)) > 1e-4);
    CHECK(!cJSON_GetObjectItem(cJSON_GetObjectItem(whole, "model"), "ablation"));
    const char *said = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(deaf, "model"), "ablation"));
    CHECK_TEXT(said, "without text: prompts are fixed random vectors of the same lengths");
    cJSON_Delete(whole);
    cJSON_Delete(forgets);
    cJSON_Delete(deaf);
    CHECK_SAYS(cot_cmd_evaluate,
               "evaluate manifest.jsonl --package taught --model teacher --without memory --compare-model teacher "
               "--draws 50 -o compared.html",
               0, "detection       accuracy      +0.000  [+0.000, +0.000]   50 %");
    snprintf(path, sizeof path, "%s/compared.html", world.folder);
    REQUIRE_OK(cot_file_read(&page, &size, path, 1 << 22, &err));
    CHECK_HAS(page, "<h2>Compared with tiny, teacher 1 (teacher)</h2>");
    CHECK_HAS(page, "without memory: answers are not written back");
    free(page);
}

TEST(student_and_teacher_have_their_own_temperatures)
{
    first_run();
    CHECK_SAYS(cot_cmd_calibrate, "calibrate taught --manifest manifest.jsonl --model teacher", 0, "ECE: before");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package taught --draws 20", 0, "raw, not calibrated");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package taught --model teacher --draws 20", 0,
               "calibrated by temperature");
    CHECK_SAYS(cot_cmd_infer, "infer --json --force --package taught --model both picture-08.png", 0,
               "calibrated on validation images, except those of Abnormal radiodensity, Diagnosis,");
}

/* The teacher was never trained on these pictures: what it says surely is wrong. */
TEST(a_temperature_at_its_bound_is_said)
{
    first_run();
    CHECK_SAYS(cot_cmd_calibrate, "calibrate taught --manifest manifest.jsonl --model teacher -o flat", 0,
               "warning: detection: the temperature is at its bound of 20: on these images flat certainties are best");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package flat --model teacher --draws 20", 0,
               "temperature at its bound: detection");
    CHECK_SAYS(cot_cmd_model, "model show flat", 0, "detection 20.000 (at its bound)");
    CHECK_SAYS(cot_cmd_model, "model show flat", 0, "Temperatures    none: certainties are raw, not calibrated");
    cJSON *root = evaluate_json("evaluate manifest.jsonl --package flat --model teacher --json --draws 20");
    REQUIRE(root);
    const cJSON *step = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "steps"), "detection");
    CHECK(cJSON_IsTrue(cJSON_GetObjectItem(step, "temperature_at_bound")));
    cJSON_Delete(root);
}

TEST(temperatures_that_cannot_be_are_refused_when_the_package_is_opened)
{
    static const char *const faults[][2] = {
        {"s/\"temperature\":.*{/\"temperature\":7,\"x\":{/", "has no \"temperature\" by step"},
        {"/temperature/,/}/s/\"detection\":[^,]*/\"detection\":0.01/", "must be a number from 0.05 to 20"},
        {"/temperature/,/}/s/\"detection\"/\"detecting\"/", "names step \"detecting\""},
        {"s/\"calibration\":.*{/\"calibration\":1,\"x\":{/", "\"calibration\" must be an object"},
    };
    first_run();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char command[512];
        snprintf(command, sizeof command, "cd %s && rm -rf bad && cp -r copy bad && sed -i '%s' bad/model.json",
                 world.folder, faults[i][0]);
        REQUIRE(system(command) == 0);
        CHECK_SAYS(cot_cmd_infer, "infer --force --package bad picture-08.png", 4, faults[i][1]);
    }
}

TEST(commands_that_cannot_be_right_are_refused)
{
    first_run();
    CHECK_SAYS(cot_cmd_evaluate, "evaluate", 2, "name one MANIFEST");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --split all", 2, "--split is train, validation or test");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --model both", 2, "--model is student or teacher");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --without memory", 2, "add --model teacher");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate manifest.jsonl --package run/model --model teacher", 4, "has no teacher");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model --manifest manifest.jsonl --split test", 2, "must stay unseen");
    CHECK_SAYS(cot_cmd_calibrate, "calibrate run/model", 2, "--manifest FILE");
    CHECK_SAYS(cot_cmd_evaluate, "evaluate nothing.jsonl", 5, "nothing.jsonl");
}

TEST(the_world_ends)
{
    world_end(&world);
}

CHECK_MAIN
