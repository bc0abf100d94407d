/* A reading as a table for the terminal: one row per step, as wide as the terminal, texts wrapped at words; a step on
 * which two readers disagree begins with '!'.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/node.h"
#include "plugin/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_LEAST = 48, WIDTH_MOST = 140, WIDTH_ELSE = 100 };

static size_t width_of(FILE *stream)
{
    struct winsize w;
    const int fd = fileno(stream);
    if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &w) != 0 || !w.ws_col) return WIDTH_ELSE;
    return w.ws_col < WIDTH_LEAST ? WIDTH_LEAST : w.ws_col > WIDTH_MOST ? WIDTH_MOST : w.ws_col;
}

/* The text from column `left` to `width`; the first line continues where the cursor is, further ones are indented. */
static void print_wrapped(const char *text, size_t left, size_t width, FILE *stream)
{
    const size_t room = width > left + 8 ? width - left : 8;
    for (;;) {
        size_t used, n = utf8_fit(text, room, &used);
        if (text[n]) { /* break at the last space that fits, else within the word */
            size_t space = n;
            while (space > 0 && text[space] != ' ') space--;
            if (space > 0) n = space;
        }
        if (n == 0) n = strlen(text);
        size_t shown = n;
        while (shown > 0 && text[shown - 1] == ' ') shown--;
        fprintf(stream, "%.*s\n", (int)shown, text);
        text += n;
        while (*text == ' ') text++;
        if (!*text) return;
        fprintf(stream, "%*s", (int)left, "");
    }
}

static void print_padded(const char *text, size_t columns, FILE *stream)
{
    size_t used;
    const size_t n = utf8_fit(text, columns, &used);
    fprintf(stream, "%.*s%*s", (int)n, text, (int)(columns - used), "");
}

static void answer_text(char *to, size_t size, const cot_answer *a, const cot_step *step)
{
    char clean[1400];
    if (!a->available) {
        snprintf(clean, sizeof clean, "not available: %s", a->reason);
    } else {
        const int n = snprintf(clean, sizeof clean, "%s  %.1f%%", step->options[a->answer].label,
                               100.0 * (double)a->probability[a->answer]);
        if (a->second != a->answer && n > 0 && (size_t)n < sizeof clean)
            snprintf(clean + n, sizeof clean - (size_t)n, "  (next: %s %.1f%%)", step->options[a->second].label,
                     100.0 * (double)a->probability[a->second]);
    }
    utf8_clean(to, size, clean);
}

/* "second reader (teacher): Diffuse, 61.0%; the readers disagree"; "" where it gave no answer. */
static void second_text(char *to, size_t size, const cot_chain *chain, const cot_answer *a, const cot_step *step)
{
    char clean[1400];
    const cot_opinion *other = &a->other;
    const bool same = a->available && !a->disagreement;
    to[0] = 0;
    if (!other->available) return;
    snprintf(clean, sizeof clean, "%ssecond reader (%s): %s%s, %.1f%%",
             a->disagreement ? "ATTENTION, they disagree: " : "", chain->other.role, same ? "also " : "",
             step->options[other->answer].label, 100.0 * (double)other->probability[other->answer]);
    utf8_clean(to, size, clean);
}

/* "right lower zone; Abnormal radiodensity +12 points": where, and the strongest influence of a point or more; "" without. */
static void evidence_text(char *to, size_t size, const cot_answer *a, const cot_steps *steps)
{
    char clean[1400];
    const cot_influence *first = a->n_influences ? a->influences : NULL;
    int n = snprintf(clean, sizeof clean, "%s", a->place);
    if (first && fabsf(first->change) >= 0.01f && first->step < steps->n_steps)
        snprintf(clean + n, sizeof clean - (size_t)n, "%s%s %+ld point%s", n ? "; " : "",
                 steps->steps[first->step].title, lroundf(100 * first->change),
                 labs(lroundf(100 * first->change)) == 1 ? "" : "s");
    utf8_clean(to, size, clean);
}

static void print_labelled(const char *label, const char *text, size_t width, FILE *stream)
{
    char clean[1400];
    if (!text[0]) return;
    utf8_clean(clean, sizeof clean, text);
    fprintf(stream, "  %s", label);
    print_wrapped(clean, 2 + strlen(label), width, stream);
}

static void print_steps(const cot_chain *chain, const cot_steps *steps, size_t width, FILE *stream)
{
    size_t titles = 0;
    for (size_t s = 0; s < steps->n_steps; s++) {
        const size_t w = utf8_width(steps->steps[s].title);
        if (w > titles) titles = w;
    }
    if (titles > width * 2 / 5) titles = width * 2 / 5;
    for (size_t s = 0; s < chain->n_steps && s < steps->n_steps; s++) {
        char text[1400];
        answer_text(text, sizeof text, &chain->answers[s], &steps->steps[s]);
        fprintf(stream, "%c %2zu  ", chain->answers[s].disagreement ? '!' : ' ', s + 1);
        print_padded(steps->steps[s].title, titles, stream);
        fputs("  ", stream);
        print_wrapped(text, 8 + titles, width, stream);
        evidence_text(text, sizeof text, &chain->answers[s], steps);
        if (text[0]) {
            fprintf(stream, "%*s", (int)(8 + titles), "");
            print_wrapped(text, 8 + titles, width, stream);
        }
        second_text(text, sizeof text, chain, &chain->answers[s], &steps->steps[s]);
        if (!text[0]) continue;
        fprintf(stream, "%*s", (int)(8 + titles), "");
        print_wrapped(text, 8 + titles, width, stream);
    }
}

void cot_chain_print(const cot_chain *chain, const cot_steps *steps, const char *source, FILE *stream)
{
    const size_t width = width_of(stream);
    char text[1400];
    if (source) {
        utf8_clean(text, sizeof text, source);
        fprintf(stream, "%s\n", text);
    }
    if (chain->state == COT_CHAIN_REFUSED) {
        snprintf(text, sizeof text, "%s (%s)", chain->refusal, chain->refusal_id);
        print_labelled("Not analysed: ", text, width, stream);
    } else {
        if (chain->answers && steps) print_steps(chain, steps, width, stream);
        print_labelled("Summary: ", chain->summary, width, stream);
    }
    if (chain->reader.name[0]) {
        snprintf(text, sizeof text, "%s, version %s%s%s", chain->reader.name, chain->reader.version,
                 chain->reader.device[0] ? ", on " : "", chain->reader.device);
        print_labelled("Reader: ", text, width, stream);
        if (chain->has_other) {
            snprintf(text, sizeof text, "%s, version %s (%s)", chain->other.name, chain->other.version,
                     chain->other.role);
            print_labelled("Second reader: ", text, width, stream);
        }
        if (!strstr(chain->summary, chain->reader.notice))
            print_labelled("Notice: ", chain->reader.notice, width, stream);
    }
    fprintf(stream, "  %s\n\n", COT_NOT_A_DEVICE);
}
