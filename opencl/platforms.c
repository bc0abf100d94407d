/* Platforms that list no device: normal (Mesa installs two), but a person who looks for a GPU must see that the driver is
 * there and finds none. SPDX-License-Identifier: Apache-2.0 */
#include "opencl/opencl.h"

#include <CL/cl.h>
#include <stdlib.h>

enum { PLATFORMS_MOST = 64 };

cot_status cot_platforms_empty(char (**out)[129], size_t *n, cot_error *err)
{
    cl_platform_id ids[PLATFORMS_MOST];
    cl_uint all = 0;
    *n = 0;
    *out = calloc(PLATFORMS_MOST, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "list OpenCL platforms: no memory");
    if (clGetPlatformIDs(PLATFORMS_MOST, ids, &all) != CL_SUCCESS) return COT_OK; /* the loader has no driver */
    for (cl_uint i = 0; i < all && i < PLATFORMS_MOST; i++) {
        cl_uint devices = 0;
        char name[1024] = "";
        if (clGetDeviceIDs(ids[i], CL_DEVICE_TYPE_ALL, 0, NULL, &devices) == CL_SUCCESS && devices) continue;
        if (clGetPlatformInfo(ids[i], CL_PLATFORM_NAME, sizeof name - 1, name, NULL) != CL_SUCCESS || !name[0])
            snprintf(name, sizeof name, "a platform without a name");
        snprintf((*out)[(*n)++], sizeof **out, "%.128s", name);
    }
    return COT_OK;
}
