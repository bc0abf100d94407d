/* links: engine config
 * The safetensors reader on every malformed header, and the writer against the reader.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/safetensors.h"
#include "tests/check.h"

/* A file of this header and `data` zero bytes, parsed. The reader borrows `file`, so it is static. */
static cot_status parse(safetensors **out, const char *header, size_t data, cot_error *err)
{
    static unsigned char file[1 << 16];
    const size_t n = strlen(header);
    memset(file, 0, sizeof file);
    for (size_t i = 0; i < 8; i++) file[i] = (unsigned char)(n >> (8 * i));
    memcpy(file + 8, header, n);
    return safetensors_parse(out, (cot_blob){file, 8 + n + data}, "file", err);
}

static void check_refused(const char *header, size_t data, const char *why)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    CHECK_FAILS(parse(&file, header, data, &err), COT_E_MODEL, why);
    CHECK(file == NULL);
    safetensors_close(file);
}

#define TENSOR(name_, type_, shape_, offsets_)                                                                         \
    "\"" name_ "\":{\"dtype\":\"" type_ "\",\"shape\":" shape_ ",\"data_offsets\":" offsets_ "}"

TEST(safetensors_reads_names_types_shapes_and_values)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    REQUIRE_OK(parse(&file,
                     "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("b", "F32", "[2,3]", "[8,32]") "," TENSOR(
                         "a", "I64", "[]", "[0,8]") "," TENSOR("empty", "F32", "[0,7]", "[8,8]") "}  ",
                     32, &err));
    CHECK_NUMBER(safetensors_count(file), 3);
    CHECK_TEXT(safetensors_at(file, 0)->name, "a");
    const tensor *b = safetensors_find(file, "b");
    REQUIRE(b);
    CHECK_NUMBER(b->rank, 2);
    CHECK_NUMBER(b->count, 6);
    CHECK_NUMBER(b->bytes, 24);
    CHECK(safetensors_find(file, "c") == NULL);
    float value;
    CHECK(!tensor_floats(&value, safetensors_find(file, "a")));
    safetensors_close(file);
}

TEST(safetensors_converts_half_and_bfloat_exactly)
{
    /* 1, -2, 65504, 2^-24, inf, -0 as half; 1, -2 as bfloat16 */
    static const unsigned char half[] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x7c, 0x00, 0x80};
    static const unsigned char bfloat[] = {0x80, 0x3f, 0x00, 0xc0};
    const tensor h = {.type = TENSOR_F16, .count = 6, .bytes = 12, .data = half};
    const tensor b = {.type = TENSOR_BF16, .count = 2, .bytes = 4, .data = bfloat};
    const float want[] = {1, -2, 65504, 0x1p-24f, INFINITY, -0.0f};
    float got[6];
    CHECK(tensor_floats(got, &h));
    for (size_t i = 0; i < 6; i++) CHECK(!memcmp(&got[i], &want[i], sizeof want[i]));
    CHECK(tensor_floats(got, &b));
    CHECK(got[0] == 1.0f && got[1] == -2.0f);
}

TEST(safetensors_refuses_a_file_that_is_too_short)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    CHECK_FAILS(safetensors_parse(&file, (cot_blob){(const unsigned char *)"1234567", 7}, "file", &err), COT_E_MODEL,
                "too few");
    CHECK_FAILS(safetensors_open(&file, "/tmp/there-is-no-such-file", &err), COT_E_MODEL, "No such file");
    CHECK_FAILS(safetensors_open(&file, "/tmp", &err), COT_E_MODEL, "regular file");
}

TEST(safetensors_refuses_a_header_length_beyond_file_or_limit)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    static unsigned char bytes[64];
    static const unsigned char lengths[][8] = {
        {57}, {0, 0, 0, 0, 1}, {255, 255, 255, 255, 255, 255, 255, 255}, {0, 0, 0, 0, 0, 0, 0, 128}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, lengths[i], 8);
        CHECK_FAILS(safetensors_parse(&file, (cot_blob){bytes, sizeof bytes}, "file", &err), COT_E_MODEL,
                    "header is said");
    }
    const size_t big = (17u << 20) + 8;
    unsigned char *large = calloc(big, 1);
    REQUIRE(large);
    large[3] = 0x01; /* 16 MiB, little-endian, and 256 bytes */
    large[1] = 0x01;
    CHECK_FAILS(safetensors_parse(&file, (cot_blob){large, big}, "file", &err), COT_E_MODEL, "header is said");
    free(large);
}

TEST(safetensors_refuses_a_header_that_is_no_json_object)
{
    check_refused("", 0, "not a JSON object");
    check_refused("[]", 0, "not a JSON object");
    check_refused("{", 0, "not a JSON object");
    check_refused("{\"1\":1,", 0, "not a JSON object");
    check_refused("{} x", 0, "not a JSON object");
    check_refused("<html>", 0, "not a JSON object");
}

TEST(safetensors_refuses_a_header_with_a_zero_byte_or_deep_nesting)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    static const unsigned char zero[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}', 0};
    CHECK_FAILS(safetensors_parse(&file, (cot_blob){zero, sizeof zero}, "file", &err), COT_E_MODEL,
                "not a JSON object");
    static char deep[20001];
    memset(deep, '[', 20000);
    memcpy(deep, "{\"a\":", 5);
    check_refused(deep, 0, "not a JSON object");
}

TEST(safetensors_refuses_more_values_than_memory_should_hold)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    const size_t n = (4u << 20);
    unsigned char *bytes = malloc(8 + n);
    REQUIRE(bytes);
    memset(bytes, ',', 8 + n);
    for (size_t i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> (8 * i));
    CHECK_FAILS(safetensors_parse(&file, (cot_blob){bytes, 8 + n}, "file", &err), COT_E_MODEL,
                "more than 1048576 values");
    free(bytes);
}

TEST(safetensors_refuses_entries_that_are_no_tensor)
{
    check_refused("{\"a\":1}", 0, "type (none)");
    check_refused("{\"a\":{}}", 0, "type (none)");
    check_refused("{" TENSOR("a", "F64", "[1]", "[0,8]") "}", 8, "type F64");
    check_refused("{" TENSOR("a", "U8", "[8]", "[0,8]") "}", 8, "F32, F16, BF16, I64 and BOOL are read");
    check_refused("{" TENSOR("", "F32", "[1]", "[0,4]") "}", 4, "name is empty");
    char header[512], name[301];
    memset(name, 'x', 300);
    name[300] = 0;
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", name);
    check_refused(header, 4, "longer than 255");
}

TEST(safetensors_refuses_shapes_that_are_no_sizes)
{
    check_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "has no shape");
    check_refused("{" TENSOR("a", "F32", "4", "[0,4]") "}", 4, "has no shape");
    check_refused("{" TENSOR("a", "F32", "[-1]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "F32", "[1.5]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "F32", "[\"1\"]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "F32", "[1e300]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8 dimensions");
}

TEST(safetensors_refuses_sizes_that_overflow_in_bytes)
{
    check_refused("{" TENSOR("a", "F32", "[4611686018427387904]", "[0,4]") "}", 4, "not a list of sizes");
    check_refused("{" TENSOR("a", "I64", "[2147483648,2147483648]", "[0,0]") "}", 0, "its shape and type need");
}

TEST(safetensors_refuses_offsets_outside_the_data)
{
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 3, "the file is cut");
    check_refused("{" TENSOR("a", "F32", "[1]", "[4,0]") "}", 4, "are not [begin, end]");
    check_refused("{" TENSOR("a", "F32", "[1]", "[0]") "}", 4, "are not [begin, end]");
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,4,8]") "}", 8, "are not [begin, end]");
    check_refused("{" TENSOR("a", "F32", "[1]", "[-4,0]") "}", 4, "are not [begin, end]");
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,9007199254740993]") "}", 4, "the file is cut");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "are not [begin, end]");
}

TEST(safetensors_refuses_sizes_that_do_not_match_the_shape)
{
    check_refused("{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, "has 4 bytes of data, its shape and type need 8");
    check_refused("{" TENSOR("a", "F16", "[2]", "[0,8]") "}", 8, "its shape and type need 4");
}

TEST(safetensors_refuses_overlap_holes_and_leftovers)
{
    check_refused("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "F32", "[1]", "[4,8]") "}", 8, "overlaps");
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("b", "F32", "[1]", "[0,4]") "}", 4, "overlaps");
    check_refused("{" TENSOR("a", "F32", "[1]", "[4,8]") "}", 8, "leaves a hole before it");
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 6, "2 bytes behind the last tensor");
    check_refused("{}", 1, "1 bytes behind the last tensor");
}

TEST(safetensors_refuses_a_name_that_is_there_twice)
{
    check_refused("{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}", 8,
                  "a is there twice");
    check_refused("{" TENSOR("a", "F32", "[0]", "[0,0]") "," TENSOR("\\u0061", "F32", "[0]", "[0,0]") "}", 0,
                  "there twice");
}

/* A small generator of its own, so that a failing round can be found again. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

TEST(safetensors_survives_ten_thousand_damaged_files)
{
    cot_error err = COT_ERROR_INIT;
    static const char header[] = "{\"__metadata__\":{\"f\":\"pt\"}," TENSOR("a", "F32", "[2,3]", "[0,24]") "," TENSOR(
        "b", "F16", "[4]", "[24,32]") "," TENSOR("c", "I64", "[]", "[32,40]") "}";
    enum { SIZE = 8 + sizeof header - 1 + 40 };
    uint32_t state = 1;
    size_t parsed = 0, refused = 0;
    for (size_t round = 0; round < 10000; round++) {
        unsigned char *bytes = calloc(SIZE, 1); /* of its exact size, so that the sanitizer sees every step too far */
        REQUIRE(bytes);
        bytes[0] = sizeof header - 1;
        memcpy(bytes + 8, header, sizeof header - 1);
        for (uint32_t hits = next_random(&state) % 4; hits; hits--) {
            const uint32_t at = next_random(&state) % SIZE;
            static const char likely[] = "0123456789,[]{}\":-eF\\";
            const uint32_t c = next_random(&state);
            bytes[at] = (unsigned char)(c & 1 ? likely[(c >> 1) % (sizeof likely - 1)] : (char)(c >> 1));
        }
        safetensors *file = NULL;
        const size_t size = round % 5 ? SIZE : next_random(&state) % SIZE;
        if (safetensors_parse(&file, (cot_blob){bytes, size}, "file", &err) == COT_OK) {
            parsed++;
            for (size_t i = 0; i < safetensors_count(file); i++) {
                const tensor *t = safetensors_at(file, i);
                if (t->data < bytes || t->data + t->bytes > bytes + size)
                    CHECK_FAIL_("round %zu: out of bounds", round);
            }
        } else {
            refused++;
            CHECK(err.text[0] != 0);
        }
        safetensors_close(file);
        free(bytes);
    }
    CHECK(parsed > 1000 && refused > 1000);
}

TEST(safetensors_writer_is_deterministic_and_read_back_equal)
{
    cot_error err = COT_ERROR_INIT;
    const float values[] = {1, -2, 3.5f, 0, 5, 6};
    const int64_t count = 42;
    const tensor tensors[] = {
        {"z \"quoted\"", TENSOR_F32, 2, {2, 3}, 6, sizeof values, (const unsigned char *)values},
        {"a", TENSOR_I64, 0, {0}, 1, sizeof count, (const unsigned char *)&count},
    };
    unsigned char *one = NULL, *two = NULL;
    size_t n = 0, m = 0;
    safetensors *file = NULL;
    REQUIRE_OK(safetensors_build(&one, &n, tensors, 2, &err));
    REQUIRE_OK(safetensors_build(&two, &m, tensors, 2, &err));
    CHECK(n == m && !memcmp(one, two, n));
    CHECK_NUMBER((n - sizeof values - sizeof count) % 8, 0);
    REQUIRE_OK(safetensors_parse(&file, (cot_blob){one, n}, "built", &err));
    CHECK_NUMBER(safetensors_count(file), 2);
    const tensor *t = safetensors_find(file, "z \"quoted\"");
    float got[6];
    REQUIRE(t && tensor_floats(got, t));
    CHECK_FLOATS(got, values, 6, 0);
    safetensors_close(file);
    free(one);
    free(two);
}

TEST(safetensors_shape_text_is_cut_not_overrun)
{
    const size_t shape[] = {64, 32, 3, 3};
    char text[32], small[6];
    tensor_shape_text(text, sizeof text, shape, 4);
    CHECK_TEXT(text, "[64,32,3,3]");
    tensor_shape_text(small, sizeof small, shape, 4);
    CHECK_TEXT(small, "[64,3");
    tensor_shape_text(text, sizeof text, shape, 0);
    CHECK_TEXT(text, "[]");
}

CHECK_MAIN
