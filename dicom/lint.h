/* Shared by the files of lint: a report as its content items with their positions, and how a finding is told. lint.cc is the
 * entry and knows the files beside one another; lint_tree.cc builds the items; each rule stands in one of lint_items.cc,
 * lint_capture.cc, lint_document.cc, lint_measurement.cc, lint_reading.cc, lint_chain.cc. Threads: one session at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_LINT_H
#define COT_LINT_H
#include "dicom/report_internal.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

struct lint_code {
    size_t items = 0; /* in the sequence; one is right */
    std::string value, scheme, meaning;
    bool is(const cot_code &code) const { return value == code.value && scheme == code.scheme; }
};

struct lint_item {
    DcmItem *data = nullptr;
    lint_item *parent = nullptr;
    size_t number = 0;    /* in document order */
    std::string position; /* "1.10.5": as dsrdump and viewers count */
    std::string relation, type;
    lint_code name, value; /* value: of a CODE */
    std::string text;      /* TEXT, UIDREF, NUM (its value), … */
    std::string tid;       /* Content Template Sequence: "DCMR/1410", "" without one */
    std::string observation_uid;
    std::vector<Uint32> target; /* of a by-reference item: its path */
    std::vector<std::unique_ptr<lint_item>> children;
    bool by_reference() const { return !target.empty(); }
    bool is_container(const cot_code &code) const { return type == "CONTAINER" && name.is(code); }
    const lint_item *child(const cot_code &code) const; /* the first of that name */
};

struct lint_image { /* an image given beside the reports */
    std::string path;
    report_source source;
};

struct lint_report {
    std::string path;
    size_t bytes = 0;
    DcmFileFormat file;
    std::string sop_class, sop_instance, series, study;
    lint_item root;
    std::vector<lint_item *> items; /* all, in document order */
    std::map<std::string, const lint_item *> positions;
    std::multimap<std::string, const lint_item *> observations; /* by Observation UID */
    bool measurement = false;                                   /* by its root concept */
    bool capture = false; /* no report but a picture of a reading: it has no items */
    DcmDataset &data() { return *file.getDataset(); }
    const lint_item *at(const std::string &position) const;
};

struct lint_session {
    cot_lint_visitor visit;
    void *ctx;
    size_t findings;
    std::vector<std::unique_ptr<lint_report>> reports;
    std::vector<lint_image> images;
    const lint_image *image(const std::string &sop_instance) const;
    /* `item` may be NULL: the document as a whole. No value of a data set goes into the text. */
    void say(const char *rule, const lint_report &report, const lint_item *item, const std::string &what,
             const std::string &advice);
    void say_file(const char *rule, const std::string &path, const std::string &what, const std::string &advice);
};

std::string lint_string(DcmItem &item, const DcmTagKey &key); /* whole value, "" when absent */
void lint_tree_build(lint_report &report);
bool lint_percent(const lint_item &item, double &percent, int &decimals); /* NUM in %, or a TEXT "12.3 %" */

void lint_items(lint_session &s, lint_report &report);         /* R1 R14 R18 R19 U1 */
void lint_text(lint_session &s, lint_report &report);          /* R16 */
void lint_document(lint_session &s, lint_report &report);      /* R2 R4 R13 R15 R20 S1 */
void lint_source(lint_session &s, lint_report &report);        /* R17 */
void lint_measurement(lint_session &s, lint_report &report);   /* R7 R8 R9 R10 R11 R12 T1 */
void lint_probabilities(lint_session &s, lint_report &report); /* P1 */
void lint_reading(lint_session &s, lint_report &report);       /* R5 R6 */
void lint_chain(lint_session &s, lint_report &report);         /* C1 C2 C3 */
bool lint_is_capture(DcmDataset &data);                        /* by what this program writes into its pictures */
void lint_capture(lint_session &s, lint_report &report);       /* R2 R13 R15 R18 R20, as far as they concern pictures */
#endif
