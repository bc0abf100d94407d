/* Models: packages on disk, the student on a device, its answers as a cot_chain.
 * Knows nothing of DICOM or XML; takes floats, sizes and the step schema.
 * Threads: a cot_model belongs to its device's thread; package functions: any thread.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_ENGINE_H
#define COT_ENGINE_H
#include "config/base.h"
#include "config/chain.h"
#include "config/steps.h"
#include "opencl/opencl.h"

/* ---- packages: one folder, model.json + weights.safetensors ------------------------------------ */
typedef struct cot_package cot_package; /* mmapped, checked: every tensor named, shaped, in bounds */
/* dir NULL or "default": the package embedded in the program. Missing file, missing/extra/misshapen tensor,
 * schema with other numbers of steps or options: COT_E_MODEL naming it and what to do. */
cot_status cot_package_open(cot_package **out, const char *dir, const cot_steps *steps, cot_error *err);
void cot_package_close(cot_package *package);
/* Which of a package's models read: the student, its teacher, or the student with the teacher as second reader. All share
 * the image encoder, which runs once. */
typedef enum cot_readers { COT_READ_STUDENT, COT_READ_TEACHER, COT_READ_BOTH, COT_READERS } cot_readers;
const char *cot_readers_name(cot_readers readers);             /* "student", "teacher", "both" */
bool cot_readers_named(cot_readers *out, const char *name);    /* "": student; false: no such word */
/* COT_E_MODEL, saying what to do, when the package lacks the teacher. */
cot_status cot_package_offers(const cot_package *package, cot_readers readers, cot_error *err);
/* Name, version, digest, notice, training (device empty) of the reader whose answers are the chain: the teacher only where it
 * reads alone. cot_package_reader: the student. */
const cot_reader *cot_package_reader(const cot_package *package);
const cot_reader *cot_package_reader_of(const cot_package *package, cot_readers readers);
/* For people: architecture, preprocessing, supervised steps, metrics, tensors (names, shapes, bytes). */
cot_status cot_package_print(const cot_package *package, FILE *stream, bool tensors, cot_error *err);

typedef struct cot_import_options {
    const char *source;   /* folder with weights.safetensors and summary.json */
    const char *out;      /* package folder to make (must not exist) */
    const char *clip;     /* folder of a CLIP checkpoint (config.json, model.safetensors) for the encoder; NULL: the encoder is
                             in source: a ResNet-18 or DenseNet under torchvision's names, or CLIP under any of its names */
    const char *encoder;  /* file, or folder with model.safetensors or weights.safetensors, of a ResNet-18 or DenseNet under
                             torchvision's names for the encoder, whatever stands before them; NULL: as above */
    bool store_half;      /* write matrices and convolutions as F16 */
    const char *name, *version; /* NULL: from the source */
    const char *training; /* sentence(s) on how it was trained; NULL: made from summary.json */
    bool keep_extra;      /* copy tensors of other heads (e.g. findings.) along; left out otherwise. Either way model.json
                             names them as ignored. What is under cnn., student. or among CLIP's and does not fit is refused. */
    const char *notice;      /* NULL: "notice" of summary.json, else a general demonstration notice */
    const char *attribution; /* origin and terms of the training data; NULL: "attribution" of summary.json, else "not stated" */
    const char *teacher;  /* file of the teacher's state dict under the published names, or a folder with teacher.safetensors or
                             weights.safetensors; NULL: in source if it has one. Encoder and BERT may be in the file too */
    const char *bert;     /* folder of the BERT that reads the steps' questions: config.json, vocab.txt and model.safetensors, or
                             no model.safetensors where the teacher's file has it under text_encoder. NULL: the prompts in the
                             teacher's file, else fixed random unit vectors */
    cot_device *device;   /* runs the BERT; may be NULL without bert */
} cot_import_options;
cot_status cot_package_import(const cot_import_options *options, const cot_steps *steps, cot_error *err);

/* ---- a model on a device ----------------------------------------------------------------------- */
typedef struct cot_model cot_model;
/* max_batch: the plan (arena) is made once for it; smaller batches use the same plan. Borrows package, device, steps. */
cot_status cot_model_create(cot_model **out, cot_device *device, const cot_package *package, const cot_steps *steps,
                            size_t max_batch, cot_error *err);
/* The same for other readers than the student. */
cot_status cot_model_create_for(cot_model **out, cot_device *device, const cot_package *package, const cot_steps *steps,
                                cot_readers readers, size_t max_batch, cot_error *err);
void cot_model_destroy(cot_model *model);

/* Whether the image's left is the patient's right. Assumed: nothing says so, and words about places say that. Other: no words. */
typedef enum cot_orientation { COT_ORIENTATION_ASSUMED, COT_ORIENTATION_STANDARD, COT_ORIENTATION_OTHER } cot_orientation;
typedef struct cot_picture {
    const float *grey; /* 0 black … 1 white, row-major */
    size_t rows, cols;
    cot_orientation orientation;
} cot_picture;
/* Whether cot_model_read also says what each answer rests on: regions, places and influences (chain.h). Off at first; the first
 * time it is turned on takes memory, for an image tower also on the device. keep_maps: the relevance maps stay in the chains.
 * Explained is the reader whose answers are the chain, student or teacher; of a second reader nothing is computed. */
cot_status cot_model_explain(cot_model *model, bool on, bool keep_maps, cot_error *err);
/* n <= max_batch pictures -> n chains (caller destroys each). Rationale and summary are filled in. */
cot_status cot_model_read(cot_model *model, cot_chain **out, const cot_picture *pictures, size_t n, cot_error *err);

/* Raw logits of the reader whose answers are the chain, for an already normalised input [n,size,size,1]; logits
 * [n, sum of options], steps side by side. */
cot_status cot_model_logits(cot_model *model, float *logits, const float *input, size_t n, cot_error *err);
size_t cot_model_input_size(const cot_model *model);
size_t cot_model_logit_count(const cot_model *model);

/* Times of the last cot_model_read in milliseconds, device finished after each stage (only when timing is on). */
typedef struct cot_model_times { double preprocess, encoder, heads, evidence; } cot_model_times;
void cot_model_timing(cot_model *model, bool on);
cot_model_times cot_model_times_read(const cot_model *model);

/* One JSON line per convolution/GEMM of the model at batch n: shape, ms, GF/s, share of peak_gflops. */
cot_status cot_model_bench_layers(cot_model *model, size_t n, double peak_gflops, FILE *stream, cot_error *err);

/* ---- golden folders: does this device compute what the oracle computed? -------------------------- */
/* expected.json (sizes, any), clip/bert/teacher/student.safetensors, expected.safetensors (inputs and outputs). */
typedef struct cot_golden cot_golden;
enum { COT_GOLDEN_OUTPUTS = 4 };
#define COT_GOLDEN_BOUND 1e-4
typedef struct cot_golden_output {
    char name[24];  /* image_features, prompt_features, teacher_logits, student_logits */
    size_t values;  /* compared */
    double error;   /* of the worst tensor: largest |got - expected| over its largest |expected|; INFINITY: not a number */
    char worst[64]; /* that tensor */
} cot_golden_output;
/* dir NULL: the tiny one in the program. Damaged, missing, of impossible sizes: COT_E_MODEL naming file and what is wrong. */
cot_status cot_golden_open(cot_golden **out, const char *dir, cot_error *err);
void cot_golden_close(cot_golden *golden);
void cot_golden_describe(const cot_golden *golden, char *text, size_t size); /* its sizes, one line */
/* From pixels and tokens to both models' logits. */
cot_status cot_golden_run(cot_golden_output outputs[COT_GOLDEN_OUTPUTS], const cot_golden *golden, cot_device *device, cot_error *err);
/* Self-test: the golden folder in the program, and small convolutions, within COT_GOLDEN_BOUND; COT_E_DEVICE names a device that computes wrongly. */
cot_status cot_device_check(cot_device *device, cot_error *err);
#endif
