/* Inside plugin/: what worker, infer and bench say alike about an image and its report. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REPORTING_H
#define COT_REPORTING_H
#include "engine/engine.h"
#include "plugin/node.h"

/* A report must lie in the image's study: a picture has none, nor has a file that did not pass the guard. */
bool reporting_possible(const cot_decoded *decoded);
/* Strings are config's. */
cot_report_options reporting_options(const cot_config *config);
/* What the model reads of it, with what the header says of its orientation; pixels borrowed. */
cot_picture reporting_picture(const cot_decoded *decoded);
/* What decoding knows and the reading must say: how the image became grey. */
void reporting_note_image(cot_chain *chain, const cot_decoded *decoded);
#endif
