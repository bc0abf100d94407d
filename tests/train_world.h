/* A small world to train in: a folder with drawn pictures and their manifest, and the command in a child. The parent must not
 * open a device. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_TRAIN_WORLD_H
#define COT_TESTS_TRAIN_WORLD_H
#include "config/config.h"
#include "engine/data.h"
#include "plugin/node.h"
#include "tests/check.h"

#include <fcntl.h>
#include <png.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORLD_SIDE = 40, WORLD_IMAGES = 60 };
typedef struct train_world {
    char folder[64], manifest[128], output[128]; /* output: what the last command said */
} train_world;

/* Picture i: a bright half (left: option 0 of the first step, right: 1) and a grey level for the last step. */
static inline bool world_draw(const char *path, size_t i)
{
    unsigned char pixels[WORLD_SIDE * WORLD_SIDE];
    uint32_t noise = (uint32_t)i * 2654435761u + 1;
    for (size_t p = 0; p < sizeof pixels; p++) {
        noise = noise * 1664525u + 1013904223u;
        const bool right = p % WORLD_SIDE >= WORLD_SIDE / 2;
        pixels[p] = (unsigned char)(40 + 80 * (size_t)(right == (i % 2 == 1)) + i / 2 % 3 * 30 + (size_t)(noise >> 28));
    }
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = WORLD_SIDE, .height = WORLD_SIDE, .format = PNG_FORMAT_GRAY};
    return png_image_write_to_file(&image, path, 0, pixels, 0, NULL) != 0;
}

static inline cot_status world_add(cot_manifest *m, const train_world *w, const cot_steps *steps, size_t i,
                                   cot_error *err)
{
    char name[64], path[256], patient[32], *bytes = NULL;
    int label[32];
    size_t size = 0;
    cot_case one = {.patient = patient, .path = name, .label = label, .rows = WORLD_SIDE, .cols = WORLD_SIDE};
    char *none[32];
    for (size_t s = 0; s < steps->n_steps; s++) label[s] = COT_MASKED, none[s] = (char *)(uintptr_t) "";
    label[0] = (int)(i % 2);
    if (i % 5) label[steps->n_steps - 1] = (int)(i / 2 % 3);
    one.reasoning = none;
    one.origin = one.view = one.report = none[0];
    one.split = i % 10 < 6 ? COT_TRAIN : i % 10 < 8 ? COT_VALIDATION : COT_TEST;
    /* every other picture has a box around its bright half */
    cot_box box = {"Brightness", i % 2 ? WORLD_SIDE / 2 : 0, 0, WORLD_SIDE / 2, WORLD_SIDE};
    if (i % 4 < 2) one.boxes = &box, one.n_boxes = 1;
    snprintf(name, sizeof name, "picture-%02zu.png", i);
    snprintf(patient, sizeof patient, "p%zu", i);
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    if (!world_draw(path, i)) return cot_fail(err, COT_E_IO, "%s", path);
    cot_status status = cot_file_read(&bytes, &size, path, 1 << 20, err);
    if (status == COT_OK) cot_sha256_of(one.sha256, bytes, size);
    free(bytes);
    return status == COT_OK ? cot_manifest_add(m, &one, steps, err) : status;
}

static inline cot_status world_make(train_world *w, cot_error *err)
{
    cot_status status;
    cot_steps *steps = NULL;
    cot_manifest *m = NULL;
    snprintf(w->folder, sizeof w->folder, "/tmp/cot-train-XXXXXX");
    if (!mkdtemp(w->folder)) return cot_fail(err, COT_E_IO, "no folder");
    snprintf(w->manifest, sizeof w->manifest, "%s/manifest.jsonl", w->folder);
    snprintf(w->output, sizeof w->output, "%s/output.txt", w->folder);
    COT_TRY(cot_steps_load(&steps, NULL, err));
    COT_TRY(cot_manifest_create(&m, steps, err));
    snprintf(m->title, sizeof m->title, "drawn pictures");
    snprintf(m->attribution, sizeof m->attribution, "drawn by a test");
    snprintf(m->made, sizeof m->made, "by a test");
    for (size_t i = 0; i < WORLD_IMAGES; i++) COT_TRY(world_add(m, w, steps, i, err));
    COT_TRY(cot_manifest_write(m, w->manifest, steps, err));
done:
    cot_manifest_destroy(m);
    cot_steps_destroy(steps);
    return status;
}

static inline void world_end(const train_world *w)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", w->folder); /* a name that mkdtemp made */
    if (system(command) != 0) fprintf(stderr, "%s stays behind\n", w->folder);
}

/* The command of `run` with words split at spaces, its output in w->output; a child. */
static inline pid_t world_start(const train_world *w, int (*run)(int, char **), const char *words)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child) return child;
    static char text[4096], *argv[128];
    int argc = 0;
    const int fd = open(w->output, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(w->folder) != 0) _exit(99);
    const int code = run(argc, argv);
    fflush(NULL);
    _exit(code);
}

/* Exit code; minus the signal that ended it. */
static inline int world_wait(pid_t child)
{
    int how = 0;
    if (child < 0 || waitpid(child, &how, 0) != child) return 98;
    return WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
}

static inline int world_run(const train_world *w, int (*run)(int, char **), const char *words)
{
    return world_wait(world_start(w, run, words));
}

/* What the last command said; the caller frees. */
static inline char *world_said(const train_world *w)
{
    char *text = NULL;
    size_t size = 0;
    cot_error ignored = COT_ERROR_INIT;
    return cot_file_read(&text, &size, w->output, 1 << 24, &ignored) == COT_OK ? text : strdup("");
}

/* Whole files equal. */
static inline bool world_same(const train_world *w, const char *a, const char *b)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && cmp %s %s", w->folder, a, b);
    return system(command) == 0;
}
#endif
