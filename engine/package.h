/* Inside of a package, for the files of engine/ that load it onto a device.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PACKAGE_H
#define COT_ENGINE_PACKAGE_H
#include "engine/card.h"
#include "engine/engine.h"
#include "engine/safetensors.h"
#include "engine/source.h"

const model_card *package_card(const cot_package *package);
/* What source.h loads layers from; prefix: "student.". Borrows the package. */
weight_source package_source(const cot_package *package, const char *prefix);
/* "prefix.part" as floats on the host; caller frees *out. Refuses a value that is not finite. */
cot_status package_floats(float **out, const cot_package *package, const char *prefix, const char *part,
                          cot_error *err);
/* Every tensor of the architecture is there with its shape; what is there besides must be listed in `kept` (a JSON
 * list of names, or NULL). `where` names the weights file. */
cot_status package_check(const safetensors *weights, const architecture *arch, const cJSON *kept, const char *where,
                         cot_error *err);
/* Checks one tensor against its specification; also used by import. */
cot_status package_check_tensor(const safetensors *weights, const tensor_spec *spec, const char *where, cot_error *err);
#endif
