/* Temperatures that calibrate a model's certainties, one per step and reader: part of model.json, fitted by `stepcot
 * calibrate` on validation images, dividing the logits of a reading before the softmax. They change no answer.
 *   "calibration": {"student": {"on": …, "temperature": {"detection": 1.31, …}, "ece_before": …, …}, "teacher": …}
 * Threads: read-only, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_CALIBRATION_H
#define COT_ENGINE_CALIBRATION_H
#include "engine/card.h"

#define CALIBRATION_LOW  0.05
#define CALIBRATION_HIGH 20.0

/* The likelihood would have gone further: at the upper end flat certainties are best, which say nothing; at the lower one all
 * images were answered right, too few to tell how sure is too sure. */
bool calibration_at_bound(double temperature);
/* What the card says, checked: known readers and steps, temperatures in bounds. `where` names model.json. */
cot_status calibration_read(model_card *card, const char *where, const cot_steps *steps, cot_error *err);
/* [n_steps] of the reader who reads alone or first: the student's, but of COT_READ_TEACHER the teacher's. 0: not calibrated. */
const float *calibration_of(const model_card *card, bool teacher);
#endif
