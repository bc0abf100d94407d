/* The hyper-parameters of `stepcot train`: plain data, read from training.xml and the command line by cot_training_load.
 * The numbers of the paper (arXiv 2603.13878, appendix D) and where ours stand beside them: training.xml.
 * Threads: read-only after load, any thread.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_TRAINING_H
#define COT_TRAINING_H
#include "config/base.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum cot_stage { COT_STAGE_ENCODER, COT_STAGE_TEACHER, COT_STAGE_DISTILL, COT_STAGES } cot_stage;
typedef enum cot_schedule_kind { COT_SCHEDULE_CONSTANT, COT_SCHEDULE_PLATEAU, COT_SCHEDULE_ONE_CYCLE, COT_SCHEDULE_COSINE } cot_schedule_kind;

typedef struct cot_training_stage {
    unsigned epochs, batch;
    double lr;             /* encoder and teacher: theirs; distill: the student's */
    double teacher_lr;     /* distill only */
    double weight_decay;
    double beta1, beta2, eps; /* AdamW, encoder only; else torch's own */
    double clip;           /* gradient norm; 0: not clipped */
    bool no_dropout;       /* else the published rates */
    cot_schedule_kind schedule;
    double warmup;         /* one-cycle and cosine: share of the steps on the way up */
    double factor, min_lr; /* plateau: lr *= factor, never below min_lr */
    unsigned patience;     /* plateau: epochs without a better validation before that */
    unsigned stop;         /* early stopping: epochs without a better validation; 0: never */
    double label_smoothing;
    bool class_weights;    /* by inverse frequency in the training split, mean 1 over its images */
    bool weighted;         /* images drawn by inverse frequency of their last labelled step instead of shuffled */
    double places;         /* encoder only: share of the loss that the boxes' places have; 0: they are not looked at */
    double kd, ch, temperature; /* distill only: weights of the terms, softening */
    bool align_published;       /* distill only: the projected feature detached, as the published code has it */
    unsigned projection;        /* distill only: width of the space in which features are compared */
} cot_training_stage;

typedef struct cot_training {
    uint64_t seed;
    bool best_auc;         /* the best model is that of the best mean AUC, not accuracy, over validation steps */
    bool refit;            /* learn the validation images as well, keep the last epoch: of a recipe chosen without them */
    bool weights_f32;      /* the package's type; else F16 */
    unsigned keep;         /* checkpoints kept besides the newest */
    unsigned min_labels;   /* a step with fewer labelled training images is not taught: not available in readings */
    unsigned size, width, dim; /* of a new model: input side, channels of ResNet-18's first stage, student's feature */
    unsigned teacher_dim, teacher_heads, teacher_layers; /* of a new teacher */
    bool bilinear;         /* input filter; else bicubic */
    bool store_float;      /* resized images in memory as floats; else 8 bit */
    double rotate_deg, scale, shift, brightness, contrast; /* augmentation, at most so much either way; encoder only */
    bool mirror;           /* half of the pictures left to right; refused where a step that is taught has sides */
    cot_training_stage stage[COT_STAGES];
} cot_training;

const char *cot_stage_name(cot_stage stage); /* "encoder", … */
const char *cot_schedule_name(cot_schedule_kind kind); /* "constant", "plateau", "one-cycle", "cosine" */

/* A value given on the command line: it wins over the file. `name` is an attribute of <run>, <input>, <augment> or of the
 * stage's element. */
typedef struct cot_training_override { const char *name, *value; } cot_training_override;
/* path NULL: the embedded training.xml. Faults: COT_E_CONFIG, those of overrides naming the option. */
cot_status cot_training_load(cot_training *out, const char *path, cot_stage stage, const cot_training_override *overrides,
                             size_t n_overrides, cot_error *err);
/* Every attribute that an override may name, in the order of the XML; `stage` false: of any stage. NULL ends. */
typedef struct cot_training_name { const char *element, *name; bool in_stage[COT_STAGES]; } cot_training_name;
size_t cot_training_names(cot_training_name *names, size_t room);
/* Effective values as XML, which loads to the same values. */
cot_status cot_training_print(const cot_training *training, FILE *stream, cot_error *err);
/* The annotated default as it stands in config/training.xml (borrowed, static). */
cot_blob cot_training_default_xml(void);

#ifdef __cplusplus
}
#endif
#endif
