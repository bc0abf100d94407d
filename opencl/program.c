/* Programs: builds the embedded kernel sources for a device and keeps the binaries in a cache folder. The key is the
 * SHA-256 of source, options, device, driver and platform version. A damaged, stale or unreadable entry is rebuilt and
 * written anew; the cache never makes a start fail.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CACHE_LIMIT ((size_t)256 << 20)
#define DIGEST      64 /* hex digest in front of the binary */

#define EMBEDDED(name)                                                                                                 \
    extern const unsigned char cot_kernels_##name[];                                                                   \
    extern const size_t cot_kernels_##name##_size;
EMBEDDED(common)
EMBEDDED(tile)
EMBEDDED(gemm)
EMBEDDED(conv)
EMBEDDED(im2col)
EMBEDDED(norm)
EMBEDDED(pool)
EMBEDDED(softmax)
EMBEDDED(elementwise)
EMBEDDED(resample)
EMBEDDED(peak)
EMBEDDED(attention)
EMBEDDED(tokens)
EMBEDDED(graph)
EMBEDDED(gru)

typedef struct family {
    const char *name;
    const unsigned char *text;
    const size_t *size;
    bool tiled; /* compiled once per tile height, as NAME_<height> */
} family;

#define FAMILY(name, tiled)                                                                                            \
    {                                                                                                                  \
#name, cot_kernels_##name, &cot_kernels_##name##_size, tiled                                                   \
    }
static const family families[FAMILY_COUNT] = {
    [FAMILY_GEMM] = FAMILY(gemm, true),
    [FAMILY_CONV] = FAMILY(conv, true),
    [FAMILY_IM2COL] = FAMILY(im2col, false),
    [FAMILY_NORM] = FAMILY(norm, false),
    [FAMILY_POOL] = FAMILY(pool, false),
    [FAMILY_SOFTMAX] = FAMILY(softmax, false),
    [FAMILY_ELEMENTWISE] = FAMILY(elementwise, false),
    [FAMILY_RESAMPLE] = FAMILY(resample, false),
    [FAMILY_PEAK] = FAMILY(peak, false),
    [FAMILY_ATTENTION] = FAMILY(attention, false),
    [FAMILY_TOKENS] = FAMILY(tokens, false),
    [FAMILY_GRAPH] = FAMILY(graph, false),
    [FAMILY_GRU] = FAMILY(gru, false),
};

/* ---- the cache folder ---- */
void cache_open(cot_device *device, const char *folder)
{
    if (!folder || !folder[0]) return;
    if (strlen(folder) >= sizeof device->cache_dir) {
        cot_log(COT_WARN, "opencl.cache", NULL, "state=off reason=\"the folder's name is too long\"");
        return;
    }
    if (mkdir(folder, 0750) != 0 && errno != EEXIST) {
        cot_log(COT_WARN, "opencl.cache", NULL, "state=off folder=%s reason=\"%s\"", folder, strerror(errno));
        return;
    }
    snprintf(device->cache_dir, sizeof device->cache_dir, "%s", folder);
}

bool cache_path(const cot_device *device, const char *key, size_t key_size, const char *kind, char *path, size_t size)
{
    char hex[65];
    char about[1600];
    char *all = NULL;
    const cot_device_info *info = &device->info;
    char platform[256] = "";
    if (!device->cache_dir[0]) return false;
    clGetPlatformInfo(device->platform, CL_PLATFORM_VERSION, sizeof platform - 1, platform, NULL);
    const int n = snprintf(about, sizeof about, "%s\n%s\n%s\n%s\n%s\n%s\n", platform, info->platform, info->name,
                           info->vendor, info->driver, info->version);
    const size_t head = n < 0 ? 0 : (size_t)n;
    if (!(all = malloc(head + key_size))) return false;
    memcpy(all, about, head);
    memcpy(all + head, key, key_size);
    cot_sha256_of(hex, all, head + key_size);
    free(all);
    const int m = snprintf(path, size, "%s/%s.%s", device->cache_dir, hex, kind);
    return m > 0 && (size_t)m < size;
}

/* ---- source ---- */
typedef struct text {
    char *data;
    size_t size, room;
} text;

static bool text_add(text *t, const void *data, size_t size)
{
    if (t->room - t->size < size + 1) {
        const size_t room = (t->size + size + 1) * 2;
        char *grown = realloc(t->data, room);
        if (!grown) return false;
        t->data = grown;
        t->room = room;
    }
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
    return true;
}

/* common.cl, then the family; a tiled family once per height with ROWS defined. */
static bool family_source(text *t, const family *f, const tile_plan *tile)
{
    char line[64];
    bool ok = text_add(t, cot_kernels_common, cot_kernels_common_size);
    if (!f->tiled) return ok && text_add(t, f->text, *f->size);
    ok = ok && text_add(t, cot_kernels_tile, cot_kernels_tile_size);
    for (unsigned i = 0; i < tile->n_heights; i++) {
        const int n = snprintf(line, sizeof line, "\n#undef ROWS\n#define ROWS %u\n", tile->heights[i]);
        ok = ok && text_add(t, line, (size_t)n) && text_add(t, f->text, *f->size);
    }
    return ok;
}

/* ---- binaries ---- */
static cl_program program_from_cache(const cot_device *device, const char *path, const char *options)
{
    char *data = NULL, hex[65];
    size_t size = 0;
    cl_int code = CL_SUCCESS, state = CL_SUCCESS;
    if (cot_file_read(&data, &size, path, CACHE_LIMIT, NULL) != COT_OK) return NULL;
    cl_program program = NULL;
    if (size <= DIGEST) goto done;
    cot_sha256_of(hex, data + DIGEST, size - DIGEST);
    if (memcmp(hex, data, DIGEST) != 0) goto done;
    const unsigned char *binary = (const unsigned char *)data + DIGEST;
    const size_t binary_size = size - DIGEST;
    program = clCreateProgramWithBinary(device->context, 1, &device->id, &binary_size, &binary, &state, &code);
    if (program && code == CL_SUCCESS && state == CL_SUCCESS)
        code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (program && (code != CL_SUCCESS || state != CL_SUCCESS)) {
        clReleaseProgram(program);
        program = NULL;
    }
done:
    if (!program) cot_log(COT_WARN, "opencl.cache", NULL, "state=damaged file=%s action=rebuild", path);
    free(data);
    return program;
}

static void program_to_cache(cl_program program, const char *path)
{
    size_t size = 0;
    cot_error err = COT_ERROR_INIT;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || size == 0) return;
    unsigned char *data = malloc(DIGEST + 1 + size);
    if (!data) return;
    unsigned char *binary = data + DIGEST;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS) {
        char hex[65];
        cot_sha256_of(hex, binary, size);
        memcpy(data, hex, DIGEST);
        if (cot_file_write_durable(path, data, DIGEST + size, &err) != COT_OK)
            cot_log(COT_WARN, "opencl.cache", NULL, "state=unwritable reason=\"%s\"", err.text);
    }
    free(data);
}

/* ---- build ---- */
static cot_status fail_build(const cot_device *device, cl_program program, const char *name, cl_int code,
                             cot_error *err)
{
    char note[601] = "";
    size_t n = 0;
    char *all = NULL;
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) == CL_SUCCESS && n &&
        (all = calloc(1, n + 1)) &&
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, n, all, NULL) == CL_SUCCESS)
        snprintf(note, sizeof note, "%s", all);
    free(all);
    return device_fail(err, code, "build kernels/%s.cl on %s: %s", name, device->info.name, note);
}

static cot_status family_build(cl_program *out, cot_device *device, const family *f, cot_error *err)
{
    cot_status status = COT_OK;
    cl_int code = CL_SUCCESS;
    text source = {NULL, 0, 0};
    char path[1200], options[128];
    snprintf(options, sizeof options, "-cl-std=CL1.2 -Werror -DVECTOR=%u -DLOCAL=%u", device->tile.vector,
             device->tile.local);
    if (!family_source(&source, f, &device->tile)) {
        status = cot_fail(err, COT_E_MEMORY, "build kernels/%s.cl: no memory", f->name);
        goto done;
    }
    /* the options follow the source's NUL, so that both are in the key */
    const size_t source_size = source.size;
    if (!text_add(&source, "", 1) || !text_add(&source, options, strlen(options))) {
        status = cot_fail(err, COT_E_MEMORY, "build kernels/%s.cl: no memory", f->name);
        goto done;
    }
    const bool cached = cache_path(device, source.data, source.size, "clbin", path, sizeof path);
    struct stat st;
    if (cached && stat(path, &st) == 0 && (*out = program_from_cache(device, path, options))) goto done;
    const char *data = source.data;
    cl_program program = clCreateProgramWithSource(device->context, 1, &data, &source_size, &code);
    if (code != CL_SUCCESS) {
        status = device_fail(err, code, "load kernels/%s.cl", f->name);
        goto done;
    }
    *out = program;
    code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        status = fail_build(device, program, f->name, code, err);
        goto done;
    }
    if (cached) program_to_cache(program, path);
done:
    free(source.data);
    return status;
}

cot_status program_build(cl_program *out, cot_device *device, const char *name, const unsigned char *source,
                         const size_t *size, bool tiled, cot_error *err)
{
    const family f = {name, source, size, tiled};
    return family_build(out, device, &f, err);
}

cot_status programs_build(cot_device *device, const cot_device_options *options, cot_error *err)
{
    cot_status status = COT_OK;
    for (unsigned i = 0; i < FAMILY_COUNT; i++) {
        device_progress(options, families[i].name, i);
        COT_TRY(family_build(&device->programs[i], device, &families[i], err));
    }
done:
    return status;
}

void programs_release(cot_device *device)
{
    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        if (device->programs[i]) clReleaseProgram(device->programs[i]);
}
