/* stepcot lint: says what viewers and archives will stumble over in Structured Reports. The files may come from anywhere, so
 * this process limits itself before it opens the first. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/process.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MEMORY_MIB = 2048, CPU_S = 300 };

static const char help[] =
    "Usage: stepcot lint [--json] FILE…\n\n"
    "Checks DICOM Structured Reports by the rules that viewers and archives need: each by itself and beside the "
    "others.\n"
    "Images among the files are not checked; a report about one of them must have its patient and study. Pictures of\n"
    "readings (Secondary Captures of this program) are checked too.\n\n"
    "      --json   one line of JSON per finding: file, rule, where, what, advice\n\n"
    "A finding is one line: FILE: RULE at WHERE: what. advice\n"
    "The rules: R1 names, R2 class, R3 one instance per series, R4 root and template, R5 R6 text reports, R7 to R12 "
    "groups\n"
    "and regions, R13 evidence, R14 numbers, R15 flags, R16 text, R17 patient and study, R18 size, R19 kinds of items, "
    "R20\n"
    "readable by DCMTK, T1 templates, C1 to C3 chain of premises, P1 probabilities, S1 coding schemes, U1 UIDs.\n\n"
    "Examples:\n"
    "  stepcot lint report.dcm\n"
    "  stepcot lint reports/*.dcm image.dcm\n\n"
    "Exit codes: 0 nothing found, 1 something found, 2 wrong usage, 5 a file cannot be read.\n";

typedef struct lint {
    bool json;
    size_t shown;
} lint;

static bool add(cJSON *object, const char *name, const char *text)
{
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static void show_json(const cot_lint_finding *f)
{
    char file[1024];
    cJSON *object = cJSON_CreateObject();
    const bool good = object && add(object, "file", cli_shown(file, sizeof file, f->file)) &&
                      add(object, "rule", f->rule) && add(object, "where", f->where) && add(object, "what", f->what) &&
                      add(object, "advice", f->advice);
    char *text = good ? cJSON_PrintUnformatted(object) : NULL;
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(object);
}

static void show(void *ctx, const cot_lint_finding *f)
{
    lint *l = ctx;
    char file[1024], where[600], what[600], advice[600];
    l->shown++;
    if (l->json) {
        show_json(f);
        return;
    }
    printf("%s: %s at %s: %s. %s\n", cli_shown(file, sizeof file, f->file), f->rule,
           cli_shown(where, sizeof where, f->where), cli_shown(what, sizeof what, f->what),
           cli_shown(advice, sizeof advice, f->advice));
}

int cot_cmd_lint(int argc, char **argv)
{
    lint l = {false, 0};
    const cli_option options[] = {{"json", 0, NULL, &l.json, NULL, NULL, 0}};
    cot_error err = COT_ERROR_INIT;
    size_t n, findings = 0;
    int code;
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (!words) {
        cot_fail(&err, COT_E_MEMORY, "no memory");
        return cli_failure("lint", &err);
    }
    if (cli_parse(argc, argv, options, 1, help, words, &n, &code)) {
        if (!n) {
            code = cli_usage("lint", "name at least one file");
        } else {
            process_limit_memory(MEMORY_MIB);
            process_limit(RLIMIT_CPU, CPU_S);
            process_limit(RLIMIT_CORE, 0);
            cot_dicom_init();
            if (cot_report_lint(words, n, show, &l, &findings, &err) != COT_OK)
                code = cli_failure("lint", &err);
            else
                code = findings ? EXIT_PARTLY : EXIT_SUCCESS;
        }
    }
    free(words);
    return code;
}
