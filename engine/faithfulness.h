/* Whether the evidence of a model's answers is what the model goes by, measured on labelled images:
 *   deletion   how much the probability of the answer as given falls without the pixels of its regions, beside the same
 *              shapes elsewhere (deletion.h), of answers that have a region; and the same of the boxes that a person drew:
 *              where these do not matter to the model, no honest map can point at them;
 *   pointing   whether map and region lie in the boxes of that image (pointing.h), of answers that say that something is there;
 *   influences each recomputed by the plain chain on the device with that step's write-back left out: another program than the
 *              host's doubles that readings use, sharing nothing with it but the weights.
 * Threads: the model's device's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_FAITHFULNESS_H
#define COT_ENGINE_FAITHFULNESS_H
#include "engine/bootstrap.h"
#include "engine/deletion.h"
#include "engine/engine.h"
#include "engine/pointing.h"

#define FAITH_INFLUENCE_BOUND                                                                                          \
    1e-4 /* of the difference of an influence and its re-run, both probabilities: above is an error */

typedef struct faith_drop { /* one answer, and regions or boxes that were taken away */
    size_t image, step, patient, answer;
    double share;               /* of the image's pixels that the regions hold */
    double before, region;      /* probability of the answer as given; without its regions */
    double elsewhere, mirrored; /* mean without the copies, without the other side; NaN: there was no such place */
    size_t copies;
} faith_drop;
typedef struct faith_drops {
    faith_drop *rows;
    size_t n, room;
} faith_drops;

typedef struct faith_point { /* one answer to an image with boxes */
    size_t image, step, patient;
    bool peak, centroid; /* hits; a map or region that is not there misses */
    bool fixed;          /* the place in most boxes of the training images hits */
    double chance;
} faith_point;

typedef struct faith_influences {
    size_t n; /* compared */
    double
        worst; /* largest difference; infinite where one is missing, there twice, or of a step that was not answered */
    size_t image, step, from; /* where that is */
} faith_influences;

typedef struct faith_options {
    deletion_fill fill;
    size_t copies; /* elsewhere, of each answer */
    uint64_t seed;
    pointing_place fixed;
} faith_options;

typedef struct faith faith; /* at work on one model */
typedef struct faith_found {
    faith_drops regions; /* answers that have regions */
    faith_drops boxes;   /* answers that say that something is there, to images with boxes */
    faith_point *points;
    size_t n_points, room_points;
    size_t answers; /* given by the steps that the model answers, those without regions too */
    size_t silent;  /* that say that nothing is there, in images with boxes */
    faith_influences influences;
} faith_found;
void faith_found_fini(faith_found *found);

/* The model must have been created for max_batch images; turns its evidence on, and off in the end. */
cot_status faith_open(faith **out, cot_model *model, size_t max_batch, const faith_options *options, cot_error *err);
void faith_close(faith *f);
/* Adds what is found of n <= max_batch images to `found`: pictures [n,size,size] in 0 … 1 as the model's input has them,
 * not normalised; images [n] their cases, the first of which is number `first`; patients [n] theirs. */
cot_status faith_measure(faith_found *found, faith *f, const float *pictures, const cot_case *images,
                         const size_t *patients, size_t first, size_t n, cot_error *err);
/* Its second half: deletion and pointing of chains that say where their answers come from, in pixels of the pictures. Tests
 * give others than the model's own. */
cot_status faith_judge(faith_found *found, faith *f, cot_chain *const *chains, const float *pictures,
                       const cot_case *images, const size_t *patients, size_t first, size_t n, cot_error *err);
/* Of one chain, what the influences of its answers differ from logits [n_steps] of its image, without[t] those of the
 * chain in which step t writes nothing back (NULL where t was not answered), whole being those of the chain as it is. */
void faith_compare(faith_influences *to, const cot_chain *chain, const float *whole, const float *const *without,
                   const float *temperature, size_t image);

/* ---- intervals over patients ---- */
typedef enum faith_drop_measure {
    FAITH_REGION,     /* mean fall of the probability without the regions (or boxes), */
    FAITH_ELSEWHERE,  /* without the copies, */
    FAITH_RATIO,      /* of the two, */
    FAITH_DIFFERENCE, /* first minus second; */
    FAITH_MORE,       /* share of answers whose regions matter more than the copies do on average */
    FAITH_MIRRORED,   /* mean fall without the mirrored place, and of the same answers */
    FAITH_BESIDE,     /* the regions' minus that */
    FAITH_DROP_MEASURES
} faith_drop_measure;
typedef enum faith_point_measure {
    FAITH_PEAK, /* rates of hits */
    FAITH_CENTROID,
    FAITH_CHANCE,
    FAITH_FIXED,
    FAITH_PEAK_MORE,     /* peak minus chance */
    FAITH_CENTROID_MORE, /* centroid minus chance */
    FAITH_PEAK_FIXED,    /* peak minus fixed */
    FAITH_POINT_MEASURES
} faith_point_measure;
enum { FAITH_ALL_STEPS = 1 << 16 };
typedef struct faith_draws {
    size_t patients, draws;
    uint64_t seed;
} faith_draws;
/* Of one step, or FAITH_ALL_STEPS; *n answers counted, of which *n_mirrored have a mirrored place (may be NULL). */
cot_status faith_drop_scores(score_interval out[FAITH_DROP_MEASURES], size_t *n, size_t *n_mirrored,
                             const faith_drops *drops, size_t step, const faith_draws *draws, cot_error *err);
cot_status faith_point_scores(score_interval out[FAITH_POINT_MEASURES], size_t *n, const faith_found *found,
                              size_t step, const faith_draws *draws, cot_error *err);
#endif
