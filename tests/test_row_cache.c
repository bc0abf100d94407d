/* links: engine */
/* Rows on disk: there again under their key, absent when anything differs. SPDX-License-Identifier: Apache-2.0 */
#include "engine/row_cache.h"
#include "tests/tiny_model.h"

#include <dirent.h>

static cot_error err;
static const char *const parts[] = {"a", "bc"}, *const others[] = {"ab", "c"};

TEST(rows_come_back_under_their_key_only)
{
    char dir[64];
    float rows[6] = {1, 2, 3, 4, 5, 6}, got[6] = {0};
    bool kept;
    REQUIRE(make_folder(dir));
    const row_key key = row_key_of(parts, 2), other = row_key_of(others, 2);
    CHECK(strcmp(key.hex, other.hex) != 0); /* parts are told apart, not only their letters */
    CHECK(!row_cache_load(got, dir, "features", &key, 2, 12));
    CHECK_OK(row_cache_save(&kept, rows, dir, "features", &key, 2, 12, &err));
    CHECK(kept && row_cache_load(got, dir, "features", &key, 2, 12) && !memcmp(rows, got, sizeof rows));
    CHECK(!row_cache_load(got, dir, "features", &other, 2, 12));
    CHECK(!row_cache_load(got, dir, "pictures", &key, 2, 12));
    CHECK(!row_cache_load(got, dir, "features", &key, 3, 8));
    CHECK(!row_cache_load(got, NULL, "features", &key, 2, 12));
    remove_folder(dir);
}

TEST(a_changed_or_cut_file_is_absent)
{
    char dir[64], command[256];
    unsigned char rows[1000], got[1000];
    bool kept;
    REQUIRE(make_folder(dir));
    const row_key key = row_key_of(parts, 2);
    memset(rows, 7, sizeof rows);
    CHECK_OK(row_cache_save(&kept, rows, dir, "pictures", &key, 10, 100, &err));
    snprintf(command, sizeof command, "printf x | dd of=$(ls %s/*.rows) bs=1 seek=900 conv=notrunc 2>/dev/null", dir);
    REQUIRE(kept && system(command) == 0);
    CHECK(!row_cache_load(got, dir, "pictures", &key, 10, 100));
    CHECK_OK(row_cache_save(&kept, rows, dir, "pictures", &key, 10, 100, &err));
    CHECK(kept && row_cache_load(got, dir, "pictures", &key, 10, 100));
    snprintf(command, sizeof command, "truncate -s 500 %s/*.rows", dir);
    REQUIRE(system(command) == 0);
    CHECK(!row_cache_load(got, dir, "pictures", &key, 10, 100));
    remove_folder(dir);
}

TEST(where_nothing_can_be_kept_the_work_goes_on)
{
    bool kept = true;
    const row_key key = row_key_of(parts, 2);
    CHECK_OK(row_cache_save(&kept, "x", "/nonexistent", "pictures", &key, 1, 1, &err));
    CHECK(!kept);
    CHECK_OK(row_cache_save(&kept, "x", "/tmp", "pictures", &key, SIZE_MAX, 2, &err));
    CHECK(!kept);
}

CHECK_MAIN
