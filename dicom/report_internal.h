/* Shared by the files of the report: the words every report uses, how a failure travels, and who does what.
 * report.cc holds the entry, identity and file; report_source.cc reads the image's header; report_header.cc writes the modules
 * around the tree; report_content.cc says what the reading report contains; report_tree.cc and report_text.cc make items.
 * Inside the report C++ exceptions carry failures; cot_report_write turns them into a status.
 * Threads: one report at a time per report_job.  SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_REPORT_INTERNAL_H
#define COT_REPORT_INTERNAL_H
#include "dicom/dicom.h"

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmsr/dsrdoc.h>
#include <string>
#include <vector>

struct report_failure {
    cot_status status;
    std::string text;
};
[[noreturn]] void report_fail(cot_status status, const std::string &text);
/* Throws unless DCMTK says good; `what` names what was being done. */
void report_require(const OFCondition &condition, const char *what);

/* ---- text: report_text.cc ---- */
enum { TEXT_ITEM_CHARACTERS = 1024, LONG_STRING_CHARACTERS = 64, SHORT_STRING_CHARACTERS = 16 };
bool text_utf8_valid(const std::string &bytes);
/* Valid UTF-8 without control characters (a lone LF becomes CR LF), ends trimmed. */
std::string text_clean(const std::string &bytes);
/* One line of at most `characters`, without the value delimiter backslash: for SH and LO. */
std::string text_line(const std::string &bytes, size_t characters);
/* Pieces of at most `characters` each, cut at a space where there is one. */
std::vector<std::string> text_split(const std::string &clean, size_t characters);
std::string text_percent(double fraction); /* "92.1" */

/* ---- what the image brings along: report_source.cc ---- */
struct report_source {
    DcmDataset head;        /* patient, study and request attributes, UTF-8 */
    DcmDataset acquisition; /* what an image library tells of the image; only values that keep their format */
    std::string sop_class, sop_instance, series, study;
    std::string modality, body_part, view_position, series_number, instance_number, rows, columns, transfer_syntax;
    bool child = false;                /* Patient's Age, or birth and study date: under 18 years */
    std::string guessed_character_set; /* the declared one did not fit: as what the text was read; "" it did fit */
};
void source_read(report_source &source, const char *path);
/* Puts the Patient, Patient Study, Clinical Trial and General Study attributes into the report, as they are. */
void source_copy_modules(const report_source &source, DcmItem &report);
bool source_takes_over(const DcmTagKey &key); /* such an attribute is the image's, not ours */

/* Text of a data set declared with Japanese character sets; false: not Japanese, or damaged (report_japanese.cc). */
bool japanese_to_utf8(DcmItem &item);

/* ---- the job ---- */
struct report_picture { /* one image of the study and what was read in it */
    report_source source;
    const cot_chain *chain = nullptr;
    std::string dataset_sha256;
};
struct report_former { /* an earlier report; all "" without one */
    std::string sop_class, instance, series, study;
};
struct report_job {
    report_source source;             /* of the first image; so are chain and dataset_sha256 */
    std::vector<report_picture> more; /* the further images of a study's report */
    const cot_chain *chain;
    const cot_steps *steps;
    const cot_report_options *options;
    std::string dataset_sha256;
    std::string device_uid;
    report_former predecessor;
    std::string date, time; /* of content, in the image's time zone if it tells, else this machine's */
    cot_report_made made;
    bool measures() const { return options->kind == COT_REPORT_MEASUREMENT; }
    bool captures() const { return options->kind == COT_REPORT_CAPTURE; }
    const char *sop_class() const;
    bool refused() const { return chain->state == COT_CHAIN_REFUSED; }
    bool forced() const { return chain->forced_id[0] != 0; }
    bool measurable() const; /* something was measured in one image or more */
    size_t steps_available() const;
    bool complete() const;            /* every step of every image has an answer, and no gate was overruled */
    std::string manufacturer() const; /* never empty: some attributes must have a value */
    std::string model_name() const;   /* of the model, or of this program when no model was asked */
    const char *root() const { return options->uid_root ? options->uid_root : ""; }
};
std::string uid_of(const report_job &job, const std::string &name);
/* `content`: what the identity follows from besides the reading; "" nothing. */
void job_identify(report_job &job, const std::string &content);
void job_set_time(report_job &job, int64_t now_utc);
std::string job_file(DcmFileFormat &file); /* as Part 10, explicit little endian: report_file.cc */
cot_status job_put(const char *path, const std::string &bytes, const cot_report_options &options, cot_error *err);

/* ---- several images, and a report's predecessor: report_study.cc ---- */
void job_order_images(report_job &job); /* the same for the same images, whatever order they are given in */
std::string image_label(const report_source &source, size_t number); /* "Image 2 (LATERAL, series 3, instance 1)" */
std::string why_not_measured(const cot_chain &chain);
/* The report to replace, and in `before` the one that it replaced in its turn. */
report_former former_read(const cot_report_options &options, report_former &before);

/* ---- arguments: report_check.cc ---- */
void check_arguments(const report_job &job);
void check_images(const report_job &job); /* after they were read */

/* ---- content items: report_tree.cc ---- */
struct report_tree {
    DSRDocumentTree &tree;
    bool basic; /* Basic Text SR: numbers become text */
};
size_t tree_root(report_tree &t, const cot_code &title);
/* An item of any kind as the last child of `parent`, which becomes the current one; the id by which it can be found again. */
size_t tree_item(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, DSRTypes::E_ValueType type,
                 const cot_code &name);
size_t tree_item_string(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation,
                        DSRTypes::E_ValueType type, const cot_code &name, const std::string &value);
size_t tree_item_code(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, const cot_code &name,
                      const cot_code &value);
size_t tree_item_number(report_tree &t, size_t parent, DSRTypes::E_RelationshipType relation, const cot_code &name,
                        const std::string &value, const cot_code &unit);
void tree_template(report_tree &t, size_t item, const char *tid); /* Content Template Sequence: of DCMR */
/* Each adds one item as the last child of `parent`; tree_text as many as the text is long, none for an empty one. */
size_t tree_container(report_tree &t, size_t parent, const cot_code &name);
void tree_text(report_tree &t, size_t parent, const cot_code &name, const std::string &text);
void tree_code(report_tree &t, size_t parent, const cot_code &name, const cot_code &value);
void tree_percent(report_tree &t, size_t parent, const cot_code &name, double fraction);
void tree_image(report_tree &t, size_t parent, const cot_code &name, const std::string &sop_class,
                const std::string &sop_instance);
enum report_context { CONTEXT_MODIFIER, CONTEXT_OBSERVER };
void tree_context_code(report_tree &t, size_t root, report_context kind, const cot_code &name, const cot_code &value);
void tree_context_text(report_tree &t, size_t root, const cot_code &name, const std::string &text);
void tree_context_uid(report_tree &t, size_t root, const cot_code &name, const std::string &uid);

/* The option in standard codes, with its laterality as a second item. */
void tree_coded(report_tree &t, size_t parent, const cot_code &name, const cot_option &option);

/* ---- what both reports say alike: report_context.cc ---- */
const char *text_result_status();
std::string text_guessed_set(const report_job &job);     /* "", or that names may be misspelt */
cot_code context_procedure(const report_source &source); /* the image's own code, or what its body part is called */
void context_language_and_procedure(report_tree &t, size_t root, const report_job &job);
void context_observer(report_tree &t, size_t root, const report_job &job);
std::string context_not_available(const cot_answer &answer);
cot_code context_option_key(const cot_steps &steps, const cot_option &option);
std::vector<std::string> context_algorithm_parameters(const report_job &job);

/* ---- the reading report: report_content.cc ---- */
void content_reading(report_tree &t, const report_job &job);

/* ---- the measurement report: measurement*.cc ---- */
void content_measurements(report_tree &t, const report_job &job);

/* ---- what marks a picture of a reading as ours: capture.cc ---- */
extern const char *const capture_series, *const capture_derivation, *const capture_comment;

/* ---- around the tree: report_header.cc ---- */
void header_before_write(DSRDocument &document, const report_job &job); /* what DSRDocument knows */
void header_after_write(DcmDataset &report, const report_job &job);     /* what it does not */

void header_of_image(DcmDataset &image,
                     const report_job &job); /* what a picture of the reading has in common with them */

/* Private concepts of the report's own structure; steps and answers bring their codes from the schema. */
#define COT_REPORT_SCHEME "99STEPCOT"
#endif
