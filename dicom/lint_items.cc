/* Rules on single items, wherever they stand. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/report_concepts.h"

#include <algorithm>
#include <cmath>
#include <cstring>

enum : size_t { DEEPEST = 10, LARGEST_FILE = (size_t)1 << 20 };

static size_t characters(const std::string &utf8)
{
    return static_cast<size_t>(
        std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/* R1: viewers drop or crash on items without name. */
static void check_name(lint_session &s, const lint_report &report, const lint_item &item)
{
    if (item.name.items != 1)
        s.say("R1", report, &item, "has " + std::to_string(item.name.items) + " concept names",
              "give the item exactly one");
    else if (item.name.value.empty() || item.name.scheme.empty() || item.name.meaning.empty())
        s.say("R1", report, &item, "its concept name lacks value, scheme or meaning", "complete the code");
    if (item.type == "CODE" &&
        (item.value.items != 1 || item.value.value.empty() || item.value.scheme.empty() || item.value.meaning.empty()))
        s.say("R1", report, &item, "its value is no complete code", "give it one code with value, scheme and meaning");
}

/* R14: a value with a unit whose code reads by itself. */
static void check_number(lint_session &s, const lint_report &report, const lint_item &item)
{
    DcmItem *measured = nullptr, *unit = nullptr;
    Float64 value = 0;
    if (item.data->findAndGetSequenceItem(DCM_MeasuredValueSequence, measured, 0).bad() || !measured ||
        measured->findAndGetFloat64(DCM_NumericValue, value).bad() || !std::isfinite(value)) {
        s.say("R14", report, &item, "is a number without a value", "give it a Measured Value");
        return;
    }
    if (measured->findAndGetSequenceItem(DCM_MeasurementUnitsCodeSequence, unit, 0).bad() || !unit ||
        lint_string(*unit, DCM_CodeValue).empty() || lint_string(*unit, DCM_CodeMeaning).empty())
        s.say("R14", report, &item, "is a number without a unit", "give it a UCUM unit such as % or mm");
    else if (lint_string(*unit, DCM_CodingSchemeDesignator) != "UCUM")
        s.say("R14", report, &item, "has a unit that is not of UCUM; viewers show its code", "use a UCUM unit");
}

/* U1: UIDs as PS3.5 9.1, without leading zeros. */
static void check_uids(lint_session &s, const lint_report &report, const lint_item &item)
{
    const auto bad = [](const std::string &uid) {
        return uid.empty() || DcmUniqueIdentifier::checkStringValue(uid.c_str(), "1").bad();
    };
    if (item.type == "UIDREF" && bad(item.text))
        s.say("U1", report, &item, "is not a valid UID", "derive it again; components have no leading zeros");
    if (!item.observation_uid.empty() && bad(item.observation_uid))
        s.say("U1", report, &item, "its Observation UID is not a valid UID", "derive it again");
}

static void check_item(lint_session &s, const lint_report &report, const lint_item &item)
{
    if (item.by_reference()) return;
    check_name(s, report, item);
    if (item.type == "NUM") check_number(s, report, item);
    check_uids(s, report, item);
    if (item.type == "TEXT" && characters(item.text) > TEXT_ITEM_CHARACTERS)
        s.say("R18", report, &item, "is longer than 1024 characters", "split the text over several items");
    if (item.type == "SCOORD3D" || item.type == "TCOORD" || item.type == "WAVEFORM")
        s.say("R19", report, &item, "is of a kind that viewers do not show", "leave it out or use SCOORD");
    if (static_cast<size_t>(std::count(item.position.begin(), item.position.end(), '.')) >= DEEPEST)
        s.say("R18", report, &item, "is nested deeper than 10 levels", "flatten the tree");
}

void lint_items(lint_session &s, lint_report &report)
{
    for (const lint_item *item : report.items) check_item(s, report, *item);
    if (report.bytes > LARGEST_FILE)
        s.say("R18", report, nullptr, "the file is larger than 1 MB", "leave out what is not needed");
}

/* ---- P1: probabilities of one question are a whole ---- */
static void check_sum(lint_session &s, const lint_report &report, const lint_item &where, double sum, double tolerance)
{
    char text[160];
    if (std::fabs(sum - 100) <= tolerance) return;
    snprintf(text, sizeof text, "the probabilities sum to %.2f %%, not 100 %%", sum);
    s.say("P1", report, &where, text, "list every answer once, with the model's own probability");
}

/* Sum of all direct children that are percentages, and how far rounding can move it. */
static size_t sum_children(const lint_item &box, double &sum, double &tolerance)
{
    size_t n = 0;
    for (const auto &child : box.children) {
        double percent = 0;
        int decimals = 0;
        if (!lint_percent(*child, percent, decimals)) continue;
        sum += percent;
        tolerance += 0.5 * std::pow(10, -decimals);
        n++;
    }
    return n;
}

void lint_probabilities(lint_session &s, lint_report &report)
{
    for (const lint_item *item : report.items) {
        double sum = 0, tolerance = 0.01, certainty = 0;
        int decimals = 0;
        const bool all = item->is_container(concept_of::all_options) || item->is_container(concept_of::other_options);
        if (all && sum_children(*item, sum, tolerance)) check_sum(s, report, *item, sum, tolerance);
        if (all || !item->is_container(concept_of::options) || !item->parent) continue;
        const lint_item *answer = item->parent->child(concept_of::certainty);
        if (!answer || !lint_percent(*answer, certainty, decimals)) {
            s.say("P1", report, item, "lists other answers beside an answer without certainty", "say the certainty");
            continue;
        }
        sum = certainty;
        tolerance += 0.5 * std::pow(10, -decimals);
        sum_children(*item, sum, tolerance);
        check_sum(s, report, *item, sum, tolerance);
    }
}
