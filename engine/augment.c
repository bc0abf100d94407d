/* What augmentation draws: SplitMix64 of a counter, so that nothing but seed, epoch, image and the place of the draw counts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/augment.h"

#include <math.h>

enum { DRAW_ANGLE, DRAW_SCALE, DRAW_DOWN, DRAW_ACROSS, DRAW_BRIGHTNESS, DRAW_CONTRAST, DRAW_MIRROR };

/* Steele, Lea and Flood's finaliser (2014). */
static uint64_t mixed(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* Uniform in [-1, 1). */
static double drawn(uint64_t seed, uint64_t epoch, uint64_t image, uint64_t which)
{
    const uint64_t r = mixed(mixed(mixed(mixed(seed) ^ epoch) ^ image) ^ which);
    return (double)(r >> 11) * 0x1p-52 - 1.0;
}

cot_augmentation augment_draw(const augment_options *options, size_t size, uint64_t seed, uint64_t epoch,
                              uint64_t image)
{
    const double pi = 3.14159265358979323846;
    const double angle = drawn(seed, epoch, image, DRAW_ANGLE) * (double)options->rotate_deg * pi / 180.0;
    /* as often so much larger as so much smaller */
    const double zoom = exp(drawn(seed, epoch, image, DRAW_SCALE) * log1p((double)options->scale));
    const double reach = (double)options->shift * (double)size;
    const double side = options->mirror && drawn(seed, epoch, image, DRAW_MIRROR) < 0 ? -1.0 : 1.0;
    const double c = cos(angle) / zoom, s = sin(angle) / zoom;
    cot_augmentation a;
    a.down[0] = (float)c;
    a.down[1] = (float)s;
    a.down[2] = (float)(drawn(seed, epoch, image, DRAW_DOWN) * reach);
    a.across[0] = (float)(-s * side);
    a.across[1] = (float)(c * side);
    a.across[2] = (float)(drawn(seed, epoch, image, DRAW_ACROSS) * reach);
    a.gain = (float)(1.0 + drawn(seed, epoch, image, DRAW_CONTRAST) * (double)options->contrast);
    a.offset = (float)(drawn(seed, epoch, image, DRAW_BRIGHTNESS) * (double)options->brightness);
    return a;
}
