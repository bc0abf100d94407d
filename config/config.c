/* stepcot.xml → cot_config. Grammar and defaults are the XSD's; what XSD cannot say is config_check.c's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/config_fields.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODE(e, a, k, m)                                                                                               \
    {                                                                                                                  \
        e, a, k, offsetof(cot_config, m), sizeof(((cot_config *)0)->m)                                                 \
    }
#define ACCEPT(a, k, m)                                                                                                \
    {                                                                                                                  \
        "accept", a, k, offsetof(cot_config_accept, m), sizeof(((cot_config_accept *)0)->m)                            \
    }
#define SEND(a, k, m)                                                                                                  \
    {                                                                                                                  \
        "send", a, k, offsetof(cot_config_destination, m), sizeof(((cot_config_destination *)0)->m)                    \
    }

const config_field config_fields[] = {
    NODE("listen", "ae", FIELD_TEXT, ae),
    NODE("listen", "bind", FIELD_TEXT, bind),
    NODE("listen", "port", FIELD_UNSIGNED, port),
    NODE("listen", "max-associations", FIELD_UNSIGNED, max_associations),
    NODE("listen", "pdu", FIELD_UNSIGNED, pdu),
    NODE("listen", "acse-timeout-s", FIELD_UNSIGNED, acse_timeout_s),
    NODE("listen", "dimse-timeout-s", FIELD_UNSIGNED, dimse_timeout_s),
    ACCEPT("ae", FIELD_TEXT, ae),
    ACCEPT("host", FIELD_TEXT, host),
    NODE("store", "path", FIELD_PATH, store),
    NODE("store", "watermark-mib", FIELD_SIZE, watermark_mib),
    NODE("store", "max-object-mib", FIELD_SIZE, max_object_mib),
    NODE("store", "settle-s", FIELD_REAL, settle_s),
    NODE("store", "keep-days", FIELD_REAL, keep_days),
    NODE("reader", "device", FIELD_TEXT, device),
    NODE("reader", "package", FIELD_PATH, package),
    NODE("reader", "reader", FIELD_TEXT, reader),
    NODE("reader", "steps", FIELD_PATH, steps),
    NODE("reader", "gemm", FIELD_TEXT, gemm),
    NODE("reader", "batch", FIELD_UNSIGNED, batch),
    NODE("reader", "cache", FIELD_PATH, cache),
    NODE("reader", "decode-timeout-s", FIELD_UNSIGNED, decode_timeout_s),
    NODE("reader", "decode-memory-mib", FIELD_SIZE, decode_memory_mib),
    NODE("report", "manufacturer", FIELD_TEXT, manufacturer),
    NODE("report", "station", FIELD_TEXT, station),
    NODE("report", "series-number", FIELD_UNSIGNED, series_number),
    NODE("report", "title-code", FIELD_TEXT, title.value),
    NODE("report", "title-scheme", FIELD_TEXT, title.scheme),
    NODE("report", "title-meaning", FIELD_TEXT, title.meaning),
    NODE("report", "uid-root", FIELD_TEXT, uid_root),
    NODE("report", "per", FIELD_TEXT, per),
    SEND("to", FIELD_TEXT, name),
    SEND("host", FIELD_TEXT, host),
    SEND("port", FIELD_UNSIGNED, port),
    SEND("ae", FIELD_TEXT, ae),
    SEND("calling-ae", FIELD_TEXT, calling_ae),
    SEND("report", FIELD_TEXT, report),
    SEND("profile", FIELD_TEXT, profile),
    SEND("references", FIELD_TEXT, references),
    SEND("refusals", FIELD_FLAG, refusals),
    SEND("capture", FIELD_FLAG, capture),
    SEND("retry-hours", FIELD_REAL, retry_hours),
    SEND("retry-first-s", FIELD_UNSIGNED, retry_first_s),
    SEND("retry-max-s", FIELD_UNSIGNED, retry_max_s),
    SEND("timeout-s", FIELD_UNSIGNED, timeout_s),
    SEND("pdu", FIELD_UNSIGNED, pdu),
    NODE("log", "level", FIELD_LEVEL, log_level),
    {NULL, NULL, FIELD_TEXT, 0, 0},
};

const char *const *config_level_names(void)
{
    static const char *const names[] = {
        [COT_DEBUG] = "debug", [COT_INFO] = "info", [COT_WARN] = "warn", [COT_ERROR_LEVEL] = "error", NULL};
    return names;
}

/* ---- fields ---- */
static cot_level level_named(const char *word)
{
    for (size_t i = 0; config_level_names()[i]; i++)
        if (!strcmp(word, config_level_names()[i])) return (cot_level)i;
    return COT_INFO;
}

static void read_field(xml_file *f, void *object, const config_field *field, const xml_node *node)
{
    void *to = (char *)object + field->offset;
    const char *e = field->element, *a = field->attribute;
    char word[32];
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_PATH: xml_text(f, to, field->size, node, e, a); break;
    case FIELD_UNSIGNED: *(unsigned *)to = (unsigned)xml_number(f, node, e, a); break;
    case FIELD_SIZE: *(size_t *)to = (size_t)xml_number(f, node, e, a); break;
    case FIELD_REAL: *(double *)to = xml_number(f, node, e, a); break;
    case FIELD_FLAG: *(bool *)to = xml_flag(f, node, e, a); break;
    case FIELD_LEVEL:
        xml_text(f, word, sizeof word, node, e, a);
        *(cot_level *)to = level_named(word);
        break;
    }
}

/* All fields of one element; `node` NULL: the defaults. */
static void read_element(xml_file *f, void *object, const char *element, const xml_node *node)
{
    for (const config_field *field = config_fields; field->element; field++)
        if (!strcmp(field->element, element)) read_field(f, object, field, node);
}

/* ---- paths ---- */
/* Absolute folder of the XML file; without a file the working folder. */
static cot_status folder_of(char *folder, size_t size, const char *path, cot_error *err)
{
    char *whole = path ? realpath(path, NULL) : getcwd(NULL, 0);
    if (!whole && path && access(path, R_OK) == 0) whole = strdup("/"); /* in memory: its paths are absolute */
    if (!whole)
        return cot_fail(err, COT_E_CONFIG, "%s: its folder cannot be found", path ? path : "the working folder");
    char *slash = path ? strrchr(whole, '/') : NULL;
    if (slash) slash[slash == whole ? 1 : 0] = 0;
    const int n = snprintf(folder, size, "%s", whole);
    free(whole);
    return n < 0 || (size_t)n >= size ? cot_fail(err, COT_E_CONFIG, "the path of the XML file's folder is too long")
                                      : COT_OK;
}

static void resolve(xml_file *f, char *path, size_t size, const char *folder, const xml_node *node,
                    const char *attribute)
{
    char whole[2048];
    if (!path[0] || path[0] == '/') return;
    const int n = snprintf(whole, sizeof whole, "%s/%s", strcmp(folder, "/") ? folder : "", path);
    if (n < 0 || (size_t)n >= size) {
        problem_add(&f->problems, xml_line(f, node, attribute),
                    "%s: with its folder the path has more than %zu bytes. Shorten it", attribute, size - 1);
        return;
    }
    memcpy(path, whole, (size_t)n + 1);
}

static void resolve_all(xml_file *f, cot_config *config, const char *folder)
{
    if (!strcmp(config->package, "default")) config->package[0] = 0; /* the word the command line uses for it */
    for (const config_field *field = config_fields; field->element; field++)
        if (field->kind == FIELD_PATH &&
            !(!strcmp(field->attribute, "steps") && cot_steps_embedded((char *)config + field->offset)))
            resolve(f, (char *)config + field->offset, field->size, folder, xml_child(xml_root(f), field->element),
                    field->attribute);
    if (config->cache[0]) return;
    memcpy(config->cache, config->store, sizeof config->cache);
    const size_t n = strlen(config->cache);
    if (n + sizeof "/cache" <= sizeof config->cache) memcpy(config->cache + n, "/cache", sizeof "/cache");
}

/* ---- the whole ---- */
static cot_status read_lists(xml_file *f, cot_config *config, cot_error *err)
{
    const xml_node *root = xml_root(f);
    const size_t n_accept = xml_count(root, "accept"), n_send = xml_count(root, "send");
    config->accept = calloc(n_accept + 1, sizeof *config->accept);
    config->destinations = calloc(n_send + 1, sizeof *config->destinations);
    if (!config->accept || !config->destinations) return cot_fail(err, COT_E_MEMORY, "configuration: no memory");
    for (const xml_node *n = xml_child(root, "accept"); n; n = xml_sibling(n, "accept"))
        read_element(f, &config->accept[config->n_accept++], "accept", n);
    for (const xml_node *n = xml_child(root, "send"); n; n = xml_sibling(n, "send")) {
        cot_config_destination *d = &config->destinations[config->n_destinations++];
        read_element(f, d, "send", n);
        if (!d->calling_ae[0]) memcpy(d->calling_ae, config->ae, sizeof d->calling_ae);
    }
    return COT_OK;
}

static cot_status read_config(xml_file *f, cot_config *config, const char *path, cot_error *err)
{
    static const char *const single[] = {"listen", "store", "reader", "report", "log"};
    cot_status status = COT_OK;
    char folder[1024];
    COT_TRY(folder_of(folder, sizeof folder, path, err));
    snprintf(config->path, sizeof config->path, "%s", path ? path : "");
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        read_element(f, config, single[i], xml_child(xml_root(f), single[i]));
    COT_TRY(read_lists(f, config, err));
    resolve_all(f, config, folder);
    config_check(f, config);
done:
    return status;
}

/* Reads and checks; what is wrong is in f->problems. */
static cot_status open_config(xml_file *f, cot_config **out, const char *path, cot_error *err)
{
    cot_status status = COT_OK;
    *out = calloc(1, sizeof **out);
    COT_TRY(xml_file_init(f, path, cot_config_default_xml(), "stepcot.xml (embedded)",
                          (cot_blob){cot_stepcot_xsd, cot_stepcot_xsd_size}, err));
    if (!*out) {
        status = cot_fail(err, COT_E_MEMORY, "configuration: no memory");
        goto done;
    }
    if (!f->problems.n) COT_TRY(read_config(f, *out, path, err));
done:
    return status;
}

cot_status cot_config_load(cot_config **out, const char *path, cot_error *err)
{
    cot_status status = COT_OK;
    xml_file f;
    cot_config *config = NULL;
    *out = NULL;
    COT_TRY(open_config(&f, &config, path, err));
    COT_TRY(problems_fail(&f.problems, err));
    *out = config;
    config = NULL;
done:
    xml_file_fini(&f);
    cot_config_destroy(config);
    return status;
}

cot_status cot_config_check(const char *path, FILE *stream, size_t *problems, cot_error *err)
{
    cot_status status = COT_OK;
    xml_file f;
    cot_config *config = NULL;
    *problems = 0;
    COT_TRY(open_config(&f, &config, path, err));
    problems_write(&f.problems, stream);
    *problems = f.problems.n;
done:
    xml_file_fini(&f);
    cot_config_destroy(config);
    return status;
}

void cot_config_destroy(cot_config *config)
{
    if (!config) return;
    free(config->accept);
    free(config->destinations);
    free(config);
}

cot_blob cot_config_default_xml(void)
{
    return (cot_blob){cot_stepcot_xml, cot_stepcot_xml_size};
}
