/* links: engine config
 * Joint training against the oracle: the three steps of golden folders, both ways to align, of several sizes; and folders
 * that lack what training needs. COT_GOLDEN=FOLDER tries every folder in there instead.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden.h"
#include "engine/golden_train.h"
#include "engine/joint.h"
#include "opencl/opencl.h"
#include "tests/check.h"

#define GOLDEN COT_SOURCE_DIR "/tests/golden"

static cot_device *device;

__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

static cot_status train(cot_golden_training *results, const char *parent, const char *folder, cot_error *err)
{
    cot_status status = COT_OK;
    char path[512];
    cot_golden *golden = NULL;
    if (!device) {
        cot_device_options options = COT_DEVICE_OPTIONS_INIT;
        options.gemm = COT_GEMM_TILE;
        COT_TRY(cot_device_open(&device, &options, err));
    }
    snprintf(path, sizeof path, "%s/%s", parent, folder);
    COT_TRY(cot_golden_open(&golden, path, err));
    COT_TRY(cot_golden_train(results, golden, device, err));
done:
    cot_golden_close(golden);
    return status;
}

TEST(three_joint_steps_are_the_oracles)
{
    cot_error err = COT_ERROR_INIT;
    cot_golden_training results[COT_GOLDEN_ALIGNS];
    static const char *const folders[] = {"tiny", "train_three", "train_one"};
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        REQUIRE_OK(train(results, GOLDEN, folders[f], &err));
        for (size_t a = 0; a < COT_GOLDEN_ALIGNS; a++) {
            CHECK_NEAR(results[a].loss_error, 0, COT_GOLDEN_LOSS_BOUND);
            CHECK_NEAR(results[a].logit_error, 0, COT_GOLDEN_LOGIT_BOUND);
            CHECK(cot_golden_training_passes(&results[a]));
            CHECK(results[a].got[2][0] < results[a].got[0][0]); /* it learns */
        }
        /* the ways to align differ, and not before the student's first step */
        CHECK(results[0].got[0][1] == results[1].got[0][1]);
        CHECK(results[0].got[2][1] != results[1].got[2][1] || results[0].got[0][4] == 0);
    }
}

TEST(a_folder_without_projections_is_refused_by_name)
{
    cot_error err = COT_ERROR_INIT;
    cot_golden_training results[COT_GOLDEN_ALIGNS];
    CHECK_FAILS(train(results, GOLDEN, "odd", &err), COT_E_MODEL, "proj_teacher.safetensors");
}

/* ---- 200 steps ---- */
enum { ROWS = 4, TAKEN = 3, CURVE = 200, LOADS = 4 };

static cot_status load_curve(joint *j, cot_error *err)
{
    cot_status status = COT_OK;
    static const char *const names[LOADS] = {"teacher", "proj_teacher", "student", "proj_student"};
    for (size_t i = 0; i < LOADS; i++) {
        char path[512], under[32];
        safetensors *file = NULL;
        snprintf(path, sizeof path, GOLDEN "/train_three/%s.safetensors", names[i]);
        snprintf(under, sizeof under, "%s.", names[i]);
        COT_TRY(safetensors_open(&file, path, err));
        const weight_source source = {file, "", path};
        status =
            parameters_load(i < 2 ? joint_teacher_parameters(j) : joint_student_parameters(j), under, &source, err);
        safetensors_close(file);
        COT_TRY(status);
    }
done:
    return status;
}

/* golden/train_curve.py: the oracle's losses, a fixed order of rows. */
TEST(two_hundred_steps_stay_within_a_hundredth_of_the_oracles_curve)
{
    cot_error err = COT_ERROR_INIT;
    cot_golden *g = NULL;
    joint *j = NULL;
    float *all = NULL, *prompts = NULL;
    REQUIRE_OK(cot_golden_open(&g, GOLDEN "/train_three", &err));
    const golden_sizes *z = &g->sizes;
    const teacher_shape t = {z->image_dim, z->teacher, z->gat_heads, z->gat_layers, g->n_steps, g->classes};
    const student_shape s = {z->image_dim, z->student, g->n_steps, g->classes};
    const weight_source source = golden_source(g, GOLDEN_EXPECTED);
    const tensor *labels = safetensors_find(source.file, "labels"), *valid = safetensors_find(source.file, "valid");
    joint_options options = JOINT_OPTIONS_INIT;
    options.max_batch = TAKEN;
    options.proj_dim = 7;
    options.dropout = false;
    options.lr_teacher = options.lr_student = 1e-3f;
    REQUIRE(labels && valid && z->batch == ROWS && g->n_steps == 3);
    REQUIRE_OK(source_floats(&all, &source, "image_features", (const size_t[]){ROWS, z->image_dim}, 2, &err));
    REQUIRE_OK(source_floats(&prompts, &source, "prompt_features", (const size_t[]){3, z->teacher}, 2, &err));
    REQUIRE_OK(joint_create(&j, device, &t, &s, &options, &err));
    REQUIRE_OK(load_curve(j, &err));
    REQUIRE_OK(joint_prompts(j, prompts, &err));
    FILE *curve = fopen(GOLDEN "/train_curve.txt", "r");
    REQUIRE(curve);
    float *features = calloc(TAKEN * z->image_dim, sizeof *features);
    for (size_t i = 0; i < CURVE; i++) {
        int chosen[TAKEN * 3];
        double teacher_loss = 0, student_loss = 0;
        joint_losses got;
        for (size_t k = 0; k < TAKEN; k++) {
            const size_t row = (i + k) % ROWS;
            memcpy(features + k * z->image_dim, all + row * z->image_dim, z->image_dim * sizeof *features);
            for (size_t c = 0; c < 3; c++) {
                int64_t label = 0;
                memcpy(&label, labels->data + (row * 3 + c) * sizeof label, sizeof label);
                chosen[k * 3 + c] = valid->data[row * 3 + c] ? (int)label : -1;
            }
        }
        REQUIRE_OK(joint_step(j, &(joint_batch){TAKEN, features, chosen}, &got, &err));
        REQUIRE(fscanf(curve, "%lf %lf", &teacher_loss, &student_loss) == 2);
        CHECK_NEAR(got.teacher / teacher_loss, 1, 0.01);
        CHECK_NEAR(got.student / student_loss, 1, 0.01);
    }
    fclose(curve);
    free(all), free(prompts), free(features);
    joint_destroy(j);
    cot_golden_close(g);
}

CHECK_MAIN
