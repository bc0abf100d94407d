/* Inside config/: which attribute of the XML is which field of cot_config; loading and printing walk the same table.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CONFIG_FIELDS_H
#define COT_CONFIG_FIELDS_H
#include "config/config.h"
#include "config/xml.h"

typedef enum field_kind {
    FIELD_TEXT,
    FIELD_PATH, /* text; relative paths start at the XML file's folder */
    FIELD_UNSIGNED,
    FIELD_SIZE,
    FIELD_REAL,
    FIELD_FLAG,
    FIELD_LEVEL
} field_kind;
typedef struct config_field {
    const char *element, *attribute;
    field_kind kind;
    size_t offset, size; /* in cot_config, cot_config_accept or cot_config_destination, by element */
} config_field;

extern const config_field config_fields[];   /* in the order of the XML; element NULL ends */
const char *const *config_level_names(void); /* indexed by cot_level, NULL-terminated */

/* What XSD cannot say; problems go to f->problems. */
void config_check(xml_file *f, const cot_config *config);
#endif
