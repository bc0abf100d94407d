/* stepcot config: check, print, default, schema. SPDX-License-Identifier: Apache-2.0 */
#include "config/nearest.h"
#include "plugin/cli.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot config check FILE     say everything that is wrong with FILE\n"
    "       stepcot config print [FILE]   the effective values, defaults filled in, as XML\n"
    "       stepcot config default        the annotated default, to begin with\n"
    "       stepcot config schema NAME    a grammar: reading (JSON Schema of infer --json and of the store), or the "
    "XSD of\n"
    "                                     stepcot (the configuration), steps, training, nih-rules\n\n"
    "Each problem is one line on standard output: FILE:LINE: what. remedy\n\n"
    "Examples:\n"
    "  stepcot config default > stepcot.xml\n"
    "  stepcot config check stepcot.xml && stepcot serve --config stepcot.xml\n"
    "  stepcot config schema reading > reading.schema.json\n\n"
    "Exit codes: 0 right, 2 wrong usage, 3 something is wrong with FILE, 5 output could not be written.\n"
    "The attributes are described in stepcot.xml(5).\n";

static int check(const char *path)
{
    cot_error err = COT_ERROR_INIT;
    size_t problems = 0;
    if (cot_config_check(path, stdout, &problems, &err) != COT_OK) return cli_failure("config", &err);
    if (!problems) printf("%s: right\n", path);
    return problems ? cot_exit_code(COT_E_CONFIG) : EXIT_SUCCESS;
}

static int print(const char *path)
{
    cot_error err = COT_ERROR_INIT;
    cot_config *config = NULL;
    cot_status status;
    COT_TRY(cot_config_load(&config, path, &err));
    COT_TRY(cot_config_print(config, stdout, &err));
done:
    cot_config_destroy(config);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("config", &err);
}

static int schema(const char *name)
{
    const cot_blob text = cot_schema(name);
    size_t n = 0;
    while (cot_schema_names[n]) n++;
    const char *nearest = text.data ? NULL : cot_nearest(name, cot_schema_names, n);
    if (text.data)
        fwrite(text.data, 1, text.size, stdout);
    else if (nearest)
        return cli_usage("config", "no schema is called %s (did you mean %s?)", name, nearest);
    else
        return cli_usage("config", "no schema is called %s: say reading, stepcot, steps, training or nih-rules", name);
    return EXIT_SUCCESS;
}

int cot_cmd_config(int argc, char **argv)
{
    const char *words[16];
    size_t n;
    int code;
    if (argc > 15) return cli_usage("config", "too many arguments");
    if (!cli_parse(argc, argv, NULL, 0, help, words, &n, &code)) return code;
    const char *verb = n ? words[0] : "";
    if (!strcmp(verb, "check") && n == 2) return check(words[1]);
    if (!strcmp(verb, "print") && n <= 2) return print(n == 2 ? words[1] : NULL);
    if (!strcmp(verb, "default") && n == 1) {
        const cot_blob xml = cot_config_default_xml();
        fwrite(xml.data, 1, xml.size, stdout);
        return EXIT_SUCCESS;
    }
    if (!strcmp(verb, "schema") && n == 2) return schema(words[1]);
    if (!n) return cli_usage("config", "say check FILE, print [FILE], default or schema NAME");
    if (!strcmp(verb, "check")) return cli_usage("config", "check takes one FILE");
    if (!strcmp(verb, "schema")) return cli_usage("config", "schema takes one NAME");
    return cli_usage("config", "%s: say check FILE, print [FILE], default or schema NAME", verb);
}
