/* What the manifest's labels teach (train.h): which steps, which images, how they are weighted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <stdlib.h>

static int label_of(const train_job *j, size_t image, size_t step)
{
    return j->labels[image * j->steps->n_steps + step];
}

/* A step is taught when enough training images have a label for it, of at least two kinds, and validation can tell. */
static void choose_steps(train_job *j)
{
    const size_t steps = j->steps->n_steps;
    for (size_t s = 0; s < steps; s++) {
        size_t labelled = 0, kinds = 0, validated = 0;
        for (size_t o = 0; o < j->steps->steps[s].n_options; o++) {
            const size_t n = cot_manifest_count(j->manifest, COT_TRAIN, s, (int)o);
            labelled += n;
            kinds += n > 0;
            validated += cot_manifest_count(j->manifest, COT_VALIDATION, s, (int)o);
        }
        j->supervised[s] = kinds >= 2 && labelled >= j->request->training.min_labels && validated > 0;
    }
    for (size_t i = 0; i < j->manifest->n; i++)
        for (size_t s = 0; s < steps; s++)
            j->labels[i * steps + s] = j->supervised[s] ? j->manifest->cases[i].label[s] : COT_MASKED;
}

/* A mirrored picture would answer with the other side. */
static cot_status refuse_mirror(const train_job *j, cot_error *err)
{
    for (size_t s = 0; s < j->steps->n_steps; s++)
        for (size_t o = 0; j->supervised[s] && o < j->steps->steps[s].n_options; o++)
            if (j->steps->steps[s].options[o].laterality.value[0])
                return cot_fail(err, COT_E_CONFIG,
                                "training: mirror is yes, but step %s is taught and its answer \"%s\" has a side. Say "
                                "--mirror no, or leave the step out (--min-labels)",
                                j->steps->steps[s].id, j->steps->steps[s].options[o].label);
    return COT_OK;
}

static bool labelled_at_all(const train_job *j, size_t image)
{
    for (size_t s = 0; s < j->steps->n_steps; s++)
        if (label_of(j, image, s) >= 0) return true;
    return false;
}

static void choose_rows(train_job *j)
{
    train_loop *l = &j->loop;
    size_t n = 0;
    for (size_t i = 0; i < j->manifest->n; i++) {
        const cot_split split = j->manifest->cases[i].split;
        if (split != COT_TRAIN && !(j->request->training.refit && split == COT_VALIDATION)) continue;
        if (labelled_at_all(j, i))
            j->rows[n++] = i;
        else
            j->unlabelled++;
    }
    l->train = j->rows;
    l->n_train = n;
    l->validation = j->rows + n;
    for (size_t i = 0; i < j->manifest->n; i++)
        if (j->manifest->cases[i].split == COT_VALIDATION && labelled_at_all(j, i)) j->rows[n++] = i;
    l->n_validation = n - l->n_train;
}

/* How often option `o` of step `s` is a label among the training rows. */
static size_t count_of(const train_job *j, size_t s, int o)
{
    size_t n = 0;
    for (size_t i = 0; i < j->loop.n_train; i++) n += label_of(j, j->loop.train[i], s) == o;
    return n;
}

/* N / (kinds * n of the option): the mean over the labelled images is 1. An option without images keeps 1. */
static cot_status weigh_classes(train_job *j, cot_error *err)
{
    const size_t steps = j->steps->n_steps;
    j->class_weights = calloc(steps + 1, sizeof *j->class_weights);
    if (!j->class_weights) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    for (size_t s = 0; s < steps; s++) {
        double kinds = 0, labelled = 0;
        float *w = j->class_weights[s] = calloc(j->classes[s] + 1, sizeof *w);
        if (!w) return cot_fail(err, COT_E_MEMORY, "training: no memory");
        for (size_t o = 0; o < j->classes[s]; o++) {
            const size_t n = count_of(j, s, (int)o);
            w[o] = (float)n;
            labelled += (double)n;
            kinds += n > 0;
        }
        for (size_t o = 0; o < j->classes[s]; o++) w[o] = w[o] > 0 ? (float)(labelled / (kinds * (double)w[o])) : 1;
    }
    return COT_OK;
}

/* Of the sampler: by the last step of the chain that the image has a label for. */
static cot_status weigh_rows(train_job *j, cot_error *err)
{
    j->draw = calloc(j->loop.n_train + 1, sizeof *j->draw);
    if (!j->draw) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    for (size_t i = 0; i < j->loop.n_train; i++) {
        size_t s = j->steps->n_steps;
        while (s && label_of(j, j->loop.train[i], s - 1) < 0) s--;
        j->draw[i] = 1.0 / (double)count_of(j, s - 1, label_of(j, j->loop.train[i], s - 1));
    }
    return COT_OK;
}

cot_status train_labels_prepare(train_job *job, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t steps = job->steps->n_steps, n = job->manifest->n;
    const cot_training_stage *stage = &job->request->training.stage[job->request->stage];
    job->classes = calloc(steps + 1, sizeof *job->classes);
    job->supervised = calloc(steps + 1, sizeof *job->supervised);
    job->labels = calloc(n * steps + 1, sizeof *job->labels);
    job->rows = calloc(2 * n + 1, sizeof *job->rows); /* a refit has its validation images twice */
    if (!job->classes || !job->supervised || !job->labels || !job->rows)
        return cot_fail(err, COT_E_MEMORY, "training: no memory for %zu images", n);
    for (size_t s = 0; s < steps; s++) job->classes[s] = job->steps->steps[s].n_options;
    choose_steps(job);
    if (job->request->training.mirror && job->request->stage == COT_STAGE_ENCODER) COT_TRY(refuse_mirror(job, err));
    choose_rows(job);
    if (!job->loop.n_train || !job->loop.n_validation)
        return cot_fail(err, COT_E_INPUT,
                        "%s: no step has %u labelled training images of two kinds, and labelled validation images. "
                        "See: %s data check",
                        job->request->manifest, job->request->training.min_labels, COT_PROGRAM);
    if (stage->class_weights) COT_TRY(weigh_classes(job, err));
    if (stage->weighted) COT_TRY(weigh_rows(job, err));
    job->loop.draw = job->draw;
done:
    return status;
}
