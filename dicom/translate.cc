/* OFCondition and C++ exceptions to cot_error. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/translate.h"
#include "dcmtk/config/osconfig.h"
#include "dcmtk/ofstd/ofcond.h"
#include <exception>
#include <new>

cot_status fail_condition(cot_error *err, cot_status status, const char *doing, const OFCondition &condition)
{
    return cot_fail(err, status, "%s: %s", doing, condition.text());
}

cot_status fail_exception(cot_error *err, const char *doing)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        return cot_fail(err, COT_E_MEMORY, "%s: out of memory", doing);
    } catch (const std::exception &e) {
        return cot_fail(err, COT_E_BUG, "%s: C++ exception: %s", doing, e.what());
    } catch (...) {
        return cot_fail(err, COT_E_BUG, "%s: unknown C++ exception", doing);
    }
}
