/* The one rule for grey images stored in colour, for DICOM frames and for PNG and JPEG pictures. JPEG rounds each channel by
 * itself, so lossy grey may be 16 levels off in a few places; exact data may be off by one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/dicom.h"

unsigned cot_colour_tolerance(bool lossy)
{
    return lossy ? 16 : 1;
}

cot_status cot_gate_colour(size_t coloured, size_t pixels, bool lossy, cot_error *err)
{
    if (coloured <= (lossy ? pixels / 1000 : 0)) return COT_OK;
    return cot_fail(err, COT_E_REFUSED, "the image is in colour (%zu of %zu pixels): a radiograph is grey", coloured,
                    pixels);
}
