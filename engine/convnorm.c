/* A convolution and the batch norm behind it, loaded as one: with running statistics fixed, norm(conv(x)) is conv(x)
 * scaled and shifted per channel. And batch norm by itself, where it comes before the convolution (DenseNet).
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double norm_eps = 1e-5; /* torch.nn.BatchNorm2d's default */

/* scale = gamma / sqrt(var + eps), shift = beta - mean * scale, in place of gamma and beta. */
static cot_status fold_norm(float *gamma, float *beta, const float *mean, const float *var, const char *name,
                            size_t channels, cot_error *err)
{
    for (size_t c = 0; c < channels; c++) {
        if (!(var[c] >= 0))
            return cot_fail(err, COT_E_MODEL, "tensor %s.running_var holds a negative variance: use another model",
                            name);
        const double scale = (double)gamma[c] / sqrt((double)var[c] + norm_eps);
        beta[c] = (float)((double)beta[c] - (double)mean[c] * scale);
        gamma[c] = (float)scale;
    }
    return COT_OK;
}

static cot_status load_norm(float **scale, float **shift, const cot_package *package, const char *name, size_t channels,
                            cot_error *err)
{
    cot_status status;
    float *mean = NULL, *var = NULL;
    COT_TRY(package_floats(scale, package, name, "weight", err));
    COT_TRY(package_floats(shift, package, name, "bias", err));
    COT_TRY(package_floats(&mean, package, name, "running_mean", err));
    COT_TRY(package_floats(&var, package, name, "running_var", err));
    COT_TRY(fold_norm(*scale, *shift, mean, var, name, channels, err));
done:
    free(mean);
    free(var);
    return status;
}

/* The stem's weight is stored for three channels that always carry the same grey image: their sum over one channel is
 * the same convolution. [out,3,k,k] -> [out,1,k,k], in place. */
static void sum_channels(float *w, size_t out_c, size_t channels, size_t taps)
{
    for (size_t o = 0; o < out_c; o++)
        for (size_t t = 0; t < taps; t++) {
            double sum = 0;
            for (size_t c = 0; c < channels; c++) sum += (double)w[(o * channels + c) * taps + t];
            w[o * taps + t] = (float)sum; /* never ahead of what is still to be read */
        }
}

cot_status conv_init(conv_layer *c, cot_device *device, const cot_package *package, const conv_spec *spec, size_t in_h,
                     size_t in_w, cot_error *err)
{
    cot_status status;
    float *w = NULL, *scale = NULL, *shift = NULL;
    c->spec = *spec;
    c->shape = (cot_conv_shape){spec->in_c, spec->out_c, spec->kernel, spec->stride, spec->pad, in_h, in_w};
    COT_TRY(package_floats(&w, package, spec->conv, "weight", err));
    if (spec->norm[0]) COT_TRY(load_norm(&scale, &shift, package, spec->norm, spec->out_c, err));
    if (spec->in_c == 1) sum_channels(w, spec->out_c, STEM_CHANNELS, spec->kernel * spec->kernel);
    COT_TRY(cot_conv_prepare(&c->weights, device, w, scale, shift, &c->shape, err));
done:
    free(w);
    free(scale);
    free(shift);
    return status;
}

void conv_fini(conv_layer *c)
{
    cot_weights_destroy(c->weights);
    c->weights = NULL;
}

size_t conv_out_h(const conv_layer *c)
{
    return cot_conv_out(c->shape.in_h, c->shape.kernel, c->shape.stride, c->shape.pad);
}
size_t conv_out_w(const conv_layer *c)
{
    return cot_conv_out(c->shape.in_w, c->shape.kernel, c->shape.stride, c->shape.pad);
}
size_t conv_out_floats(const conv_layer *c)
{
    return conv_out_h(c) * conv_out_w(c) * c->shape.out_c;
}

cot_status conv_forward(cot_buffer *y, const conv_layer *c, const cot_buffer *x, size_t n, const cot_buffer *residual,
                        cot_activation act, cot_error *err)
{
    return cot_conv_forward(y, x, c->weights, n, residual, act, c->scratch, err);
}

/* ---- batch norm by itself ---- */
cot_status batch_norm_init(batch_norm *b, cot_device *device, const cot_package *package, const char *name,
                           size_t channels, cot_error *err)
{
    cot_status status;
    float *scale = NULL, *shift = NULL;
    b->channels = channels;
    COT_TRY(load_norm(&scale, &shift, package, name, channels, err));
    COT_TRY(cot_buffer_create(&b->scale, device, channels, err));
    COT_TRY(cot_buffer_create(&b->shift, device, channels, err));
    COT_TRY(cot_buffer_write(b->scale, 0, scale, channels, err));
    COT_TRY(cot_buffer_write(b->shift, 0, shift, channels, err));
done:
    free(scale);
    free(shift);
    return status;
}

void batch_norm_fini(batch_norm *b)
{
    cot_buffer_destroy(b->scale);
    cot_buffer_destroy(b->shift);
    b->scale = b->shift = NULL;
}
