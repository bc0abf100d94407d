/* links: engine config
 * Published checkpoints: teacher, student, CLIP under OpenAI's names in half precision and BERT under text_encoder., in one
 * file or in two, become a package that reads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package.h"
#include "engine/prompts.h"
#include "tests/encoder_world.h"
#include "tests/tensor_files.h"
#include "tests/tiny_model.h"

#include <errno.h>
#include <sys/stat.h>

static struct {
    char folder[64];
    cot_device *device;
    safetensors *text_encoder;
} world;

static bool world_ready(void)
{
    cot_error err = COT_ERROR_INIT;
    if (world.device) return true;
    return make_folder(world.folder) &&
           safetensors_open(&world.text_encoder, TRANSFORMERS "bert/model.safetensors", &err) == COT_OK &&
           open_device(&world.device, &err) == COT_OK;
}

enum { WIDE = 64, PATCH = 6, PUBLISHED_SIDE = 24, FEATURES = 20, NODE = 24 };

/* CLIP's tower under OpenAI's names, one head of 64, in half precision. */
static void add_openai(tensor_list *list, unsigned *seed)
{
    static const tensor_spec parts[] = {
        {"visual.class_embedding", 1, {WIDE}},
        {"visual.positional_embedding", 2, {17, WIDE}},
        {"visual.proj", 2, {WIDE, FEATURES}},
        {"visual.conv1.weight", 4, {WIDE, 3, PATCH, PATCH}},
        {"visual.ln_pre.weight", 1, {WIDE}},
        {"visual.ln_pre.bias", 1, {WIDE}},
        {"visual.ln_post.weight", 1, {WIDE}},
        {"visual.ln_post.bias", 1, {WIDE}},
        {"visual.transformer.resblocks.0.attn.in_proj_weight", 2, {3 * WIDE, WIDE}},
        {"visual.transformer.resblocks.0.attn.in_proj_bias", 1, {3 * WIDE}},
        {"visual.transformer.resblocks.0.attn.out_proj.weight", 2, {WIDE, WIDE}},
        {"visual.transformer.resblocks.0.attn.out_proj.bias", 1, {WIDE}},
        {"visual.transformer.resblocks.0.ln_1.weight", 1, {WIDE}},
        {"visual.transformer.resblocks.0.ln_1.bias", 1, {WIDE}},
        {"visual.transformer.resblocks.0.ln_2.weight", 1, {WIDE}},
        {"visual.transformer.resblocks.0.ln_2.bias", 1, {WIDE}},
        {"visual.transformer.resblocks.0.mlp.c_fc.weight", 2, {32, WIDE}},
        {"visual.transformer.resblocks.0.mlp.c_fc.bias", 1, {32}},
        {"visual.transformer.resblocks.0.mlp.c_proj.weight", 2, {WIDE, 32}},
        {"visual.transformer.resblocks.0.mlp.c_proj.bias", 1, {WIDE}},
        {"transformer.resblocks.0.ln_1.weight", 1, {4}}, /* of the text tower: known, not needed */
        {"logit_scale", 1, {1}},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) add_random(list, "clip_model.", &parts[i], true, seed);
}

/* Teacher, student, CLIP and BERT in one list; the first two as their code names them. */
static void make_published(tensor_list *list, bool with_teacher, bool with_student)
{
    cot_error err = COT_ERROR_INIT;
    size_t classes[] = {2, 3, 5}, n = 0;
    unsigned seed = 11;
    const architecture arch = {.encoder = ENCODER_CLIP,
                               .clip = {PUBLISHED_SIDE, PATCH, WIDE, 1, 1, 32, FEATURES},
                               .dim = 12,
                               .teacher = {NODE, 3, 1},
                               .n_steps = 3,
                               .classes = classes};
    tensor_spec *table = NULL;
    REQUIRE_OK(architecture_tensors(&table, &n, &arch, &err));
    for (size_t i = 0; i < n; i++) {
        const char *dot = strchr(table[i].name, '.');
        const bool of_teacher = !strncmp(table[i].name, TEACHER_PREFIX, strlen(TEACHER_PREFIX));
        const bool of_student = !strncmp(table[i].name, STUDENT_PREFIX, strlen(STUDENT_PREFIX));
        tensor_spec spec = table[i];
        if (!(of_teacher && with_teacher) && !(of_student && with_student)) continue;
        memmove(spec.name, spec.name + (dot + 1 - table[i].name), strlen(dot + 1) + 1);
        add_random(list, "", &spec, false, &seed);
    }
    seed = 17;
    add_openai(list, &seed);
    if (with_teacher) add_file(list, "text_encoder.", world.text_encoder);
    free(table);
}

static cot_status import_published(const char *source, const char *out, const char *teacher_file,
                                   const char *text_folder, cot_error *err)
{
    const cot_import_options options = {
        .source = source, .out = out, .teacher = teacher_file, .bert = text_folder, .device = world.device};
    return cot_package_import(&options, tiny_steps(), err);
}

/* The prompts of a package are what the BERT makes of the questions, and its teacher reads. */
static void check_published(const char *path)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_model *model = NULL;
    cot_chain *chain = NULL;
    float *want = NULL, got[3 * NODE] = {0}, grey[PUBLISHED_SIDE * PUBLISHED_SIDE];
    size_t width = 0;
    unsigned seed = 23;
    REQUIRE_OK(cot_package_open(&package, path, tiny_steps(), &err));
    REQUIRE_OK(prompts_encode(&want, &width, world.device, TRANSFORMERS "bert", tiny_steps(), &err));
    const weight_source source = package_source(package, "");
    const tensor *stored = source_find(&source, "prompts");
    REQUIRE(stored && stored->count == 3 * NODE && width == NODE);
    tensor_floats(got, stored);
    CHECK_NEAR(relative_error(got, want, 3 * NODE), 0, 1e-6);
    CHECK_HAS(cot_package_reader_of(package, COT_READ_TEACHER)->training,
              "Prompts: the steps' questions, read by BERT");
    for (size_t i = 0; i < PUBLISHED_SIDE * PUBLISHED_SIDE; i++) grey[i] = 0.5f + number(&seed) / 2;
    const cot_picture picture = {grey, PUBLISHED_SIDE, PUBLISHED_SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_create_for(&model, world.device, package, tiny_steps(), COT_READ_BOTH, 1, &err));
    CHECK_OK(cot_model_read(model, &chain, &picture, 1, &err));
    CHECK(chain && chain->answers[2].available && chain->answers[2].other.available);
    cot_chain_destroy(chain);
    cot_model_destroy(model);
    cot_package_close(package);
    free(want);
}

static cot_status write_source(const char *folder, const tensor_list *list, cot_error *err)
{
    cot_status status;
    if (mkdir(folder, 0700) && errno != EEXIST) return cot_fail(err, COT_E_IO, "mkdir %s", folder);
    COT_TRY(write_list(folder, "weights.safetensors", list, err));
    COT_TRY(write_text(folder, "summary.json", "{\"supervised_steps\": [1, 2, 3]}", err));
done:
    return status;
}

TEST(one_published_checkpoint_gives_encoder_student_teacher_and_prompts)
{
    cot_error err = COT_ERROR_INIT;
    static tensor_list list;
    char source[128], out[128];
    REQUIRE(world_ready());
    snprintf(source, sizeof source, "%s/published", world.folder);
    snprintf(out, sizeof out, "%s/published-package", world.folder);
    make_published(&list, true, true);
    REQUIRE_OK(write_source(source, &list, &err));
    CHECK_FAILS(import_published(source, out, NULL, NULL, &err), COT_E_MODEL,
                "name the folder of that BERT's vocab.txt");
    CHECK_OK(import_published(source, out, NULL, TRANSFORMERS "bert", &err));
    check_published(out);
    char *card = card_of(out);
    CHECK_HAS(card, "\"text_encoder.pooler.dense.bias\""); /* among what was left out */
    CHECK_HAS(card, "(in the teacher's file)");
    free(card);
    add(&list, "", "step_models.3.classifier.bias", &list.tensors[0]);
    REQUIRE_OK(write_source(source, &list, &err));
    snprintf(out, sizeof out, "%s/none", world.folder);
    CHECK_FAILS(import_published(source, out, NULL, TRANSFORMERS "bert", &err), COT_E_MODEL,
                "step_models.3.classifier.bias");
    list_fini(&list);
}

TEST(two_published_checkpoints_must_share_their_encoder)
{
    cot_error err = COT_ERROR_INIT;
    static tensor_list list;
    char source[128], out[128], second[160];
    REQUIRE(world_ready());
    snprintf(source, sizeof source, "%s/two", world.folder);
    snprintf(out, sizeof out, "%s/two-package", world.folder);
    snprintf(second, sizeof second, "%s/teacher.safetensors", source);
    make_published(&list, false, true);
    REQUIRE_OK(write_source(source, &list, &err));
    list_fini(&list);
    make_published(&list, true, false);
    REQUIRE_OK(write_list(source, "teacher.safetensors", &list, &err));
    CHECK_OK(import_published(source, out, second, TRANSFORMERS "bert", &err));
    check_published(out);
    for (size_t i = 0; i < list.n; i++)
        if (strstr(list.names[i], "visual.proj")) ((unsigned char *)list.owned[i])[1] ^= 0x80; /* a sign */
    REQUIRE_OK(write_list(source, "teacher.safetensors", &list, &err));
    snprintf(out, sizeof out, "%s/none", world.folder);
    CHECK_FAILS(import_published(source, out, second, TRANSFORMERS "bert", &err), COT_E_MODEL,
                "its image encoder is not that of the package (tensor clip.visual_projection.weight differs)");
    list_fini(&list);
}

/* Last: the world ends. */
TEST(the_world_is_taken_down)
{
    REQUIRE(world_ready());
    safetensors_close(world.text_encoder);
    cot_device_close(world.device);
    remove_folder(world.folder);
}

CHECK_MAIN
