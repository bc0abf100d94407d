/* links: engine config
 * Prompts of the teacher: questions through tokenizer and BERT, against the transformers library; the fixed vectors that
 * stand in where there is no BERT.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/prompts.h"
#include "tests/encoder_world.h"

enum { STEPS = 3, WIDTH = 24 };

TEST(prompts_equal_the_transformers_library_from_text_to_vector)
{
    static const char *const questions[STEPS] = {"Is there a lesion?", "Which patterns",
                                                 "What is the size of the heart?"};
    cot_step step[STEPS];
    const cot_steps steps = {.n_steps = STEPS, .steps = step};
    cot_error err = COT_ERROR_INIT;
    cot_device *device = NULL;
    safetensors *golden = NULL;
    size_t width = 0, n = 0;
    float *got = NULL;
    memset(step, 0, sizeof step);
    for (size_t s = 0; s < STEPS; s++) snprintf(step[s].question, sizeof step[s].question, "%s", questions[s]);
    REQUIRE_OK(open_device(&device, &err));
    REQUIRE_OK(safetensors_open(&golden, TRANSFORMERS "expected.safetensors", &err));
    float *want = floats_of(golden, "questions", &n);
    CHECK_OK(prompts_encode(&got, &width, device, TRANSFORMERS "bert", &steps, &err));
    REQUIRE(want && got && width == WIDTH && n == STEPS * WIDTH);
    CHECK_NEAR(relative_error(got, want, n), 0, encoder_bound);
    free(got);
    snprintf(step[1].question, sizeof step[1].question, "\xff");
    CHECK_FAILS(prompts_encode(&got, &width, device, TRANSFORMERS "bert", &steps, &err), COT_E_INPUT, "not UTF-8");
    CHECK(!got);
    CHECK_FAILS(prompts_encode(&got, &width, device, TRANSFORMERS "clip", &steps, &err), COT_E_IO, "vocab.txt");
    free(want);
    safetensors_close(golden);
    cot_device_close(device);
}

TEST(prompts_without_a_bert_are_distinct_unit_vectors_the_same_every_time)
{
    cot_error err = COT_ERROR_INIT;
    float *a = NULL, *b = NULL;
    REQUIRE_OK(prompts_random(&a, STEPS, WIDTH, &err));
    REQUIRE_OK(prompts_random(&b, STEPS, WIDTH, &err));
    CHECK(!memcmp(a, b, STEPS * WIDTH * sizeof *a));
    for (size_t s = 0; s < STEPS; s++)
        for (size_t t = 0; t <= s; t++) {
            double dot = 0;
            for (size_t i = 0; i < WIDTH; i++) dot += (double)a[s * WIDTH + i] * (double)a[t * WIDTH + i];
            if (s == t)
                CHECK_NEAR(dot, 1, 1e-6);
            else
                CHECK(fabs(dot) < 0.9);
        }
    free(a);
    free(b);
}

CHECK_MAIN
