/* Figures and their page (plot.h). SPDX-License-Identifier: Apache-2.0 */
#include "plugin/plot.h"

#include <math.h>

/* Okabe and Ito: told apart by people who do not see all colours. */
static const char *const colours[PLOT_COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                  "#e69f00", "#56b4e9", "#000000", "#888888"};
enum { WIDE = 360, HIGH = 230, LEFT = 56, RIGHT = 10, TOP = 10, BOTTOM = 36, TICKS = 5 };

/* ---- the page ---- */
static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;max-width:64rem;margin:0 auto;padding:1rem}"
    "h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.2rem;border-top:1px solid "
    "#bbb;padding-top:1rem;margin-top:2rem}"
    "h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.5rem 0}"
    ".note{background:#fff3d6;border-left:4px solid #e69f00;padding:.5rem .8rem}"
    ".row{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{margin:0;flex:1 1 20rem;max-width:28rem;min-width:0;break-inside:avoid}"
    "figcaption{font-size:.85rem;color:#333}"
    "svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#222}"
    ".legend{list-style:none;margin:.2rem 0;padding:0;font-size:.8rem;display:flex;flex-wrap:wrap;gap:.1rem .9rem}"
    ".legend svg{display:inline;width:1.6rem;height:.6rem}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}"
    "td small{white-space:nowrap}th,td{padding:.2rem .5rem;border:1px solid "
    "#ccc;text-align:right;font-variant-numeric:tabular-nums}"
    "th{font-weight:600;background:#f4f4f4}th.left,td.left{text-align:left}"
    "td{-webkit-print-color-adjust:exact;print-color-adjust:exact}"
    "footer{margin-top:2rem;font-size:.8rem;color:#444;border-top:1px solid #bbb}"
    "@media "
    "print{body{font-size:11px;max-width:none;padding:0}figure{max-width:47%}.wide{overflow:visible}h2{break-after:"
    "avoid}}";

void page_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
        }
    }
}

void page_number(FILE *f, double value, int decimals)
{
    if (isfinite(value))
        fprintf(f, "%.*f", decimals, value);
    else
        fputs("–", f);
}

void page_begin(FILE *f, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'\"><title>",
          f);
    page_text(f, title);
    fprintf(f, "</title><style>%s</style></head><body>\n<h1>", style);
    page_text(f, title);
    fputs("</h1>\n", f);
}

void page_end(FILE *f, const char *foot)
{
    fputs("<footer><p>", f);
    page_text(f, foot);
    fputs("</p></footer>\n</body></html>\n", f);
}

/* ---- axes ---- */
static double high_of(const plot *p)
{
    return p->square ? WIDE - LEFT - RIGHT + TOP + BOTTOM : HIGH;
}

static double place_x(const plot *p, double x)
{
    return LEFT + (x - p->x_low) / (p->x_high - p->x_low) * (WIDE - LEFT - RIGHT);
}

static double place_y(const plot *p, double y)
{
    const double bottom = high_of(p) - BOTTOM;
    return bottom - (y - p->y_low) / (p->y_high - p->y_low) * (bottom - TOP);
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of them fit. */
static double tick_size(double range)
{
    const double raw = range / TICKS, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static void tick_text(char text[24], double value, double step)
{
    const int decimals = step >= 1 ? 0 : (int)fmin(ceil(-log10(step) - 1e-9), 6);
    snprintf(text, 24, "%.*f", decimals, value);
}

static void axis_ticks(FILE *f, const plot *p)
{
    char text[24];
    const double bottom = high_of(p) - BOTTOM, sx = tick_size(p->x_high - p->x_low),
                 sy = tick_size(p->y_high - p->y_low);
    for (double x = ceil(p->x_low / sx - 1e-9) * sx; x <= p->x_high + sx * 1e-6; x += sx) {
        tick_text(text, fabs(x) < sx * 1e-6 ? 0 : x, sx);
        fprintf(
            f, "<path d=\"M%.1f %.1fv4\" stroke=\"#555\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
            place_x(p, x), bottom, place_x(p, x), bottom + 15, text);
    }
    for (double y = ceil(p->y_low / sy - 1e-9) * sy; y <= p->y_high + sy * 1e-6; y += sy) {
        tick_text(text, fabs(y) < sy * 1e-6 ? 0 : y, sy);
        fprintf(f, "<path d=\"M%d %.1fh%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
                LEFT, place_y(p, y), WIDE - LEFT - RIGHT, LEFT - 5, place_y(p, y) + 4, text);
    }
}

void plot_begin(FILE *f, const plot *p)
{
    const double high = high_of(p);
    fprintf(f, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\"><title>", WIDE, high);
    page_text(f, p->title);
    fputs("</title>", f);
    axis_ticks(f, p);
    fprintf(f, "<path d=\"M%d %dV%.1fH%d\" fill=\"none\" stroke=\"#555\"/>", LEFT, TOP, high - BOTTOM, WIDE - RIGHT);
    fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">", (LEFT + WIDE - RIGHT) / 2, high - 4);
    page_text(f, p->x_label);
    fprintf(f, "</text><text transform=\"translate(10 %.1f) rotate(-90)\" text-anchor=\"middle\">",
            (high - BOTTOM + TOP) / 2);
    page_text(f, p->y_label);
    fputs("</text>", f);
}

void plot_end(FILE *f)
{
    fputs("</svg>\n", f);
}

/* ---- what is drawn ---- */
static const char *dash(unsigned colour)
{
    static const char *const dashes[] = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 3\""};
    return dashes[colour / PLOT_COLOURS % 3];
}

void plot_line(FILE *f, const plot *p, const double *x, const double *y, size_t n, unsigned colour)
{
    bool down = false;
    fprintf(f, "<path fill=\"none\" stroke-width=\"1.8\" stroke=\"%s\"%s d=\"", colours[colour % PLOT_COLOURS],
            dash(colour));
    for (size_t i = 0; i < n; i++) {
        const bool drawn = isfinite(x[i]) && isfinite(y[i]);
        if (drawn) fprintf(f, "%c%.1f %.1f", down ? 'L' : 'M', place_x(p, x[i]), place_y(p, y[i]));
        down = drawn;
    }
    fputs("\"/>", f);
    if (n == 1 && isfinite(y[0])) plot_dot(f, p, x[0], y[0], 3, colour, "");
}

void plot_diagonal(FILE *f, const plot *p)
{
    fprintf(f, "<path stroke=\"#777\" stroke-dasharray=\"4 4\" d=\"M%.1f %.1fL%.1f %.1f\"/>", place_x(p, p->x_low),
            place_y(p, p->y_low), place_x(p, p->x_high), place_y(p, p->y_high));
}

void plot_bar(FILE *f, const plot *p, double x, double width, double y, unsigned colour)
{
    const double left = place_x(p, x - width / 2), right = place_x(p, x + width / 2), top = place_y(p, y);
    fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" fill-opacity=\".25\"/>", left,
            top, right - left, fmax(place_y(p, p->y_low) - top, 0), colours[colour % PLOT_COLOURS]);
}

void plot_dot(FILE *f, const plot *p, double x, double y, double radius, unsigned colour, const char *tip)
{
    fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"><title>", place_x(p, x), place_y(p, y), radius,
            colours[colour % PLOT_COLOURS]);
    page_text(f, tip);
    fputs("</title></circle>", f);
}

void legend_begin(FILE *f)
{
    fputs("<ul class=\"legend\">", f);
}

void legend_entry(FILE *f, unsigned colour, const char *text)
{
    fprintf(f,
            "<li><svg viewBox=\"0 0 32 12\" aria-hidden=\"true\"><path d=\"M0 6H32\" stroke-width=\"4\" "
            "stroke=\"%s\"%s/></svg> ",
            colours[colour % PLOT_COLOURS], dash(colour));
    page_text(f, text);
    fputs("</li>", f);
}

void legend_end(FILE *f)
{
    fputs("</ul>\n", f);
}

void plot_bounds(double *low, double *high, const double *y, size_t n)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (isfinite(y[i])) {
            least = fmin(least, y[i]);
            most = fmax(most, y[i]);
        }
    if (!isfinite(least)) least = 0, most = 1;
    const double margin = fmax((most - least) * 0.05, fmax(fabs(most) * 1e-3, 1e-9));
    *low = least - margin;
    *high = most + margin;
}

/* ---- tables ---- */
void page_confusion(FILE *f, const size_t *counts, const char *const *names, size_t n)
{
    fputs("<div class=\"wide\"><table><tr><th class=\"left\">true \\ answered</th>", f);
    for (size_t c = 0; c < n; c++) {
        fputs("<th>", f);
        page_text(f, names[c]);
        fputs("</th>", f);
    }
    fputs("<th>n</th></tr>\n", f);
    for (size_t r = 0; r < n; r++) {
        size_t sum = 0;
        for (size_t c = 0; c < n; c++) sum += counts[r * n + c];
        fputs("<tr><th class=\"left\">", f);
        page_text(f, names[r]);
        fputs("</th>", f);
        for (size_t c = 0; c < n; c++) {
            const double share = sum ? (double)counts[r * n + c] / (double)sum : 0;
            fprintf(f, "<td style=\"background:rgba(%s,%.2f)%s\">%zu</td>", r == c ? "0,114,178" : "213,94,0",
                    0.85 * share, share > 0.8 ? ";color:#fff" : "", counts[r * n + c]);
        }
        fprintf(f, "<td>%zu</td></tr>\n", sum);
    }
    fputs("</table></div>\n", f);
}
