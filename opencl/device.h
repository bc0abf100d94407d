/* What the files of opencl/ share among themselves: the device, its kernel table, the one binder, buffers and weights.
 * No other room includes this.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_OPENCL_DEVICE_H
#define COT_OPENCL_DEVICE_H
#include "opencl/opencl.h"

#include <CL/cl.h>

/* ---- the tile: how many rows of results one work-item keeps in registers (tile.cl) ---- */
enum { TILE_HEIGHTS_MAX = 12, TILE_VECTOR_MAX = 16 };
typedef struct tile_plan {
    unsigned vector;                    /* floats of one vector; a panel of weights is two vectors wide */
    unsigned heights[TILE_HEIGHTS_MAX]; /* rows, falling, ends with 1 */
    unsigned n_heights;
    unsigned local; /* work-items side by side on GPUs, 1 on CPUs */
} tile_plan;

/* Flags of the tile kernels, as in kernels/tile.cl. */
enum { TILE_RESIDUAL = 1, TILE_PANELS_FIRST = 2, TILE_ALL_INSIDE = 4 };

/* Every kernel of the room, in the order of the table in launch.c. GEMM and convolution have one kernel per height. */
typedef enum kernel_id {
    KERNEL_BORDER,
    KERNEL_IM2COL,
    KERNEL_EPILOGUE,
    KERNEL_ZERO_FILL,
    KERNEL_BATCH_NORM,
    KERNEL_MAX_POOL,
    KERNEL_MEAN_POOL,
    KERNEL_NORM_POOL,
    KERNEL_LAYER_NORM,
    KERNEL_SOFTMAX,
    KERNEL_ADD_TANH,
    KERNEL_RESAMPLE_DOWN,
    KERNEL_RESAMPLE_ACROSS,
    KERNEL_PEAK,
    KERNEL_PATCHES,
    KERNEL_TOKENS,
    KERNEL_COPY_ROWS,
    KERNEL_CONCAT,
    KERNEL_GRAPH_ATTENTION,
    KERNEL_GRU,
    KERNEL_ATTENTION,
    KERNEL_GEMM,
    KERNEL_CONV = KERNEL_GEMM + TILE_HEIGHTS_MAX,
    KERNEL_COUNT = KERNEL_CONV + TILE_HEIGHTS_MAX
} kernel_id;

/* The programs, one per family file in kernels/. */
typedef enum family_id {
    FAMILY_GEMM,
    FAMILY_CONV,
    FAMILY_IM2COL,
    FAMILY_NORM,
    FAMILY_POOL,
    FAMILY_SOFTMAX,
    FAMILY_ELEMENTWISE,
    FAMILY_RESAMPLE,
    FAMILY_PEAK,
    FAMILY_ATTENTION,
    FAMILY_TOKENS,
    FAMILY_GRAPH,
    FAMILY_GRU,
    FAMILY_COUNT
} family_id;

struct cot_device {
    cot_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_program programs[FAMILY_COUNT];
    cl_kernel kernels[KERNEL_COUNT];
    size_t local[KERNEL_COUNT]; /* legal local size of each kernel made so far */
    tile_plan tile;
    size_t align; /* bytes a sub-buffer must start at a multiple of */
    cot_gemm_choice gemm;
    bool separate;             /* pieces of arenas are buffers of their own */
    cot_buffer *work;          /* CLBlast's temporary memory, grown to the largest product seen */
    struct backward *backward; /* the gradients' kernels, built when first used (backward.c) */
    cot_device_ledger ledger;
    char cache_dir[900]; /* "" = none */
};

struct cot_buffer {
    cot_device *device;
    cl_mem mem; /* NULL: a piece of an arena that is not committed */
    size_t floats;
    bool owned; /* counted in the ledger; pieces of an arena are not */
};

struct cot_weights {
    cot_device *device;
    cot_gemm_choice choice;
    bool is_conv;
    cot_buffer *w, *bias;
    cot_buffer *zeros; /* what taps outside of the image read */
    size_t out, in;    /* columns of the product, floats summed for each */
    cot_conv_shape shape;
    bool border; /* few channels: whole rows of taps are read from a copy with a border */
};

/* Floats of one tensor: kernels count in 32-bit ints, and a launch rounded up must not pass their end. */
#define FLOATS_MOST ((size_t)1 << 30)
/* Nodes of one graph, as in graph.cl. */
enum { GRAPH_NODES_MOST = 64 };

/* ---- device.c ---- */
/* Tells the caller of cot_device_open what is being done: the programs, then the choice of GEMM, then "ready". */
void device_progress(const cot_device_options *options, const char *what, unsigned done);
double seconds_now(void);

/* ---- launch.c ---- */
const char *cl_error_name(cl_int code);
/* Name, number and remedy of an OpenCL error after what was tried. */
cot_status device_fail(cot_error *err, cl_int code, const char *format, ...) COT_PRINTF(3, 4);

typedef struct kernel_arg {
    size_t size;
    const void *value;
} kernel_arg;
#define ARG_BUFFER(b)                                                                                                  \
    {                                                                                                                  \
        sizeof(cl_mem), &(b)->mem                                                                                      \
    }
#define ARG_VALUE(v)                                                                                                   \
    {                                                                                                                  \
        sizeof(v), &(v)                                                                                                \
    }
void kernels_destroy(cot_device *device);
/* Binds all arguments and enqueues; global[] are the wanted work-items, rounded up to the kernel's local size. */
cot_status kernel_launch(cot_device *device, kernel_id id, const kernel_arg *args, cl_uint n_args, size_t global0,
                         size_t global1, cot_error *err);
#define KERNEL_LAUNCH(device, id, args, g0, g1, err)                                                                   \
    kernel_launch(device, id, args, (cl_uint)(sizeof(args) / sizeof *(args)), g0, g1, err)

/* The same for a kernel that is not in the table. */
cot_status kernel_enqueue(cot_device *device, cl_kernel kernel, const char *name, size_t local0, const kernel_arg *args,
                          cl_uint n_args, size_t global0, size_t global1, cot_error *err);
/* Local size that a kernel of the table asks for, but for the tile's. */
size_t kernel_wish(const cot_device *device);
/* Largest power of two the kernel may have as work-group size here, at most `wish`. */
size_t kernel_local(cl_kernel kernel, cl_device_id id, size_t wish);

/* ---- program.c ---- */
/* One family from its embedded text, through the cache; `tiled`: once per tile height, as NAME_<height>. */
cot_status program_build(cl_program *out, cot_device *device, const char *name, const unsigned char *source,
                         const size_t *size, bool tiled, cot_error *err);
cot_status programs_build(cot_device *device, const cot_device_options *options, cot_error *err);
void programs_release(cot_device *device);
/* Makes folder and remembers it; a cache that cannot be used is a warning in the log, never a failure. */
void cache_open(cot_device *device, const char *folder);
/* cache_dir/<name of sha256(key)>.<kind>; false without a cache. */
bool cache_path(const cot_device *device, const char *key, size_t key_size, const char *kind, char *path, size_t size);

/* ---- memory.c ---- */
/* Whether `b` is committed, of this device and at least `floats` long. */
cot_status buffer_check(const cot_buffer *b, const cot_device *device, size_t floats, const char *what, cot_error *err);
cot_status buffer_of(cot_buffer **out, cot_device *device, const float *from, size_t floats, cot_error *err);
/* Not cleared: for whoever writes all of it at once. */
cot_status buffer_raw(cot_buffer **out, cot_device *device, size_t floats, cot_error *err);
/* The whole buffer (floats > 0) as host memory to be written from end to end; nobody else uses it until it is unmapped. */
cot_status buffer_map(float **host, cot_buffer *buffer, cot_error *err);
cot_status buffer_unmap(cot_buffer *buffer, float *host, cot_error *err);

/* ---- gemm.c ---- */
cot_status weights_create(cot_weights **out, cot_device *device, size_t out_features, size_t in_features,
                          cot_error *err);
/* Takes w [out, in] row-major (host) with bias or NULL into device memory as the device's implementation wants it. */
cot_status weights_upload(cot_weights *w, const float *rows, const float *bias, cot_error *err);
size_t tile_panels(const cot_device *device, size_t columns);
/* Index into heights[] that does `rows` x `panels` with the least work. */
unsigned tile_height(const cot_device *device, size_t rows, size_t panels);
/* The same for rows of x that lie `stride` floats apart, as caches feel it. */
unsigned tile_height_apart(const cot_device *device, size_t rows, size_t panels, size_t stride);
/* Launches gemm or conv (KERNEL_GEMM, KERNEL_CONV) at a height over rows x columns, in the order `flags` say. */
cot_status tile_launch(cot_device *device, kernel_id family, const kernel_arg *args, cl_uint n_args, unsigned height,
                       size_t rows, size_t panels, int flags, cot_error *err);
int tile_order(const cot_weights *w);
/* c[m, n] (+)= op(a) · op(b) with CLBlast, plain row-major, from floats c_at, a_at, b_at on; a_t: a is [k, m]; b_t: b is [n, k]. */
cot_status clblast_multiply(cot_device *device, cl_mem c, size_t c_at, cl_mem a, size_t a_at, bool a_t, cl_mem b,
                            size_t b_at, bool b_t, size_t m, size_t n, size_t k, bool add, cot_error *err);
/* y[rows, out] (+)= x[rows, in] · wᵀ with CLBlast, no bias; `y_at` floats into y. */
cot_status clblast_product(cl_mem y, size_t y_at, cl_mem x, const cot_weights *w, size_t rows, bool add,
                           cot_error *err);
/* y += bias (+ residual), then act; y, residual [rows, columns]. */
cot_status epilogue_forward(cot_buffer *y, const cot_weights *w, size_t rows, const cot_buffer *residual,
                            cot_activation act, cot_error *err);

/* ---- small.c ---- */
/* Floats up to the end of the last of `rows` slices of c channels, within what a launch takes. */
cot_status slice_floats(size_t *floats, cot_slice slice, size_t rows, size_t c, const char *what, cot_error *err);

/* ---- conv.c ---- */
/* Whether rows of taps are better read from a copy with a border. */
bool conv_few_channels(const cot_conv_shape *shape);
/* x [n,h,w,c] with a border of zeros, as weights with `border` need it. */
cot_status conv_border(cot_buffer *to, const cot_buffer *x, const cot_weights *w, size_t n, cot_error *err);
/* The convolution of cot_conv_forward with the tile; the caller has checked the buffers and made the border. */
cot_status conv_tile(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n, const cot_buffer *residual,
                     cot_activation act, cot_error *err);

/* ---- backward.c ---- */
void backward_destroy(struct backward *backward);

/* ---- choose.c ---- */
/* Measures both implementations (or reads what was measured before) and sets device->gemm. */
cot_status gemm_choose(cot_device *device, cot_error *err);
#endif
