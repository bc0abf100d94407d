/* links: engine config
 * State dicts of torchvision's ResNet-18 and DenseNet as image encoders: logits equal to torchvision's own forward passes
 * (golden/torchvision), whatever stands before the names; missing, extra and misshapen tensors; weights in half precision.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/engine.h"
#include "engine/safetensors.h"
#include "tests/check.h"
#include "tests/tiny_model.h"

#define GOLDEN COT_SOURCE_DIR "/tests/golden/torchvision/"
enum { SEEDS = 3, LOGITS = 10, TENSORS_MOST = 300 };
static const double logit_bound = 1e-4; /* of the largest logit; measured 8e-7 at most */
static const char *const encoders[] = {"resnet18", "densenet"};

static cot_device *device;
static cot_status open_device(cot_gemm_choice choice, cot_error *err)
{
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = choice;
    if (device && cot_device_gemm(device) == choice) return COT_OK;
    cot_device_close(device);
    device = NULL;
    return cot_device_open(&device, &options, err);
}
__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

/* ---- folders that a test may change ---- */
typedef struct scene {
    char folder[64], source[128], encoder[160], out[128];
} scene;

static bool scene_init(scene *s, const char *name)
{
    if (!make_folder(s->folder)) return false;
    snprintf(s->source, sizeof s->source, GOLDEN "%s", name);
    snprintf(s->encoder, sizeof s->encoder, GOLDEN "%s/model.safetensors", name);
    snprintf(s->out, sizeof s->out, "%s/package", s->folder);
    return true;
}

/* Changes a tensor on its way into another file, its name in `name`; false leaves it out. */
typedef bool (*change)(tensor *t, char name[TENSOR_NAME_MAX], const void *ctx);

/* `path` with each tensor of `files` as `how` wants it; NULL: as it is. */
static bool rewrite(const char *path, const char *const *files, size_t n_files, change how, const void *ctx)
{
    static char names[TENSORS_MOST][TENSOR_NAME_MAX];
    static tensor tensors[TENSORS_MOST];
    safetensors *open[2] = {NULL, NULL};
    unsigned char *bytes = NULL;
    size_t n = 0, size = 0;
    bool ok = true;
    for (size_t f = 0; ok && f < n_files; f++) {
        ok = safetensors_open(&open[f], files[f], NULL) == COT_OK;
        for (size_t i = 0; ok && i < safetensors_count(open[f]); i++) {
            tensors[n] = *safetensors_at(open[f], i);
            snprintf(names[n], sizeof names[n], "%s", tensors[n].name);
            if (how && f == 0 && !how(&tensors[n], names[n], ctx)) continue;
            tensors[n].name = names[n];
            n++;
        }
    }
    ok = ok && safetensors_build(&bytes, &size, tensors, n, NULL) == COT_OK &&
         cot_file_write_durable(path, (const char *)bytes, size, NULL) == COT_OK;
    free(bytes);
    for (size_t f = 0; f < n_files; f++) safetensors_close(open[f]);
    return ok;
}

/* The encoder's file, changed, in the scene's folder. */
static bool change_encoder(scene *s, change how, const void *ctx)
{
    const char *const from[] = {s->encoder};
    char path[160];
    snprintf(path, sizeof path, "%s/model.safetensors", s->folder);
    if (!rewrite(path, from, 1, how, ctx)) return false;
    memcpy(s->encoder, path, sizeof path);
    return true;
}

static cot_status import(const scene *s, bool half, cot_error *err)
{
    const cot_import_options options = {
        .source = s->source, .out = s->out, .encoder = s->encoder[0] ? s->encoder : NULL, .store_half = half};
    return cot_package_import(&options, tiny_steps(), err);
}

/* ---- equality ---- */
/* splitmix64 of a counter in [-2,2), as generate.py has it. */
static void fill_uniform(float *to, uint64_t seed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = ((uint64_t)i + 1 + (seed << 32)) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        to[i] = (float)(z >> 40) * 0x1p-22f - 2.0f;
    }
}

/* Largest difference of the package's logits from the golden ones over the largest of those, for batches of 1 to SEEDS. */
static double worst_error(const scene *s, const char *name)
{
    char key[64];
    float want[SEEDS * LOGITS], got[SEEDS * LOGITS], *x = NULL;
    double worst = 0, scale = 0;
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_model *model = NULL;
    safetensors *golden = NULL;
    snprintf(key, sizeof key, "%s.logits", name);
    CHECK_OK(safetensors_open(&golden, GOLDEN "expected.safetensors", &err));
    const tensor *t = golden ? safetensors_find(golden, key) : NULL;
    CHECK(t && t->count == SEEDS * LOGITS && tensor_floats(want, t));
    CHECK_OK(cot_package_open(&package, s->out, tiny_steps(), &err));
    if (package) CHECK_OK(cot_model_create(&model, device, package, tiny_steps(), SEEDS, &err));
    if (!t || !model) return HUGE_VAL;
    const size_t pixels = cot_model_input_size(model) * cot_model_input_size(model);
    x = calloc(SEEDS * pixels, sizeof *x);
    for (size_t i = 0; i < SEEDS; i++) fill_uniform(x + i * pixels, 1 + i, pixels);
    for (size_t i = 0; i < SEEDS * LOGITS; i++) scale = fmax(scale, fabs((double)want[i]));
    for (size_t n = 1; n <= SEEDS; n++) {
        CHECK_OK(cot_model_logits(model, got, x, n, &err));
        for (size_t i = 0; i < n * LOGITS; i++) worst = fmax(worst, fabs((double)got[i] - (double)want[i]) / scale);
    }
    free(x);
    safetensors_close(golden);
    cot_model_destroy(model);
    cot_package_close(package);
    return worst;
}

static void check_equal(const char *name, cot_gemm_choice choice)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(scene_init(&s, name));
    REQUIRE_OK(open_device(choice, &err));
    REQUIRE_OK(import(&s, false, &err));
    CHECK_NEAR(worst_error(&s, name), 0, logit_bound);
    remove_folder(s.folder);
}

TEST(an_encoder_from_torchvision_gives_its_own_logits)
{
    for (size_t i = 0; i < 2; i++) check_equal(encoders[i], COT_GEMM_TILE);
}

TEST(an_encoder_from_torchvision_gives_its_own_logits_with_clblast)
{
    for (size_t i = 0; i < 2; i++) check_equal(encoders[i], COT_GEMM_CLBLAST);
}

TEST(an_encoder_may_be_a_folder)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(scene_init(&s, "densenet"));
    snprintf(s.encoder, sizeof s.encoder, "%s", s.source);
    REQUIRE_OK(open_device(COT_GEMM_TILE, &err));
    REQUIRE_OK(import(&s, false, &err));
    CHECK_NEAR(worst_error(&s, "densenet"), 0, logit_bound);
    remove_folder(s.folder);
}

/* ---- names ---- */
static bool add_prefix(tensor *t, char name[TENSOR_NAME_MAX], const void *prefix)
{
    snprintf(name, TENSOR_NAME_MAX, "%s%s", (const char *)prefix, t->name);
    return true;
}

TEST(anything_may_stand_before_the_names)
{
    static const char *const prefixes[] = {"cnn.", "encoder.", "module.backbone."};
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_device(COT_GEMM_TILE, &err));
    for (size_t i = 0; i < 6; i++) {
        scene s;
        REQUIRE(scene_init(&s, encoders[i % 2]) && change_encoder(&s, add_prefix, prefixes[i / 2]));
        REQUIRE_OK(import(&s, false, &err));
        CHECK_NEAR(worst_error(&s, encoders[i % 2]), 0, logit_bound);
        remove_folder(s.folder);
    }
}

/* Encoder and student in one file, the student's names bare. */
TEST(encoder_and_student_may_share_a_file)
{
    static const char *const prefixes[] = {"", "cnn.", "backbone."};
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_device(COT_GEMM_TILE, &err));
    for (size_t i = 0; i < 6; i++) {
        scene s;
        char weights[128], path[160], summary[160];
        REQUIRE(scene_init(&s, encoders[i % 2]));
        snprintf(weights, sizeof weights, GOLDEN "%s/weights.safetensors", encoders[i % 2]);
        snprintf(path, sizeof path, "%s/weights.safetensors", s.folder);
        snprintf(summary, sizeof summary, "cp " GOLDEN "%s/summary.json %s", encoders[i % 2], s.folder);
        const char *const both[] = {s.encoder, weights};
        REQUIRE(rewrite(path, both, 2, add_prefix, prefixes[i / 2]) && system(summary) == 0);
        memcpy(s.source, s.folder, sizeof s.folder);
        s.encoder[0] = 0;
        REQUIRE_OK(import(&s, false, &err));
        CHECK_NEAR(worst_error(&s, encoders[i % 2]), 0, logit_bound);
        remove_folder(s.folder);
    }
}

/* torchvision's downloads say norm.1 and conv.2 where its classes say norm1 and conv2. */
static bool old_names(tensor *t, char name[TENSOR_NAME_MAX], const void *ctx)
{
    (void)ctx;
    const char *at = strstr(t->name, ".denselayer");
    at = at ? strpbrk(strchr(at + 1, '.'), "12") : NULL;
    if (at) snprintf(name, TENSOR_NAME_MAX, "%.*s.%s", (int)(at - t->name), t->name, at);
    return true;
}

TEST(a_densenet_under_its_old_names_is_the_same)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_device(COT_GEMM_TILE, &err));
    REQUIRE(scene_init(&s, "densenet") && change_encoder(&s, old_names, NULL));
    REQUIRE_OK(import(&s, false, &err));
    CHECK_NEAR(worst_error(&s, "densenet"), 0, logit_bound);
    remove_folder(s.folder);
}

TEST(what_is_not_needed_is_named_in_the_package)
{
    static const char *const classifier[] = {"\"fc.weight\"", "\"classifier.weight\""};
    static const char *const kind[] = {"resnet18-student", "densenet121-student"};
    cot_error err = COT_ERROR_INIT;
    for (size_t i = 0; i < 2; i++) {
        scene s;
        char path[160], *text = NULL;
        size_t size = 0;
        REQUIRE(scene_init(&s, encoders[i]));
        REQUIRE_OK(import(&s, false, &err));
        snprintf(path, sizeof path, "%s/model.json", s.out);
        REQUIRE_OK(cot_file_read(&text, &size, path, 1 << 20, &err));
        CHECK_HAS(text, classifier[i]);
        CHECK_HAS(text, "num_batches_tracked");
        CHECK_HAS(text, kind[i]);
        free(text);
        remove_folder(s.folder);
    }
}

/* ---- refusals ---- */
static bool leave_out(tensor *t, char name[TENSOR_NAME_MAX], const void *which)
{
    (void)name;
    return strcmp(t->name, which) != 0;
}
static bool turn_into(tensor *t, char name[TENSOR_NAME_MAX], const void *pair)
{
    const char *const *names = pair;
    if (!strcmp(t->name, names[0])) snprintf(name, TENSOR_NAME_MAX, "%s", names[1]);
    return true;
}
/* One row less. */
static bool shorten(tensor *t, char name[TENSOR_NAME_MAX], const void *which)
{
    (void)name;
    if (strcmp(t->name, which)) return true;
    t->count = t->count / t->shape[0] * (t->shape[0] - 1);
    t->bytes = t->bytes / t->shape[0] * (t->shape[0] - 1);
    t->shape[0]--;
    return true;
}

static void refuse(const char *encoder, change how, const void *ctx, const char *first, const char *second)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(scene_init(&s, encoder) && change_encoder(&s, how, ctx));
    CHECK_FAILS(import(&s, false, &err), COT_E_MODEL, first);
    CHECK_HAS(err.text, second);
    CHECK_HAS(err.text, "model.safetensors");
    remove_folder(s.folder);
}

TEST(a_missing_tensor_of_an_encoder_is_named)
{
    refuse("resnet18", leave_out, "layer3.0.downsample.1.running_var", "layer3.0.downsample.1.running_var", "missing");
    refuse("resnet18", leave_out, "conv1.weight", "conv1.weight", "missing");
    refuse("densenet", leave_out, "features.norm5.bias", "features.norm5.bias", "missing");
    refuse("densenet", leave_out, "features.denseblock2.denselayer3.norm2.weight",
           "features.denseblock2.denselayer3.norm2.weight", "missing");
    refuse("densenet", leave_out, "features.denseblock1.denselayer1.conv1.weight", "denselayer1.conv1.weight",
           "missing");
}

TEST(an_extra_tensor_of_an_encoder_is_named)
{
    static const char *const fifth[] = {"fc.weight", "layer5.0.conv1.weight"};
    static const char *const stray[] = {"classifier.bias", "head.bias"};
    static const char *const hole[] = {"features.denseblock2.denselayer2.conv2.weight",
                                       "features.denseblock2.denselayer9.conv2.weight"};
    refuse("resnet18", turn_into, fifth, "layer5.0.conv1.weight", "does not belong to a ResNet-18");
    refuse("densenet", turn_into, stray, "head.bias", "belongs to none");
    refuse("densenet", turn_into, hole, "features.", "model.safetensors");
}

TEST(a_misshapen_tensor_of_an_encoder_is_named)
{
    refuse("resnet18", shorten, "layer2.1.conv2.weight", "layer2.1.conv2.weight", "[9,10,3,3]");
    refuse("resnet18", shorten, "bn1.running_mean", "bn1.running_mean", "[4]");
    refuse("densenet", shorten, "features.transition1.conv.weight", "features.transition1.conv.weight", "[10,22,1,1]");
    refuse("densenet", shorten, "features.denseblock2.denselayer2.norm1.weight", "denselayer2.norm1.weight", "[15]");
}

TEST(two_encoders_in_one_file_are_refused)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    char path[160];
    REQUIRE(scene_init(&s, "densenet"));
    const char *const both[] = {GOLDEN "resnet18/model.safetensors", s.encoder};
    snprintf(path, sizeof path, "%s/model.safetensors", s.folder);
    REQUIRE(rewrite(path, both, 2, add_prefix, "a."));
    memcpy(s.encoder, path, sizeof path);
    CHECK_FAILS(import(&s, false, &err), COT_E_MODEL, "two image encoders");
    remove_folder(s.folder);
}

TEST(an_encoder_that_is_not_there_is_named)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(scene_init(&s, "densenet"));
    snprintf(s.encoder, sizeof s.encoder, "%s", s.folder);
    CHECK_FAILS(import(&s, false, &err), COT_E_MODEL, "neither model.safetensors nor weights.safetensors");
    snprintf(s.encoder, sizeof s.encoder, "%s/none.safetensors", s.folder);
    CHECK(import(&s, false, &err) != COT_OK);
    CHECK_HAS(err.text, "none.safetensors");
    snprintf(s.encoder, sizeof s.encoder, "%s/weights.safetensors", s.source);
    CHECK_FAILS(import(&s, false, &err), COT_E_MODEL, "only a ResNet-18 or DenseNet");
    remove_folder(s.folder);
}

/* ---- half precision ---- */
static size_t file_bytes(const scene *s)
{
    char path[160], *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/weights.safetensors", s->out);
    if (cot_file_read(&bytes, &size, path, 1 << 26, NULL) != COT_OK) return 0;
    free(bytes);
    return size;
}

static bool widen(tensor *t, char name[TENSOR_NAME_MAX], const void *ctx)
{
    (void)name;
    static float *kept[TENSORS_MOST];
    static size_t n;
    if (t->type != TENSOR_F16) return true;
    free(kept[n % TENSORS_MOST]); /* of a file that is long written */
    float *values = kept[n++ % TENSORS_MOST] = malloc(t->count * sizeof *values);
    if (!values || !tensor_floats(values, t)) return false;
    if (!strcmp(t->name, ctx)) values[0] = 70000.0f; /* beyond half precision */
    t->type = TENSOR_F32;
    t->bytes = t->count * sizeof *values;
    t->data = (const unsigned char *)values;
    return true;
}

/* The convolutions of these files are halves already: as floats and halved again they must be what they were. */
TEST(weights_stored_as_halves_round_to_the_nearest_and_read_back)
{
    cot_error err = COT_ERROR_INIT;
    REQUIRE_OK(open_device(COT_GEMM_TILE, &err));
    for (size_t i = 0; i < 2; i++) {
        scene s, whole;
        REQUIRE(scene_init(&s, encoders[i]) && change_encoder(&s, widen, ""));
        REQUIRE_OK(import(&s, true, &err));
        CHECK_NEAR(worst_error(&s, encoders[i]), 0, 2e-3); /* the heads are rounded, 5e-4 each */
        whole = s;
        snprintf(whole.out, sizeof whole.out, "%s/whole", s.folder);
        REQUIRE_OK(import(&whole, false, &err));
        CHECK_NEAR(worst_error(&whole, encoders[i]), 0, logit_bound);
        CHECK(file_bytes(&s) > 0 && (double)file_bytes(&s) < (i ? 0.8 : 0.65) * (double)file_bytes(&whole));
        remove_folder(s.folder);
    }
}

TEST(a_weight_that_half_precision_does_not_reach_is_named)
{
    scene s;
    cot_error err = COT_ERROR_INIT;
    REQUIRE(scene_init(&s, "resnet18") && change_encoder(&s, widen, "layer1.0.conv2.weight"));
    CHECK_FAILS(import(&s, true, &err), COT_E_MODEL, "cnn.layer1.0.conv2.weight holds 70000");
    remove_folder(s.folder);
}

CHECK_MAIN
