/* Inside of the table of parameters: parameters.c keeps it, parameters_file.c writes and reads it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_ENGINE_PARAMETERS_INTERNAL_H
#define COT_ENGINE_PARAMETERS_INTERNAL_H
#include "engine/parameters.h"

enum { PARAMETER_ARENAS = 4 }; /* values, gradients, first and second moments */

struct parameters {
    cot_device *device;
    parameter **item; /* each stays where it is while the table grows */
    size_t n, room;
    cot_arena *arena[PARAMETER_ARENAS];
    cot_buffer *whole[PARAMETER_ARENAS]; /* all of each arena */
    size_t end[2];                       /* floats up to the end of the decaying, of all trained */
    cot_buffer *norm;                    /* norm | factor that clips, of the last step */
    uint64_t steps;
};

bool parameter_under(const parameter *q, const char *under);
/* Between torch's order on the host and the device's: writes `from` when it is there, else reads into `to`. */
cot_status parameter_move(float *to, cot_buffer *device, const parameter *q, const float *from, cot_error *err);
#endif
