/* Inside config/: one bounded, schema-checked XML file and the list of what is wrong with it. An xml_file that was opened
 * without problems obeys its XSD, so that the readers above need not check what the XSD already says; defaults come from
 * the XSD too. No libxml2 type crosses. Threads: one file at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_XML_H
#define COT_XML_H
#include "config/base.h"

#define XML_MAX_BYTES ((size_t)1 << 20)
#define XML_MAX_DEPTH 32

extern const unsigned char cot_steps_xml[], cot_steps_de_xml[], cot_steps_xsd[], cot_stepcot_xml[], cot_stepcot_xsd[],
    cot_training_xml[], cot_training_xsd[], cot_nih_rules_xml[], cot_nih_rules_xsd[], cot_reading_schema[];
extern const size_t cot_steps_xml_size, cot_steps_de_xml_size, cot_steps_xsd_size, cot_stepcot_xml_size,
    cot_stepcot_xsd_size, cot_training_xml_size, cot_training_xsd_size, cot_nih_rules_xml_size, cot_nih_rules_xsd_size,
    cot_reading_schema_size;

/* ---- problems (problems.c): what is wrong, where, and what to do ---- */
#define PROBLEMS_MAX 100
typedef struct problem {
    long line;
    char text[512];
} problem;
typedef struct problem_list {
    char file[1024];
    problem *items; /* [PROBLEMS_MAX], in order of line */
    size_t n;
} problem_list;
/* `format` says "what. remedy". The same text at the same line counts once; more than PROBLEMS_MAX are not kept. */
void problem_add(problem_list *list, long line, const char *format, ...) COT_PRINTF(3, 4);
/* "file:line: text\n" */
void problems_write(const problem_list *list, FILE *stream);
/* All of them, one a line, as many as fit, as COT_E_CONFIG; COT_OK when there is none. */
cot_status problems_fail(const problem_list *list, cot_error *err);

/* ---- files (xml.c) ---- */
typedef struct _xmlNode xml_node;
typedef struct xml_file {
    char *owned;         /* bytes read from disk, or NULL */
    cot_blob bytes;      /* the XML as it stands */
    struct _xmlDoc *doc; /* NULL when it could not be parsed */
    struct _xmlDoc *xsd; /* the grammar as a document: documentation and defaults */
    problem_list problems;
} xml_file;
/* path NULL: reads `embedded`, called `name` in messages. Status is only for what is no fault of the file's content
 * (unreadable, no memory); faults of content are in f->problems. xml_file_fini in every case. */
cot_status xml_file_init(xml_file *f, const char *path, cot_blob embedded, const char *name, cot_blob xsd,
                         cot_error *err);
void xml_file_fini(xml_file *f);

xml_node *xml_root(const xml_file *f);
xml_node *xml_child(const xml_node *parent, const char *name); /* first child element of that name, or NULL */
xml_node *xml_sibling(const xml_node *node, const char *name); /* next one of that name, or NULL */
size_t xml_count(const xml_node *parent, const char *name);
bool xml_has(const xml_node *node, const char *attribute);
/* The attribute's value, or the XSD's default when it (or the whole node: NULL) is absent. A value of more bytes than
 * `size` holds is a problem. `element` names the node's element. */
void xml_text(xml_file *f, char *to, size_t size, const xml_node *node, const char *element, const char *attribute);
double xml_number(xml_file *f, const xml_node *node, const char *element, const char *attribute);
bool xml_flag(xml_file *f, const xml_node *node, const char *element, const char *attribute);
/* Text between the tags, white space folded. */
void xml_content(xml_file *f, char *to, size_t size, const xml_node *node);
/* Line of the attribute, of the element where it is absent, or 1 without a node. */
long xml_line(const xml_file *f, const xml_node *node, const char *attribute);

/* ---- grammar (xml_schema.c) ---- */
/* Validates f->doc; each deviation becomes a plain sentence in f->problems. */
cot_status xml_validate(xml_file *f, cot_blob xsd, cot_error *err);
/* Default of an attribute; false when the XSD gives none. */
bool xsd_default(const xml_file *f, char *to, size_t size, const char *element, const char *attribute);
/* Documentation of an attribute: the rule its values follow. */
bool xsd_rule(const xml_file *f, char *to, size_t size, const char *element, const char *attribute);
#endif
