/* Launches: the table of all kernels, each made when it is first launched, one binder for their arguments, and the names
 * and remedies of OpenCL's errors. One thread per device, because a cl_kernel holds its arguments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */
typedef struct cl_error_text {
    cl_int code;
    const char *name, *remedy;
} cl_error_text;

#define REPORT_IT "a fault in this program: please report it"
static const cl_error_text error_texts[] = {
    {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND", "run stepcot devices to see what there is"},
    {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE", "another program may hold the device"},
    {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE", "choose a device with a kernel compiler"},
    {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE", "lower the batch or free device memory"},
    {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES",
     "the device lacks memory or was lost: lower the batch, look into the kernel log"},
    {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY", "free memory on this machine"},
    {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE", "update the driver or choose another device"},
    {CL_INVALID_VALUE, "CL_INVALID_VALUE", REPORT_IT},
    {CL_INVALID_DEVICE, "CL_INVALID_DEVICE", "the device was lost: restart, look into the kernel log"},
    {CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT", REPORT_IT},
    {CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE", "the device was lost: restart, look into the kernel log"},
    {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT", REPORT_IT},
    {CL_INVALID_BINARY, "CL_INVALID_BINARY", "empty the program cache"},
    {CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS", "update the driver"},
    {CL_INVALID_PROGRAM, "CL_INVALID_PROGRAM", REPORT_IT},
    {CL_INVALID_PROGRAM_EXECUTABLE, "CL_INVALID_PROGRAM_EXECUTABLE", REPORT_IT},
    {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME", REPORT_IT},
    {CL_INVALID_KERNEL, "CL_INVALID_KERNEL", REPORT_IT},
    {CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX", REPORT_IT},
    {CL_INVALID_ARG_VALUE, "CL_INVALID_ARG_VALUE", REPORT_IT},
    {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE", REPORT_IT},
    {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS", REPORT_IT},
    {CL_INVALID_WORK_DIMENSION, "CL_INVALID_WORK_DIMENSION", REPORT_IT},
    {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE", REPORT_IT},
    {CL_INVALID_GLOBAL_WORK_SIZE, "CL_INVALID_GLOBAL_WORK_SIZE", REPORT_IT},
    {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE", "lower the batch or the image size"},
    {CL_MISALIGNED_SUB_BUFFER_OFFSET, "CL_MISALIGNED_SUB_BUFFER_OFFSET", REPORT_IT},
    {CL_INVALID_OPERATION, "CL_INVALID_OPERATION", REPORT_IT},
    {-1001, "CL_PLATFORM_NOT_FOUND_KHR", "install a driver, for a CPU: apt install pocl-opencl-icd"},
};

static const cl_error_text *error_text(cl_int code)
{
    for (size_t i = 0; i < sizeof error_texts / sizeof *error_texts; i++)
        if (error_texts[i].code == code) return &error_texts[i];
    return NULL;
}

const char *cl_error_name(cl_int code)
{
    const cl_error_text *text = error_text(code);
    return text ? text->name : "OpenCL error";
}

cot_status device_fail(cot_error *err, cl_int code, const char *format, ...)
{
    char what[500];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const cl_error_text *text = error_text(code);
    return cot_fail(err, code == CL_OUT_OF_HOST_MEMORY ? COT_E_MEMORY : COT_E_DEVICE, "%s: %s (%d); %s", what,
                    cl_error_name(code), (int)code, text ? text->remedy : "look the number up in CL/cl.h");
}

/* ---- the table ---- */
typedef struct kernel_entry {
    const char *name;
    family_id family;
} kernel_entry;

static const kernel_entry kernel_table[KERNEL_COUNT] = {
    [KERNEL_BORDER] = {"border_copy", FAMILY_IM2COL},
    [KERNEL_IM2COL] = {"im2col", FAMILY_IM2COL},
    [KERNEL_EPILOGUE] = {"epilogue_forward", FAMILY_ELEMENTWISE},
    [KERNEL_ZERO_FILL] = {"zero_fill", FAMILY_ELEMENTWISE},
    [KERNEL_BATCH_NORM] = {"batch_norm_forward", FAMILY_NORM},
    [KERNEL_MAX_POOL] = {"max_pool_forward", FAMILY_POOL},
    [KERNEL_MEAN_POOL] = {"mean_pool_forward", FAMILY_POOL},
    [KERNEL_NORM_POOL] = {"norm_pool_forward", FAMILY_POOL},
    [KERNEL_LAYER_NORM] = {"layer_norm_forward", FAMILY_NORM},
    [KERNEL_SOFTMAX] = {"softmax_forward", FAMILY_SOFTMAX},
    [KERNEL_ADD_TANH] = {"add_tanh_forward", FAMILY_ELEMENTWISE},
    [KERNEL_RESAMPLE_DOWN] = {"resample_down", FAMILY_RESAMPLE},
    [KERNEL_RESAMPLE_ACROSS] = {"resample_across", FAMILY_RESAMPLE},
    [KERNEL_PEAK] = {"peak", FAMILY_PEAK},
    [KERNEL_PATCHES] = {"patches_forward", FAMILY_TOKENS},
    [KERNEL_TOKENS] = {"tokens_forward", FAMILY_TOKENS},
    [KERNEL_COPY_ROWS] = {"copy_rows", FAMILY_TOKENS},
    [KERNEL_CONCAT] = {"concat_forward", FAMILY_TOKENS},
    [KERNEL_GRAPH_ATTENTION] = {"graph_attention_forward", FAMILY_GRAPH},
    [KERNEL_GRU] = {"gru_forward", FAMILY_GRU},
    [KERNEL_ATTENTION] = {"attention_forward", FAMILY_ATTENTION},
};

/* Largest power of two the kernel may have as work-group size here, at most `wish`. */
size_t kernel_local(cl_kernel kernel, cl_device_id id, size_t wish)
{
    size_t most = 1, items[3] = {1, 1, 1};
    clGetKernelWorkGroupInfo(kernel, id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL);
    if (items[0] < most) most = items[0];
    while (wish > 1 && wish > most) wish /= 2;
    return wish;
}

size_t kernel_wish(const cot_device *device)
{
    return device->info.type == COT_DEVICE_CPU ? 16 : 64;
}

static void name_of(char *name, size_t size, const cot_device *device, unsigned id)
{
    if (id >= KERNEL_CONV)
        snprintf(name, size, "conv_%u", device->tile.heights[id - KERNEL_CONV]);
    else if (id >= KERNEL_GEMM)
        snprintf(name, size, "gemm_%u", device->tile.heights[id - KERNEL_GEMM]);
    else
        snprintf(name, size, "%s", kernel_table[id].name);
}

/* Made when first launched: some drivers (rusticl) compile each one here, for seconds to minutes, and no model needs all. */
static cot_status kernel_need(cot_device *device, unsigned id, const char *name, cot_error *err)
{
    cl_int code = CL_SUCCESS;
    const bool tiled = id >= KERNEL_GEMM;
    const family_id family = id >= KERNEL_CONV ? FAMILY_CONV : tiled ? FAMILY_GEMM : kernel_table[id].family;
    const size_t wish = tiled || id == KERNEL_ATTENTION ? device->tile.local : kernel_wish(device);
    if (device->kernels[id]) return COT_OK;
    const cl_kernel kernel = clCreateKernel(device->programs[family], name, &code);
    if (code != CL_SUCCESS) return device_fail(err, code, "create kernel %s on %s", name, device->info.name);
    device->kernels[id] = kernel;
    device->local[id] = kernel_local(kernel, device->id, wish);
    return COT_OK;
}

void kernels_destroy(cot_device *device)
{
    for (unsigned id = 0; id < KERNEL_COUNT; id++)
        if (device->kernels[id]) clReleaseKernel(device->kernels[id]);
}

cot_status kernel_enqueue(cot_device *device, cl_kernel kernel, const char *name, size_t local0, const kernel_arg *args,
                          cl_uint n_args, size_t global0, size_t global1, cot_error *err)
{
    const size_t local[2] = {local0, 1};
    const size_t global[2] = {(global0 + local0 - 1) / local0 * local0, global1};
    if (global0 == 0 || global1 == 0) return COT_OK;
    for (cl_uint i = 0; i < n_args; i++) {
        const cl_int code = clSetKernelArg(kernel, i, args[i].size, args[i].value);
        if (code != CL_SUCCESS) return device_fail(err, code, "argument %u of kernel %s", i, name);
    }
    const cl_int code = clEnqueueNDRangeKernel(device->queue, kernel, 2, NULL, global, local, 0, NULL, NULL);
    if (code != CL_SUCCESS) return device_fail(err, code, "launch kernel %s on %s", name, device->info.name);
    device->ledger.launches++;
    return COT_OK;
}

cot_status kernel_launch(cot_device *device, kernel_id id, const kernel_arg *args, cl_uint n_args, size_t global0,
                         size_t global1, cot_error *err)
{
    char name[32];
    name_of(name, sizeof name, device, id);
    const cot_status status = kernel_need(device, id, name, err);
    if (status != COT_OK) return status;
    return kernel_enqueue(device, device->kernels[id], name, device->local[id], args, n_args, global0, global1, err);
}
