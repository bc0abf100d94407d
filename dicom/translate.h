/* From DCMTK's results to ours: OFCondition and C++ exceptions become a status and a text. C++ only.
 * Threads: any. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_TRANSLATE_H
#define COT_DICOM_TRANSLATE_H
#include "config/base.h"
#include "dcmtk/ofstd/ofcond.h"

/* "doing: DCMTK's text". DCMTK's condition texts name operations, not values of a data set. */
cot_status fail_condition(cot_error *err, cot_status status, const char *doing, const OFCondition &condition);
/* Inside `catch (...)` only: no memory is COT_E_MEMORY, anything else COT_E_BUG. */
cot_status fail_exception(cot_error *err, const char *doing);
/* Damage that the image codecs have only warned of in this thread since the process began (libjpeg fills the rest of a
 * broken scan with grey and goes on): a decoder compares before and after. */
unsigned long codec_damage(void);
#endif
