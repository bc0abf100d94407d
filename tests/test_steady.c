/* links: engine opencl config
 * Reading picture after picture takes no further memory, on the device (its ledger) nor on the host: this program's malloc,
 * calloc and realloc count what our own code asks for while a flag is up. What the OpenCL driver allocates inside
 * of its own library for a command is not ours and is told apart by the caller's address.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "engine/engine.h"
#include "tests/check.h"

#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern const char __executable_start, etext; /* the linker's: where this program's own code begins and ends */

static bool counting;
static size_t asked;

static inline void note(const void *caller)
{
    if (counting && (const char *)caller >= &__executable_start && (const char *)caller < &etext) asked++;
}

#ifndef __SANITIZE_ADDRESS__ /* which has a malloc of its own: there only the device is counted */
void *malloc(size_t size)
{
    note(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *at, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_realloc(at, size);
}
#endif

enum { SIDE = 300, MOST = 2, ROUNDS = 5 };

typedef struct world {
    cot_device *device;
    cot_steps *steps;
    cot_package *package;
    cot_model *model;
    float *inputs, *logits;
} world;

static void open_world(world *w)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    options.gemm = COT_GEMM_TILE;
    REQUIRE_OK(cot_steps_load(&w->steps, NULL, &err));
    REQUIRE_OK(cot_package_open(&w->package, NULL, w->steps, &err));
    REQUIRE_OK(cot_device_open(&w->device, &options, &err));
    REQUIRE_OK(cot_model_create(&w->model, w->device, w->package, w->steps, MOST, &err));
    const size_t side = cot_model_input_size(w->model);
    w->inputs = calloc(MOST * side * side, sizeof *w->inputs);
    w->logits = calloc(MOST * cot_model_logit_count(w->model), sizeof *w->logits);
    REQUIRE(w->inputs && w->logits);
}

static void close_world(world *w)
{
    free(w->inputs);
    free(w->logits);
    cot_model_destroy(w->model);
    cot_device_close(w->device);
    cot_package_close(w->package);
    cot_steps_destroy(w->steps);
}

#ifndef __SANITIZE_ADDRESS__
TEST(the_counter_sees_what_our_code_allocates)
{
    counting = true;
    asked = 0;
    void *volatile p = malloc(10);
    counting = false;
    free(p);
    CHECK_NUMBER(asked, 1);
}
#endif

TEST(logits_of_input_after_input_allocate_nothing_on_host_or_device)
{
    world w = {0};
    cot_error err = COT_ERROR_INIT;
    open_world(&w);
    CHECK_OK(cot_model_logits(w.model, w.logits, w.inputs, MOST, &err));
    const cot_device_ledger before = cot_device_ledger_read(w.device);
    asked = 0;
    counting = true;
    for (size_t i = 0; i < ROUNDS; i++) CHECK_OK(cot_model_logits(w.model, w.logits, w.inputs, 1 + i % MOST, &err));
    counting = false;
    const cot_device_ledger after = cot_device_ledger_read(w.device);
    CHECK_NUMBER(asked, 0);
    CHECK_NUMBER(after.bytes, before.bytes);
    CHECK_NUMBER(after.buffers, before.buffers);
    CHECK(after.launches > before.launches);
    close_world(&w);
}

/* Pictures: as many requests per picture whatever came before, for the answer itself (its chain, which the caller keeps). */
TEST(pictures_allocate_their_answers_and_nothing_else)
{
    world w = {0};
    cot_error err = COT_ERROR_INIT;
    cot_chain *chain = NULL, *empty = NULL;
    open_world(&w);
    float *grey = calloc((size_t)SIDE * SIDE, sizeof *grey);
    const cot_picture picture = {grey, SIDE, SIDE, COT_ORIENTATION_ASSUMED};
    REQUIRE_OK(cot_model_read(w.model, &chain, &picture, 1, &err));
    cot_chain_destroy(chain);
    const cot_device_ledger before = cot_device_ledger_read(w.device);
    asked = 0;
    counting = true;
    CHECK_OK(cot_chain_create(&empty, w.steps, &err));
    const size_t of_chain = asked;
    for (size_t i = 0; i < ROUNDS; i++) {
        CHECK_OK(cot_model_read(w.model, &chain, &picture, 1, &err));
        cot_chain_destroy(chain);
    }
    counting = false;
    CHECK_NUMBER(asked, of_chain * (1 + ROUNDS));
    CHECK_NUMBER(cot_device_ledger_read(w.device).bytes, before.bytes);
    CHECK_NUMBER(cot_device_ledger_read(w.device).buffers, before.buffers);
    cot_chain_destroy(empty);
    free(grey);
    close_world(&w);
}

CHECK_MAIN
