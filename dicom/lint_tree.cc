/* From a data set to content items with positions. The plain data set, not DSRDocument: DCMTK repairs and drops what a viewer
 * would stumble over. Depth is bounded by the guard. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"

#include <cstdlib>

std::string lint_string(DcmItem &item, const DcmTagKey &key)
{
    OFString value;
    item.findAndGetOFStringArray(key, value);
    return value.c_str();
}

const lint_item *lint_item::child(const cot_code &code) const
{
    for (const auto &item : children)
        if (item->name.is(code)) return item.get();
    return nullptr;
}

const lint_item *lint_report::at(const std::string &position) const
{
    const auto found = positions.find(position);
    return found == positions.end() ? nullptr : found->second;
}

static lint_code read_code(DcmItem &from, const DcmTagKey &key)
{
    lint_code code;
    DcmSequenceOfItems *sequence = nullptr;
    if (from.findAndGetSequence(key, sequence).bad() || !sequence) return code;
    code.items = sequence->card();
    if (!code.items) return code;
    DcmItem &item = *sequence->getItem(0);
    code.value = lint_string(item, DCM_CodeValue);
    code.scheme = lint_string(item, DCM_CodingSchemeDesignator);
    code.meaning = lint_string(item, DCM_CodeMeaning);
    return code;
}

static std::string read_template(DcmItem &from)
{
    DcmItem *item = nullptr;
    if (from.findAndGetSequenceItem(DCM_ContentTemplateSequence, item, 0).bad() || !item) return "";
    return lint_string(*item, DCM_MappingResource) + "/" + lint_string(*item, DCM_TemplateIdentifier);
}

static std::string read_text(lint_item &item)
{
    DcmItem *measured = nullptr;
    if (item.type == "UIDREF") return lint_string(*item.data, DCM_UID);
    if (item.type != "NUM") return lint_string(*item.data, DCM_TextValue);
    if (item.data->findAndGetSequenceItem(DCM_MeasuredValueSequence, measured, 0).bad() || !measured) return "";
    return lint_string(*measured, DCM_NumericValue);
}

static void read_item(lint_report &report, lint_item &item)
{
    DcmItem &data = *item.data;
    DcmElement *path = nullptr;
    item.relation = lint_string(data, DCM_RelationshipType);
    item.type = lint_string(data, DCM_ValueType);
    item.name = read_code(data, DCM_ConceptNameCodeSequence);
    item.value = read_code(data, DCM_ConceptCodeSequence);
    item.tid = read_template(data);
    item.text = read_text(item);
    item.observation_uid = lint_string(data, DCM_ObservationUID);
    if (data.findAndGetElement(DCM_ReferencedContentItemIdentifier, path).good() && path) {
        Uint32 number = 0;
        for (unsigned long i = 0; path->getUint32(number, i).good(); i++) item.target.push_back(number);
    }
    item.number = report.items.size();
    report.items.push_back(&item);
    report.positions[item.position] = &item;
    if (!item.observation_uid.empty()) report.observations.emplace(item.observation_uid, &item);
    DcmSequenceOfItems *content = nullptr;
    if (data.findAndGetSequence(DCM_ContentSequence, content).bad() || !content) return;
    for (unsigned long i = 0; i < content->card(); i++) {
        item.children.push_back(std::make_unique<lint_item>());
        lint_item &child = *item.children.back();
        child.data = content->getItem(i);
        child.parent = &item;
        child.position = item.position + "." + std::to_string(i + 1);
        read_item(report, child);
    }
}

void lint_tree_build(lint_report &report)
{
    report.root.data = &report.data();
    report.root.position = "1";
    read_item(report, report.root);
}

bool lint_percent(const lint_item &item, double &percent, int &decimals)
{
    std::string text = item.text;
    if (item.type == "TEXT") {
        if (text.size() < 3 || text.compare(text.size() - 2, 2, " %") != 0) return false;
        text.resize(text.size() - 2);
    } else if (item.type != "NUM") {
        return false;
    }
    char *end = nullptr;
    percent = std::strtod(text.c_str(), &end);
    if (text.empty() || *end) return false;
    const size_t dot = text.find('.');
    decimals = dot == std::string::npos ? 0 : static_cast<int>(text.size() - dot - 1);
    return true;
}
