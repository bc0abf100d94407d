/* Rules on measurement reports (TID 1500): what OHIF, Stone, Weasis and 3D Slicer take for granted in groups and regions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"
#include "dicom/report_concepts.h"

struct extent { /* of an image in pixels; 0: unknown */
    double rows = 0, columns = 0;
};

static extent extent_of(const lint_session &s, const lint_report &report, const std::string &sop_instance)
{
    extent e;
    if (const lint_image *image = s.image(sop_instance)) {
        e.rows = std::strtod(image->source.rows.c_str(), nullptr);
        e.columns = std::strtod(image->source.columns.c_str(), nullptr);
        return e;
    }
    for (const lint_item *item : report.items) { /* the image library says it too */
        DcmItem *sop = nullptr;
        if (item->type != "IMAGE" || !item->parent || !item->parent->is_container(concept_of::image_library_group) ||
            item->data->findAndGetSequenceItem(DCM_ReferencedSOPSequence, sop, 0).bad() || !sop ||
            lint_string(*sop, DCM_ReferencedSOPInstanceUID) != sop_instance)
            continue;
        const lint_item *rows = item->parent->child(concept_of::rows),
                        *columns = item->parent->child(concept_of::columns);
        if (rows) e.rows = std::strtod(rows->text.c_str(), nullptr);
        if (columns) e.columns = std::strtod(columns->text.c_str(), nullptr);
    }
    return e;
}

/* ---- R12: the polygon ---- */
static void check_points(lint_session &s, const lint_report &report, const lint_item &item, const extent &image)
{
    std::vector<double> points;
    Float32 value = 0;
    for (unsigned long i = 0; item.data->findAndGetFloat32(DCM_GraphicData, value, i).good(); i++)
        points.push_back(static_cast<double>(value));
    const bool line = lint_string(*item.data, DCM_GraphicType) == "POLYLINE";
    const size_t n = points.size();
    if (n < 2 || n % 2 || (line && n < 8)) {
        s.say("R12", report, &item, "its coordinates are no pairs of column and row, or too few", "write them again");
        return;
    }
    if (line && (points[0] != points[n - 2] || points[1] != points[n - 1]))
        s.say("R12", report, &item, "its polygon is not closed", "repeat the first point at the end");
    bool outside = false;
    for (size_t i = 0; i < n; i += 2)
        outside = outside || !(points[i] >= 0 && points[i + 1] >= 0) ||
                  (image.columns > 0 && points[i] > image.columns) || (image.rows > 0 && points[i + 1] > image.rows);
    if (outside)
        s.say("R12", report, &item, "a point lies outside the image",
              "give column and row of the stored image, 0\\0 its upper left corner");
}

/* ---- R11: what a region is made of ---- */
static void check_region(lint_session &s, const lint_report &report, const lint_item &item)
{
    const std::string graphic = lint_string(*item.data, DCM_GraphicType);
    if (graphic != "POINT" && graphic != "POLYLINE")
        s.say("R11", report, &item, "its graphic type is neither POINT nor POLYLINE", "use a closed POLYLINE");
    if (!item.name.is(concept_of::image_region))
        s.say("R11", report, &item, "is not named (111030, DCM, Image Region)", "name it so");
    if (item.children.size() != 1) {
        s.say("R11", report, &item, "has " + std::to_string(item.children.size()) + " items below it, not one image",
              "put exactly the image it lies on below it");
        return;
    }
    const lint_item &image = *item.children[0];
    DcmItem *sop = nullptr;
    if (image.type != "IMAGE" || image.relation != "SELECTED FROM" || !image.name.is(concept_of::original_source))
        s.say("R11", report, &image, "is no IMAGE (111040, DCM, Original Source) by SELECTED FROM", "make it one");
    if (image.data->findAndGetSequenceItem(DCM_ReferencedSOPSequence, sop, 0).bad() || !sop) return;
    if (lint_string(*sop, DCM_ReferencedFrameNumber).find('\\') != std::string::npos)
        s.say("R11", report, &image, "names several frames", "name one frame, or none for a single-frame image");
    check_points(s, report, item, extent_of(s, report, lint_string(*sop, DCM_ReferencedSOPInstanceUID)));
}

/* ---- groups ---- */
struct group_walk {
    lint_session &s;
    const lint_report &report;
    std::set<std::string> tracking;
    size_t groups;
};

/* R8 */
static void check_template(const group_walk &w, const lint_item &group)
{
    if (group.tid.empty())
        w.s.say("R8", w.report, &group, "a measurement group without Content Template Sequence", "name template 1410");
    else if (group.tid != "DCMR/1410")
        w.s.say("R8", w.report, &group, "a measurement group that is not of template 1410",
                "name template 1410 of DCMR");
}

/* R9 */
static void check_tracking(group_walk &w, const lint_item &group)
{
    const lint_item *name = group.child(concept_of::tracking_identifier), *uid = group.child(concept_of::tracking_uid);
    if (!name || name->type != "TEXT" || name->text.empty())
        w.s.say("R9", w.report, &group, "has no Tracking Identifier", "add it as TEXT");
    if (!uid || uid->type != "UIDREF" || uid->text.empty())
        w.s.say("R9", w.report, &group, "has no Tracking Unique Identifier", "add it as UIDREF");
    else if (!w.tracking.insert(uid->text).second)
        w.s.say("R9", w.report, uid, "two groups have this Tracking Unique Identifier; viewers merge them",
                "give each group its own");
}

static void check_group(group_walk &w, const lint_item &group)
{
    size_t regions = 0;
    w.groups++;
    check_template(w, group);
    check_tracking(w, group);
    for (const auto &item : group.children) regions += item->type == "SCOORD";
    if (!regions)
        w.s.say("R10", w.report, &group, "has no region; OHIF crashes on it",
                "add a SCOORD, the frame of the whole image if there is no other");
    if (regions > 1) w.s.say("R10", w.report, &group, "has several regions", "make a group of each (TID 1410 has one)");
    if (!group.child(concept_of::finding))
        w.s.say("T1", w.report, &group, "has no Finding; 3D Slicer looks for it unchecked",
                "add (121071, DCM, Finding)");
}

/* ---- R7 and T1: the frame around the groups ---- */
static void check_frame(lint_session &s, const lint_report &report, size_t groups)
{
    const lint_item *measurements = report.root.child(concept_of::imaging_measurements),
                    *library = report.root.child(concept_of::image_library);
    if (groups && !measurements)
        s.say("R7", report, &report.root, "has measurement groups but no Imaging Measurements", "add the container");
    if (measurements && measurements->children.empty())
        s.say("R7", report, measurements, "is empty", "leave it out, or fill it");
    if (!library || library->tid != "DCMR/1600")
        s.say("T1", report, library ? library : &report.root, "the image library is missing or names no template 1600",
              "add (111028, DCM, Image Library) with its Content Template Sequence");
    else if (!library->child(concept_of::image_library_group))
        s.say("T1", report, library, "has no image library group", "add (126200, DCM) with the images");
}

void lint_measurement(lint_session &s, lint_report &report)
{
    group_walk w = {s, report, {}, 0};
    for (const lint_item *item : report.items) {
        if (item->is_container(concept_of::measurement_group)) {
            check_group(w, *item);
            if (!item->parent || !item->parent->is_container(concept_of::imaging_measurements))
                s.say("R7", report, item, "does not lie in Imaging Measurements", "move it there");
        }
        if (item->type == "SCOORD") check_region(s, report, *item);
    }
    check_frame(s, report, w.groups);
}
