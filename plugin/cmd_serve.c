/* `stepcot serve` and the internal `stepcot role` that the supervisor starts: command lines only, the work is in serve.c,
 * door.c, worker.c and sender.c. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/process.h"
#include "plugin/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char serve_usage[] =
    "usage: stepcot serve [--config FILE] [--check]\n"
    "\n"
    "Runs the node: receives chest radiographs over DICOM, reads each in steps, delivers the reports.\n"
    "Stops on SIGTERM or SIGINT after finishing or parking what is in hand. The log goes to standard error.\n"
    "\n"
    "  -c, --config FILE  configuration (default: the built-in one, see `stepcot config print`)\n"
    "      --check        try configuration, store, port, destinations, model and device; run nothing\n"
    "  -h, --help         this text\n"
    "\n"
    "exit status: 0 ended as asked, 2 wrong usage, 3 configuration, 4 model or device, 5 network, files or store,\n"
    "             70 a fault in this program\n" COT_NOT_A_DEVICE "\n";

static int wrong_usage(const char *text)
{
    fprintf(stderr, "stepcot serve: %s. See: stepcot serve --help\n", text);
    return cot_exit_code(COT_E_USAGE);
}

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
    if (status != COT_OK) {
        fprintf(stderr, "%s\n", err.text);
        return cot_exit_code(status);
    }
    begin_role(config, "node");
    status = cot_serve(config, &err);
    cot_config_destroy(config);
    return end_with(status, &err);
}

int cot_cmd_serve(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config_path = NULL;
    bool check = false;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) switch (c) {
        case 'c': config_path = optarg; break;
        case 'k': check = true; break;
        case 'h': fputs(serve_usage, stdout); return 0;
        default: return wrong_usage("unknown option, or an option without its value");
        }
    if (optind < argc) return wrong_usage("takes no further arguments");
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

int cot_cmd_role(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"fd", required_argument, NULL, 'f'},
                                            {"owner", required_argument, NULL, 'o'},
                                            {"to", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    const char *config_path = NULL, *owner = "worker0", *to = NULL;
    int fd = -1;
    cot_error err = COT_ERROR_INIT;
    cot_config *config = NULL;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'c': config_path = optarg; break;
        case 'f': fd = atoi(optarg); break;
        case 'o': owner = optarg; break;
        case 't': to = optarg; break;
        default: return wrong_usage("role is started by the node itself");
        }
    if (optind + 1 != argc ||
        (strcmp(argv[optind], "door") && strcmp(argv[optind], "worker") && strcmp(argv[optind], "sender")))
        return wrong_usage("role is started by the node itself");
    cot_log_to_stream(stderr, COT_INFO, argv[optind]);
    cot_status status = cot_config_load(&config, config_path, &err);
    if (status == COT_OK) status = run_role(config, argv[optind], owner, to, fd, &err);
    const int code = end_with(status, &err);
    cot_config_destroy(config);
    return code;
}
