/* Devices: lists what all platforms have, chooses one by match, opens and closes it. A platform without devices is
 * normal (an installed driver for absent hardware). Lists: any thread; a cot_device: one thread at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLATFORM_NOT_FOUND (-1001) /* CL_PLATFORM_NOT_FOUND_KHR: the loader has no driver at all */

typedef struct device_ids {
    cl_platform_id platform;
    cl_device_id device;
} device_ids;

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what a device says about itself ---- */
static void trim(char *text)
{
    size_t n = strlen(text), at = 0;
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = 0;
    while (isspace((unsigned char)text[at])) at++;
    memmove(text, text + at, n - at + 1);
}

/* Long answers are cut: the text is for people and for the cache key. */
static void device_text(cl_device_id id, cl_device_info what, char *out, size_t size)
{
    size_t n = 0;
    char *text = NULL;
    out[0] = 0;
    if (clGetDeviceInfo(id, what, 0, NULL, &n) == CL_SUCCESS && n && (text = calloc(1, n + 1)) &&
        clGetDeviceInfo(id, what, n, text, NULL) == CL_SUCCESS)
        snprintf(out, size, "%s", text);
    free(text);
    trim(out);
}

static void platform_text(cl_platform_id id, cl_platform_info what, char *out, size_t size)
{
    size_t n = 0;
    char *text = NULL;
    out[0] = 0;
    if (clGetPlatformInfo(id, what, 0, NULL, &n) == CL_SUCCESS && n && (text = calloc(1, n + 1)) &&
        clGetPlatformInfo(id, what, n, text, NULL) == CL_SUCCESS)
        snprintf(out, size, "%s", text);
    free(text);
    trim(out);
}

static void judge_usable(cl_device_id id, cot_device_info *info)
{
    cl_bool compiler = CL_FALSE, little = CL_FALSE, available = CL_FALSE;
    unsigned major = 0, minor = 0;
    clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof little, &little, NULL);
    clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    const char *why = NULL;
    if (sscanf(info->version, "OpenCL %u.%u", &major, &minor) != 2 || major * 10 + minor < 12)
        why = "older than OpenCL 1.2";
    else if (!available)
        why = "the driver says it is not available";
    else if (!compiler)
        why = "no kernel compiler";
    else if (!little)
        why = "big-endian memory";
    info->usable = why == NULL;
    snprintf(info->why_not, sizeof info->why_not, "%s", why ? why : "");
}

static void describe(cl_platform_id platform, cl_device_id id, cot_device_info *info)
{
    cl_device_type type = 0;
    cl_uint units = 1, width = 1;
    cl_ulong global = 0, alloc = 0;
    memset(info, 0, sizeof *info);
    platform_text(platform, CL_PLATFORM_NAME, info->platform, sizeof info->platform);
    device_text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    device_text(id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    device_text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    device_text(id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    clGetDeviceInfo(id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, sizeof width, &width, NULL);
    clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof global, &global, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof alloc, &alloc, NULL);
    info->type = type & CL_DEVICE_TYPE_GPU   ? COT_DEVICE_GPU
                 : type & CL_DEVICE_TYPE_CPU ? COT_DEVICE_CPU
                                             : COT_DEVICE_ACCELERATOR;
    info->compute_units = units;
    info->vector_width = width;
    info->global_bytes = global;
    info->max_alloc_bytes = alloc;
    judge_usable(id, info);
}

/* ---- all of them ---- */
typedef struct device_scan {
    cot_device_info *infos;
    device_ids *ids;
    size_t n;
} device_scan;

static void scan_fini(device_scan *scan)
{
    free(scan->infos);
    free(scan->ids);
    memset(scan, 0, sizeof *scan);
}

static cot_status scan_platform(device_scan *scan, cl_platform_id platform, cot_error *err)
{
    cot_status status = COT_OK;
    cl_uint n = 0;
    cl_device_id *devices = NULL;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &n) != CL_SUCCESS || n == 0) return COT_OK;
    devices = calloc(n, sizeof(cl_device_id));
    cot_device_info *infos = realloc(scan->infos, (scan->n + n) * sizeof *infos);
    if (infos) scan->infos = infos;
    device_ids *ids = realloc(scan->ids, (scan->n + n) * sizeof *ids);
    if (ids) scan->ids = ids;
    if (!devices || !infos || !ids) {
        status = cot_fail(err, COT_E_MEMORY, "list OpenCL devices: no memory");
        goto done;
    }
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, n, devices, NULL) != CL_SUCCESS) goto done;
    for (cl_uint i = 0; i < n; i++) {
        describe(platform, devices[i], &scan->infos[scan->n]);
        scan->ids[scan->n++] = (device_ids){platform, devices[i]};
    }
done:
    free(devices);
    return status;
}

static cot_status scan_all(device_scan *scan, cot_error *err)
{
    cot_status status = COT_OK;
    cl_uint n = 0;
    cl_platform_id *platforms = NULL;
    memset(scan, 0, sizeof *scan);
    const cl_int code = clGetPlatformIDs(0, NULL, &n);
    if (code == PLATFORM_NOT_FOUND || (code == CL_SUCCESS && n == 0)) return COT_OK;
    if (code != CL_SUCCESS) return device_fail(err, code, "list OpenCL platforms");
    platforms = calloc(n, sizeof(cl_platform_id));
    if (!platforms) return cot_fail(err, COT_E_MEMORY, "list OpenCL platforms: no memory");
    if (clGetPlatformIDs(n, platforms, NULL) != CL_SUCCESS) goto done;
    for (cl_uint i = 0; i < n; i++) COT_TRY(scan_platform(scan, platforms[i], err));
done:
    free(platforms);
    if (status != COT_OK) scan_fini(scan);
    return status;
}

cot_status cot_devices_list(cot_device_info **out, size_t *n, cot_error *err)
{
    device_scan scan;
    *out = NULL;
    *n = 0;
    const cot_status status = scan_all(&scan, err);
    if (status != COT_OK) return status;
    *out = scan.infos;
    *n = scan.n;
    free(scan.ids);
    return COT_OK;
}

/* ---- choice ---- */
static bool has_part(const char *text, const char *part)
{
    const size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0) return true;
    return n == 0;
}

static bool matches(const cot_device_info *info, const char *match)
{
    char full[sizeof info->platform + sizeof info->name + 4];
    if (!match || !match[0]) return true;
    if (strcasecmp(match, "cpu") == 0) return info->type == COT_DEVICE_CPU;
    if (strcasecmp(match, "gpu") == 0) return info->type == COT_DEVICE_GPU;
    snprintf(full, sizeof full, "%s / %s", info->platform, info->name);
    return has_part(full, match);
}

static int rank_of(const cot_device_info *info)
{
    return info->type == COT_DEVICE_GPU ? 3 : info->type == COT_DEVICE_CPU ? 2 : 1;
}

static cot_status fail_none(const device_scan *scan, const char *match, cot_error *err)
{
    char there[700] = "";
    size_t at = 0;
    for (size_t i = 0; i < scan->n && at < sizeof there; i++) {
        const cot_device_info *info = &scan->infos[i];
        const int n =
            snprintf(there + at, sizeof there - at, "%s\"%s / %s\"%s%s%s", i ? ", " : "", info->platform, info->name,
                     info->usable ? "" : " (not usable: ", info->why_not, info->usable ? "" : ")");
        at += n > 0 ? (size_t)n : 0;
    }
    if (scan->n == 0)
        return cot_fail(err, COT_E_DEVICE,
                        "no OpenCL device on this machine; install a driver, for a CPU: "
                        "apt install pocl-opencl-icd");
    if (match && match[0])
        return cot_fail(err, COT_E_DEVICE, "no usable OpenCL device matches \"%s\"; there are: %s", match, there);
    return cot_fail(err, COT_E_DEVICE, "no usable OpenCL device; there are: %s; apt install pocl-opencl-icd gives one",
                    there);
}

/* The best first; equally good ones in the platforms' order. */
static cot_status choose(const device_scan *scan, const char *match, size_t skip, size_t *best, cot_error *err)
{
    for (int rank = 3; rank > 0; rank--)
        for (size_t i = 0; i < scan->n; i++) {
            const cot_device_info *info = &scan->infos[i];
            if (!info->usable || !matches(info, match) || rank_of(info) != rank || skip-- > 0) continue;
            *best = i;
            return COT_OK;
        }
    return fail_none(scan, match, err);
}

cot_status cot_devices_matching(size_t *n, const char *match, cot_error *err)
{
    device_scan scan;
    *n = 0;
    const cot_status status = scan_all(&scan, err);
    for (size_t i = 0; status == COT_OK && i < scan.n; i++)
        *n += scan.infos[i].usable && matches(&scan.infos[i], match);
    scan_fini(&scan);
    return status;
}

/* ---- open and close ---- */
/* Tile heights by register file: 32 vector registers with AVX-512, else 16. */
static void plan_tile(cot_device *device)
{
    static const unsigned wide[] = {14, 12, 10, 8, 7, 6, 5, 4, 2, 1}, narrow[] = {6, 5, 4, 3, 2, 1};
    tile_plan *tile = &device->tile;
    const unsigned width = device->info.vector_width;
    const bool cpu = device->info.type == COT_DEVICE_CPU;
    tile->vector = width >= 16 ? 16 : width >= 8 ? 8 : 4;
    const bool registers = tile->vector == 16;
    tile->n_heights = registers ? sizeof wide / sizeof *wide : sizeof narrow / sizeof *narrow;
    memcpy(tile->heights, registers ? wide : narrow, tile->n_heights * sizeof *tile->heights);
    size_t most = 1;
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof most, &most, NULL);
    tile->local = cpu ? 1 : 32;
    while (tile->local > most && tile->local > 1) tile->local /= 2;
}

static cot_status open_queue(cot_device *device, cot_error *err)
{
    cl_int code = CL_SUCCESS;
    cl_uint bits = 1024;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS) return device_fail(err, code, "open a context on %s", device->info.name);
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &code);
    if (code != CL_SUCCESS) return device_fail(err, code, "open a queue on %s", device->info.name);
    clGetDeviceInfo(device->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof bits, &bits, NULL);
    device->align = bits / 8 < 128 ? 128 : bits / 8; /* never below the largest vector */
    return COT_OK;
}

void device_progress(const cot_device_options *options, const char *what, unsigned done)
{
    if (options->progress) options->progress(options->progress_ctx, what, done, FAMILY_COUNT + 1);
}

cot_status cot_device_open(cot_device **out, const cot_device_options *options, cot_error *err)
{
    static const cot_device_options defaults = COT_DEVICE_OPTIONS_INIT;
    cot_status status = COT_OK;
    cot_device *device = NULL;
    device_scan scan = {NULL, NULL, 0};
    size_t best = 0;
    *out = NULL;
    if (!options) options = &defaults;
    COT_TRY(scan_all(&scan, err));
    COT_TRY(choose(&scan, options->match, options->skip, &best, err));
    device = calloc(1, sizeof *device);
    if (!device) {
        status = cot_fail(err, COT_E_MEMORY, "open device: no memory");
        goto done;
    }
    device->info = scan.infos[best];
    device->platform = scan.ids[best].platform;
    device->id = scan.ids[best].device;
    plan_tile(device);
    COT_TRY(open_queue(device, err));
    cache_open(device, options->cache_dir);
    COT_TRY(programs_build(device, options, err));
    device->gemm = options->gemm;
    device->separate = options->separate;
    device_progress(options, "choice of GEMM", FAMILY_COUNT);
    if (options->gemm == COT_GEMM_AUTO) COT_TRY(gemm_choose(device, err));
    device_progress(options, "ready", FAMILY_COUNT + 1);
    *out = device;
    device = NULL;
done:
    scan_fini(&scan);
    cot_device_close(device);
    return status;
}

void cot_device_close(cot_device *device)
{
    if (!device) return;
    if (device->queue) clFinish(device->queue);
    cot_buffer_destroy(device->work);
    backward_destroy(device->backward);
    kernels_destroy(device);
    programs_release(device);
    if (device->queue) clReleaseCommandQueue(device->queue);
    if (device->context) clReleaseContext(device->context);
    free(device);
}

const cot_device_info *cot_device_about(const cot_device *device)
{
    return &device->info;
}

cot_gemm_choice cot_device_gemm(const cot_device *device)
{
    return device->gemm;
}

cot_device_ledger cot_device_ledger_read(const cot_device *device)
{
    return device->ledger;
}

cot_status cot_device_finish(cot_device *device, cot_error *err)
{
    const cl_int code = clFinish(device->queue);
    if (code == CL_SUCCESS) return COT_OK;
    return device_fail(err, code, "wait for %s", device->info.name);
}
