/* Pictures as a training step wants them (training_images.h). One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/backward_device.h"
#include "opencl/training_images.h"

_Static_assert(sizeof(cot_augmentation) == 8 * sizeof(float), "a row of `drawn`");

cot_status cot_augment(cot_buffer *y, const cot_buffer *x, const cot_buffer *drawn, size_t n, size_t size, float mean,
                       float std, cot_error *err)
{
    cot_status status = COT_OK;
    size_t floats = 0, numbers = 0;
    if (!(std > 0)) return cot_fail(err, COT_E_BUG, "augmentation: a deviation of %g", (double)std);
    COT_TRY(backward_count(&floats, n, size, size, 1, "augmentation", err));
    COT_TRY(backward_count(&numbers, n, 8, 1, 1, "augmentation", err));
    COT_TRY(buffer_check(y, y->device, floats, "augmentation: result", err));
    COT_TRY(buffer_check(x, y->device, floats, "augmentation: pictures", err));
    COT_TRY(buffer_check(drawn, y->device, numbers, "augmentation: what was drawn", err));
    if (y->mem == x->mem) return cot_fail(err, COT_E_BUG, "augmentation: the result is the input");
    const cl_int lines = (cl_int)(n * size), side = (cl_int)size;
    const cl_float middle = mean, spread = std;
    const kernel_arg args[] = {ARG_BUFFER(y),   ARG_BUFFER(x),     ARG_BUFFER(drawn), ARG_VALUE(lines),
                               ARG_VALUE(side), ARG_VALUE(middle), ARG_VALUE(spread)};
    COT_TRY(BACKWARD_LAUNCH(y->device, BACKWARD_AUGMENT, args, n * size, 1, err));
done:
    return status;
}
