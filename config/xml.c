/* Bounded parsing with libxml2 (xml.h): at most 1 MiB and 32 levels, no network, no DOCTYPE and hence no entities. The
 * parser is stopped in its own call-backs, before a DTD's contents or a deeper element is looked at.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

/* ---- parsing ---- */
static xml_file *file_of(void *ctx)
{
    return ((xmlParserCtxtPtr)ctx)->_private;
}

static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name, (void)external, (void)system;
    xmlParserCtxtPtr parser = ctx;
    problem_add(&file_of(ctx)->problems, parser->input ? parser->input->line : 1,
                "a DOCTYPE is not accepted (it could define entities). Remove the <!DOCTYPE …> declaration");
    xmlStopParser(parser);
}

/* xsi:schemaLocation would make the validator fetch what it names, xsi:type choose another grammar: five strings an attribute,
 * the third its namespace. */
static bool has_schema_hint(int n_attributes, const xmlChar **attributes)
{
    for (int i = 0; i < n_attributes; i++) {
        const char *uri = (const char *)attributes[5 * i + 2];
        if (uri && !strcmp(uri, "http://www.w3.org/2001/XMLSchema-instance")) return true;
    }
    return false;
}

static void on_element(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_spaces,
                       const xmlChar **spaces, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
    xmlParserCtxtPtr parser = ctx;
    if (parser->nodeNr >= XML_MAX_DEPTH) {
        problem_add(&file_of(ctx)->problems, parser->input ? parser->input->line : 1,
                    "elements are nested deeper than %d. Close the open elements", XML_MAX_DEPTH);
        xmlStopParser(parser);
        return;
    }
    if (has_schema_hint(n_attributes, attributes)) {
        problem_add(&file_of(ctx)->problems, parser->input ? parser->input->line : 1,
                    "schema hints (xsi:schemaLocation and the like) are not followed. Remove the attribute");
        xmlStopParser(parser);
        return;
    }
    xmlSAX2StartElementNs(ctx, name, prefix, uri, n_spaces, spaces, n_attributes, n_defaulted, attributes);
}

static void on_error(void *ctx, xmlErrorPtr e)
{
    xml_file *f = file_of(ctx);
    if (f->problems.n || e->level < XML_ERR_ERROR) return; /* what follows the first fault is mostly its echo */
    char text[300];
    snprintf(text, sizeof text, "%s", e->message ? e->message : "unknown fault");
    text[strcspn(text, "\n")] = 0;
    problem_add(&f->problems, e->line, "not well-formed XML: %s. Correct the markup there", text);
}

static cot_status parse(xml_file *f, cot_error *err)
{
    xmlInitParser();
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    if (!parser) return cot_fail(err, COT_E_MEMORY, "%s: no memory for the XML parser", f->problems.file);
    parser->_private = f;
    parser->sax->internalSubset = on_doctype;
    parser->sax->startElementNs = on_element;
    parser->sax->serror = on_error;
    f->doc = xmlCtxtReadMemory(parser, (const char *)f->bytes.data, (int)f->bytes.size, NULL, NULL,
                               XML_PARSE_NONET | XML_PARSE_BIG_LINES);
    if (!f->doc && !f->problems.n)
        problem_add(&f->problems, 1, "this is not an XML file. Start from the output of: stepcot config default");
    if (f->problems.n && f->doc) {
        xmlFreeDoc(f->doc);
        f->doc = NULL;
    }
    xmlFreeParserCtxt(parser);
    return COT_OK;
}

/* Too large or not a regular file is a fault of the file, anything else one of the machine or the caller. */
static cot_status read_file(xml_file *f, const char *path, cot_error *err)
{
    size_t size = 0;
    cot_error why = COT_ERROR_INIT;
    const cot_status status = cot_file_read(&f->owned, &size, path, XML_MAX_BYTES, &why);
    f->bytes = (cot_blob){(const unsigned char *)f->owned, size};
    if (status == COT_E_LIMIT)
        problem_add(&f->problems, 1, "the file is larger than 1 MiB. No configuration is: is this the right file?");
    else if (status == COT_E_INPUT)
        problem_add(&f->problems, 1, "not a regular file. Name an XML file");
    else if (status == COT_E_IO)
        return cot_fail(err, COT_E_CONFIG,
                        "%s. Name an existing file; `stepcot config default` prints one to begin with", why.text);
    else if (status != COT_OK)
        return cot_fail(err, status, "%s", why.text);
    return COT_OK;
}

cot_status xml_file_init(xml_file *f, const char *path, cot_blob embedded, const char *name, cot_blob xsd,
                         cot_error *err)
{
    cot_status status = COT_OK;
    memset(f, 0, sizeof *f);
    if (snprintf(f->problems.file, sizeof f->problems.file, "%s", path ? path : name) >= (int)sizeof f->problems.file)
        return cot_fail(err, COT_E_CONFIG, "the path of the XML file is longer than 1023 bytes. Move the file");
    f->bytes = embedded;
    if (path) COT_TRY(read_file(f, path, err));
    if (!f->problems.n) COT_TRY(parse(f, err));
    if (!f->problems.n) COT_TRY(xml_validate(f, xsd, err));
done:
    return status;
}

void xml_file_fini(xml_file *f)
{
    if (f->doc) xmlFreeDoc(f->doc);
    if (f->xsd) xmlFreeDoc(f->xsd);
    free(f->owned);
    free(f->problems.items);
    memset(f, 0, sizeof *f);
}

/* ---- reading ---- */
xml_node *xml_root(const xml_file *f)
{
    return f->doc ? xmlDocGetRootElement(f->doc) : NULL;
}

static xml_node *from(xml_node *node, const char *name)
{
    while (node && (node->type != XML_ELEMENT_NODE || strcmp((const char *)node->name, name) != 0)) node = node->next;
    return node;
}

xml_node *xml_child(const xml_node *parent, const char *name)
{
    return parent ? from(parent->children, name) : NULL;
}

xml_node *xml_sibling(const xml_node *node, const char *name)
{
    return from(node->next, name);
}

size_t xml_count(const xml_node *parent, const char *name)
{
    size_t n = 0;
    for (const xml_node *c = xml_child(parent, name); c; c = xml_sibling(c, name)) n++;
    return n;
}

bool xml_has(const xml_node *node, const char *attribute)
{
    return node && xmlHasProp((xmlNodePtr)(uintptr_t)node, (const xmlChar *)attribute) != NULL;
}

static void copy_bounded(xml_file *f, char *to, size_t size, const char *text, const xml_node *node, const char *what)
{
    if (strlen(text) >= size) {
        problem_add(&f->problems, xml_line(f, node, what), "%s has %zu bytes. Shorten it to at most %zu bytes", what,
                    strlen(text), size - 1);
        to[0] = 0;
        return;
    }
    memcpy(to, text, strlen(text) + 1);
}

void xml_text(xml_file *f, char *to, size_t size, const xml_node *node, const char *element, const char *attribute)
{
    to[0] = 0;
    xmlChar *value = node ? xmlGetProp(node, (const xmlChar *)attribute) : NULL;
    if (value)
        copy_bounded(f, to, size, (const char *)value, node, attribute);
    else
        xsd_default(f, to, size, element, attribute);
    xmlFree(value);
}

double xml_number(xml_file *f, const xml_node *node, const char *element, const char *attribute)
{
    char text[64];
    xml_text(f, text, sizeof text, node, element, attribute);
    /* strtod obeys the locale; this program never sets one, so the point is a point */
    return strtod(text, NULL);
}

bool xml_flag(xml_file *f, const xml_node *node, const char *element, const char *attribute)
{
    char text[64];
    xml_text(f, text, sizeof text, node, element, attribute);
    return strstr(text, "true") || strchr(text, '1');
}

void xml_content(xml_file *f, char *to, size_t size, const xml_node *node)
{
    to[0] = 0;
    xmlChar *value = node ? xmlNodeGetContent(node) : NULL;
    if (!value) return;
    size_t n = 0;
    for (const xmlChar *c = value; *c; c++) {
        const bool space = *c == ' ' || *c == '\n' || *c == '\r' || *c == '\t';
        if (!space)
            value[n++] = *c;
        else if (n && value[n - 1] != ' ')
            value[n++] = ' ';
    }
    while (n && value[n - 1] == ' ') n--;
    value[n] = 0;
    copy_bounded(f, to, size, (const char *)value, node, (const char *)node->name);
    xmlFree(value);
}

/* ---- lines ---- */
static const char *line_end(const xml_file *f, long line)
{
    const char *c = (const char *)f->bytes.data, *end = c + f->bytes.size;
    for (; c < end; c++)
        if (*c == '\n' && --line == 0) break;
    return c;
}

/* libxml2 gives the line where a start tag ends; people want the line of the attribute. Looks for the tag's begin backwards
 * and for the attribute's name from there; when the text is not as expected (another encoding), the tag's end must do. */
long xml_line(const xml_file *f, const xml_node *node, const char *attribute)
{
    if (!node) return 1;
    const long last = xmlGetLineNo((xmlNodePtr)(uintptr_t)node);
    const char *begin = (const char *)f->bytes.data, *end = line_end(f, last), *tag = NULL;
    const size_t name = strlen((const char *)node->name);
    for (const char *c = end; c-- > begin && !tag;)
        if (*c == '<' && (size_t)(end - c) > name && !strncmp(c + 1, (const char *)node->name, name)) tag = c;
    if (!tag) return last;
    const char *at = tag;
    const size_t wanted = attribute && xml_has(node, attribute) ? strlen(attribute) : 0;
    char quote = 0;
    for (const char *c = tag + 1 + name; wanted && c + wanted < end; c++) {
        if (quote) {
            if (*c == quote) quote = 0;
        } else if (*c == '"' || *c == '\'') {
            quote = *c;
        } else if (strchr(" \t\r\n", c[-1]) && !strncmp(c, attribute, wanted) && strchr("= \t\r\n", c[wanted])) {
            at = c;
            break;
        }
    }
    long line = last;
    for (const char *c = at; c < end; c++) line -= *c == '\n';
    return line;
}
