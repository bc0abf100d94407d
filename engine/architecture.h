/* What a package consists of, an image encoder and the student's heads: the one list of convolutions and the one table
 * {name, shape} from which checking, loading, printing and importing follow. Names are those of the published state dicts:
 * torchvision's ResNet-18 or DenseNet under "cnn." or the transformers library's CLIP under "clip.", the paper's student under
 * "student.", its teacher under "teacher.". Plain data; any thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_ARCHITECTURE_H
#define COT_ENGINE_ARCHITECTURE_H
#include "config/base.h"
#include "engine/safetensors.h"
#include "engine/shapes.h"

#define CNN_PREFIX         "cnn."
#define CLIP_PREFIX        "clip."
#define STUDENT_PREFIX     "student."
#define STUDENT_PROJECTION "student.img_proj"
#define STUDENT_HEADS      "student.step_heads"
#define TEACHER_PREFIX     "teacher."
#define PROMPTS_NAME       "prompts" /* [n_steps,teacher.dim] one vector per step; see prompts.h */

typedef enum encoder_kind { ENCODER_RESNET18, ENCODER_CLIP, ENCODER_DENSENET, ENCODERS } encoder_kind;
enum { TEACHER_DIM_MAX = 8192 };
typedef struct teacher_arch {
    size_t dim, heads, layers; /* of feature, graph attention, graph */
} teacher_arch;
typedef struct architecture {
    encoder_kind encoder;
    size_t width;    /* ResNet-18: channels of the first stage; later ones double it */
    clip_shape clip; /* CLIP */
    densenet_shape densenet;
    size_t dim;           /* of the student's feature */
    teacher_arch teacher; /* dim 0: the package has none */
    size_t n_steps;
    size_t *classes; /* [n_steps] */
} architecture;

/* conv1; then per stage two blocks of two 3x3 convolutions, the first block of stages 2-4 with a 1x1 downsample. */
enum { STEM_CHANNELS = 3 }; /* of the stored stem weight; see convnorm.c */
enum { RESNET18_STAGES = 4, RESNET18_BLOCKS = 2 * RESNET18_STAGES, RESNET18_CONVS = 1 + 2 * RESNET18_BLOCKS + 3 };
typedef struct conv_spec {
    char conv[96], norm[96]; /* tensor name prefixes: "cnn.layer1.0.conv1", "cnn.layer1.0.bn1"; norm "": none */
    size_t in_c, out_c, kernel, stride, pad;
} conv_spec;
void resnet18_convs(conv_spec out[RESNET18_CONVS], size_t width); /* in state-dict order */
size_t resnet18_features(size_t width);                           /* of the pooled output */

/* ---- DenseNet (architecture_densenet.c) ---- */
enum { BATCH_NORM_PARTS = 4 };
extern const char *const batch_norm_parts[BATCH_NORM_PARTS]; /* "weight", "bias", "running_mean", "running_var" */
/* Writes all tensors, in state-dict order, and says how many; `out` NULL: only says so. */
size_t densenet_tensors(tensor_spec *out, const densenet_shape *shape);
size_t densenet_channels(const densenet_shape *shape, size_t block); /* that block `block` begins with */
size_t densenet_features(const densenet_shape *shape);

const char *architecture_kind(encoder_kind encoder);    /* "resnet18-student", "clip-student", "densenet121-student" */
size_t architecture_features(const architecture *arch); /* of the encoder, for one image */
size_t architecture_encoder_tensors(const architecture *arch); /* how many; the encoder's come first */
/* Every tensor of the architecture, in state-dict order. Caller frees *out. */
cot_status architecture_tensors(tensor_spec **out, size_t *n, const architecture *arch, cot_error *err);

/* ---- architecture_teacher.c ---- */
size_t teacher_tensor_count(const architecture *arch); /* 0 without a teacher; with one, prompts included */
tensor_spec *teacher_tensors(tensor_spec *at, const architecture *arch); /* the end of what was written */
/* Sizes of the teacher whose tensors lie under `prefix`, found in the tensors; further checks are the table's. */
cot_status teacher_arch_find(teacher_arch *out, const safetensors *file, const char *where, const char *prefix,
                             cot_error *err);
#endif
