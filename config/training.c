/* training.xml and the options of `stepcot train` → cot_training. Grammar, rules and defaults are the XSD's for both: options
 * become a small XML of their own, which is checked like the file and read over it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/training.h"
#include "config/xml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OVERRIDES_BYTES ((size_t)64 << 10)

typedef enum value_kind { VALUE_REAL, VALUE_COUNT, VALUE_SEED, VALUE_FLAG, VALUE_SCHEDULE } value_kind;
typedef struct value {
    const char *name;
    value_kind kind;
    size_t offset;            /* in cot_training, or cot_training_stage */
    const char *const *words; /* of FLAG (false, true) and SCHEDULE, by number */
} value;
typedef struct element {
    const char *name;
    const value *values; /* name NULL ends */
    int stage;           /* whose values they are; -1: the run's */
} element;

/* ---- which attribute is which member ---- */
static const char
    *const best_words[] = {"accuracy", "auc", NULL},
           *const weights_words[] = {"f16", "f32", NULL}, *const filter_words[] = {"bicubic", "bilinear", NULL},
           *const store_words[] = {"8bit", "float", NULL}, *const class_words[] = {"none", "inverse", NULL},
           *const sampler_words[] = {"shuffle", "weighted", NULL}, *const dropout_words[] = {"published", "none", NULL},
           *const align_words[] = {"paper", "published", NULL}, *const mirror_words[] = {"no", "yes", NULL},
           *const schedule_words[] = {"constant", "plateau", "one-cycle", "cosine", NULL},
           *const stage_words[COT_STAGES] = {"encoder", "teacher", "distill"};

#define RUN(n, k, m, w)                                                                                                \
    {                                                                                                                  \
        n, k, offsetof(cot_training, m), w                                                                             \
    }
#define STAGE(n, k, m, w)                                                                                              \
    {                                                                                                                  \
        n, k, offsetof(cot_training_stage, m), w                                                                       \
    }
#define STAGE_COMMON                                                                                                   \
    STAGE("epochs", VALUE_COUNT, epochs, NULL), STAGE("batch", VALUE_COUNT, batch, NULL),                              \
        STAGE("lr", VALUE_REAL, lr, NULL), STAGE("weight-decay", VALUE_REAL, weight_decay, NULL),                      \
        STAGE("clip", VALUE_REAL, clip, NULL), STAGE("dropout", VALUE_FLAG, no_dropout, dropout_words),                \
        STAGE("schedule", VALUE_SCHEDULE, schedule, schedule_words), STAGE("warmup", VALUE_REAL, warmup, NULL),        \
        STAGE("factor", VALUE_REAL, factor, NULL), STAGE("min-lr", VALUE_REAL, min_lr, NULL),                          \
        STAGE("patience", VALUE_COUNT, patience, NULL), STAGE("stop", VALUE_COUNT, stop, NULL),                        \
        STAGE("label-smoothing", VALUE_REAL, label_smoothing, NULL),                                                   \
        STAGE("class-weights", VALUE_FLAG, class_weights, class_words),                                                \
        STAGE("sampler", VALUE_FLAG, weighted, sampler_words)
#define VALUES_END                                                                                                     \
    {                                                                                                                  \
        NULL, VALUE_REAL, 0, NULL                                                                                      \
    }

static const value run_values[] = {RUN("seed", VALUE_SEED, seed, NULL),
                                   RUN("best", VALUE_FLAG, best_auc, best_words),
                                   RUN("refit", VALUE_FLAG, refit, mirror_words),
                                   RUN("weights", VALUE_FLAG, weights_f32, weights_words),
                                   RUN("keep", VALUE_COUNT, keep, NULL),
                                   RUN("min-labels", VALUE_COUNT, min_labels, NULL),
                                   VALUES_END},
                   input_values[] = {RUN("size", VALUE_COUNT, size, NULL),
                                     RUN("width", VALUE_COUNT, width, NULL),
                                     RUN("dim", VALUE_COUNT, dim, NULL),
                                     RUN("teacher-dim", VALUE_COUNT, teacher_dim, NULL),
                                     RUN("teacher-heads", VALUE_COUNT, teacher_heads, NULL),
                                     RUN("teacher-layers", VALUE_COUNT, teacher_layers, NULL),
                                     RUN("filter", VALUE_FLAG, bilinear, filter_words),
                                     RUN("store", VALUE_FLAG, store_float, store_words),
                                     VALUES_END},
                   augment_values[] = {RUN("rotate-deg", VALUE_REAL, rotate_deg, NULL),
                                       RUN("scale", VALUE_REAL, scale, NULL),
                                       RUN("shift", VALUE_REAL, shift, NULL),
                                       RUN("brightness", VALUE_REAL, brightness, NULL),
                                       RUN("contrast", VALUE_REAL, contrast, NULL),
                                       RUN("mirror", VALUE_FLAG, mirror, mirror_words),
                                       VALUES_END},
                   encoder_values[] = {STAGE_COMMON,
                                       STAGE("beta1", VALUE_REAL, beta1, NULL),
                                       STAGE("beta2", VALUE_REAL, beta2, NULL),
                                       STAGE("eps", VALUE_REAL, eps, NULL),
                                       STAGE("places", VALUE_REAL, places, NULL),
                                       VALUES_END},
                   teacher_values[] = {STAGE_COMMON, VALUES_END},
                   distill_values[] = {STAGE_COMMON,
                                       STAGE("teacher-lr", VALUE_REAL, teacher_lr, NULL),
                                       STAGE("kd", VALUE_REAL, kd, NULL),
                                       STAGE("ch", VALUE_REAL, ch, NULL),
                                       STAGE("temperature", VALUE_REAL, temperature, NULL),
                                       STAGE("align", VALUE_FLAG, align_published, align_words),
                                       STAGE("projection", VALUE_COUNT, projection, NULL),
                                       VALUES_END};
static const element elements[] = {{"run", run_values, -1},
                                   {"input", input_values, -1},
                                   {"augment", augment_values, -1},
                                   {"encoder", encoder_values, COT_STAGE_ENCODER},
                                   {"teacher", teacher_values, COT_STAGE_TEACHER},
                                   {"distill", distill_values, COT_STAGE_DISTILL}};
enum { N_ELEMENTS = sizeof elements / sizeof *elements };

const char *cot_stage_name(cot_stage stage)
{
    return stage_words[stage];
}

const char *cot_schedule_name(cot_schedule_kind kind)
{
    return schedule_words[kind];
}

/* ---- reading ---- */
static unsigned word_number(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (!strcmp(word, words[i])) return i;
    return 0; /* the XSD lets no other word through */
}

/* xs:double also has infinities and NaN, which no bound of the XSD keeps out for sure. */
static double finite_number(xml_file *f, const xml_node *node, const char *element_name, const char *attribute)
{
    const double number = xml_number(f, node, element_name, attribute);
    if (isfinite(number)) return number;
    problem_add(&f->problems, xml_line(f, node, attribute), "%s of <%s> is not a number. Give a finite one", attribute,
                element_name);
    return 0;
}

static void read_value(xml_file *f, cot_training *t, const element *e, const value *v, const xml_node *node)
{
    void *to = (char *)(e->stage < 0 ? (void *)t : (void *)&t->stage[e->stage]) + v->offset;
    char text[64];
    xml_text(f, text, sizeof text, node, e->name, v->name);
    switch (v->kind) {
    case VALUE_REAL: *(double *)to = finite_number(f, node, e->name, v->name); break;
    case VALUE_COUNT: *(unsigned *)to = (unsigned)xml_number(f, node, e->name, v->name); break;
    case VALUE_SEED: *(uint64_t *)to = strtoull(text, NULL, 10); break;
    case VALUE_FLAG: *(bool *)to = word_number(text, v->words) == 1; break;
    case VALUE_SCHEDULE: *(cot_schedule_kind *)to = (cot_schedule_kind)word_number(text, v->words); break;
    }
}

/* all: absent attributes too, with the XSD's defaults. */
static void read_elements(xml_file *f, cot_training *t, bool all)
{
    for (size_t i = 0; i < N_ELEMENTS; i++) {
        const xml_node *node = xml_child(xml_root(f), elements[i].name);
        for (const value *v = elements[i].values; v->name; v++)
            if (all || xml_has(node, v->name)) read_value(f, t, &elements[i], v, node);
    }
}

static cot_status read_xml(cot_training *t, const char *path, cot_blob text, const char *name, bool all, cot_error *err)
{
    cot_status status;
    xml_file f;
    COT_TRY(xml_file_init(&f, path, text, name, (cot_blob){cot_training_xsd, cot_training_xsd_size}, err));
    if (!f.problems.n) read_elements(&f, t, all);
    COT_TRY(problems_fail(&f.problems, err));
done:
    xml_file_fini(&f);
    return status;
}

/* ---- the command line ---- */
static bool belongs(const element *e, const char *name, cot_stage stage)
{
    if (e->stage >= 0 && e->stage != (int)stage) return false;
    for (const value *v = e->values; v->name; v++)
        if (!strcmp(v->name, name)) return true;
    return false;
}

static cot_status check_names(cot_stage stage, const cot_training_override *o, size_t n, cot_error *err)
{
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < N_ELEMENTS; k++) found = found || belongs(&elements[k], o[i].name, stage);
        if (!found) return cot_fail(err, COT_E_USAGE, "--%s is no option of --stage %s", o[i].name, stage_words[stage]);
        if (strpbrk(o[i].value, "<>&\"\n\r\t"))
            return cot_fail(err, COT_E_CONFIG, "--%s: the value has characters that none has", o[i].name);
    }
    return COT_OK;
}

static cot_status read_overrides(cot_training *t, cot_stage stage, const cot_training_override *o, size_t n,
                                 cot_error *err)
{
    cot_status status;
    char *text = malloc(OVERRIDES_BYTES);
    size_t at = 0;
    if (!text) return cot_fail(err, COT_E_MEMORY, "training: no memory");
    COT_TRY(check_names(stage, o, n, err));
    at += (size_t)snprintf(text, OVERRIDES_BYTES, "<training xmlns=\"urn:stepcot:training:1\">");
    for (size_t k = 0; k < N_ELEMENTS; k++) {
        at += (size_t)snprintf(text + at, OVERRIDES_BYTES - at, "<%s", elements[k].name);
        for (size_t i = 0; i < n; i++) {
            if (!belongs(&elements[k], o[i].name, stage)) continue;
            at += (size_t)snprintf(text + at, OVERRIDES_BYTES - at, " %s=\"%s\"", o[i].name, o[i].value);
            if (at + 256 >= OVERRIDES_BYTES) {
                status = cot_fail(err, COT_E_USAGE, "the options are too long");
                goto done;
            }
        }
        at += (size_t)snprintf(text + at, OVERRIDES_BYTES - at, "/>");
    }
    at += (size_t)snprintf(text + at, OVERRIDES_BYTES - at, "</training>");
    COT_TRY(read_xml(t, NULL, (cot_blob){(const unsigned char *)text, at}, "the command line", false, err));
done:
    free(text);
    return status;
}

/* What the grammar cannot say. */
static cot_status check_meaning(const cot_training *t, cot_stage stage, cot_error *err)
{
    const cot_training_stage *s = &t->stage[stage];
    if (!(s->lr > 0) || (stage == COT_STAGE_DISTILL && !(s->teacher_lr > 0)))
        return cot_fail(err, COT_E_CONFIG, "training: the learning rate of stage %s is 0: nothing would be learnt",
                        stage_words[stage]);
    if (t->teacher_dim % t->teacher_heads)
        return cot_fail(err, COT_E_CONFIG, "training: teacher-heads %u must divide teacher-dim %u", t->teacher_heads,
                        t->teacher_dim);
    if (t->size % 32)
        return cot_fail(err, COT_E_CONFIG, "training: size %u is no multiple of 32, as ResNet-18 needs", t->size);
    return COT_OK;
}

cot_status cot_training_load(cot_training *out, const char *path, cot_stage stage,
                             const cot_training_override *overrides, size_t n_overrides, cot_error *err)
{
    cot_status status;
    memset(out, 0, sizeof *out);
    COT_TRY(read_xml(out, path, cot_training_default_xml(), "training.xml (embedded)", true, err));
    if (n_overrides) COT_TRY(read_overrides(out, stage, overrides, n_overrides, err));
    COT_TRY(check_meaning(out, stage, err));
done:
    return status;
}

/* ---- names and printing ---- */
size_t cot_training_names(cot_training_name *names, size_t room)
{
    size_t n = 0;
    for (size_t k = 0; k < N_ELEMENTS; k++)
        for (const value *v = elements[k].values; v->name; v++) {
            size_t i = 0;
            while (i < n && i < room && strcmp(names[i].name, v->name) != 0) i++;
            if (i == n && n < room) names[n++] = (cot_training_name){elements[k].name, v->name, {false}};
            for (int s = 0; i < room && s < COT_STAGES; s++)
                names[i].in_stage[s] = names[i].in_stage[s] || elements[k].stage < 0 || elements[k].stage == s;
        }
    return n;
}

static void print_value(const cot_training *t, const element *e, const value *v, FILE *stream)
{
    const void *from = (const char *)(e->stage < 0 ? (const void *)t : (const void *)&t->stage[e->stage]) + v->offset;
    fprintf(stream, " %s=\"", v->name);
    switch (v->kind) {
    case VALUE_REAL: {
        char text[40]; /* the shortest that is this number again */
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, *(const double *)from);
            if (strtod(text, NULL) == *(const double *)from) break;
        }
        fputs(text, stream);
        break;
    }
    case VALUE_COUNT: fprintf(stream, "%u", *(const unsigned *)from); break;
    case VALUE_SEED: fprintf(stream, "%llu", (unsigned long long)*(const uint64_t *)from); break;
    case VALUE_FLAG: fputs(v->words[*(const bool *)from], stream); break;
    case VALUE_SCHEDULE: fputs(v->words[*(const cot_schedule_kind *)from], stream); break;
    }
    fputc('"', stream);
}

cot_status cot_training_print(const cot_training *training, FILE *stream, cot_error *err)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<training xmlns=\"urn:stepcot:training:1\">\n", stream);
    for (size_t k = 0; k < N_ELEMENTS; k++) {
        fprintf(stream, "  <%s", elements[k].name);
        for (const value *v = elements[k].values; v->name; v++) print_value(training, &elements[k], v, stream);
        fputs("/>\n", stream);
    }
    fputs("</training>\n", stream);
    return ferror(stream) ? cot_fail(err, COT_E_IO, "the hyper-parameters could not be written") : COT_OK;
}

cot_blob cot_training_default_xml(void)
{
    return (cot_blob){cot_training_xml, cot_training_xml_size};
}
