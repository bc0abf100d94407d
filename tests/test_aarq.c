/* links: dicom config
 * Association requests as bytes: what peers really send passes, every hostile shape is refused with a reason, and no bytes
 * whatever crash the check. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"
#include "tests/check.h"
#include "tests/dicom_maker.h"

static char calling[17], called[17];

/* On an exact heap copy, so that the sanitizer sees one byte too many. */
static cot_status check_bytes(const unsigned char *at, size_t n, cot_error *err)
{
    unsigned char *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, at, n);
    const cot_status status = cot_aarq_check(copy, n, calling, called, err);
    free(copy);
    return status;
}
static void refused(maker *m, const char *part)
{
    cot_error err = COT_ERROR_INIT;
    CHECK_FAILS(check_bytes(m->at, m->n, &err), COT_E_INPUT, part);
    maker_free(m);
}
/* A request with these bytes as further user items. */
static void with_user(maker *m, const void *items, size_t n)
{
    request_begin(m, "NODE", "SENDER");
    put_pdu_item(m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_context(m, 1, CR_CLASS, EXPLICIT);
    put_user(m, items, n);
    request_end(m);
}

TEST(aarq_of_an_ordinary_peer_passes_and_gives_trimmed_titles)
{
    maker m;
    cot_error err = COT_ERROR_INIT;
    put_request(&m, " NODE", "A SENDER");
    CHECK_OK(check_bytes(m.at, m.n, &err));
    CHECK_TEXT(called, "NODE");
    CHECK_TEXT(calling, "A SENDER");
    maker_free(&m);
    put_request(&m, "0123456789ABCDEF", "fedcba9876543210");
    CHECK_OK(check_bytes(m.at, m.n, &err));
    CHECK_TEXT(called, "0123456789ABCDEF");
    maker_free(&m);
}

TEST(aarq_with_every_user_item_of_the_standard_passes)
{
    static const unsigned char items[] = "\x53\0\0\x04\0\1\0\1" /* asynchronous operations */
                                         "\x54\0\0\x09\0\x05"
                                         "1.2.3"
                                         "\1\0" /* role selection */
                                         "\x55\0\0\x05"
                                         "PEER1" /* implementation version */
                                         "\x56\0\0\x0d\0\x05"
                                         "1.2.3"
                                         "abcdef" /* extended negotiation */
                                         "\x57\0\0\x10\0\x05"
                                         "1.2.3"
                                         "\0\x05"
                                         "1.2.4"
                                         "\0\0" /* common extended negotiation */
                                         "\x58\0\0\x0a\1\0\0\x04"
                                         "user"
                                         "\0\0" /* user identity */
                                         "\x7f\0\0\x03"
                                         "abc"; /* unknown: skipped */
    maker m;
    cot_error err = COT_ERROR_INIT;
    with_user(&m, items, sizeof items - 1);
    CHECK_OK(check_bytes(m.at, m.n, &err));
    maker_free(&m);
}

TEST(aarq_with_128_contexts_passes_and_with_129_does_not)
{
    maker m;
    cot_error err = COT_ERROR_INIT;
    for (unsigned n = 128; n <= 129; n++) {
        request_begin(&m, "NODE", "SENDER");
        put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
        for (unsigned i = 0; i < n; i++) put_context(&m, (2 * i + 1) & 0xff, CR_CLASS, EXPLICIT);
        put_user(&m, NULL, 0);
        request_end(&m);
        if (n == 128)
            CHECK_OK(check_bytes(m.at, m.n, &err));
        else
            CHECK_FAILS(check_bytes(m.at, m.n, &err), COT_E_INPUT, "more than 128 presentation context");
        maker_free(&m);
    }
}

TEST(aarq_names_other_protocols_on_the_port)
{
    cot_error err = COT_ERROR_INIT;
    CHECK_FAILS(check_bytes((const unsigned char *)"\x16\x03\x01\x02\0\x01", 6, &err), COT_E_INPUT,
                "TLS bytes on the DICOM port");
    CHECK_FAILS(check_bytes((const unsigned char *)"GET / ", 6, &err), COT_E_INPUT, "HTTP bytes on the DICOM port");
    CHECK_FAILS(check_bytes((const unsigned char *)"POST /", 6, &err), COT_E_INPUT, "HTTP");
    CHECK_FAILS(check_bytes((const unsigned char *)"PRI * ", 6, &err), COT_E_INPUT, "HTTP");
    CHECK_FAILS(check_bytes((const unsigned char *)"SSH-2.", 6, &err), COT_E_INPUT, "SSH");
    CHECK_FAILS(check_bytes((const unsigned char *)"\x04\0\0\0\0\0", 6, &err), COT_E_INPUT, "0x04");
    CHECK_FAILS(check_bytes((const unsigned char *)"", 0, &err), COT_E_INPUT, "0 bytes");
}

TEST(aarq_with_a_wrong_pdu_length_is_refused)
{
    static const uint32_t lengths[] = {0, 1, 67, 68, 0x10000, 0x10001, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        maker m;
        put_request(&m, "NODE", "SENDER");
        for (int b = 0; b < 4; b++) m.at[2 + b] = (unsigned char)(lengths[i] >> (24 - 8 * b));
        refused(&m, "length field says");
    }
    maker m;
    put_request(&m, "NODE", "SENDER");
    put_bytes(&m, "x", 1); /* one byte too many */
    refused(&m, "length field says");
    put_request(&m, "NODE", "SENDER");
    put_bytes(&m, "\0\0\0", 3);
    request_end(&m);
    refused(&m, "3 stray bytes");
}

TEST(aarq_with_a_wrong_item_length_is_refused)
{
    static const unsigned lengths[] = {0, 1, 2, 1000, 0x7fff, 0x8000, 0xffff};
    maker whole;
    put_request(&whole, "NODE", "SENDER");
    for (size_t at = 74; at + 4 <= whole.n; at += 4u + ((size_t)whole.at[at + 2] << 8 | whole.at[at + 3]))
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            maker m = {0};
            cot_error err = COT_ERROR_INIT;
            put_bytes(&m, whole.at, whole.n);
            m.at[at + 2] = (unsigned char)(lengths[i] >> 8);
            m.at[at + 3] = (unsigned char)lengths[i];
            const bool empty_user = whole.at[at] == 0x50 && lengths[i] == 0; /* its items then look unknown: skipped */
            CHECK((check_bytes(m.at, m.n, &err) == COT_OK) == empty_user);
            maker_free(&m);
        }
    maker_free(&whole);
}

TEST(aarq_with_repeated_user_identity_is_refused)
{
    static const unsigned char two[] = "\x58\0\0\x0a\1\0\0\x04"
                                       "user"
                                       "\0\0"
                                       "\x58\0\0\x0a\1\0\0\x04"
                                       "user"
                                       "\0\0";
    maker m;
    with_user(&m, two, sizeof two - 1);
    refused(&m, "more than 1 user identity");
    with_user(&m, "\x51\0\0\x04\0\0\x40\0", 8); /* the second maximum length: put_user has put the first */
    refused(&m, "more than 1 maximum length");
}

TEST(aarq_with_lying_user_items_is_refused)
{
    static const struct {
        const char *items;
        size_t n;
        const char *part;
    } cases[] = {
        {"\x58\0\0\x0a\1\0\xff\xff"
         "user"
         "\0\0",
         14, "primary field of 65535"},
        {"\x58\0\0\x0a\1\0\0\x04"
         "user"
         "\xff\xff",
         14, "secondary field of 65535"},
        {"\x58\0\0\x0a\1\0\0\x03"
         "user"
         "\0\0",
         14, "secondary field"},
        {"\x58\0\0\x02\1\0", 6, "user identity item has 2 bytes"},
        {"\x54\0\0\x09\0\x06"
         "1.2.3"
         "\1\0",
         13, "role selection"},
        {"\x54\0\0\x09\0\x05"
         "1.2/3"
         "\1\0",
         13, "no UID"},
        {"\x56\0\0\x07\0\x06"
         "1.2.3",
         11, "extended negotiation"},
        {"\x57\0\0\x07\0\x05"
         "1.2.3",
         11, "common extended negotiation"},
        {"\x57\0\0\x09\0\x05"
         "1.2.3"
         "\0\1",
         13, "common extended negotiation"},
        {"\x53\0\0\x03\0\1\0", 7, "asynchronous operations item has 3 bytes"},
        {"\x55\0\0\x11"
         "12345678901234567",
         21, "implementation version"},
        {"\x7f\0\xff\xff", 4, "0x7f claims 65535"},
        {"\x51\0", 2, "stray bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maker m;
        with_user(&m, cases[i].items, cases[i].n);
        refused(&m, cases[i].part);
    }
}

TEST(aarq_with_wrong_contexts_is_refused)
{
    static const unsigned ids[][2] = {{2, 3}, {0, 1}, {3, 3}};
    maker m;
    for (int i = 0; i < 3; i++) {
        request_begin(&m, "NODE", "SENDER");
        put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
        put_context(&m, ids[i][0], CR_CLASS, EXPLICIT);
        put_context(&m, ids[i][1], CR_CLASS, EXPLICIT);
        put_user(&m, NULL, 0);
        request_end(&m);
        refused(&m, i == 2 ? "occurs twice" : "is even");
    }
    request_begin(&m, "NODE", "SENDER");
    put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_user(&m, NULL, 0);
    request_end(&m);
    refused(&m, "no presentation context item");
    request_begin(&m, "NODE", "SENDER");
    put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_pdu_item(&m, 0x20,
                 "\x01\0\0\0\x30\0\0\x05"
                 "1.2.3",
                 13); /* no transfer syntax */
    put_user(&m, NULL, 0);
    request_end(&m);
    refused(&m, "no transfer syntax item");
    request_begin(&m, "NODE", "SENDER");
    put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_context(&m, 1, "../../../etc", EXPLICIT);
    put_user(&m, NULL, 0);
    request_end(&m);
    refused(&m, "no UID");
    request_begin(&m, "NODE", "SENDER");
    put_pdu_item(&m, 0x10, "1.2.840.10008.3.1.1.1", 21);
    put_context(&m, 1, CR_CLASS, EXPLICIT);
    request_end(&m);
    refused(&m, "no user information item");
}

TEST(aarq_with_unprintable_or_empty_titles_is_refused)
{
    const char *bad[] = {"", "A\nB", "A\x01", "A\\B", "\xc3\xa4"};
    for (int i = 0; i < 5; i++) {
        maker m;
        put_request(&m, bad[i], "SENDER");
        refused(&m, "called AE title");
        put_request(&m, "NODE", bad[i]);
        refused(&m, "calling AE title");
    }
}

TEST(aarq_of_another_version_or_application_is_refused_as_such)
{
    maker m;
    cot_error err = COT_ERROR_INIT;
    put_request(&m, "NODE", "SENDER");
    m.at[7] = 2;
    CHECK_FAILS(check_bytes(m.at, m.n, &err), COT_E_REFUSED, "protocol version 0x0002");
    m.at[7] = 1;
    m.at[78 + 20] = '2';
    CHECK_FAILS(check_bytes(m.at, m.n, &err), COT_E_REFUSED, "application context");
    maker_free(&m);
}

TEST(aarq_cut_anywhere_is_refused)
{
    maker m;
    cot_error err = COT_ERROR_INIT;
    put_request(&m, "NODE", "SENDER");
    for (size_t n = 0; n < m.n; n++) CHECK(check_bytes(m.at, n, &err) == COT_E_INPUT);
    const size_t whole = m.n;
    for (m.n = 6; m.n < whole; m.n++) { /* with a length field that agrees */
        request_end(&m);
        CHECK(check_bytes(m.at, m.n, &err) == COT_E_INPUT);
    }
    maker_free(&m);
}

TEST(aarq_never_crashes_on_20000_mutations)
{
    maker seed;
    unsigned statuses[COT_E_BUG + 1] = {0};
    static const char identity[] = "\x58\0\0\x0a\1\0\0\x04"
                                   "user"
                                   "\0\0"
                                   "\x54\0\0\x09\0\x05"
                                   "1.2.3"
                                   "\1\0";
    with_user(&seed, identity, sizeof identity - 1);
    for (unsigned n = 0; n < 20000; n++) {
        maker m = {0};
        cot_error err = COT_ERROR_INIT;
        uint64_t state = (n + 1) * 0x9e3779b97f4a7c15u;
        put_bytes(&m, seed.at, seed.n);
        for (unsigned i = 0; i <= n % 3; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            m.at[(n % 2 ? 74 : 0) + (size_t)(state >> 33) % (seed.n - 74)] = (unsigned char)(state >> 20);
        }
        const cot_status status = check_bytes(m.at, m.n, &err);
        CHECK(status == COT_OK || err.text[0]);
        statuses[status]++;
        maker_free(&m);
    }
    CHECK(statuses[COT_OK] > 1000 && statuses[COT_E_INPUT] > 5000);
    maker_free(&seed);
}

CHECK_MAIN
