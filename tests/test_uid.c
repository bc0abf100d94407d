/* links: dicom config
 * Derived UIDs: same name, same UID; legal characters and length under any root.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"

static bool legal(const char *uid)
{
    const size_t n = strlen(uid);
    if (n == 0 || n > 64) return false;
    for (size_t i = 0; i < n; i++) {
        const bool starts = i == 0 || uid[i - 1] == '.';
        if (uid[i] == '.' ? starts || i + 1 == n : uid[i] < '0' || uid[i] > '9') return false;
        if (starts && uid[i] == '0' && uid[i + 1] && uid[i + 1] != '.') return false;
    }
    return true;
}

TEST(uid_of_the_same_name_is_the_same_and_of_another_is_not)
{
    char a[65], b[65], c[65];
    cot_uid_derive(a, NULL, "report abc");
    cot_uid_derive(b, "", "report abc");
    cot_uid_derive(c, NULL, "report abd");
    CHECK_TEXT(a, b);
    CHECK(strcmp(a, c) != 0);
    CHECK(strncmp(a, "2.25.", 5) == 0);
    /* python3: uuid.uuid5(uuid.UUID("6f0c4c52-5c07-5e9b-8d0a-3c1b6c1d7a55"), "report abc").int */
    CHECK_TEXT(a, "2.25.172878925546613898973280952650232105189");
}

TEST(uid_under_a_root_keeps_the_root_and_fits_64_characters)
{
    const char *root = "1.2.826.0.1.3680043.8.498.12345678";
    for (int i = 0; i < 2000; i++) {
        char uid[65], name[32];
        snprintf(name, sizeof name, "name %d", i);
        cot_uid_derive(uid, root, name);
        CHECK(legal(uid) && strncmp(uid, root, strlen(root)) == 0);
        cot_uid_derive(uid, NULL, name);
        CHECK(legal(uid));
    }
}

TEST(uid_under_a_malformed_root_falls_back_to_2_25)
{
    const char *bad[] = {
        "1..2", ".1", "1.", "1.02", "1.x", "1.2/3", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char uid[65];
        cot_uid_derive(uid, bad[i], "n");
        CHECK(strncmp(uid, "2.25.", 5) == 0 && legal(uid));
    }
}

CHECK_MAIN
