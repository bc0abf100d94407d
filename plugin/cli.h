/* Inside plugin/: what the commands share: options, exit codes, help. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CLI_H
#define COT_CLI_H
#include "plugin/node.h"

enum { EXIT_PARTLY = 1, EXIT_USAGE = 2 };

/* One option of a command: `--name` (or `-c`, when letter is set), with a value when `value` names it. Exactly one of the
 * targets is set. */
typedef struct cli_option {
    const char *name;
    char letter;
    const char *value; /* "DIR", "N"; NULL: a flag */
    bool *flag;
    const char **text;
    unsigned *number; /* decimal, 1 to `most` */
    unsigned most;
} cli_option;

/* Reads argv[1..argc-1]: options anywhere, `--` ends them, the rest moves to words[0..*n-1] (room for argc). On `--help`
 * prints `help` to stdout and returns EXIT_SUCCESS in *exit_code with false; on a fault says it on stderr, EXIT_USAGE. */
bool cli_parse(int argc, char **argv, const cli_option *options, size_t n_options, const char *help, const char **words,
               size_t *n, int *exit_code);
/* "stepcot COMMAND: what. See: stepcot COMMAND --help" on stderr; EXIT_USAGE. */
int cli_usage(const char *command, const char *format, ...) COT_PRINTF(2, 3);
/* The error on stderr; its exit code. */
int cli_failure(const char *command, const cot_error *err);
/* A file name or other foreign text for the terminal: one line, no control characters. Static buffer of the caller. */
const char *cli_shown(char *to, size_t size, const char *text);
/* $XDG_CACHE_HOME/stepcot, else ~/.cache/stepcot, made when absent; false: neither is set or it cannot be made. */
bool cli_cache_folder(char *to, size_t size);
#endif
