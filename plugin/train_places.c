/* The manifest's boxes as they teach places (engine/lesion_train.h): which findings there are, where they lie in each
 * picture, and what is known of the rest of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/train.h"

#include <stdlib.h>
#include <string.h>

enum { FINDINGS_MOST = 64 };
static const double weight_most = 20; /* of a lesion's cell */

/* Findings that training images' boxes name, in order of appearance; 0: too many, left out. */
static int finding_number(train_job *j, const char *finding)
{
    for (size_t i = 0; i < j->n_findings; i++)
        if (!strcmp(j->findings[i], finding)) return (int)i + 1;
    return LESION_NONE;
}

static bool learn_findings(train_job *j)
{
    j->findings = calloc(FINDINGS_MOST, sizeof *j->findings);
    for (size_t i = 0; j->findings && i < j->loop.n_train; i++) {
        const cot_case *c = &j->manifest->cases[j->loop.train[i]];
        for (size_t b = 0; b < c->n_boxes; b++)
            if (finding_number(j, c->boxes[b].finding) == LESION_NONE && j->n_findings < FINDINGS_MOST)
                j->findings[j->n_findings++] = c->boxes[b].finding;
    }
    return j->findings != NULL;
}

/* All labels, also of steps that are not taught, say that nothing is there. One alone does not: of a lesion without boxes it
 * may be the secondary effect that is missing. */
static bool is_empty(const train_job *j, const cot_case *c)
{
    bool said = false;
    for (size_t s = 0; s < j->steps->n_steps; s++) {
        if (c->label[s] < 0) continue;
        if (!j->steps->steps[s].options[c->label[s]].negative) return false;
        said = true;
    }
    return said;
}

/* Nothing lies outside the boxes of an image that has an answer to the last step taught, which is the one finding that
 * there is. */
static bool is_complete(const train_job *j, size_t image)
{
    const cot_case *c = &j->manifest->cases[image];
    size_t last = j->steps->n_steps;
    if (!c->n_boxes) return is_empty(j, c);
    while (last && !j->supervised[last - 1]) last--;
    return last && j->labels[image * j->steps->n_steps + last - 1] >= 0;
}

static lesion_box box_of(const train_job *j, const cot_case *c, const cot_box *b)
{
    const double rows = (double)c->rows, cols = (double)c->cols;
    return (lesion_box){finding_number((train_job *)(uintptr_t)j, b->finding), (float)(b->y / rows),
                        (float)(b->x / cols), (float)((b->y + b->h) / rows), (float)((b->x + b->w) / cols)};
}

/* What a lesion's cell weighs: as much as the cells without one that there are for it, by area. */
static float weight_of(const train_job *j)
{
    double lesion = 0, none = 0;
    for (size_t i = 0; i < j->loop.n_train; i++) {
        const lesion_picture *p = &j->lesions[j->loop.train[i]];
        double area = 0;
        for (size_t b = 0; b < p->n; b++)
            area += (double)(p->boxes[b].bottom - p->boxes[b].top) * (double)(p->boxes[b].right - p->boxes[b].left);
        lesion += area;
        if (p->complete && area < 1) none += 1 - area;
    }
    if (lesion <= 0 || none <= lesion) return 1;
    return (float)(none / lesion < weight_most ? none / lesion : weight_most);
}

cot_status train_places_prepare(train_job *job, cot_error *err)
{
    size_t boxes = 0, at = 0;
    const cot_manifest *m = job->manifest;
    for (size_t i = 0; i < m->n; i++) boxes += m->cases[i].n_boxes;
    job->lesions = calloc(m->n + 1, sizeof *job->lesions);
    job->boxes = calloc(boxes + 1, sizeof *job->boxes);
    if (!job->lesions || !job->boxes || !learn_findings(job))
        return cot_fail(err, COT_E_MEMORY, "training: no memory for %zu boxes", boxes);
    if (!job->n_findings)
        return cot_fail(err, COT_E_INPUT,
                        "%s: no training image has a box, so places of findings cannot be taught. Say --places 0",
                        job->request->manifest);
    for (size_t i = 0; i < m->n; i++) {
        const cot_case *c = &m->cases[i];
        job->lesions[i] = (lesion_picture){job->boxes + at, 0, is_complete(job, i)};
        for (size_t b = 0; b < c->n_boxes; b++) {
            const lesion_box box = box_of(job, c, &c->boxes[b]);
            if (box.finding != LESION_NONE)
                job->boxes[at++] = box, job->lesions[i].n++;
            else
                job->lesions[i].complete = false; /* of a finding that is not taught */
        }
    }
    job->lesion_weight = weight_of(job);
    return COT_OK;
}
