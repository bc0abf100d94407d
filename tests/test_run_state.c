/* links: engine */
/* Checkpoints: written whole, read back exactly, refused by name. SPDX-License-Identifier: Apache-2.0 */
#include "engine/run_state.h"
#include "tests/tiny_model.h"

#include <unistd.h>

static cot_error err;
static char folder[64], path[256];
static run_identity identity;

static void fill_identity(void)
{
    for (size_t i = 0; i < RUN_IDENTITIES; i++) cot_sha256_of(identity.digest[i], &i, sizeof i);
}

static cot_status write_one(uint64_t step)
{
    static const float values[6] = {1, -2, 3.5f, 0, -0.0f, 1e-30f};
    const size_t shape[] = {2, 3};
    tensor_list list = {0};
    run_state state = {.epoch = 3, .batch = 7, .step = step, .schedule = {0.5, -INFINITY, 2, 3, 1}, .log_bytes = 99};
    state.losses[0] = 0.1;
    cot_status status = tensor_list_add(&list, "z.weight", TENSOR_F32, shape, 2, values, &err);
    if (status == COT_OK) status = tensor_list_add(&list, "a.weight", TENSOR_F32, shape, 2, values, &err);
    run_state_path(path, sizeof path, folder, step);
    if (status == COT_OK) status = run_state_write(path, &list, &state, &identity, &err);
    tensor_list_free(&list);
    return status;
}

static cot_status open_one(run_state *state)
{
    safetensors *file = NULL;
    const cot_status status = run_state_open(&file, state, path, &identity, &err);
    safetensors_close(file);
    return status;
}

/* One byte at `at` (from the end when negative) changed; or the file cut there. */
static void spoil(long at, bool cut)
{
    FILE *f = fopen(path, "r+b");
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    const long place = ftell(f);
    const int c = fgetc(f);
    fseek(f, place, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
    if (cut && truncate(path, place) != 0) abort();
}

TEST(a_checkpoint_is_read_back_exactly)
{
    run_state state;
    REQUIRE(make_folder(folder));
    fill_identity();
    REQUIRE_OK(write_one(42));
    REQUIRE_OK(open_one(&state));
    CHECK(state.epoch == 3 && state.batch == 7 && state.step == 42 && state.log_bytes == 99 && state.losses[0] == 0.1);
    CHECK(state.schedule.best == -INFINITY && state.schedule.scale == 0.5);
    remove_folder(folder);
}

TEST(damage_anywhere_is_refused)
{
    run_state state;
    REQUIRE(make_folder(folder));
    fill_identity();
    REQUIRE_OK(write_one(42));
    for (long at = -1; at > -80; at -= 13) {
        spoil(at, false);
        CHECK_FAILS(open_one(&state), COT_E_INPUT, "damaged");
        spoil(at, false);
        CHECK_OK(open_one(&state));
    }
    spoil(-10, true);
    CHECK(open_one(&state) != COT_OK);
    CHECK_HAS(err.text, "damaged");
    spoil(0, true);
    CHECK(open_one(&state) != COT_OK);
    remove_folder(folder);
}

TEST(what_changed_since_the_run_began_is_named)
{
    static const char *const words[RUN_IDENTITIES] = {"the manifest changed", "the settings changed", "the model that",
                                                      "the step schema changed", "the images changed"};
    run_state state;
    REQUIRE(make_folder(folder));
    fill_identity();
    REQUIRE_OK(write_one(42));
    for (size_t i = 0; i < RUN_IDENTITIES; i++) {
        fill_identity();
        identity.digest[i][5] = identity.digest[i][5] == '0' ? '1' : '0';
        CHECK_FAILS(open_one(&state), COT_E_REFUSED, words[i]);
    }
    remove_folder(folder);
}

TEST(the_newest_is_found_and_older_ones_go)
{
    char newest[256], foreign[256];
    REQUIRE(make_folder(folder));
    fill_identity();
    CHECK_OK(run_state_newest(newest, sizeof newest, folder, &err));
    CHECK_TEXT(newest, "");
    snprintf(foreign, sizeof foreign, "%s/checkpoint-99.safetensors", folder);
    FILE *f = fopen(foreign, "w");
    REQUIRE(f);
    fclose(f);
    for (uint64_t step = 8; step < 13; step++) REQUIRE_OK(write_one(step));
    CHECK_OK(run_state_newest(newest, sizeof newest, folder, &err));
    CHECK_TEXT(newest, path);
    CHECK_OK(run_state_prune(folder, 1, &err));
    CHECK(access(path, R_OK) == 0 && access(foreign, R_OK) == 0);
    run_state_path(path, sizeof path, folder, 11);
    CHECK(access(path, R_OK) == 0);
    run_state_path(path, sizeof path, folder, 10);
    CHECK(access(path, R_OK) != 0);
    remove_folder(folder);
}

TEST(a_full_disk_is_named_and_leaves_no_file)
{
    fill_identity();
    snprintf(folder, sizeof folder, "/dev/full-is-no-folder");
    CHECK_FAILS(write_one(1), COT_E_IO, "checkpoint");
}

CHECK_MAIN
