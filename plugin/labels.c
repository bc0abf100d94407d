/* Findings and boxes to answers (labels.h): the first rule that holds. Nothing here knows a finding or a step by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/labels.h"

char label_box_side(const cot_rules *rules, const label_box *box)
{
    return box->x + box->w / 2 < rules->middle * rules->width ? 'R' : 'L'; /* radiological convention */
}

int label_box_zone(const cot_rules *rules, const label_box *box)
{
    const double top = rules->top * rules->height, height = (rules->bottom - rules->top) * rules->height;
    const double third = (box->y + box->h / 2 - top) / height * 3;
    return third < 1 ? 0 : third < 2 ? 1 : 2;
}

/* What a rule may ask of the boxes that count. */
typedef struct places {
    size_t n, fields;
    double area; /* percent of the lung field */
    bool right, left, zone[3];
} places;

static places look(const cot_rules *rules, uint64_t of, const label_box *boxes, size_t n)
{
    places p = {0};
    bool held[6] = {false};
    const double field = (rules->bottom - rules->top) * (rules->right - rules->left) * rules->width * rules->height;
    for (size_t b = 0; b < n; b++) {
        if (of && !(of >> boxes[b].finding & 1)) continue;
        const char side = label_box_side(rules, &boxes[b]);
        const int zone = label_box_zone(rules, &boxes[b]);
        p.n++;
        p.area += 100 * boxes[b].w * boxes[b].h / field;
        p.zone[zone] = true;
        p.right = p.right || side == 'R';
        p.left = p.left || side == 'L';
        held[zone * 2 + (side == 'L')] = true;
    }
    for (int i = 0; i < 6; i++) p.fields += held[i];
    return p;
}

static bool within(cot_range range, double value)
{
    return range.low < 0 || (value >= range.low && value <= range.high);
}

static bool asks_places(const cot_rule *r)
{
    return r->boxes.low >= 0 || r->fields.low >= 0 || r->area.low >= 0 || r->sides || r->side || r->zone >= 0;
}

/* Without a box only its number can be asked: nothing lies anywhere. */
static bool places_hold(const cot_rules *rules, const cot_rule *r, const label_box *boxes, size_t n)
{
    const places p = look(rules, r->of, boxes, n);
    if (!within(r->boxes, (double)p.n)) return false;
    const bool more = r->fields.low >= 0 || r->area.low >= 0 || r->sides || r->side || r->zone >= 0;
    if (more && !p.n) return false;
    if (!within(r->fields, (double)p.fields) || !within(r->area, p.area)) return false;
    if (r->sides && p.right + p.left != r->sides) return false;
    if (r->side && (r->side == 'R' ? p.left : p.right)) return false;
    for (int z = 0; r->zone >= 0 && z < 3; z++)
        if (p.zone[z] != (z == r->zone)) return false;
    return true;
}

static bool holds(const cot_rules *rules, const cot_rule *r, uint64_t findings, const label_box *boxes, size_t n)
{
    uint64_t boxed = 0;
    for (size_t b = 0; b < n; b++) boxed |= (uint64_t)1 << boxes[b].finding;
    if (!findings) return false;
    if (r->only && (findings & ~r->only)) return false;
    if (r->has && !(findings & r->has)) return false;
    if (findings & r->without) return false;
    if (!within(r->labels, (double)__builtin_popcountll(findings))) return false;
    if (r->boxed && (findings & ~boxed)) return false;
    return !asks_places(r) || places_hold(rules, r, boxes, n);
}

void labels_derive(int *label, const cot_rules *rules, uint64_t findings, const label_box *boxes, size_t n)
{
    for (size_t s = 0; s < rules->n_steps; s++) {
        const cot_step_rules *step = &rules->steps[s];
        label[s] = -1;
        for (size_t i = 0; label[s] < 0 && i < step->n; i++)
            if (holds(rules, &step->rules[i], findings, boxes, n)) label[s] = step->rules[i].answer;
    }
}
