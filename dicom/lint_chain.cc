/* The chain of premises, by value or by reference: every premise can be found (C1), nothing rests on itself (C2), and
 * references stand only where the standard and viewers bear them (C3). SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/report_concepts.h"

static bool is_inference(const lint_item &item)
{
    return item.relation == "INFERRED FROM";
}

/* ---- by reference ---- */
static std::string path_text(const std::vector<Uint32> &path)
{
    std::string text;
    for (const Uint32 number : path) text += (text.empty() ? "" : ".") + std::to_string(number);
    return text;
}

static bool is_ancestor(const lint_item *candidate, const lint_item *item)
{
    for (const lint_item *up = item; up; up = up->parent)
        if (up == candidate) return true;
    return false;
}

static const lint_item *check_reference(lint_session &s, const lint_report &report, const lint_item &item)
{
    const lint_item *target = report.at(path_text(item.target));
    const std::string &above = item.parent ? item.parent->type : item.type;
    if (report.sop_class == UID_BasicTextSRStorage || report.sop_class == UID_EnhancedSRStorage)
        s.say("C3", report, &item, "a by-reference item in a SOP class that forbids them",
              "use Comprehensive or Comprehensive 3D SR, or the by-value form");
    if (above != "CODE" && above != "NUM" && above != "TEXT")
        s.say("C3", report, &item, "a by-reference item directly in a container; viewers crash on it",
              "put it below a CODE, NUM or TEXT");
    if (!target || target->by_reference()) {
        s.say("C1", report, &item, "refers to an item that does not exist", "count the positions again");
        return nullptr;
    }
    if (is_ancestor(target, &item)) {
        s.say("C2", report, &item, "refers to an item above itself", "refer to an earlier answer");
        return nullptr;
    }
    return target;
}

/* ---- by value ---- */
/* The observation this item restates: same Observation UID, name and value, not itself a restatement. */
static const lint_item *original_of(const lint_report &report, const lint_item &item)
{
    const auto range = report.observations.equal_range(item.observation_uid);
    for (auto at = range.first; at != range.second; ++at) {
        const lint_item *other = at->second;
        if (!is_inference(*other) && other->name.value == item.name.value && other->name.scheme == item.name.scheme &&
            other->value.value == item.value.value && other->value.scheme == item.value.scheme)
            return other;
    }
    return nullptr;
}

static const lint_item *check_value(lint_session &s, const lint_report &report, const lint_item &item)
{
    if (item.observation_uid.empty()) {
        s.say("C1", report, &item, "a premise without Observation UID: nobody can tell which answer it is",
              "give it the Observation UID of that answer");
        return nullptr;
    }
    const lint_item *original = original_of(report, item);
    if (!original) {
        s.say("C1", report, &item, "no answer of this document has the premise's Observation UID, name and value",
              "restate the earlier answer as it is");
        return nullptr;
    }
    const lint_item *uid = item.child(concept_of::tracking_uid),
                    *group_uid = original->parent ? original->parent->child(concept_of::tracking_uid) : nullptr;
    if (!uid || !group_uid || uid->text != group_uid->text)
        s.say("C1", report, &item, "the premise's Tracking Unique Identifier is not that of the group it restates",
              "take it from the group of the earlier answer");
    return original;
}

/* ---- all of them ---- */
/* A circle must somewhere lead forwards in the document, where every premise stands before what rests on it. */
void lint_chain(lint_session &s, lint_report &report)
{
    for (const lint_item *item : report.items) {
        const lint_item *premise = nullptr;
        if (item->by_reference())
            premise = check_reference(s, report, *item);
        else if (is_inference(*item) && (item->type == "CODE" || item->type == "NUM" || item->type == "TEXT"))
            premise = check_value(s, report, *item);
        if (premise && is_inference(*item) && premise->number >= item->parent->number)
            s.say("C2", report, item, "rests on a later item, so that reasons could run in a circle",
                  "let every answer rest on earlier ones only");
        else if (premise && is_inference(*item) &&
                 (premise->relation == "HAS CONCEPT MOD" || premise->relation == "HAS OBS CONTEXT"))
            s.say("C1", report, item, "rests on an item that only qualifies another and answers nothing",
                  "refer to an earlier answer, or to its region");
    }
}
