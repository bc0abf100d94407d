/* `stepcot serve` and the internal `stepcot role` that the supervisor starts: command lines only, the work is in serve.c,
 * door.c, worker.c and sender.c. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/cli.h"
#include "plugin/process.h"
#include "plugin/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char serve_help[] =
    "Usage: stepcot serve [--config FILE] [--check]\n\n"
    "Runs the node: receives chest radiographs over DICOM, reads each in steps, delivers the reports.\n"
    "SIGTERM or SIGINT ends it after what is in hand is finished or parked. The log goes to standard error.\n\n"
    "  -c, --config FILE  the configuration; without it the built-in one (see: stepcot config default)\n"
    "      --check        try configuration, store, port, destinations, model and device; run nothing\n\n"
    "Examples:\n"
    "  stepcot serve --config stepcot.xml --check && stepcot serve --config stepcot.xml\n\n"
    "Exit codes: 0 ended as asked, 2 wrong usage, 3 configuration, 4 model or device, 5 network, files or store,\n"
    "70 a fault in this program.\n" COT_NOT_A_DEVICE "\n";

/* Standard input, output and error exist in every role, so that no file or socket ever gets their numbers. */
static void own_standard_files(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0) abort();
}

static int end_with(cot_status status, const cot_error *err)
{
    if (status != COT_OK)
        cot_log(COT_ERROR_LEVEL, "fatal", NULL, "status=%s reason=\"%s\"", cot_status_name(status), err->text);
    return cot_exit_code(status);
}

static void begin_role(const cot_config *config, const char *role)
{
    own_standard_files();
    umask(0077); /* images and reports are patient data */
    process_limit(RLIMIT_CORE, 0);
    cot_log_to_stream(stderr, config->log_level, role);
}

static int run_node(const char *config_path)
{
    cot_error err = COT_ERROR_INIT;
    cot_config *config = NULL;
    cot_status status = cot_config_load(&config, config_path, &err);
    if (status != COT_OK) return cli_failure("serve", &err);
    begin_role(config, "node");
    status = cot_serve(config, &err);
    cot_config_destroy(config);
    return end_with(status, &err);
}

int cot_cmd_serve(int argc, char **argv)
{
    const char *config_path = NULL, *words[16];
    bool check = false;
    const cli_option options[] = {{.name = "config", .letter = 'c', .value = "FILE", .text = &config_path},
                                  {.name = "check", .flag = &check}};
    size_t n;
    int code;
    if (argc > 15) return cli_usage("serve", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, serve_help, words, &n, &code)) return code;
    if (n) return cli_usage("serve", "%s: takes options only", words[0]);
    return check ? serve_check(config_path, stdout) : run_node(config_path);
}

/* ---- roles ---- */
static const cot_config_destination *find_destination(const cot_config *config, const char *name)
{
    for (size_t i = 0; name && i < config->n_destinations; i++)
        if (!strcmp(config->destinations[i].name, name)) return &config->destinations[i];
    return NULL;
}

static cot_status run_role(const cot_config *config, const char *kind, const char *owner, const char *to, int fd,
                           cot_error *err)
{
    char name[48];
    snprintf(name, sizeof name, "%s%s%s", kind, to ? ":" : "", to ? to : "");
    begin_role(config, name);
    snprintf(name, sizeof name, "stepcot-%s", kind);
    prctl(PR_SET_NAME, name);
    if (!strcmp(kind, "door")) return cot_door_run(config, fd, err);
    if (!strcmp(kind, "worker")) return cot_worker_run(config, owner, err);
    const cot_config_destination *destination = find_destination(config, to);
    if (!destination)
        return cot_fail(err, COT_E_CONFIG, "no <send to=\"%s\"> in the configuration. Restart the node", to ? to : "");
    return cot_sender_run(config, destination, err);
}

/* The configuration is read; what parses hostile bytes later has no business with it. */
static void leave_standard_input(void)
{
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) dup2(fd, STDIN_FILENO);
    if (fd > STDIN_FILENO) close(fd);
}

int cot_cmd_role(int argc, char **argv)
{
    static const char help[] = "stepcot role: a process of the node; `stepcot serve` starts it.\n";
    const char *config_path = NULL, *owner = "worker0", *to = NULL, *fd_text = "-1", *words[16];
    const cli_option options[] = {{.name = "config", .value = "FILE", .text = &config_path},
                                  {.name = "owner", .value = "NAME", .text = &owner},
                                  {.name = "to", .value = "NAME", .text = &to},
                                  {.name = "fd", .value = "N", .text = &fd_text}};
    cot_error err = COT_ERROR_INIT;
    cot_config *config = NULL;
    size_t n;
    int code;
    if (argc > 15) return cli_usage("role", "too many arguments");
    if (!cli_parse(argc, argv, options, sizeof options / sizeof *options, help, words, &n, &code)) return code;
    if (n != 1 || (strcmp(words[0], "door") && strcmp(words[0], "worker") && strcmp(words[0], "sender")))
        return cli_usage("role", "say door, worker or sender");
    cot_log_to_stream(stderr, COT_INFO, words[0]);
    cot_status status = cot_config_load(&config, config_path, &err);
    if (config_path && !strcmp(config_path, SERVE_ROLE_CONFIG)) leave_standard_input();
    if (status == COT_OK) status = run_role(config, words[0], owner, to, atoi(fd_text), &err);
    code = end_with(status, &err);
    cot_config_destroy(config);
    return code;
}
