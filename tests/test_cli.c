/* links: plugin */
/* Options and exit codes. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "tests/check.h"

#include <sys/stat.h>
#include <unistd.h>

/* Filled by the options below. */
static bool flag;
static const char *text, *words[16];
static unsigned number;
static size_t n_words;
static int code;
static const cli_option options[] = {{.name = "flag", .letter = 'f', .flag = &flag},
                                     {.name = "text", .letter = 't', .value = "X", .text = &text},
                                     {.name = "number", .value = "N", .number = &number, .most = 100}};

static bool parse(int argc, ...)
{
    static char *argv[16];
    va_list args;
    flag = false;
    text = NULL;
    number = 0;
    argv[0] = (char *)(uintptr_t) "test";
    va_start(args, argc);
    for (int i = 1; i <= argc; i++) argv[i] = va_arg(args, char *);
    va_end(args);
    fflush(stderr); /* what the parser says goes to the test's log */
    return cli_parse(argc + 1, argv, options, 3, "the help\n", words, &n_words, &code);
}

TEST(options_stand_anywhere_and_double_dash_ends_them)
{
    CHECK(parse(6, "a", "--flag", "b", "--", "--text", "-f"));
    CHECK(flag && !text && n_words == 4);
    CHECK_TEXT(words[2], "--text");
    CHECK(parse(1, "-"));
    CHECK_TEXT(words[0], "-");
}

TEST(values_come_after_a_space_or_an_equals_sign)
{
    CHECK(parse(4, "--text=x=y", "-f", "--number", "100"));
    CHECK_TEXT(text, "x=y");
    CHECK(flag && number == 100 && n_words == 0);
    CHECK(parse(2, "-t", "--flag")); /* a value may look like an option */
    CHECK_TEXT(text, "--flag");
}

TEST(wrong_options_and_values_are_usage_faults)
{
    static const char *const bad[] = {"--unknown",
                                      "-x",
                                      "-ft",
                                      "--text",
                                      "--flag=1",
                                      "--number=0",
                                      "--number=101",
                                      "--number=-1",
                                      "--number=1x",
                                      "--number=",
                                      "--number=99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!parse(1, bad[i]));
        CHECK_NUMBER(code, 2);
    }
}

TEST(help_ends_well_and_runs_nothing)
{
    CHECK(!parse(2, "a", "--help"));
    CHECK_NUMBER(code, 0);
}

TEST(exit_codes_are_those_of_the_manual)
{
    CHECK_NUMBER(cot_exit_code(COT_OK), 0);
    CHECK_NUMBER(cot_exit_code(COT_E_INPUT), 1);
    CHECK_NUMBER(cot_exit_code(COT_E_REFUSED), 1);
    CHECK_NUMBER(cot_exit_code(COT_E_USAGE), 2);
    CHECK_NUMBER(cot_exit_code(COT_E_CONFIG), 3);
    CHECK_NUMBER(cot_exit_code(COT_E_MODEL), 4);
    CHECK_NUMBER(cot_exit_code(COT_E_DEVICE), 4);
    CHECK_NUMBER(cot_exit_code(COT_E_NETWORK), 5);
    CHECK_NUMBER(cot_exit_code(COT_E_IO), 5);
    CHECK_NUMBER(cot_exit_code(COT_E_LIMIT), 5);
    CHECK_NUMBER(cot_exit_code(COT_E_BUG), 70);
    CHECK_NUMBER(cot_exit_code((cot_status)999), 70);
}

TEST(the_cache_folder_is_made_where_the_environment_says)
{
    char root[] = "/tmp/cot-cli-XXXXXX", path[256], want[256];
    struct stat st;
    REQUIRE(mkdtemp(root));
    snprintf(want, sizeof want, "%s/a/b", root);
    setenv("XDG_CACHE_HOME", want, 1);
    CHECK(cli_cache_folder(path, sizeof path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode));
    strcat(want, "/stepcot");
    CHECK_TEXT(path, want);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", root, 1);
    CHECK(cli_cache_folder(path, sizeof path));
    snprintf(want, sizeof want, "%s/.cache/stepcot", root);
    CHECK_TEXT(path, want);
    CHECK(!cli_cache_folder(path, 10));
    unsetenv("HOME");
    CHECK(!cli_cache_folder(path, sizeof path));
    snprintf(path, sizeof path, "rm -r %s", root);
    CHECK(system(path) == 0);
}

CHECK_MAIN
