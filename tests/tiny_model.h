/* For tests of engine/: the step schema of tests/golden/resnet18/tiny and a folder of one's own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_TINY_MODEL_H
#define COT_TESTS_TINY_MODEL_H
#include "config/steps.h"
#include "tests/check.h"

#define TINY_SOURCE COT_SOURCE_DIR "/tests/golden/resnet18/tiny"

/* Three steps of 2, 3 and 5 options: no size of the default schema. */
static cot_option tiny_options[10];
static cot_step tiny_step[3];
static inline const cot_steps *tiny_steps(void)
{
    static cot_steps steps = {.id = "urn:stepcot:test:tiny", .sha256 = "0", .n_steps = 3, .steps = tiny_step};
    static const size_t options[] = {2, 3, 5};
    for (size_t s = 0, at = 0; s < 3; at += options[s++]) {
        tiny_step[s].n_options = options[s];
        tiny_step[s].options = tiny_options + at;
        snprintf(tiny_step[s].id, sizeof tiny_step[s].id, "step-%zu", s);
        snprintf(tiny_step[s].title, sizeof tiny_step[s].title, "Title %zu", s);
        snprintf(tiny_step[s].phrase, sizeof tiny_step[s].phrase,
                 "Of {step-count}: {answer} {certainty}, then {second} {second-certainty} {unknown}");
        snprintf(tiny_step[s].phrase_alone, sizeof tiny_step[s].phrase_alone, "Only {answer} {certainty}");
        for (size_t o = 0; o < options[s]; o++) {
            snprintf(tiny_options[at + o].id, sizeof tiny_options[at + o].id, "o%zu", o);
            snprintf(tiny_options[at + o].label, sizeof tiny_options[at + o].label, "Option %zu.%zu", s, o);
        }
    }
    return &steps;
}

/* A new empty folder; false when it cannot be made. remove_folder() ends it with all that is in it. */
static inline bool make_folder(char path[64])
{
    snprintf(path, 64, "/tmp/cot-engine-XXXXXX");
    return mkdtemp(path) != NULL;
}

static inline void remove_folder(const char *path)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path); /* a name that mkdtemp made */
    if (system(command) != 0) fprintf(stderr, "%s stays behind\n", path);
}
#endif
