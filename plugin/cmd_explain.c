/* stepcot explain: one image read, and what its answers rest on as one page. SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "plugin/cli.h"
#include "plugin/explain_page.h"
#include "plugin/reporting.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot explain [OPTIONS] IMAGE -o FILE.html\n\n"
    "Reads one DICOM, PNG or JPEG chest radiograph and writes one page: the image, a relevance map and regions for "
    "each\n"
    "answer, the options' probabilities, and which earlier answers each rests on. The page holds the image; it needs "
    "no\n"
    "network and no script.\n\n"
    "  -o, --output FILE  the page; replaced where it exists\n"
    "      --package DIR  model package (default: the demonstration model in the program)\n"
    "      --model WORD   which of the package's models reads: student (default), teacher, or both: the student, with "
    "steps\n"
    "                     marked on which the teacher disagrees\n"
    "      --force        read what can be decoded, even if it is not a frontal chest radiograph\n"
    "      --device X     part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n"
    "  -c, --config FILE  values for the reader from a node's configuration\n\n"
    "Example:\n"
    "  stepcot explain image.dcm -o image.html\n"
    "  stepcot explain image.dcm -o image.html --package model --model teacher\n\n"
    "Exit codes: 0 the page was written, 1 the image was refused, 2 wrong usage, 3 configuration, 4 model or device,\n"
    "5 file system.\n";

typedef struct explain {
    const char *output, *package_dir, *model_word, *device_match, *config_path; /* options */
    bool force;
    cot_readers readers;
    cot_config *config;
    cot_steps *steps;
    cot_package *package;
    cot_sandbox *sandbox;
    cot_device *device;
    cot_model *model;
    cot_decoded decoded;
    cot_chain *chain;
} explain;

static cot_status decode(explain *w, const char *path, cot_error *err)
{
    cot_status status;
    COT_TRY(cot_config_load(&w->config, w->config_path, err));
    COT_TRY(cot_steps_load(&w->steps, w->config->steps[0] ? w->config->steps : NULL, err));
    const char *dir = w->package_dir ? w->package_dir : w->config->package;
    COT_TRY(cot_package_open(&w->package, dir[0] ? dir : NULL, w->steps, err));
    if (!w->model_word) cot_readers_named(&w->readers, w->config->reader); /* the XSD allows no other words */
    COT_TRY(cot_package_offers(w->package, w->readers, err));
    const cot_sandbox_limits limits = {w->config->decode_timeout_s, w->config->decode_memory_mib, 1};
    COT_TRY(cot_sandbox_create(&w->sandbox, &limits, w->steps, err));
    COT_TRY(cot_sandbox_decode(w->sandbox, &path, 1, w->force, &w->decoded, err));
    if (w->decoded.status != COT_OK)
        status = cot_fail(err, w->decoded.status, "not analysed: %s (%s)", w->decoded.text, w->decoded.refusal_id);
done:
    return status;
}

static cot_status read_image(explain *w, cot_error *err)
{
    cot_status status;
    char cache[1024];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    const cot_picture picture = reporting_picture(&w->decoded);
    options.match = w->device_match ? w->device_match : w->config->device;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    COT_TRY(cot_device_open(&w->device, &options, err));
    COT_TRY(cot_model_create_for(&w->model, w->device, w->package, w->steps, w->readers, 1, err));
    COT_TRY(cot_model_explain(w->model, true, true, err));
    COT_TRY(cot_model_read(w->model, &w->chain, &picture, 1, err));
    reporting_note_image(w->chain, &w->decoded);
    if (w->force) reporting_mark_forced(w->chain, &w->decoded);
done:
    return status;
}

static cot_status write_page(const explain *w, const char *path, cot_error *err)
{
    cot_status status;
    char *page = NULL, shown[512];
    size_t size;
    const char *slash = strrchr(path, '/');
    const explained e = {w->chain,        w->steps,        w->decoded.grey,
                         w->decoded.rows, w->decoded.cols, cli_shown(shown, sizeof shown, slash ? slash + 1 : path)};
    COT_TRY(explain_page(&page, &size, &e, err));
    COT_TRY(cot_file_write_durable(w->output, page, size, err));
done:
    free(page);
    return status;
}

static void close_all(explain *w)
{
    cot_chain_destroy(w->chain);
    cot_decoded_fini(&w->decoded);
    cot_model_destroy(w->model);
    cot_device_close(w->device);
    cot_sandbox_destroy(w->sandbox);
    cot_package_close(w->package);
    cot_steps_destroy(w->steps);
    cot_config_destroy(w->config);
}

static int run(explain *w, const char *path)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    cot_dicom_init();
    COT_TRY(decode(w, path, &err));
    COT_TRY(read_image(w, &err));
    COT_TRY(write_page(w, path, &err));
done:
    close_all(w);
    if (status == COT_OK) return EXIT_SUCCESS;
    const int code = cli_failure("explain", &err);
    return w->decoded.status != COT_OK ? EXIT_PARTLY : code;
}

int cot_cmd_explain(int argc, char **argv)
{
    explain w = {0};
    const cli_option options[] = {
        {"output", 'o', "FILE", NULL, &w.output, NULL, 0},  {"package", 0, "DIR", NULL, &w.package_dir, NULL, 0},
        {"model", 0, "WORD", NULL, &w.model_word, NULL, 0}, {"force", 0, NULL, &w.force, NULL, NULL, 0},
        {"device", 0, "X", NULL, &w.device_match, NULL, 0}, {"config", 'c', "FILE", NULL, &w.config_path, NULL, 0},
    };
    size_t n;
    int code;
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    cot_error err = COT_ERROR_INIT;
    if (!words) {
        cot_fail(&err, COT_E_MEMORY, "no memory");
        return cli_failure("explain", &err);
    }
    if (cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) {
        if (n != 1 || !w.output)
            code = cli_usage("explain", "name one image, and the page to write with -o FILE.html");
        else if (w.model_word && (!w.model_word[0] || !cot_readers_named(&w.readers, w.model_word)))
            code = cli_usage("explain",
                             "--model %.64s: say student, teacher or both; a package folder is given by --package",
                             w.model_word);
        else
            code = run(&w, words[0]);
    }
    free(words);
    return code;
}
