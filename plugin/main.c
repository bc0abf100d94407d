/* stepcot: finds the command and hands it its arguments. SPDX-License-Identifier: Apache-2.0 */
#include "config/nearest.h"
#include "plugin/cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what; /* NULL: internal */
} command;

static const command commands[] = {
    {"serve", cot_cmd_serve, "run the node: receive, read, report, deliver"},
    {"infer", cot_cmd_infer, "read image files without a network"},
    {"explain", cot_cmd_explain, "show on one page what the answers for an image rest on"},
    {"queue", cot_cmd_queue, "list, show, retry or drop jobs and deliveries"},
    {"devices", cot_cmd_devices, "list the OpenCL devices"},
    {"config", cot_cmd_config, "check or print a configuration"},
    {"model", cot_cmd_model, "show or import a model package"},
    {"bench", cot_cmd_bench, "measure every stage on this machine"},
    {"data", cot_cmd_data, "import, split and check labelled images"},
    {"lint", cot_cmd_lint, "say what viewers will stumble over in Structured Reports"},
    {"verify", cot_cmd_verify, "compare a golden folder's outputs with this device's"},
    {"train", cot_cmd_train, "train a model on labelled images"},
    {"evaluate", cot_cmd_evaluate, "say how good a model is on labelled images"},
    {"calibrate", cot_cmd_calibrate, "fit a package's certainties on validation images"},
    {"role", cot_cmd_role, NULL},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *stream)
{
    fprintf(stream,
            "%s %s: reads chest X-rays in seven steps and reports them as DICOM Structured Reports.\n%s\n\n"
            "Usage: %s COMMAND [ARGUMENTS]\n\nCommands:\n",
            COT_PROGRAM, COT_VERSION, COT_NOT_A_DEVICE, COT_PROGRAM);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].what) fprintf(stream, "  %-10s%s\n", commands[i].name, commands[i].what);
    fprintf(stream,
            "\nEach command has --help. Begin with:\n"
            "  %s infer image.dcm                     read one image, print the table\n"
            "  %s config default > stepcot.xml        a configuration to begin with\n"
            "  %s serve --config stepcot.xml          run the node\n\n"
            "Exit codes: 0 done, 1 done but some input was refused or failed, 2 wrong usage, 3 configuration,\n"
            "4 model or device, 5 network, file system or store, 70 a fault in this program.\n",
            COT_PROGRAM, COT_PROGRAM, COT_PROGRAM);
}

static int unknown(const char *word)
{
    const char *names[N_COMMANDS];
    char shown[128];
    size_t n = 0;
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].what) names[n++] = commands[i].name;
    const char *nearest = cot_nearest(word, names, n);
    fprintf(stderr, "%s: unknown command %s%s%s%s. See: %s --help\n", COT_PROGRAM, cli_shown(shown, sizeof shown, word),
            nearest ? " (did you mean " : "", nearest ? nearest : "", nearest ? "?)" : "", COT_PROGRAM);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (!word[0]) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        if (argc > 2 && !strcmp(word, "help"))
            for (size_t i = 0; i < N_COMMANDS; i++)
                if (!strcmp(argv[2], commands[i].name)) return commands[i].run(2, (char *[]){argv[2], "--help", NULL});
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        printf("%s %s. %s\n", COT_PROGRAM, COT_VERSION, COT_NOT_A_DEVICE);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(word, commands[i].name)) {
            int code = commands[i].run(argc - 1, argv + 1);
            if (fflush(stdout) != 0 || ferror(stdout)) { /* a full disk behind > must not look like success */
                fprintf(stderr, "%s %s: the output could not be written\n", COT_PROGRAM, word);
                if (code == EXIT_SUCCESS) code = cot_exit_code(COT_E_IO);
            }
            return code;
        }
    return unknown(word);
}
