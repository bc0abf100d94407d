/* Inside engine/: what reading, writing and splitting a manifest share. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_MANIFEST_H
#define COT_ENGINE_MANIFEST_H
#include "engine/data.h"

enum {
    MANIFEST_LINE_MAX = 1 << 20, /* bytes of a line, its newline included */
    MANIFEST_CASES_MAX = 10000000,
    MANIFEST_BOXES_MAX = 1000,
    MANIFEST_SIDE_MAX = 1 << 20, /* rows or columns of an image */
    MANIFEST_NAME_MAX = 256,     /* bytes of a patient, a view, an origin; of a path four times as many */
    MANIFEST_TEXTS_MAX =
        1 << 17 /* bytes of all texts of an image: six times as many, as JSON, and its boxes fill no line */
};

/* NULL, or what is wrong with a path that is to stay below the images folder. */
const char *manifest_path_fault(const char *path);
/* No control characters, at most `most` bytes, at least one. */
bool manifest_name_fits(const char *name, size_t most);
/* Option of a step by its id, or COT_MASKED. */
int manifest_option(const cot_step *step, const char *id);
/* manifest->folder from path and images. */
cot_status manifest_find_images(cot_manifest *manifest, const char *images, cot_error *err);
#endif
