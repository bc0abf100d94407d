/* links: plugin engine config
 * Golden folders of several sizes computed again; and folders that are changed or damaged, each named for what it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "engine/golden.h"
#include "plugin/node.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

#include <unistd.h>

#define GOLDEN COT_SOURCE_DIR "/tests/golden/"
static const char *const files[] = {"expected.json",       "clip.safetensors",    "bert.safetensors",
                                    "teacher.safetensors", "student.safetensors", "expected.safetensors"};
enum { FILES = sizeof files / sizeof *files, FILE_MOST = 1 << 20 };

static cot_device *device;
static cot_golden_output outputs[COT_GOLDEN_OUTPUTS];

__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

/* ---- folders ---- */
typedef struct copy {
    char folder[64];
} copy;

static bool write_file(const copy *c, const char *file, const char *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    return cot_file_write_durable(path, bytes, size, NULL) == COT_OK;
}

/* A copy of a golden folder that a test may damage. */
static bool copy_init(copy *c, const char *name)
{
    bool ok = make_folder(c->folder);
    for (size_t i = 0; ok && i < FILES; i++) {
        char path[256], *bytes = NULL;
        size_t size = 0;
        snprintf(path, sizeof path, GOLDEN "%s/%s", name, files[i]);
        ok = cot_file_read(&bytes, &size, path, FILE_MOST, NULL) == COT_OK && write_file(c, files[i], bytes, size);
        free(bytes);
    }
    return ok;
}

/* Replaces the first `from` by `to`, filled up with spaces to the same length. */
static bool replace(const copy *c, const char *file, const char *from, const char *to)
{
    char path[128], *bytes = NULL, *at;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    if (strlen(from) < strlen(to) || cot_file_read(&bytes, &size, path, FILE_MOST, NULL) != COT_OK) return false;
    at = memmem(bytes, size, from, strlen(from));
    if (at) memset(at, ' ', strlen(from));
    if (at) memcpy(at, to, strlen(to));
    const bool ok = at && write_file(c, file, bytes, size);
    free(bytes);
    return ok;
}

/* Where the data of a tensor begins; 0: not there. The header is text as json.dumps writes it. */
static size_t data_of(const char *bytes, const char *name)
{
    char key[80];
    unsigned long begin = 0;
    const uint64_t header = (uint64_t)(unsigned char)bytes[0] | (uint64_t)(unsigned char)bytes[1] << 8 |
                            (uint64_t)(unsigned char)bytes[2] << 16;
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = memmem(bytes + 8, header, key, strlen(key));
    at = at ? strstr(at, "\"data_offsets\": [") : NULL;
    return at && sscanf(at, "\"data_offsets\": [%lu", &begin) == 1 ? 8 + header + begin : 0;
}

/* Overwrites a piece of a tensor's data. */
static bool poke(const copy *c, const char *file, const char *name, size_t at, const void *value, size_t size)
{
    char path[128], *bytes = NULL;
    size_t all = 0;
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    if (cot_file_read(&bytes, &all, path, FILE_MOST, NULL) != COT_OK) return false;
    const size_t begin = data_of(bytes, name);
    if (begin) memcpy(bytes + begin + at, value, size);
    const bool ok = begin && write_file(c, file, bytes, all);
    free(bytes);
    return ok;
}

/* ---- runs ---- */
static cot_status verify(const char *dir, cot_error *err)
{
    cot_status status = COT_OK;
    cot_golden *golden = NULL;
    if (!device) {
        cot_device_options options = COT_DEVICE_OPTIONS_INIT;
        options.gemm = COT_GEMM_TILE;
        COT_TRY(cot_device_open(&device, &options, err));
    }
    COT_TRY(cot_golden_open(&golden, dir, err));
    COT_TRY(cot_golden_run(outputs, golden, device, err));
done:
    cot_golden_close(golden);
    return status;
}

static int command(const char *dir, const char *bound)
{
    char *argv[] = {(char *)(uintptr_t) "verify", (char *)(uintptr_t) "--bound", (char *)(uintptr_t)bound,
                    (char *)(uintptr_t)dir, NULL};
    fflush(stdout);
    return cot_cmd_verify(dir ? 4 : 3, argv);
}

/* A copy of `odd` with one change is refused with `text`. */
static void refuse(const char *file, const char *from, const char *to, const char *text)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(copy_init(&c, "odd") && replace(&c, file, from, to));
    CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, text);
    CHECK_HAS(err.text, file); /* the file is always named */
    remove_folder(c.folder);
}

/* ---- equal ---- */
TEST(verify_finds_every_golden_folder_equal)
{
    static const char *const folders[] = {"tiny", "odd", "batch17", "one_step", "masked"};
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "%s", folders[i]);
        REQUIRE_OK(verify(path, &err));
        for (size_t o = 0; o < COT_GOLDEN_OUTPUTS; o++) {
            CHECK_NEAR(outputs[o].error, 0, 2e-5); /* measured 5e-6 at most */
            CHECK(outputs[o].values > 0);
        }
    }
}

TEST(verify_without_a_folder_computes_the_one_in_the_program)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(verify(NULL, &err));
    CHECK_NUMBER(outputs[0].values, 3 * 24);
    CHECK_NUMBER(outputs[1].values, 7 * 32);
    CHECK_NUMBER(outputs[2].values, 3 * (4 + 4 + 6 + 7 + 5 + 7 + 9));
    for (size_t o = 0; o < COT_GOLDEN_OUTPUTS; o++) CHECK_NEAR(outputs[o].error, 0, 2e-5);
    CHECK_OK(cot_device_check(device, &err));
}

/* A bound that rounding passes stands for a device that convolves wrongly: the message says what was computed. */
TEST(the_self_test_covers_convolutions_and_names_the_first_wrong_one)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(verify(NULL, &err));
    CHECK_OK(golden_convolve(device, 2e-6, &err));
    CHECK_FAILS(golden_convolve(device, 1e-12, &err), COT_E_DEVICE, "a 7x7 convolution, stride 2, 1 to 9 channels");
    CHECK_HAS(err.text, "computes wrongly");
}

/* ---- changed ---- */
TEST(verify_finds_one_changed_expected_number)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    const float wrong = 9.0f;
    REQUIRE(copy_init(&c, "odd"));
    REQUIRE(poke(&c, "expected.safetensors", "student_logits.1", sizeof wrong, &wrong, sizeof wrong));
    REQUIRE_OK(verify(c.folder, &err));
    for (size_t o = 0; o < 3; o++) CHECK(outputs[o].error <= COT_GOLDEN_BOUND);
    CHECK(outputs[3].error > 0.1);
    CHECK_TEXT(outputs[3].worst, "student_logits.1");
    CHECK_NUMBER(command(c.folder, "1e-4"), 1);
    CHECK_NUMBER(command(GOLDEN "odd", "1e-4"), 0);
    CHECK_NUMBER(command(GOLDEN "odd", "1e-9"), 1);
    remove_folder(c.folder);
}

TEST(verify_finds_one_changed_weight)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    const float wrong = 2.0f;
    REQUIRE(copy_init(&c, "odd"));
    REQUIRE(poke(&c, "teacher.safetensors", "mem_gru.bias_hh", sizeof wrong, &wrong, sizeof wrong));
    REQUIRE_OK(verify(c.folder, &err));
    CHECK(outputs[0].error <= COT_GOLDEN_BOUND && outputs[1].error <= COT_GOLDEN_BOUND);
    CHECK(outputs[2].error > COT_GOLDEN_BOUND);
    CHECK(strcmp(outputs[2].worst, "teacher_logits.0") > 0); /* the first step hears no written memory */
    CHECK(outputs[3].error <= COT_GOLDEN_BOUND);
    remove_folder(c.folder);
}

/* Everything hangs on the image features, and the run goes on from what was computed. */
TEST(verify_carries_a_changed_image_weight_through)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    const float wrong = 3.0f;
    REQUIRE(copy_init(&c, "odd"));
    REQUIRE(poke(&c, "clip.safetensors", "visual_projection.weight", 0, &wrong, sizeof wrong));
    REQUIRE_OK(verify(c.folder, &err));
    CHECK(outputs[0].error > COT_GOLDEN_BOUND && outputs[2].error > COT_GOLDEN_BOUND);
    CHECK(outputs[1].error <= COT_GOLDEN_BOUND && outputs[3].error > COT_GOLDEN_BOUND);
    remove_folder(c.folder);
}

/* ---- damaged ---- */
TEST(verify_names_a_missing_tensor)
{
    refuse("teacher.safetensors", "\"pred2mem.bias\"", "\"pred2mem.bIas\"", "tensor pred2mem.bias [32] is missing");
    refuse("student.safetensors", "\"step_heads.2.weight\"", "\"step_heads.9.weight\"",
           "tensor step_heads.2.weight [5,21] is missing");
    refuse("expected.safetensors", "\"ids\"", "\"idz\"", "tensor ids is missing");
    refuse("expected.safetensors", "\"images\"", "\"imagez\"", "tensor images [1,3,24,24] is missing");
    refuse("expected.safetensors", "\"teacher_logits.2\"", "\"teacher_logits.9\"",
           "tensor teacher_logits.2 [1,5] is missing");
}

/* A file of the folder with one tensor more. */
static bool add_tensor(const copy *c, const char *file, const char *name)
{
    char path[128];
    unsigned char *bytes = NULL;
    size_t size = 0;
    safetensors *old = NULL;
    static const float one = 1;
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    bool ok = safetensors_open(&old, path, NULL) == COT_OK;
    const size_t n = ok ? safetensors_count(old) : 0;
    tensor *all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++) all[i] = *safetensors_at(old, i);
    if (all) all[n] = (tensor){name, TENSOR_F32, 1, {1}, 1, sizeof one, (const unsigned char *)&one};
    ok = ok && all && safetensors_build(&bytes, &size, all, n + 1, NULL) == COT_OK &&
         write_file(c, file, (const char *)bytes, size);
    free(all);
    free(bytes);
    safetensors_close(old);
    return ok;
}

TEST(verify_names_an_extra_tensor)
{
    static const char *const extras[][2] = {{"clip.safetensors", "vision_model.encoder.layers.3.mlp.fc1.bias"},
                                            {"bert.safetensors", "embeddings.other.weight"},
                                            {"bert.safetensors", "pooler.dense.weight"},
                                            {"teacher.safetensors", "step_models.3.classifier.bias"},
                                            {"student.safetensors", "step_heads.3.bias"},
                                            {"expected.safetensors", "student_logits.3"},
                                            {"expected.safetensors", "paper.student_logits"}};
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        copy c;
        cot_error err = COT_ERROR_INIT;
        REQUIRE(copy_init(&c, "odd") && add_tensor(&c, extras[i][0], extras[i][1]));
        CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, extras[i][1]);
        CHECK_HAS(err.text, extras[i][0]);
        CHECK_NUMBER(command(c.folder, "1e-4"), 4);
        remove_folder(c.folder);
    }
}

TEST(verify_names_a_missing_file)
{
    for (size_t i = 0; i < FILES; i++) {
        copy c;
        char path[128];
        cot_error err = COT_ERROR_INIT;
        REQUIRE(copy_init(&c, "odd"));
        snprintf(path, sizeof path, "%s/%s", c.folder, files[i]);
        REQUIRE(unlink(path) == 0);
        CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, files[i]);
        CHECK_NUMBER(command(c.folder, "1e-4"), 4);
        remove_folder(c.folder);
    }
}

TEST(verify_names_a_cut_file)
{
    for (size_t i = 0; i < FILES; i++) {
        copy c;
        char path[128];
        cot_error err = COT_ERROR_INIT;
        REQUIRE(copy_init(&c, "odd"));
        snprintf(path, sizeof path, "%s/%s", c.folder, files[i]);
        REQUIRE(truncate(path, 1000) == 0);
        CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, files[i]);
        remove_folder(c.folder);
    }
}

TEST(verify_bounds_every_size)
{
    static const char json[] = "expected.json";
    refuse(json, "\"batch\": 1", "\"batch\": 0", "\"batch\" must be a number from 1 to 1024");
    refuse(json, "\"batch\": 1", "\"bat\":1e99", "\"batch\" must be a number");
    refuse(json, "\"layers\": 3", "\"layers\":-1", "\"layers\" must be a number from 1 to 128");
    refuse(json, "\"vocab\": 31", "\"vocab\":1e9", "\"vocab\" must be a number");
    refuse(json, "\"width\": 24", "\"width\":1.5", "\"width\" must be a whole number");
    refuse(json, "\"positions\": 9", "\"positions\": 6", "\"tokens\" 7 are more than \"positions\" 6");
    refuse(json, "\"patch\": 8", "\"patch\":99", "\"patch\" 99 is larger than \"resolution\" 24");
    refuse(json, "\"heads\": 3", "\"heads\": 5", "\"heads\" 5 does not divide \"width\" 24");
    refuse(json, "\"gat_heads\": 2", "\"gat_heads\": 3", "\"gat_heads\" 3 does not divide \"teacher\" 32");
    refuse(json, "\"teacher\": 32", "\"teacher\": 34", "\"teacher\" 34 must be \"bert_width\" 32");
    refuse(json, "\"architecture\"", "\"architectura\"", "\"architecture\" must be an object");
    refuse(json, "\"step_classes\"", "\"step_glasses\"", "\"step_classes\" must list 1 to 64");
    refuse(json, "{", "[", "not a JSON object");
}

TEST(verify_bounds_the_classes)
{
    static const char json[] = "expected.json";
    const char *const was = "[\n  2,\n  3,\n  5\n ]";
    refuse(json, was, "[]", "\"step_classes\" must list");
    refuse(json, was, "[2,0,5]", "step 1 must have 1 to 1024 classes");
    refuse(json, was, "[2,3,1e9]", "step 2 must have 1 to 1024 classes");
    refuse(json, was, "[2,3,\"5\"]", "step 2 must have 1 to 1024 classes");
    refuse(json, was, "[2,3.5,5]", "step 1 must have 1 to 1024 classes");
}

/* Sizes and files of two folders: the tensor that does not fit says so. */
TEST(verify_refuses_sizes_that_the_files_do_not_have)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(copy_init(&c, "odd") && replace(&c, "expected.json", "\"tokens\": 7", "\"tokens\": 9"));
    CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, "tensor ids is I64 [3,7], must be I64 [3,9]");
    remove_folder(c.folder);
    REQUIRE(copy_init(&c, "odd") && replace(&c, "expected.json", "[\n  2,\n  3,\n  5\n ]", "[2,3,5,4]"));
    CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, "must be I64 [4,7]");
    remove_folder(c.folder);
}

TEST(verify_refuses_words_and_masks_that_cannot_be)
{
    const int64_t beyond = 31, negative = -1, two = 2;
    const struct {
        const char *tensor;
        const int64_t *value;
    } cases[] = {{"ids", &beyond}, {"ids", &negative}, {"mask", &two}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy c;
        cot_error err = COT_ERROR_INIT;
        REQUIRE(copy_init(&c, "odd"));
        REQUIRE(poke(&c, "expected.safetensors", cases[i].tensor, 0, cases[i].value, sizeof(int64_t)));
        CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, "expected.safetensors: ");
        remove_folder(c.folder);
    }
}

TEST(verify_refuses_values_that_are_no_numbers)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    const float nan_value = NAN;
    REQUIRE(copy_init(&c, "odd"));
    REQUIRE(poke(&c, "expected.safetensors", "images", 0, &nan_value, sizeof nan_value));
    CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, "tensor images holds a value that is not finite");
    remove_folder(c.folder);
    REQUIRE(copy_init(&c, "odd"));
    REQUIRE(poke(&c, "bert.safetensors", "embeddings.token_type_embeddings.weight", 0, &nan_value, sizeof nan_value));
    CHECK_FAILS(verify(c.folder, &err), COT_E_MODEL, "bert.safetensors: text encoder: an embedding of token");
    remove_folder(c.folder);
}

/* Weights so large that the answer overflows: an error above every bound, not a pass. */
TEST(verify_counts_an_overflow_as_infinitely_wrong)
{
    copy c;
    cot_error err = COT_ERROR_INIT;
    const float huge = 3e38f;
    REQUIRE(copy_init(&c, "odd"));
    for (size_t i = 0; i < 24; i++)
        REQUIRE(poke(&c, "clip.safetensors", "visual_projection.weight", i * sizeof huge, &huge, sizeof huge));
    REQUIRE_OK(verify(c.folder, &err));
    CHECK(isinf(outputs[0].error));
    CHECK_NUMBER(command(c.folder, "1"), 1);
    remove_folder(c.folder);
}

CHECK_MAIN
