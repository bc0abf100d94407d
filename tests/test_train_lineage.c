/* links: plugin */
/* What a training run takes over, leaves behind and says: calibration and attribution of the package that it began with,
 * whose patients that one had learnt, drafts of a killed process, a run that is done.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package.h"
#include "tests/train_world.h"

#include <dirent.h>

static train_world world;
static cot_error err;
static cot_steps *steps;
#define SMALL  "--size 32 --width 4 --dim 8 --batch 8 --min-labels 2 --cache cache --weights f32 --lr 0.01 "
#define BEGIN  "train --stage encoder manifest.jsonl " SMALL
#define FROZEN " --batch 8 --min-labels 2 --cache cache --weights f32 --lr 0.003 --schedule constant --epochs 1 "

#define CHECK_SAYS_OF(run, words, code, part)                                                                          \
    do {                                                                                                               \
        CHECK_NUMBER(world_run(&world, run, words), code);                                                             \
        char *said_ = world_said(&world);                                                                              \
        CHECK_HAS(said_, part);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)
#define CHECK_SAYS(words, code, part) CHECK_SAYS_OF(cot_cmd_train, words, code, part)

/* In the world's folder. */
static bool shell(const char *text)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && %s", world.folder, text);
    return system(command) == 0;
}

static void first_run(void)
{
    static bool made;
    if (made) return;
    made = true;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE_OK(world_make(&world, &err));
    CHECK_SAYS(BEGIN "-o whole --epochs 6", 0, "whole/model is the model of epoch");
    REQUIRE(world_run(&world, cot_cmd_calibrate, "calibrate whole/model --manifest manifest.jsonl -o calibrated") == 0);
}

/* Caller closes. */
static cot_package *package_of(const char *name)
{
    char path[160];
    cot_package *package = NULL;
    snprintf(path, sizeof path, "%s/%s", world.folder, name);
    CHECK_OK(cot_package_open(&package, path, steps, &err));
    return package;
}

static const cJSON *member(const cJSON *object, const char *a, const char *b, const char *c)
{
    const char *const keys[] = {a, b, c};
    for (size_t i = 0; i < 3 && keys[i]; i++) object = cJSON_GetObjectItemCaseSensitive(object, keys[i]);
    return object;
}

/* "" where there is none. */
static const char *text_of(const cJSON *object, const char *a, const char *b, const char *c)
{
    const char *text = cJSON_GetStringValue(member(object, a, b, c));
    return text ? text : "";
}

TEST(a_teacher_leaves_the_students_calibration_and_both_attributions_stay)
{
    first_run();
    REQUIRE(shell("sed '1s/drawn by a test/drawn by another/' manifest.jsonl >elsewhere.jsonl"));
    CHECK_SAYS("train --stage teacher elsewhere.jsonl --init calibrated -o further --teacher-dim 16" FROZEN, 0,
               "further/model is the model of epoch"); /* another manifest, the same patients in the same splits */
    cot_package *before = package_of("calibrated"), *after = package_of("further/model");
    REQUIRE(before && after);
    const cJSON *a = package_card(before)->json, *b = package_card(after)->json,
                *kept = member(a, "calibration", "student", NULL);
    CHECK(kept && cJSON_Compare(kept, member(b, "calibration", "student", NULL), true));
    CHECK(package_card(after)->temperature[0] > 0 && !(package_card(after)->teacher.temperature[0] > 0));
    CHECK_HAS(text_of(b, "metrics", "certainty", NULL), "calibrated by temperature");
    CHECK_TEXT(package_card(after)->attribution, "drawn by a test Then: drawn by another");
    CHECK_TEXT(text_of(b, "recipe", "init", "data_attribution"), "drawn by a test");
    CHECK_TEXT(text_of(b, "recipe", "init", "patients"), "of this training split");
    CHECK_TEXT(text_of(b, "recipe", "init", "package_sha256"), cot_package_reader(before)->package_sha256);
    cot_package_close(after);
    cot_package_close(before);
    CHECK_SAYS_OF(cot_cmd_calibrate, "calibrate further/model --manifest manifest.jsonl --model teacher", 0, "teacher");
    CHECK_SAYS("train --stage distill manifest.jsonl --init further/model -o both" FROZEN, 0, "both/model");
    after = package_of("both/model");
    REQUIRE(after);
    CHECK(!member(package_card(after)->json, "calibration", NULL, NULL)); /* all weights are others now */
    CHECK_HAS(text_of(package_card(after)->json, "metrics", "certainty", NULL), "raw softmax");
    CHECK_TEXT(package_card(after)->attribution, "drawn by a test Then: drawn by another"); /* said already */
    cot_package_close(after);
}

/* Training and test patients change places. */
#define SWAP                                                                                                           \
    "sed 's/\"split\":\"test\"/\"split\":\"x\"/; s/\"split\":\"train\"/\"split\":\"test\"/; "                          \
    "s/\"split\":\"x\"/\"split\":\"train\"/' manifest.jsonl >swapped.jsonl"

TEST(a_start_that_may_have_learnt_the_test_patients_is_refused_by_what_it_learnt)
{
    first_run();
    REQUIRE(shell(SWAP));
    CHECK_SAYS("train --stage encoder swapped.jsonl --init whole/model -o leak --epochs 1 --min-labels 2 --cache cache",
               1, "has learnt other images than this manifest's training split (by a test)");
    CHECK(shell("test ! -e leak"));
    CHECK_SAYS("train --stage encoder swapped.jsonl --init whole/model -o leak --epochs 1 --min-labels 2 --cache cache "
               "--weights f32 --other-patients",
               0, "leak/model");
    cot_package *leak = package_of("leak/model");
    REQUIRE(leak);
    const cJSON *json = package_card(leak)->json;
    CHECK_TEXT(text_of(json, "recipe", "init", "patients"), "said to be others (--other-patients)");
    CHECK(strlen(text_of(json, "recipe", "splits_sha256", "test")) == 64);
    CHECK_TEXT(text_of(member(json, "recipe", "init", "recipe"), "splits_sha256", "train", NULL),
               text_of(json, "recipe", "splits_sha256", "test")); /* this is the leak */
    cot_package_close(leak);
    /* its own manifest is this one, but not that of the model behind it */
    CHECK_SAYS("train --stage teacher swapped.jsonl --init leak/model -o leak2 --teacher-dim 16" FROZEN, 1,
               "has learnt other images");
    CHECK_SAYS("train --resume leak --cache cache", 0, "the run is done, after 1 epochs");
    CHECK_SAYS("train --resume leak --other-patients", 2, "--resume takes only");
}

TEST(a_start_that_does_not_say_whom_it_learnt_is_warned_of)
{
    char path[160], *text = NULL;
    size_t size = 0;
    first_run();
    REQUIRE(shell("cp -r whole/model silent"));
    snprintf(path, sizeof path, "%s/silent/model.json", world.folder);
    REQUIRE_OK(cot_file_read(&text, &size, path, 1 << 20, &err));
    cJSON *card = cJSON_Parse(text);
    free(text);
    cJSON_DeleteItemFromObject(card, "recipe");
    text = cJSON_Print(card);
    REQUIRE_OK(cot_file_write_durable(path, text, strlen(text), &err));
    cJSON_free(text);
    cJSON_Delete(card);
    CHECK_SAYS("train --stage teacher manifest.jsonl --init silent -o quiet --teacher-dim 16" FROZEN, 0,
               "warning: the package of --init does not say whom it has learnt");
    cot_package *quiet = package_of("quiet/model");
    REQUIRE(quiet);
    CHECK_TEXT(text_of(package_card(quiet)->json, "recipe", "init", "patients"), "not known");
    cot_package_close(quiet);
}

/* ---- the folder ---- */
TEST(a_finished_run_is_left_alone_and_what_is_missing_is_made_again)
{
    first_run();
    REQUIRE(shell("cp -r whole finished && rm -r finished/model && cp -r calibrated finished/model && "
                  "stat -c %i finished/report.html >inode"));
    CHECK_SAYS("train --resume finished --cache cache", 0, "the run is done, after 6 epochs: nothing is left to learn");
    char *said = world_said(&world);
    CHECK(!strstr(said, "going on") && !strstr(said, "made again"));
    free(said);
    CHECK(
        shell("cmp finished/model/model.json calibrated/model.json && stat -c %i finished/report.html | cmp - inode"));
    CHECK(shell("test $(grep -c '\"event\":\"end\"' finished/log.jsonl) = 1"));
    REQUIRE(shell("rm finished/report.html finished/model/weights.safetensors"));
    CHECK_SAYS("train --resume finished --cache cache", 0, "made again: model report.html");
    CHECK(world_same(&world, "whole/model/weights.safetensors", "finished/model/weights.safetensors"));
    CHECK(shell("test -s finished/report.html"));
    CHECK_SAYS(BEGIN "-o early --epochs 40 --stop 1", 0, "early/model");
    CHECK(shell("grep -q '\"how\":\"stopped early\"' early/log.jsonl"));
    CHECK_SAYS("train --resume early --cache cache", 0, "the run is done, after");
    CHECK(shell("grep -q '\"how\":\"stopped early\"' early/log.jsonl"));
}

TEST(drafts_of_a_killed_process_go_with_the_next_resume_and_nothing_else)
{
    first_run();
    REQUIRE(shell("cp -r whole drafts && cd drafts && rm -r model && mkdir model.part && touch "
                  "checkpoint-0000000030.safetensors.4711.part best.safetensors.12.part report.html.7.part "
                  "model.part/weights.safetensors.99.part mine.9.part checkpoint-30.safetensors.4.part "
                  "best.safetensors.part best.safetensors.x1.part"));
    CHECK_SAYS("train --resume drafts --cache cache", 0, "made again: model");
    CHECK(shell("cd drafts && test ! -e model.part && test $(ls -d *.part | wc -l) = 4 && test -e mine.9.part && "
                "test -e checkpoint-30.safetensors.4.part && test -e best.safetensors.part && test -e "
                "best.safetensors.x1.part"));
    CHECK(world_same(&world, "whole/model/weights.safetensors", "drafts/model/weights.safetensors"));
}

/* ---- signals while a file is being written ---- */
static bool draft_there(const char *run, const char *prefix)
{
    char path[256];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", world.folder, run);
    DIR *d = opendir(path);
    for (struct dirent *e; d && !found && (e = readdir(d));)
        found = !strncmp(e->d_name, prefix, strlen(prefix)) && strstr(e->d_name, ".part");
    if (d) closedir(d);
    return found;
}

/* Sends both signals (second 0: one) while a draft of this name is there; the exit code. */
static int train_while(const char *words, const char *run, const char *prefix, int first, int second)
{
    const pid_t child = world_start(&world, cot_cmd_train, words);
    int how = 0;
    while (!draft_there(run, prefix)) { /* an event of the child, or its end */
        if (waitpid(child, &how, WNOHANG) == child) return 97;
        usleep(50);
    }
    kill(child, first);
    if (second) kill(child, second);
    return world_wait(child);
}

TEST(signals_while_files_are_written_lose_nothing_and_a_second_one_changes_nothing)
{
    first_run();
    CHECK_NUMBER(train_while(BEGIN "-o hit --epochs 6", "hit", "best.safetensors", SIGTERM, SIGTERM), 6);
    CHECK_NUMBER(train_while("train --resume hit --cache cache", "hit", "checkpoint-", SIGINT, SIGTERM), 6);
    CHECK_NUMBER(train_while("train --resume hit --cache cache", "hit", "checkpoint-", SIGKILL, 0), -SIGKILL);
    CHECK_SAYS("train --resume hit --cache cache", 0, "hit/model is the model of epoch");
    CHECK(world_same(&world, "whole/model/weights.safetensors", "hit/model/weights.safetensors"));
    CHECK(shell("sed 's/,\"seconds\".*//' whole/log.jsonl >a; sed 's/,\"seconds\".*//' hit/log.jsonl | cmp - a"));
    CHECK(shell("! ls hit | grep -q part"));
}

TEST(the_world_ends)
{
    cot_steps_destroy(steps);
    world_end(&world);
}

CHECK_MAIN
