/* links: engine config
 * Checkpoints under every name they come with are found, measured and renamed; one that lacks a tensor, has one too many or
 * a misshapen one is refused by that tensor's name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/naming.h"
#include "tests/encoder_world.h"

enum { MOST = 256 };

/* A checkpoint on which a test may operate before it is read. */
typedef struct checkpoint {
    safetensors *from, *file;
    tensor tensors[MOST];
    size_t n;
    char (*names)[TENSOR_NAME_MAX];
    unsigned char *bytes;
    naming_claim claims[MOST];
    named_tensors list;
    clip_shape clip;
    bert_shape bert;
} checkpoint;

static bool open_checkpoint(checkpoint *c, const char *path)
{
    cot_error err = COT_ERROR_INIT;
    memset(c, 0, sizeof *c);
    c->names = calloc(MOST, sizeof *c->names);
    if (!c->names || safetensors_open(&c->from, path, &err) != COT_OK || safetensors_count(c->from) >= MOST)
        return false;
    for (c->n = 0; c->n < safetensors_count(c->from); c->n++) c->tensors[c->n] = *safetensors_at(c->from, c->n);
    return true;
}

static void close_checkpoint(checkpoint *c)
{
    named_tensors_fini(&c->list);
    safetensors_close(c->file);
    safetensors_close(c->from);
    free(c->names);
    free(c->bytes);
}

static tensor *named(checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->tensors[i].name, name)) return &c->tensors[i];
    return NULL;
}

static void drop(checkpoint *c, const char *name)
{
    tensor *t = named(c, name);
    if (t) *t = c->tensors[--c->n];
}

/* Every name gets `prefix`, and `from` in it becomes `to`. */
static void rename_all(checkpoint *c, const char *prefix, const char *from, const char *to)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *old = c->tensors[i].name, *at = strstr(old, from);
        if (at)
            snprintf(c->names[i], TENSOR_NAME_MAX, "%s%.*s%s%s", prefix, (int)(at - old), old, to, at + strlen(from));
        else
            snprintf(c->names[i], TENSOR_NAME_MAX, "%s%s", prefix, old);
        c->tensors[i].name = c->names[i];
    }
}

static cot_status write_again(checkpoint *c, cot_error *err)
{
    cot_status status;
    size_t size = 0;
    named_tensors_fini(&c->list);
    safetensors_close(c->file);
    free(c->bytes);
    c->file = NULL;
    c->bytes = NULL;
    memset(c->claims, 0, sizeof c->claims);
    COT_TRY(safetensors_build(&c->bytes, &size, c->tensors, c->n, err));
    COT_TRY(safetensors_parse(&c->file, (cot_blob){c->bytes, size}, "checkpoint", err));
done:
    return status;
}

static cot_status take_clip(checkpoint *c, size_t heads, cot_error *err)
{
    cot_status status;
    COT_TRY(write_again(c, err));
    COT_TRY(naming_clip(&c->list, &c->clip, c->claims, c->file, "checkpoint", "clip.", heads, err));
    COT_TRY(naming_finish(c->claims, c->file, "checkpoint", err));
done:
    return status;
}

static cot_status take_bert(checkpoint *c, size_t heads, cot_error *err)
{
    cot_status status;
    COT_TRY(write_again(c, err));
    COT_TRY(naming_bert(&c->list, &c->bert, c->claims, c->file, "checkpoint", "", heads, err));
    COT_TRY(naming_finish(c->claims, c->file, "checkpoint", err));
done:
    return status;
}

static void check_clip_sizes(const checkpoint *c)
{
    CHECK_NUMBER(c->clip.resolution, 24);
    CHECK_NUMBER(c->clip.patch, 6);
    CHECK_NUMBER(c->clip.width, 24);
    CHECK_NUMBER(c->clip.layers, 3);
    CHECK_NUMBER(c->clip.heads, 3);
    CHECK_NUMBER(c->clip.inner, 40);
    CHECK_NUMBER(c->clip.features, 20);
    CHECK_NUMBER(c->list.n, 8 + 3 * 16);
}

/* ---- what is taken ---- */
TEST(naming_takes_a_transformers_clip_and_leaves_its_text_tower)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "clip/model.safetensors"));
    CHECK_OK(take_clip(&c, 3, &err));
    check_clip_sizes(&c);
    rename_all(&c, "model.deeper.", "#", "#"); /* behind any prefix */
    CHECK_OK(take_clip(&c, 3, &err));
    check_clip_sizes(&c);
    close_checkpoint(&c);
}

TEST(naming_lists_for_packages_just_the_tensors_that_it_takes)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    tensor_spec spec;
    size_t n = 0;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "openai.safetensors"));
    REQUIRE_OK(take_clip(&c, 3, &err));
    check_clip_sizes(&c);
    for (; clip_tensor(&spec, &c.clip, "clip.", n); n++) {
        const tensor *found = NULL;
        for (size_t i = 0; i < c.list.n; i++)
            if (!strcmp(c.list.tensors[i].name, spec.name)) found = &c.list.tensors[i];
        REQUIRE(found);
        CHECK_NUMBER(found->rank, spec.rank);
        CHECK(!memcmp(found->shape, spec.shape, spec.rank * sizeof *spec.shape));
    }
    CHECK_NUMBER(n, c.list.n);
    close_checkpoint(&c);
}

TEST(naming_takes_bert_bare_prefixed_and_with_its_old_names)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "bert/model.safetensors"));
    CHECK_OK(take_bert(&c, 3, &err));
    CHECK_NUMBER(c.bert.vocab, 50);
    CHECK_NUMBER(c.bert.positions, 16);
    CHECK_NUMBER(c.bert.types, 2);
    CHECK_NUMBER(c.bert.width, 24);
    CHECK_NUMBER(c.bert.layers, 3);
    CHECK_NUMBER(c.bert.inner, 40);
    CHECK_NUMBER(c.list.n, 5 + 3 * 16);
    rename_all(&c, "text_encoder.", "LayerNorm.weight", "LayerNorm.gamma");
    CHECK_FAILS(take_bert(&c, 3, &err), COT_E_MODEL, "LayerNorm.beta"); /* half of the old names is no checkpoint */
    for (size_t i = 0; i < c.n; i++) {
        char *bias = strstr(c.names[i], "LayerNorm.bias");
        if (bias) memcpy(bias, "LayerNorm.beta", sizeof "LayerNorm.beta");
    }
    CHECK_OK(take_bert(&c, 3, &err));
    CHECK_NUMBER(c.list.n, 5 + 3 * 16);
    CHECK_TEXT(c.list.tensors[3].name, "embeddings.LayerNorm.weight");
    close_checkpoint(&c);
}

/* A published checkpoint carries all models in one file. */
TEST(naming_finds_each_model_in_a_file_with_others)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c, bert;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "openai.safetensors"));
    REQUIRE(open_checkpoint(&bert, TRANSFORMERS "bert/model.safetensors"));
    rename_all(&bert, "text_encoder.", "#", "#");
    REQUIRE(c.n + bert.n < MOST);
    for (size_t i = 0; i < bert.n; i++) c.tensors[c.n++] = bert.tensors[i];
    REQUIRE_OK(write_again(&c, &err));
    CHECK_OK(naming_clip(&c.list, &c.clip, c.claims, c.file, "checkpoint", "clip.", 3, &err));
    check_clip_sizes(&c);
    CHECK_FAILS(naming_finish(c.claims, c.file, "checkpoint", &err), COT_E_MODEL, "text_encoder.");
    CHECK_OK(naming_bert(&bert.list, &c.bert, c.claims, c.file, "checkpoint", "", 3, &err));
    CHECK_OK(naming_finish(c.claims, c.file, "checkpoint", &err));
    close_checkpoint(&c);
    close_checkpoint(&bert);
}

/* ---- what is refused ---- */
static void check_missing(const char *path, const char *name, bool clip)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    REQUIRE(open_checkpoint(&c, path));
    CHECK(named(&c, name));
    drop(&c, name);
    CHECK_FAILS(clip ? take_clip(&c, 3, &err) : take_bert(&c, 3, &err), COT_E_MODEL, name);
    CHECK_HAS(err.text, "missing");
    close_checkpoint(&c);
}

TEST(naming_refuses_a_missing_tensor_by_name)
{
    check_missing(TRANSFORMERS "clip/model.safetensors", "vision_model.encoder.layers.2.mlp.fc2.bias", true);
    check_missing(TRANSFORMERS "clip/model.safetensors", "visual_projection.weight", true);
    check_missing(TRANSFORMERS "clip/model.safetensors", "vision_model.embeddings.class_embedding", true);
    check_missing(TRANSFORMERS "openai.safetensors", "clip_model.visual.proj", true);
    check_missing(TRANSFORMERS "openai.safetensors", "clip_model.visual.transformer.resblocks.1.attn.in_proj_bias",
                  true);
    check_missing(TRANSFORMERS "bert/model.safetensors", "encoder.layer.0.attention.self.key.weight", false);
}

/* Every single tensor of both, dropped in turn: the error says which, or which one the file then ends with. */
TEST(naming_takes_no_checkpoint_that_lacks_any_tensor)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint whole, c;
    REQUIRE(open_checkpoint(&whole, TRANSFORMERS "openai.safetensors"));
    for (size_t i = 0; i < whole.n; i++) {
        const char *name = whole.tensors[i].name;
        if (!strstr(name, "visual.")) continue;
        REQUIRE(open_checkpoint(&c, TRANSFORMERS "openai.safetensors"));
        drop(&c, name);
        CHECK(take_clip(&c, 3, &err) == COT_E_MODEL);
        close_checkpoint(&c);
    }
    close_checkpoint(&whole);
}

TEST(naming_refuses_an_extra_tensor_by_name)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "openai.safetensors"));
    c.tensors[c.n] = c.tensors[0];
    c.tensors[c.n++].name =
        "clip_model.visual.transformer.resblocks.4.ln_1.weight"; /* behind a hole: there is no block 3 */
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "resblocks.4.ln_1.weight");
    c.tensors[c.n - 1].name = "clip_model.visual.adapter";
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "clip_model.visual.adapter");
    c.tensors[c.n - 1].name = "other.visual.class_embedding";
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "both");
    close_checkpoint(&c);
}

TEST(naming_refuses_a_misshapen_tensor_by_name)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "openai.safetensors"));
    tensor *t = named(&c, "clip_model.visual.transformer.resblocks.1.mlp.c_fc.weight");
    REQUIRE(t);
    t->shape[0] = 24;
    t->shape[1] = 40;
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "resblocks.1.mlp.c_fc.weight has shape [24,40]");
    t->shape[0] = 40;
    t->shape[1] = 24;
    CHECK_OK(take_clip(&c, 3, &err));
    t->rank = 3;
    t->shape[2] = 1;
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "resblocks.1.mlp.c_fc.weight has shape [40,24,1]");
    t->rank = 2;
    t = named(&c, "clip_model.visual.positional_embedding");
    REQUIRE(t);
    t->shape[0] = 24;
    t->shape[1] = 17;
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "positional_embedding has shape [24,17]");
    t->shape[0] = 16; /* no square behind the class token */
    t->shape[1] = 24;
    t->count = 16 * 24;
    t->bytes = 2 * t->count;
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "16 positions");
    close_checkpoint(&c);
}

TEST(naming_refuses_integers_and_heads_that_do_not_divide)
{
    cot_error err = COT_ERROR_INIT;
    checkpoint c;
    static const unsigned char zeros[8 * 24];
    REQUIRE(open_checkpoint(&c, TRANSFORMERS "clip/model.safetensors"));
    CHECK_FAILS(take_clip(&c, 5, &err), COT_E_MODEL, "5 attention heads");
    CHECK_FAILS(take_clip(&c, 0, &err), COT_E_MODEL, "0 attention heads"); /* width 24 has no head of 64 */
    tensor *t = named(&c, "vision_model.pre_layrnorm.bias");
    REQUIRE(t);
    t->type = TENSOR_I64;
    t->data = zeros;
    t->bytes = sizeof zeros;
    CHECK_FAILS(take_clip(&c, 3, &err), COT_E_MODEL, "vision_model.pre_layrnorm.bias has type I64");
    close_checkpoint(&c);
}

CHECK_MAIN
