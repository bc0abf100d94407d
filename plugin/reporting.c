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

/* Patient Orientation L\\F: rows run to the patient's left, columns to the feet. A picture file says nothing. */
static cot_orientation orientation_of(const cot_decoded *decoded)
{
    const char *row = decoded->facts.orientation_row, *column = decoded->facts.orientation_column;
    if (!decoded->dicom || (!row[0] && !column[0])) return COT_ORIENTATION_ASSUMED;
    return row[0] == 'L' && column[0] == 'F' ? COT_ORIENTATION_STANDARD : COT_ORIENTATION_OTHER;
}

cot_picture reporting_picture(const cot_decoded *decoded)
{
    return (cot_picture){decoded->grey, decoded->rows, decoded->cols, orientation_of(decoded)};
}

void reporting_note_image(cot_chain *chain, const cot_decoded *decoded)
{
    utf8_clean(chain->rendering, sizeof chain->rendering, decoded->facts.rendering);
    chain->range_from_pixels = decoded->facts.range_from_pixels;
}
