/* Device memory: buffers of floats, arenas cut into sub-buffers, and the ledger that counts what is allocated.
 * Every buffer starts zeroed, so that nothing of an earlier image can be read from a fresh one. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_PAGE ((size_t)2 << 20)

/* ---- as host memory ---- */
static cot_status map(void **host, cot_device *device, cl_mem mem, size_t bytes, cot_error *err)
{
    cl_int code = CL_SUCCESS;
    *host =
        clEnqueueMapBuffer(device->queue, mem, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, bytes, 0, NULL, NULL, &code);
    if (code != CL_SUCCESS) return device_fail(err, code, "map %zu bytes of %s", bytes, device->info.name);
    return COT_OK;
}

static cot_status unmap(cot_device *device, cl_mem mem, void *host, cot_error *err)
{
    const cl_int code = clEnqueueUnmapMemObject(device->queue, mem, host, 0, NULL, NULL);
    return code == CL_SUCCESS ? COT_OK : device_fail(err, code, "unmap memory of %s", device->info.name);
}

/* A CPU's buffers are host memory: large pages are cheaper to get, and to walk through when weights are read from end to
 * end for each image. A wish; nothing depends on it. */
static void wish_large_pages(void *host, size_t bytes)
{
    if (bytes < LARGE_PAGE) return;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)host, end = begin + bytes;
    madvise((void *)(begin - begin % page), end - (begin - begin % page), MADV_HUGEPAGE);
}

/* ---- allocation ---- */
/* By a kernel, not by clEnqueueFillBuffer: oclgrind does not see that the latter writes (tests/README.md). */
static cot_status zero_fill(cot_device *device, cl_mem mem, size_t floats, cot_error *err)
{
    const cl_ulong n = floats;
    const kernel_arg args[] = {{sizeof mem, &mem}, ARG_VALUE(n)};
    const size_t vector = device->tile.vector;
    return KERNEL_LAUNCH(device, KERNEL_ZERO_FILL, args, (floats + vector - 1) / vector, 1, err);
}

static cot_status clear(cot_device *device, cl_mem mem, size_t bytes, cot_error *err)
{
    cot_status status = COT_OK;
    void *host = NULL;
    if (device->info.type == COT_DEVICE_CPU && bytes >= LARGE_PAGE) {
        COT_TRY(map(&host, device, mem, bytes, err));
        wish_large_pages(host, bytes);
        COT_TRY(unmap(device, mem, host, err));
    }
    COT_TRY(zero_fill(device, mem, bytes / sizeof(float), err));
done:
    return status;
}

static cot_status allocate(cl_mem *out, cot_device *device, size_t bytes, bool cleared, cot_error *err)
{
    cl_int code = CL_SUCCESS;
    *out = NULL;
    if (bytes > device->info.max_alloc_bytes)
        return cot_fail(err, COT_E_LIMIT,
                        "%s gives at most %llu MiB in one piece, %zu MiB are needed; lower the batch or the image size",
                        device->info.name, (unsigned long long)(device->info.max_alloc_bytes >> 20), (bytes >> 20) + 1);
    cl_mem mem = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (code != CL_SUCCESS) return device_fail(err, code, "allocate %zu bytes on %s", bytes, device->info.name);
    const cot_status status = cleared ? clear(device, mem, bytes, err) : COT_OK;
    if (status != COT_OK) {
        clReleaseMemObject(mem);
        return status;
    }
    device->ledger.bytes += bytes;
    device->ledger.buffers++;
    *out = mem;
    return COT_OK;
}

static void give_back(cot_device *device, cl_mem mem, size_t bytes)
{
    if (!mem) return;
    clReleaseMemObject(mem);
    device->ledger.bytes -= bytes;
    device->ledger.buffers--;
}

static cot_status bytes_of(size_t *bytes, size_t floats, cot_error *err)
{
    if (floats == 0) floats = 1; /* OpenCL has no empty buffers */
    if (!cot_mul(bytes, floats, sizeof(float)))
        return cot_fail(err, COT_E_LIMIT, "a buffer of %zu floats does not fit into memory", floats);
    return COT_OK;
}

static cot_status create(cot_buffer **out, cot_device *device, size_t floats, bool cleared, cot_error *err)
{
    cot_status status = COT_OK;
    size_t bytes = 0;
    *out = NULL;
    COT_TRY(bytes_of(&bytes, floats, err));
    cot_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return cot_fail(err, COT_E_MEMORY, "create a device buffer: no memory");
    buffer->device = device;
    buffer->floats = floats;
    buffer->owned = true;
    if ((status = allocate(&buffer->mem, device, bytes, cleared, err)) == COT_OK)
        *out = buffer;
    else
        free(buffer);
done:
    return status;
}

cot_status cot_buffer_create(cot_buffer **out, cot_device *device, size_t floats, cot_error *err)
{
    return create(out, device, floats, true, err);
}

cot_status buffer_raw(cot_buffer **out, cot_device *device, size_t floats, cot_error *err)
{
    return create(out, device, floats, false, err);
}

void cot_buffer_destroy(cot_buffer *buffer)
{
    if (!buffer || !buffer->owned) return;
    give_back(buffer->device, buffer->mem, (buffer->floats ? buffer->floats : 1) * sizeof(float));
    free(buffer);
}

size_t cot_buffer_floats(const cot_buffer *buffer)
{
    return buffer->floats;
}

static cot_status check_range(const cot_buffer *b, size_t at, size_t floats, const char *what, cot_error *err)
{
    if (!b->mem) return cot_fail(err, COT_E_BUG, "%s: this piece's arena is not committed", what);
    if (at > b->floats || floats > b->floats - at)
        return cot_fail(err, COT_E_BUG, "%s: floats %zu to %zu of a buffer of %zu", what, at, at + floats, b->floats);
    return COT_OK;
}

cot_status buffer_check(const cot_buffer *b, const cot_device *device, size_t floats, const char *what, cot_error *err)
{
    if (!b) return cot_fail(err, COT_E_BUG, "%s: the buffer is missing", what);
    if (b->device != device) return cot_fail(err, COT_E_BUG, "%s: the buffer is of another device", what);
    return check_range(b, 0, floats, what, err);
}

cot_status cot_buffer_write(cot_buffer *buffer, size_t at, const float *from, size_t floats, cot_error *err)
{
    const cot_status status = check_range(buffer, at, floats, "write to device", err);
    if (status != COT_OK || floats == 0) return status;
    const cl_int code = clEnqueueWriteBuffer(buffer->device->queue, buffer->mem, CL_TRUE, at * sizeof *from,
                                             floats * sizeof *from, from, 0, NULL, NULL);
    if (code != CL_SUCCESS) return device_fail(err, code, "write %zu floats to %s", floats, buffer->device->info.name);
    return COT_OK;
}

static cot_status read_floats(const cot_buffer *buffer, cl_bool wait, size_t at, float *to, size_t floats,
                              cot_error *err)
{
    const cot_status status = check_range(buffer, at, floats, "read from device", err);
    if (status != COT_OK || floats == 0) return status;
    const cl_int code = clEnqueueReadBuffer(buffer->device->queue, buffer->mem, wait, at * sizeof *to,
                                            floats * sizeof *to, to, 0, NULL, NULL);
    if (code != CL_SUCCESS) return device_fail(err, code, "read %zu floats from %s", floats, buffer->device->info.name);
    return COT_OK;
}

cot_status cot_buffer_read(const cot_buffer *buffer, size_t at, float *to, size_t floats, cot_error *err)
{
    return read_floats(buffer, CL_TRUE, at, to, floats, err);
}

cot_status cot_buffer_read_later(const cot_buffer *buffer, size_t at, float *to, size_t floats, cot_error *err)
{
    return read_floats(buffer, CL_FALSE, at, to, floats, err);
}

/* A CPU's memory is written in place; elsewhere a copy is sent. */
cot_status buffer_map(float **host, cot_buffer *buffer, cot_error *err)
{
    void *at = NULL;
    const size_t bytes = buffer->floats * sizeof(float);
    cot_status status = COT_OK;
    if (buffer->device->info.type == COT_DEVICE_CPU) {
        COT_TRY(map(&at, buffer->device, buffer->mem, bytes, err));
        wish_large_pages(at, bytes);
    } else if (!(at = malloc(bytes))) {
        status = cot_fail(err, COT_E_MEMORY, "fill a device buffer: no memory for %zu bytes", bytes);
    }
done:
    *host = at;
    return status;
}

cot_status buffer_unmap(cot_buffer *buffer, float *host, cot_error *err)
{
    if (buffer->device->info.type == COT_DEVICE_CPU) return unmap(buffer->device, buffer->mem, host, err);
    const cot_status status = cot_buffer_write(buffer, 0, host, buffer->floats, err);
    free(host);
    return status;
}

cot_status cot_buffer_zero(cot_buffer *buffer, cot_error *err)
{
    const cot_status status = check_range(buffer, 0, 0, "clear", err);
    if (status != COT_OK) return status;
    return zero_fill(buffer->device, buffer->mem, buffer->floats, err);
}

cot_status buffer_of(cot_buffer **out, cot_device *device, const float *from, size_t floats, cot_error *err)
{
    cot_status status = COT_OK;
    COT_TRY(cot_buffer_create(out, device, floats, err));
    COT_TRY(cot_buffer_write(*out, 0, from, floats, err));
done:
    if (status != COT_OK) {
        cot_buffer_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* ---- arena ---- */
typedef struct arena_piece {
    cot_buffer buffer;
    size_t at, own_bytes; /* in the arena; of its own memory, if it is separate */
    struct arena_piece *next;
} arena_piece;

struct cot_arena {
    cot_device *device;
    cl_mem mem;
    cot_buffer whole;
    size_t bytes;
    bool committed;
    arena_piece *pieces; /* newest first */
};

cot_status cot_arena_create(cot_arena **out, cot_device *device, cot_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return cot_fail(err, COT_E_MEMORY, "create an arena: no memory");
    (*out)->device = device;
    return COT_OK;
}

cot_status cot_arena_reserve(cot_arena *arena, cot_buffer **piece, size_t floats, cot_error *err)
{
    cot_status status = COT_OK;
    size_t bytes = 0, end = 0;
    const size_t align = arena->device->align;
    *piece = NULL;
    if (arena->committed) return cot_fail(err, COT_E_BUG, "arena: reserve after commit");
    COT_TRY(bytes_of(&bytes, floats, err));
    if (!cot_add(&end, bytes, align - 1) || !cot_add(&end, end - end % align, arena->bytes))
        return cot_fail(err, COT_E_LIMIT, "arena: %zu more floats do not fit into memory", floats);
    arena_piece *p = calloc(1, sizeof *p);
    if (!p) return cot_fail(err, COT_E_MEMORY, "arena: no memory");
    p->buffer.device = arena->device;
    p->buffer.floats = floats;
    p->at = arena->bytes;
    p->next = arena->pieces;
    arena->pieces = p;
    arena->bytes = end;
    *piece = &p->buffer;
done:
    return status;
}

/* Each piece a buffer of its own: what runs over its end is then seen by tools that know the buffers' ends. */
static cot_status commit_separate(cot_arena *arena, cot_error *err)
{
    cot_status status = COT_OK;
    for (arena_piece *p = arena->pieces; p; p = p->next) {
        size_t bytes = 0;
        COT_TRY(bytes_of(&bytes, p->buffer.floats, err));
        COT_TRY(allocate(&p->buffer.mem, arena->device, bytes, true, err));
        p->own_bytes = bytes;
    }
done:
    return status;
}

static cot_status commit_together(cot_arena *arena, cot_error *err)
{
    cot_status status;
    COT_TRY(allocate(&arena->mem, arena->device, arena->bytes, true, err));
    for (arena_piece *p = arena->pieces; p; p = p->next) {
        cl_int code = CL_SUCCESS;
        const cl_buffer_region region = {p->at, (p->buffer.floats ? p->buffer.floats : 1) * sizeof(float)};
        p->buffer.mem = clCreateSubBuffer(arena->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        if (code != CL_SUCCESS) return device_fail(err, code, "cut an arena of %zu bytes", arena->bytes);
    }
done:
    return status;
}

cot_status cot_arena_commit(cot_arena *arena, cot_error *err)
{
    if (arena->committed) return cot_fail(err, COT_E_BUG, "arena: committed twice");
    if (!arena->pieces) return COT_OK;
    arena->committed = true;
    return arena->device->separate ? commit_separate(arena, err) : commit_together(arena, err);
}

size_t cot_arena_floats(const cot_arena *arena)
{
    return arena->bytes / sizeof(float);
}

cot_status cot_arena_whole(cot_buffer **whole, cot_arena *arena, cot_error *err)
{
    if (arena->pieces && !arena->mem)
        return cot_fail(err, COT_E_BUG, "arena: not committed, or its pieces are separate buffers");
    arena->whole.device = arena->device;
    arena->whole.mem = arena->mem;
    arena->whole.floats = cot_arena_floats(arena);
    *whole = &arena->whole;
    return COT_OK;
}

void cot_arena_destroy(cot_arena *arena)
{
    if (!arena) return;
    for (arena_piece *p = arena->pieces, *next; p; p = next) {
        next = p->next;
        if (p->own_bytes)
            give_back(arena->device, p->buffer.mem, p->own_bytes);
        else if (p->buffer.mem)
            clReleaseMemObject(p->buffer.mem);
        free(p);
    }
    give_back(arena->device, arena->mem, arena->bytes);
    free(arena);
}
