/* A device that does not open or computes wrongly is refused by name and the next one taken: a slow right answer is better
 * than a fast wrong one (device_choice.h). One thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/device_choice.h"

#include <string.h>

/* Opens the device at options->skip and checks it. */
static cot_status try_one(cot_device **out, const cot_device_options *options, device_check *check, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_device_open(out, options, err));
    COT_TRY(check(*out, err));
done:
    if (status != COT_OK) {
        cot_device_close(*out);
        *out = NULL;
    }
    return status;
}

cot_status device_choose(device_choice *out, cot_device_options *options, device_check *check, cot_error *err)
{
    cot_status status;
    cot_error why = COT_ERROR_INIT;
    size_t n = 0;
    memset(out, 0, sizeof *out);
    options->skip = 0;
    COT_TRY(cot_devices_matching(&n, options->match, err));
    do { /* with no device at all, opening says so */
        if (try_one(&out->device, options, check, &why) == COT_OK) return COT_OK;
        if (n)
            cot_log(COT_WARN, "device.refused", NULL, "place=%zu of=%zu reason=\"%s\"", options->skip + 1, n, why.text);
        snprintf(out->why, sizeof out->why, "%s", why.text);
        out->refused++;
    } while (++options->skip < n);
    status = cot_fail(err, why.status, "%s", why.text);
done:
    return status;
}
