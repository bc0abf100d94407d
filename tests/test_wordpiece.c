/* links: engine config
 * The WordPiece tokenizer against the transformers library (golden/wordpiece), for every code point too; vocabularies and
 * texts that are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/wordpiece.h"
#include "tests/check.h"
#include <cjson/cJSON.h>

#define GOLDEN COT_SOURCE_DIR "/tests/golden/wordpiece/"

static cJSON *golden(void)
{
    cot_error err = COT_ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    if (cot_file_read(&text, &size, GOLDEN "vectors.json", 1 << 20, &err) != COT_OK) return NULL;
    cJSON *json = cJSON_Parse(text);
    free(text);
    return json;
}

static void check_vector(const wordpiece *w, const cJSON *vector)
{
    cot_error err = COT_ERROR_INIT;
    const cJSON *want = cJSON_GetObjectItem(vector, "ids"), *item;
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(vector, "text"));
    int64_t ids[WORDPIECE_TOKENS];
    size_t n = 0, i = 0;
    REQUIRE(text && want);
    REQUIRE_OK(wordpiece_encode(ids, &n, w, text, &err));
    bool same = n == (size_t)cJSON_GetArraySize(want);
    cJSON_ArrayForEach(item, want)
    {
        same = same && (double)ids[i] == item->valuedouble;
        i++;
    }
    check_count++;
    if (!same) CHECK_FAIL_("other tokens than the library's for \"%s\"", text);
}

TEST(wordpiece_equals_the_transformers_library)
{
    cot_error err = COT_ERROR_INIT;
    wordpiece *w = NULL;
    cJSON *json = golden();
    const cJSON *vector, *vectors = cJSON_GetObjectItem(json, "vectors");
    REQUIRE(cJSON_GetArraySize(vectors) > 200);
    REQUIRE_OK(wordpiece_open(&w, GOLDEN "vocab.txt", &err));
    cJSON_ArrayForEach(vector, vectors) check_vector(w, vector);
    wordpiece_close(w);
    cJSON_Delete(json);
}

/* ---- every code point ---- */
typedef struct listing {
    cot_sha256 *sha;
    size_t words;
} listing;

static void list_word(void *ctx, const char *word, size_t bytes, size_t chars)
{
    listing *l = ctx;
    (void)chars;
    if (l->words++) cot_sha256_add(l->sha, "|", 1);
    cot_sha256_add(l->sha, word, bytes);
}

static size_t spell(char *to, unsigned c)
{
    const size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6) to[i] = (char)(0x80u | (c & 0x3fu));
    to[0] = (char)(lead[n] | c);
    return n;
}

TEST(wordpiece_splits_every_code_point_as_the_library_does)
{
    cot_error err = COT_ERROR_INIT;
    listing l = {NULL, 0};
    char text[8], hex[65];
    cJSON *json = golden();
    const char *want = cJSON_GetStringValue(cJSON_GetObjectItem(json, "every_code_point_sha256"));
    REQUIRE(want);
    REQUIRE_OK(cot_sha256_create(&l.sha, &err));
    bool read = true;
    for (unsigned c = 1; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        text[0] = 'a';
        const size_t n = 1 + spell(text + 1, c);
        text[n] = 'B';
        l.words = 0;
        read = read && wordpiece_split(text, n + 1, list_word, &l);
        cot_sha256_add(l.sha, "\n", 1);
    }
    CHECK(read);
    cot_sha256_hex(l.sha, hex);
    CHECK_TEXT(hex, want);
    cot_sha256_destroy(l.sha);
    cJSON_Delete(json);
}

/* ---- what is refused ---- */
TEST(wordpiece_refuses_text_that_is_not_utf8)
{
    static const char *const bad[] = {"lung \xff",        "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xc3",     "\xe4\xb8",     "\x80"};
    cot_error err = COT_ERROR_INIT;
    wordpiece *w = NULL;
    int64_t ids[WORDPIECE_TOKENS];
    size_t n = 0;
    REQUIRE_OK(wordpiece_open(&w, GOLDEN "vocab.txt", &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(wordpiece_encode(ids, &n, w, bad[i], &err), COT_E_INPUT, "not UTF-8");
    wordpiece_close(w);
}

static cot_status parse(const char *text, cot_error *err)
{
    wordpiece *w = NULL;
    const cot_status status = wordpiece_parse(&w, (cot_blob){(const unsigned char *)text, strlen(text)}, "vocab", err);
    CHECK((w != NULL) == (status == COT_OK));
    wordpiece_close(w);
    return status;
}

TEST(wordpiece_refuses_a_vocabulary_that_is_none_by_line)
{
    cot_error err = COT_ERROR_INIT;
    CHECK_OK(parse("[UNK]\n[CLS]\n[SEP]\na\n", &err));
    CHECK_OK(parse("[UNK]\r\n[CLS]\r\n[SEP]\r\na", &err));
    CHECK_FAILS(parse("", &err), COT_E_MODEL, "[UNK] is missing");
    CHECK_FAILS(parse("[UNK]\n[CLS]\na\n", &err), COT_E_MODEL, "[SEP] is missing");
    CHECK_FAILS(parse("[UNK]\n\n[CLS]\n", &err), COT_E_MODEL, "line 2 is empty");
    CHECK_FAILS(parse("[UNK]\na\nb\na\n", &err), COT_E_MODEL, "lines 2 and 4");
    CHECK_FAILS(parse("[UNK]\n\xff\n", &err), COT_E_MODEL, "line 2");
    char *many = malloc(VOCABULARY_TOKEN_BYTES + 3);
    REQUIRE(many);
    memset(many, 'a', VOCABULARY_TOKEN_BYTES + 1);
    memcpy(many + VOCABULARY_TOKEN_BYTES + 1, "\n", 2);
    CHECK_FAILS(parse(many, &err), COT_E_MODEL, "longer than");
    free(many);
    many = calloc(VOCABULARY_TOKENS_MAX + 2, 1);
    REQUIRE(many);
    memset(many, '\n', VOCABULARY_TOKENS_MAX + 1);
    CHECK_FAILS(parse(many, &err), COT_E_LIMIT, "at most");
    free(many);
}

CHECK_MAIN
