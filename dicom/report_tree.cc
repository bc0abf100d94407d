/* Content items, one call each. Every item gets a concept name (viewers drop or choke on nameless ones), and no text is longer
 * than 1024 characters. tree_item* add anything anywhere; the others add direct children of containers only, as the reading
 * report needs them (viewers hide what lies below other items).
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/report_internal.h"

static DSRCodedEntryValue coded(const cot_code &code)
{
    return DSRCodedEntryValue(text_line(code.value, SHORT_STRING_CHARACTERS).c_str(),
                              text_line(code.scheme, SHORT_STRING_CHARACTERS).c_str(),
                              text_line(code.meaning, LONG_STRING_CHARACTERS).c_str());
}

size_t tree_item(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, DSRTypes::E_ValueType type,
                 const cot_code &name)
{
    const DSRCodedEntryValue concept_name = coded(name);
    if (!concept_name.isComplete()) report_fail(COT_E_BUG, std::string("report: incomplete concept ") + name.value);
    if (parent && !t.tree.gotoNode(parent)) report_fail(COT_E_BUG, "report: a parent item is gone");
    const DSRTypes::E_AddMode mode = parent ? DSRTypes::AM_belowCurrent : DSRTypes::AM_afterCurrent;
    if (!t.tree.addContentItem(relation, type, mode))
        report_fail(COT_E_BUG, std::string("report: DCMTK refuses an item named ") + name.value);
    report_require(t.tree.getCurrentContentItem().setConceptName(concept_name), "report: set a concept name");
    return t.tree.getNodeID();
}

size_t tree_item_string(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation,
                        DSRTypes::E_ValueType type, const cot_code &name, const std::string &value)
{
    const size_t id = tree_item(t, parent, relation, type, name);
    report_require(t.tree.getCurrentContentItem().setStringValue(value.c_str()), "report: set a text");
    return id;
}

size_t tree_item_code(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, const cot_code &name,
                      const cot_code &value)
{
    const size_t id = tree_item(t, parent, relation, DSRTypes::VT_Code, name);
    report_require(t.tree.getCurrentContentItem().setCodeValue(coded(value)), "report: set a code");
    return id;
}

size_t tree_item_number(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, const cot_code &name,
                        const std::string &value, const cot_code &unit)
{
    const size_t id = tree_item(t, parent, relation, DSRTypes::VT_Num, name);
    const DSRNumericMeasurementValue number(value.c_str(), coded(unit));
    report_require(t.tree.getCurrentContentItem().setNumericValue(number), "report: set a number");
    return id;
}

void tree_template(report_tree &t, size_t item, const char *tid)
{
    if (!t.tree.gotoNode(item)) report_fail(COT_E_BUG, "report: an item is gone");
    report_require(
        t.tree.getCurrentContentItem().setTemplateIdentification(tid, "DCMR", UID_DICOMContentMappingResource),
        "report: name a template");
}

size_t tree_root(report_tree &t, const cot_code &title)
{
    return tree_item(t, 0, DSRTypes::RT_isRoot, DSRTypes::VT_Container, title);
}

size_t tree_container(report_tree &t, size_t parent, const cot_code &name)
{
    return tree_item(t, parent, DSRTypes::RT_contains, DSRTypes::VT_Container, name);
}

void tree_text(report_tree &t, size_t parent, const cot_code &name, const std::string &text)
{
    for (const std::string &piece : text_split(text_clean(text), TEXT_ITEM_CHARACTERS))
        tree_item_string(t, parent, DSRTypes::RT_contains, DSRTypes::VT_Text, name, piece);
}

void tree_code(report_tree &t, size_t parent, const cot_code &name, const cot_code &value)
{
    tree_item_code(t, parent, DSRTypes::RT_contains, name, value);
}

void tree_percent(report_tree &t, size_t parent, const cot_code &name, double fraction)
{
    const std::string value = text_percent(fraction);
    if (t.basic) {
        tree_text(t, parent, name, value + " %");
        return;
    }
    tree_item_number(t, parent, DSRTypes::RT_contains, name, value, {"%", "UCUM", "Percent"});
}

void tree_image(report_tree &t, size_t parent, const cot_code &name, const std::string &sop_class,
                const std::string &sop_instance)
{
    if (dcmIsImageStorageSOPClassUID(sop_class.c_str())) {
        tree_item(t, parent, DSRTypes::RT_contains, DSRTypes::VT_Image, name);
        const DSRImageReferenceValue image(sop_class.c_str(), sop_instance.c_str());
        report_require(t.tree.getCurrentContentItem().setImageReference(image), "report: refer to the image");
    } else {
        tree_item(t, parent, DSRTypes::RT_contains, DSRTypes::VT_Composite, name);
        const DSRCompositeReferenceValue object(sop_class.c_str(), sop_instance.c_str());
        report_require(t.tree.getCurrentContentItem().setCompositeReference(object), "report: refer to the object");
    }
}

void tree_context_code(report_tree &t, size_t root, report_context kind, const cot_code &name, const cot_code &value)
{
    tree_item_code(t, root, kind == CONTEXT_MODIFIER ? DSRTypes::RT_hasConceptMod : DSRTypes::RT_hasObsContext, name,
                   value);
}

void tree_context_text(report_tree &t, size_t root, const cot_code &name, const std::string &text)
{
    const std::string line = text_line(text, LONG_STRING_CHARACTERS);
    if (!line.empty()) tree_item_string(t, root, DSRTypes::RT_hasObsContext, DSRTypes::VT_Text, name, line);
}

void tree_context_uid(report_tree &t, size_t root, const cot_code &name, const std::string &uid)
{
    tree_item_string(t, root, DSRTypes::RT_hasObsContext, DSRTypes::VT_UIDRef, name, uid);
}
