/* Validation against an embedded XSD, in plain sentences: libxml2 says where and which rule; what is allowed there, and the
 * rule in words, is read from the XSD itself (its xs:documentation), so that grammar and message cannot differ.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/nearest.h"
#include "config/xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlschemas.h>
#include <string.h>

/* ---- looking things up in the XSD ---- */
static bool is_element(const xmlNode *n, const char *name)
{
    return n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name);
}

static bool prop_is(const xmlNode *n, const char *attribute, const char *value)
{
    xmlChar *got = xmlGetProp(n, (const xmlChar *)attribute);
    const bool same = got && !strcmp((const char *)got, value);
    xmlFree(got);
    return same;
}

/* First xs:<kind> below `n` (document order) whose `attribute` is `value`; recursion is bounded by the embedded XSD. */
static xmlNode *find_below(xmlNode *n, const char *kind, const char *attribute, const char *value)
{
    for (xmlNode *c = n ? n->children : NULL; c; c = c->next) {
        if (is_element(c, kind) && prop_is(c, attribute, value)) return c;
        xmlNode *deeper = find_below(c, kind, attribute, value);
        if (deeper) return deeper;
    }
    return NULL;
}

/* The xs:element (or the complex type it names) that declares `element`'s attributes. */
static xmlNode *declaration(const xml_file *f, const char *element)
{
    xmlNode *root = f->xsd ? xmlDocGetRootElement(f->xsd) : NULL;
    xmlNode *e = find_below(root, "element", "name", element);
    xmlChar *type = e ? xmlGetProp(e, (const xmlChar *)"type") : NULL;
    xmlNode *named = type ? find_below(root, "complexType", "name", (const char *)type) : NULL;
    xmlFree(type);
    return named ? named : e;
}

bool xsd_default(const xml_file *f, char *to, size_t size, const char *element, const char *attribute)
{
    xmlNode *a = find_below(declaration(f, element), "attribute", "name", attribute);
    xmlChar *value = a ? xmlGetProp(a, (const xmlChar *)"default") : NULL;
    if (value) snprintf(to, size, "%s", (const char *)value);
    xmlFree(value);
    return value != NULL;
}

bool xsd_rule(const xml_file *f, char *to, size_t size, const char *element, const char *attribute)
{
    xmlNode *a = find_below(declaration(f, element), "attribute", "name", attribute);
    xmlNode *note = a ? xml_child(xml_child(a, "annotation"), "documentation") : NULL;
    xmlChar *text = note ? xmlNodeGetContent(note) : NULL;
    if (text) snprintf(to, size, "%s", (const char *)text);
    xmlFree(text);
    return text != NULL;
}

/* "ae, bind, port": names (or refs) of all xs:<kind> below the declaration; and the one nearest to `word`, or "". */
static void list_allowed(const xml_file *f, const char *element, const char *kind, const char *word, char *list,
                         size_t size, char *nearest, size_t nearest_size)
{
    char names[64][64];
    const char *words[64];
    size_t n = 0, at = 0;
    list[0] = nearest[0] = 0;
    xmlNode *top = declaration(f, element);
    xmlNode *group = top && is_element(top, "element") ? xml_child(top, "complexType") : top;
    if (group && !strcmp(kind, "element")) group = xml_child(group, "sequence");
    for (xmlNode *c = xml_child(group, kind); c && n < 64; c = xml_sibling(c, kind)) {
        xmlChar *name = xmlGetProp(c, (const xmlChar *)(xml_has(c, "name") ? "name" : "ref"));
        snprintf(names[n], sizeof names[n], "%s", name ? (const char *)name : "");
        words[n] = names[n];
        xmlFree(name);
        const int more = snprintf(list + at, size - at, "%s%s", n ? ", " : "", names[n]);
        if (more > 0 && (size_t)more < size - at) at += (size_t)more;
        n++;
    }
    const char *best = cot_nearest(word, words, n);
    if (best) snprintf(nearest, nearest_size, "%s", best);
}

/* ---- sentences ---- */
/* The text between `before` and the next ' in the message, without a {namespace}. */
static void quoted_after(char *to, size_t size, const char *message, const char *before)
{
    to[0] = 0;
    const char *at = strstr(message, before);
    if (!at) return;
    at += strlen(before);
    const size_t n = strcspn(at, "'");
    const char *brace = memchr(at, '}', n);
    const char *from = brace ? brace + 1 : at;
    snprintf(to, size, "%.*s", (int)(at + n - from), from);
}

static void say_unknown_attribute(xml_file *f, const xmlNode *e, const char *attribute)
{
    char allowed[400], nearest[64];
    const char *element = (const char *)e->name;
    list_allowed(f, element, "attribute", attribute, allowed, sizeof allowed, nearest, sizeof nearest);
    problem_add(&f->problems, xml_line(f, e, attribute), "<%s> has no attribute \"%.40s\". %s%s%s%s%s", element,
                attribute, nearest[0] ? "Did you mean " : "Remove it", nearest, nearest[0] ? "?" : ".",
                allowed[0] ? " Allowed: " : "", allowed);
}

static void say_missing_attribute(xml_file *f, const xmlNode *e, const char *attribute)
{
    char rule[256] = "";
    const char *element = (const char *)e->name;
    xsd_rule(f, rule, sizeof rule, element, attribute);
    problem_add(&f->problems, xml_line(f, e, NULL), "<%s> lacks the attribute \"%s\". Add %s=\"…\": %s", element,
                attribute, attribute, rule);
}

static void say_value(xml_file *f, const xmlNode *e, const char *attribute)
{
    char rule[256] = "";
    const char *element = (const char *)e->name;
    xmlChar *value = xmlGetProp(e, (const xmlChar *)attribute);
    xsd_rule(f, rule, sizeof rule, element, attribute);
    problem_add(&f->problems, xml_line(f, e, attribute), "%s=\"%.60s\" of <%s> is not valid. Give %s", attribute,
                value ? (const char *)value : "", element, rule[0] ? rule : "a value of the right kind");
    xmlFree(value);
}

static void say_content(xml_file *f, const xmlNode *e, const char *message)
{
    char allowed[400], nearest[64];
    const char *element = (const char *)e->name;
    const bool missing = strstr(message, "Missing child") != NULL;
    const xmlNode *parent = missing ? e : e->parent;
    const char *inside = parent && parent->type == XML_ELEMENT_NODE ? (const char *)parent->name : element;
    list_allowed(f, inside, "element", element, allowed, sizeof allowed, nearest, sizeof nearest);
    if (missing)
        problem_add(&f->problems, xml_line(f, e, NULL), "<%s> is not complete. Its elements are, in this order: %s",
                    element, allowed);
    else if (nearest[0] && strcmp(nearest, element) == 0)
        problem_add(&f->problems, xml_line(f, e, NULL),
                    "<%s> is not expected here: out of order, or one too many. The order in <%s> is: %s", element,
                    inside, allowed);
    else if (allowed[0])
        problem_add(&f->problems, xml_line(f, e, NULL),
                    "unknown element <%.40s> in <%s>. %s%s%sAllowed, in this order: %s", element, inside,
                    nearest[0] ? "Did you mean <" : "", nearest, nearest[0] ? ">? " : "", allowed);
    else
        problem_add(&f->problems, xml_line(f, e, NULL), "<%s> has no elements inside. Remove <%.40s>", inside, element);
}

static void say_root(xml_file *f, const xmlNode *e)
{
    xmlNode *root = xmlDocGetRootElement(f->xsd), *first = xml_child(root, "element");
    xmlChar *name = xmlGetProp(first, (const xmlChar *)"name");
    xmlChar *ns = xmlGetProp(root, (const xmlChar *)"targetNamespace");
    problem_add(&f->problems, xml_line(f, e, NULL),
                "the file begins with <%.40s> of namespace \"%.60s\". Begin with <%s xmlns=\"%s\">",
                (const char *)e->name, e->ns && e->ns->href ? (const char *)e->ns->href : "",
                name ? (const char *)name : "", ns ? (const char *)ns : "");
    xmlFree(name);
    xmlFree(ns);
}

/* libxml2's own words, namespaces taken out, for the rules that need no better ones. */
static void say_as_is(xml_file *f, const xmlNode *e, const char *message)
{
    char text[300];
    size_t n = 0;
    for (const char *c = message; *c && *c != '\n' && n + 1 < sizeof text; c++) {
        if (*c == '{' && strchr(c, '}'))
            c = strchr(c, '}');
        else
            text[n++] = *c;
    }
    text[n] = 0;
    problem_add(&f->problems, xml_line(f, e, NULL), "%s Compare with the output of: stepcot config default", text);
}

static void on_violation(void *ctx, xmlErrorPtr error)
{
    xml_file *f = ctx;
    const xmlNode *n = error->node;
    const char *message = error->message ? error->message : "";
    const xmlNode *e = n && n->type == XML_ATTRIBUTE_NODE ? n->parent : n;
    char attribute[64];
    if (f->problems.n >= PROBLEMS_MAX) return; /* finding lines costs a look at the whole file each time */
    if (!e) {
        problem_add(&f->problems, error->line > 0 ? error->line : 1, "%.*s", (int)strcspn(message, "\n"), message);
        return;
    }
    quoted_after(attribute, sizeof attribute, message, "attribute '");
    switch (error->code) {
    case XML_SCHEMAV_CVC_COMPLEX_TYPE_3_2_1:
    case XML_SCHEMAV_CVC_COMPLEX_TYPE_3_2_2: say_unknown_attribute(f, e, attribute); break;
    case XML_SCHEMAV_CVC_COMPLEX_TYPE_4: say_missing_attribute(f, e, attribute); break;
    case XML_SCHEMAV_ELEMENT_CONTENT: say_content(f, e, message); break;
    case XML_SCHEMAV_CVC_ELT_1: say_root(f, e); break;
    case XML_SCHEMAV_CVC_COMPLEX_TYPE_2_1:
    case XML_SCHEMAV_CVC_COMPLEX_TYPE_2_3:
        problem_add(&f->problems, xml_line(f, e, NULL),
                    "<%s> has text or elements inside that it must not have. Put values into its attributes",
                    (const char *)e->name);
        break;
    default:
        if (attribute[0])
            say_value(f, e, attribute);
        else
            say_as_is(f, e, message);
    }
}

cot_status xml_validate(xml_file *f, cot_blob xsd, cot_error *err)
{
    cot_status status = COT_OK;
    xmlSchemaParserCtxtPtr parser = NULL;
    xmlSchemaPtr schema = NULL;
    xmlSchemaValidCtxtPtr check = NULL;
    f->xsd = xmlReadMemory((const char *)xsd.data, (int)xsd.size, NULL, NULL, XML_PARSE_NONET);
    if (f->xsd) parser = xmlSchemaNewMemParserCtxt((const char *)xsd.data, (int)xsd.size);
    if (parser) schema = xmlSchemaParse(parser);
    if (schema) check = xmlSchemaNewValidCtxt(schema);
    if (!check) {
        status = cot_fail(err, COT_E_BUG, "%s: the program's own XML grammar cannot be read", f->problems.file);
        goto done;
    }
    xmlSchemaSetValidStructuredErrors(check, on_violation, f);
    const int bad = xmlSchemaValidateDoc(check, f->doc);
    if (bad < 0) status = cot_fail(err, COT_E_BUG, "%s: libxml2 failed while it validated", f->problems.file);
    if (bad > 0 && !f->problems.n)
        problem_add(&f->problems, 1, "does not follow its grammar. Compare with: stepcot config default");
done:
    xmlSchemaFreeValidCtxt(check);
    xmlSchemaFree(schema);
    xmlSchemaFreeParserCtxt(parser);
    return status;
}
