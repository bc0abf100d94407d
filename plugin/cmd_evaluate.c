/* stepcot evaluate: how good a package is on labelled images. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/evaluate.h"
#include "plugin/evaluate_explain.h"
#include "plugin/plot.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot evaluate MANIFEST [--package DIR] [OPTIONS]\n\n"
    "Reads the images of a split and prints per step: accuracy, AUC (one answer against the rest, mean), sensitivity,\n"
    "specificity, precision, F1 (means over the answers that occur), each with a 95 % bootstrap interval over "
    "patients,\n"
    "and calibration errors with what chance alone would give; auc_negative is the AUC of the answer that says that "
    "nothing is there. Another manifest "
    "gives\nthe cross-data evaluation. Pictures are read as training and a reading read them.\n\n"
    "      --package DIR      model package (default: the model in the program)\n"
    "      --model WORD       student (default) or teacher\n"
    "      --split WORD       train, validation or test (default)\n"
    "      --compare DIR      a second package on the same images: differences with paired intervals; with\n"
    "      --compare-model WORD   student or teacher of it (default: as --model)\n"
    "      --without WORD     ablation of the teacher: memory (answers are not written back) or text (prompts are "
    "fixed\n"
    "                         random vectors of the same lengths); --compare-model teacher shows what it costs\n"
    "      --explain          measures the evidence instead of the answers: how much an answer's probability falls "
    "without\n"
    "                         its regions, beside the same shapes elsewhere; whether map and region lie in the boxes;\n"
    "                         every influence against a re-run\n"
    "      --fill WORD        with --explain, what regions are filled with: surroundings (default), blur or mean\n"
    "      --copies N         with --explain, places elsewhere for each answer (default 8)\n"
    "      --json             JSON instead of the table\n"
    "  -o, --output FILE      also a self-contained page with confusion, ROC and reliability (report.html)\n"
    "      --draws N          of the bootstrap (default 1000)\n"
    "      --seed N           of the bootstrap (default 1)\n"
    "      --images DIR       where the manifest's images are, when not where it says\n"
    "      --steps FILE       a step schema other than the embedded one\n"
    "      --device X         part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n\n"
    "Examples:\n"
    "  stepcot evaluate chest.jsonl --package run1/model\n"
    "  stepcot evaluate chest.jsonl --package run2/model --compare run1/model -o report.html\n"
    "  stepcot evaluate --explain chest.jsonl --package run2/model\n\n"
    "Exit codes: 0 done, 1 data not as they must be or an influence that a re-run does not give,\n2 wrong usage, 3 "
    "step "
    "schema, 4 model or device, 5 file system.\n" COT_NOT_A_DEVICE "\n";

typedef struct evaluate_words {
    const char *package, *model, *split, *compare, *compare_model, *without, *output;
    bool json, explain;
    unsigned draws, seed, copies;
    const char *fill;
    evaluation_order first, second;
} evaluate_words;

static bool take_model(cot_readers *readers, const char *word)
{
    return cot_readers_named(readers, word ? word : "") && *readers != COT_READ_BOTH;
}

static bool take_split(cot_split *split, const char *word)
{
    for (*split = 0; *split < COT_SPLITS; (*split)++)
        if (!strcmp(word ? word : "test", cot_split_name(*split))) return true;
    return false;
}

/* NULL, or what is wrong. */
static const char *take_words(evaluate_words *w, evaluating *e)
{
    w->first.package = w->package;
    w->second.package = w->compare;
    if (!take_model(&w->first.readers, w->model)) return "--model is student or teacher";
    if (!take_model(&w->second.readers, w->compare_model ? w->compare_model : w->model))
        return "--compare-model is student or teacher";
    if (!take_split(&e->split, w->split)) return "--split is train, validation or test";
    if (w->compare_model && !w->compare) w->second.package = w->package;
    if (w->explain && (w->compare || w->compare_model || w->without || w->output))
        return "--explain goes with neither --compare, --without nor -o";
    if (!w->explain && (w->fill || w->copies)) return "--fill and --copies go with --explain";
    if (!w->without) return NULL;
    w->first.without_memory = !strcmp(w->without, "memory");
    w->first.without_text = !strcmp(w->without, "text");
    if (!w->first.without_memory && !w->first.without_text) return "--without is memory or text";
    return w->first.readers == COT_READ_TEACHER ? NULL : "--without is of the teacher: add --model teacher";
}

/* differences NULL: nothing was compared. */
static cot_status write_page(const char *path, const evaluating *e, const evaluation *v, const score_interval *scores,
                             const evaluation *other, const score_interval *differences, cot_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) return cot_fail(err, COT_E_MEMORY, "no memory for the page");
    page_begin(f, "Evaluation on labelled chest radiographs");
    fputs("<p class=\"note\">" COT_NOT_A_DEVICE "</p>\n", f);
    cot_status status = evaluation_figures(f, e, v, scores, err);
    if (differences) evaluation_page_compared(f, e, v, other, differences);
    page_end(f, COT_PROGRAM " " COT_VERSION ". " COT_NOT_A_DEVICE);
    if (fclose(f) != 0 && status == COT_OK) status = cot_fail(err, COT_E_MEMORY, "no memory for the page");
    if (status == COT_OK) status = cot_file_write_durable(path, text, size, err);
    free(text);
    return status;
}

static int run(const evaluate_words *w, evaluating *e)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    evaluation a = {0}, b = {0};
    score_interval *scores = NULL, *differences = NULL;
    const bool two = w->compare || w->compare_model;
    COT_TRY(evaluating_open(e, &err));
    COT_TRY(evaluation_run(&a, e, &w->first, &err));
    COT_TRY(evaluation_scores(&scores, &a, w->draws, w->seed, &err));
    if (two) COT_TRY(evaluation_run(&b, e, &w->second, &err));
    if (two) COT_TRY(evaluation_compare(&differences, &a, &b, w->draws, w->seed, &err));
    if (w->json)
        COT_TRY(evaluation_json(stdout, e, &a, scores, two ? &b : NULL, differences, w->draws, w->seed, &err));
    else
        evaluation_print(stdout, e, &a, scores);
    if (two && !w->json) evaluation_print_compared(stdout, e, &a, &b, differences);
    if (w->output) COT_TRY(write_page(w->output, e, &a, scores, &b, differences, &err));
done:
    free(scores);
    free(differences);
    evaluation_fini(&a);
    evaluation_fini(&b);
    evaluating_close(e);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("evaluate", &err);
}

static int explain(const evaluate_words *w, evaluating *e)
{
    const explaining_order order = {w->package, w->fill, w->first.readers, w->copies ? w->copies : 8,
                                    w->draws,   w->seed, w->json};
    return evaluate_explain(e, &order);
}

int cot_cmd_evaluate(int argc, char **argv)
{
    evaluate_words w = {.draws = 1000, .seed = 1};
    evaluating e = {.command = "evaluate"};
    const cli_option options[] = {
        {"package", 0, "DIR", NULL, &w.package, NULL, 0},
        {"model", 0, "student|teacher", NULL, &w.model, NULL, 0},
        {"split", 0, "train|validation|test", NULL, &w.split, NULL, 0},
        {"compare", 0, "DIR", NULL, &w.compare, NULL, 0},
        {"compare-model", 0, "student|teacher", NULL, &w.compare_model, NULL, 0},
        {"without", 0, "memory|text", NULL, &w.without, NULL, 0},
        {"explain", 0, NULL, &w.explain, NULL, NULL, 0},
        {"fill", 0, "surroundings|blur|mean", NULL, &w.fill, NULL, 0},
        {"copies", 0, "N", NULL, NULL, &w.copies, 1000},
        {"json", 0, NULL, &w.json, NULL, NULL, 0},
        {"output", 'o', "FILE", NULL, &w.output, NULL, 0},
        {"draws", 0, "N", NULL, NULL, &w.draws, 100000},
        {"seed", 0, "N", NULL, NULL, &w.seed, UINT32_MAX},
        {"images", 0, "DIR", NULL, &e.images, NULL, 0},
        {"steps", 0, "FILE", NULL, &e.steps_path, NULL, 0},
        {"device", 0, "X", NULL, &e.device_match, NULL, 0},
    };
    size_t n;
    int code = EXIT_USAGE;
    const char **words = calloc((size_t)argc + 1, sizeof *words), *wrong = NULL;
    if (words && cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) {
        if (n != 1)
            code = cli_usage("evaluate", "name one MANIFEST");
        else if ((wrong = take_words(&w, &e)))
            code = cli_usage("evaluate", "%s", wrong);
        else {
            e.manifest_path = words[0];
            code = w.explain ? explain(&w, &e) : run(&w, &e);
        }
    }
    free(words);
    return code;
}
