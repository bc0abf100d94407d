/* The choice between the tile kernel and CLBlast, and the device's measured peak. The choice is measured once per
 * device on one product of the encoder's size, and remembered in the program cache. One thread per device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "opencl/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_ROWS = 784, PROBE_OUT = 128, PROBE_IN = 1152, PROBE_RUNS = 5 };

/* Best seconds of one product with `choice`; INFINITY when it does not work on this device. */
static double probe(cot_device *device, cot_gemm_choice choice)
{
    cot_buffer *x = NULL, *y = NULL;
    cot_weights *weights = NULL;
    double best = INFINITY;
    cot_status status = COT_OK;
    float *w = calloc((size_t)PROBE_OUT * PROBE_IN, sizeof *w);
    if (!w) return best;
    device->gemm = choice;
    COT_TRY(cot_linear_prepare(&weights, device, w, NULL, PROBE_OUT, PROBE_IN, NULL));
    COT_TRY(cot_buffer_create(&x, device, (size_t)PROBE_ROWS * PROBE_IN, NULL));
    COT_TRY(cot_buffer_create(&y, device, (size_t)PROBE_ROWS * PROBE_OUT, NULL));
    for (int i = 0; i <= PROBE_RUNS; i++) {
        COT_TRY(cot_device_finish(device, NULL));
        const double start = seconds_now();
        COT_TRY(cot_linear_forward(y, x, weights, PROBE_ROWS, NULL, COT_ACT_NONE, NULL));
        COT_TRY(cot_device_finish(device, NULL));
        if (i > 0) best = fmin(best, seconds_now() - start);
    }
done:
    cot_buffer_destroy(x);
    cot_buffer_destroy(y);
    cot_weights_destroy(weights);
    free(w);
    return status == COT_OK ? best : INFINITY;
}

static bool remembered(cot_device *device, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    if (cot_file_read(&text, &size, path, 4096, NULL) != COT_OK) return false;
    const bool tile = strncmp(text, "tile ", 5) == 0, blast = strncmp(text, "clblast ", 8) == 0;
    if (tile) device->gemm = COT_GEMM_TILE;
    if (blast) device->gemm = COT_GEMM_CLBLAST;
    free(text);
    return tile || blast;
}

cot_status gemm_choose(cot_device *device, cot_error *err)
{
    static const char key[] = "gemm-choice-1";
    char path[1200], line[128];
    const bool cached = cache_path(device, key, sizeof key, "gemm", path, sizeof path);
    if (cached && remembered(device, path)) return COT_OK;
    /* Without a cache a CPU would compile CLBlast's kernels at every start to learn what is known: it loses there. */
    if (!cached && device->info.type == COT_DEVICE_CPU) {
        device->gemm = COT_GEMM_TILE;
        return COT_OK;
    }
    const double tile = probe(device, COT_GEMM_TILE), blast = probe(device, COT_GEMM_CLBLAST);
    if (isinf(tile) && isinf(blast))
        return cot_fail(err, COT_E_DEVICE, "%s: neither the tile kernel nor CLBlast runs; choose another device",
                        device->info.name);
    device->gemm = blast < tile ? COT_GEMM_CLBLAST : COT_GEMM_TILE;
    const char *name = blast < tile ? "clblast" : "tile";
    cot_log(COT_INFO, "opencl.gemm", NULL, "choice=%s tile_ms=%.3f clblast_ms=%.3f", name, tile * 1e3, blast * 1e3);
    const int n = snprintf(line, sizeof line, "%s tile_ms=%.3f clblast_ms=%.3f\n", name, tile * 1e3, blast * 1e3);
    cot_buffer_destroy(device->work);
    device->work = NULL;
    if (cached && cot_file_write_durable(path, line, (size_t)n, NULL) != COT_OK)
        cot_log(COT_WARN, "opencl.cache", NULL, "state=unwritable file=%s", path);
    return COT_OK;
}

/* ---- peak ---- */
/* Seconds of one launch with `steps` along each chain. */
static cot_status peak_once(cot_device *device, cot_buffer *out, size_t items, cl_int steps, double *seconds,
                            cot_error *err)
{
    cot_status status = COT_OK;
    const kernel_arg args[] = {ARG_BUFFER(out), ARG_VALUE(steps)};
    COT_TRY(cot_device_finish(device, err));
    const double start = seconds_now();
    COT_TRY(KERNEL_LAUNCH(device, KERNEL_PEAK, args, items, 1, err));
    COT_TRY(cot_device_finish(device, err));
    *seconds = seconds_now() - start;
done:
    return status;
}

cot_status cot_device_peak(cot_device *device, double seconds, double *gflops, cot_error *err)
{
    enum { CHAINS = 12 }; /* as in peak.cl */
    cot_status status = COT_OK;
    cot_buffer *out = NULL;
    const size_t per_unit = device->info.type == COT_DEVICE_CPU ? kernel_wish(device) : 2048;
    const size_t items = device->info.compute_units * per_unit;
    double took = 0, best = 0;
    cl_int steps = 1000;
    *gflops = 0;
    COT_TRY(cot_buffer_create(&out, device, items * device->tile.vector, err));
    do { /* until a launch is long enough that its overhead does not count */
        COT_TRY(peak_once(device, out, items, steps, &took, err));
        if (took < 0.01) steps *= 4;
    } while (took < 0.01 && steps < (1 << 26));
    const double end = seconds_now() + seconds;
    do {
        COT_TRY(peak_once(device, out, items, steps, &took, err));
        best = fmax(best, 2.0 * CHAINS * device->tile.vector * (double)steps * (double)items / took * 1e-9);
    } while (seconds_now() < end);
    *gflops = best;
done:
    cot_buffer_destroy(out);
    return status;
}
