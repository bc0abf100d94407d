/* Inside plugin/: log.jsonl of a training run, read back. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TRAIN_LOG_H
#define COT_TRAIN_LOG_H
#include "config/base.h"
#include <cjson/cJSON.h>

/* All lines of DIR/log.jsonl as an array of objects; a last line that was cut is left out. Caller deletes. */
cot_status train_log_read(cJSON **out, const char *dir, cot_error *err);
/* The line of that epoch (from 1), or NULL; borrowed. */
const cJSON *train_log_epoch(const cJSON *lines, double epoch);
#endif
