/* stepcot infer: the node's reading without its network. The order matters: the sandbox is forked before a device is opened,
 * and the device is opened only when an image has come through the gates. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/infer.h"
#include "plugin/reporting.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: stepcot infer [OPTIONS] FILE|FOLDER…\n\n"
    "Reads DICOM chest radiographs (and PNG or JPEG pictures of them) and prints the answers of the steps.\n"
    "Folders are searched for such files, sorted, without hidden entries and links.\n\n"
    "  -o, --output DIR   also write DIR/NAME.sr.dcm, the Structured Report, for each DICOM file; a refused file gets "
    "one\n"
    "                     that says why; an image that was read also DIR/NAME.measurements.dcm, for viewers that draw\n"
    "                     regions; pictures get DIR/NAME.json. Files of the same name are replaced\n"
    "      --capture      with -o: also DIR/NAME.capture.dcm, the image with its regions and answers drawn on it, for "
    "viewers\n"
    "                     that show no Structured Reports (Secondary Capture)\n"
    "      --capture-steps LIST   as --capture, with the regions of these steps only, e.g. 1,4,7; the table stays "
    "whole\n"
    "      --per WORD     with -o: image (default), or study: one report of each kind for all images of a study,\n"
    "                     DIR/NAME.study.sr.dcm and DIR/NAME.study.measurements.dcm, named after its first file\n"
    "      --json         one line of JSON per file instead of the table\n"
    "      --package DIR  model package (default: the demonstration model in the program)\n"
    "      --model WORD   which of the package's models reads: student (default), teacher, or both: the teacher is "
    "the\n"
    "                     second reader, and steps on which they disagree are marked\n"
    "      --device X     part of an OpenCL platform or device name, or cpu, or gpu (default: the best; stepcot "
    "devices)\n"
    "      --batch N      images read at once (default 8)\n"
    "      --force        read what can be decoded, even if it is not a frontal chest radiograph\n"
    "  -c, --config FILE  values for reader and report from a node's configuration\n\n"
    "Examples:\n"
    "  stepcot infer image.dcm\n"
    "  stepcot infer --json images/ > readings.jsonl\n"
    "  stepcot infer -o reports images/*.dcm\n"
    "  stepcot infer -o reports --per study images/\n"
    "  stepcot infer -o reports --capture-steps 1,7 image.dcm\n\n"
    "Exit codes: 0 every file was read, 1 some were refused or failed, 2 wrong usage, 3 configuration, 4 model or "
    "device,\n"
    "5 file system. Compiled kernels are kept in $XDG_CACHE_HOME/stepcot or ~/.cache/stepcot.\n";

typedef struct infer {
    const char *output, *package_dir, *model_word, *device_match, *config_path, *per, *capture_steps; /* options */
    bool json, force, capture;
    unsigned batch;
    cot_config *config;
    cot_steps *steps;
    cot_package *package;
    cot_readers readers;
    cot_sandbox *sandbox;
    cot_device *device; /* with model: opened at the first image */
    cot_model *model;
    infer_output out;
    size_t read, refused, failed;
} infer;

/* ---- opening ---- */
/* "1,4,7": bit s for step s + 1. */
static cot_status steps_named(uint64_t *bits, const char *list, size_t n_steps, cot_error *err)
{
    *bits = 0;
    for (const char *at = list;;) {
        const size_t digits = strspn(at, "0123456789");
        const unsigned long step = digits && digits < 3 ? strtoul(at, NULL, 10) : 0;
        if (!step || step > n_steps || (at[digits] && at[digits] != ','))
            return cot_fail(err, COT_E_USAGE,
                            "--capture-steps %.64s: name steps from 1 to %zu with commas between, e.g. 1,4", list,
                            n_steps);
        *bits |= UINT64_C(1) << (step - 1);
        if (!at[digits]) return COT_OK;
        at += digits + 1;
    }
}

static cot_status open_first(infer *w, cot_error *err)
{
    cot_status status;
    uint64_t drawn = 0;
    COT_TRY(cot_config_load(&w->config, w->config_path, err));
    if (w->batch) w->config->batch = w->batch;
    COT_TRY(cot_steps_load(&w->steps, w->config->steps[0] ? w->config->steps : NULL, err));
    if (w->capture_steps) COT_TRY(steps_named(&drawn, w->capture_steps, w->steps->n_steps, err));
    const char *dir = w->package_dir ? w->package_dir : w->config->package;
    COT_TRY(cot_package_open(&w->package, dir[0] ? dir : NULL, w->steps, err));
    if (!w->model_word) cot_readers_named(&w->readers, w->config->reader); /* the XSD allows no other words */
    COT_TRY(cot_package_offers(w->package, w->readers, err));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned most = cores > 0 && cores < 64 ? (unsigned)cores : 1;
    const cot_sandbox_limits limits = {w->config->decode_timeout_s, w->config->decode_memory_mib,
                                       w->config->batch < most ? w->config->batch : most};
    COT_TRY(cot_sandbox_create(&w->sandbox, &limits, w->steps, err));
    COT_TRY(infer_output_init(&w->out, w->output, w->json, err));
    w->out.capture = w->capture || w->capture_steps;
    w->out.capture_steps = drawn;
    w->out.per_study = w->output && !strcmp(w->per ? w->per : w->config->per, "study");
done:
    return status;
}

/* Kernels take seconds to compile the first time; a person waiting at a terminal is told. */
static void show_progress(void *ctx, const char *what, unsigned done, unsigned all)
{
    (void)ctx;
    fprintf(stderr, "\r\033[Kcompiling kernels for this device, once: %u of %u, %s", done, all, what);
    if (done >= all) fputs("\r\033[K", stderr);
    fflush(stderr);
}

static cot_status open_device(infer *w, cot_error *err)
{
    cot_status status;
    char cache[1024];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    if (w->model) return COT_OK;
    options.match = w->device_match ? w->device_match : w->config->device;
    /* a node's own cache is used where it exists, but no store is begun here */
    if (w->config_path && access(w->config->cache, W_OK) == 0)
        options.cache_dir = w->config->cache;
    else
        options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    options.gemm = !strcmp(w->config->gemm, "tile")      ? COT_GEMM_TILE
                   : !strcmp(w->config->gemm, "clblast") ? COT_GEMM_CLBLAST
                                                         : COT_GEMM_AUTO;
    if (isatty(STDERR_FILENO)) options.progress = show_progress;
    COT_TRY(cot_device_open(&w->device, &options, err));
    COT_TRY(cot_model_create_for(&w->model, w->device, w->package, w->steps, w->readers, w->config->batch, err));
    COT_TRY(cot_model_explain(w->model, true, false, err));
done:
    return status;
}

static void close_all(infer *w)
{
    cot_model_destroy(w->model);
    cot_device_close(w->device);
    infer_output_fini(&w->out);
    cot_sandbox_destroy(w->sandbox);
    cot_package_close(w->package);
    cot_steps_destroy(w->steps);
    cot_config_destroy(w->config);
}

/* ---- one batch ---- */
typedef struct batch {
    const char *const *paths;
    size_t n;
    cot_decoded *decoded; /* [n] */
    cot_chain **chains;   /* [n]; NULL: failed, already said */
} batch;

static cot_status read_some(infer *w, batch *b, size_t from, size_t to, cot_error *err)
{
    cot_picture pictures[256];
    cot_chain *chains[256];
    size_t m = 0;
    for (size_t i = from; i < to; i++)
        if (b->decoded[i].grey) pictures[m++] = reporting_picture(&b->decoded[i]);
    if (!m) return COT_OK;
    const cot_status status = cot_model_read(w->model, chains, pictures, m, err);
    if (status != COT_OK) return status;
    for (size_t i = from, k = 0; i < to; i++)
        if (b->decoded[i].grey) {
            b->chains[i] = chains[k++];
            reporting_note_image(b->chains[i], &b->decoded[i]);
        }
    return COT_OK;
}

/* Together; when that fails for another reason than the device, one by one, so that one image spoils only itself. */
static cot_status read_batch(infer *w, batch *b, cot_error *err)
{
    cot_status status = read_some(w, b, 0, b->n, err);
    if (status == COT_OK || status == COT_E_DEVICE) return status;
    for (size_t i = 0; i < b->n; i++) {
        cot_error one = COT_ERROR_INIT;
        status = read_some(w, b, i, i + 1, &one);
        if (status == COT_E_DEVICE) return cot_fail(err, status, "%s", one.text);
        if (status == COT_OK) continue;
        cot_fail_in(&one, "%s", b->paths[i]);
        cli_failure("infer", &one);
    }
    return COT_OK;
}

static cot_status refuse(infer *w, batch *b, size_t i, cot_error *err)
{
    const cot_decoded *d = &b->decoded[i];
    cot_reader reader = *cot_package_reader_of(w->package, w->readers);
    if (!reader.program[0]) snprintf(reader.program, sizeof reader.program, "%s %s", COT_PROGRAM, COT_VERSION);
    /* the path stands above the table already */
    const size_t n = strlen(b->paths[i]);
    const bool prefixed = !strncmp(d->text, b->paths[i], n) && !strncmp(d->text + n, ": ", 2);
    return cot_chain_refuse(&b->chains[i], w->steps, &reader, d->refusal_id, d->text + (prefixed ? n + 2 : 0), err);
}

static cot_status put(infer *w, batch *b, size_t i, cot_error *err)
{
    if (!b->chains[i]) {
        w->failed++;
        return COT_OK;
    }
    const bool refused = b->chains[i]->state == COT_CHAIN_REFUSED;
    cot_error one = COT_ERROR_INIT;
    const cot_status status =
        infer_output_put(&w->out, &b->chains[i], w->steps, w->config, b->paths[i], &b->decoded[i], w->sandbox, &one);
    if (status == COT_E_BUG || status == COT_E_MEMORY) return cot_fail(err, status, "%s", one.text);
    if (status != COT_OK) {
        cot_fail_in(&one, "%s", b->paths[i]);
        cli_failure("infer", &one);
    }
    w->refused += refused && status == COT_OK;
    w->failed += status != COT_OK;
    w->read += !refused && status == COT_OK;
    return COT_OK;
}

static cot_status run_batch(infer *w, const char *const *paths, size_t n, cot_error *err)
{
    cot_status status;
    batch b = {paths, n, calloc(n, sizeof *b.decoded), calloc(n, sizeof *b.chains)};
    bool any = false;
    if (!b.decoded || !b.chains) {
        status = cot_fail(err, COT_E_MEMORY, "no memory for a batch of %zu", n);
        goto done;
    }
    COT_TRY(cot_sandbox_decode(w->sandbox, paths, n, w->force, b.decoded, err));
    for (size_t i = 0; i < n; i++) {
        any = any || b.decoded[i].grey;
        if (b.decoded[i].status != COT_OK) COT_TRY(refuse(w, &b, i, err));
    }
    if (any) COT_TRY(open_device(w, err));
    if (any) COT_TRY(read_batch(w, &b, err));
    for (size_t i = 0; w->force && i < n; i++)
        if (b.chains[i] && b.decoded[i].grey) reporting_mark_forced(b.chains[i], &b.decoded[i]);
    for (size_t i = 0; i < n; i++) COT_TRY(put(w, &b, i, err));
done:
    for (size_t i = 0; b.decoded && i < n; i++) cot_decoded_fini(&b.decoded[i]);
    for (size_t i = 0; b.chains && i < n; i++) cot_chain_destroy(b.chains[i]);
    free(b.decoded);
    free(b.chains);
    return status;
}

/* ---- the command ---- */
static int run(infer *w, const char *const *words, size_t n)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    infer_files files = {0};
    size_t studies = 0;
    COT_TRY(open_first(w, &err));
    COT_TRY(infer_files_collect(&files, words, n, &err));
    w->failed += files.failed;
    for (size_t i = 0; i < files.n; i += w->config->batch) {
        const size_t left = files.n - i;
        COT_TRY(run_batch(w, (const char *const *)&files.paths[i], left < w->config->batch ? left : w->config->batch,
                          &err));
    }
    COT_TRY(infer_output_studies(&w->out, w->config, w->sandbox, &studies, &err));
    w->failed += studies;
    if (files.n != 1 || files.failed || files.skipped || w->output) {
        fprintf(stderr, "stepcot infer: %zu read, %zu refused, %zu failed", w->read, w->refused, w->failed);
        if (files.skipped) fprintf(stderr, ", %zu other file%s skipped", files.skipped, files.skipped == 1 ? "" : "s");
        if (w->output) fprintf(stderr, ", %zu file%s written", w->out.written, w->out.written == 1 ? "" : "s");
        fputs("\n", stderr);
    }
    if (!files.n && !files.failed) status = cot_fail(&err, COT_E_INPUT, "no DICOM, PNG or JPEG file found there");
done:
    infer_files_fini(&files);
    if (status != COT_OK) return cli_failure("infer", &err);
    return w->refused || w->failed ? EXIT_PARTLY : EXIT_SUCCESS;
}

int cot_cmd_infer(int argc, char **argv)
{
    infer w = {0};
    const cli_option options[] = {
        {"output", 'o', "DIR", NULL, &w.output, NULL, 0},
        {"json", 0, NULL, &w.json, NULL, NULL, 0},
        {"package", 0, "DIR", NULL, &w.package_dir, NULL, 0},
        {"model", 0, "WORD", NULL, &w.model_word, NULL, 0},
        {"device", 0, "X", NULL, &w.device_match, NULL, 0},
        {"batch", 0, "N", NULL, NULL, &w.batch, 256},
        {"capture", 0, NULL, &w.capture, NULL, NULL, 0},
        {"force", 0, NULL, &w.force, NULL, NULL, 0},
        {"config", 'c', "FILE", NULL, &w.config_path, NULL, 0},
        {"per", 0, "WORD", NULL, &w.per, NULL, 0},
        {"capture-steps", 0, "LIST", NULL, &w.capture_steps, NULL, 0},
    };
    size_t n;
    int code;
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    cot_error err = COT_ERROR_INIT;
    if (!words) {
        cot_fail(&err, COT_E_MEMORY, "no memory");
        return cli_failure("infer", &err);
    }
    if (cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) {
        if (w.model_word && (!w.model_word[0] || !cot_readers_named(&w.readers, w.model_word))) {
            code = cli_usage("infer",
                             "--model %.64s: say student, teacher or both; a package folder is given by --package",
                             w.model_word);
        } else if (w.per && strcmp(w.per, "image") && strcmp(w.per, "study")) {
            code = cli_usage("infer", "--per %.64s: say image or study", w.per);
        } else if (w.per && !w.output) {
            code = cli_usage("infer", "--per is about files: say where with -o DIR");
        } else if ((w.capture || w.capture_steps) && !w.output) {
            code = cli_usage("infer", "--capture%s writes files: say where with -o DIR", w.capture ? "" : "-steps");
        } else if (n) {
            cot_dicom_init();
            code = run(&w, words, n);
            close_all(&w);
        } else {
            code = cli_usage("infer", "name at least one file or folder");
        }
    }
    free(words);
    return code;
}
