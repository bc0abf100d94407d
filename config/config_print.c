/* cot_config → XML of the same grammar, every attribute spelled out: loading the output gives the same configuration.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config_fields.h"

#include <string.h>

static void print_escaped(const char *text, FILE *stream)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", stream); break;
        case '<': fputs("&lt;", stream); break;
        case '>': fputs("&gt;", stream); break;
        case '"': fputs("&quot;", stream); break;
        default: fputc(*text, stream);
        }
    }
}

/* Six digits, as the XSD allows, without trailing zeros: "5", "0.25". */
static void print_real(double value, FILE *stream)
{
    char text[400];
    const int n = snprintf(text, sizeof text, "%.6f", value);
    size_t end = n > 0 && (size_t)n < sizeof text ? (size_t)n : 0;
    while (end && text[end - 1] == '0') end--;
    if (end && text[end - 1] == '.') end--;
    fprintf(stream, "%.*s", (int)end, text);
}

static void print_field(const void *object, const config_field *field, FILE *stream)
{
    const void *from = (const char *)object + field->offset;
    fprintf(stream, " %s=\"", field->attribute);
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_PATH: print_escaped(from, stream); break;
    case FIELD_UNSIGNED: fprintf(stream, "%u", *(const unsigned *)from); break;
    case FIELD_SIZE: fprintf(stream, "%zu", *(const size_t *)from); break;
    case FIELD_REAL: print_real(*(const double *)from, stream); break;
    case FIELD_FLAG: fputs(*(const bool *)from ? "true" : "false", stream); break;
    case FIELD_LEVEL: fputs(config_level_names()[*(const cot_level *)from], stream); break;
    }
    fputc('"', stream);
}

static void print_element(const void *object, const char *element, FILE *stream)
{
    fprintf(stream, "  <%s", element);
    for (const config_field *field = config_fields; field->element; field++)
        if (!strcmp(field->element, element)) print_field(object, field, stream);
    fputs("/>\n", stream);
}

cot_status cot_config_print(const cot_config *config, FILE *stream, cot_error *err)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<node xmlns=\"urn:cot:node:1\">\n", stream);
    print_element(config, "listen", stream);
    for (size_t i = 0; i < config->n_accept; i++) print_element(&config->accept[i], "accept", stream);
    print_element(config, "store", stream);
    print_element(config, "reader", stream);
    print_element(config, "report", stream);
    for (size_t i = 0; i < config->n_destinations; i++) print_element(&config->destinations[i], "send", stream);
    print_element(config, "log", stream);
    fputs("</node>\n", stream);
    if (fflush(stream) != 0 || ferror(stream))
        return cot_fail(err, COT_E_IO, "the configuration could not be written out");
    return COT_OK;
}
