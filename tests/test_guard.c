/* links: dicom config
 * The guard on files made here: everything legal passes, every kind of damage is refused by tag and offset, and no bytes
 * whatever crash it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"
#include "tests/guard_seed.h"
#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static cot_dicom_head head;

/* Guards the maker's bytes through an anonymous file. */
static cot_status guard_bytes(const maker *m, const cot_guard_limits *limits, cot_error *err)
{
    char path[64];
    const int fd = memfd_create("guard", MFD_CLOEXEC);
    if (fd < 0 || write(fd, m->at, m->n) != (ssize_t)m->n) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const cot_status status = cot_dicom_guard(&head, path, limits, err);
    close(fd);
    return status;
}
static void begin(maker *m, const char *syntax)
{
    put_meta(m, CR_CLASS, "1.2.3.4", syntax);
    put_head(m, CR_CLASS, "1.2.3.4", 4, 4);
}
/* Finishes with pixels, guards, and expects `part` in the refusal (NULL: accepted). */
static void expect(maker *m, const cot_guard_limits *limits, cot_status want, const char *part)
{
    cot_error err = COT_ERROR_INIT;
    if (part)
        CHECK_FAILS(guard_bytes(m, limits, &err), want, part);
    else
        CHECK_OK(guard_bytes(m, limits, &err));
    CHECK(!strstr(err.text, "Planted"));
    maker_free(m);
}
static void refused(maker *m, const char *part)
{
    expect(m, NULL, COT_E_INPUT, part);
}
static void accepted(maker *m)
{
    expect(m, NULL, COT_OK, NULL);
}

/* ---- what is legal ---- */
TEST(guard_accepts_the_three_uncompressed_syntaxes_and_reports_the_head)
{
    const char *syntaxes[] = {EXPLICIT, IMPLICIT, BIG_ENDIAN_SYNTAX};
    for (int i = 0; i < 3; i++) {
        maker m = {0};
        cot_error err = COT_ERROR_INIT;
        char digest[65];
        put_seed(&m, syntaxes[i]);
        CHECK_OK(guard_bytes(&m, NULL, &err));
        const size_t start = 144u + m.at[140];
        cot_sha256_of(digest, m.at + start, m.n - start);
        CHECK_TEXT(head.sop_class, CR_CLASS);
        CHECK_TEXT(head.sop_instance, "1.2.3.4");
        CHECK_TEXT(head.study, "1.2.3.1");
        CHECK_TEXT(head.series, "1.2.3.2");
        CHECK_TEXT(head.transfer_syntax, syntaxes[i]);
        CHECK_TEXT(head.dataset_sha256, digest);
        CHECK(head.rows == 4 && head.cols == 4 && head.bytes == m.n);
        maker_free(&m);
    }
}

TEST(guard_accepts_encapsulated_fragments)
{
    maker m = {0};
    begin(&m, RLE);
    put_header(&m, 0x7fe0, 0x0010, "OB", UNDEFINED_LENGTH);
    put_item(&m, 0);
    put_item(&m, 3); /* odd: tolerated */
    put_bytes(&m, "abc", 3);
    put_sequence_end(&m);
    accepted(&m);
}

TEST(guard_tolerates_order_odd_lengths_and_files_without_pixels)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    put_header(&m, 0x0008, 0x0070, "LO", 3);
    put_bytes(&m, "odd", 3);
    accepted(&m);
    put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_pixels(&m, 32);
    put_head(&m, CR_CLASS, "1.2.3.4", 4, 4);
    accepted(&m);
}

TEST(guard_reads_a_file_longer_than_its_buffer)
{
    maker m = {0};
    put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_head(&m, CR_CLASS, "1.2.3.4", 1000, 1000);
    for (int i = 0; i < 40000; i++) put_text(&m, 0x0009, 0x1001, "LO", "some value"); /* headers across buffer ends */
    put_pixels(&m, 2000000);
    char digest[65];
    const size_t start = 144u + m.at[140];
    cot_sha256_of(digest, m.at + start, m.n - start);
    accepted(&m);
    CHECK_TEXT(head.dataset_sha256, digest);
}

TEST(guard_without_a_digest_passes_over_pixels_and_still_sees_what_lies_behind_and_before_them)
{
    cot_error err = COT_ERROR_INIT;
    cot_guard_limits limits = COT_GUARD_LIMITS_INIT;
    limits.no_digest = true;
    for (int fault = 0; fault < 3; fault++) {
        maker m = {0};
        put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
        put_head(&m, CR_CLASS, "1.2.3.4", 1000, 1000);
        put_pixels(&m, 2000000);
        put_header(&m, 0xfffc, 0xfffc, "OB", fault == 1 ? 4000 : 4); /* Data Set Trailing Padding */
        put_number(&m, 0, 4);
        if (fault == 2) m.n -= 1000; /* cut within it or the pixels */
        const cot_status status = guard_bytes(&m, &limits, &err);
        CHECK_NUMBER(status, fault ? COT_E_INPUT : COT_OK);
        if (!fault) CHECK_TEXT(head.dataset_sha256, "");
        maker_free(&m);
    }
}

/* ---- depth ---- */
static void nest(maker *m, unsigned levels, bool defined)
{
    const uint32_t per_level = m->implicit ? 16 : 20;
    for (unsigned i = 0; i < levels; i++) {
        const uint32_t inside = defined ? 8 + (levels - 1 - i) * per_level : UNDEFINED_LENGTH;
        put_header(m, 0x0040, 0xa730, "SQ", inside);
        put_item(m, defined ? inside - 8 : UNDEFINED_LENGTH);
    }
    for (unsigned i = 0; !defined && i < levels; i++) {
        put_item_end(m);
        put_sequence_end(m);
    }
}

TEST(guard_accepts_32_nested_sequences_and_refuses_33_and_100000)
{
    const struct {
        unsigned levels;
        bool good;
    } cases[] = {{1, true}, {32, true}, {33, false}, {100000, false}};
    const char *syntaxes[] = {EXPLICIT, IMPLICIT, BIG_ENDIAN_SYNTAX};
    for (size_t c = 0; c < 4; c++)
        for (int way = 0; way < 6; way++) {
            maker m = {0};
            begin(&m, syntaxes[way / 2]);
            nest(&m, cases[c].levels, way % 2);
            if (cases[c].good)
                accepted(&m);
            else
                expect(&m, NULL, COT_E_LIMIT, "deeper than 32");
        }
}

TEST(guard_sees_sequences_hidden_in_un_and_in_implicit_values)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    for (int i = 0; i < 40; i++) { /* UN of undefined length: implicit inside */
        put_header(&m, 0x0041, 0x1001, "UN", UNDEFINED_LENGTH);
        m.implicit = true;
        put_item(&m, UNDEFINED_LENGTH);
    }
    expect(&m, NULL, COT_E_LIMIT, "(0041,1001)");
    begin(&m, IMPLICIT);
    nest(&m, 33, true); /* a private tag would look the same: no dictionary is asked */
    expect(&m, NULL, COT_E_LIMIT, "(0040,a730)");
}

TEST(guard_honours_the_callers_limits)
{
    cot_guard_limits l = COT_GUARD_LIMITS_INIT;
    maker m = {0};
    l.max_depth = 2;
    begin(&m, EXPLICIT);
    nest(&m, 3, false);
    expect(&m, &l, COT_E_LIMIT, "deeper than 2");
    l = (cot_guard_limits)COT_GUARD_LIMITS_INIT;
    l.max_depth = 1000; /* more than the stack: still 32 */
    begin(&m, EXPLICIT);
    nest(&m, 33, false);
    expect(&m, &l, COT_E_LIMIT, "deeper than 32");
    l.max_elements = 10;
    begin(&m, EXPLICIT);
    expect(&m, &l, COT_E_LIMIT, "max_elements");
    l = (cot_guard_limits)COT_GUARD_LIMITS_INIT;
    l.max_value = 100;
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "OB", 102);
    put_bytes(&m, (char[102]){0}, 102);
    expect(&m, &l, COT_E_LIMIT, "(0009,1001)");
    l.max_bytes = 200;
    begin(&m, EXPLICIT);
    expect(&m, &l, COT_E_LIMIT, "the limit is 200");
}

/* ---- file meta group ---- */
TEST(guard_refuses_what_is_no_part_10_file)
{
    maker m = {0};
    cot_error err = COT_ERROR_INIT;
    put_bytes(&m, "GIF89a", 6);
    refused(&m, "no DICOM file");
    put_bytes(&m, (char[400]){0}, 400);
    refused(&m, "no DICM at offset 128");
    put_bytes(&m, (char[128]){0}, 128);
    put_bytes(&m, "DICM", 4);
    put_head(&m, CR_CLASS, "1.2.3.4", 4, 4); /* no meta group */
    refused(&m, "must begin with its length (0002,0000)");
    CHECK_FAILS(cot_dicom_guard(&head, "/nowhere/x.dcm", NULL, &err), COT_E_IO, "/nowhere/x.dcm");
    CHECK_FAILS(cot_dicom_guard(&head, "/tmp", NULL, &err), COT_E_INPUT, "not a regular file");
}

TEST(guard_refuses_a_broken_meta_group)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    m.at[140] = (unsigned char)(m.at[140] + 36); /* group length into the data set, behind its first element */
    refused(&m, "(0008,0016)");
    begin(&m, EXPLICIT);
    m.at[143] = 0x7f;
    refused(&m, "longer than the file");
    begin(&m, EXPLICIT);
    m.at[144 + 4] = 'Z'; /* VR of (0002,0001) */
    refused(&m, "(0002,0001) at offset 144: unknown value representation");
    begin(&m, EXPLICIT);
    m.at[144 + 4] = 'S', m.at[144 + 5] = 'Q';
    refused(&m, "a sequence in the file meta group");
    put_meta(&m, CR_CLASS, "1.2.3.4", "not a uid");
    refused(&m, "(0002,0010)");
}

TEST(guard_refuses_transfer_syntaxes_that_are_not_negotiated)
{
    maker m = {0};
    begin(&m, "1.2.840.10008.1.2.1.99");
    expect(&m, NULL, COT_E_REFUSED, "(deflated)");
    begin(&m, "1.2.840.10008.1.2.4.100");
    expect(&m, NULL, COT_E_REFUSED, "1.2.840.10008.1.2.4.100");
    begin(&m, "1.2.826.0.1.1");
    expect(&m, NULL, COT_E_REFUSED, "(a private one)");
}

/* ---- structure ---- */
TEST(guard_refuses_lengths_beyond_what_holds_them)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "OB", 1000);
    refused(&m, "(0009,1001)");
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "SQ", 16);
    put_item(&m, 100); /* longer than its sequence */
    put_bytes(&m, (char[100]){0}, 100);
    refused(&m, "(fffe,e000)");
    begin(&m, IMPLICIT);
    put_header(&m, 0x0009, 0x1001, NULL, 0xfffffffe);
    refused(&m, "length 4294967294");
    begin(&m, EXPLICIT);
    put_bytes(&m, "\x09\0\x01", 3);
    refused(&m, "truncated at offset");
}

TEST(guard_refuses_delimiters_out_of_place)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    put_item_end(&m);
    refused(&m, "(fffe,e00d)");
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "SQ", UNDEFINED_LENGTH);
    put_text(&m, 0x0009, 0x1002, "LO", "no item");
    put_sequence_end(&m);
    refused(&m, "neither an item nor the delimiter");
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "SQ", UNDEFINED_LENGTH);
    refused(&m, "delimiter is missing");
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "SQ", UNDEFINED_LENGTH);
    put_header(&m, 0xfffe, 0xe0dd, NULL, 4);
    put_number(&m, 0, 4);
    refused(&m, "delimiter with a length");
    begin(&m, EXPLICIT);
    put_header(&m, 0x0009, 0x1001, "OB", UNDEFINED_LENGTH);
    put_sequence_end(&m);
    refused(&m, "undefined length for a value that is no sequence");
}

TEST(guard_refuses_unknown_vr_and_foreign_groups)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    put_bytes(&m, "\x09\0\x01\x10ZZ\0\0", 8);
    refused(&m, "(0009,1001) at offset");
    begin(&m, EXPLICIT);
    put_text(&m, 0x0002, 0x0010, "UI", IMPLICIT);
    refused(&m, "does not belong in a data set");
    begin(&m, EXPLICIT);
    put_us(&m, 0x0000, 0x0100, 1);
    refused(&m, "(0000,0100)");
}

/* ---- facts ---- */
static void put_identity(maker *m)
{
    put_meta(m, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_text(m, 0x0008, 0x0016, "UI", CR_CLASS);
    put_text(m, 0x0008, 0x0018, "UI", "1.2.3.4");
    put_text(m, 0x0020, 0x000d, "UI", "1.2.3.1");
    put_text(m, 0x0020, 0x000e, "UI", "1.2.3.2");
}

TEST(guard_refuses_rows_of_another_vr_or_size)
{
    const char *vrs[] = {"UL", "SS", "OB", "IS", "SQ", "UN"};
    for (int i = 0; i < 6; i++) {
        maker m = {0};
        put_identity(&m);
        put_header(&m, 0x0028, 0x0010, vrs[i], i == 4 ? 0 : 4);
        if (i != 4) put_number(&m, 512, 4);
        refused(&m, "(0028,0010) Rows");
    }
    maker m = {0};
    put_identity(&m);
    put_header(&m, 0x0028, 0x0011, "US", 4);
    put_number(&m, 512, 4);
    refused(&m, "(0028,0011) Columns");
    begin(&m, IMPLICIT);
    put_header(&m, 0x0028, 0x0010, "US", 2);
    put_number(&m, 8, 2);
    refused(&m, "occurs twice");
}

TEST(guard_refuses_pixel_data_that_cannot_be_what_the_head_says)
{
    maker m = {0};
    begin(&m, EXPLICIT);
    put_pixels(&m, 31);
    refused(&m, "31 bytes of Pixel Data, but 4 rows of 4 columns");
    begin(&m, EXPLICIT);
    put_text(&m, 0x0028, 0x0008, "IS", "2");
    put_pixels(&m, 32);
    refused(&m, "2 frames");
    begin(&m, EXPLICIT);
    put_text(&m, 0x0028, 0x0008, "IS", "4294967295"); /* the product would overflow 32 bits */
    put_pixels(&m, 32);
    refused(&m, "4294967295 frames");
    begin(&m, EXPLICIT);
    put_text(&m, 0x0028, 0x0008, "IS", "-1");
    refused(&m, "not a whole number");
    put_identity(&m);
    put_pixels(&m, 32);
    refused(&m, "Rows is missing or 0");
    begin(&m, EXPLICIT);
    put_header(&m, 0x7fe0, 0x0010, "OB", UNDEFINED_LENGTH);
    refused(&m, "fragments in an uncompressed");
    begin(&m, RLE);
    put_pixels(&m, 32);
    refused(&m, "no fragments in a compressed");
    begin(&m, RLE);
    put_header(&m, 0x7fe0, 0x0010, "OB", UNDEFINED_LENGTH);
    put_item(&m, 0);
    put_sequence_end(&m);
    refused(&m, "without a fragment");
    begin(&m, RLE);
    put_header(&m, 0x7fe0, 0x0010, "OB", UNDEFINED_LENGTH);
    put_text(&m, 0x0009, 0x1001, "LO", "no item");
    refused(&m, "neither an item");
    begin(&m, EXPLICIT);
    put_header(&m, 0x7fe0, 0x0010, "UL", 32);
    put_bytes(&m, (char[32]){0}, 32);
    refused(&m, "must be OB or OW");
    begin(&m, EXPLICIT);
    put_pixels(&m, 32);
    put_pixels(&m, 32);
    refused(&m, "occurs twice");
}

TEST(guard_refuses_missing_and_malformed_uids)
{
    const char *bad[] = {"",       "../../etc/passwd",
                         "1.2.3.", "1..2",
                         "1.2.3a", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25"};
    maker m = {0};
    for (int i = 0; i < 6; i++) {
        put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
        put_text(&m, 0x0008, 0x0016, "UI", CR_CLASS);
        put_text(&m, 0x0008, 0x0018, "UI", bad[i]);
        refused(&m, "(0008,0018) SOP Instance UID");
    }
    put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_text(&m, 0x0008, 0x0016, "UI", CR_CLASS);
    put_text(&m, 0x0008, 0x0018, "UI", "1.2.3.4");
    put_text(&m, 0x0020, 0x000e, "UI", "1.2.3.4");
    refused(&m, "(0020,000d) Study Instance UID is missing");
}

/* ---- hostile bytes ---- */
/* Every proper prefix is refused, except those that end between two elements behind the head. */
TEST(guard_truncated_anywhere_is_refused_or_ends_between_elements)
{
    const char *syntaxes[] = {EXPLICIT, IMPLICIT, BIG_ENDIAN_SYNTAX};
    for (int i = 0; i < 3; i++) {
        maker m = {0};
        int passed = 0;
        put_seed(&m, syntaxes[i]);
        const size_t whole = m.n;
        for (m.n = 0; m.n < whole; m.n++) {
            cot_error err = COT_ERROR_INIT;
            const cot_status first = guard_bytes(&m, NULL, &err);
            CHECK(first == guard_bytes(&m, NULL, &err)); /* the same answer again */
            CHECK(first == COT_OK || first == COT_E_INPUT);
            passed += first == COT_OK;
        }
        /* After Series UID and the eight elements of the head behind it, a sequence, private creator, UN, UN. */
        CHECK_NUMBER(passed, 13);
        m.n = whole;
        cot_error err = COT_ERROR_INIT;
        CHECK_OK(guard_bytes(&m, NULL, &err));
        maker_free(&m);
    }
}

TEST(guard_never_crashes_on_20000_mutations)
{
    const char *syntaxes[] = {EXPLICIT, IMPLICIT, BIG_ENDIAN_SYNTAX};
    unsigned statuses[COT_E_BUG + 1] = {0};
    for (unsigned n = 0; n < 20000; n++) {
        maker seed = {0}, mutant = {0};
        cot_error err = COT_ERROR_INIT;
        put_seed(&seed, syntaxes[n % 3]);
        put_mutant(&mutant, &seed, n);
        statuses[guard_bytes(&mutant, NULL, &err)]++;
        maker_free(&seed);
        maker_free(&mutant);
    }
    CHECK(statuses[COT_OK] > 1000 && statuses[COT_E_INPUT] > 5000);
    CHECK_NUMBER(statuses[COT_OK] + statuses[COT_E_INPUT] + statuses[COT_E_REFUSED], 20000);
}

TEST(guard_accepts_every_dicom_file_of_the_tests)
{
    int n = 0;
    DIR *d = opendir(COT_SOURCE_DIR "/tests/data/dicom");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        cot_error err = COT_ERROR_INIT;
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".dcm") != 0) continue;
        snprintf(path, sizeof path, COT_SOURCE_DIR "/tests/data/dicom/%s", e->d_name);
        CHECK_OK(cot_dicom_guard(&head, path, NULL, &err));
        n++;
    }
    if (d) closedir(d);
    CHECK(n > 0);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
TEST(guard_costs_little_beside_the_digest)
{
    cot_error err = COT_ERROR_INIT;
    maker m = {0};
    char digest[65];
    put_meta(&m, CR_CLASS, "1.2.3.4", EXPLICIT);
    put_head(&m, CR_CLASS, "1.2.3.4", 8192, 4096);
    put_header(&m, 0x7fe0, 0x0010, "OW", 64u << 20);
    m.at = realloc(m.at, m.room = m.n + (64u << 20));
    REQUIRE(m.at);
    memset(m.at + m.n, 0, 64u << 20);
    m.n = m.room;
    double start = seconds();
    CHECK_OK(guard_bytes(&m, NULL, &err));
    const double guarded = seconds() - start; /* with writing the file */
    start = seconds();
    cot_sha256_of(digest, m.at, m.n);
    const double hashed = seconds() - start;
    printf("64 MiB: written and guarded in %.3f s, SHA-256 alone %.3f s\n", guarded, hashed);
    CHECK(guarded < 5 * hashed + 1);
    maker_free(&m);
}

CHECK_MAIN
