/* The grey pipeline of PS3.3 C.11 as one table over all stored values: at most 65,536 evaluations in double, then one
 * look-up per pixel. Invariant: every table entry is finite and within 0…1.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/voi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- look-up tables ---- */
static void unpack_bytes(uint16_t *to, const uint16_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (uint16_t)(i % 2 ? words[i / 2] >> 8 : words[i / 2] & 0xff);
}

cot_status voi_lut_init(voi_lut *out, const uint16_t descriptor[3], bool first_is_signed, const uint16_t *words,
                        size_t n_words, cot_error *err)
{
    memset(out, 0, sizeof *out);
    const size_t n = descriptor[0] ? descriptor[0] : VOI_CODES;
    unsigned bits = descriptor[2];
    if (bits < 8 || bits > 16)
        return cot_fail(err, COT_E_INPUT, "LUT Descriptor (0028,3002): %u bits per entry, 8 to 16 are defined", bits);
    const bool packed = n_words < n && bits == 8 && n_words == (n + 1) / 2;
    if (n_words < n && !packed)
        return cot_fail(err, COT_E_INPUT, "LUT Data (0028,3006) has %zu entries, its descriptor announces %zu", n_words,
                        n);
    uint16_t *entries = malloc(n * sizeof *entries);
    if (!entries) return cot_fail(err, COT_E_MEMORY, "look-up table: no memory for %zu entries", n);
    if (packed)
        unpack_bytes(entries, words, n);
    else
        memcpy(entries, words, n * sizeof *entries);
    const uint16_t top = (uint16_t)((1u << bits) - 1);
    for (size_t i = 0; i < n; i++)
        if (entries[i] > top) entries[i] = top;
    const int32_t first = first_is_signed ? (int16_t)descriptor[1] : descriptor[1];
    *out = (voi_lut){.entries = entries, .n = n, .first = first, .bits = bits};
    return COT_OK;
}

void voi_lut_fini(voi_lut *lut)
{
    free(lut->entries);
    memset(lut, 0, sizeof *lut);
}

static double lut_at(const voi_lut *lut, double x)
{
    const double at = floor(x + 0.5) - lut->first;
    if (!(at > 0)) return lut->entries[0];
    if (at >= (double)lut->n) return lut->entries[lut->n - 1];
    return lut->entries[(size_t)at];
}

/* ---- one value ---- */
int32_t voi_value_of(uint16_t code, unsigned bits, bool is_signed)
{
    const int32_t half = (int32_t)1 << (bits - 1);
    return is_signed && code >= half ? (int32_t)code - 2 * half : (int32_t)code;
}

static double clamp01(double x)
{
    return x > 0 ? (x < 1 ? x : 1) : 0; /* NaN becomes 0 */
}

double voi_window(voi_function function, double center, double width, double x)
{
    switch (function) {
    case VOI_LINEAR:
        if (x <= center - 0.5 - (width - 1) / 2) return 0;
        if (x > center - 0.5 + (width - 1) / 2) return 1;
        return clamp01((x - (center - 0.5)) / (width - 1) + 0.5);
    case VOI_LINEAR_EXACT:
        if (x <= center - width / 2) return 0;
        if (x > center + width / 2) return 1;
        return clamp01((x - center) / width + 0.5);
    case VOI_SIGMOID: return clamp01(1 / (1 + exp(-4 * (x - center) / width)));
    default: return 0;
    }
}

static double modality_of(const voi_pipeline *p, uint16_t code)
{
    const double stored = voi_value_of(code, p->bits, p->is_signed);
    const double x = p->modality.entries ? lut_at(&p->modality, stored) : stored * p->slope + p->intercept;
    return p->logarithm ? log(x < 1 ? 1 : x) : x;
}

/* ---- ranges over the pixels that are there ---- */
typedef struct weighted {
    double value;
    size_t count;
} weighted;

static int by_value(const void *a, const void *b)
{
    const double x = ((const weighted *)a)->value, y = ((const weighted *)b)->value;
    return (x > y) - (x < y);
}

static bool is_padding(const voi_pipeline *p, uint16_t code)
{
    const int32_t v = voi_value_of(code, p->bits, p->is_signed);
    return p->has_padding && v >= p->padding_first && v <= p->padding_last;
}

static size_t values_present(weighted *to, const voi_pipeline *p, const size_t *counts, bool with_padding)
{
    size_t n = 0;
    for (size_t code = 0; code < (size_t)1 << p->bits; code++)
        if (counts[code] && (with_padding || !is_padding(p, (uint16_t)code)))
            to[n++] = (weighted){modality_of(p, (uint16_t)code), counts[code]};
    return n;
}

typedef struct grey_range {
    double low, high;
    bool trimmed; /* values beyond it occur */
} grey_range;

/* Value below which `part` of the pixels lie. */
static double quantile(const weighted *values, size_t n, double part)
{
    double total = 0, below = 0;
    for (size_t i = 0; i < n; i++) total += (double)values[i].count;
    for (size_t i = 0; i < n; i++) {
        below += (double)values[i].count;
        if (below > part * total) return values[i].value;
    }
    return values[n - 1].value;
}

/* Half a percent of the pixels at each end is left out: one hot pixel or a lead marker would darken the lungs. Not where
 * nothing else would be left, nor, without a percentile rule, where 8 bits are all there is. */
static void trim(grey_range *range, const voi_pipeline *p, const weighted *values, size_t n)
{
    *range = (grey_range){values[0].value, values[n - 1].value, false};
    if (p->function != VOI_PERCENTILE && p->bits <= 8) return;
    const double low = quantile(values, n, 0.005), high = quantile(values, n, 0.995);
    if (!(low < high) && p->function != VOI_PERCENTILE) return;
    *range = (grey_range){low, high, low > range->low || high < range->high};
}

static cot_status range_of(grey_range *range, const voi_pipeline *p, const size_t *counts, cot_error *err)
{
    cot_status status = COT_OK;
    weighted *values = malloc(VOI_CODES * sizeof *values);
    if (!values) {
        status = cot_fail(err, COT_E_MEMORY, "grey range: no memory");
        goto done;
    }
    size_t n = values_present(values, p, counts, false);
    if (!n) n = values_present(values, p, counts, true);
    if (!n) {
        status = cot_fail(err, COT_E_INPUT, "the image has no pixels");
        goto done;
    }
    qsort(values, n, sizeof *values, by_value);
    trim(range, p, values, n);
done:
    free(values);
    return status;
}

/* Up to 8 bits without any LUT are display values already (secondary captures): stretching them would change the
 * picture. Wider data seldom fill their bits, so the values that occur decide. */
static bool are_display_values(const voi_pipeline *p)
{
    return p->function == VOI_RANGE && p->bits <= 8 && !p->is_signed && !p->modality.entries && p->slope == 1 &&
           p->intercept == 0;
}

bool voi_range_is_from_pixels(const voi_pipeline *p)
{
    return p->function == VOI_PERCENTILE || (p->function == VOI_RANGE && !are_display_values(p));
}

/* ---- the table ---- */
static void describe(char *text, size_t size, const voi_pipeline *p, const grey_range *range)
{
    const double low = range->low, high = range->high;
    char rule[96];
    switch (p->function) {
    case VOI_TABLE: snprintf(rule, sizeof rule, "VOI LUT of %zu entries", p->table.n); break;
    case VOI_LINEAR: snprintf(rule, sizeof rule, "window %g/%g LINEAR", p->center, p->width); break;
    case VOI_LINEAR_EXACT: snprintf(rule, sizeof rule, "window %g/%g LINEAR_EXACT", p->center, p->width); break;
    case VOI_SIGMOID: snprintf(rule, sizeof rule, "window %g/%g SIGMOID", p->center, p->width); break;
    case VOI_PERCENTILE:
        snprintf(rule, sizeof rule, "for processing: 0.5 to 99.5 percentile %g to %g%s", low, high,
                 p->logarithm ? " of the logarithm" : "");
        break;
    default:
        snprintf(rule, sizeof rule, "no VOI: %s %g to %g",
                 are_display_values(p) ? "display values"
                 : range->trimmed      ? "0.5 to 99.5 percentile"
                                       : "values present",
                 low, high);
    }
    const char *modality = p->modality.entries                  ? "Modality LUT, "
                           : p->slope != 1 || p->intercept != 0 ? "rescale, "
                                                                : "";
    snprintf(text, size, "%s%s%s", modality, rule, p->invert ? ", inverted" : "");
}

static double grey_of(const voi_pipeline *p, uint16_t code, double low, double high)
{
    const double x = modality_of(p, code);
    if (p->function == VOI_TABLE) return lut_at(&p->table, x) / (double)((1u << p->table.bits) - 1);
    if (p->function == VOI_RANGE || p->function == VOI_PERCENTILE)
        return high > low ? clamp01((x - low) / (high - low)) : 0;
    return voi_window(p->function, p->center, p->width, x);
}

static cot_status pipeline_check(const voi_pipeline *p, cot_error *err)
{
    if (p->bits < 1 || p->bits > 16) return cot_fail(err, COT_E_BUG, "grey table: %u bits stored", p->bits);
    if (!isfinite(p->slope) || !isfinite(p->intercept) || p->slope == 0)
        return cot_fail(err, COT_E_INPUT, "Rescale Slope (0028,1053) %g, Intercept (0028,1052) %g: no usable rescale",
                        p->slope, p->intercept);
    const bool window = p->function == VOI_LINEAR || p->function == VOI_LINEAR_EXACT || p->function == VOI_SIGMOID;
    const double least = p->function == VOI_LINEAR ? 1 : 0;
    if (window && (!isfinite(p->center) || !isfinite(p->width) || p->width < least || p->width <= 0))
        return cot_fail(err, COT_E_INPUT, "Window Width (0028,1051) %g is not allowed (PS3.3 C.11.2.1.2)", p->width);
    if (p->function == VOI_TABLE && !p->table.entries)
        return cot_fail(err, COT_E_BUG, "grey table: VOI LUT is missing");
    return COT_OK;
}

cot_status voi_table(float *table, char *text, size_t text_size, const voi_pipeline *p, const size_t *counts,
                     cot_error *err)
{
    cot_status status;
    grey_range range = {0, (double)((1u << p->bits) - 1), false};
    COT_TRY(pipeline_check(p, err));
    if (p->function == VOI_PERCENTILE || (p->function == VOI_RANGE && !are_display_values(p)))
        COT_TRY(range_of(&range, p, counts, err));
    for (size_t code = 0; code < (size_t)1 << p->bits; code++) {
        const double grey = grey_of(p, (uint16_t)code, range.low, range.high);
        table[code] = (float)(p->invert ? 1 - grey : grey);
    }
    describe(text, text_size, p, &range);
done:
    return status;
}
