/* links: config */
/* base.h: errors, checked sizes, files, digests, the log. SPDX-License-Identifier: Apache-2.0 */
#include "tests/check.h"
#include "tests/log_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static cot_error err;

static void folder_make(char folder[64])
{
    strcpy(folder, "/tmp/cot-base-XXXXXX");
    if (!mkdtemp(folder)) abort();
}

TEST(every_status_has_a_name_of_its_own)
{
    for (int a = COT_OK; a <= COT_E_BUG; a++) {
        CHECK(strcmp(cot_status_name((cot_status)a), "unknown") != 0);
        for (int b = COT_OK; b < a; b++)
            CHECK(strcmp(cot_status_name((cot_status)a), cot_status_name((cot_status)b)) != 0);
    }
    CHECK_TEXT(cot_status_name((cot_status)999), "unknown");
    CHECK_TEXT(cot_status_name((cot_status)-1), "unknown");
}

TEST(a_failure_keeps_its_status_and_is_cut_at_the_buffer)
{
    char much[3000];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = 0;
    CHECK(cot_fail(&err, COT_E_IO, "%s", much) == COT_E_IO);
    CHECK_NUMBER(strlen(err.text), sizeof err.text - 1);
    CHECK(cot_fail(NULL, COT_E_MODEL, "no one listens") == COT_E_MODEL);
}

TEST(a_prefix_stands_before_the_text_and_keeps_the_status)
{
    cot_fail(&err, COT_E_INPUT, "inner");
    CHECK(cot_fail_in(&err, "outer %d", 7) == COT_E_INPUT);
    CHECK_TEXT(err.text, "outer 7: inner");
    char much[3000];
    memset(much, 'y', sizeof much - 1);
    much[sizeof much - 1] = 0;
    CHECK(cot_fail_in(&err, "%s", much) == COT_E_INPUT);
    CHECK_NUMBER(strlen(err.text), sizeof err.text - 1);
}

TEST(sizes_that_overflow_are_refused_and_leave_the_result)
{
    size_t n = 5;
    CHECK(cot_mul(&n, 6, 7) && n == 42);
    CHECK(!cot_mul(&n, SIZE_MAX / 2, 3) && n == 42);
    CHECK(cot_add(&n, 1, 2) && n == 3);
    CHECK(!cot_add(&n, SIZE_MAX, 1) && n == 3);
}

TEST(a_file_written_durably_reads_back_and_leaves_no_draft)
{
    char folder[64], path[128], *data;
    size_t size;
    folder_make(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    REQUIRE_OK(cot_file_write_durable(path, "one\0two", 7, &err));
    REQUIRE_OK(cot_file_read(&data, &size, path, 7, &err));
    CHECK_NUMBER(size, 7);
    CHECK(!memcmp(data, "one\0two", 8)); /* with the NUL added behind */
    free(data);
    REQUIRE_OK(cot_file_write_durable(path, "three", 5, &err));
    REQUIRE_OK(cot_file_read(&data, &size, path, 100, &err));
    CHECK_TEXT(data, "three");
    free(data);
    unlink(path);
    CHECK(rmdir(folder) == 0); /* nothing else was left there */
}

TEST(files_over_the_limit_folders_fifos_and_missing_files_are_refused)
{
    char folder[64], path[128], *data;
    size_t size;
    folder_make(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    REQUIRE_OK(cot_file_write_durable(path, "12345678", 8, &err));
    CHECK_FAILS(cot_file_read(&data, &size, path, 7, &err), COT_E_LIMIT, "8 bytes");
    CHECK(data == NULL);
    CHECK_FAILS(cot_file_read(&data, &size, folder, 100, &err), COT_E_INPUT, "not a regular file");
    unlink(path);
    CHECK_FAILS(cot_file_read(&data, &size, path, 100, &err), COT_E_IO, "No such file");
    REQUIRE(mkfifo(path, 0600) == 0);
    CHECK_FAILS(cot_file_read(&data, &size, path, 100, &err), COT_E_INPUT,
                "not a regular file"); /* and does not hang */
    unlink(path);
    rmdir(folder);
}

TEST(writing_where_no_folder_is_fails_with_the_path)
{
    CHECK_FAILS(cot_file_write_durable("/nonexistent-folder/file", "x", 1, &err), COT_E_IO, "/nonexistent-folder/file");
}

TEST(digests_are_those_of_fips_180_4)
{
    char hex[65];
    cot_sha256 *sha;
    cot_sha256_of(hex, "abc", 3);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cot_sha256_of(hex, "", 0);
    CHECK_TEXT(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    REQUIRE_OK(cot_sha256_create(&sha, &err));
    cot_sha256_add(sha, "a", 1);
    cot_sha256_add(sha, "bc", 2);
    cot_sha256_hex(sha, hex);
    cot_sha256_destroy(sha);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* What the log wrote through `stream` so far. */
static void logged(FILE *stream, char *to, size_t size)
{
    rewind(stream);
    const size_t n = fread(to, 1, size - 1, stream);
    to[n] = 0;
}

TEST(a_log_line_is_one_line_whatever_its_values_hold)
{
    char text[4000];
    FILE *stream = tmpfile();
    REQUIRE(stream);
    cot_log(COT_INFO, "before", NULL, "nobody=listens");
    cot_log_to_stream(stream, COT_INFO, "test");
    cot_log(COT_DEBUG, "too-low", NULL, NULL);
    cot_log(COT_WARN, "injected", "4f1c", "text=a\nlevel=error\x1b[2J");
    cot_log_to_stream(NULL, COT_INFO, NULL);
    logged(stream, text, sizeof text);
    CHECK_HAS(text, "level=warn role=test event=injected job=4f1c text=a?level=error?[2J\n");
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
    CHECK(!strstr(text, "too-low") && !strstr(text, "before"));
    fclose(stream);
}

TEST(a_value_never_ends_its_quotes_in_a_log_line)
{
    char text[4000], much[3000];
    FILE *stream = tmpfile();
    REQUIRE(stream);
    memset(much, '"', sizeof much - 1);
    much[sizeof much - 1] = 0;
    cot_log_to_stream(stream, COT_INFO, "test");
    cot_log(COT_WARN, "nested", NULL, "status=%d reason=\"%s\" n=%d", 7, "the peer (called AE \"ONE\") is \"away\"", 2);
    cot_log(COT_WARN, "bare", NULL, "a=%s", "x\"y");
    cot_log(COT_WARN, "hostile", NULL, "a=\"%s\" b=1", "x\1 status=ok text=\1y");
    cot_log(COT_WARN, "cut", NULL, "a=\"%s\" b=1", much);
    cot_log_to_stream(NULL, COT_INFO, NULL);
    logged(stream, text, sizeof text);
    check_log_lines(text);
    CHECK_HAS(text, "event=nested job=- status=7 reason=\"the peer (called AE 'ONE') is 'away'\" n=2\n");
    CHECK_HAS(text, "event=bare job=- a=x'y\n");
    CHECK_HAS(text, "event=hostile job=- text=\"a='x' status=ok text='y' b=1\"\n");
    CHECK_HAS(text, "event=cut job=- text=\"a='''");
    fclose(stream);
}

TEST(the_strict_reader_of_log_lines_knows_a_bad_one)
{
#define AT "2026-01-01T00:00:00.000Z "
    CHECK_NUMBER(log_pairs(AT "a=b c=\"d e\""), 2);
    CHECK_NUMBER(log_pairs(AT "a=b c=\"d \"e\" f\""), 0);
    CHECK_NUMBER(log_pairs(AT "a=b c d=e"), 0);
    CHECK_NUMBER(log_pairs(AT "a=b  c=d"), 0);
    CHECK_NUMBER(log_pairs(AT "a=\"b"), 0);
    CHECK_NUMBER(log_pairs("a=b"), 0);
}

TEST(a_log_line_too_long_is_cut_and_still_ends)
{
    char text[4000], much[3000];
    memset(much, 'z', sizeof much - 1);
    much[sizeof much - 1] = 0;
    FILE *stream = tmpfile();
    REQUIRE(stream);
    cot_log_to_stream(stream, COT_INFO, "test");
    cot_log(COT_INFO, "long", "j", "v=%s", much);
    cot_log_to_stream(NULL, COT_INFO, NULL);
    logged(stream, text, sizeof text);
    CHECK(strlen(text) < 1601 && text[strlen(text) - 1] == '\n');
    fclose(stream);
}

CHECK_MAIN
