/* OpenCL behind plain C: devices, an arena, a program cache, GEMM/convolution and the small kernels.
 * Knows nothing of models. All matrices are float32, row-major; images are NHWC ([n,h,w,c]).
 * Forward passes here; gradients in backward.h.
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
    size_t skip;            /* so many of the best matching devices are passed over */
    bool separate;          /* an arena's pieces are buffers of their own, so that tools see what runs over their ends */
} cot_device_options;
#define COT_DEVICE_OPTIONS_INIT { NULL, NULL, COT_GEMM_AUTO, NULL, NULL, 0, false }
typedef struct cot_device cot_device;
cot_status cot_device_open(cot_device **out, const cot_device_options *options, cot_error *err);
void cot_device_close(cot_device *device);
/* How many usable devices match: skip may be 0 to *n - 1. */
cot_status cot_devices_matching(size_t *n, const char *match, cot_error *err);
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
/* The same without waiting: `to` has them after cot_device_finish, and must live until then. */
cot_status cot_buffer_read_later(const cot_buffer *buffer, size_t at, float *to, size_t floats, cot_error *err);
cot_status cot_buffer_zero(cot_buffer *buffer, cot_error *err);

/* One device allocation cut into buffers. Reserve all pieces first, then commit once: pieces become valid
 * then and live as long as the arena. Reserve after commit is an error. */
typedef struct cot_arena cot_arena;
cot_status cot_arena_create(cot_arena **out, cot_device *device, cot_error *err);
cot_status cot_arena_reserve(cot_arena *arena, cot_buffer **piece, size_t floats, cot_error *err); /* borrowed piece */
cot_status cot_arena_commit(cot_arena *arena, cot_error *err);
size_t cot_arena_floats(const cot_arena *arena); /* reserved so far, with the gaps that alignment leaves (zeros) */
cot_status cot_arena_whole(cot_buffer **whole, cot_arena *arena, cot_error *err); /* all pieces as one, after commit; borrowed */
void cot_arena_destroy(cot_arena *arena);

/* ---- GEMM and convolution ------------------------------------------------------------------ */
typedef enum cot_activation {
    COT_ACT_NONE, COT_ACT_RELU, COT_ACT_TANH,
    COT_ACT_GELU,       /* x * (1 + erf(x / sqrt 2)) / 2, exact (BERT) */
    COT_ACT_QUICK_GELU, /* x * sigmoid(1.702 x) (CLIP) */
    COT_ACT_ELU,        /* x > 0 ? x : exp(x) - 1 (graph attention stack) */
    COT_ACT_SIGMOID
} cot_activation;
/* Weights prepared once at load for the device's implementation (tile: packed column panels, k-major;
 * CLBlast: as they are). */
typedef struct cot_weights cot_weights;
/* w: host [out_features, in_features] (as in torch Linear); bias: host [out_features] or NULL. */
cot_status cot_linear_prepare(cot_weights **out, cot_device *device, const float *w, const float *bias,
                              size_t out_features, size_t in_features, cot_error *err);
/* Several matrices over one input as one, their rows stacked: w [rows, in_features], bias [rows] or NULL. */
typedef struct cot_linear_part { const float *w, *bias; size_t rows; } cot_linear_part;
cot_status cot_linear_prepare_stacked(cot_weights **out, cot_device *device, const cot_linear_part *parts, size_t n,
                                      size_t in_features, cot_error *err);
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
/* Some channels of wider rows, so that layers write side by side: pixel p's are the floats from p * apart + at on. */
typedef struct cot_slice { size_t apart, at; } cot_slice;
/* The same without a residual into y's slice; room [n,out_h,out_w,out_c], NULL where cot_conv_room is 0. */
size_t cot_conv_room(const cot_weights *w, size_t n);
cot_status cot_conv_forward_into(cot_buffer *y, cot_slice to, const cot_buffer *x, const cot_weights *w, size_t n,
                                 cot_activation act, cot_buffer *scratch, cot_buffer *room, cot_error *err);

/* ---- small kernels -------------------------------------------------------------------------- */
cot_status cot_batch_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *scale, const cot_buffer *shift,
                                  size_t rows, size_t channels, cot_activation act, cot_error *err); /* y = act(x*scale+shift) */
cot_status cot_max_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t h, size_t w, size_t c,
                                size_t kernel, size_t stride, size_t pad, cot_error *err);            /* NHWC, -inf padding */
/* Batch norm, activation and average pooling in one pass over some channels of wider rows: y [n, h/window, w/window] = mean over
 * window x window of act(x * scale + shift), x [n,h,w], c channels each; scale NULL: of x itself. A rest at the edge is left out. */
cot_status cot_norm_pool_forward(cot_buffer *y, cot_slice to, const cot_buffer *x, cot_slice from, const cot_buffer *scale,
                                 const cot_buffer *shift, size_t n, size_t h, size_t w, size_t c, size_t window,
                                 cot_activation act, cot_error *err);
cot_status cot_mean_pool_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t pixels, size_t c, cot_error *err); /* [n,c] */
cot_status cot_layer_norm_forward(cot_buffer *y, const cot_buffer *x, const cot_buffer *gamma, const cot_buffer *beta,
                                  size_t rows, size_t width, float eps, cot_activation act, cot_error *err);
cot_status cot_softmax_forward(cot_buffer *y, const cot_buffer *x, size_t rows, size_t classes, cot_error *err);
/* y[i] = a[i] + tanh(b[i]); the student's write-back. y may be a. */
cot_status cot_add_tanh_forward(cot_buffer *y, const cot_buffer *a, const cot_buffer *b, size_t n, cot_error *err);

/* ---- transformers and graphs ------------------------------------------------------------------ */
/* Multi-head scaled dot-product attention: per item and head, softmax(q kT / sqrt(width / heads)) v over the tokens
 * whose mask is not 0. Row r of item i: q at q[(i*queries + r)*q_stride + q_at], k and v likewise with `tokens` rows.
 * A fused projection is q = kv = qkv, strides 3*width, q_at 0, k_at width, v_at 2*width; queries = 1: the class token alone. */
typedef struct cot_attention_shape {
    size_t items, tokens, queries, heads, width; /* heads divides width */
    size_t q_stride, q_at, kv_stride, k_at, v_at;
} cot_attention_shape;
/* y [items*queries, width]; mask [items, tokens] of 0 and 1, or NULL; where all are masked, all weigh the same */
cot_status cot_attention_forward(cot_buffer *y, const cot_buffer *q, const cot_buffer *kv, const cot_buffer *mask,
                                 const cot_attention_shape *shape, cot_error *err);
/* x [n, channels, size, size] -> y [n * (size/patch)^2, channels*patch*patch], as a convolution with stride = kernel reads it */
cot_status cot_patches_forward(cot_buffer *y, const cot_buffer *x, size_t n, size_t channels, size_t size, size_t patch, cot_error *err);
/* y [items, 1 + patches, width] = (cls | patch rows) + position [1 + patches, width] */
cot_status cot_tokens_forward(cot_buffer *y, const cot_buffer *patches, const cot_buffer *cls, const cot_buffer *position,
                              size_t items, size_t n_patches, size_t width, cot_error *err);
/* y [items, width] = row `at` of each item of x [items, rows, width] */
cot_status cot_row_forward(cot_buffer *y, const cot_buffer *x, size_t items, size_t rows, size_t at, size_t width, cot_error *err);
/* row `at` of each item of y [items, rows, width] = x [items, width] */
cot_status cot_row_write(cot_buffer *y, const cot_buffer *x, size_t items, size_t rows, size_t at, size_t width, cot_error *err);
/* y [rows, a_width + b_width] = a | b */
cot_status cot_concat_forward(cot_buffer *y, const cot_buffer *a, size_t a_width, const cot_buffer *b, size_t b_width, size_t rows, cot_error *err);
/* Graph attention over a complete graph (eqs. 9-11): z [items, nodes, heads*out] = W h; score_ij = leaky_relu(a_src.z_i + a_dst.z_j, 0.2),
 * alpha = softmax over j, y_i = sum_j alpha_ij z_j + bias (+ residual like y, NULL: none); a_src, a_dst [heads, out], bias [heads*out] */
cot_status cot_graph_attention_forward(cot_buffer *y, const cot_buffer *z, const cot_buffer *a_src, const cot_buffer *a_dst, const cot_buffer *bias,
                                       const cot_buffer *residual, size_t items, size_t nodes, size_t heads, size_t out, cot_error *err);
/* GRU cell's gates (torch.nn.GRUCell): gi = W_ih x + b_ih, gh = W_hh h + b_hh, both [n, 3*dim] as r|z|n; y [n,dim] new state; y may be h */
cot_status cot_gru_forward(cot_buffer *y, const cot_buffer *gi, const cot_buffer *gh, const cot_buffer *h, size_t n, size_t dim, cot_error *err);

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
