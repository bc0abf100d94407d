/* Temperatures that calibrate a model's certainties, one per step and reader: part of model.json, fitted by `stepcot
 * calibrate` on validation images, applied to logits before the softmax of a reading. They change no answer.
 * Threads: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CALIBRATION_H
#define COT_ENGINE_CALIBRATION_H
#include "engine/card.h"

/* `reader`: "student" or "teacher". 1 where the card has none, or none from 0.05 to 20. */
float calibration_temperature(const model_card *card, const char *reader, const char *step);
bool calibration_there(const model_card *card, const char *reader);
#endif
