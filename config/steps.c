/* steps.xml → cot_steps: grammar first, then meaning (unique ids and keys, codes whole, placeholders known).
 * SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"
#include "config/xml.h"

#include <stdlib.h>
#include <string.h>

static void read_code(xml_file *f, cot_code *code, const xml_node *node, const char *element)
{
    xml_text(f, code->value, sizeof code->value, node, element, "value");
    xml_text(f, code->scheme, sizeof code->scheme, node, element, "scheme");
    xml_text(f, code->meaning, sizeof code->meaning, node, element, "meaning");
}

static void read_laterality(xml_file *f, cot_code *code, const xml_node *node)
{
    static const struct {
        const char *word;
        cot_code code;
    } sides[] = {{"right", {"24028007", "SCT", "Right"}},
                 {"left", {"7771000", "SCT", "Left"}},
                 {"bilateral", {"51440002", "SCT", "Bilateral"}}};
    char word[17];
    xml_text(f, word, sizeof word, node, "answer", "laterality");
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        if (!strcmp(word, sides[i].word)) *code = sides[i].code;
}

static void read_option(xml_file *f, cot_option *o, const xml_node *node, const cot_steps *steps)
{
    xml_text(f, o->id, sizeof o->id, node, "answer", "id");
    xml_text(f, o->label, sizeof o->label, node, "answer", "label");
    xml_text(f, o->key, sizeof o->key, node, "answer", "key");
    xml_text(f, o->code.meaning, sizeof o->code.meaning, node, "answer", "meaning");
    if (xml_has(node, "code") != xml_has(node, "scheme"))
        problem_add(&f->problems, xml_line(f, node, NULL),
                    "answer \"%s\" has only one of code and scheme. Give both or neither", o->id);
    if (xml_has(node, "code")) {
        xml_text(f, o->code.value, sizeof o->code.value, node, "answer", "code");
        xml_text(f, o->code.scheme, sizeof o->code.scheme, node, "answer", "scheme");
    } else {
        memcpy(o->code.value, o->key, sizeof o->code.value);
        memcpy(o->code.scheme, steps->scheme.value, sizeof o->code.scheme);
    }
    read_laterality(f, &o->laterality, node);
    o->negative = xml_flag(f, node, "answer", "negative");
    o->ours = xml_flag(f, node, "answer", "ours");
}

/* Every {placeholder} must be one that the engine fills in; `known` ends with NULL. */
static void check_phrase(xml_file *f, const char *phrase, const xml_node *node, const char *const *known)
{
    char list[160] = "none here";
    if (known[0]) list[0] = 0;
    for (size_t i = 0; known[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                 i == 0         ? ""
                 : known[i + 1] ? ", "
                                : " or ",
                 known[i]);
    for (const char *c = strpbrk(phrase, "{}"); c; c = strpbrk(c, "{}")) {
        size_t n = 0;
        for (size_t i = 0; known[i]; i++)
            if (!strncmp(c, known[i], strlen(known[i]))) n = strlen(known[i]);
        if (!n) {
            problem_add(&f->problems, xml_line(f, node, NULL), "unknown placeholder at \"%.24s\". Use %s", c, list);
            return;
        }
        c += n;
    }
}

static const char *const step_places[] = {"{answer}",           "{certainty}",  "{second}",
                                          "{second-certainty}", "{step-count}", NULL};

/* ---- phrases ---- */
typedef struct phrase_field {
    const char *name;
    size_t offset, size;
    const char *const places[4];
} phrase_field;
#define PHRASE(element, field, ...)                                                                                    \
    {                                                                                                                  \
        element, offsetof(cot_phrases, field), sizeof(((cot_phrases *)0)->field),                                      \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
static const phrase_field phrase_fields[] = {
    PHRASE("disagreement", disagreement, "{reader}", "{answer}", "{certainty}", NULL),
    PHRASE("where", where, "{place}", "{share}", NULL),
    PHRASE("whole", whole, NULL),
    PHRASE("influences", influences, "{list}", NULL),
    PHRASE("influence", influence, "{step}", "{answer}", "{points}", NULL),
    PHRASE("no-influence", no_influence, NULL),
    PHRASE("evidence-of", evidence_of, "{reader}", "{other}", NULL),
    PHRASE("disagreements", disagreements, "{count}", "{compared}", "{steps}", NULL),
    PHRASE("agreement", agreement, "{reader}", "{compared}", NULL),
    PHRASE("answered", answered, "{step}", "{answer}", "{certainty}", NULL),
    PHRASE("missing", missing, "{steps}", "{reason}", NULL),
    PHRASE("calibrated", calibrated, NULL),
    PHRASE("uncalibrated", uncalibrated, NULL),
    PHRASE("partly-calibrated", partly_calibrated, "{steps}", NULL),
    PHRASE("not-trained", not_trained, NULL),
    PHRASE("percent", percent, "{number}", NULL),
    PHRASE("percent-under", percent_under, NULL),
    PHRASE("percent-over", percent_over, NULL),
    PHRASE("decimal-mark", decimal_mark, NULL),
    PHRASE("place-assumed", place_assumed, "{place}", NULL),
};

static size_t index_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word, words[i])) return i;
    return n;
}

static void read_places(xml_file *f, cot_phrases *phrases, const xml_node *node)
{
    static const char *const sides[COT_SIDES] = {"right", "left", "midline", "span"};
    static const char *const zones[COT_ZONES] = {"upper", "middle", "lower", "all"};
    char word[17];
    for (const xml_node *n = node ? xml_child(node, "place") : NULL; n; n = xml_sibling(n, "place")) {
        xml_text(f, word, sizeof word, n, "place", "side");
        const size_t side = index_of(word, sides, COT_SIDES);
        xml_text(f, word, sizeof word, n, "place", "zone");
        const size_t zone = index_of(word, zones, COT_ZONES);
        if (side == COT_SIDES || zone == COT_ZONES) continue; /* the XSD has said so */
        char *const place = phrases->place[side][zone];
        if (place[0])
            problem_add(&f->problems, xml_line(f, n, NULL), "a <place> of this side and zone stands before. Keep one");
        xml_content(f, place, sizeof phrases->place[side][zone], n);
    }
}

static void read_phrases(xml_file *f, cot_phrases *phrases, const xml_node *node)
{
    for (size_t i = 0; node && i < sizeof phrase_fields / sizeof *phrase_fields; i++) {
        const phrase_field *field = &phrase_fields[i];
        const xml_node *phrase = xml_child(node, field->name);
        char *to = (char *)phrases + field->offset;
        if (!phrase) continue;
        xml_content(f, to, field->size, phrase);
        check_phrase(f, to, phrase, field->places);
    }
    if (node) read_places(f, phrases, xml_child(node, "places"));
}

static cot_status read_step(xml_file *f, cot_step *step, const xml_node *node, const cot_steps *steps, cot_error *err)
{
    xml_text(f, step->id, sizeof step->id, node, "step", "id");
    xml_text(f, step->title, sizeof step->title, node, "step", "title");
    xml_text(f, step->question, sizeof step->question, node, "step", "ask");
    read_code(f, &step->code, xml_child(node, "code"), "code");
    read_code(f, &step->concept, xml_child(node, "concept"), "concept");
    const xml_node *phrase = xml_child(node, "phrase"), *alone = xml_child(node, "phrase-alone");
    xml_content(f, step->phrase, sizeof step->phrase, phrase);
    xml_content(f, step->phrase_alone, sizeof step->phrase_alone, alone);
    check_phrase(f, step->phrase, phrase, step_places);
    check_phrase(f, step->phrase_alone, alone, step_places);
    if (strstr(step->phrase_alone, "{second"))
        problem_add(&f->problems, xml_line(f, alone, NULL),
                    "<phrase-alone> names {second}. Take it out: it is used when there is none");
    const size_t n = xml_count(node, "answer");
    step->options = calloc(n ? n : 1, sizeof *step->options);
    if (!step->options) return cot_fail(err, COT_E_MEMORY, "step schema: no memory for %zu answers", n);
    for (const xml_node *a = xml_child(node, "answer"); a; a = xml_sibling(a, "answer"))
        read_option(f, &step->options[step->n_options++], a, steps);
    return COT_OK;
}

/* ---- meaning ---- */
/* The earlier option (of the whole schema) with the same key, or of the same step with the same id. */
static const cot_option *twin_of(const cot_steps *steps, size_t s, size_t o)
{
    const cot_option *mine = &steps->steps[s].options[o];
    for (size_t i = 0; i <= s; i++)
        for (size_t k = 0; k < (i == s ? o : steps->steps[i].n_options); k++) {
            const cot_option *other = &steps->steps[i].options[k];
            if (!strcmp(other->key, mine->key) || (i == s && !strcmp(other->id, mine->id))) return other;
        }
    return NULL;
}

static void check_step(xml_file *f, const cot_steps *steps, size_t s, const xml_node *node)
{
    const cot_step *step = &steps->steps[s];
    for (size_t i = 0; i < s; i++)
        if (!strcmp(steps->steps[i].id, step->id) || !strcmp(steps->steps[i].code.value, step->code.value))
            problem_add(&f->problems, xml_line(f, node, "id"),
                        "step \"%s\" has the id or the code of an earlier step. Give it its own", step->id);
    size_t o = 0;
    for (const xml_node *a = xml_child(node, "answer"); a; a = xml_sibling(a, "answer"), o++)
        if (twin_of(steps, s, o))
            problem_add(&f->problems, xml_line(f, a, "key"),
                        "answer \"%s\" has the id or the key %s of an earlier answer. Give it its own",
                        step->options[o].id, step->options[o].key);
}

static cot_status read_steps(xml_file *f, cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    const xml_node *root = xml_root(f), *scheme = xml_child(root, "scheme");
    xml_text(f, steps->id, sizeof steps->id, root, "steps", "id");
    xml_text(f, steps->version, sizeof steps->version, root, "steps", "version");
    xml_text(f, steps->language, sizeof steps->language, root, "steps", "language");
    xml_text(f, steps->scheme.value, sizeof steps->scheme.value, scheme, "scheme", "designator");
    xml_text(f, steps->scheme.meaning, sizeof steps->scheme.meaning, scheme, "scheme", "name");
    xml_text(f, steps->organization, sizeof steps->organization, scheme, "scheme", "organization");
    read_phrases(f, &steps->phrases, xml_child(root, "phrases"));
    cot_sha256_of(steps->sha256, f->bytes.data, f->bytes.size);
    const size_t n = xml_count(root, "step");
    steps->steps = calloc(n ? n : 1, sizeof *steps->steps);
    if (!steps->steps) return cot_fail(err, COT_E_MEMORY, "step schema: no memory for %zu steps", n);
    for (const xml_node *s = xml_child(root, "step"); s; s = xml_sibling(s, "step")) {
        COT_TRY(read_step(f, &steps->steps[steps->n_steps++], s, steps, err));
        check_step(f, steps, steps->n_steps - 1, s);
    }
done:
    return status;
}

bool cot_steps_embedded(const char *word)
{
    return !strcmp(word, "en") || !strcmp(word, "de");
}

cot_status cot_steps_load(cot_steps **out, const char *path, cot_error *err)
{
    const bool german = path && !strcmp(path, "de"), embedded = path && cot_steps_embedded(path);
    cot_status status = COT_OK;
    xml_file f;
    *out = NULL;
    cot_steps *steps = calloc(1, sizeof *steps);
    COT_TRY(xml_file_init(&f, embedded ? NULL : path,
                          german ? (cot_blob){cot_steps_de_xml, cot_steps_de_xml_size}
                                 : (cot_blob){cot_steps_xml, cot_steps_xml_size},
                          german ? "steps.de.xml" : "steps.xml", (cot_blob){cot_steps_xsd, cot_steps_xsd_size}, err));
    if (!steps) {
        status = cot_fail(err, COT_E_MEMORY, "step schema: no memory");
        goto done;
    }
    if (!f.problems.n) COT_TRY(read_steps(&f, steps, err));
    COT_TRY(problems_fail(&f.problems, err));
    *out = steps;
    steps = NULL;
done:
    xml_file_fini(&f);
    cot_steps_destroy(steps);
    return status;
}

void cot_steps_destroy(cot_steps *steps)
{
    if (!steps) return;
    for (size_t s = 0; steps->steps && s < steps->n_steps; s++) free(steps->steps[s].options);
    free(steps->steps);
    free(steps);
}
