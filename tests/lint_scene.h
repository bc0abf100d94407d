/* A folder with an image and a report to break, and the items of a report found by concept, for test_lint.cc (C++).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_TESTS_LINT_SCENE_H
#define COT_TESTS_LINT_SCENE_H
#include "check.h"
#include "report_cases.h"

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dctk.h>
#include <functional>
#include <string>
#include <vector>

namespace
{
struct finding {
    std::string file, rule, where, what, advice;
};
inline void collect(void *ctx, const cot_lint_finding *f)
{
    static_cast<std::vector<finding> *>(ctx)->push_back({f->file, f->rule, f->where, f->what, f->advice});
}

enum kind { READING, BASIC, MEASUREMENT, REFERENCE };

struct scene { /* a folder with an image and a report */
    char folder[32] = "/tmp/cot-lint-XXXXXX";
    std::string image, report, other;
    cot_steps *steps = nullptr;
    scene()
    {
        cot_error err = COT_ERROR_INIT;
        cot_dicom_init();
        if (!mkdtemp(folder) || cot_steps_load(&steps, nullptr, &err) != COT_OK) abort();
        image = std::string(folder) + "/image.dcm";
        report = std::string(folder) + "/report.dcm";
        other = std::string(folder) + "/other.dcm";
        case_image plain = case_image_default();
        plain.rich = true;
        case_image_write(image.c_str(), &plain);
    }
    ~scene()
    {
        for (const std::string &path : {image, report, other}) unlink(path.c_str());
        rmdir(folder);
        cot_steps_destroy(steps);
    }
    scene(const scene &) = delete;
    scene &operator=(const scene &) = delete;
    void write(kind k, const std::string &path) const
    {
        cot_chain *chain = case_chain(steps, true);
        case_evidence(chain);
        write(k, path, chain);
        cot_chain_destroy(chain);
    }
    void write(kind k, const std::string &path, const cot_chain *chain) const
    {
        cot_error err = COT_ERROR_INIT;
        cot_report_made made;
        cot_report_options options = k == MEASUREMENT || k == REFERENCE ? case_measurement() : case_options();
        options.basic_text = k == BASIC;
        options.by_reference = k == REFERENCE;
        CHECK_OK(
            cot_report_write(&made, path.c_str(), image.c_str(), CASE_DIGEST, chain, steps, &options, CASE_NOW, &err));
    }
    std::vector<finding> lint(const std::vector<std::string> &paths) const
    {
        std::vector<finding> found;
        std::vector<const char *> words;
        cot_error err = COT_ERROR_INIT;
        size_t n = 0;
        for (const std::string &path : paths) words.push_back(path.c_str());
        CHECK_OK(cot_report_lint(words.data(), words.size(), collect, &found, &n, &err));
        CHECK_NUMBER(n, found.size());
        return found;
    }
};

inline void check_clean(const char *what, const std::vector<finding> &found)
{
    check_count++;
    for (const finding &f : found)
        CHECK_FAIL_("%s: %s at %s: %s", what, f.rule.c_str(), f.where.c_str(), f.what.c_str());
}

/* ---- items by their concept ---- */
inline std::string text_at(DcmItem &from, const DcmTagKey &key)
{
    OFString value;
    from.findAndGetOFStringArray(key, value);
    return value.c_str();
}
inline std::string name_of(DcmItem &item)
{
    DcmItem *code = nullptr;
    return item.findAndGetSequenceItem(DCM_ConceptNameCodeSequence, code, 0).good() && code
               ? text_at(*code, DCM_CodeValue)
               : "";
}
/* The first item, in document order, that satisfies; its parent beside it. */
struct found_item {
    DcmItem *item, *parent;
};
inline found_item find(DcmItem &from, const std::function<bool(DcmItem &)> &wanted)
{
    DcmSequenceOfItems *content = nullptr;
    if (from.findAndGetSequence(DCM_ContentSequence, content).bad() || !content) return {nullptr, nullptr};
    for (unsigned long i = 0; i < content->card(); i++) {
        DcmItem *item = content->getItem(i);
        if (wanted(*item)) return {item, &from};
        const found_item below = find(*item, wanted);
        if (below.item) return below;
    }
    return {nullptr, nullptr};
}
inline DcmItem &named(DcmItem &from, const char *code, const char *type = nullptr)
{
    const found_item found = find(
        from, [&](DcmItem &item) { return name_of(item) == code && (!type || text_at(item, DCM_ValueType) == type); });
    if (!found.item) {
        fprintf(stderr, "no item %s\n", code);
        abort();
    }
    return *found.item;
}
inline DcmItem &of_type(DcmItem &from, const char *type)
{
    const found_item found = find(from, [&](DcmItem &item) { return text_at(item, DCM_ValueType) == type; });
    if (!found.item) abort();
    return *found.item;
}
inline DcmItem &reference(DcmItem &from)
{
    const found_item found =
        find(from, [](DcmItem &item) { return item.tagExists(DCM_ReferencedContentItemIdentifier) != OFFalse; });
    if (!found.item) abort();
    return *found.item;
}
inline void set(DcmItem &item, const DcmTagKey &key, const char *value)
{
    if (item.putAndInsertString(key, value).bad()) abort();
}
inline void set_path(DcmItem &item, const std::vector<Uint32> &path)
{
    if (item.putAndInsertUint32Array(DCM_ReferencedContentItemIdentifier, path.data(), path.size()).bad()) abort();
}
inline std::vector<Uint32> path_of(DcmItem &item)
{
    std::vector<Uint32> path;
    Uint32 number = 0;
    for (unsigned long i = 0; item.findAndGetUint32(DCM_ReferencedContentItemIdentifier, number, i).good(); i++)
        path.push_back(number);
    return path;
}
inline DcmItem &first(DcmItem &item, const DcmTagKey &sequence)
{
    DcmItem *inner = nullptr;
    if (item.findAndGetSequenceItem(sequence, inner, 0).bad() || !inner) abort();
    return *inner;
}
inline void remove(DcmItem &item, const DcmTagKey &key)
{
    if (item.findAndDeleteElement(key).bad()) abort();
}
inline void remove_item(DcmItem &from, const char *code)
{
    const found_item found = find(from, [&](DcmItem &item) { return name_of(item) == code; });
    DcmSequenceOfItems *content = nullptr;
    if (!found.item || found.parent->findAndGetSequence(DCM_ContentSequence, content).bad()) abort();
    delete content->remove(found.item);
}
inline void append_copy(DcmItem &item, DcmItem &to)
{
    DcmSequenceOfItems *content = nullptr;
    if (to.findAndGetSequence(DCM_ContentSequence, content).bad() || !content) {
        content = new DcmSequenceOfItems(DCM_ContentSequence);
        if (to.insert(content).bad()) abort();
    }
    if (content->append(new DcmItem(item)).bad()) abort();
}

/* ---- defects ---- */
/* Writes a good report, breaks it, and wants the rule among the findings. */
struct seeded {
    const char *what, *rule;
    kind of;
    std::function<void(DcmFileFormat &, DcmDataset &)> breaks;
};
inline void check_defect(const scene &s, const seeded &d)
{
    s.write(d.of, s.report);
    DcmFileFormat file;
    REQUIRE(file.loadFile(s.report.c_str()).good());
    file.loadAllDataIntoMemory();
    d.breaks(file, *file.getDataset());
    REQUIRE(file.saveFile(s.report.c_str(), EXS_LittleEndianExplicit, EET_ExplicitLength, EGL_recalcGL,
                          EPD_withoutPadding, 0, 0, EWM_dontUpdateMeta)
                .good());
    const std::vector<finding> found = s.lint({s.report, s.image});
    check_count++;
    for (const finding &f : found)
        if (f.rule == d.rule) {
            CHECK(!f.what.empty() && !f.advice.empty() && !f.where.empty());
            return;
        }
    CHECK_FAIL_("%s: %s is not among %zu findings%s%s", d.what, d.rule, found.size(), found.empty() ? "" : ", first ",
                found.empty() ? "" : (found[0].rule + " " + found[0].what).c_str());
}

inline DcmItem &scoord(DcmDataset &d)
{
    return of_type(d, "SCOORD");
}
inline DcmItem &sop_of_evidence(DcmDataset &d)
{
    return first(first(first(d, DCM_CurrentRequestedProcedureEvidenceSequence), DCM_ReferencedSeriesSequence),
                 DCM_ReferencedSOPSequence);
}
inline void set_points(DcmDataset &d, const std::vector<Float32> &points)
{
    if (scoord(d).putAndInsertFloat32Array(DCM_GraphicData, points.data(), points.size()).bad()) abort();
}
} // namespace
#endif
