/* Makes or changes a package: model.json beside weights.safetensors. A package appears whole under its folder's name, over
 * the one that was there, or not at all.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PACKAGE_WRITE_H
#define COT_ENGINE_PACKAGE_WRITE_H
#include "engine/package.h"

/* model.json of a new package with this architecture (any ResNet-18 one), in which the caller may then change members. Texts
 * are bounded as card.h says. NULL: no memory. */
typedef struct package_words {
    const char *name, *version, *notice, *training, *attribution;
} package_words;
cJSON *package_card_new(const package_words *words, const architecture *arch, size_t size, cot_filter filter,
                        double mean, double std, const cot_steps *steps);
/* steps.supervised, or with part "teacher" teacher.supervised. False: no memory. */
bool package_card_supervised(cJSON *card, const char *part, const bool *supervised, const cot_steps *steps);
/* A text or object member, put in place of the one that was there. `item` is the card's afterwards. False: no memory. */
bool package_card_set(cJSON *card, const char *key, cJSON *item);

/* f16: floats are rounded to it, to even; one too large for it is COT_E_MODEL naming the tensor. `card` gets the digest. */
cot_status package_write(const char *folder, cJSON *card, const tensor *tensors, size_t n, bool f16, cot_error *err);
/* Another model.json for the weights that are there. */
cot_status package_write_card(const char *folder, const cJSON *card, cot_error *err);
uint16_t half_of(float value); /* nearest, ties to even; infinity where too large */
#endif
