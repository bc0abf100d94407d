/* Rules on reading reports: text viewers show direct children of containers, in order, and print a placeholder for images.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dicom/lint.h"

void lint_reading(lint_session &s, lint_report &report)
{
    const lint_item *last = nullptr;
    for (const auto &item : report.root.children)
        if (item->type == "CONTAINER") last = item.get();
    for (const lint_item *item : report.items) {
        if (item->parent && item->parent->type != "CONTAINER")
            s.say("R5", report, item, "lies below an item that is no container; viewers hide it",
                  "make it a sibling of that item");
        if (item->type != "IMAGE" && item->type != "COMPOSITE") continue;
        bool inside = false;
        for (const lint_item *up = item; up; up = up->parent) inside = inside || up == last;
        if (!inside)
            s.say("R6", report, item, "is an image outside the last container; viewers print a placeholder for it",
                  "move it into the last container");
    }
}
