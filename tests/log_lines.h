/* A strict reader of the node's log: a time stamp, then key=value with single spaces between, where a value is one word or
 * stands in quotes and holds none. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_LOG_LINES_H
#define COT_TESTS_LOG_LINES_H
#include "tests/check.h"
#include <string.h>

/* The number of pairs in a line (up to '\n' or NUL), 0 when it is not well formed. */
static inline size_t log_pairs(const char *line)
{
    size_t pairs = 0;
    const char *p = line + strspn(line, "0123456789-:.TZ");
    if (p != line + 24) return 0; /* 2026-01-01T00:00:00.000Z */
    while (*p == ' ') {
        const size_t key = strspn(++p, "abcdefghijklmnopqrstuvwxyz0123456789_");
        if (key == 0 || p[key] != '=') return 0;
        p += key + 1;
        const bool quoted = *p == '"';
        const size_t value = strcspn(p + quoted, quoted ? "\"\n" : " \"\n");
        if (quoted ? p[1 + value] != '"' : value == 0) return 0;
        p += value + (quoted ? 2 : 0);
        pairs++;
    }
    return *p == 0 || *p == '\n' ? pairs : 0;
}
static inline void check_log_lines(const char *log)
{
    for (const char *line = log; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (log_pairs(line) < 4) {
            CHECK_FAIL_("a log line is not key=value");
            fprintf(stderr, "%.*s\n", (int)strcspn(line, "\n"), line);
        }
}
#endif
