/* What the XSD cannot say about a configuration: addresses, names used twice, values that contradict each other, files that
 * must be right themselves. Needs no network and opens nothing but the step schema.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config_fields.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* 4, 6 or 0: the family of a numeric address. */
static int family_of(const char *text)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, text, address) == 1) return 4;
    return inet_pton(AF_INET6, text, address) == 1 ? 6 : 0;
}

static bool is_block(const char *host)
{
    char address[256];
    const char *slash = strchr(host, '/');
    const size_t n = slash ? (size_t)(slash - host) : strlen(host);
    if (n >= sizeof address) return false;
    memcpy(address, host, n);
    address[n] = 0;
    const int family = family_of(address);
    return family && (!slash || strtoul(slash + 1, NULL, 10) <= (family == 4 ? 32u : 128u));
}

/* A numeric address, or a name of labels of 1 to 63 letters, digits, hyphens, underscores. */
static bool is_host(const char *host)
{
    if (family_of(host)) return true;
    if (strchr(host, ':') || !host[0]) return false;
    if (strspn(host, "0123456789.") == strlen(host)) return false; /* looks like IPv4 and is none */
    for (const char *label = host; *label;) {
        const size_t n = strcspn(label, ".");
        if (n < 1 || n > 63 || label[0] == '-' || label[n - 1] == '-') return false;
        label += n;
        if (*label == '.') label++;
    }
    return true;
}

static void check_listen(xml_file *f, const cot_config *c, const xml_node *root)
{
    const xml_node *listen = xml_child(root, "listen");
    if (!family_of(c->bind))
        problem_add(&f->problems, xml_line(f, listen, "bind"),
                    "bind=\"%s\" is no address. Give an IPv4 or IPv6 address of this machine, or 0.0.0.0 for all",
                    c->bind);
    size_t i = 0;
    for (const xml_node *n = xml_child(root, "accept"); n; n = xml_sibling(n, "accept"), i++)
        if (strcmp(c->accept[i].host, "*") != 0 && !is_block(c->accept[i].host))
            problem_add(&f->problems, xml_line(f, n, "host"),
                        "host=\"%s\" is no address or block. Give an address, a block such as 10.0.0.0/24, or *",
                        c->accept[i].host);
}

static bool is_this_machine(const cot_config *c, const char *host)
{
    return !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcasecmp(host, "localhost") ||
           !strcmp(host, c->bind);
}

static void check_destination(xml_file *f, const cot_config *c, size_t i, const xml_node *n)
{
    const cot_config_destination *d = &c->destinations[i];
    for (size_t k = 0; k < i; k++)
        if (!strcasecmp(c->destinations[k].name, d->name)) {
            problem_add(&f->problems, xml_line(f, n, "to"), "to=\"%s\" names two destinations. Give each its own name",
                        d->name);
            break;
        }
    if (!is_host(d->host))
        problem_add(&f->problems, xml_line(f, n, "host"), "host=\"%s\" is no host name or address. Correct it",
                    d->host);
    else if (family_of(d->host) == 6) /* DCMTK 3.6.7 opens IPv4 connections only */
        problem_add(
            &f->problems, xml_line(f, n, "host"),
            "host=\"%s\" is an IPv6 address, and reports are sent over IPv4 only. Give the peer's IPv4 address, or "
            "a name that has one",
            d->host);
    if (d->retry_first_s > d->retry_max_s)
        problem_add(&f->problems, xml_line(f, n, "retry-first-s"),
                    "retry-first-s=\"%u\" is more than retry-max-s=\"%u\". Lower the first or raise the second",
                    d->retry_first_s, d->retry_max_s);
    if ((double)d->retry_first_s > d->retry_hours * 3600)
        problem_add(&f->problems, xml_line(f, n, "retry-hours"),
                    "retry-hours=\"%g\" ends before the second try after %u seconds. Raise it or lower retry-first-s",
                    d->retry_hours, d->retry_first_s);
    if (!strcmp(d->profile, "legacy") && !strcmp(d->report, "measurement"))
        problem_add(
            &f->problems, xml_line(f, n, "report"),
            "report=\"measurement\" with profile=\"legacy\" sends nothing: legacy has no measurement report. Take "
            "air or stone, or report=\"reading\"");
    if (d->port == c->port && is_this_machine(c, d->host))
        problem_add(&f->problems, xml_line(f, n, "port"),
                    "destination \"%s\" is this node itself (port %u). Send to another node", d->name, d->port);
}

static void check_report(xml_file *f, const cot_config *c, const xml_node *root)
{
    const xml_node *report = xml_child(root, "report");
    if (!strcmp(c->title.value, "126000") && !strcmp(c->title.scheme, "DCM"))
        problem_add(&f->problems, xml_line(f, report, "title-code"),
                    "title (126000, DCM) is that of a measurement report: viewers would show no text. Take a title of "
                    "PS3.16 CID 7000, e.g. (18748-4, LN)");
    if (c->uid_root[0] && c->uid_root[0] != '2' && c->uid_root[1] == '.' && strtoul(c->uid_root + 2, NULL, 10) > 39)
        problem_add(&f->problems, xml_line(f, report, "uid-root"),
                    "uid-root=\"%s\": under 0 and 1 the second number is at most 39. Correct it", c->uid_root);
}

static void check_reader(xml_file *f, const cot_config *c, const xml_node *root)
{
    /* words other programs take for "choose for me"; here they would match no device's name */
    static const char *const no_device[] = {"auto", "best", "any", "all", "default", "none", "*"};
    const xml_node *reader = xml_child(root, "reader");
    for (size_t i = 0; i < sizeof no_device / sizeof *no_device; i++)
        if (!strcasecmp(c->device, no_device[i]))
            problem_add(&f->problems, xml_line(f, reader, "device"),
                        "device=\"%s\" names no device. Leave it out for the best one, or give cpu, gpu or part of a "
                        "name from: stepcot devices",
                        c->device);
    if (c->decode_memory_mib < c->max_object_mib)
        problem_add(&f->problems, xml_line(f, reader, "decode-memory-mib"),
                    "decode-memory-mib=\"%zu\" is less than the store's max-object-mib=\"%zu\". Raise it: several "
                    "times as much is usual",
                    c->decode_memory_mib, c->max_object_mib);
    if (!c->steps[0]) return;
    cot_steps *steps = NULL;
    cot_error why = COT_ERROR_INIT;
    if (cot_steps_load(&steps, c->steps, &why) != COT_OK) {
        for (char *end = strchr(why.text, '\n'); end; end = strchr(end, '\n')) *end = ';'; /* one problem, one line */
        problem_add(&f->problems, xml_line(f, reader, "steps"), "the step schema is not usable: %.400s", why.text);
    }
    cot_steps_destroy(steps);
}

void config_check(xml_file *f, const cot_config *config)
{
    const xml_node *root = xml_root(f);
    check_listen(f, config, root);
    check_reader(f, config, root);
    check_report(f, config, root);
    size_t i = 0;
    for (const xml_node *n = xml_child(root, "send"); n; n = xml_sibling(n, "send"))
        check_destination(f, config, i++, n);
}
