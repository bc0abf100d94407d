/* OpenCL behind plain C: devices, an arena, a program cache, GEMM/convolution and the small kernels.
 * Knows nothing of models. All matrices are float32, row-major; images are NHWC ([n,h,w,c]).
 * Forward passes here; every family's .cl file names its backward's place.
 * Threads: a cot_device and everything made from it: one thread at a time. Lists: any thread.
 * A process that has opened a device must not fork (PoCL's and drivers' threads do not survive it).
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_OPENCL_H
#define COT_OPENCL_H
#include "config/base.h"

/* ---- devices ------------------------------------------------------------------------------ */
typedef enum cot_device_type { COT_DEVICE_ANY, COT_DEVICE_CPU, COT_DEVICE_GPU, COT_DEVICE_ACCELERATOR } cot_device_type;
typedef struct cot_device_info {
    char platform[129], name[257], vendor[129], driver[65], version[129];
    cot_device_type type;
    unsigned compute_units, vector_width; /* preferred float width */
    uint64_t global_bytes, max_alloc_bytes;
    bool usable;          /* compiler available, little endian, >= OpenCL 1.2 */
    char why_not[129];
} cot_device_info;
/* All devices of all platforms (platforms without devices are normal). Caller frees *out. No ICD: n = 0, COT_OK. */
cot_status cot_devices_list(cot_device_info **out, size_t *n, cot_error *err);
/* Names of the platforms that list no device, for people. Caller frees *out. */
cot_status cot_platforms_empty(char (**out)[129], size_t *n, cot_error *err);

typedef enum cot_gemm_choice { COT_GEMM_AUTO, COT_GEMM_TILE, COT_GEMM_CLBLAST } cot_gemm_choice;
typedef struct cot_device_options {
    const char *match;      /* part of "platform / name" (case-insensitive), or "cpu" / "gpu"; NULL or "" = best */
    const char *cache_dir;  /* program cache; NULL = no cache */
    cot_gemm_choice gemm;   /* AUTO: measured at first start, remembered in cache_dir */
    void (*progress)(void *ctx, const char *what, unsigned done, unsigned all); /* program builds; may be NULL */
    void *progress_ctx;
} cot_device_options;
#define COT_DEVICE_OPTIONS_INIT { NULL, NULL, COT_GEMM_AUTO, NULL, NULL }
typedef struct cot_device cot_device;
cot_status cot_device_open(cot_device **out, const cot_device_options *options, cot_error *err);
void cot_device_close(cot_device *device);
const cot_device_info *cot_device_about(const cot_device *device); /* borrowed */
cot_gemm_choice cot_device_gemm(const cot_device *device);        /* TILE or CLBLAST, never AUTO */
cot_status cot_device_finish(cot_device *device, cot_error *err);  /* waits; reports a lost device */
/* Live counters: what a test of "steady state allocates nothing" reads. */
typedef struct cot_device_ledger { size_t bytes, buffers, launches; } cot_device_ledger;
cot_device_ledger cot_device_ledger_read(const cot_device *device);

/* ---- memory ------------------------------------------------------------------------------- */
typedef struct cot_buffer cot_buffer; /* a piece of device memory (own allocation or part of an arena) */
cot_status cot_buffer_create(cot_buffer **out, cot_device *device, size_t floats, cot_error *err); /* zeroed */
void cot_buffer_destroy(cot_buffer *buffer);
size_t cot_buffer_floats(const cot_buffer *buffer);
cot_status cot_buffer_write(cot_buffer *buffer, size_t at, const float *from, size_t floats, cot_error *err); /* blocking */
cot_status cot_buffer_read(const cot_buffer *buffer, size_t at, float *to, size_t floats, cot_error *err);    /* blocking */
cot_status cot_buffer_zero(cot_buffer *buffer, cot_error *err);

/* One device allocation cut into buffers. Reserve all pieces first, then commit once: pieces become valid
 * then and live as long as the arena. Reserve after commit is an error. */
typedef struct cot_arena cot_arena;
cot_status cot_arena_create(cot_arena **out, cot_device *device, cot_error *err);
cot_status cot_arena_reserve(cot_arena *arena, cot_buffer **piece, size_t floats, cot_error *err); /* borrowed piece */
cot_status cot_arena_commit(cot_arena *arena, cot_error *err);
void cot_arena_destroy(cot_arena *arena);

/* ---- GEMM and convolution ------------------------------------------------------------------ */
typedef enum cot_activation { COT_ACT_NONE, COT_ACT_RELU, COT_ACT_TANH } cot_activation;
/* Weights prepared once at load for the device's implementation (tile: packed column panels, k-major;
 * CLBlast: as they are). */
typedef struct cot_weights cot_weights;
/* w: host [out_features, in_features] (as in torch Linear); bias: host [out_features] or NULL. */
cot_status cot_linear_prepare(cot_weights **out, cot_device *device, const float *w, const float *bias,
                              size_t out_features, size_t in_features, cot_error *err);
/* y[rows,out] = act(x[rows,in] · wᵀ + bias (+ residual[rows,out] before act; NULL: none; may be y)) */
cot_status cot_linear_forward(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t rows,
                              const cot_buffer *residual, cot_activation act, cot_error *err);

typedef struct cot_conv_shape {
    size_t in_c, out_c, kernel, stride, pad; /* square kernel, zero padding */
    size_t in_h, in_w;                       /* of one image */
} cot_conv_shape;
static inline size_t cot_conv_out(size_t in, size_t kernel, size_t stride, size_t pad) { return (in + 2 * pad - kernel) / stride + 1; }
/* w: host [out_c, in_c, k, k] (torch layout); scale, shift: host [out_c] or NULL: folded batch norm,
 * y = act(conv(x) * scale + shift (+ residual)). The library keeps no reference to host memory. */
cot_status cot_conv_prepare(cot_weights **out, cot_device *device, const float *w, const float *scale, const float *shift,
                            const cot_conv_shape *shape, cot_error *err);
void cot_weights_destroy(cot_weights *w);
/* Floats of scratch that cot_conv_forward needs for n images (im2col, border copies); 0 when none. */
size_t cot_conv_scratch(const cot_weights *w, size_t n);
/* x [n,in_h,in_w,in_c] -> y [n,out_h,out_w,out_c]; residual like y or NULL; scratch as said above or NULL. */
cot_status cot_conv_forward(cot_buffer *y, const cot_buffer *x, const cot_weights *w, size_t n,
                            const cot_buffer *residual, cot_activation act, cot_buffer *scratch, cot_error *err);

/* ---- small kernels -------------------------------------------------------------------------- */
cot_status cot_batch_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *scale, const cot_buffer *shift,
                                  size_t rows, size_t channels, cot_activation act, cot_error *err); /* y = act(x*scale+shift) */
cot_status cot_max_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t h, size_t w, size_t c,
                                size_t kernel, size_t stride, size_t pad, cot_error *err);            /* NHWC, -inf padding */
cot_status cot_mean_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t pixels, size_t c, cot_error *err); /* [n,c] */
cot_status cot_layer_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *gamma, const cot_buffer *beta,
                                  size_t rows, size_t width, float eps, cot_activation act, cot_error *err);
cot_status cot_softmax_forward(cot_buffer *y, const cot_buffer *x, size_t rows, size_t classes, cot_error *err);
/* y[i] = a[i] + tanh(b[i]); the student's write-back. y may be a. */
cot_status cot_add_tanh_forward(cot_buffer *y, const cot_buffer *a, const cot_buffer *b, size_t n, cot_error *err);

/* ---- images ---------------------------------------------------------------------------------- */
typedef enum cot_filter { COT_FILTER_BILINEAR, COT_FILTER_BICUBIC } cot_filter; /* antialiased, as Pillow: bicubic a = -0.5 */
/* Resampling tables for one source size; rebuilt only when the size changes. */
/* y[at_image, size,size,1] = (resample(x[rows,cols]) - mean) / std; x: host pixels, range 0..1.
 * `scratch` is owned by the resampler and grows to the largest image seen. */
typedef struct cot_resampler cot_resampler;
cot_status cot_resampler_create(cot_resampler **out, cot_device *device, size_t size, cot_filter filter, float mean, float std, cot_error *err);
void cot_resampler_destroy(cot_resampler *resampler);
cot_status cot_resampler_run(cot_resampler *resampler, cot_buffer *y, size_t at_image, const float *x, size_t rows, size_t cols, cot_error *err);

/* ---- bench ----------------------------------------------------------------------------------- */
/* Best GF/s of independent fused multiply-adds on this device over `seconds`. */
cot_status cot_device_peak(cot_device *device, double seconds, double *gflops, cot_error *err);
#endif
