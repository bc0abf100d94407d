/* stepcot devices: what OpenCL finds on this machine, usable or not, and why not.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/opencl.h"
#include "plugin/cli.h"
#include "plugin/utf8.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: stepcot devices [--json]\n\n"
    "Lists the devices of all OpenCL platforms. A device that cannot be used is shown with the reason, and so is a\n"
    "platform without devices.\n"
    "--json prints one JSON object a line instead of the table.\n\n"
    "To choose one: <reader device=\"…\"/> in the configuration, or --device of infer and bench: part of\n"
    "the platform's or device's name, or cpu, or gpu.\n\n"
    "Examples:\n"
    "  stepcot devices\n"
    "  stepcot infer --device pocl image.dcm\n\n"
    "Exit codes: 0 at least one device is usable, 2 wrong usage, 4 none is.\n";

static const char *type_name(cot_device_type type)
{
    switch (type) {
    case COT_DEVICE_CPU: return "cpu";
    case COT_DEVICE_GPU: return "gpu";
    case COT_DEVICE_ACCELERATOR: return "accelerator";
    case COT_DEVICE_ANY: break;
    }
    return "other";
}

static void print_row(const cot_device_info *d)
{
    char platform[129], name[257];
    cli_shown(platform, sizeof platform, d->platform);
    cli_shown(name, sizeof name, d->name);
    printf("%-12s %s / %s\n", d->usable ? type_name(d->type) : "not usable", platform, name);
    printf("             %u compute units, float%u, %.1f GiB (largest piece %.1f GiB), %s, driver %s\n",
           d->compute_units, d->vector_width, (double)d->global_bytes / 1073741824.0,
           (double)d->max_alloc_bytes / 1073741824.0, d->version, d->driver);
    if (!d->usable) printf("             not usable: %s\n", d->why_not);
}

static bool print_json(const cot_device_info *d)
{
    char clean[257];
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "platform", cli_shown(clean, sizeof clean, d->platform)) != NULL;
    ok = ok && cJSON_AddStringToObject(o, "name", cli_shown(clean, sizeof clean, d->name));
    ok = ok && cJSON_AddStringToObject(o, "vendor", cli_shown(clean, sizeof clean, d->vendor));
    ok = ok && cJSON_AddStringToObject(o, "driver", cli_shown(clean, sizeof clean, d->driver));
    ok = ok && cJSON_AddStringToObject(o, "version", cli_shown(clean, sizeof clean, d->version));
    ok = ok && cJSON_AddStringToObject(o, "type", type_name(d->type));
    ok = ok && cJSON_AddNumberToObject(o, "compute_units", d->compute_units);
    ok = ok && cJSON_AddNumberToObject(o, "float_vector", d->vector_width);
    ok = ok && cJSON_AddNumberToObject(o, "global_bytes", (double)d->global_bytes);
    ok = ok && cJSON_AddNumberToObject(o, "max_alloc_bytes", (double)d->max_alloc_bytes);
    ok = ok && cJSON_AddBoolToObject(o, "usable", d->usable);
    ok = ok && (d->usable || cJSON_AddStringToObject(o, "why_not", cli_shown(clean, sizeof clean, d->why_not)));
    char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
    if (text) puts(text);
    free(text);
    cJSON_Delete(o);
    return text != NULL;
}

/* A driver that finds no hardware would else look as if it were not installed. */
static cot_status print_empty(bool json, cot_error *err)
{
    char(*names)[129] = NULL, clean[129];
    size_t n = 0;
    const cot_status status = cot_platforms_empty(&names, &n, err);
    for (size_t i = 0; i < n && status == COT_OK && !json; i++)
        printf("%-12s %s\n             the driver is installed and finds no device\n", "no device",
               cli_shown(clean, sizeof clean, names[i]));
    for (size_t i = 0; i < n && status == COT_OK && json; i++) {
        cJSON *o = cJSON_CreateObject();
        const bool ok = cJSON_AddStringToObject(o, "platform", cli_shown(clean, sizeof clean, names[i])) &&
                        cJSON_AddNullToObject(o, "name") && cJSON_AddBoolToObject(o, "usable", false) &&
                        cJSON_AddStringToObject(o, "why_not", "the platform lists no device");
        char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
        if (text) puts(text);
        free(text);
        cJSON_Delete(o);
    }
    free(names);
    return status;
}

int cot_cmd_devices(int argc, char **argv)
{
    bool json = false;
    const cli_option options[] = {{"json", 0, NULL, &json, NULL, NULL, 0}};
    const char *words[16];
    size_t n = 0, usable = 0;
    int code;
    cot_device_info *list = NULL;
    cot_error err = COT_ERROR_INIT;
    if (argc > 15) return cli_usage("devices", "too many arguments");
    if (!cli_parse(argc, argv, options, 1, help, words, &n, &code)) return code;
    if (n) return cli_usage("devices", "%s: no arguments are taken", words[0]);
    if (cot_devices_list(&list, &n, &err) != COT_OK) return cli_failure("devices", &err);
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        usable += list[i].usable;
        if (json)
            ok = print_json(&list[i]) && ok;
        else
            print_row(&list[i]);
    }
    free(list);
    if (print_empty(json, &err) != COT_OK) return cli_failure("devices", &err);
    if (!ok)
        cot_fail(&err, COT_E_MEMORY, "no memory for the list");
    else if (!usable)
        cot_fail(&err, COT_E_DEVICE,
                 "%s. Install an OpenCL driver, e.g. the package pocl-opencl-icd, which runs on any CPU",
                 n ? "no usable OpenCL device" : "no OpenCL platform found");
    return ok && usable ? EXIT_SUCCESS : cli_failure("devices", &err);
}
