/* links: plugin */
/* stepcot train on drawn pictures: a package at the end, and the same weights whether a run was left alone, stopped or
 * killed. SPDX-License-Identifier: Apache-2.0 */
#include "engine/package.h"
#include "tests/train_world.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/resource.h>

static train_world world;
static cot_error err;
#define SMALL "--size 32 --width 4 --dim 8 --batch 8 --min-labels 2 --cache cache --weights f32 "
#define BEGIN "train --stage encoder manifest.jsonl " SMALL

static int train(const char *words)
{
    return world_run(&world, cot_cmd_train, words);
}

/* The command ends with `code` and says `part`. */
#define CHECK_SAYS(words, code, part)                                                                                  \
    do {                                                                                                               \
        CHECK_NUMBER(train(words), code);                                                                              \
        char *said_ = world_said(&world);                                                                              \
        CHECK_HAS(said_, part);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)

static bool command(const char *format, const char *a, const char *b)
{
    char text[512];
    snprintf(text, sizeof text, "cd %s && ", world.folder);
    const size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, format, a, b); // NOLINT: formats are ours
    return system(text) == 0;
}

/* The number of checkpoints in a run's folder, without the one that the run had at first. */
static size_t checkpoints(const char *run)
{
    char path[256];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", world.folder, run);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        n += !strncmp(e->d_name, "checkpoint-", 11) && !strstr(e->d_name, ".part");
    if (d) closedir(d);
    return n;
}

/* Epochs that a run's log tells of. */
static size_t epochs(const char *run)
{
    char path[256], line[8192];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s/log.jsonl", world.folder, run);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) n += strstr(line, "\"event\":\"epoch\"") != NULL;
    if (f) fclose(f);
    return n;
}

/* Starts the words and sends `signal_number` when this process has gone through an epoch and `least` checkpoints are there. */
static int train_until(const char *words, const char *run, size_t least, int signal_number)
{
    const size_t before = epochs(run);
    const pid_t child = world_start(&world, cot_cmd_train, words);
    int how = 0;
    while (epochs(run) <= before || checkpoints(run) < least) { /* an event of the child, or its end */
        if (waitpid(child, &how, WNOHANG) == child) return 97;
        usleep(2000);
    }
    kill(child, signal_number);
    return world_wait(child);
}

static void first_run(void)
{
    static bool made;
    if (made) return;
    made = true;
    REQUIRE_OK(world_make(&world, &err));
    CHECK_SAYS(BEGIN "-o whole --epochs 6 --lr 0.01", 0, "whole/model is the model of epoch");
}

TEST(a_run_ends_with_a_package_that_has_learnt_and_says_how)
{
    char path[160];
    cot_package *package = NULL;
    cot_steps *steps = NULL;
    first_run();
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    snprintf(path, sizeof path, "%s/whole/model", world.folder);
    REQUIRE_OK(cot_package_open(&package, path, steps, &err));
    const model_card *card = package_card(package);
    CHECK(card->supervised[0] && !card->supervised[1] && card->supervised[steps->n_steps - 1]);
    CHECK(card->size == 32 && card->arch.width == 4 && card->arch.dim == 8);
    CHECK_HAS(card->training, "36 images, validated on 12 images");
    CHECK_HAS(card->attribution, "drawn by a test");
    const cJSON *metrics = cJSON_GetObjectItem(card->json, "metrics");
    const cJSON *auc = cJSON_GetObjectItem(metrics, "detection_auc");
    CHECK(cJSON_IsNumber(auc) && auc->valuedouble > 0.9); /* left or right is easy */
    cot_package_close(package);
    cot_steps_destroy(steps);
    CHECK(command("test $(grep -c '\"event\":\"epoch\"' whole/log.jsonl) = 6 && grep -q '\"event\":\"%s\"' whole/%s",
                  "end", "log.jsonl"));
    CHECK(command("ls %s/*.rows > /dev/null%s", "cache", ""));
    CHECK(command("grep -q \"validation accuracy\" whole/report.html && grep -q \"%s\" whole/report.html%s",
                  "ROC curves", ""));
    CHECK_NUMBER(checkpoints("whole"), 2);
}

TEST(the_same_run_again_gives_the_same_bits_and_another_seed_others)
{
    first_run();
    CHECK_SAYS(BEGIN "-o again --epochs 2 --lr 0.01 --schedule constant", 0, "again/model");
    CHECK_SAYS(BEGIN "-o again2 --epochs 2 --lr 0.01 --schedule constant", 0, "again2/model");
    CHECK(world_same(&world, "again/model/weights.safetensors", "again2/model/weights.safetensors"));
    CHECK_SAYS(BEGIN "-o other --epochs 2 --lr 0.01 --schedule constant --seed 2", 0, "other/model");
    CHECK(!world_same(&world, "again/model/weights.safetensors", "other/model/weights.safetensors"));
}

/* The last checkpoints have the same values, moments and running statistics; only the log's length may differ, as it holds
 * seconds. */
static bool world_same_end(const char *run)
{
    char a[200], b[200];
    safetensors *x = NULL, *y = NULL;
    snprintf(a, sizeof a, "%s/whole/checkpoint-0000000030.safetensors", world.folder);
    snprintf(b, sizeof b, "%s/%s/checkpoint-0000000030.safetensors", world.folder, run);
    bool same = safetensors_open(&x, a, &err) == COT_OK && safetensors_open(&y, b, &err) == COT_OK &&
                safetensors_count(x) == safetensors_count(y) && safetensors_count(x) > 100;
    for (size_t i = 0; same && i < safetensors_count(x); i++) {
        const tensor *s = safetensors_at(x, i), *t = safetensors_at(y, i);
        if (strcmp(s->name, "run.state.1") != 0 && strcmp(s->name, "run.digest") != 0)
            same = !strcmp(s->name, t->name) && s->bytes == t->bytes && !memcmp(s->data, t->data, s->bytes);
    }
    safetensors_close(x);
    safetensors_close(y);
    return same;
}

/* Ends as `whole` did. */
static void check_like_whole(const char *run)
{
    char mine[128];
    snprintf(mine, sizeof mine, "%s/model/weights.safetensors", run);
    CHECK(world_same(&world, "whole/model/weights.safetensors", mine));
    CHECK(world_same_end(run));
    CHECK(command("sed 's/,\"seconds\".*//' whole/log.jsonl > a; sed 's/,\"seconds\".*//' %s/log.jsonl | cmp - a%s",
                  run, ""));
}

TEST(a_stopped_run_goes_on_to_the_same_weights)
{
    first_run();
    CHECK_NUMBER(train_until(BEGIN "-o stopped --epochs 6 --lr 0.01", "stopped", 1, SIGTERM), 6);
    CHECK_NUMBER(train_until("train --resume stopped --cache cache", "stopped", 1, SIGINT), 6);
    CHECK_SAYS("train --resume stopped --cache cache", 0, "stopped/model is the model of epoch");
    check_like_whole("stopped");
}

TEST(a_killed_run_goes_on_to_the_same_weights)
{
    first_run();
    CHECK_NUMBER(train_until(BEGIN "-o killed --epochs 6 --lr 0.01", "killed", 1, SIGKILL), -SIGKILL);
    CHECK_NUMBER(train_until("train --resume killed --cache cache", "killed", 1, SIGKILL), -SIGKILL);
    CHECK_SAYS("train --resume killed --cache cache", 0, "going on at epoch");
    check_like_whole("killed");
}

TEST(what_a_resume_must_not_accept_is_named)
{
    first_run();
    CHECK_NUMBER(train_until(BEGIN "-o kept --epochs 50 --init whole/model", "kept", 2, SIGTERM), 6);
    REQUIRE(command("cp manifest.jsonl m.bak && sed -i 's/\"p1\"/\"p1b\"/' %s%s", "manifest.jsonl", ""));
    CHECK_SAYS("train --resume kept", 1, "the manifest changed since the run began");
    REQUIRE(command("mv m.bak %s%s", "manifest.jsonl", ""));
    REQUIRE(
        command("cp kept/training.xml x.bak && sed -i 's/lr=\"0.002\"/lr=\"0.003\"/' %s%s", "kept/training.xml", ""));
    CHECK_SAYS("train --resume kept", 1, "the settings changed since the run began");
    REQUIRE(command("mv x.bak %s%s", "kept/training.xml", ""));
    REQUIRE(
        command("cp whole/model/model.json j.bak && sed -i 's/drawn by/DRAWN by/' %s%s", "whole/model/model.json", ""));
    CHECK_SAYS("train --resume kept", 1, "the model that the run began with changed");
    REQUIRE(command("mv j.bak %s%s", "whole/model/model.json", ""));
    REQUIRE(command("f=$(ls kept/checkpoint-* | tail -1); truncate -s -9 %s%s", "$f", ""));
    CHECK_SAYS("train --resume kept", 1, "the checkpoint is damaged");
    REQUIRE(command("rm $(ls kept/checkpoint-* | tail -1)%s%s", "", ""));
    CHECK_NUMBER(train_until("train --resume kept", "kept", 1, SIGTERM), 6); /* from the one before */
}

TEST(teacher_and_student_learn_on_frozen_features_and_go_on_after_a_kill)
{
    char path[160];
    cot_package *package = NULL;
    cot_steps *steps = NULL;
#define FROZEN " --batch 8 --min-labels 2 --cache cache --weights f32 --lr 0.003 --schedule constant "
    first_run();
    CHECK_SAYS("train --stage teacher manifest.jsonl --init whole/model -o teacher --epochs 4 --teacher-dim 16" FROZEN,
               0, "teacher/model is the model of epoch");
    CHECK_SAYS("train --stage distill manifest.jsonl --init teacher/model -o distill --epochs 4" FROZEN, 0,
               "distill/model is the model of epoch");
    CHECK_NUMBER(train_until("train --stage distill manifest.jsonl --init teacher/model -o again3 --epochs 4" FROZEN,
                             "again3", 1, SIGKILL),
                 -SIGKILL);
    CHECK_SAYS("train --resume again3 --cache cache", 0, "again3/model");
    CHECK(world_same(&world, "distill/model/weights.safetensors", "again3/model/weights.safetensors"));
    CHECK(!world_same(&world, "distill/model/weights.safetensors", "teacher/model/weights.safetensors"));
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    snprintf(path, sizeof path, "%s/distill/model", world.folder);
    REQUIRE_OK(cot_package_open(&package, path, steps, &err));
    const model_card *card = package_card(package);
    CHECK(card->arch.teacher.dim == 16 && card->teacher.supervised[0] && !card->teacher.supervised[1]);
    CHECK_HAS(card->training, "Stage distill");
    cot_package_close(package);
    cot_steps_destroy(steps);
    CHECK_NUMBER(
        world_run(&world, cot_cmd_evaluate,
                  "evaluate manifest.jsonl --package distill/model --model teacher --without memory --draws 20"),
        0);
    CHECK_NUMBER(world_run(&world, cot_cmd_evaluate,
                           "evaluate manifest.jsonl --package distill/model --model teacher --without text --draws 20"),
                 0);
}

TEST(a_refit_learns_the_validation_images_and_keeps_the_last_epoch)
{
    char path[160];
    cot_package *package = NULL;
    cot_steps *steps = NULL;
    first_run();
    CHECK_SAYS(BEGIN "-o refit --epochs 3 --lr 0.01 --refit yes", 0, "refit/model is the model of epoch 3");
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    snprintf(path, sizeof path, "%s/refit/model", world.folder);
    REQUIRE_OK(cot_package_open(&package, path, steps, &err));
    CHECK_HAS(package_card(package)->training, "48 images, the 12 on which the recipe was chosen among them");
    CHECK_HAS(package_card(package)->training, "the last of 3 epochs");
    const cJSON *metrics = cJSON_GetObjectItem(package_card(package)->json, "metrics");
    CHECK(metrics && !cJSON_GetObjectItem(metrics, "detection_auc"));
    cot_package_close(package);
    cot_steps_destroy(steps);
    CHECK(command("grep -q 'which it has learnt' refit/report%s%s", ".html", ""));
    /* where nothing moves any more, a run that is judged stops early; this one goes on to its last epoch and keeps that */
#define STILL "--epochs 12 --schedule constant --lr 1e-9 --stop 1 "
    CHECK_SAYS(BEGIN "-o judged " STILL, 0, "judged/model");
    CHECK(
        command("grep -q 'stopped early' judged/log.jsonl && ! grep -q '\"epoch\":12,' %s/log.jsonl%s", "judged", ""));
    CHECK_SAYS(BEGIN "-o unjudged " STILL "--refit yes", 0, "unjudged/model is the model of epoch 12");
    /* its certainties cannot be fitted on what it learnt, but on a run of the same recipe without it */
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate refit/model --manifest manifest.jsonl") == 1);
    CHECK(command("grep -q 'has learnt the validation images' %s%s", "output.txt", ""));
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate whole/model --manifest manifest.jsonl -o sibling") == 0);
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate refit/model --like sibling -o refitted") == 0);
    CHECK(
        command("grep -q '\"like\"' refitted/model.json && grep -q '\"temperature\"' %s/model.json%s", "refitted", ""));
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate refit/model --like whole/model -o x") == 4);
    CHECK(command("grep -q 'is not calibrated' %s%s", "output.txt", ""));
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate refit/model --like default -o x") == 4);
    CHECK(command("grep -q 'is not of the recipe of default' %s%s && test ! -e x", "output.txt", ""));
    CHECK(world_run(&world, cot_cmd_calibrate, "calibrate refit/model --like sibling -o x --split validation") == 2);
    CHECK(command("grep -q 'looks at no image' %s%s && test ! -e x", "output.txt", ""));
}

/* Boxes: their loss is in the log and falls, the layer that reads them is in checkpoints (so that a resume is the same) and
 * not in the package. */
TEST(boxes_teach_places_and_stay_out_of_the_package)
{
    first_run();
    CHECK_SAYS(BEGIN "-o places --epochs 6 --lr 0.01 --places 1", 0, "places/model is the model of epoch");
    CHECK(command("grep -c '\"places\":' places/log.jsonl | grep -qx 6%s%s", "", ""));
    CHECK(command("sed -n 's/.*\"places\":\\([0-9.]*\\).*/\\1/p' places/log.jsonl | "
                  "awk 'NR == 1 {first = $1} {last = $1} END {exit !(last < 0.8 * first)}'%s%s",
                  "", ""));
    CHECK(command("grep -aq 'lesion[.]place' places/checkpoint-*.safetensors && ! grep -aq 'lesion[.]place' "
                  "%s/model/weights.safetensors%s",
                  "places", ""));
    CHECK_SAYS("train --stage encoder manifest.jsonl --init places/model -o further --epochs 1 --places 1 "
               "--min-labels 2 --cache cache",
               0, "further/model");
    REQUIRE(command("sed 's/,\"boxes\":\\[.*\\]//' manifest.jsonl >%s%s", "bare.jsonl", ""));
    CHECK_SAYS("train --stage encoder bare.jsonl -o x --places 1 " SMALL, 1, "no training image has a box");
}

/* Of one batch with all training images the first weights alone decide: what the boxes and the labels say of places. */
static bool same_places(const char *run, const char *other)
{
    return command("for r in %s %s; do sed -n 's/.*\"places\":\\([0-9.]*\\).*/\\1/p' $r/log.jsonl; done | "
                   "awk '{x[NR] = $1} END {exit !(NR == 2 && x[1] == x[2])}'",
                   run, other);
}

TEST(an_image_without_boxes_is_empty_only_if_all_its_labels_say_so)
{
#define ONCE " --epochs 1 --places 1 --batch 36 --lr 0.01 --size 32 --width 4 --dim 8 --min-labels 2 --cache cache"
    first_run();
    REQUIRE(command("sed '/\"boxes\"/!{/\"detection\":\"increased\"/s/\"normal\"/\"nodule\"/}' %s >%s",
                    "manifest.jsonl", "finding.jsonl"));
    REQUIRE(command("sed '/\"boxes\"/!s/\"detection\":\"none\"/\"detection\":\"increased\"/' %s >%s", "manifest.jsonl",
                    "detected.jsonl"));
    CHECK(command("! cmp -s manifest.jsonl %s && ! cmp -s manifest.jsonl %s", "finding.jsonl", "detected.jsonl"));
    CHECK_SAYS("train --stage encoder manifest.jsonl -o once" ONCE, 0, "once/model");
    CHECK_SAYS("train --stage encoder finding.jsonl -o finding" ONCE, 0, "finding/model");
    CHECK_SAYS("train --stage encoder detected.jsonl -o detected" ONCE, 0, "detected/model");
    CHECK(same_places("once", "finding"));
    CHECK(!same_places("once", "detected"));
}

TEST(commands_that_cannot_be_right_are_refused)
{
    first_run();
    CHECK_SAYS(BEGIN "-o whole", 2, "whole exists already. Continue it with --resume whole");
    CHECK_SAYS("train --stage encoder manifest.jsonl -o x --epoch 3", 2, "did you mean --epochs?");
    CHECK_SAYS("train --stage encode manifest.jsonl -o x", 2, "say --stage encoder, teacher or distill");
    CHECK_SAYS("train --stage encoder manifest.jsonl -o x --lr fast", 3, "Give a number from 0 to 10");
    CHECK_SAYS("train --stage encoder manifest.jsonl -o x --kd 1", 2, "--kd is no option of --stage encoder");
    CHECK_SAYS("train --stage encoder nothing.jsonl -o x", 2, "nothing.jsonl: there is no such file");
    CHECK_SAYS("train --stage encoder manifest.jsonl", 2, "-o RUN");
    CHECK_SAYS("train --resume whole --lr 1", 2, "a run keeps its settings");
    CHECK_SAYS("train --resume nowhere", 5, "--resume takes the folder of a training run");
    CHECK_SAYS("train --stage teacher manifest.jsonl -o x", 2, "needs --init PACKAGE");
    CHECK_SAYS(BEGIN "-o x --min-labels 1000", 1, "no step has 1000 labelled training images");
    REQUIRE(command("awk '{sub(/\"location\":null/, NR %% 2 ? \"\\\"location\\\":\\\"none\\\"\" : "
                    "\"\\\"location\\\":\\\"upper-zone\\\"\")} 1' manifest.jsonl >sides.jsonl%s%s",
                    "", ""));
    CHECK_SAYS("train --stage encoder sides.jsonl -o x --mirror yes " SMALL, 3,
               "step location is taught and its answer \"Both lungs\" has a side");
    CHECK_SAYS("train --stage encoder --print-config --lr 0.25", 0, "lr=\"0.25\"");
    CHECK_SAYS("train --stage encoder manifest.jsonl --init whole/model -o x --width 8 --min-labels 2 --cache cache", 3,
               "another width than that of the package of --init");
    REQUIRE(command("awk '/:\"train\"/ && !n++ {sub(/:\"train\"/, \":\\\"validation\\\"\")} 1' manifest.jsonl >%s%s",
                    "odd.jsonl", ""));
    CHECK_SAYS("train --stage encoder odd.jsonl -o x --size 32 --batch 2 --min-labels 2 --cache cache", 3,
               "training images by itself");
    CHECK(command("test ! -e %s%s", "x", ""));
}

TEST(a_run_that_another_process_is_at_is_left_alone)
{
    first_run();
    char path[160];
    snprintf(path, sizeof path, "%s/whole", world.folder);
    const int fd = open(path, O_RDONLY | O_DIRECTORY);
    REQUIRE(fd >= 0 && flock(fd, LOCK_EX) == 0);
    CHECK_SAYS("train --resume whole --cache cache", 1, "whole: another process is at this run");
    close(fd);
    CHECK_SAYS("train --resume whole --cache cache", 0, "whole/model");
}

TEST(images_that_changed_or_are_gone_are_named)
{
    first_run();
    REQUIRE(command("cp picture-07.png p.bak && printf x >> %s%s", "picture-07.png", ""));
    CHECK_SAYS("train --stage encoder manifest.jsonl -o x --min-labels 2 --size 64 --cache none", 1,
               "picture-07.png (line 9 of the manifest): the file has changed");
    REQUIRE(command("rm %s%s", "picture-07.png", ""));
    CHECK_SAYS("train --stage encoder manifest.jsonl -o x --min-labels 2 --size 64 --cache none", 5, "picture-07.png");
    REQUIRE(command("mv p.bak %s%s", "picture-07.png", ""));
    CHECK(command("test ! -e %s%s", "x", ""));
}

TEST(a_diverging_run_says_so)
{
    first_run();
    CHECK_SAYS(BEGIN "-o wild --lr 10 --clip 0 --schedule constant --epochs 200 --weight-decay 10", 1, "diverged");
}

TEST(a_full_disk_is_named)
{
    struct rlimit all;
    first_run();
    REQUIRE(getrlimit(RLIMIT_FSIZE, &all) == 0);
    const struct rlimit little = {100000, all.rlim_max}; /* a checkpoint has more */
    REQUIRE(setrlimit(RLIMIT_FSIZE, &little) == 0);
    CHECK_SAYS(BEGIN "-o full --epochs 2", 5, "full/");
    setrlimit(RLIMIT_FSIZE, &all);
    CHECK_NUMBER(checkpoints("full"), 0);
    CHECK_SAYS("train --resume full --cache cache", 0, "full/model"); /* with room it goes on */
}

TEST(the_world_ends)
{
    world_end(&world);
}

CHECK_MAIN
