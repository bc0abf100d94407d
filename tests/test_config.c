/* links: config */
/* The node's configuration: what is accepted, and that every fault is named with its line and its remedy.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/nearest.h"
#include "tests/check.h"

#include <unistd.h>

static cot_error err;

#define HEAD   "<?xml version='1.0'?>\n<node xmlns='urn:cot:node:1'>\n"
#define LISTEN "<listen ae='STEPCOT' port='11112'/>\n"
#define ACCEPT "<accept ae='*' host='*'/>\n"
#define SEND   "<send to='PACS' host='10.0.0.1' port='104' ae='PACS'/>\n"

/* Loads the text as a file in a folder of its own; *out may be NULL. */
static cot_status load_bytes(cot_config **out, const char *text, size_t size)
{
    char path[] = "/tmp/cot-config-XXXXXX";
    cot_config *config = NULL;
    const int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size) abort();
    close(fd);
    const cot_status status = cot_config_load(&config, path, &err);
    unlink(path);
    if (out)
        *out = config;
    else
        cot_config_destroy(config);
    return status;
}

static cot_status load(const char *text)
{
    return load_bytes(NULL, text, strlen(text));
}

TEST(the_default_configuration_is_valid_and_listens_for_this_machine_only)
{
    cot_config *c;
    REQUIRE_OK(cot_config_load(&c, NULL, &err));
    CHECK_TEXT(c->ae, "STEPCOT");
    CHECK_TEXT(c->bind, "127.0.0.1");
    CHECK_NUMBER(c->port, 11112);
    CHECK_NUMBER(c->n_accept, 2);
    CHECK_TEXT(c->accept[0].host, "127.0.0.1");
    CHECK_NUMBER(c->n_destinations, 0);
    CHECK_TEXT(c->title.value, "18748-4");
    CHECK_NEAR(c->settle_s, 5, 0);
    cot_config_destroy(c);
    size_t problems = 99;
    FILE *none = tmpfile();
    CHECK_OK(cot_config_check(COT_SOURCE_DIR "/config/stepcot.xml", none, &problems, &err));
    CHECK_NUMBER(problems, 0);
    CHECK_NUMBER(ftell(none), 0);
    fclose(none);
}

TEST(destinations_get_both_reports_unless_told_otherwise)
{
    cot_config *c;
    REQUIRE_OK(load_bytes(&c, HEAD LISTEN ACCEPT SEND "</node>", strlen(HEAD LISTEN ACCEPT SEND "</node>")));
    CHECK_TEXT(c->destinations[0].report, "both");
    CHECK_TEXT(c->destinations[0].profile, "air");
    CHECK_TEXT(c->destinations[0].references, "value");
    CHECK(!c->destinations[0].capture);
    CHECK_TEXT(c->per, "image");
    cot_config_destroy(c);
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='1' ae='P' profile='ohif'/></node>"), COT_E_CONFIG,
                "air, stone or legacy");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='1' ae='P' report='none'/></node>"), COT_E_CONFIG,
                "reading, measurement or both");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<report per='patient'/></node>"), COT_E_CONFIG, "image or study");
    CHECK_FAILS(
        load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='1' ae='P' report='measurement' profile='legacy'/></node>"),
        COT_E_CONFIG, "legacy has no measurement report");
}

TEST(the_annotated_default_says_the_values_that_are_used_without_it)
{
    cot_config *full, *least;
    REQUIRE_OK(cot_config_load(&full, NULL, &err));
    REQUIRE_OK(load_bytes(&least, HEAD LISTEN ACCEPT "</node>", strlen(HEAD LISTEN ACCEPT "</node>")));
    CHECK_TEXT(least->bind, full->bind);
    CHECK_NUMBER(least->max_associations, full->max_associations);
    CHECK_NUMBER(least->pdu, full->pdu);
    CHECK_NUMBER(least->acse_timeout_s, full->acse_timeout_s);
    CHECK_NUMBER(least->dimse_timeout_s, full->dimse_timeout_s);
    CHECK_NUMBER(least->watermark_mib, full->watermark_mib);
    CHECK_NUMBER(least->max_object_mib, full->max_object_mib);
    CHECK_NEAR(least->settle_s, full->settle_s, 0);
    CHECK_NEAR(least->keep_days, full->keep_days, 0);
    CHECK_TEXT(least->gemm, full->gemm);
    CHECK_NUMBER(least->batch, full->batch);
    CHECK_NUMBER(least->decode_timeout_s, full->decode_timeout_s);
    CHECK_NUMBER(least->decode_memory_mib, full->decode_memory_mib);
    CHECK_TEXT(least->manufacturer, full->manufacturer);
    CHECK_TEXT(least->station, full->station);
    CHECK_NUMBER(least->series_number, full->series_number);
    CHECK_TEXT(least->title.value, full->title.value);
    CHECK_TEXT(least->title.meaning, full->title.meaning);
    CHECK_TEXT(least->store, "/tmp/stepcot-store"); /* beside its file */
    CHECK_TEXT(least->cache, "/tmp/stepcot-store/cache");
    cot_config_destroy(full);
    cot_config_destroy(least);
}

TEST(what_is_printed_loads_to_the_same_values)
{
    const char *text = HEAD
        "<listen ae='A &amp; B' bind='::' port='0' max-associations='3' pdu='4096' acse-timeout-s='1' "
        "dimse-timeout-s='2'/>\n"
        "<accept ae='X' host='10.0.0.0/24'/><accept ae='*' host='fe80::/10'/>\n"
        "<store path='s &lt;&quot;&gt;' watermark-mib='1' max-object-mib='2' settle-s='0.25' keep-days='0.000001'/>\n"
        "<reader device='pocl' package='m' reader='both' gemm='tile' batch='3' cache='/c' decode-timeout-s='4' "
        "decode-memory-mib='300'/>\n"
        "<report manufacturer='M\xc3\xbcller' station='S' series-number='5' title-code='T' title-scheme='99X' "
        "title-meaning='t' uid-root='1.2.3' per='study'/>\n"
        "<send to='P_1' host='pacs.example.org' port='104' ae='PACS' report='measurement' profile='stone' "
        "references='reference' refusals='0' capture='1' retry-hours='0.5' retry-first-s='7' "
        "retry-max-s='8' timeout-s='9' pdu='5000'/>\n"
        "<log level='debug'/></node>";
    cot_config *a, *b;
    char first[8192], second[8192];
    REQUIRE_OK(load_bytes(&a, text, strlen(text)));
    CHECK_TEXT(a->ae, "A & B");
    CHECK_TEXT(a->store, "/tmp/s <\">");
    CHECK_TEXT(a->package, "/tmp/m");
    CHECK_TEXT(a->reader, "both");
    CHECK_TEXT(a->cache, "/c");
    CHECK_TEXT(a->destinations[0].calling_ae, "A & B");
    CHECK_TEXT(a->per, "study");
    CHECK(!a->destinations[0].refusals && a->destinations[0].capture && a->log_level == COT_DEBUG);
    CHECK_TEXT(a->destinations[0].report, "measurement");
    CHECK_TEXT(a->destinations[0].profile, "stone");
    CHECK_TEXT(a->destinations[0].references, "reference");
    FILE *stream = fmemopen(first, sizeof first, "w");
    REQUIRE_OK(cot_config_print(a, stream, &err));
    fclose(stream);
    REQUIRE_OK(load_bytes(&b, first, strlen(first)));
    stream = fmemopen(second, sizeof second, "w");
    REQUIRE_OK(cot_config_print(b, stream, &err));
    fclose(stream);
    CHECK_TEXT(second, first);
    CHECK_HAS(first, " settle-s=\"0.25\" keep-days=\"0.000001\"");
    CHECK_HAS(first, " retry-hours=\"0.5\"");
    CHECK(a->settle_s == b->settle_s && a->keep_days == b->keep_days);
    CHECK_NEAR(b->destinations[0].retry_hours, 0.5, 0);
    cot_config_destroy(a);
    cot_config_destroy(b);
}

TEST(an_unknown_attribute_is_named_with_its_line_the_nearest_and_what_is_allowed)
{
    CHECK_FAILS(load(HEAD "<listen ae='A'\n\n prot='1' port='2'/>\n" ACCEPT "</node>"), COT_E_CONFIG,
                ":5: <listen> has no attribute \"prot\". Did you mean port? Allowed: ae, bind, port,");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<log level='info' zzzzzzz='1'/></node>"), COT_E_CONFIG,
                "Remove it. Allowed: level");
}

TEST(an_unknown_element_is_named_with_the_order_of_the_known_ones)
{
    CHECK_FAILS(
        load(HEAD LISTEN ACCEPT "<stoer/></node>"), COT_E_CONFIG,
        ":5: unknown element <stoer> in <node>. Did you mean <store>? Allowed, in this order: listen, accept, store,");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<log/><store/></node>"), COT_E_CONFIG, ":5: <store> is not expected here");
    CHECK_FAILS(load(HEAD LISTEN LISTEN ACCEPT "</node>"), COT_E_CONFIG, ":4: <listen> is not expected here");
    CHECK_FAILS(load(HEAD LISTEN "</node>"), COT_E_CONFIG, ":2: <node> is not complete");
}

TEST(another_root_or_namespace_is_named_with_the_right_one)
{
    CHECK_FAILS(load("<knot/>"), COT_E_CONFIG, "Begin with <node xmlns=\"urn:cot:node:1\">");
    CHECK_FAILS(load("<node xmlns='urn:cot:node:2'/>"), COT_E_CONFIG, "urn:cot:node:2");
}

TEST(a_value_out_of_its_range_is_named_with_the_rule)
{
    CHECK_FAILS(load(HEAD "<listen ae='A' port='65536'/>" ACCEPT "</node>"), COT_E_CONFIG,
                ":3: port=\"65536\" of <listen> is not valid. Give a whole number from 0 to 65535");
    CHECK_FAILS(load(HEAD "<listen ae='A' port='x'/>" ACCEPT "</node>"), COT_E_CONFIG, "port=\"x\"");
    CHECK_FAILS(load(HEAD "<listen ae='A' port='1' pdu='4095'/>" ACCEPT "</node>"), COT_E_CONFIG, "from 4096 to 65536");
    CHECK_FAILS(load(HEAD "<listen ae='A' port='1' pdu='65537'/>" ACCEPT "</node>"), COT_E_CONFIG,
                "from 4096 to 65536");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='0' ae='P'/></node>"), COT_E_CONFIG,
                "from 1 to 65535");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P Q' host='h' port='1' ae='P'/></node>"), COT_E_CONFIG,
                "letters, digits");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<reader gemm='blas'/></node>"), COT_E_CONFIG, "Give auto, tile or clblast");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<log level='loud'/></node>"), COT_E_CONFIG, "Give debug, info, warn or error");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<store settle-s='-1'/></node>"), COT_E_CONFIG, "seconds from 0 to 86400");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<store settle-s='1e3'/></node>"), COT_E_CONFIG, "settle-s=\"1e3\"");
}

TEST(ae_titles_are_1_to_16_printable_characters_without_backslash)
{
    CHECK_OK(load(HEAD "<listen ae='1234567890123456' port='1'/>" ACCEPT "</node>"));
    CHECK_FAILS(load(HEAD "<listen ae='12345678901234567' port='1'/>" ACCEPT "</node>"), COT_E_CONFIG,
                "1 to 16 printable");
    CHECK_FAILS(load(HEAD "<listen ae='' port='1'/>" ACCEPT "</node>"), COT_E_CONFIG, "1 to 16 printable");
    CHECK_FAILS(load(HEAD "<listen ae=' A' port='1'/>" ACCEPT "</node>"), COT_E_CONFIG, "1 to 16 printable");
    CHECK_FAILS(load(HEAD "<listen ae='A\\B' port='1'/>" ACCEPT "</node>"), COT_E_CONFIG, "1 to 16 printable");
    CHECK_FAILS(load(HEAD "<listen ae='\xc3\x84' port='1'/>" ACCEPT "</node>"), COT_E_CONFIG, "1 to 16 printable");
}

TEST(a_missing_attribute_is_named_with_its_rule)
{
    CHECK_FAILS(load(HEAD "<listen port='1'/>" ACCEPT "</node>"), COT_E_CONFIG,
                ":3: <listen> lacks the attribute \"ae\". Add ae=");
}

TEST(addresses_and_blocks_are_checked)
{
    CHECK_OK(load(HEAD LISTEN "<accept ae='*' host='10.0.0.0/8'/><accept ae='*' host='2001:db8::/32'/></node>"));
    CHECK_FAILS(load(HEAD LISTEN "<accept ae='*' host='10.0.0.0/33'/></node>"), COT_E_CONFIG, "no address or block");
    CHECK_FAILS(load(HEAD LISTEN "<accept ae='*' host='10.0.0.256'/></node>"), COT_E_CONFIG, "no address or block");
    CHECK_FAILS(load(HEAD "<listen ae='A' port='1' bind='1.2.3'/>" ACCEPT "</node>"), COT_E_CONFIG,
                "bind=\"1.2.3\" is no address");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='10.0.0.999' port='1' ae='P'/></node>"), COT_E_CONFIG,
                "no host name or address");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='a..b' port='1' ae='P'/></node>"), COT_E_CONFIG,
                "no host name or address");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='2001:db8::7' port='1' ae='P'/></node>"), COT_E_CONFIG,
                "sent over IPv4 only. Give the peer's IPv4 address");
}

TEST(destinations_need_their_own_names_and_sensible_retries)
{
    CHECK_OK(load(HEAD LISTEN ACCEPT SEND "</node>"));
    CHECK_FAILS(load(HEAD LISTEN ACCEPT SEND SEND "</node>"), COT_E_CONFIG, ":6: to=\"PACS\" names two destinations");
    CHECK_FAILS(
        load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='1' ae='P' retry-first-s='9' retry-max-s='8'/></node>"),
        COT_E_CONFIG, "retry-first-s=\"9\" is more than retry-max-s=\"8\"");
    CHECK_FAILS(
        load(HEAD LISTEN ACCEPT "<send to='P' host='h' port='1' ae='P' retry-hours='0.01' retry-first-s='60'/></node>"),
        COT_E_CONFIG, "ends before the second try");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<send to='P' host='localhost' port='11112' ae='P'/></node>"), COT_E_CONFIG,
                "is this node itself");
}

TEST(the_title_of_a_measurement_report_and_a_wrong_uid_root_are_refused)
{
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<report title-code='126000' title-scheme='DCM' title-meaning='m'/></node>"),
                COT_E_CONFIG, "(126000, DCM)");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<report uid-root='1.40.1'/></node>"), COT_E_CONFIG, "at most 39");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<report uid-root='1.02'/></node>"), COT_E_CONFIG, "uid-root=\"1.02\"");
}

TEST(reader_values_that_cannot_work_are_refused)
{
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<reader device='Auto'/></node>"), COT_E_CONFIG,
                "device=\"Auto\" names no device");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<store max-object-mib='300'/><reader decode-memory-mib='256'/></node>"),
                COT_E_CONFIG, "decode-memory-mib=\"256\" is less than");
    CHECK_FAILS(load(HEAD LISTEN ACCEPT "<reader steps='/nonexistent.xml'/></node>"), COT_E_CONFIG,
                "step schema is not usable");
}

TEST(all_problems_are_listed_in_the_order_of_their_lines)
{
    CHECK_FAILS(load(HEAD "<listen ae='' port='x'/>\n" ACCEPT "<log level='loud'/></node>"), COT_E_CONFIG,
                "level=\"loud\"");
    const char *ae = strstr(err.text, "ae=\"\""), *port = strstr(err.text, "port=\"x\""),
               *log = strstr(err.text, "loud");
    CHECK(ae && port && log && ae < log && port < log);
}

/* ---- hostile files ---- */
TEST(a_doctype_is_refused_before_its_contents_are_read)
{
    CHECK_FAILS(load("<!DOCTYPE node SYSTEM 'file:///etc/passwd'>\n<node xmlns='urn:cot:node:1'/>"), COT_E_CONFIG,
                ":1: a DOCTYPE is not accepted");
    CHECK_FAILS(load("<!DOCTYPE node [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><node>&x;</node>"), COT_E_CONFIG,
                "DOCTYPE");
}

TEST(hints_that_name_another_schema_are_refused_unread)
{
    CHECK_FAILS(load("<node xmlns='urn:cot:node:1'\n xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' "
                     "xsi:schemaLocation='urn:x file:///etc/passwd'/>"),
                COT_E_CONFIG, ":2: schema hints");
    CHECK_FAILS(load(HEAD "<listen xmlns:i='http://www.w3.org/2001/XMLSchema-instance' "
                          "i:noNamespaceSchemaLocation='http://127.0.0.1:1/x'/></node>"),
                COT_E_CONFIG, ":3: schema hints");
}

TEST(a_billion_laughs_are_refused_at_once)
{
    char text[4096] = "<!DOCTYPE lolz [<!ENTITY lol0 'lol'>";
    for (int i = 1; i < 10; i++) {
        char line[256];
        int n = snprintf(line, sizeof line, "<!ENTITY lol%d '", i);
        for (int k = 0; k < 10; k++) n += snprintf(line + n, sizeof line - (size_t)n, "&lol%d;", i - 1);
        snprintf(line + n, sizeof line - (size_t)n, "'>");
        strcat(text, line);
    }
    strcat(text, "]><lolz>&lol9;</lolz>");
    CHECK_FAILS(load(text), COT_E_CONFIG, "DOCTYPE");
    CHECK_FAILS(load(HEAD "&lol;</node>"), COT_E_CONFIG, "not well-formed");
}

TEST(a_file_of_2_mib_is_refused_unread)
{
    char *text = malloc(2 << 20);
    REQUIRE(text);
    memset(text, ' ', 2 << 20);
    CHECK_FAILS(load_bytes(NULL, text, 2 << 20), COT_E_CONFIG, "larger than 1 MiB");
    free(text);
}

static cot_status load_depth(int depth)
{
    char text[4096] = "";
    for (int i = 0; i < depth; i++) strcat(text, "<a>");
    for (int i = 0; i < depth; i++) strcat(text, "</a>");
    return load(text);
}

TEST(elements_33_deep_are_refused_and_32_deep_are_read)
{
    CHECK_FAILS(load_depth(33), COT_E_CONFIG, "nested deeper than 32");
    CHECK_FAILS(load_depth(32), COT_E_CONFIG, "Begin with <node"); /* got as far as the grammar */
}

TEST(broken_empty_and_binary_files_are_refused_with_a_line)
{
    CHECK_FAILS(load(HEAD "<listen>\n</node>"), COT_E_CONFIG, ":4: not well-formed XML");
    CHECK_FAILS(load(""), COT_E_CONFIG, ":1: ");
    CHECK_FAILS(load("\xff\xfe\x01\x02"), COT_E_CONFIG, ":1: ");
    CHECK_FAILS(load_bytes(NULL, HEAD "<listen ae='A\0B'/>", sizeof HEAD + 17), COT_E_CONFIG, "not well-formed");
}

TEST(a_megabyte_of_faults_is_told_in_a_bounded_list)
{
    enum { SIZE = 1000000 };
    char *text = malloc(SIZE + 64);
    REQUIRE(text);
    size_t at = (size_t)sprintf(text, HEAD LISTEN);
    while (at < SIZE) at += (size_t)sprintf(text + at, "<accept ae='A' host='zz%zu'/>\n", at);
    strcpy(text + at, "</node>");
    CHECK_FAILS(load(text), COT_E_CONFIG, ":4: host=\"zz");
    free(text);
}

TEST(flipped_bytes_never_crash_the_reader)
{
    const cot_blob xml = cot_config_default_xml();
    char *text = malloc(xml.size);
    unsigned seed = 3;
    size_t refused = 0;
    REQUIRE(text);
    for (int round = 0; round < 300; round++) {
        memcpy(text, xml.data, xml.size);
        for (int k = 0; k < 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % xml.size] = (char)(seed >> 24);
        }
        refused += load_bytes(NULL, text, xml.size) == COT_E_CONFIG;
    }
    CHECK(refused > 100);
    free(text);
}

TEST(a_missing_file_and_a_folder_are_refused_with_what_to_do)
{
    cot_config *c;
    CHECK_FAILS(cot_config_load(&c, "/nonexistent/stepcot.xml", &err), COT_E_CONFIG, "stepcot config default");
    CHECK_FAILS(cot_config_load(&c, "/tmp", &err), COT_E_CONFIG, "not a regular file");
    CHECK(c == NULL);
}

TEST(check_writes_one_line_per_problem)
{
    char path[] = "/tmp/cot-config-XXXXXX", text[4096] = "";
    const char *xml = HEAD "<listen ae='' port='x'/>" ACCEPT "</node>";
    size_t problems = 0;
    const int fd = mkstemp(path);
    REQUIRE(fd >= 0 && write(fd, xml, strlen(xml)) == (ssize_t)strlen(xml));
    close(fd);
    FILE *stream = fmemopen(text, sizeof text, "w");
    CHECK_OK(cot_config_check(path, stream, &problems, &err));
    fclose(stream);
    unlink(path);
    CHECK_NUMBER(problems, 2);
    size_t lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    CHECK_NUMBER(lines, 2);
    CHECK(!strncmp(text, path, strlen(path)));
}

TEST(the_nearest_word_is_near_or_none)
{
    static const char *const words[] = {"serve", "infer", "queue"};
    CHECK_TEXT(cot_nearest("sevre", words, 3), "serve");
    CHECK_TEXT(cot_nearest("queue", words, 3), "queue");
    CHECK(cot_nearest("zebra", words, 3) == NULL);
    CHECK(cot_nearest("", words, 0) == NULL);
    char much[500];
    memset(much, 'a', sizeof much - 1);
    much[sizeof much - 1] = 0;
    CHECK(cot_nearest(much, words, 3) == NULL);
}

CHECK_MAIN
