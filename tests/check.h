/* The whole test framework: TEST(name_says_what_is_true) { CHECK(...); } and CHECK_MAIN.
 * A failed check prints file:line and the values, and the program returns 1. `prog substring` runs only some tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CHECK_H
#define COT_CHECK_H
#include "config/base.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct check_case {
    const char *name;
    void (*run)(void);
    struct check_case *next;
} check_case;
static check_case *check_first, **check_last = &check_first;
static int check_failures, check_count;

#define TEST(name_)                                                                                                    \
    static void name_(void);                                                                                           \
    __attribute__((constructor)) static void check_add_##name_(void)                                                   \
    {                                                                                                                  \
        static check_case c = {#name_, name_, NULL};                                                                   \
        *check_last = &c;                                                                                              \
        check_last = &c.next;                                                                                          \
    }                                                                                                                  \
    static void name_(void)

#define CHECK_FAIL_(...)                                                                                               \
    do {                                                                                                               \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                                \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        check_failures++;                                                                                              \
    } while (0)
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond)) CHECK_FAIL_("not true: %s", #cond);                                                               \
    } while (0)
/* Stops the current test when the condition does not hold. */
#define REQUIRE(cond)                                                                                                  \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond)) {                                                                                                 \
            CHECK_FAIL_("not true: %s (test stopped)", #cond);                                                         \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)
/* Needs a local `cot_error err`. */
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const cot_status s_ = (call);                                                                                  \
        if (s_ != COT_OK) CHECK_FAIL_("%s: %s: %s", #call, cot_status_name(s_), err.text);                             \
    } while (0)
#define REQUIRE_OK(call)                                                                                               \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const cot_status s_ = (call);                                                                                  \
        if (s_ != COT_OK) {                                                                                            \
            CHECK_FAIL_("%s: %s: %s (test stopped)", #call, cot_status_name(s_), err.text);                            \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)
/* The call must fail with this status and a text that contains `part`. */
#define CHECK_FAILS(call, want, part)                                                                                  \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        err.text[0] = 0;                                                                                               \
        const cot_status s_ = (call);                                                                                  \
        if (s_ != (want) || !strstr(err.text, (part)))                                                                 \
            CHECK_FAIL_("%s: %s \"%s\", wanted %s with \"%s\"", #call, cot_status_name(s_), err.text,                  \
                        cot_status_name(want), (part));                                                                \
    } while (0)
#define CHECK_TEXT(got, want)                                                                                          \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const char *g_ = (got), *w_ = (want);                                                                          \
        if (!g_ || strcmp(g_, w_)) CHECK_FAIL_("%s is \"%s\", wanted \"%s\"", #got, g_ ? g_ : "(null)", w_);           \
    } while (0)
#define CHECK_HAS(text, part)                                                                                          \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const char *g_ = (text);                                                                                       \
        if (!g_ || !strstr(g_, (part))) CHECK_FAIL_("%s lacks \"%s\": %s", #text, (part), g_ ? g_ : "(null)");         \
    } while (0)
#define CHECK_NUMBER(got, want)                                                                                        \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const long long g_ = (long long)(got), w_ = (long long)(want);                                                 \
        if (g_ != w_) CHECK_FAIL_("%s is %lld, wanted %lld", #got, g_, w_);                                            \
    } while (0)
#define CHECK_NEAR(got, want, bound)                                                                                   \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        const double g_ = (double)(got), w_ = (double)(want);                                                          \
        if (!(fabs(g_ - w_) <= (double)(bound))) CHECK_FAIL_("%s is %.9g, wanted %.9g", #got, g_, w_);                 \
    } while (0)
/* Largest |got - want| over n floats must be within bound (NaN fails). */
#define CHECK_FLOATS(got, want, n, bound)                                                                              \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        for (size_t i_ = 0; i_ < (size_t)(n); i_++)                                                                    \
            if (!(fabs((double)(got)[i_] - (double)(want)[i_]) <= (double)(bound))) {                                  \
                CHECK_FAIL_("%s[%zu] is %.9g, wanted %.9g", #got, i_, (double)(got)[i_], (double)(want)[i_]);          \
                break;                                                                                                 \
            }                                                                                                          \
    } while (0)

#define CHECK_MAIN                                                                                                     \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        int ran = 0;                                                                                                   \
        for (check_case *c = check_first; c; c = c->next) {                                                            \
            if (argc > 1 && !strstr(c->name, argv[1])) continue;                                                       \
            const int before = check_failures;                                                                         \
            c->run();                                                                                                  \
            printf("%s %s\n", check_failures == before ? "ok  " : "FAIL", c->name);                                    \
            ran++;                                                                                                     \
        }                                                                                                              \
        printf("%d tests, %d checks, %d failed\n", ran, check_count, check_failures);                                  \
        return check_failures || !ran || !check_count;                                                                 \
    }
#endif
