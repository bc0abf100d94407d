/* Learning rates, early stopping and the order of images (schedule.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

#include <math.h>
#include <stdlib.h>

static const double pi = 3.14159265358979323846;

/* ---- rates ---- */
void schedule_init(schedule *s, const cot_training_stage *stage, uint64_t steps)
{
    *s = (schedule){*stage, steps ? steps : 1, {1, -INFINITY, 0, 0, 0}};
}

/* Half a cosine from `from` to `to`; share 0 to 1. */
static double anneal(double from, double to, double share)
{
    return to + (from - to) / 2 * (cos(pi * fmin(share, 1)) + 1);
}

/* torch.optim.lr_scheduler.OneCycleLR with its default div_factor and final_div_factor: the peak is step warmup*steps - 1. */
static double one_cycle(const schedule *s, double lr, double step)
{
    const double first = lr / 25, last = first / 1e4, end = (double)s->steps - 1;
    const double peak = fmax(s->stage.warmup * (double)s->steps - 1, 0);
    if (step <= peak && peak > 0) return anneal(first, lr, step / peak);
    return end > peak ? anneal(lr, last, (step - peak) / (end - peak)) : lr;
}

static double cosine(const schedule *s, double lr, double step)
{
    const double up = s->stage.warmup * (double)s->steps;
    if (step < up) return lr * (step + 1) / (up + 1);
    return anneal(lr, 0, (step - up) / ((double)s->steps - up));
}

double schedule_rate(const schedule *s, double lr, uint64_t step)
{
    switch (s->stage.schedule) {
    case COT_SCHEDULE_ONE_CYCLE: return one_cycle(s, lr, (double)step);
    case COT_SCHEDULE_COSINE: return cosine(s, lr, (double)step);
    case COT_SCHEDULE_PLATEAU: return fmin(lr, fmax(lr * s->state.scale, s->stage.min_lr));
    case COT_SCHEDULE_CONSTANT: break;
    }
    return lr;
}

bool schedule_tell(schedule *s, double measure)
{
    schedule_state *now = &s->state;
    const bool better = measure > now->best;
    now->epochs++;
    if (better) {
        now->best = measure;
        now->best_epoch = now->epochs;
        now->waited = 0;
    } else if (++now->waited >= s->stage.patience && s->stage.schedule == COT_SCHEDULE_PLATEAU) {
        now->scale *= s->stage.factor;
        now->waited = 0;
    }
    return better;
}

bool schedule_stops(const schedule *s)
{
    return s->stage.stop && s->state.epochs - s->state.best_epoch >= s->stage.stop;
}

/* ---- order ---- */
/* SplitMix64 of a counter: every number is found from (seed, epoch, i) by itself. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double order_uniform(uint64_t seed, uint64_t epoch, uint64_t i)
{
    return (double)(mix(mix(mix(seed) + epoch) + i) >> 11) * 0x1p-53;
}

void order_shuffle(size_t *order, size_t n, uint64_t seed, uint64_t epoch)
{
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i > 1; i--) { /* Fisher and Yates */
        const size_t k = (size_t)(order_uniform(seed, epoch, i) * (double)i), last = order[i - 1];
        order[i - 1] = order[k];
        order[k] = last;
    }
}

bool order_draw(size_t *order, size_t n, const double *weight, uint64_t seed, uint64_t epoch)
{
    double sum = 0, *upto = malloc((n ? n : 1) * sizeof *upto);
    if (!upto) return false;
    for (size_t i = 0; i < n; i++) upto[i] = sum += weight[i];
    for (size_t i = 0; i < n; i++) {
        const double at = order_uniform(seed, epoch, i) * sum;
        size_t low = 0, high = n - 1;
        while (low < high) { /* the first whose sum is above */
            const size_t middle = (low + high) / 2;
            if (upto[middle] > at)
                high = middle;
            else
                low = middle + 1;
        }
        order[i] = low;
    }
    free(upto);
    return true;
}

size_t batch_count(size_t n, size_t most)
{
    return (n + most - 1) / most;
}

size_t batch_begin(size_t n, size_t count, size_t i)
{
    const size_t each = n / count, longer = n % count; /* the first `longer` batches have one image more */
    return i * each + (i < longer ? i : longer);
}
