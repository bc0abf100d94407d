/* stepcot model: show a package, import weights trained elsewhere. SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "plugin/cli.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot model show [DIR] [--tensors] [--steps FILE]\n"
    "       stepcot model import SOURCE -o DIR [--name TEXT] [--version TEXT] [--training TEXT]\n"
    "                                          [--notice TEXT] [--attribution TEXT] [--keep-extra] [--clip DIR]\n"
    "                                          [--teacher FILE|DIR] [--bert DIR] [--device X]\n"
    "                                          [--encoder FILE|DIR] [--store f16]\n"
    "                                          [--steps FILE]\n\n"
    "show      the package in DIR, or the one embedded in the program: architecture, preprocessing, which steps it "
    "was\n"
    "          trained for, metrics; --tensors lists every tensor. The package is checked as it would be at start.\n"
    "import    makes the package DIR (which must not exist) from SOURCE, a folder with weights.safetensors and\n"
    "          summary.json. --training says in words how it was trained and --notice what it is not for: every "
    "report\n"
    "          shows both. --attribution names origin and terms of the training data. --keep-extra copies tensors of\n"
    "          other heads along. The encoder is in SOURCE (ResNet-18 or DenseNet under torchvision's names, CLIP "
    "under\n"
    "          any of its), or --clip names a CLIP checkpoint of the transformers library: config.json and\n"
    "          model.safetensors, or --encoder a state dict of torchvision's ResNet-18 or DenseNet-121, of any sizes: "
    "a\n"
    "          safetensors file, or a folder with model.safetensors.\n"
    "          --teacher adds the paper's teacher, whose state dict has the published names: a file, or a folder with\n"
    "          teacher.safetensors or weights.safetensors; SOURCE itself may hold it too. Encoder and BERT may be in "
    "the\n"
    "          same file. --bert is the folder of the BERT that reads the steps' questions for it: config.json, "
    "vocab.txt\n"
    "          and model.safetensors (which is not needed where the teacher's file has it); --device runs it. Without "
    "a\n"
    "          BERT the prompts are fixed random vectors, and the package says so.\n"
    "          --store f16 halves the file: matrices and convolutions in half precision.\n"
    "--steps   a step schema other than the embedded one.\n\n"
    "Examples:\n"
    "  stepcot model show\n"
    "  stepcot model import resnet18-nih -o model --version 1.0\n"
    "  stepcot model import student -o model --clip clip-vit-base-patch32 --teacher teacher.safetensors \\\n"
    "                       --bert bert-base-uncased\n"
    "  stepcot infer --package model --model both image.dcm\n\n"
    "Exit codes: 0 done, 2 wrong usage, 3 step schema, 4 the package or the source is not right, 5 file system.\n";

static int show(const char *dir, const cot_steps *steps, bool tensors)
{
    cot_error err = COT_ERROR_INIT;
    cot_package *package = NULL;
    cot_status status;
    COT_TRY(cot_package_open(&package, dir, steps, &err));
    COT_TRY(cot_package_print(package, stdout, tensors, &err));
done:
    cot_package_close(package);
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("model", &err);
}

static cot_status open_device(cot_device **device, const char *match, cot_error *err)
{
    char cache[1024];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    if (match) options.match = match;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    return cot_device_open(device, &options, err);
}

/* What was made is opened at once, as the node would: an import that succeeds gives a package that works. */
static int import(cot_import_options *options, const char *match, const cot_steps *steps)
{
    cot_error err = COT_ERROR_INIT;
    cot_status status = COT_OK;
    if (options->bert) COT_TRY(open_device(&options->device, match, &err));
    COT_TRY(cot_package_import(options, steps, &err));
done:
    cot_device_close(options->device);
    return status == COT_OK ? show(options->out, steps, false) : cli_failure("model", &err);
}

int cot_cmd_model(int argc, char **argv)
{
    bool tensors = false;
    const char *schema = NULL, *match = NULL, *store = NULL, *words[64];
    cot_import_options import_options = {0};
    const cli_option options[] = {
        {"tensors", 0, NULL, &tensors, NULL, NULL, 0},
        {"steps", 0, "FILE", NULL, &schema, NULL, 0},
        {"output", 'o', "DIR", NULL, &import_options.out, NULL, 0},
        {"clip", 0, "DIR", NULL, &import_options.clip, NULL, 0},
        {"teacher", 0, "FILE", NULL, &import_options.teacher, NULL, 0},
        {"bert", 0, "DIR", NULL, &import_options.bert, NULL, 0},
        {"device", 0, "X", NULL, &match, NULL, 0},
        {"encoder", 0, "FILE", NULL, &import_options.encoder, NULL, 0},
        {"store", 0, "TYPE", NULL, &store, NULL, 0},
        {"name", 0, "TEXT", NULL, &import_options.name, NULL, 0},
        {"version", 0, "TEXT", NULL, &import_options.version, NULL, 0},
        {"training", 0, "TEXT", NULL, &import_options.training, NULL, 0},
        {"notice", 0, "TEXT", NULL, &import_options.notice, NULL, 0},
        {"attribution", 0, "TEXT", NULL, &import_options.attribution, NULL, 0},
        {"keep-extra", 0, NULL, &import_options.keep_extra, NULL, NULL, 0},
    };
    size_t n;
    int code;
    if (argc > 63) return cli_usage("model", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) return code;
    const bool showing = n && !strcmp(words[0], "show"), importing = n && !strcmp(words[0], "import");
    if (!showing && !importing) return cli_usage("model", "say show [DIR] or import SOURCE -o DIR");
    if (showing && n > 2) return cli_usage("model", "show takes one DIR");
    if (importing && (n != 2 || !import_options.out))
        return cli_usage("model", "import takes one SOURCE, and -o DIR for the package");
    if (store && strcmp(store, "f16")) return cli_usage("model", "--store %s: f16 is the only one", store);
    import_options.store_half = store != NULL;
    cot_error err = COT_ERROR_INIT;
    cot_steps *steps = NULL;
    if (cot_steps_load(&steps, schema, &err) != COT_OK) return cli_failure("model", &err);
    import_options.source = n == 2 ? words[1] : NULL;
    code = showing ? show(n == 2 ? words[1] : NULL, steps, tensors) : import(&import_options, match, steps);
    cot_steps_destroy(steps);
    return code;
}
