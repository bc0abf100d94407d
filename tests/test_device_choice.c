/* links: plugin engine config
 * The node's choice of a device: one that does not pass its check is refused by name and the next one taken. PoCL shows two
 * devices here (POCL_DEVICES); other drivers are left out, so that the order is known.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "plugin/device_choice.h"
#include "tests/check.h"

__attribute__((constructor)) static void two_devices(void)
{
    setenv("POCL_DEVICES", "pthread pthread", 1);
    setenv("OCL_ICD_VENDORS", "pocl.icd", 1);
}

static size_t checked, refuse_first;
static cot_status picky(cot_device *device, cot_error *err)
{
    const cot_device_info *about = cot_device_about(device);
    return ++checked <= refuse_first
               ? cot_fail(err, COT_E_DEVICE, "self-test of %s / %s: number %zu", about->platform, about->name, checked)
               : COT_OK;
}

static cot_status choose(device_choice *choice, size_t refuse, cot_error *err)
{
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    checked = 0;
    refuse_first = refuse;
    return device_choose(choice, &options, picky, err);
}

TEST(choice_takes_the_first_device_that_passes)
{
    cot_error err = COT_ERROR_INIT;
    device_choice choice;
    size_t n = 0;
    REQUIRE_OK(cot_devices_matching(&n, NULL, &err));
    CHECK_NUMBER(n, 2);
    REQUIRE_OK(choose(&choice, 0, &err));
    CHECK(choice.device && choice.refused == 0 && checked == 1);
    cot_device_close(choice.device);
}

TEST(choice_refuses_a_wrong_device_by_name_and_takes_the_next)
{
    cot_error err = COT_ERROR_INIT;
    device_choice choice;
    char log[4096] = "";
    FILE *stream = tmpfile();
    REQUIRE(stream);
    cot_log_to_stream(stream, COT_DEBUG, "test");
    REQUIRE_OK(choose(&choice, 1, &err));
    cot_log_to_stream(NULL, COT_DEBUG, "test");
    rewind(stream);
    log[fread(log, 1, sizeof log - 1, stream)] = 0;
    fclose(stream);
    CHECK(choice.device && choice.refused == 1 && checked == 2);
    CHECK_HAS(choice.why, "self-test of Portable Computing Language / ");
    CHECK_HAS(log, "event=device.refused");
    CHECK_HAS(log, "Portable Computing Language / ");
    cot_device_close(choice.device);
}

TEST(choice_fails_with_the_last_fault_when_no_device_passes)
{
    cot_error err = COT_ERROR_INIT;
    device_choice choice;
    CHECK_FAILS(choose(&choice, 2, &err), COT_E_DEVICE, "number 2");
    CHECK(!choice.device && choice.refused == 2);
}

TEST(choice_says_what_is_there_when_nothing_matches)
{
    cot_error err = COT_ERROR_INIT;
    device_choice choice;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.match = "no such device";
    CHECK_FAILS(device_choose(&choice, &options, picky, &err), COT_E_DEVICE, "there are: \"Portable");
    CHECK(!choice.device);
}

TEST(choice_passes_the_real_self_test)
{
    cot_error err = COT_ERROR_INIT;
    device_choice choice;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    CHECK_OK(device_choose(&choice, &options, cot_device_check, &err));
    CHECK(choice.refused == 0);
    cot_device_close(choice.device);
}

TEST(skipping_more_devices_than_match_is_an_error)
{
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.skip = 2;
    CHECK_FAILS(cot_device_open(&device, &options, &err), COT_E_DEVICE, "no usable OpenCL device");
    CHECK(!device);
}

CHECK_MAIN
