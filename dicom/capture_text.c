/* The words on a reading's picture. All of them come from the chain and the schema; nothing from the image's header, so that
 * no patient's name is ever burned into pixels. Pango shapes and wraps; a character without a font on this machine becomes a
 * box with its number and is counted. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/capture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 52, BAR_WIDE = 150, BAR_HIGH = 12, PERCENT_WIDE = 104 };

/* Bright enough on black, told apart by people who do not see all colours (after Okabe and Ito). */
capture_colour capture_step_colour(size_t step)
{
    static const capture_colour colours[] = {{0.34, 0.71, 0.91}, {1.00, 0.62, 0.10}, {0.20, 0.85, 0.62},
                                             {0.96, 0.90, 0.35}, {1.00, 0.50, 0.35}, {0.95, 0.60, 0.82},
                                             {0.80, 0.85, 1.00}, {0.62, 0.90, 0.25}};
    return colours[step % (sizeof colours / sizeof *colours)];
}

/* ---- text ---- */
static void set_font(PangoLayout *layout, capture_style style)
{
    PangoFontDescription *font = pango_font_description_from_string("DejaVu Sans, sans-serif");
    pango_font_description_set_absolute_size(font, style.size * PANGO_SCALE);
    if (style.bold) pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(layout, font);
    pango_font_description_free(font);
}

/* Well-formed and in one paragraph. */
static char *clean(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    for (char *c = valid; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
    return valid;
}

static void lay_out(capture_pen *pen, capture_style style, double width, const char *text)
{
    char *good = clean(text);
    set_font(pen->layout, style);
    pango_layout_set_width(pen->layout, (int)(width * PANGO_SCALE));
    pango_layout_set_wrap(pen->layout, PANGO_WRAP_WORD_CHAR);
    pango_layout_set_spacing(pen->layout, 4 * PANGO_SCALE);
    pango_layout_set_text(pen->layout, good, -1);
    g_free(good);
}

static void show(capture_pen *pen, double x, double y, capture_colour colour)
{
    cairo_set_source_rgb(pen->cr, colour.red, colour.green, colour.blue);
    cairo_move_to(pen->cr, x, y);
    pango_cairo_show_layout(pen->cr, pen->layout);
}

void capture_text(capture_pen *pen, capture_style style, const char *format, ...)
{
    char text[4096];
    int height = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lay_out(pen, style, pen->width, text);
    pango_layout_get_pixel_size(pen->layout, NULL, &height);
    pen->unknown += (size_t)pango_layout_get_unknown_glyphs_count(pen->layout);
    if (pen->draws) show(pen, pen->x, pen->y, style.colour);
    pen->y += height;
}

void capture_badge(capture_pen *pen, double x, double y, size_t step, capture_colour colour)
{
    char text[24];
    int wide, high;
    if (!pen->draws) return;
    cairo_new_path(pen->cr);
    cairo_arc(pen->cr, x, y, CAPTURE_BADGE + 2, 0, 2 * G_PI);
    cairo_set_source_rgba(pen->cr, 0, 0, 0, 0.85);
    cairo_fill(pen->cr);
    cairo_arc(pen->cr, x, y, CAPTURE_BADGE, 0, 2 * G_PI);
    cairo_set_source_rgb(pen->cr, colour.red, colour.green, colour.blue);
    cairo_fill(pen->cr);
    snprintf(text, sizeof text, "%zu", step + 1);
    lay_out(pen, (capture_style){24, true, {0, 0, 0}}, 200, text);
    pango_layout_get_pixel_size(pen->layout, &wide, &high);
    show(pen, x - wide / 2.0, y - high / 2.0, (capture_colour){0, 0, 0});
}

static void rule(const capture_pen *pen, double y)
{
    if (!pen->draws) return;
    cairo_set_source_rgb(pen->cr, 0.28, 0.29, 0.30);
    cairo_rectangle(pen->cr, pen->x, y, pen->width, 1);
    cairo_fill(pen->cr);
}

/* ---- head and foot ---- */
void capture_head(capture_pen *pen, const cot_chain *chain)
{
    const capture_style title = {34, true, capture_amber}, text = {23, false, capture_white};
    capture_text(pen, title, "AI chest X-ray reading – not verified – not for diagnosis");
    if (chain->summary[0]) {
        pen->y += 6;
        capture_text(pen, text, "%s", chain->summary);
    }
}

static bool any_region(const cot_chain *chain)
{
    bool any = false;
    for (size_t s = 0; s < chain->n_steps; s++) any = any || chain->answers[s].n_regions;
    return any;
}

/* Regions that were left out are not regions that there are none of. */
static void say_drawn(capture_pen *pen, const cot_chain *chain, uint64_t drawn)
{
    char list[256] = "";
    size_t n = 0;
    for (size_t s = 0; s < chain->n_steps; s++) {
        const size_t used = strlen(list);
        if (capture_shows(drawn, s))
            snprintf(list + used, sizeof list - used, "%s%zu", used ? ", " : "", s + 1);
        else
            n += chain->answers[s].available && chain->answers[s].n_regions;
    }
    if (n)
        capture_text(pen, (capture_style){19, false, capture_grey},
                     "Regions are drawn of chosen steps only (%s); %zu other step%s regions that are not drawn.", list,
                     n, n == 1 ? " has" : "s have");
}

void capture_foot(capture_pen *pen, const cot_chain *chain, uint64_t drawn)
{
    const capture_style text = {19, false, capture_grey};
    const cot_reader *reader = &chain->reader;
    rule(pen, pen->y);
    pen->y += 12;
    capture_text(pen, text, "%s%s",
                 any_region(chain)
                     ? "Outlines show what an answer of the model rests on; they are no borders of a finding. "
                     : "",
                 chain->calibrated ? "Percentages are calibrated on validation images."
                                   : "Percentages are the model's own and not, or not all, calibrated.");
    say_drawn(pen, chain, drawn);
    capture_text(pen, text, "%s, version %s%s%s. %s. %s", reader->name, reader->version,
                 chain->has_other ? "; second reader: " : "", chain->has_other ? chain->other.name : "",
                 reader->program, reader->notice);
    capture_text(pen, (capture_style){19, true, capture_amber},
                 "Generated by an automated algorithm (AI). Not verified by a physician. Not a medical device. Not for "
                 "diagnosis.");
    if (pen->unknown)
        capture_text(pen, text,
                     "Boxes with numbers are %zu characters for which the computer that drew this has no font.",
                     pen->unknown);
}

/* ---- the steps ---- */
static void bar(capture_pen *pen, double right, double y, float share, capture_colour colour)
{
    if (!pen->draws) return;
    const double left = right - BAR_WIDE, part = fmin(fmax((double)share, 0), 1) * BAR_WIDE;
    cairo_set_source_rgb(pen->cr, 0.22, 0.23, 0.24);
    cairo_rectangle(pen->cr, left, y, BAR_WIDE, BAR_HIGH);
    cairo_fill(pen->cr);
    cairo_set_source_rgb(pen->cr, colour.red, colour.green, colour.blue);
    cairo_rectangle(pen->cr, left, y, part, BAR_HIGH);
    cairo_fill(pen->cr);
}

static void answer_line(capture_pen *pen, const cot_answer *a, const cot_step *step, capture_colour colour)
{
    const double right = pen->x + pen->width, top = pen->y, width = pen->width;
    char percent[24];
    int wide;
    snprintf(percent, sizeof percent, "%.1f\u00a0%%", 100 * (double)a->probability[a->answer]);
    bar(pen, right - PERCENT_WIDE, top + 11, a->probability[a->answer], colour);
    lay_out(pen, (capture_style){24, true, capture_white}, 400, percent);
    pango_layout_get_pixel_size(pen->layout, &wide, NULL);
    if (pen->draws) show(pen, right - wide, top, capture_white);
    pen->width -= BAR_WIDE + PERCENT_WIDE + 16;
    capture_text(pen, (capture_style){24, true, capture_white}, "%s", step->options[a->answer].label);
    pen->width = width;
}

static void details(capture_pen *pen, const cot_chain *chain, const cot_answer *a, const cot_step *step)
{
    const capture_style small = {20, false, capture_grey}, warning = {20, true, capture_amber};
    char next[320] = "";
    if (a->second != a->answer)
        snprintf(next, sizeof next, "Next: %s %.1f\u00a0%%.  ", step->options[a->second].label,
                 100 * (double)a->probability[a->second]);
    const char *where = !a->located ? "" : !a->n_regions ? "Whole image." : a->place[0] ? a->place : "";
    if (next[0] || where[0])
        capture_text(pen, small, "%s%s%s%s", next, a->n_regions && where[0] ? "Where: " : "", where,
                     a->n_regions && where[0] ? "." : "");
    if (a->disagreement)
        capture_text(pen, warning, "Readers disagree: the %s answers \"%s\", %.1f\u00a0%%.", chain->other.role,
                     step->options[a->other.answer].label, 100 * (double)a->other.probability[a->other.answer]);
    if (a->rationale[0]) capture_text(pen, (capture_style){20, false, capture_white}, "%s", a->rationale);
}

static void row(capture_pen *pen, const cot_chain *chain, const cot_steps *steps, size_t s)
{
    const cot_answer *a = &chain->answers[s];
    const cot_step *step = &steps->steps[s];
    const capture_colour faint = {0.55, 0.56, 0.58}, colour = a->available ? capture_step_colour(s) : faint;
    const double x = pen->x, width = pen->width;
    capture_badge(pen, x + CAPTURE_BADGE + 2, pen->y + CAPTURE_BADGE + 4, s, colour);
    pen->x += INDENT;
    pen->width -= INDENT;
    capture_text(pen, (capture_style){20, false, colour}, "%s", step->title);
    if (a->available) {
        answer_line(pen, a, step, colour);
        details(pen, chain, a, step);
    } else {
        capture_text(pen, (capture_style){20, false, capture_grey}, "not available: %s", a->reason);
    }
    pen->x = x;
    pen->width = width;
}

void capture_table(capture_pen *pen, const cot_chain *chain, const cot_steps *steps, double bottom)
{
    for (size_t s = 0; s < chain->n_steps; s++) {
        if (s) {
            rule(pen, pen->y + 8);
            pen->y += 17;
        }
        if (pen->y > bottom) {
            capture_text(pen, (capture_style){20, false, capture_grey}, "%zu further steps: see the report.",
                         chain->n_steps - s);
            return;
        }
        row(pen, chain, steps, s);
    }
}
