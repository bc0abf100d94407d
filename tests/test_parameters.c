/* links: engine config
 * The table of parameters through joint training: a checkpoint read back continues with the same bits, dropout on; what no
 * loss reaches stays as it is; steps alone change only their own model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/joint.h"
#include "tests/check.h"
#include "tests/reference.h"

enum { N = 5, STEPS = 3, FEATURES = 14, ALL = 9 };
static const size_t classes[STEPS] = {2, 3, 4};
static float features[N * FEATURES], prompts[STEPS * 12];
static int labels[N * STEPS];
static cot_device *device;

__attribute__((destructor)) static void close_device(void)
{
    cot_device_close(device);
}

static joint *make(uint64_t seed)
{
    cot_error err = COT_ERROR_INIT;
    joint *j = NULL;
    const teacher_shape t = {FEATURES, 12, 3, 2, STEPS, classes};
    const student_shape s = {FEATURES, 10, STEPS, classes};
    joint_options options = JOINT_OPTIONS_INIT;
    cot_device_options how = COT_DEVICE_OPTIONS_INIT;
    options.max_batch = N;
    options.proj_dim = 6;
    how.gemm = COT_GEMM_TILE;
    if (!device) CHECK_OK(cot_device_open(&device, &how, &err));
    ref_fill(features, N * FEATURES, 1);
    ref_fill(prompts, STEPS * 12, 2);
    for (size_t i = 0; i < N * STEPS; i++) labels[i] = (int)(i % classes[i % STEPS]);
    CHECK_OK(joint_create(&j, device, &t, &s, &options, &err));
    CHECK_OK(joint_init(j, seed, &err));
    CHECK_OK(joint_prompts(j, prompts, &err));
    return j;
}

static void steps(joint *j, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    const joint_batch batch = {N, features, labels};
    for (size_t i = 0; i < n; i++) CHECK_OK(joint_step(j, &batch, NULL, &err));
}

/* All values of a table, and where they came from. */
static unsigned char *bytes_of(size_t *size, const parameters *p)
{
    cot_error err = COT_ERROR_INIT;
    unsigned char *bytes = NULL;
    tensor_list list = {0};
    CHECK_OK(parameters_checkpoint(&list, p, "x.", &err));
    CHECK_OK(safetensors_build(&bytes, size, list.items, list.n, &err));
    tensor_list_free(&list);
    return bytes;
}

static void resume(parameters *p, const unsigned char *bytes, size_t size)
{
    cot_error err = COT_ERROR_INIT;
    safetensors *file = NULL;
    CHECK_OK(safetensors_parse(&file, (cot_blob){bytes, size}, "checkpoint", &err));
    const weight_source source = {file, "x.", "checkpoint"}, wrong = {file, "y.", "checkpoint"};
    CHECK_OK(parameters_resume(p, &source, &err));
    CHECK_FAILS(parameters_resume(p, &wrong, &err), COT_E_MODEL, "steps");
    safetensors_close(file);
}

TEST(a_resumed_training_continues_with_the_same_bits)
{
    size_t size[4];
    joint *one = make(1), *two = make(9);
    steps(one, 2);
    unsigned char *teacher_bytes = bytes_of(&size[0], joint_teacher_parameters(one));
    unsigned char *student_bytes = bytes_of(&size[1], joint_student_parameters(one));
    resume(joint_teacher_parameters(two), teacher_bytes, size[0]);
    resume(joint_student_parameters(two), student_bytes, size[1]);
    steps(one, 2);
    steps(two, 2);
    for (int k = 0; k < 2; k++) {
        unsigned char *a = bytes_of(&size[2], k ? joint_student_parameters(one) : joint_teacher_parameters(one));
        unsigned char *b = bytes_of(&size[3], k ? joint_student_parameters(two) : joint_teacher_parameters(two));
        CHECK(size[2] == size[3] && memcmp(a, b, size[2]) == 0);
        CHECK(memcmp(a, k ? student_bytes : teacher_bytes, size[2]) != 0);
        free(a), free(b);
    }
    free(teacher_bytes), free(student_bytes);
    joint_destroy(one);
    joint_destroy(two);
}

TEST(what_no_loss_reaches_does_not_even_decay)
{
    cot_error err = COT_ERROR_INIT;
    joint *j = make(3);
    float before[10 * 4], after[10 * 4];
    parameter *last = parameters_find(joint_student_parameters(j), "student.step_heads.2.weight");
    REQUIRE(last && last->count == 40);
    CHECK_OK(parameter_read(last, before, &err));
    for (size_t i = 0; i < N; i++) labels[i * STEPS + 2] = -1;
    steps(j, 1);
    CHECK_OK(parameter_read(last, after, &err));
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_NUMBER(last->steps, 0);
    for (size_t i = 0; i < N; i++) labels[i * STEPS + 2] = 1;
    steps(j, 1);
    CHECK_OK(parameter_read(last, after, &err));
    CHECK(memcmp(before, after, sizeof before) != 0);
    CHECK_NUMBER(last->steps, 1);
    joint_destroy(j);
}

TEST(steps_allocate_nothing_and_wrong_labels_are_refused)
{
    cot_error err = COT_ERROR_INIT;
    joint *j = make(4);
    joint_losses losses;
    const joint_batch batch = {N, features, labels};
    steps(j, 2);
    const size_t bytes = cot_device_ledger_read(device).bytes;
    steps(j, 2);
    CHECK_OK(joint_teacher_step(j, &batch, &losses, &err));
    CHECK(losses.teacher > 0 && losses.student == 0 && losses.teacher_norm > 0);
    CHECK_OK(joint_student_step(j, &batch, &losses, &err));
    CHECK(losses.teacher == 0 && losses.ce > 0 && losses.kd == 0);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, bytes);
    labels[0] = 2;
    CHECK_FAILS(joint_step(j, &batch, &losses, &err), COT_E_BUG, "label 2 of 2");
    joint_destroy(j);
}

CHECK_MAIN
