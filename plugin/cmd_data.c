/* stepcot data: labelled images into the project's one format, and what is wrong with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/data_command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot data import step-cot|nih DIR -o MANIFEST [OPTIONS]\n"
    "       stepcot data split MANIFEST -o MANIFEST [--seed N] [--shares A,B,C] [--test-list FILE]\n"
    "       stepcot data check MANIFEST [--images DIR] [--no-decode] [--all] [--json]\n\n"
    "import    makes a manifest (JSON lines: a header, then one image a line) from a published data set and decodes "
    "every\n"
    "          image once. step-cot: data.json and its images. nih: Data_Entry_2017*.csv, BBox_List_2017.csv and the\n"
    "          images of NIH ChestX-ray14, beside them or in images*/; labels of the steps follow from the rules.\n"
    "          What is unknown, twice, missing or broken is named with its line, left out and counted.\n"
    "split     shares the patients of a manifest out anew.\n"
    "check     class counts for each step and split; faults, patients in two splits, missing, unreadable, changed and\n"
    "          repeated images. The same image twice is a fault where patient or split differ, else only a warning.\n\n"
    "  -o, --output FILE    the manifest to write (an older manifest is replaced, another file never)\n"
    "      --seed N         of the split (default 1)\n"
    "      --shares A,B,C   train, validation, test (default 0.7,0.15,0.15), by patient, alike in the last step's "
    "answers\n"
    "      --test-list FILE these patients, one a line, are the test split; the others go to train and validation\n"
    "      --rules FILE     label rules (nih; default: those in the program, config/nih-rules.xml)\n"
    "      --words FILE     CSV with the columns step, text, option: further wordings of options (step-cot)\n"
    "      --images DIR     where the images are, if not where the manifest says (check)\n"
    "      --no-decode      do not open the images (check)\n"
    "      --all            name every fault, not only the first 20 of a kind\n"
    "      --json           one JSON object instead of the table (check)\n"
    "      --steps FILE     a step schema other than the embedded one\n\n"
    "Examples:\n"
    "  stepcot data import nih ChestXray-NIHCC -o nih.jsonl\n"
    "  awk -F, 'NR > 1 && int($4 / 5) % 6 == 0 {print $4}' Data_Entry_2017_v2020.csv | sort -u > test.txt\n"
    "  stepcot data import nih ChestXray-NIHCC --test-list test.txt -o nih.jsonl\n"
    "  stepcot data check nih.jsonl\n\n"
    "Exit codes: 0 nothing is wrong, 1 something is, or the source cannot be read, 2 wrong usage, 3 step schema or "
    "rules,\n"
    "5 file system or memory.\n";

typedef struct data_options {
    const char *output, *shares, *rules, *words, *test_list, *images, *steps;
    unsigned seed;
    bool no_decode, all, json;
} data_options;

static bool read_shares(double share[COT_SPLITS], const char *text)
{
    char *end = NULL;
    for (int s = 0; text && s < COT_SPLITS; s++) {
        if (*text < '0' || *text > '9') return false;
        share[s] = strtod(text, &end);
        if (*end != (s + 1 < COT_SPLITS ? ',' : 0)) return false;
        text = end + 1;
    }
    return fabs(share[COT_TRAIN] + share[COT_VALIDATION] + share[COT_TEST] - 1) < 1e-6 && share[COT_TRAIN] > 0;
}

static void say_result(const cot_manifest *m, const data_import *import)
{
    if (import->rows)
        printf("%s: %zu records read, %zu images taken\n", import->dir, import->rows, m->n);
    else
        printf("%s: %zu images\n", import->out, m->n);
    data_counts_print(m, import->steps, stdout);
    printf("written: %s, SHA-256 %s\n", import->out, m->sha256);
}

static int end_of(const data_log *log)
{
    data_log_sum(log, stderr);
    return data_log_faults(log) ? EXIT_PARTLY : EXIT_SUCCESS;
}

static int run_import(data_import *import, bool nih)
{
    cot_error err = COT_ERROR_INIT;
    cot_manifest *m = NULL;
    cot_status status;
    COT_TRY(data_output_check(import->out, &err));
    COT_TRY(nih ? data_nih_import(import, &m, &err) : data_chain_import(import, &m, &err));
    say_result(m, import);
done:;
    cot_manifest_destroy(m);
    const int code = end_of(import->log);
    return status == COT_OK ? code : cli_failure("data", &err);
}

static int run_split(data_import *import, const char *path)
{
    cot_error err = COT_ERROR_INIT;
    cot_status status;
    cot_manifest *m = NULL;
    COT_TRY(data_output_check(import->out, &err));
    COT_TRY(cot_manifest_open(&m, path, NULL, import->steps, NULL, &err));
    COT_TRY(data_resplit(m, import, &err));
    say_result(m, import);
done:
    cot_manifest_destroy(m);
    return status == COT_OK ? end_of(import->log) : cli_failure("data", &err);
}

static int run_check(data_check *check)
{
    cot_error err = COT_ERROR_INIT;
    const cot_status status = data_check_run(check, &err);
    const int code = end_of(check->log);
    return status == COT_OK ? code : cli_failure("data", &err);
}

static int run(const data_options *o, const char *const *words, size_t n, const cot_steps *steps)
{
    data_log log = {.to = stderr, .all = o->all};
    data_import import = {.out = o->output,
                          .rules = o->rules,
                          .words = o->words,
                          .test_list = o->test_list,
                          .split = COT_SPLIT_OPTIONS_INIT,
                          .steps = steps,
                          .log = &log};
    if (o->seed) import.split.seed = o->seed;
    if (!read_shares(import.split.share, o->shares))
        return cli_usage("data", "--shares is A,B,C with the sum 1 and some to train, e.g. 0.7,0.15,0.15");
    if (n == 3 && !strcmp(words[0], "import")) {
        const bool nih = !strcmp(words[1], "nih");
        if (!nih && strcmp(words[1], "step-cot"))
            return cli_usage("data", "import reads step-cot or nih, not %s", words[1]);
        if (!o->output) return cli_usage("data", "import needs -o MANIFEST");
        import.dir = words[2];
        return run_import(&import, nih);
    }
    if (n == 2 && !strcmp(words[0], "split")) {
        if (!o->output) return cli_usage("data", "split needs -o MANIFEST");
        return run_split(&import, words[1]);
    }
    if (n == 2 && !strcmp(words[0], "check")) {
        data_check check = {words[1], o->images, o->json, o->no_decode, steps, &log};
        return run_check(&check);
    }
    return cli_usage("data", "say import step-cot|nih DIR, split MANIFEST or check MANIFEST");
}

int cot_cmd_data(int argc, char **argv)
{
    data_options o = {0};
    const cli_option options[] = {
        {"output", 'o', "FILE", NULL, &o.output, NULL, 0},   {"seed", 0, "N", NULL, NULL, &o.seed, 1000000000},
        {"shares", 0, "A,B,C", NULL, &o.shares, NULL, 0},    {"rules", 0, "FILE", NULL, &o.rules, NULL, 0},
        {"words", 0, "FILE", NULL, &o.words, NULL, 0},       {"test-list", 0, "FILE", NULL, &o.test_list, NULL, 0},
        {"images", 0, "DIR", NULL, &o.images, NULL, 0},      {"steps", 0, "FILE", NULL, &o.steps, NULL, 0},
        {"no-decode", 0, NULL, &o.no_decode, NULL, NULL, 0}, {"all", 0, NULL, &o.all, NULL, NULL, 0},
        {"json", 0, NULL, &o.json, NULL, NULL, 0},
    };
    const char *words[32];
    size_t n;
    int code;
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    if (argc > 31) return cli_usage("data", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) return code;
    if (cot_steps_load(&steps, o.steps, &err) != COT_OK) return cli_failure("data", &err);
    cot_dicom_init();
    code = run(&o, words, n, steps);
    cot_steps_destroy(steps);
    return code;
}
