/* Inside plugin/: what worker, infer and bench say alike about an image and its report. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REPORTING_H
#define COT_REPORTING_H
#include "engine/engine.h"
#include "plugin/node.h"

/* A report must lie in the image's study: a picture has none, nor has a file that did not pass the guard. */
bool reporting_possible(const cot_decoded *decoded);
/* Strings are config's. */
cot_report_options reporting_options(const cot_config *config);
/* What the model reads of it, with what the header says of its orientation; pixels borrowed. */
cot_picture reporting_picture(const cot_decoded *decoded);

/* The reports one reading can become; each has a file of its own and UIDs of its own. */
typedef enum report_form {
    FORM_READING, /* Enhanced SR */
    FORM_BASIC,   /* the same as Basic Text SR */
    FORM_3D,      /* measurements: Comprehensive 3D SR, premises by value */
    FORM_2D,      /* Comprehensive SR */
    FORM_3D_REFERENCE,
    FORM_2D_REFERENCE,
    FORM_CAPTURE, /* a picture: Secondary Capture */
    REPORT_FORMS
} report_form;
const char *reporting_form_name(report_form form); /* of its file: "reading", "basic", "measurements-3d", … */
cot_report_kind reporting_form_kind(report_form form);
/* Captures too: they are for an image in which something was measured. */
bool reporting_form_measures(report_form form);
cot_report_options reporting_form_options(const cot_config *config, report_form form);
enum { REPORTING_KINDS = COT_REPORT_CAPTURE + 1 };
const char *reporting_kind_name(cot_report_kind kind); /* of a delivery: "reading", "measurement", "capture" */
/* What `to` is sent of a reading; *fallback REPORT_FORMS: none. false: it wants no such report. */
bool reporting_sends(const cot_config_destination *to, cot_report_kind kind, report_form *first, report_form *fallback);
/* What decoding knows and the reading must say: how the image became grey. */
void reporting_note_image(cot_chain *chain, const cot_decoded *decoded);
/* Of a reading by force: where a gate would have refused the image, the chain and its summary's first sentence say why. */
void reporting_mark_forced(cot_chain *chain, const cot_decoded *decoded);
#endif
