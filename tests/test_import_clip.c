/* links: engine config
 * Packages whose encoder is CLIP: from a checkpoint folder of the transformers library and from one file under OpenAI's
 * names; the model that comes out answers as its parts do.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/checkpoint.h"
#include "engine/engine.h"
#include "tests/encoder_world.h"
#include "tests/tiny_model.h"

#include <unistd.h>

enum { FEATURES = 20, DIM = 12, STEPS = 3, LOGITS = 10, SIDE = 24, IMAGES = 3, MOST = 256 };
static const size_t classes[STEPS] = {2, 3, 5};
static const char summary[] =
    "{\"supervised_steps\": [1, 2, 3], \"split\": \"none: random weights\", \"optimiser\": \"none\"}";

/* A student of small random weights, the same every time. */
typedef struct head {
    float proj_w[DIM * FEATURES], proj_b[DIM], norm_w[DIM], norm_b[DIM];
    float w[STEPS][5 * DIM], b[STEPS][5];
} head;

static void fill(float *to, size_t n, unsigned *seed, float base)
{
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        to[i] = base + (float)(*seed >> 8) * 0x1p-24f - 0.5f;
    }
}

static void make_head(head *h)
{
    unsigned seed = 5;
    fill(h->proj_w, DIM * FEATURES, &seed, 0);
    fill(h->proj_b, DIM, &seed, 0);
    fill(h->norm_w, DIM, &seed, 1);
    fill(h->norm_b, DIM, &seed, 0);
    for (size_t s = 0; s < STEPS; s++) {
        fill(h->w[s], classes[s] * DIM, &seed, 0);
        fill(h->b[s], classes[s], &seed, 0);
    }
}

/* student.c again, in double precision on the host. */
static void head_forward(float *logits, const head *h, const float *feature)
{
    double f[DIM], mean = 0, var = 0;
    for (size_t d = 0; d < DIM; d++) {
        f[d] = (double)h->proj_b[d];
        for (size_t i = 0; i < FEATURES; i++) f[d] += (double)h->proj_w[d * FEATURES + i] * (double)feature[i];
        mean += f[d] / DIM;
    }
    for (size_t d = 0; d < DIM; d++) var += (f[d] - mean) * (f[d] - mean) / DIM;
    for (size_t d = 0; d < DIM; d++)
        f[d] = fmax(0, (f[d] - mean) / sqrt(var + 1e-5) * (double)h->norm_w[d] + (double)h->norm_b[d]);
    for (size_t s = 0; s < STEPS; logits += classes[s++]) {
        double l[5], written;
        for (size_t c = 0; c < classes[s]; c++) {
            l[c] = (double)h->b[s][c];
            for (size_t d = 0; d < DIM; d++) l[c] += (double)h->w[s][c * DIM + d] * f[d];
            logits[c] = (float)l[c];
        }
        for (size_t d = 0; d < DIM; d++) {
            written = 0;
            for (size_t c = 0; c < classes[s]; c++) written += l[c] * (double)h->w[s][c * DIM + d];
            f[d] += tanh(written);
        }
    }
}

/* ---- sources ---- */
typedef struct source_folder {
    char folder[64], out[128];
    tensor tensors[MOST];
    char names[MOST][96];
    size_t n;
    head head;
} source_folder;

static void add(source_folder *s, const char *prefix, const char *name, const float *data, size_t rows, size_t cols)
{
    tensor *t = &s->tensors[s->n];
    snprintf(s->names[s->n], sizeof s->names[0], "%s%s", prefix, name);
    *t = (tensor){.name = s->names[s->n++], .type = TENSOR_F32, .rank = cols ? 2 : 1, .shape = {rows, cols}};
    t->count = rows * (cols ? cols : 1);
    t->bytes = t->count * sizeof(float);
    t->data = (const unsigned char *)data;
}

static void add_head(source_folder *s, const char *prefix)
{
    char name[40];
    make_head(&s->head);
    add(s, prefix, "img_proj.0.weight", s->head.proj_w, DIM, FEATURES);
    add(s, prefix, "img_proj.0.bias", s->head.proj_b, DIM, 0);
    add(s, prefix, "img_proj.1.weight", s->head.norm_w, DIM, 0);
    add(s, prefix, "img_proj.1.bias", s->head.norm_b, DIM, 0);
    for (size_t i = 0; i < STEPS; i++) {
        snprintf(name, sizeof name, "step_heads.%zu.weight", i);
        add(s, prefix, name, s->head.w[i], classes[i], DIM);
        snprintf(name, sizeof name, "step_heads.%zu.bias", i);
        add(s, prefix, name, s->head.b[i], classes[i], 0);
    }
}

static cot_status write_source(source_folder *s, cot_error *err)
{
    cot_status status;
    char path[128];
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (!s->folder[0] && !make_folder(s->folder)) return cot_fail(err, COT_E_IO, "mkdtemp");
    snprintf(s->out, sizeof s->out, "%s/package", s->folder);
    COT_TRY(safetensors_build(&bytes, &size, s->tensors, s->n, err));
    snprintf(path, sizeof path, "%s/weights.safetensors", s->folder);
    COT_TRY(cot_file_write_durable(path, bytes, size, err));
    snprintf(path, sizeof path, "%s/summary.json", s->folder);
    COT_TRY(cot_file_write_durable(path, summary, strlen(summary), err));
done:
    free(bytes);
    return status;
}

static cot_status import(source_folder *s, const char *clip, cot_error *err)
{
    const cot_import_options options = {.source = s->folder, .out = s->out, .clip = clip};
    cot_status status;
    COT_TRY(write_source(s, err));
    COT_TRY(cot_package_import(&options, tiny_steps(), err));
done:
    return status;
}

/* Logits of the package for the golden grey images; got [IMAGES,LOGITS]. */
static cot_status answer(const source_folder *s, float *got, const float *grey, cot_error *err)
{
    cot_status status;
    cot_device *device = NULL;
    cot_package *package = NULL;
    cot_model *model = NULL;
    COT_TRY(open_device(&device, err));
    COT_TRY(cot_package_open(&package, s->out, tiny_steps(), err));
    COT_TRY(cot_model_create(&model, device, package, tiny_steps(), IMAGES, err));
    CHECK_NUMBER(cot_model_input_size(model), SIDE);
    CHECK_NUMBER(cot_model_logit_count(model), LOGITS);
    COT_TRY(cot_model_logits(model, got, grey, IMAGES, err));
done:
    cot_model_destroy(model);
    cot_package_close(package);
    cot_device_close(device);
    return status;
}

/* What `features` of the golden file and the head give, against the package. */
static void check_answers(const source_folder *s, double bound)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *golden = NULL;
    size_t pixels = 0, floats = 0;
    float got[IMAGES * LOGITS] = {0}, want[IMAGES * LOGITS];
    REQUIRE_OK(safetensors_open(&golden, TRANSFORMERS "expected.safetensors", &err));
    float *grey = floats_of(golden, "grey", &pixels), *features = floats_of(golden, "clip_grey", &floats);
    safetensors_close(golden);
    REQUIRE(grey && features && pixels == IMAGES * SIDE * SIDE && floats == IMAGES * FEATURES);
    for (size_t i = 0; i < IMAGES; i++) head_forward(want + i * LOGITS, &s->head, features + i * FEATURES);
    CHECK_OK(answer(s, got, grey, &err));
    CHECK_NEAR(relative_error(got, want, IMAGES * LOGITS), 0, bound);
    free(grey);
    free(features);
}

static char *read_card(const source_folder *s)
{
    cot_error err = COT_ERROR_INIT;
    char path[160], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/model.json", s->out);
    return cot_file_read(&text, &size, path, 1 << 20, &err) == COT_OK ? text : NULL;
}

TEST(import_joins_a_clip_checkpoint_and_a_student)
{
    cot_error err = COT_ERROR_INIT;
    static source_folder s;
    add_head(&s, "student.");
    CHECK_OK(import(&s, TRANSFORMERS "clip", &err));
    check_answers(&s, 1e-4);
    char *card = read_card(&s);
    CHECK_HAS(card, "\"clip-student\"");
    CHECK_HAS(card, "0.4814546");
    free(card);
    remove_folder(s.folder);
}

TEST(import_refuses_weights_that_are_no_numbers)
{
    cot_error err = COT_ERROR_INIT;
    static source_folder s;
    add_head(&s, "student.");
    s.head.proj_w[DIM * FEATURES - 1] = INFINITY;
    CHECK_FAILS(import(&s, TRANSFORMERS "clip", &err), COT_E_MODEL, "img_proj.0.weight holds a value that is not");
    CHECK(access(s.out, F_OK) != 0);
    remove_folder(s.folder);
}

/* ---- OpenAI's names ---- */
enum { WIDE = 64, BLOCKS = 2, PATCH = 6, WIDE_FLOATS = 1 << 18 };

static void add_random(source_folder *s, float **at, unsigned *seed, const char *name, size_t rows, size_t cols)
{
    const size_t n = rows * (cols ? cols : 1);
    fill(*at, n, seed, 0);
    for (size_t i = 0; i < n; i++) (*at)[i] *= 0.25f;
    add(s, "clip_model.", name, *at, rows, cols);
    *at += n;
}

/* A tower as OpenAI's code names it, one head of 64; caller frees the weights. */
static float *add_openai(source_folder *s)
{
    static const struct {
        const char *name;
        size_t rows, cols;
    } parts[] = {{"attn.in_proj_weight", 3 * WIDE, WIDE},
                 {"attn.in_proj_bias", 3 * WIDE, 0},
                 {"attn.out_proj.weight", WIDE, WIDE},
                 {"attn.out_proj.bias", WIDE, 0},
                 {"ln_1.weight", WIDE, 0},
                 {"ln_1.bias", WIDE, 0},
                 {"ln_2.weight", WIDE, 0},
                 {"ln_2.bias", WIDE, 0},
                 {"mlp.c_fc.weight", 32, WIDE},
                 {"mlp.c_fc.bias", 32, 0},
                 {"mlp.c_proj.weight", WIDE, 32},
                 {"mlp.c_proj.bias", WIDE, 0}};
    static const char *const norms[] = {"ln_pre.weight", "ln_pre.bias", "ln_post.weight", "ln_post.bias"};
    float *all = calloc(WIDE_FLOATS, sizeof *all), *at = all;
    unsigned seed = 9;
    char name[64];
    if (!all) return NULL;
    add_random(s, &at, &seed, "visual.class_embedding", WIDE, 0);
    add_random(s, &at, &seed, "visual.positional_embedding", 17, WIDE);
    add_random(s, &at, &seed, "visual.proj", WIDE, FEATURES);
    add_random(s, &at, &seed, "visual.conv1.weight", WIDE, 3 * PATCH * PATCH);
    s->tensors[s->n - 1].rank = 4;
    memcpy(s->tensors[s->n - 1].shape, (const size_t[]){WIDE, 3, PATCH, PATCH}, 4 * sizeof(size_t));
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "visual.%s", norms[i]);
        add_random(s, &at, &seed, name, WIDE, 0);
    }
    for (size_t k = 0; k < BLOCKS; k++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            snprintf(name, sizeof name, "visual.transformer.resblocks.%zu.%s", k, parts[i].name);
            add_random(s, &at, &seed, name, parts[i].rows, parts[i].cols);
        }
    add_random(s, &at, &seed, "ln_final.weight", 4, 0); /* the text tower's */
    add(s, "other.", "head.bias", all, 4, 0);
    return all;
}

/* Fused in_proj, transposed projection, no prefix before the student: as a training run publishes it. */
TEST(import_takes_clip_under_openai_names_from_the_students_file)
{
    cot_error err = COT_ERROR_INIT;
    static source_folder s;
    float got[IMAGES * LOGITS], grey[IMAGES * SIDE * SIDE];
    unsigned seed = 1;
    add_head(&s, "");
    float *tower = add_openai(&s);
    REQUIRE(tower);
    CHECK_OK(import(&s, NULL, &err));
    char *card = read_card(&s);
    CHECK_HAS(card, "\"clip-student\"");
    CHECK_HAS(card, "\"left_out\":\t[\"clip_model.ln_final.weight\", \"other.head.bias\"]");
    fill(grey, IMAGES * SIDE * SIDE, &seed, 0.5f);
    CHECK_OK(answer(&s, got, grey, &err));
    add(&s, "clip_model.", "visual.adapter", tower, 4, 0);
    CHECK_FAILS(import(&s, NULL, &err), COT_E_MODEL, "clip_model.visual.adapter");
    free(card);
    free(tower);
    remove_folder(s.folder);
}

TEST(import_refuses_a_source_without_an_encoder)
{
    cot_error err = COT_ERROR_INIT;
    static source_folder s;
    add_head(&s, "student.");
    CHECK_FAILS(import(&s, NULL, &err), COT_E_MODEL, "cnn.conv1.weight is missing");
    CHECK_FAILS(import(&s, "/nonexistent", &err), COT_E_MODEL, "config.json");
    s.tensors[0].shape[1] = 10; /* a student for features of another size */
    s.tensors[0].shape[0] = DIM * 2;
    CHECK_FAILS(import(&s, TRANSFORMERS "clip", &err), COT_E_MODEL, "student.img_proj.0.weight has shape [24,10]");
    remove_folder(s.folder);
}

/* ---- checkpoint folders ---- */
static cot_status write_text(const char *folder, const char *name, const char *text, cot_error *err)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return cot_file_write_durable(path, text, strlen(text), err);
}

static bool copy_weights(const char *folder, const char *from)
{
    cot_error err = COT_ERROR_INIT;
    char path[160], *bytes = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    const bool done = cot_file_read(&bytes, &size, from, 1 << 20, &err) == COT_OK &&
                      cot_file_write_durable(path, bytes, size, &err) == COT_OK;
    free(bytes);
    return done;
}

TEST(checkpoint_of_clip_must_agree_with_its_config)
{
    static const struct {
        const char *config, *error;
    } cases[] = {
        {"{\"vision_config\": {\"num_attention_heads\": 3, \"hidden_act\": \"gelu\"}}", "hidden_act"},
        {"{\"vision_config\": {\"num_attention_heads\": 3, \"patch_size\": 8}}", "\"patch_size\" is 8, must be 6"},
        {"{\"vision_config\": {\"num_attention_heads\": 3, \"num_hidden_layers\": 4}}", "num_hidden_layers"},
        {"{\"vision_config\": {\"num_attention_heads\": 3, \"layer_norm_eps\": 1e-6}}", "layer_norm_eps"},
        {"{\"vision_config\": {\"num_attention_heads\": 5}}", "5 attention heads"},
        {"{\"vision_config\": {\"num_attention_heads\": -1}}", "num_attention_heads"},
        {"{\"model_type\": \"siglip\"}", "clip_vision_model"},
        {"{\"model_type\": \"siglip\", \"vision_config\": {\"num_attention_heads\": 3}}", "only \"clip\" is computed"},
        {"{\"model_type\": \"clip\", \"vision_config\": 3}", "\"vision_config\" must be an object"},
        {"[1]", "not a JSON object"},
    };
    cot_error err = COT_ERROR_INIT;
    clip_checkpoint c;
    char folder[64];
    REQUIRE(make_folder(folder) && copy_weights(folder, TRANSFORMERS "clip/model.safetensors"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(write_text(folder, "config.json", cases[i].config, &err));
        CHECK_FAILS(clip_checkpoint_open(&c, folder, &err), COT_E_MODEL, cases[i].error);
    }
    CHECK_OK(write_text(folder, "config.json", "{\"vision_config\": {\"num_attention_heads\": 3}}", &err));
    CHECK_OK(write_text(folder, "preprocessor_config.json",
                        "{\"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5]}", &err));
    CHECK_FAILS(clip_checkpoint_open(&c, folder, &err), COT_E_MODEL, "image_std");
    CHECK_OK(write_text(folder, "preprocessor_config.json",
                        "{\"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.25]}", &err));
    CHECK_OK(clip_checkpoint_open(&c, folder, &err));
    CHECK_NEAR(c.normalisation.std[2], 0.25, 0);
    clip_checkpoint_close(&c);
    remove_folder(folder);
}

TEST(checkpoint_of_bert_needs_its_vocabulary)
{
    cot_error err = COT_ERROR_INIT;
    bert_checkpoint c;
    char folder[64];
    REQUIRE(make_folder(folder) && copy_weights(folder, TRANSFORMERS "bert/model.safetensors"));
    CHECK(bert_checkpoint_open(&c, folder, &err) != COT_OK);
    CHECK_HAS(err.text, "vocab.txt");
    CHECK_OK(write_text(folder, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n", &err));
    CHECK_OK(write_text(folder, "config.json", "{\"num_attention_heads\": 3, \"hidden_act\": \"gelu_new\"}", &err));
    CHECK_FAILS(bert_checkpoint_open(&c, folder, &err), COT_E_MODEL, "hidden_act");
    CHECK_OK(write_text(folder, "config.json", "{\"num_attention_heads\": 3, \"model_type\": \"bert\"}", &err));
    CHECK_OK(bert_checkpoint_open(&c, folder, &err));
    CHECK_NUMBER(c.shape.heads, 3);
    CHECK_NUMBER(wordpiece_count(c.vocabulary), 4);
    bert_checkpoint_close(&c);
    remove_folder(folder);
}

CHECK_MAIN
