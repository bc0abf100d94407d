/* One check for every layer that has a backward: the twin's gradients against central differences of the twin's forward
 * (double, step 1e-5), the device's gradients against the twin's, added to what was there, with nothing written behind
 * the end; a second time without further memory, and the same bits when only one gradient is wanted. Needs tests/check.h
 * before it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_GRADIENTS_H
#define COT_GRADIENTS_H
#include "tests/check.h"
#include "tests/reference.h"
#include "tests/reference_backward.h"

#define DIFFERENCE_BOUND 1e-6 /* of the largest gradient of that input */
#define GUARD            9    /* floats behind every gradient that must stay */

typedef struct layer {
    const char *name;
    void (*forward)(twin_pass *p), (*backward)(twin_pass *p);
    cot_status (*device)(cot_buffer *const *grad, cot_buffer *dy, cot_buffer *const *in, const twin_pass *p,
                         cot_error *err);
    size_t n_in, n[6], n_y;
    double bound; /* of the device, relative to the largest gradient or 1 */
    bool all;     /* every gradient is always wanted */
    bool shared;  /* in[1] is in[0] */
} layer;

/* The two ways to multiply, opened when first asked for; the last test closes them. */
static cot_device *gradient_devices[2];
static cot_device *gradient_device(cot_gemm_choice choice)
{
    cot_error err = COT_ERROR_INIT;
    cot_device_options options = COT_DEVICE_OPTIONS_INIT;
    cot_device **device = &gradient_devices[choice == COT_GEMM_CLBLAST];
    options.gemm = choice;
    if (!*device) CHECK_OK(cot_device_open(device, &options, &err));
    return *device;
}

static double *doubles(const float *x, size_t n)
{
    double *d = calloc(n + 1, sizeof *d);
    for (size_t i = 0; d && x && i < n; i++) d[i] = (double)x[i];
    return d;
}

static double largest(const double *x, size_t n)
{
    double top = 0.0;
    for (size_t i = 0; i < n; i++) top = fmax(top, fabs(x[i]));
    return top;
}

/* y · dy: the number whose gradient everything is. */
static double loss_of(const layer *l, twin_pass *p)
{
    double sum = 0.0;
    l->forward(p);
    for (size_t i = 0; i < l->n_y; i++) sum += p->y[i] * p->dy[i];
    return sum;
}

/* At most about 300 floats of each input, evenly spread. */
static void check_differences(const layer *l, twin_pass *p)
{
    const double h = 1e-5;
    for (size_t k = 0; k < l->n_in; k++) {
        const double scale = largest(p->grad[k], l->n[k]);
        for (size_t i = 0; i < l->n[k]; i += l->n[k] / 300 + 1) {
            const double x = p->in[k][i];
            p->in[k][i] = x + h;
            const double above = loss_of(l, p);
            p->in[k][i] = x - h;
            const double below = loss_of(l, p), got = (above - below) / (2 * h);
            p->in[k][i] = x;
            check_count++;
            if (fabs(got - p->grad[k][i]) <= DIFFERENCE_BOUND * fmax(scale, 1.0)) continue;
            CHECK_FAIL_("%s: input %zu, float %zu: twin's gradient %.9g, difference %.9g", l->name, k, i, p->grad[k][i],
                        got);
            break;
        }
    }
}

typedef struct gradient_run {
    float *x[6], *dy, *base[6], *got[6];
    cot_buffer *in[6], *grad[6], *bdy;
} gradient_run;

static cot_buffer *gradient_buffer(cot_device *device, const float *x, size_t n)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *b = NULL;
    CHECK_OK(cot_buffer_create(&b, device, n, &err));
    if (b) CHECK_OK(cot_buffer_write(b, 0, x, n, &err));
    return b;
}

static void compare_gradient(const layer *l, const twin_pass *p, gradient_run *r, size_t k)
{
    const double scale = fmax(largest(p->grad[k], l->n[k]), 1.0);
    for (size_t i = 0; i < l->n[k] + GUARD; i++) {
        const double want = (double)r->base[k][i] + (i < l->n[k] ? p->grad[k][i] : 0.0), got = (double)r->got[k][i];
        check_count++;
        if (fabs(got - want) <= (i < l->n[k] ? l->bound * scale : 0.0)) continue;
        CHECK_FAIL_("%s: gradient of input %zu, float %zu of %zu: %.9g, wanted %.9g", l->name, k, i, l->n[k], got,
                    want);
        break;
    }
}

/* Runs with only the gradients of the bits `wanted`; the first run fills got[], later ones must give the same bits. */
static void run_device(const layer *l, const twin_pass *p, gradient_run *r, unsigned wanted, bool again)
{
    cot_error err = COT_ERROR_INIT;
    cot_buffer *grad[6] = {NULL};
    for (size_t k = 0; k < l->n_in; k++) {
        if (wanted >> k & 1) grad[k] = r->grad[k];
        CHECK_OK(cot_buffer_write(r->grad[k], 0, r->base[k], l->n[k] + GUARD, &err));
    }
    if (l->shared) grad[1] = grad[0];
    CHECK_OK(cot_buffer_write(r->bdy, 0, r->dy, l->n_y, &err));
    CHECK_OK(l->device(grad, r->bdy, r->in, p, &err));
    for (size_t k = 0; k < l->n_in; k++) {
        float *now = calloc(l->n[k] + GUARD, sizeof *now);
        CHECK_OK(cot_buffer_read(r->grad[k], 0, now, l->n[k] + GUARD, &err));
        const float *want = wanted >> k & 1 ? r->got[k] : r->base[k];
        if (again && memcmp(now, want, (l->n[k] + GUARD) * sizeof *now) != 0)
            CHECK_FAIL_("%s: gradient %zu differs when gradients %#x are wanted", l->name, k, wanted);
        if (!again) memcpy(r->got[k], now, (l->n[k] + GUARD) * sizeof *now);
        free(now);
    }
}

static void check_device(const layer *l, const twin_pass *p, gradient_run *r, cot_device *device)
{
    for (size_t k = 0; k < l->n_in; k++) {
        r->in[k] = gradient_buffer(device, r->x[k], l->n[k]);
        r->grad[k] = gradient_buffer(device, r->base[k], l->n[k] + GUARD);
    }
    if (l->shared) r->in[1] = r->in[0];
    r->bdy = gradient_buffer(device, r->dy, l->n_y);
    run_device(l, p, r, ~0u, false);
    for (size_t k = 0; k < l->n_in; k++) compare_gradient(l, p, r, k);
    const size_t bytes = cot_device_ledger_read(device).bytes;
    run_device(l, p, r, ~0u, true);
    CHECK_NUMBER(cot_device_ledger_read(device).bytes, bytes);
    for (size_t k = 0; !l->all && k < l->n_in; k++) run_device(l, p, r, 1u << k, true);
    for (size_t k = 0; k < l->n_in; k++) cot_buffer_destroy(r->in[k]), cot_buffer_destroy(r->grad[k]);
    cot_buffer_destroy(r->bdy);
}

/* Fills the inputs from seeds and checks twin and device. `blast`: also with CLBlast's products. */
static void check_layer(const layer *l, twin_pass *p, bool blast)
{
    gradient_run r;
    memset(&r, 0, sizeof r);
    for (size_t k = 0; k < l->n_in; k++) {
        r.x[k] = calloc(l->n[k] + 1, sizeof(float));
        r.base[k] = calloc(l->n[k] + GUARD, sizeof(float));
        r.got[k] = calloc(l->n[k] + GUARD, sizeof(float));
        ref_fill(r.x[k], l->n[k], (uint32_t)(k + 1));
        ref_fill(r.base[k], l->n[k] + GUARD, (uint32_t)(k + 11));
        p->in[k] = doubles(r.x[k], l->n[k]);
        p->grad[k] = doubles(NULL, l->n[k]);
    }
    if (l->shared) p->in[1] = p->in[0];
    r.dy = calloc(l->n_y + 1, sizeof(float));
    ref_fill(r.dy, l->n_y, 21);
    p->dy = doubles(r.dy, l->n_y);
    p->y = doubles(NULL, l->n_y);
    l->backward(p);
    check_differences(l, p);
    check_device(l, p, &r, gradient_device(COT_GEMM_TILE));
    if (blast) check_device(l, p, &r, gradient_device(COT_GEMM_CLBLAST));
    for (size_t k = 0; k < l->n_in; k++)
        free(r.x[k]), free(r.base[k]), free(r.got[k]), free(p->in[k]), free(p->grad[k]);
    free(r.dy), free(p->dy), free(p->y);
}

TEST(every_gradient_kernel_builds)
{
    cot_error err = COT_ERROR_INIT;
    CHECK_OK(cot_backward_prepare(gradient_device(COT_GEMM_TILE), &err));
}

static void gradient_devices_close(void)
{
    for (size_t i = 0; i < 2; i++) {
        cot_device_close(gradient_devices[i]);
        gradient_devices[i] = NULL;
    }
}
#endif
