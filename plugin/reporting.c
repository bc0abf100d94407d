/* From what was decoded and configured to what a report says of it (reporting.h), once for all commands.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/reporting.h"
#include "plugin/utf8.h"

#include <string.h>

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

/* ---- forms ---- */
const char *reporting_form_name(report_form form)
{
    static const char *const names[REPORT_FORMS] = {
        [FORM_READING] = "reading",
        [FORM_BASIC] = "basic",
        [FORM_3D] = "measurements-3d",
        [FORM_2D] = "measurements-2d",
        [FORM_3D_REFERENCE] = "measurements-3d-reference",
        [FORM_2D_REFERENCE] = "measurements-2d-reference",
        [FORM_CAPTURE] = "capture",
    };
    return names[form];
}

cot_report_kind reporting_form_kind(report_form form)
{
    return form == FORM_READING || form == FORM_BASIC ? COT_REPORT_READING
           : form == FORM_CAPTURE                     ? COT_REPORT_CAPTURE
                                                      : COT_REPORT_MEASUREMENT;
}

bool reporting_form_measures(report_form form)
{
    return reporting_form_kind(form) != COT_REPORT_READING;
}

cot_report_options reporting_form_options(const cot_config *config, report_form form)
{
    cot_report_options options = reporting_options(config);
    options.basic_text = form == FORM_BASIC;
    options.kind = reporting_form_kind(form);
    options.comprehensive = form == FORM_2D || form == FORM_2D_REFERENCE;
    options.by_reference = form == FORM_3D_REFERENCE || form == FORM_2D_REFERENCE;
    return options;
}

const char *reporting_kind_name(cot_report_kind kind)
{
    static const char *const names[REPORTING_KINDS] = {"reading", "measurement", "capture"};
    return names[kind];
}

bool reporting_sends(const cot_config_destination *to, cot_report_kind kind, report_form *first, report_form *fallback)
{
    const bool legacy = !strcmp(to->profile, "legacy"), stone = !strcmp(to->profile, "stone");
    *fallback = REPORT_FORMS;
    if (kind == COT_REPORT_CAPTURE) {
        *first = FORM_CAPTURE;
        return to->capture;
    }
    if (kind == COT_REPORT_READING) {
        *first = legacy ? FORM_BASIC : FORM_READING;
        if (!legacy) *fallback = FORM_BASIC;
        return strcmp(to->report, "measurement") != 0;
    }
    const bool by_reference = !strcmp(to->references, "reference");
    const report_form flat = by_reference ? FORM_2D_REFERENCE : FORM_2D;
    *first = stone ? flat : by_reference ? FORM_3D_REFERENCE : FORM_3D;
    if (!stone) *fallback = flat;
    return strcmp(to->report, "reading") != 0 && !legacy;
}

void reporting_note_image(cot_chain *chain, const cot_decoded *decoded)
{
    utf8_clean(chain->rendering, sizeof chain->rendering, decoded->facts.rendering);
    chain->range_from_pixels = decoded->facts.range_from_pixels;
}

/* A report of a hip read as a chest gives no impression. */
void reporting_mark_forced(cot_chain *chain, const cot_decoded *d)
{
    char id[33] = "", whole[sizeof chain->summary + 1200];
    cot_error why = COT_ERROR_INIT;
    const bool passes = (!d->dicom || cot_gate_facts(&d->facts, id, &why) == COT_OK) &&
                        cot_gate_pixels(&d->facts, d->grey, d->rows, d->cols, id, &why) == COT_OK;
    if (passes) return;
    snprintf(chain->forced_id, sizeof chain->forced_id, "%s", id[0] ? id : "gate");
    utf8_clean(chain->forced, sizeof chain->forced, why.text);
    snprintf(whole, sizeof whole, "Read by force, although %s: the answers mean nothing. %s", why.text, chain->summary);
    utf8_clean(chain->summary, sizeof chain->summary, whole);
}
