/* stepcot train: options, then the run. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: stepcot train --stage encoder|teacher|distill MANIFEST -o RUN [OPTIONS]\n"
    "       stepcot train --resume RUN\n\n"
    "Trains on the labelled images of a manifest (stepcot data import). Stages:\n"
    "  encoder   ResNet-18 with the student's heads, end to end\n"
    "  teacher   the teacher by itself, on the features of the frozen encoder of --init\n"
    "  distill   teacher and student together, on the same features\n"
    "RUN/model is the package of the best epoch, RUN/log.jsonl the log, RUN/report.html the curves and figures. A run\n"
    "that was stopped (Ctrl-C, SIGTERM) or killed goes on with --resume and ends in the same weights on the same "
    "device.\n\n"
    "  -o, --output RUN     folder of the run (must not exist)\n"
    "      --init PACKAGE   begin with this package's weights; imported: with the model in the program\n"
    "      --other-patients no patient that PACKAGE has learnt is in this manifest: without it, only a package of the\n"
    "                       same splits is accepted (one that does not say is warned of)\n"
    "      --images DIR     where the manifest's images are, when not where it says\n"
    "      --resume RUN     go on with this run\n"
    "  -c, --config FILE    hyper-parameters (XML); --print-config prints those in effect and ends\n"
    "      --name, --model-version, --notice TEXT   what the package says of itself\n"
    "      --steps FILE     a step schema other than the embedded one\n"
    "      --device X       part of an OpenCL platform or device name, or cpu, or gpu (default: the best)\n"
    "      --cache DIR      resized images and features (default: $XDG_CACHE_HOME/stepcot, at most 8 GiB); none: not "
    "kept\n"
    "Every hyper-parameter is an option too, and wins over FILE: --epochs 30 --lr 1e-3 --schedule cosine …\n\n"
    "Examples:\n"
    "  stepcot train --stage encoder chest.jsonl -o run1 --epochs 24\n"
    "  stepcot train --resume run1\n"
    "  stepcot infer --package run1/model image.dcm\n\n"
    "Exit codes: 0 done, 1 data or checkpoint not as they must be, 2 wrong usage, 3 hyper-parameters, 4 model or "
    "device,\n"
    "5 file system, 6 stopped before the end (a checkpoint was written).\n" COT_NOT_A_DEVICE "\n";

enum { OPTIONS_MOST = 80, EXIT_STOPPED = 6 };

typedef struct train_words { /* the command line */
    const char *stage, *output, *init, *images, *resume, *config, *name, *version, *notice, *steps, *device, *cache;
    bool print_config, other_patients;
    cot_training_name names[OPTIONS_MOST];
    const char *values[OPTIONS_MOST]; /* of the hyper-parameters, by name */
    size_t n_names;
} train_words;

/* ---- options ---- */
static size_t fill_options(cli_option *options, train_words *w)
{
    const cli_option fixed[] = {
        {"stage", 0, "encoder|teacher|distill", NULL, &w->stage, NULL, 0},
        {"output", 'o', "RUN", NULL, &w->output, NULL, 0},
        {"init", 0, "PACKAGE", NULL, &w->init, NULL, 0},
        {"images", 0, "DIR", NULL, &w->images, NULL, 0},
        {"resume", 0, "RUN", NULL, &w->resume, NULL, 0},
        {"config", 'c', "FILE", NULL, &w->config, NULL, 0},
        {"name", 0, "TEXT", NULL, &w->name, NULL, 0},
        {"model-version", 0, "TEXT", NULL, &w->version, NULL, 0},
        {"notice", 0, "TEXT", NULL, &w->notice, NULL, 0},
        {"steps", 0, "FILE", NULL, &w->steps, NULL, 0},
        {"device", 0, "X", NULL, &w->device, NULL, 0},
        {"cache", 0, "DIR", NULL, &w->cache, NULL, 0},
        {"other-patients", 0, NULL, &w->other_patients, NULL, NULL, 0},
        {"print-config", 0, NULL, &w->print_config, NULL, NULL, 0},
    };
    size_t n = sizeof fixed / sizeof *fixed;
    memcpy(options, fixed, sizeof fixed);
    w->n_names = cot_training_names(w->names, OPTIONS_MOST - n);
    for (size_t i = 0; i < w->n_names; i++)
        options[n++] = (cli_option){w->names[i].name, 0, "VALUE", NULL, &w->values[i], NULL, 0};
    return n;
}

static bool stage_named(cot_stage *stage, const char *word)
{
    for (*stage = 0; *stage < COT_STAGES; (*stage)++)
        if (!strcmp(word, cot_stage_name(*stage))) return true;
    return false;
}

static cot_status take_training(train_request *r, const train_words *w, cot_error *err)
{
    cot_training_override overrides[OPTIONS_MOST];
    size_t n = 0;
    for (size_t i = 0; i < w->n_names; i++) {
        if (!w->values[i]) continue;
        const size_t used = strlen(r->given);
        overrides[n++] = (cot_training_override){w->names[i].name, w->values[i]};
        snprintf(r->given + used, sizeof r->given - used, " %s ", w->names[i].name);
    }
    return cot_training_load(&r->training, w->config, r->stage, overrides, n, err);
}

/* Absolute, so that the run can go on from another folder. NULL: "". */
static cot_status take_path(char *to, size_t size, const char *path, cot_error *err)
{
    to[0] = 0;
    if (!path) return COT_OK;
    char *whole = realpath(path, NULL);
    const int n = whole ? snprintf(to, size, "%s", whole) : 0;
    free(whole);
    if (!n) return cot_fail(err, COT_E_USAGE, "%s: there is no such file or folder", path);
    return (size_t)n < size ? COT_OK : cot_fail(err, COT_E_USAGE, "%s: the path is too long", path);
}

static cot_status take_text(char *to, size_t size, const char *option, const char *text, cot_error *err)
{
    const int n = snprintf(to, size, "%s", text ? text : "");
    return (size_t)n < size ? COT_OK : cot_fail(err, COT_E_USAGE, "--%s is longer than %zu bytes", option, size - 1);
}

static cot_status take_new(train_request *r, const train_words *w, const char *manifest, cot_error *err)
{
    cot_status status;
    r->other_patients = w->other_patients;
    COT_TRY(take_training(r, w, err));
    COT_TRY(take_path(r->manifest, sizeof r->manifest, manifest, err));
    COT_TRY(take_path(r->images, sizeof r->images, w->images, err));
    COT_TRY(take_path(r->steps, sizeof r->steps, w->steps, err));
    if (w->init && !strcmp(w->init, "imported"))
        snprintf(r->init, sizeof r->init, "imported");
    else
        COT_TRY(take_path(r->init, sizeof r->init, w->init, err));
    COT_TRY(take_text(r->name, sizeof r->name, "name", w->name, err));
    COT_TRY(take_text(r->version, sizeof r->version, "model-version", w->version, err));
    COT_TRY(take_text(r->notice, sizeof r->notice, "notice", w->notice, err));
    COT_TRY(take_text(r->dir, sizeof r->dir, "output", w->output, err));
done:
    return status;
}

static cot_status take_resume(train_request *r, const train_words *w, cot_error *err)
{
    cot_status status;
    r->resume = true;
    for (size_t i = 0; i < w->n_names; i++)
        if (w->values[i])
            return cot_fail(err, COT_E_USAGE, "--%s: a run keeps its settings. Begin a new one to change them",
                            w->names[i].name);
    if (w->stage || w->output || w->init || w->images || w->config || w->steps || w->name || w->version || w->notice ||
        w->other_patients)
        return cot_fail(err, COT_E_USAGE, "--resume takes only --device and --cache: everything else is in its folder");
    COT_TRY(take_text(r->dir, sizeof r->dir, "resume", w->resume, err));
    COT_TRY(train_request_read(r, err));
done:
    return status;
}

/* ---- the run ---- */
static int run(const train_request *r)
{
    cot_status status;
    cot_error err = COT_ERROR_INIT;
    train_job *job = calloc(1, sizeof *job);
    train_watching watching = {0};
    train_end end = TRAIN_DONE;
    run_state state;
    int lock = -1;
    if (!job) return cot_exit_code(COT_E_MEMORY);
    COT_TRY(train_job_open(job, r, &err));
    if (!r->resume) COT_TRY(train_request_begin(r, &err)); /* only now: what was refused leaves no folder */
    COT_TRY(train_request_lock(&lock, r, &err));
    if (r->resume) COT_TRY(train_request_sweep(r, &err));
    COT_TRY(train_watch_open(&watching, job, &err));
    COT_TRY(train_loop_run(&end, &state, &job->loop, r->resume, &err));
    COT_TRY(train_watch_end(&watching, end, &state, &err));
    if (end != TRAIN_INTERRUPTED) COT_TRY(train_finish(job, &state, watching.finished, &err));
done:
    train_watch_close(&watching);
    train_job_close(job);
    free(job);
    if (lock >= 0) close(lock);
    if (status != COT_OK) return cli_failure("train", &err);
    if (end == TRAIN_INTERRUPTED)
        fprintf(stderr, "%s train: stopped. Go on with: %s train --resume %s\n", COT_PROGRAM, COT_PROGRAM, r->dir);
    else
        fprintf(stderr, "%s train: %s/model is the model of epoch %llu\n", COT_PROGRAM, r->dir,
                (unsigned long long)state.schedule.best_epoch);
    return end == TRAIN_INTERRUPTED ? EXIT_STOPPED : EXIT_SUCCESS;
}

static int with_words(train_words *w, const char *const *words, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    char cache[1024];
    cot_status status;
    int code = EXIT_SUCCESS;
    train_request *r = calloc(1, sizeof *r);
    if (!r) return cot_exit_code(COT_E_MEMORY);
    if (w->resume) {
        if (n) cot_fail(&err, COT_E_USAGE, "--resume takes no manifest: it is in the run's folder");
        status = n ? COT_E_USAGE : take_resume(r, w, &err);
    } else if (!w->stage || !stage_named(&r->stage, w->stage)) {
        status = cot_fail(&err, COT_E_USAGE, "say --stage encoder, teacher or distill");
    } else if (w->print_config) {
        status = take_training(r, w, &err);
        if (status == COT_OK) status = cot_training_print(&r->training, stdout, &err);
    } else if (n != 1 || !w->output) {
        status = cot_fail(&err, COT_E_USAGE, "name one MANIFEST, and -o RUN for the folder of the run");
    } else {
        status = take_new(r, w, words[0], &err);
    }
    r->device = w->device;
    r->cache = w->cache                                ? strcmp(w->cache, "none") ? w->cache : NULL
               : cli_cache_folder(cache, sizeof cache) ? cache
                                                       : NULL;
    if (status == COT_E_USAGE)
        code = cli_usage("train", "%s", err.text);
    else if (status != COT_OK)
        code = cli_failure("train", &err);
    else if (!w->print_config)
        code = run(r);
    free(r);
    return code;
}

int cot_cmd_train(int argc, char **argv)
{
    size_t n;
    int code = EXIT_USAGE;
    cli_option options[OPTIONS_MOST];
    train_words *w = calloc(1, sizeof *w);
    const char **words = calloc((size_t)argc + 1, sizeof *words);
    if (w && words && cli_parse(argc, argv, options, fill_options(options, w), help, words, &n, &code))
        code = with_words(w, words, n);
    free(words);
    free(w);
    return code;
}
