/* stepcot bench: the time of every stage of a reading on this machine, and of every layer beside the device's peak, as
 * JSON lines. Decoding and reports run in the sandbox, as in the node; it is forked before the device is opened.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "opencl/opencl.h"
#include "plugin/bench_file.h"
#include "plugin/bench_reports.h"
#include "plugin/cli.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: stepcot bench [OPTIONS] [FILE.dcm]\n\n"
    "Measures every stage of a reading on this machine and prints JSON lines: first what was measured on, then for "
    "each\n"
    "batch the median milliseconds of decode, preprocess, encoder, heads, evidence and report for the whole batch\n"
    "(reading and measurement report and the fallback of each, written, linted and on disk), then each convolution\n"
    "and matrix product with its share of the device's measured peak, then reports alone: in the two forms that a\n"
    "destination is sent, and in all four. Without FILE a drawn image of 2048 x 2048 pixels is read.\n\n"
    "      --device X     part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n"
    "      --batch N,M    batch sizes, 1 to 256 (default 1,8)\n"
    "      --seconds S    time spent on each batch size (default 3)\n"
    "      --package DIR  model package (default: the demonstration model in the program)\n"
    "      --model WORD   student (default), teacher or both: which of the package's models reads behind the "
    "encoder\n"
    "      --reports      reports alone, no stages and no layers\n\n"
    "Examples:\n"
    "  stepcot bench > this-machine.jsonl\n"
    "  stepcot bench --device gpu --batch 1,8,64 --seconds 10 image.dcm\n\n"
    "Exit codes: 0 done, 2 wrong usage, 4 model or device, 5 file system.\n";

enum { BATCHES_MOST = 8, BATCH_MOST = 256, RUNS_MOST = 1000, DRAWN_SIDE = 2048 };
typedef enum stage { DECODE, PREPROCESS, ENCODER, HEADS, EVIDENCE, REPORT, TOTAL, STAGES } stage;
static const char *const stage_names[STAGES] = {"decode",   "preprocess", "encoder", "heads",
                                                "evidence", "report",     "total"};

typedef struct bench {
    cot_readers readers;
    const char *device_match, *package_dir, *file;
    unsigned batches[BATCHES_MOST], n_batches, most, seconds;
    bool only_reports;
    char folder[64], drawn[96]; /* made by us, removed at the end */
    bench_reports reports;
    cot_config *config;
    cot_steps *steps;
    cot_package *package;
    cot_sandbox *sandbox;
    cot_device *device;
    cot_model *model;
    double peak;
} bench;

/* ---- open and close ---- */
static cot_status open_folder(bench *b, cot_error *err)
{
    snprintf(b->folder, sizeof b->folder, "/tmp/stepcot-bench-XXXXXX");
    if (!mkdtemp(b->folder)) {
        b->folder[0] = 0;
        return cot_fail(err, COT_E_IO, "no folder for temporary files can be made in /tmp");
    }
    snprintf(b->drawn, sizeof b->drawn, "%s/drawn.dcm", b->folder);
    if (b->file) return COT_OK;
    b->file = b->drawn;
    return bench_file_write(b->drawn, DRAWN_SIDE, err);
}

static cot_status open_all(bench *b, cot_error *err)
{
    cot_status status;
    char cache[1024];
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    COT_TRY(cot_config_load(&b->config, NULL, err));
    COT_TRY(cot_steps_load(&b->steps, NULL, err));
    COT_TRY(cot_package_open(&b->package, b->package_dir, b->steps, err));
    COT_TRY(open_folder(b, err));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const cot_sandbox_limits limits = {b->config->decode_timeout_s, b->config->decode_memory_mib,
                                       cores > 0 && cores < 64 ? (unsigned)cores : 1};
    COT_TRY(cot_sandbox_create(&b->sandbox, &limits, b->steps, err));
    b->reports = (bench_reports){b->sandbox, b->config, b->folder, b->file};
    options.match = b->device_match;
    options.cache_dir = cli_cache_folder(cache, sizeof cache) ? cache : NULL;
    COT_TRY(cot_device_open(&b->device, &options, err));
    COT_TRY(cot_model_create_for(&b->model, b->device, b->package, b->steps, b->readers, b->most, err));
    COT_TRY(cot_model_explain(b->model, true, false, err));
    cot_model_timing(b->model, true);
    if (!b->only_reports) COT_TRY(cot_device_peak(b->device, 1.0, &b->peak, err));
done:
    return status;
}

static void close_all(bench *b)
{
    cot_model_destroy(b->model);
    cot_device_close(b->device);
    cot_sandbox_destroy(b->sandbox);
    cot_package_close(b->package);
    cot_steps_destroy(b->steps);
    cot_config_destroy(b->config);
    if (!b->folder[0]) return;
    unlink(b->drawn);
    bench_reports_remove(&b->reports, b->most);
    rmdir(b->folder);
}

/* ---- header ---- */
/* Three decimals are more than a measurement holds. */
static bool add_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, round(value * 1e3) / 1e3) != NULL;
}

/* "model name" of the first processor, or what uname knows. */
static void machine_name(char *name, size_t size)
{
    char line[256];
    struct utsname system;
    snprintf(name, size, "%s", uname(&system) == 0 ? system.machine : "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strncmp(line, "model name", 10) ? NULL : strchr(line, ':');
        if (!colon) continue;
        snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file) fclose(file);
}

static cot_status print_json(cJSON *object, bool ok, cot_error *err)
{
    char *text = ok ? cJSON_PrintUnformatted(object) : NULL;
    if (text) puts(text);
    fflush(stdout);
    free(text);
    cJSON_Delete(object);
    return text ? COT_OK : cot_fail(err, COT_E_MEMORY, "no memory for a line of JSON");
}

static cot_status print_header(const bench *b, cot_error *err)
{
    const cot_device_info *device = cot_device_about(b->device);
    const cot_reader *reader = cot_package_reader(b->package);
    char clean[300], machine[200], date[32];
    const time_t now = time(NULL);
    struct tm utc;
    machine_name(machine, sizeof machine);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "kind", "header") != NULL;
    ok = ok && cJSON_AddStringToObject(o, "program", COT_PROGRAM " " COT_VERSION);
    ok = ok && cJSON_AddStringToObject(o, "date", date);
    ok = ok && cJSON_AddStringToObject(o, "machine", cli_shown(clean, sizeof clean, machine));
    ok = ok && cJSON_AddNumberToObject(o, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    ok = ok && cJSON_AddStringToObject(o, "platform", cli_shown(clean, sizeof clean, device->platform));
    ok = ok && cJSON_AddStringToObject(o, "device", cli_shown(clean, sizeof clean, device->name));
    ok = ok && cJSON_AddStringToObject(o, "driver", cli_shown(clean, sizeof clean, device->driver));
    ok = ok && cJSON_AddStringToObject(o, "gemm", cot_device_gemm(b->device) == COT_GEMM_TILE ? "tile" : "clblast");
    ok = ok && (b->only_reports || add_number(o, "peak_gflops", b->peak));
    ok = ok && cJSON_AddStringToObject(o, "model", cli_shown(clean, sizeof clean, reader->name)) &&
         cJSON_AddStringToObject(o, "reader", cot_readers_name(b->readers));
    ok = ok && cJSON_AddStringToObject(o, "image", b->file == b->drawn ? "drawn" : "file");
    return print_json(o, ok, err);
}

/* ---- stages ---- */
static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* A batch from files to chains. */
typedef struct batch {
    size_t n;
    cot_decoded decoded[BATCH_MOST];
    cot_chain *chains[BATCH_MOST];
} batch;

static void batch_fini(batch *all)
{
    for (size_t i = 0; i < all->n; i++) {
        cot_decoded_fini(&all->decoded[i]);
        cot_chain_destroy(all->chains[i]);
    }
    all->n = 0;
}

static cot_status read_batch(bench *b, batch *all, size_t n, double ms[STAGES], cot_error *err)
{
    cot_status status;
    const char *paths[BATCH_MOST];
    cot_picture pictures[BATCH_MOST];
    memset(all, 0, sizeof *all);
    for (size_t i = 0; i < n; i++) paths[i] = b->file;
    const double start = now_ms();
    COT_TRY(cot_sandbox_decode(b->sandbox, paths, n, true, all->decoded, err));
    ms[DECODE] = now_ms() - start;
    all->n = n;
    for (size_t i = 0; i < n; i++) {
        const cot_decoded *d = &all->decoded[i];
        if (!d->grey) return cot_fail(err, d->status == COT_OK ? COT_E_INPUT : d->status, "%s", d->text);
        pictures[i] = reporting_picture(d);
    }
    COT_TRY(cot_model_read(b->model, all->chains, pictures, n, err));
    const cot_model_times times = cot_model_times_read(b->model);
    ms[PREPROCESS] = times.preprocess;
    ms[ENCODER] = times.encoder;
    ms[HEADS] = times.heads;
    ms[EVIDENCE] = times.evidence;
done:
    return status;
}

/* One batch through all stages; ms[] per stage. */
static cot_status run_once(bench *b, size_t n, double ms[STAGES], cot_error *err)
{
    static batch all;
    cot_status status;
    const double start = now_ms();
    COT_TRY(read_batch(b, &all, n, ms, err));
    const double read = now_ms();
    COT_TRY(bench_reports_write(&b->reports, all.decoded, all.chains, n, BENCH_FORMS, err));
    ms[REPORT] = now_ms() - read;
    ms[TOTAL] = now_ms() - start;
done:
    batch_fini(&all);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static cot_status print_stages(size_t n, double all[STAGES][RUNS_MOST], size_t runs, cot_error *err)
{
    double total = 0;
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "kind", "stages") && cJSON_AddNumberToObject(o, "batch", (double)n) &&
              cJSON_AddNumberToObject(o, "runs", (double)runs);
    for (size_t s = 0; s < STAGES; s++) {
        char name[24];
        qsort(all[s], runs, sizeof **all, by_value);
        total = all[s][runs / 2];
        snprintf(name, sizeof name, "%s_ms", stage_names[s]);
        ok = ok && add_number(o, name, total);
    }
    ok = ok && add_number(o, "images_per_second", total > 0 ? 1e3 * (double)n / total : 0.0);
    return print_json(o, ok, err);
}

/* Warms up once, then repeats for the asked seconds, three times at least. */
static cot_status run_stages(bench *b, size_t n, cot_error *err)
{
    static double all[STAGES][RUNS_MOST];
    cot_status status;
    double ms[STAGES] = {0};
    size_t runs = 0;
    COT_TRY(run_once(b, n, ms, err));
    const double end = now_ms() + b->seconds * 1e3;
    while (runs < RUNS_MOST && (runs < 3 || now_ms() < end)) {
        COT_TRY(run_once(b, n, ms, err));
        for (size_t s = 0; s < STAGES; s++) all[s][runs] = ms[s];
        runs++;
    }
    COT_TRY(print_stages(n, all, runs, err));
    COT_TRY(cot_model_bench_layers(b->model, n, b->peak, stdout, err));
    fflush(stdout);
done:
    return status;
}

/* ---- reports alone ---- */
static cot_status print_reports(size_t n, size_t forms, double *ms, size_t runs, cot_error *err)
{
    qsort(ms, runs, sizeof *ms, by_value);
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "kind", "reports") && cJSON_AddNumberToObject(o, "batch", (double)n) &&
              cJSON_AddNumberToObject(o, "forms", (double)forms) && cJSON_AddNumberToObject(o, "runs", (double)runs);
    ok = ok && add_number(o, "ms", ms[runs / 2]) && add_number(o, "ms_per_image", ms[runs / 2] / (double)n) &&
         add_number(o, "best_ms_per_image", ms[0] / (double)n);
    return print_json(o, ok, err);
}

static cot_status run_reports(bench *b, size_t n, size_t forms, cot_error *err)
{
    static batch all;
    static double ms[RUNS_MOST];
    cot_status status;
    double stages[STAGES];
    size_t runs = 0;
    COT_TRY(read_batch(b, &all, n, stages, err));
    COT_TRY(bench_reports_write(&b->reports, all.decoded, all.chains, n, forms, err));
    const double end = now_ms() + b->seconds * 1e3;
    while (runs < RUNS_MOST && (runs < 3 || now_ms() < end)) {
        const double start = now_ms();
        COT_TRY(bench_reports_write(&b->reports, all.decoded, all.chains, n, forms, err));
        ms[runs++] = now_ms() - start;
    }
    COT_TRY(print_reports(n, forms, ms, runs, err));
done:
    batch_fini(&all);
    return status;
}

static cot_status run_batch(bench *b, size_t n, cot_error *err)
{
    cot_status status = COT_OK;
    if (!b->only_reports) COT_TRY(run_stages(b, n, err));
    COT_TRY(run_reports(b, n, BENCH_FORMS_SENT, err));
    COT_TRY(run_reports(b, n, BENCH_FORMS, err));
done:
    return status;
}

/* ---- the command ---- */
static int run(bench *b)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    COT_TRY(open_all(b, &err));
    COT_TRY(print_header(b, &err));
    for (size_t i = 0; i < b->n_batches; i++) COT_TRY(run_batch(b, b->batches[i], &err));
done:
    return status == COT_OK ? EXIT_SUCCESS : cli_failure("bench", &err);
}

/* "1,8": false when it is not a list of sizes. */
static bool parse_batches(bench *b, const char *text)
{
    while (b->n_batches < BATCHES_MOST) {
        char *end = NULL;
        const unsigned long n = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
        if (n < 1 || n > BATCH_MOST) return false;
        b->batches[b->n_batches++] = (unsigned)n;
        if (n > b->most) b->most = (unsigned)n;
        if (!*end) return true;
        if (*end != ',') return false;
        text = end + 1;
    }
    return false;
}

int cot_cmd_bench(int argc, char **argv)
{
    bench b = {.seconds = 3};
    const char *batches = "1,8", *model_word = "student", *words[16];
    size_t n = 0;
    int code;
    const cli_option options[] = {
        {"device", 0, "X", NULL, &b.device_match, NULL, 0}, {"batch", 0, "N,M", NULL, &batches, NULL, 0},
        {"seconds", 0, "S", NULL, NULL, &b.seconds, 3600},  {"package", 0, "DIR", NULL, &b.package_dir, NULL, 0},
        {"model", 0, "WORD", NULL, &model_word, NULL, 0},   {"reports", 0, NULL, &b.only_reports, NULL, NULL, 0},
    };
    if (argc > 15) return cli_usage("bench", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) return code;
    if (n > 1) return cli_usage("bench", "name one file at most");
    if (!model_word[0] || !cot_readers_named(&b.readers, model_word))
        return cli_usage("bench", "--model %.64s: say student, teacher or both; a package folder is given by --package",
                         model_word);
    if (!parse_batches(&b, batches))
        return cli_usage("bench", "--batch: up to %d sizes from 1 to %d, such as 1,8", BATCHES_MOST, BATCH_MOST);
    b.file = n ? words[0] : NULL;
    cot_dicom_init();
    code = run(&b);
    close_all(&b);
    return code;
}
