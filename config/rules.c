/* nih-rules.xml → cot_rules (rules.h): grammar first, then meaning: findings and sets known, ids of steps and answers in the
 * schema, no condition that can never hold. SPDX-License-Identifier: Apache-2.0 */
#include "config/rules.h"
#include "config/xml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 32 };
typedef struct finding_set {
    char name[33];
    uint64_t findings;
} finding_set;

typedef struct loader {
    xml_file *f;
    cot_rules *rules;
    const cot_steps *steps;
    finding_set sets[SETS];
    size_t n_sets;
} loader;

/* ---- lists of findings ---- */
static uint64_t word_bits(const loader *l, const char *word)
{
    for (size_t i = 0; i < l->rules->n_findings; i++)
        if (!strcmp(l->rules->findings[i].name, word)) return (uint64_t)1 << i;
    for (size_t i = 0; i < l->n_sets; i++)
        if (!strcmp(l->sets[i].name, word)) return l->sets[i].findings;
    return 0;
}

/* "A|B|set"; 0 when the attribute is absent. */
static uint64_t read_findings(loader *l, const xml_node *node, const char *element, const char *attribute)
{
    char text[64 * 33 + 1], *rest = text;
    uint64_t bits = 0;
    xml_text(l->f, text, sizeof text, node, element, attribute);
    for (const char *word; *text && (word = strsep(&rest, "|"));) {
        const uint64_t some = word_bits(l, word);
        bits |= some;
        if (!some)
            problem_add(
                &l->f->problems, xml_line(l->f, node, attribute),
                "\"%s\" names \"%s\", which is neither a <finding> nor a <set> above. Declare it, or correct it",
                attribute, word);
    }
    return bits;
}

static void read_finding(loader *l, const xml_node *node)
{
    cot_finding finding;
    cot_rules *r = l->rules;
    xml_text(l->f, finding.name, sizeof finding.name, node, "finding", "name");
    xml_text(l->f, finding.box, sizeof finding.box, node, "finding", "box");
    if (!finding.box[0]) memcpy(finding.box, finding.name, sizeof finding.box);
    for (size_t i = 0; i < r->n_findings; i++)
        if (!strcmp(r->findings[i].name, finding.name) || !strcmp(r->findings[i].box, finding.box))
            problem_add(&l->f->problems, xml_line(l->f, node, "name"),
                        "finding \"%s\" has the name or the box word of an earlier one. Give each once", finding.name);
    r->findings[r->n_findings++] = finding;
}

static void read_set(loader *l, const xml_node *node)
{
    finding_set set = {"", 0};
    xml_text(l->f, set.name, sizeof set.name, node, "set", "name");
    if (word_bits(l, set.name))
        problem_add(&l->f->problems, xml_line(l->f, node, "name"),
                    "set \"%s\" has the name of a finding or of an earlier set. Give it its own", set.name);
    set.findings = read_findings(l, node, "set", "findings");
    l->sets[l->n_sets++] = set;
}

/* ---- rules ---- */
/* "3", "2-3" or "2-"; not asked when absent. */
static cot_range read_range(loader *l, const xml_node *node, const char *attribute)
{
    char text[16], *end;
    cot_range range = {-1, INFINITY};
    xml_text(l->f, text, sizeof text, node, "when", attribute);
    if (!*text) return range;
    range.low = (double)strtoul(text, &end, 10);
    if (*end != '-')
        range.high = range.low;
    else if (end[1])
        range.high = (double)strtoul(end + 1, NULL, 10);
    if (range.high < range.low)
        problem_add(&l->f->problems, xml_line(l->f, node, attribute), "%s \"%s\" holds nothing. Put the smaller first",
                    attribute, text);
    return range;
}

/* Position of the word in a list, or -1 when the attribute is absent. */
static int read_word(loader *l, const xml_node *node, const char *attribute, const char *const *words, int n)
{
    char text[33];
    xml_text(l->f, text, sizeof text, node, "when", attribute);
    for (int i = 0; i < n; i++)
        if (!strcmp(words[i], text)) return i;
    return -1;
}

static void read_answer(loader *l, cot_rule *rule, const cot_step *step, const xml_node *node)
{
    char id[33];
    xml_text(l->f, id, sizeof id, node, "when", "answer");
    rule->answer = -1;
    for (size_t o = 0; o < step->n_options; o++)
        if (!strcmp(step->options[o].id, id)) rule->answer = (int)o;
    if (rule->answer < 0)
        problem_add(&l->f->problems, xml_line(l->f, node, "answer"),
                    "step \"%s\" has no answer \"%s\" in the step schema %s. Use one of its answers", step->id, id,
                    l->steps->id);
}

static void read_rule(loader *l, cot_rule *rule, const cot_step *step, const xml_node *node)
{
    static const char *const sides[] = {"one", "both"}, *const side[] = {"right", "left"},
                             *const zones[] = {"upper", "middle", "lower"};
    rule->line = xml_line(l->f, node, NULL);
    rule->only = read_findings(l, node, "when", "only");
    rule->has = read_findings(l, node, "when", "has");
    rule->without = read_findings(l, node, "when", "without");
    rule->of = read_findings(l, node, "when", "of");
    rule->labels = read_range(l, node, "labels");
    rule->boxes = read_range(l, node, "boxes");
    rule->fields = read_range(l, node, "fields");
    rule->area = read_range(l, node, "area");
    rule->boxed = xml_flag(l->f, node, "when", "boxed");
    rule->sides = 1 + read_word(l, node, "sides", sides, 2);
    const int which = read_word(l, node, "side", side, 2);
    rule->side = which < 0 ? 0 : "RL"[which];
    rule->zone = read_word(l, node, "zone", zones, 3);
    read_answer(l, rule, step, node);
    const bool places = rule->boxes.low >= 0 || rule->fields.low >= 0 || rule->area.low >= 0 || rule->sides ||
                        rule->side || rule->zone >= 0;
    if (rule->of && !places)
        problem_add(&l->f->problems, rule->line,
                    "of= chooses boxes, but nothing is asked of them. Add boxes, fields, area, sides, side or zone");
    if (!rule->only && !rule->has && !rule->without && rule->labels.low < 0 && !rule->boxed && !places)
        problem_add(&l->f->problems, rule->line, "this rule always holds. Give it a condition");
}

static cot_status read_step(loader *l, const xml_node *node, cot_error *err)
{
    char id[33];
    size_t s = 0;
    xml_text(l->f, id, sizeof id, node, "step", "id");
    while (s < l->steps->n_steps && strcmp(l->steps->steps[s].id, id)) s++;
    if (s == l->steps->n_steps) {
        problem_add(&l->f->problems, xml_line(l->f, node, "id"),
                    "the step schema %s has no step \"%s\". Use the id of one of its steps", l->steps->id, id);
        return COT_OK;
    }
    cot_step_rules *to = &l->rules->steps[s];
    if (to->rules) {
        problem_add(&l->f->problems, xml_line(l->f, node, "id"), "step \"%s\" stands twice. Put its rules together",
                    id);
        return COT_OK;
    }
    to->rules = calloc(xml_count(node, "when") + 1, sizeof *to->rules);
    if (!to->rules) return cot_fail(err, COT_E_MEMORY, "label rules: no memory");
    for (const xml_node *w = xml_child(node, "when"); w; w = xml_sibling(w, "when"))
        read_rule(l, &to->rules[to->n++], &l->steps->steps[s], w);
    return COT_OK;
}

/* ---- the whole ---- */
static void read_source(loader *l, const xml_node *root)
{
    cot_rules *r = l->rules;
    const xml_node *source = xml_child(root, "source"), *field = xml_child(root, "lung-field");
    char schema[65];
    xml_text(l->f, r->id, sizeof r->id, root, "rules", "id");
    xml_text(l->f, r->version, sizeof r->version, root, "rules", "version");
    xml_text(l->f, schema, sizeof schema, root, "rules", "schema");
    if (strcmp(schema, l->steps->id))
        problem_add(
            &l->f->problems, xml_line(l->f, root, "schema"),
            "these rules answer the step schema \"%s\", the program runs with \"%s\". Use that schema, or other "
            "rules",
            schema, l->steps->id);
    xml_text(l->f, r->title, sizeof r->title, source, "source", "title");
    xml_text(l->f, r->attribution, sizeof r->attribution, source, "source", "attribution");
    xml_text(l->f, r->terms, sizeof r->terms, source, "source", "terms");
    r->width = xml_number(l->f, source, "source", "width");
    r->height = xml_number(l->f, source, "source", "height");
    r->top = xml_number(l->f, field, "lung-field", "top");
    r->bottom = xml_number(l->f, field, "lung-field", "bottom");
    r->left = xml_number(l->f, field, "lung-field", "left");
    r->right = xml_number(l->f, field, "lung-field", "right");
    r->middle = xml_number(l->f, field, "lung-field", "middle");
    if (!(r->top < r->bottom && r->left < r->middle && r->middle < r->right))
        problem_add(
            &l->f->problems, xml_line(l->f, field, NULL),
            "the lung field is empty or the midline is outside it. Give top < bottom and left < middle < right");
}

static cot_status read_rules(loader *l, cot_error *err)
{
    cot_status status = COT_OK;
    const xml_node *root = xml_root(l->f);
    cot_sha256_of(l->rules->sha256, l->f->bytes.data, l->f->bytes.size);
    l->rules->n_steps = l->steps->n_steps;
    l->rules->steps = calloc(l->steps->n_steps + 1, sizeof *l->rules->steps);
    if (!l->rules->steps) return cot_fail(err, COT_E_MEMORY, "label rules: no memory");
    read_source(l, root);
    for (const xml_node *n = xml_child(root, "finding"); n; n = xml_sibling(n, "finding")) read_finding(l, n);
    for (const xml_node *n = xml_child(root, "set"); n; n = xml_sibling(n, "set")) read_set(l, n);
    for (const xml_node *n = xml_child(root, "step"); n; n = xml_sibling(n, "step")) COT_TRY(read_step(l, n, err));
done:
    return status;
}

cot_status cot_rules_load(cot_rules **out, const char *path, const cot_steps *steps, cot_error *err)
{
    cot_status status = COT_OK;
    xml_file f;
    *out = NULL;
    loader l = {.f = &f, .rules = calloc(1, sizeof *l.rules), .steps = steps};
    COT_TRY(xml_file_init(&f, path, (cot_blob){cot_nih_rules_xml, cot_nih_rules_xml_size}, "nih-rules.xml",
                          (cot_blob){cot_nih_rules_xsd, cot_nih_rules_xsd_size}, err));
    if (!l.rules) {
        status = cot_fail(err, COT_E_MEMORY, "label rules: no memory");
        goto done;
    }
    if (!f.problems.n) COT_TRY(read_rules(&l, err));
    COT_TRY(problems_fail(&f.problems, err));
    *out = l.rules;
    l.rules = NULL;
done:
    xml_file_fini(&f);
    cot_rules_destroy(l.rules);
    return status;
}

void cot_rules_destroy(cot_rules *rules)
{
    if (!rules) return;
    for (size_t s = 0; rules->steps && s < rules->n_steps; s++) free(rules->steps[s].rules);
    free(rules->steps);
    free(rules);
}
