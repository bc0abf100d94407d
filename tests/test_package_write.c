/* links: engine */
/* Packages made by training: opened by the same checks as any, replaced whole, half precision. Pictures in memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/package_write.h"
#include "engine/picture_set.h"
#include "tests/tiny_model.h"

#include <sys/stat.h>
#include <unistd.h>

static cot_error err;
static char folder[64], path[128];

/* A ResNet-18 of width 4 whose tensors all hold `value`. */
static cot_status write_package(float value, bool f16, const char *name)
{
    size_t classes[] = {2, 3, 5}, n = 0;
    const architecture arch = {.encoder = ENCODER_RESNET18, .width = 4, .dim = 8, .n_steps = 3, .classes = classes};
    const bool supervised[] = {true, false, true};
    const package_words words = {name, "1", "not a medical device", "trained by a test", "made up"};
    cJSON *card = package_card_new(&words, &arch, 64, COT_FILTER_BICUBIC, 0.5, 0.25, tiny_steps());
    tensor_spec *table = NULL;
    tensor *tensors = NULL;
    static float values[1 << 16];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = value;
    cot_status status = architecture_tensors(&table, &n, &arch, &err);
    if (status == COT_OK) tensors = calloc(n, sizeof *tensors);
    for (size_t i = 0; tensors && i < n; i++) {
        tensor *t = &tensors[i];
        *t = (tensor){.name = table[i].name, .type = TENSOR_F32, .rank = table[i].rank, .count = 1};
        for (size_t d = 0; d < t->rank; d++) t->count *= t->shape[d] = table[i].shape[d];
        t->bytes = 4 * t->count;
        t->data = (const unsigned char *)values;
        if (t->count > sizeof values / sizeof *values) abort();
    }
    if (status == COT_OK && !package_card_supervised(card, "steps", supervised, tiny_steps())) status = COT_E_MEMORY;
    if (status == COT_OK) status = package_write(path, card, tensors, n, f16, &err);
    cJSON_Delete(card);
    free(tensors);
    free(table);
    return status;
}

TEST(a_written_package_opens_and_is_replaced_whole)
{
    cot_package *p = NULL;
    char part[160];
    REQUIRE(make_folder(folder));
    snprintf(path, sizeof path, "%s/model", folder);
    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(write_package(0.5f, round == 1, round ? "second" : "first"));
        REQUIRE_OK(cot_package_open(&p, path, tiny_steps(), &err));
        CHECK_TEXT(cot_package_reader(p)->name, round ? "second" : "first");
        const model_card *card = package_card(p);
        CHECK(card->supervised[0] && !card->supervised[1] && card->supervised[2] && card->size == 64);
        const weight_source source = package_source(p, "student.");
        const tensor *bias = source_find(&source, "step_heads.0.bias");
        CHECK(bias && bias->type == (round ? TENSOR_F16 : TENSOR_F32));
        cot_package_close(p);
    }
    snprintf(part, sizeof part, "%s.old", path);
    CHECK(access(part, F_OK) != 0);
    snprintf(part, sizeof part, "%s.part", path);
    CHECK(access(part, F_OK) != 0);
    CHECK_FAILS(write_package(1e6f, true, "third"), COT_E_MODEL, "half precision");
    CHECK(access(part, F_OK) != 0);
    REQUIRE_OK(cot_package_open(&p, path, tiny_steps(), &err)); /* the second is still there */
    CHECK_TEXT(cot_package_reader(p)->name, "second");
    cot_package_close(p);
    remove_folder(folder);
    CHECK_FAILS(write_package(0, false, "fourth"), COT_E_IO, "No such file");
}

/* What the reader of half precision makes of it. */
static float back(uint16_t half)
{
    float value = 0;
    const tensor t = {.name = "x", .type = TENSOR_F16, .count = 1, .bytes = 2, .data = (const unsigned char *)&half};
    CHECK(tensor_floats(&value, &t));
    return value;
}

TEST(every_half_comes_back_and_between_two_the_nearer_is_taken)
{
    for (uint32_t h = 0; h < 0x7c00u; h++) {
        const float v = back((uint16_t)h), next = h + 1 < 0x7c00u ? back((uint16_t)(h + 1)) : 65536.0f;
        if (half_of(v) != h || half_of(-v) != (h | 0x8000u)) CHECK(half_of(v) == h);
        const float middle = v + (next - v) / 2;
        if (half_of(middle) != h + (h & 1u)) CHECK_NUMBER(half_of(middle), h + (h & 1u));
        if (half_of(nextafterf(middle, v)) != h) CHECK_NUMBER(half_of(nextafterf(middle, v)), h);
        if (half_of(nextafterf(middle, next)) != h + 1) CHECK_NUMBER(half_of(nextafterf(middle, next)), h + 1);
    }
    CHECK(half_of(INFINITY) == 0x7c00 && half_of(65520.0f) == 0x7c00 && (half_of(NAN) & 0x7fff) > 0x7c00);
    CHECK(half_of(1e-30f) == 0 && half_of(-1e-30f) == 0x8000);
}

TEST(pictures_are_kept_to_a_255th_or_exactly)
{
    picture_set set;
    double mean, std;
    float in[4] = {0.1f, 0.5f, 1.2f, -0.3f}, out[4];
    static const float cut[4] = {0.1f, 0.5f, 1, 0};
    const size_t second = 1;
    REQUIRE_OK(picture_set_init(&set, 2, 2, false, &err));
    picture_set_put(&set, 1, in);
    picture_set_get(&set, 1, out);
    CHECK_FLOATS(out, cut, 4, 0.5 / 255 + 1e-6);
    picture_set_fini(&set);
    REQUIRE_OK(picture_set_init(&set, 2, 2, true, &err));
    picture_set_put(&set, 1, in);
    picture_set_get(&set, 1, out);
    CHECK_FLOATS(out, in, 4, 0);
    picture_set_statistics(&mean, &std, &set, &second, 1);
    CHECK_NEAR(mean, 0.375, 1e-6);
    CHECK_NEAR(std, sqrt((0.075625 + 0.015625 + 0.680625 + 0.455625) / 4), 1e-6);
    picture_set_statistics(&mean, &std, &set, &(const size_t){0}, 1);
    CHECK(mean == 0 && std == 1);
    picture_set_fini(&set);
    CHECK_FAILS(picture_set_init(&set, SIZE_MAX / 2, 1 << 16, true, &err), COT_E_MEMORY, "--store 8bit");
}

CHECK_MAIN
