/* What is wrong with data, for people: named up to a number per kind, always counted (data_command.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/data_command.h"

#include <unistd.h>

static const struct {
    const char *name, *words;
} kinds[DATA_KINDS] = {
    [DATA_BROKEN] = {"broken_records", "broken records"},
    [DATA_OPTION] = {"unknown_options", "unknown options or findings"},
    [DATA_TWICE] = {"duplicates", "duplicates"},
    [DATA_BOX] = {"boxes_left_out", "boxes left out"},
    [DATA_MISSING] = {"missing_images", "missing images"},
    [DATA_UNREADABLE] = {"unreadable_images", "unreadable images"},
    [DATA_CHANGED] = {"changed_images", "changed images"},
    [DATA_UNLISTED] = {"images_without_a_row", "images without a row"},
    [DATA_SAME] = {"same_image_of_one_patient", "images that the same patient has twice (a warning)"},
    [DATA_ABSENT] = {"listed_patients_without_an_image", "listed test patients without an image (a warning)"},
};

const char *data_kind_name(data_kind kind)
{
    return kinds[kind].name;
}
const char *data_kind_words(data_kind kind)
{
    return kinds[kind].words;
}

void data_say(data_log *log, data_kind kind, const char *file, size_t line, const char *format, ...)
{
    char text[1024], clean[1024], where[1024];
    va_list args;
    log->n[kind]++;
    if (!log->to || (!log->all && log->n[kind] > DATA_NAMED + 1)) return;
    data_progress("", 1, 1);
    if (!log->all && log->n[kind] > DATA_NAMED) {
        fprintf(log->to, "more %s are counted, not named (--all names them)\n", kinds[kind].words);
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs(cli_shown(where, sizeof where, file), log->to);
    if (line) fprintf(log->to, ":%zu", line);
    fprintf(log->to, ": %s\n", cli_shown(clean, sizeof clean, text));
}

size_t data_log_faults(const data_log *log)
{
    size_t n = 0;
    for (int k = 0; k < DATA_FAULTS; k++) n += log->n[k];
    return n;
}

void data_log_sum(const data_log *log, FILE *stream)
{
    const char *between = "stepcot data: ";
    bool any = false;
    for (int k = 0; k < DATA_KINDS; k++)
        if (log->n[k]) {
            fprintf(stream, "%s%zu %s", between, log->n[k], kinds[k].words);
            between = ", ";
            any = true;
        }
    if (any) fputs("\n", stream);
}

void data_progress(const char *what, size_t done, size_t all)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    if (!isatty(STDERR_FILENO)) return;
    if (done >= all) {
        fputs("\r\033[K", stderr);
        return;
    }
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < done * WIDTH / all ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\r\033[K%s [%s] %zu of %zu", what, bar, done, all);
    fflush(stderr);
}
