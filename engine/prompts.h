/* The teacher's prompts: one vector per step, computed once, when a package is made, and stored in it.
 * Threads: the device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PROMPTS_H
#define COT_ENGINE_PROMPTS_H
#include "config/steps.h"
#include "engine/safetensors.h"
#include "opencl/opencl.h"

/* Each step's question as the BERT in `folder` (config.json, model.safetensors, vocab.txt) reads it: its vector of [CLS].
 * *out [n_steps,*width], caller frees. */
cot_status prompts_encode(float **out, size_t *width, cot_device *device, const char *folder, const cot_steps *steps,
                          cot_error *err);
/* The same with the BERT's tensors in `file`, called `where`, under any names; folder has config.json and vocab.txt. file NULL:
 * as above. */
cot_status prompts_encode_from(float **out, size_t *width, cot_device *device, const char *folder,
                               const safetensors *file, const char *where, const cot_steps *steps, cot_error *err);
/* Without a BERT: fixed random unit vectors, the same on every machine. *out [n_steps,width], caller frees. */
cot_status prompts_random(float **out, size_t n_steps, size_t width, cot_error *err);
#endif
