/* Inside plugin/: a manifest's images, decoded in the sandbox and resized on the device as a reading resizes them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TRAIN_IMAGES_H
#define COT_TRAIN_IMAGES_H
#include "engine/data.h"
#include "engine/picture_set.h"
#include "engine/row_cache.h"
#include "opencl/opencl.h"
#include "plugin/sandbox.h"

typedef struct train_images_order {
    const cot_manifest *manifest;
    size_t size;
    cot_filter filter;
    bool floats;
    const char *cache;   /* folder of kept rows, or NULL */
    const char *command; /* "train", … for what it says on stderr while it works */
} train_images_order;
/* All images of the manifest, in its order. `key` says what they were made from: hashes, size, filter. An image that is
 * missing, changed or cannot be decoded ends it, by its path. */
cot_status train_images_load(picture_set *out, row_key *key, cot_sandbox *sandbox, cot_device *device,
                             const train_images_order *order, cot_error *err);
row_key train_images_key(const train_images_order *order);
#endif
