/* links: engine config
 * Joint training against the oracle: the three steps of golden folders, both ways to align, of several sizes; and folders
 * that lack what training needs. COT_GOLDEN=FOLDER tries every folder in there instead.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/golden_train.h"
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

CHECK_MAIN
