/* Which device the node reads on: the best one that computes rightly. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DEVICE_CHOICE_H
#define COT_DEVICE_CHOICE_H
#include "opencl/opencl.h"

typedef struct device_choice {
    cot_device *device; /* caller closes; NULL on failure */
    size_t refused;     /* better devices that were passed over */
    char why[1024];     /* for people: the last of them, and its fault */
} device_choice;

/* COT_OK: the device may be used; otherwise the error names it. */
typedef cot_status device_check(cot_device *device, cot_error *err);
/* Tries the matching devices, the best first, until one opens and passes `check`; each that does not is logged by name.
 * options->skip is overwritten. None passes: the last one's error. */
cot_status device_choose(device_choice *out, cot_device_options *options, device_check *check, cot_error *err);
#endif
