/* stepcot verify: computes a golden folder again on a device and says how far each output is from the oracle's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "opencl/opencl.h"
#include "plugin/cli.h"
#include "plugin/verify_train.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: stepcot verify [OPTIONS] [DIR]\n\n"
    "Computes the golden folder DIR on this machine and compares with what it expects: image features, prompt\n"
    "features, teacher's and student's logits, each from the pixels and tokens on. A golden folder holds\n"
    "expected.json (sizes, any) and clip, bert, teacher, student and expected.safetensors, as the PyTorch oracle "
    "writes\n"
    "them. Without DIR the tiny one in the program is computed, as the node does on its device at every start.\n\n"
    "The error of an output is that of its worst tensor: the largest difference over the largest expected value.\n\n"
    "      --bound X      largest error that passes (default 1e-4)\n"
    "      --device X     part of an OpenCL platform or device name, or cpu, or gpu (default: the best; stepcot "
    "devices)\n"
    "      --gemm X       tile or clblast: the matrix products to check (default: the faster one here, measured once)\n"
    "      --separate     every buffer by itself, for tools that check the ends of buffers\n"
    "      --json         one JSON object instead of the table\n"
    "      --train        also the folder's three steps of joint training, each way to align: losses within 1e-4 of "
    "the\n"
    "                     oracle's, logits afterwards within 1e-3; DIR is needed, with proj_teacher and\n"
    "                     proj_student.safetensors\n\n"
    "Examples:\n"
    "  stepcot verify\n"
    "  stepcot verify --device gpu --json golden/full\n"
    "  stepcot verify --train golden/tiny\n\n"
    "Exit codes: 0 everything is within the bound, 1 one is not, 2 wrong usage, 4 the folder is damaged, or no\n"
    "usable device, 5 file system or memory.\n";

typedef struct verify {
    const char *folder, *device_match;
    cot_gemm_choice gemm;
    double bound;
    bool json, train, separate;
    cot_golden *golden;
    cot_device *device;
    cot_golden_output outputs[COT_GOLDEN_OUTPUTS];
    cot_golden_training training[COT_GOLDEN_ALIGNS];
} verify;

static bool within(const verify *v)
{
    bool all = true;
    for (size_t i = 0; i < COT_GOLDEN_OUTPUTS; i++) all = all && v->outputs[i].error <= v->bound;
    for (size_t i = 0; v->train && i < COT_GOLDEN_ALIGNS; i++) all = all && cot_golden_training_passes(&v->training[i]);
    return all;
}

/* Kernels take seconds to compile the first time; a person waiting at a terminal is told. */
static void show_progress(void *ctx, const char *what, unsigned done, unsigned all)
{
    (void)ctx;
    fprintf(stderr, "\r\033[Kcompiling kernels for this device, once: %u of %u, %s", done, all, what);
    if (done >= all) fputs("\r\033[K", stderr);
    fflush(stderr);
}

static cot_status run(verify *v, cot_error *err)
{
    cot_status status;
    char cache[1024];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    COT_TRY(cot_golden_open(&v->golden, v->folder, err));
    options.match = v->device_match;
    options.gemm = v->gemm;
    options.separate = v->separate;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    if (isatty(STDERR_FILENO)) options.progress = show_progress;
    COT_TRY(cot_device_open(&v->device, &options, err));
    COT_TRY(cot_golden_run(v->outputs, v->golden, v->device, err));
    if (v->train) COT_TRY(cot_golden_train(v->training, v->golden, v->device, err));
done:
    return status;
}

/* ---- output ---- */
static void print_table(const verify *v)
{
    char text[512], clean[512];
    const cot_device_info *about = cot_device_about(v->device);
    cot_golden_describe(v->golden, text, sizeof text);
    printf("Golden folder   %s\n", v->folder ? cli_shown(clean, sizeof clean, v->folder) : "the one in the program");
    printf("                %s\n", text);
    snprintf(text, sizeof text, "%s / %s", about->platform, about->name);
    printf("Device          %s\n\n", cli_shown(clean, sizeof clean, text));
    printf("%-16s%8s  %-14s%s\n", "output", "values", "largest error", "in");
    for (size_t i = 0; i < COT_GOLDEN_OUTPUTS; i++) {
        const cot_golden_output *o = &v->outputs[i];
        printf("%-16s%8zu  %-14.2e%s%s\n", o->name, o->values, o->error, o->worst,
               o->error <= v->bound ? "" : "  TOO LARGE");
    }
    if (v->train) verify_train_print(v->training);
    printf("\n%s %.2g%s\n", within(v) ? "All within" : "Not all within", v->bound,
           v->train ? ", and in training as said above" : "");
}

/* JSON has no infinity: null. */
static bool add_output(cJSON *list, const cot_golden_output *o, double bound)
{
    cJSON *item = cJSON_CreateObject();
    if (!item || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    const bool number =
        isfinite(o->error) ? cJSON_AddNumberToObject(item, "error", o->error) : cJSON_AddNullToObject(item, "error");
    return number && cJSON_AddStringToObject(item, "output", o->name) &&
           cJSON_AddNumberToObject(item, "values", (double)o->values) &&
           cJSON_AddStringToObject(item, "worst", o->worst) && cJSON_AddBoolToObject(item, "within", o->error <= bound);
}

static cot_status print_json(const verify *v, cot_error *err)
{
    char text[512], clean[512];
    const cot_device_info *about = cot_device_about(v->device);
    cJSON *o = cJSON_CreateObject();
    snprintf(text, sizeof text, "%s / %s", about->platform, about->name);
    bool ok = cJSON_AddStringToObject(o, "schema", "urn:stepcot:verify:1") != NULL;
    ok = ok && (v->folder ? cJSON_AddStringToObject(o, "folder", cli_shown(clean, sizeof clean, v->folder))
                          : cJSON_AddNullToObject(o, "folder"));
    ok = ok && cJSON_AddStringToObject(o, "device", cli_shown(clean, sizeof clean, text));
    ok = ok && cJSON_AddStringToObject(o, "driver", cli_shown(clean, sizeof clean, about->driver));
    ok = ok && cJSON_AddNumberToObject(o, "bound", v->bound);
    cJSON *list = ok ? cJSON_AddArrayToObject(o, "outputs") : NULL;
    for (size_t i = 0; list && ok && i < COT_GOLDEN_OUTPUTS; i++) ok = add_output(list, &v->outputs[i], v->bound);
    ok = ok && (!v->train || verify_train_json(o, v->training));
    ok = ok && list && cJSON_AddBoolToObject(o, "within", within(v));
    char *line = ok ? cJSON_PrintUnformatted(o) : NULL;
    if (line) puts(line);
    free(line);
    cJSON_Delete(o);
    return line ? COT_OK : cot_fail(err, COT_E_MEMORY, "no memory for a line of JSON");
}

/* ---- the command ---- */
static int report(verify *v)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    COT_TRY(run(v, &err));
    if (v->json)
        COT_TRY(print_json(v, &err));
    else
        print_table(v);
done:
    if (status != COT_OK) return cli_failure("verify", &err);
    return within(v) ? EXIT_SUCCESS : EXIT_PARTLY;
}

int cot_cmd_verify(int argc, char **argv)
{
    verify v = {.bound = COT_GOLDEN_BOUND};
    const char *bound = NULL, *gemm = NULL, *words[16];
    const cli_option options[] = {
        {"bound", 0, "X", NULL, &bound, NULL, 0},  {"device", 0, "X", NULL, &v.device_match, NULL, 0},
        {"gemm", 0, "X", NULL, &gemm, NULL, 0},    {"separate", 0, NULL, &v.separate, NULL, NULL, 0},
        {"json", 0, NULL, &v.json, NULL, NULL, 0}, {"train", 0, NULL, &v.train, NULL, NULL, 0}};
    size_t n;
    int code;
    if (argc > 15) return cli_usage("verify", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) return code;
    if (n > 1) return cli_usage("verify", "name one golden folder at most");
    v.folder = n ? words[0] : NULL;
    if (v.train && !n) return cli_usage("verify", "--train needs a golden folder: name it");
    if (gemm && strcmp(gemm, "tile") && strcmp(gemm, "clblast"))
        return cli_usage("verify", "--gemm %s: tile or clblast", gemm);
    if (gemm) v.gemm = gemm[0] == 't' ? COT_GEMM_TILE : COT_GEMM_CLBLAST;
    if (bound) {
        char *end = NULL;
        v.bound = strtod(bound, &end);
        if (end == bound || *end || !(v.bound > 0 && v.bound <= 1))
            return cli_usage("verify", "--bound %s: a number above 0, 1 at most, such as 1e-4", bound);
    }
    code = report(&v);
    cot_device_close(v.device);
    cot_golden_close(v.golden);
    return code;
}
