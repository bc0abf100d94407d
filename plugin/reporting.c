/* From what was decoded and configured to what a report says of it (reporting.h), once for all commands.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/reporting.h"
#include "plugin/utf8.h"

bool reporting_possible(const cot_decoded *decoded)
{
    return decoded->dicom && decoded->head.study[0] && decoded->head.sop_instance[0];
}

cot_report_options reporting_options(const cot_config *config)
{
    return (cot_report_options){.title = config->title,
                                .manufacturer = config->manufacturer,
                                .station = config->station,
                                .uid_root = config->uid_root,
                                .program_version = COT_VERSION,
                                .series_number = config->series_number};
}

void reporting_note_image(cot_chain *chain, const cot_decoded *decoded)
{
    utf8_clean(chain->rendering, sizeof chain->rendering, decoded->facts.rendering);
    chain->range_from_pixels = decoded->facts.range_from_pixels;
}
