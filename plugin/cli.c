/* What the commands share (cli.h). Faults of usage go to stderr with the nearest known word and exit code 2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "config/nearest.h"
#include "plugin/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int cot_exit_code(cot_status status)
{
    switch (status) {
    case COT_OK: return 0;
    case COT_E_INPUT:
    case COT_E_REFUSED: return 1;
    case COT_E_USAGE: return 2;
    case COT_E_CONFIG: return 3;
    case COT_E_MODEL:
    case COT_E_DEVICE: return 4;
    case COT_E_NETWORK:
    case COT_E_IO:
    case COT_E_LIMIT:
    case COT_E_MEMORY: return 5;
    case COT_E_BUG: break;
    }
    return 70;
}

const char *cli_shown(char *to, size_t size, const char *text)
{
    utf8_clean(to, size, text);
    return to;
}

int cli_usage(const char *command, const char *format, ...)
{
    char text[512], clean[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s %s: %s. See: %s %s --help\n", COT_PROGRAM, command, cli_shown(clean, sizeof clean, text),
            COT_PROGRAM, command);
    return EXIT_USAGE;
}

int cli_failure(const char *command, const cot_error *err)
{
    char clean[sizeof err->text];
    fprintf(stderr, "%s %s: ", COT_PROGRAM, command);
    for (const char *line = err->text; *line;) { /* a configuration's problems are several lines */
        const size_t n = strcspn(line, "\n");
        char one[sizeof err->text];
        snprintf(one, sizeof one, "%.*s", (int)n, line);
        fprintf(stderr, "%s\n", cli_shown(clean, sizeof clean, one));
        line += n + (line[n] == '\n');
    }
    return cot_exit_code(err->status);
}

/* ---- options ---- */
static const cli_option *option_named(const cli_option *options, size_t n, const char *name, size_t length)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(options[i].name) == length && !strncmp(options[i].name, name, length)) return &options[i];
    return NULL;
}

static const cli_option *option_lettered(const cli_option *options, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (options[i].letter == letter) return &options[i];
    return NULL;
}

static int unknown_option(const char *command, const cli_option *options, size_t n, const char *argument)
{
    const char *names[96] = {"help"}, *nearest = NULL;
    char word[64];
    size_t known = 1;
    for (size_t i = 0; i < n && known < 96; i++) names[known++] = options[i].name;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(argument + strspn(argument, "-"), "="),
             argument + strspn(argument, "-"));
    if (word[0] && word[1]) nearest = cot_nearest(word, names, known);
    return nearest ? cli_usage(command, "unknown option %s (did you mean --%s?)", argument, nearest)
                   : cli_usage(command, "unknown option %s", argument);
}

static bool take_value(const char *command, const cli_option *o, const char *value, int *exit_code)
{
    if (o->text) {
        *o->text = value;
        return true;
    }
    char *end;
    errno = 0;
    const unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || n < 1 || n > o->most) {
        *exit_code =
            cli_usage(command, "--%s %s: %s is a whole number from 1 to %u", o->name, value, o->value, o->most);
        return false;
    }
    *o->number = (unsigned)n;
    return true;
}

/* One option at argv[*at]; moves *at over its value. */
static bool parse_one(int argc, char **argv, int *at, const cli_option *options, size_t n, int *exit_code)
{
    const char *argument = argv[*at], *equals = NULL;
    const cli_option *o;
    if (argument[1] == '-') {
        equals = strchr(argument, '=');
        o = option_named(options, n, argument + 2, equals ? (size_t)(equals - argument - 2) : strlen(argument + 2));
    } else {
        o = argument[2] ? NULL : option_lettered(options, n, argument[1]);
    }
    if (!o) {
        *exit_code = unknown_option(argv[0], options, n, argument);
        return false;
    }
    if (!o->value) {
        if (equals)
            *exit_code = cli_usage(argv[0], "--%s takes no value", o->name);
        else
            *o->flag = true;
        return !equals;
    }
    if (!equals && ++*at >= argc) {
        *exit_code = cli_usage(argv[0], "--%s needs a value: %s", o->name, o->value);
        return false;
    }
    return take_value(argv[0], o, equals ? equals + 1 : argv[*at], exit_code);
}

bool cli_parse(int argc, char **argv, const cli_option *options, size_t n_options, const char *help, const char **words,
               size_t *n, int *exit_code)
{
    bool ended = false;
    *n = 0;
    *exit_code = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (ended || a[0] != '-' || !a[1]) {
            words[(*n)++] = a;
        } else if (!strcmp(a, "--")) {
            ended = true;
        } else if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            fputs(help, stdout);
            return false;
        } else if (!parse_one(argc, argv, &i, options, n_options, exit_code)) {
            return false;
        }
    }
    return true;
}

/* ---- folders ---- */
bool cli_cache_folder(char *to, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (xdg && xdg[0] == '/')
        n = snprintf(to, size, "%s/stepcot", xdg);
    else if (home && home[0] == '/')
        n = snprintf(to, size, "%s/.cache/stepcot", home);
    else
        return false;
    if (n < 0 || (size_t)n >= size) return false;
    for (char *slash = strchr(to + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = 0;
        const bool bad = mkdir(to, 0700) != 0 && errno != EEXIST;
        if (slash) *slash = '/';
        if (!slash) return !bad;
    }
}
