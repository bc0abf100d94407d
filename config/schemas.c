/* The grammars in the program, by name: what `stepcot config schema` prints and `install` puts under share/stepcot/schema.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/xml.h"

#include <string.h>

const char *const cot_schema_names[] = {"reading", "stepcot", "steps", "training", "nih-rules", NULL};

cot_blob cot_schema(const char *name)
{
    const cot_blob schemas[] = {{cot_reading_schema, cot_reading_schema_size},
                                {cot_stepcot_xsd, cot_stepcot_xsd_size},
                                {cot_steps_xsd, cot_steps_xsd_size},
                                {cot_training_xsd, cot_training_xsd_size},
                                {cot_nih_rules_xsd, cot_nih_rules_xsd_size}};
    for (size_t i = 0; cot_schema_names[i]; i++)
        if (!strcmp(name, cot_schema_names[i])) return schemas[i];
    return (cot_blob){NULL, 0};
}
