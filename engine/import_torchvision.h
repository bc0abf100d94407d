/* State dicts of torchvision's ResNet-18 and DenseNet, whatever their sizes and whatever stands before their names.
 * Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_IMPORT_TORCHVISION_H
#define COT_ENGINE_IMPORT_TORCHVISION_H
#include "engine/architecture.h"
#include "engine/checkpoint.h"
#include <cjson/cJSON.h>

/* Finds the one encoder in a file, by the name and shape of its stem; sizes come from its tensors, into arch (encoder,
 * width or densenet). *out: its tensors under CNN_PREFIX. `claims` [tensors of file]: marked for those, and for classifier
 * and bookkeeping, which are not needed. Missing, extra, misshapen: named, refused. */
cot_status torchvision_find(named_tensors *out, architecture *arch, naming_claim *claims, const safetensors *file,
                            const char *where, cot_error *err);
/* The same from a file of its own, or a folder with model.safetensors or weights.safetensors, which holds nothing else;
 * fills out's file, where and tensors. */
cot_status torchvision_open(clip_checkpoint *out, architecture *arch, const char *path, cot_error *err);
/* Appends to a JSON list the names of that file's tensors that were not taken. */
cot_status torchvision_left_out(cJSON *list, const clip_checkpoint *checkpoint, cot_error *err);
#endif
