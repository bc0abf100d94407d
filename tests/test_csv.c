/* links: plugin
 * CSV as data sets come: quotes, any line ends, a byte order mark, bounds. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/csv.h"
#include "tests/check.h"

#include <unistd.h>

static cot_error err;
static char path[] = "/tmp/cot_csv_XXXXXX";

static cot_status open_text(csv_file *csv, const char *text, size_t n)
{
    static int fd = -1;
    if (fd < 0) fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, text, n, 0) != (ssize_t)n) return COT_E_IO;
    return csv_open(csv, path, &err);
}

__attribute__((destructor)) static void remove_file(void)
{
    unlink(path);
}

/* All rows as "LINE:a|b;LINE:c"; NULL when the reading ended in an error. */
static const char *rows_of(const char *text)
{
    static char all[4096];
    csv_file csv = {0};
    bool more = true;
    size_t n = 0;
    cot_status status = open_text(&csv, text, strlen(text));
    all[0] = 0;
    while (status == COT_OK && (status = csv_next(&csv, &more, &err)) == COT_OK && more) {
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%zu:", n ? ";" : "", csv.row);
        for (size_t i = 0; i < csv.n; i++)
            n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? "|" : "", csv.field[i]);
    }
    csv_fini(&csv);
    return status == COT_OK ? all : NULL;
}

TEST(fields_and_empty_fields_are_kept)
{
    CHECK_TEXT(rows_of("a,b\n1,2\n"), "1:a|b;2:1|2");
    CHECK_TEXT(rows_of("a,b\n1,2"), "1:a|b;2:1|2");
    CHECK_TEXT(rows_of(",\nx,,\n"), "1:|;2:x||");
    CHECK_TEXT(rows_of("x,"), "1:x|");
    CHECK_TEXT(rows_of(""), "");
    CHECK_TEXT(rows_of("\n\n"), "");
}

TEST(line_ends_of_any_system_are_one_line)
{
    CHECK_TEXT(rows_of("a,b\r\n1,2\r\n3,4"), "1:a|b;2:1|2;3:3|4");
    CHECK_TEXT(rows_of("a,b\r1,2\r3,4"), "1:a|b;2:1|2;3:3|4");
    CHECK_TEXT(rows_of("a\n\n\r\nb\n"), "1:a;4:b"); /* empty lines are left out, not uncounted */
}

TEST(a_byte_order_mark_is_no_part_of_the_first_field)
{
    CHECK_TEXT(rows_of("\xef\xbb\xbfImage Index,b\n"), "1:Image Index|b");
}

TEST(quotes_hold_commas_quotes_and_line_ends)
{
    CHECK_TEXT(rows_of("\"a,b\",c\n"), "1:a,b|c");
    CHECK_TEXT(rows_of("\"he said \"\"no\"\"\",c"), "1:he said \"no\"|c");
    CHECK_TEXT(rows_of("\"two\nlines\",c\nd\n"), "1:two\nlines|c;3:d");
    CHECK_TEXT(rows_of("\"\",\"\"\"\"\r\nd"), "1:|\";2:d");
    CHECK_TEXT(rows_of("5\" tube,c"), "1:5\" tube|c"); /* within a field it is a character */
}

TEST(broken_quotes_end_the_reading_with_their_line)
{
    CHECK(!rows_of("a\n\"b,c\nd\n"));
    CHECK_HAS(err.text, ":2: a quoted field without its closing quote");
    CHECK(!rows_of("a\n\n\"b\"c,d\n"));
    CHECK_HAS(err.text, ":3: text after the closing quote");
    CHECK(!rows_of("\""));
    CHECK(!rows_of("\"\"\""));
}

TEST(a_row_has_at_most_sixty_four_fields)
{
    char row[80];
    csv_file csv = {0};
    bool more;
    memset(row, ',', sizeof row);
    CHECK_OK(open_text(&csv, row, CSV_FIELDS_MAX - 1));
    CHECK_OK(csv_next(&csv, &more, &err));
    CHECK_NUMBER(csv.n, CSV_FIELDS_MAX);
    csv_fini(&csv);
    CHECK_OK(open_text(&csv, row, CSV_FIELDS_MAX));
    CHECK_FAILS(csv_next(&csv, &more, &err), COT_E_INPUT, ":1: more than 64 fields");
    csv_fini(&csv);
}

TEST(a_zero_byte_or_a_folder_is_no_csv)
{
    csv_file csv = {0};
    CHECK_FAILS(open_text(&csv, "a,b\0c\n", 6), COT_E_INPUT, "a zero byte at 3");
    CHECK_FAILS(csv_open(&csv, "/tmp", &err), COT_E_INPUT, "not a regular file");
    CHECK_FAILS(csv_open(&csv, "/nowhere/at.csv", &err), COT_E_IO, "No such file");
}

TEST(columns_are_found_by_name)
{
    csv_file csv = {0};
    bool more;
    CHECK_OK(open_text(&csv, "one,two,three\n", 14));
    CHECK_OK(csv_next(&csv, &more, &err));
    CHECK_NUMBER(csv_column(&csv, "one"), 0);
    CHECK_NUMBER(csv_column(&csv, "three"), 2);
    CHECK_NUMBER(csv_column(&csv, "Two"), 3);
    csv_fini(&csv);
}

CHECK_MAIN
