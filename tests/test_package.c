/* links: engine config
 * Packages: import of a training run's folder, and every way in which a package can be wrong, with its message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/card.h"
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/tiny_model.h"
#include <sys/stat.h>
#include <unistd.h>

/* A folder with `source` (a copy of the tiny training run) and `package` (made from it). */
typedef struct bench {
    char folder[64], source[96], package[96];
} bench;

static char *read_text(const char *folder, const char *name, size_t *size)
{
    char path[256], *text = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return cot_file_read(&text, size, path, 1 << 24, NULL) == COT_OK ? text : NULL;
}

static bool write_bytes(const char *folder, const char *name, const char *bytes, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return cot_file_write_durable(path, bytes, size, NULL) == COT_OK;
}

static bool copy_file(const char *to, const char *from, const char *name)
{
    size_t size = 0;
    char *bytes = read_text(from, name, &size);
    const bool ok = bytes && write_bytes(to, name, bytes, size);
    free(bytes);
    return ok;
}

static cot_status import_tiny(const bench *b, bool keep_extra, cot_error *err)
{
    const cot_import_options options = {.source = b->source, .out = b->package, .keep_extra = keep_extra};
    return cot_package_import(&options, tiny_steps(), err);
}

static bool bench_source(bench *b)
{
    if (!make_folder(b->folder)) return false;
    snprintf(b->source, sizeof b->source, "%s/source", b->folder);
    snprintf(b->package, sizeof b->package, "%s/package", b->folder);
    return mkdir(b->source, 0755) == 0 && copy_file(b->source, TINY_SOURCE, "summary.json") &&
           copy_file(b->source, TINY_SOURCE, "weights.safetensors");
}

static bool bench_init(bench *b)
{
    return bench_source(b) && import_tiny(b, false, NULL) == COT_OK;
}

static void bench_fini(bench *b)
{
    remove_folder(b->folder);
}

/* Replaces the first `from` in a file by `to`; both of any length in text, of equal length in weights. */
static bool replace(const char *folder, const char *name, const char *from, const char *to)
{
    size_t size = 0;
    char *text = read_text(folder, name, &size), *at = text ? memmem(text, size, from, strlen(from)) : NULL;
    char *made = at ? malloc(size + strlen(to)) : NULL;
    bool ok = made != NULL;
    if (ok) {
        const size_t head = (size_t)(at - text), tail = size - head - strlen(from);
        memcpy(made, text, head);
        memcpy(made + head, to, strlen(to));
        memcpy(made + head + strlen(to), at + strlen(from), tail);
        ok = write_bytes(folder, name, made, head + strlen(to) + tail);
    }
    free(text);
    free(made);
    return ok;
}

/* Writes the digest of the weights as they are now into model.json, so that later checks are reached. */
static bool bless_weights(const bench *b)
{
    size_t size = 0, card_size = 0;
    char hex[65], old[65];
    char *weights = read_text(b->package, "weights.safetensors", &size),
         *card = read_text(b->package, "model.json", &card_size);
    char *at = card ? strstr(card, "\"sha256\":\t\"") : NULL;
    bool ok = weights && at;
    if (ok) {
        snprintf(old, sizeof old, "%.64s", at + strlen("\"sha256\":\t\""));
        cot_sha256_of(hex, weights, size);
        ok = replace(b->package, "model.json", old, hex);
    }
    free(weights);
    free(card);
    return ok;
}

/* Opening must fail like this. */
static void check_open_fails(const bench *b, const char *why)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    CHECK_FAILS(cot_package_open(&package, b->package, tiny_steps(), &err), COT_E_MODEL, why);
    CHECK(package == NULL);
}

/* ---- import ---- */
TEST(import_makes_a_package_that_opens)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    cot_package *package = NULL;
    REQUIRE(bench_init(&b));
    REQUIRE_OK(cot_package_open(&package, b.package, tiny_steps(), &err));
    const cot_reader *reader = cot_package_reader(package);
    CHECK_TEXT(reader->name, "Tiny random model");
    CHECK_TEXT(reader->role, "student");
    CHECK_TEXT(reader->device, "");
    CHECK_HAS(reader->notice, "not a medical device");
    CHECK_HAS(reader->training, "none: random weights");
    CHECK_NUMBER(strlen(reader->package_sha256), 64);
    cot_package_close(package);
    bench_fini(&b);
}

TEST(import_leaves_other_heads_out_and_says_so)
{
    bench b;
    size_t size = 0;
    REQUIRE(bench_init(&b));
    char *card = read_text(b.package, "model.json", &size);
    CHECK_HAS(card, "\"left_out\":\t[\"cnn.bn1.num_batches_tracked\", \"findings.weight\"]");
    CHECK_HAS(card, "\"supervised\":\t[\"step-0\", \"step-2\"]");
    CHECK_HAS(card, "\"step_classes\":\t[2, 3, 5]");
    free(card);
    bench_fini(&b);
}

TEST(import_keeps_other_heads_when_asked)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    size_t size = 0;
    cot_package *package = NULL;
    REQUIRE(bench_source(&b));
    REQUIRE_OK(import_tiny(&b, true, &err));
    REQUIRE_OK(cot_package_open(&package, b.package, tiny_steps(), &err));
    char *weights = read_text(b.package, "weights.safetensors", &size);
    CHECK(weights && memmem(weights, size, "findings.weight", 15) && !memmem(weights, size, "num_batches", 11));
    free(weights);
    cot_package_close(package);
    bench_fini(&b);
}

TEST(import_of_the_same_source_gives_the_same_bytes)
{
    bench a, b;
    REQUIRE(bench_init(&a) && bench_init(&b));
    static const char *const names[] = {"model.json", "weights.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = 0, m = 0;
        char *one = read_text(a.package, names[i], &n), *two = read_text(b.package, names[i], &m);
        CHECK(one && two && n == m && !memcmp(one, two, n));
        free(one);
        free(two);
    }
    bench_fini(&a);
    bench_fini(&b);
}

TEST(import_refuses_to_write_over_what_is_there)
{
    cot_error err = COT_ERROR_INIT;
    bench b;
    REQUIRE(bench_init(&b));
    CHECK_FAILS(import_tiny(&b, false, &err), COT_E_IO, "is there already");
    bench_fini(&b);
}

/* A failed import leaves only its source behind. */
static void check_import_fails(bench *b, cot_status want, const char *why)
{
    cot_error err = COT_ERROR_INIT;
    char command[160];
    CHECK_FAILS(import_tiny(b, false, &err), want, why);
    snprintf(command, sizeof command, "test \"$(ls '%s')\" = source", b->folder);
    CHECK(system(command) == 0);
    bench_fini(b);
}

TEST(import_refuses_a_missing_summary_or_missing_weights)
{
    bench b;
    char path[128];
    REQUIRE(bench_source(&b));
    snprintf(path, sizeof path, "%s/summary.json", b.source);
    CHECK(unlink(path) == 0);
    check_import_fails(&b, COT_E_MODEL, "a source folder holds weights.safetensors and summary.json");
    REQUIRE(bench_source(&b));
    snprintf(path, sizeof path, "%s/weights.safetensors", b.source);
    CHECK(unlink(path) == 0);
    check_import_fails(&b, COT_E_MODEL, "weights.safetensors");
}

TEST(import_refuses_a_summary_that_lacks_what_is_needed)
{
    bench b;
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "\"std\"", "\"st\""));
    check_import_fails(&b, COT_E_MODEL, "\"std\" must be a number");
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "\"supervised_steps\"", "\"steps\""));
    check_import_fails(&b, COT_E_MODEL, "\"supervised_steps\" must list");
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "\"size\": 75", "\"size\": 9"));
    check_import_fails(&b, COT_E_MODEL, "\"size\" must be a number from 32");
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "3\n ]", "4\n ]"));
    check_import_fails(&b, COT_E_MODEL, "no step from 1 to 3");
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "\"width\": 8", "\"width\": 9"));
    check_import_fails(&b, COT_E_MODEL, "\"width\" is not 8");
    REQUIRE(bench_source(&b) && replace(b.source, "summary.json", "{", "["));
    check_import_fails(&b, COT_E_MODEL, "not a JSON object");
}

TEST(import_refuses_weights_of_another_architecture)
{
    bench b;
    REQUIRE(bench_source(&b) && replace(b.source, "weights.safetensors", "cnn.conv1.weight", "cnn.konv1.weight"));
    check_import_fails(&b, COT_E_MODEL, "cnn.conv1.weight is missing");
    REQUIRE(bench_source(&b) && replace(b.source, "weights.safetensors", "findings.weight", "cnn.ings.weight"));
    check_import_fails(&b, COT_E_MODEL, "cnn.ings.weight does not belong");
    REQUIRE(bench_source(&b) && replace(b.source, "weights.safetensors", "[64,64,3,3]", "[64,64,9,1]"));
    check_import_fails(&b, COT_E_MODEL, "has shape [64,64,9,1], the architecture and step schema need [64,64,3,3]");
}

TEST(import_refuses_weights_for_another_schema)
{
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    bench b;
    REQUIRE(bench_source(&b));
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    const cot_import_options options = {.source = b.source, .out = b.package};
    CHECK_FAILS(cot_package_import(&options, steps, &err), COT_E_MODEL,
                "tensor student.step_heads.0.weight has shape [2,24]");
    cot_steps_destroy(steps);
    bench_fini(&b);
}

/* ---- open ---- */
TEST(package_that_is_missing_is_named_with_the_remedy)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    CHECK_FAILS(cot_package_open(&package, "/tmp/no-such-model", tiny_steps(), &err), COT_E_MODEL,
                "no model package in /tmp/no-such-model");
    CHECK_HAS(err.text, "name a folder with model.json and weights.safetensors, or \"default\"");
}

TEST(package_without_weights_is_refused)
{
    bench b;
    char path[128];
    REQUIRE(bench_init(&b));
    snprintf(path, sizeof path, "%s/weights.safetensors", b.package);
    CHECK(unlink(path) == 0);
    check_open_fails(&b, "weights.safetensors: No such file");
    bench_fini(&b);
}

TEST(package_with_changed_weights_is_refused_by_digest)
{
    bench b;
    size_t size = 0;
    REQUIRE(bench_init(&b));
    char *weights = read_text(b.package, "weights.safetensors", &size);
    REQUIRE(weights);
    weights[size - 1] = (char)(weights[size - 1] ^ 1);
    CHECK(write_bytes(b.package, "weights.safetensors", weights, size));
    check_open_fails(&b, "the weights were changed or damaged");
    CHECK(write_bytes(b.package, "weights.safetensors", weights, size - 4));
    check_open_fails(&b, "the file is cut");
    free(weights);
    bench_fini(&b);
}

TEST(package_with_a_wrong_shape_is_refused_by_tensor_name)
{
    bench b;
    REQUIRE(bench_init(&b) && replace(b.package, "weights.safetensors", "[24,64]", "[64,24]") && bless_weights(&b));
    check_open_fails(
        &b, "tensor student.img_proj.0.weight has shape [64,24], the architecture and step schema need [24,64]");
    bench_fini(&b);
    REQUIRE(bench_init(&b) && replace(b.package, "model.json", "\"width\":\t8", "\"width\":\t4"));
    check_open_fails(&b,
                     "tensor cnn.conv1.weight has shape [8,3,7,7], the architecture and step schema need [4,3,7,7]");
    bench_fini(&b);
}

TEST(package_with_a_missing_or_extra_tensor_is_refused_by_name)
{
    bench b;
    REQUIRE(bench_init(&b) && replace(b.package, "weights.safetensors", "step_heads.2.bias", "step_heads.2.base") &&
            bless_weights(&b));
    check_open_fails(&b, "tensor student.step_heads.2.bias [5] is missing");
    bench_fini(&b);
    REQUIRE(bench_source(&b) && import_tiny(&b, true, NULL) == COT_OK);
    CHECK(replace(b.package, "model.json", "\"kept\"", "\"kent\""));
    check_open_fails(&b, "tensor findings.weight is not of the architecture");
    bench_fini(&b);
}

TEST(package_with_integer_weights_is_refused)
{
    bench b;
    REQUIRE(bench_init(&b) &&
            replace(b.package, "weights.safetensors", "\"dtype\":\"F32\",\"shape\":[2]",
                    "\"dtype\":\"I64\",\"shape\":[1]") &&
            bless_weights(&b));
    check_open_fails(&b, "tensor student.step_heads.0.bias has type I64");
    bench_fini(&b);
}

TEST(package_for_another_schema_is_refused)
{
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    cot_package *package = NULL;
    bench b;
    REQUIRE(bench_init(&b));
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    CHECK_FAILS(cot_package_open(&package, b.package, steps, &err), COT_E_MODEL,
                "answers the step schema \"urn:stepcot:test:tiny\", the program runs with \"urn:stepcot:steps:cxr:1\"");
    CHECK_FAILS(cot_package_open(&package, NULL, tiny_steps(), &err), COT_E_MODEL, "use that schema, or another model");
    cot_steps_destroy(steps);
    bench_fini(&b);
}

TEST(package_with_other_numbers_of_answers_is_refused)
{
    bench b;
    REQUIRE(bench_init(&b) && replace(b.package, "model.json", "[2, 3, 5]", "[2, 3, 6]"));
    check_open_fails(&b, "gives step \"step-2\" 6 answers, the step schema urn:stepcot:test:tiny gives it 5");
    REQUIRE(replace(b.package, "model.json", "[2, 3, 6]", "[2, 3]"));
    check_open_fails(&b, "lists 2 steps, the step schema urn:stepcot:test:tiny has 3");
    bench_fini(&b);
}

TEST(package_with_a_wrong_card_is_refused_by_member)
{
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"{", "[", "not a JSON object"},
        {"urn:stepcot:model:1", "urn:stepcot:model:2", "this program reads \"urn:stepcot:model:1\""},
        {"\"notice\"", "\"note\"", "\"notice\" must be a text"},
        {"resnet18-student", "resnet50-student", "this program reads \"resnet18-student\""},
        {"\"width\":\t8", "\"width\":\t8.5", "\"width\" must be a whole number"},
        {"\"width\":\t8", "\"width\":\t-8", "\"width\" must be a number from 1"},
        {"\"dim\":\t24", "\"dim\":\t1e9", "\"dim\" must be a number from 1"},
        {"\"size\":\t75", "\"size\":\t100000", "\"size\" must be a number from 32"},
        {"bilinear", "nearest", "must be \"bicubic\" or \"bilinear\""},
        {"stretch", "crop", "this program reads \"stretch\""},
        {"\"std\":\t0.3", "\"std\":\t0", "\"std\" must be a number"},
        {"\"step-2\"", "\"step-9\"", "names step \"step-9\""},
        {"\"supervised\"", "\"trained\"", "\"supervised\" must list"},
        {"\"sha256\"", "\"md5\"", "\"sha256\" must be a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b;
        REQUIRE(bench_init(&b));
        CHECK(replace(b.package, "model.json", cases[i].from, cases[i].to));
        check_open_fails(&b, cases[i].why);
        bench_fini(&b);
    }
}

TEST(card_survives_five_thousand_damages)
{
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    size_t size = 0, parsed = 0, refused = 0;
    uint32_t state = 1; /* a small generator of its own, so that a failing round can be found again */
    char *text = read_text(COT_SOURCE_DIR "/engine/default", "model.json", &size);
    REQUIRE(text);
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    for (size_t round = 0; round < 5000; round++) {
        static const char likely[] = "0123456789,[]{}\":-e\\u";
        char *copy = malloc(size + 1); /* of its exact size, so that the sanitizer sees every step too far */
        REQUIRE(copy);
        memcpy(copy, text, size + 1);
        for (size_t hits = 1 + round % 4; hits; hits--) {
            state = state * 1664525u + 1013904223u;
            copy[(state >> 8) % size] = likely[(state >> 4) % (sizeof likely - 1)];
        }
        if (round % 7 == 0) copy[(state >> 9) % size] = 0;
        model_card *card = NULL;
        const cot_status status = card_parse(&card, copy, "card", steps, &err);
        CHECK(status == COT_OK || (status == COT_E_MODEL && !card));
        parsed += status == COT_OK;
        refused += status != COT_OK;
        card_destroy(card);
        free(copy);
    }
    CHECK(parsed > 100 && refused > 100);
    cot_steps_destroy(steps);
    free(text);
}

/* ---- the default ---- */
TEST(default_package_says_what_it_is)
{
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    cot_package *package = NULL;
    REQUIRE_OK(cot_steps_load(&steps, NULL, &err));
    REQUIRE_OK(cot_package_open(&package, "default", steps, &err));
    const cot_reader *reader = cot_package_reader(package);
    CHECK_HAS(reader->name, "Step-CoT student, ResNet-18 (demonstration)");
    CHECK_HAS(reader->notice, "not a medical device");
    CHECK_HAS(reader->training, "NIH ChestX-ray14");
    CHECK_HAS(reader->training, "1087 images, validated on 232 images of other patients");
    CHECK_HAS(reader->training, "untrained");
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    REQUIRE(stream);
    CHECK_OK(cot_package_print(package, stream, true, &err));
    fclose(stream);
    CHECK_HAS(text, "https://nihcc.app.box.com/v/ChestXray-NIHCC");
    CHECK_HAS(text, "CVPR 2017");
    CHECK_HAS(text, "detection, distribution, pattern, location, secondary, diagnosis; the others");
    CHECK_HAS(text, "calibrated by temperature");
    CHECK_HAS(text, "detection_auc");
    CHECK_HAS(text, "caveat");
    CHECK_HAS(text, "cnn.layer4.1.conv2.weight");
    free(text);
    cot_package_close(package);
    cot_steps_destroy(steps);
}

CHECK_MAIN
