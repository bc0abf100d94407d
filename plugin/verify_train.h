/* What stepcot verify --train shows. Threads: any, as stdio. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_PLUGIN_VERIFY_TRAIN_H
#define COT_PLUGIN_VERIFY_TRAIN_H
#include "engine/golden_train.h"

#include <cjson/cJSON.h>

void verify_train_print(const cot_golden_training results[COT_GOLDEN_ALIGNS]);
/* Member "training" of o; false: no memory. */
bool verify_train_json(cJSON *o, const cot_golden_training results[COT_GOLDEN_ALIGNS]);
#endif
