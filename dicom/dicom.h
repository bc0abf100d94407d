/* DCMTK behind a C interface: bound, receive, send, decode, report. No DCMTK or C++ type crosses.
 * Every entry catches every C++ exception. Threads: any thread, one object at a time.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_DICOM_H
#define COT_DICOM_H
#include "config/base.h"
#include "config/chain.h"
#include "config/steps.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Once per process, before anything else here: registers codecs, routes DCMTK's log into cot_log. */
void cot_dicom_init(void);

/* ---- guard: bounds a file before anything parses it (guard.c, no DCMTK) -------------------------- */
typedef struct cot_guard_limits {
    size_t max_bytes;  /* whole file */
    unsigned max_depth; /* nested sequences, <= 32 */
    size_t max_value;  /* one non-pixel value */
    size_t max_elements;
    bool no_digest; /* dataset_sha256 stays empty, and pixels are passed over unread */
} cot_guard_limits;
#define COT_GUARD_LIMITS_INIT { (size_t)1 << 30, 32, (size_t)16 << 20, 1000000, false }
typedef struct cot_dicom_head { /* top-level identity, as sent; validated as UIDs (0-9 and '.', <= 64) or empty */
    char sop_class[65], sop_instance[65], study[65], series[65], transfer_syntax[65];
    size_t rows, cols;       /* 0 when absent */
    char dataset_sha256[65]; /* of the bytes after the file meta group */
    size_t bytes;
} cot_dicom_head;
/* Walks the whole Part 10 file without building anything. Refuses: not Part 10, truncated, lengths beyond the file,
 * depth, unknown transfer syntax, Rows/Columns with another VR than US or not 2 bytes, uncompressed Pixel Data shorter
 * than Rows*Columns*Samples*Bits/8*Frames, missing or malformed SOP/Study/Series UIDs. The text names tag and offset. */
cot_status cot_dicom_guard(cot_dicom_head *head, const char *path, const cot_guard_limits *limits, cot_error *err);

/* ---- front door ----------------------------------------------------------------------------------- */
/* Checks a complete A-ASSOCIATE-RQ PDU (PS3.8 9.3.2) without DCMTK: lengths, protocol version, item structure, at most
 * one user-identity item, at most 128 contexts, printable AE titles; copies the titles out (trimmed). Recognises TLS
 * and HTTP bytes and says so. `size` bytes are at `pdu`; all of the PDU must be there. */
cot_status cot_aarq_check(const unsigned char *pdu, size_t size, char calling[17], char called[17], cot_error *err);

typedef struct cot_received { /* one object, complete on disk (not yet fsynced) and through the guard */
    const char *path;
    const cot_dicom_head *head;
    const char *calling; /* AE title */
    const char *host;    /* numeric address of the peer */
} cot_received;
typedef struct cot_scp_handler {
    void *ctx;
    /* Names the file the next object goes to (never from peer data). COT_E_LIMIT -> 0xA700 without receiving. */
    cot_status (*place)(void *ctx, char *path, size_t size, cot_error *err);
    /* Makes it durable. COT_OK -> 0x0000; COT_E_LIMIT -> 0xA700; COT_E_INPUT/_REFUSED -> 0xC000-class; else 0x0110.
     * err->text goes (shortened to 64 characters) into Error Comment (0000,0902). */
    cot_status (*store)(void *ctx, const cot_received *object, cot_error *err);
    /* An object that was received but refused by the guard; the file is deleted after this returns. */
    void (*refused)(void *ctx, const cot_received *object, const cot_error *why);
} cot_scp_handler;
typedef struct cot_scp_options {
    const char *called_ae;      /* ours; another called title is rejected */
    bool (*accept)(void *ctx, const char *calling, const char *host); /* allow list */
    void *accept_ctx;
    unsigned pdu, acse_timeout_s, dimse_timeout_s;
    cot_guard_limits limits;
} cot_scp_options;
/* Serves one association on connected socket `fd` (consumed), in a process of its own. Returns when the peer has
 * released, aborted or been refused; COT_OK also for an orderly rejection (which it logs as event=association.reject reason=…). */
cot_status cot_scp_serve(int fd, const char *host, const cot_scp_options *options, const cot_scp_handler *handler, cot_error *err);
/* Transfer syntaxes negotiated (decodable ones), borrowed, NULL-terminated; SOP classes likewise. */
const char *const *cot_dicom_syntaxes(void);
const char *const *cot_dicom_storage_classes(void);

/* ---- sender ---------------------------------------------------------------------------------------- */
typedef struct cot_scu_peer {
    const char *host; unsigned port;
    const char *called_ae, *calling_ae;
    unsigned timeout_s, pdu;
} cot_scu_peer;
typedef enum cot_sent { COT_SENT_NOT_TRIED, COT_SENT_DELIVERED, COT_SENT_RETRY, COT_SENT_DEAD } cot_sent;
typedef struct cot_scu_object {
    const char *path;    /* Part 10 file, explicit little endian */
    const char *path_fallback; /* the same content for a peer that takes not its SOP class (Basic Text SR), or NULL */
    cot_sent sent;       /* out: 0000/Bxxx delivered; A7xx, time-out, lost connection retry; A9xx, Cxxx, no context dead */
    unsigned dimse;      /* out: status of the C-STORE response, 0 when none came */
    char text[256];      /* out: what happened, for queue and log */
    bool no_context;     /* out: dead because the peer accepts neither its SOP class nor the fallback's */
} cot_scu_object;
/* One association for all objects. COT_OK when the association stood (see each object); COT_E_NETWORK when it did not. */
cot_status cot_scu_send(const cot_scu_peer *peer, cot_scu_object *objects, size_t n, cot_error *err);
cot_status cot_scu_echo(const cot_scu_peer *peer, cot_error *err);

/* ---- pixels ----------------------------------------------------------------------------------------- */
typedef struct cot_dicom_facts { /* what gates and reports need; strings UTF-8, "" when absent */
    char sop_class[65], modality[17], body_part[17], view_position[17], image_laterality[17], laterality[17];
    char orientation_row[17], orientation_column[17]; /* Patient Orientation, e.g. "L", "F" */
    char view_code_value[17], view_code_scheme[17], view_code_meaning[65];
    char anatomic_code_value[17], anatomic_code_scheme[17], anatomic_code_meaning[65];
    char study_description[65], series_description[65], protocol[65];
    char photometric[17], transfer_syntax[65];
    size_t rows, cols, frames, samples, bits_allocated, bits_stored;
    bool is_signed;
    double spacing_row, spacing_col; /* mm, 0 when absent (Imager Pixel Spacing, else Pixel Spacing) */
    char rendering[161]; /* how stored values became grey (window, VOI LUT, range); by cot_dicom_image_create only */
    bool range_from_pixels; /* the file has no usable VOI: black and white are values found in the image; likewise */
} cot_dicom_facts;
typedef struct cot_dicom_image cot_dicom_image;
/* Decodes frame 0 of a guarded file: modality LUT/rescale, VOI LUT or window, presentation shape, MONOCHROME1 inverted,
 * RGB of grey images to grey. Pixels 0 black … 1 white. Caller owns *out (NULL on failure). Run it in a child with limits. */
cot_status cot_dicom_image_create(cot_dicom_image **out, const char *path, cot_error *err);
void cot_dicom_image_destroy(cot_dicom_image *image);
const float *cot_dicom_image_pixels(const cot_dicom_image *image, size_t *rows, size_t *cols); /* borrowed */
const cot_dicom_facts *cot_dicom_image_facts(const cot_dicom_image *image);                    /* borrowed */
/* To bytes of a smaller picture (out sides 1 to those of grey), each the mean of its area. false: no memory. */
bool cot_grey_shrink(unsigned char *out, size_t out_rows, size_t out_cols, const float *grey, size_t rows, size_t cols);
/* Only the facts, no decoding. */
cot_status cot_dicom_facts_read(cot_dicom_facts *out, const char *path, cot_error *err);
/* Gates on the facts alone (before decoding) and on the pixels. COT_OK: go on. COT_E_REFUSED: `id` is the machine-readable
 * reason ("body-part", "not-frontal", "rotated", "modality", "too-small", "multi-frame", "empty", "constant").
 * Facts NULL or without a SOP class are a picture file's: no tag is quoted then. */
cot_status cot_gate_facts(const cot_dicom_facts *facts, char id[33], cot_error *err);
cot_status cot_gate_pixels(const cot_dicom_facts *facts, const float *grey, size_t rows, size_t cols, char id[33],
                           cot_error *err);
/* Grey stored as colour: how many of 255 levels a pixel may be from grey, and how many pixels may be further (colour.c).
 * COT_E_REFUSED: the image is in colour. */
unsigned cot_colour_tolerance(bool lossy);
cot_status cot_gate_colour(size_t coloured, size_t pixels, bool lossy, cot_error *err);

/* ---- report ------------------------------------------------------------------------------------------ */
typedef enum cot_report_kind {
    COT_REPORT_READING,     /* text for people: Enhanced SR, or Basic Text SR */
    COT_REPORT_MEASUREMENT, /* TID 1500, regions on the image: Comprehensive 3D SR, or Comprehensive SR */
    COT_REPORT_CAPTURE      /* a picture for viewers without SR: Secondary Capture, by cot_capture_write */
} cot_report_kind;
typedef struct cot_report_options {
    cot_code title;            /* root concept of the reading report, not 126000 */
    const char *manufacturer, *station, *uid_root; /* uid_root "" or NULL = 2.25 */
    const char *program_version;
    unsigned series_number;    /* of the reading report; the measurement report has the next, the capture the one after */
    const char *predecessor;   /* path of the report this one replaces (or of this one, made earlier), or NULL */
    bool basic_text;           /* reading: Basic Text SR instead of Enhanced SR (numbers as text) */
    cot_report_kind kind;
    bool comprehensive;        /* measurement: Comprehensive SR instead of Comprehensive 3D SR; the same content */
    bool by_reference;         /* measurement: premises as by-reference items (some readers cannot open those) */
    uint64_t capture_steps;    /* capture: bit s: the regions of step s (0-based) are drawn; 0: those of all */
    bool folder_later;         /* the file is synced, its folder is not: the caller does that, for many reports at once */
} cot_report_options;
typedef struct cot_report_made { char sop_class[65], sop_instance[65], series[65], study[65]; } cot_report_made;
/* Writes the report of `chain` about the image in `source` (guarded Part 10 file) to `path`, fsynced.
 * Same source data set, model, schema, kind -> byte-identical identity (UIDs); content dates are taken from `now_utc` (seconds).
 * A measurement report of a chain without measurements is COT_E_REFUSED (cot_report_measurable tells before). */
cot_status cot_report_write(cot_report_made *made, const char *path, const char *source, const char *dataset_sha256,
                            const cot_chain *chain, const cot_steps *steps, const cot_report_options *options,
                            int64_t now_utc, cot_error *err);
/* The same for several images of one study and patient, read by one model: each image's chain by itself, images that were not
 * analysed with their reasons. The order they are given in does not matter. Each image once. One image: as cot_report_write. */
enum { COT_REPORT_IMAGES = 64 }; /* at most */
typedef struct cot_report_image { const char *source, *dataset_sha256; const cot_chain *chain; } cot_report_image;
cot_status cot_report_write_study(cot_report_made *made, const char *path, const cot_report_image *images, size_t n,
                                  const cot_steps *steps, const cot_report_options *options, int64_t now_utc, cot_error *err);
/* The image with its regions and all answers drawn, RGB, patient and study as in the reports. COT_E_REFUSED as for a
 * measurement report. Characters without a font become boxes, and the picture says so. Decodes the image and draws text:
 * run it in a child with limits (Pango starts threads). UIDs follow from the pixels drawn and what a report's follow from. */
cot_status cot_capture_write(cot_report_made *made, const char *path, const char *source, const char *dataset_sha256,
                             const cot_chain *chain, const cot_steps *steps, const cot_report_options *options,
                             int64_t now_utc, cot_error *err);
/* Not refused, not read by force, and at least one step answered. */
bool cot_report_measurable(const cot_chain *chain);
/* A measurement report of this program about one image back into its chain; numbers as rounded there (0.01 %), without maps.
 * Caller destroys *out. */
cot_status cot_report_read(cot_chain **out, const char *path, const cot_steps *steps, cot_error *err);

/* ---- lint ---- */
/* Rules R1 to R20 are those viewers need, T1 templates, C1 to C3 the chain of premises, P1 probabilities, S1 coding schemes,
 * U1 UIDs (dicom/README.md lists them). No value of a data set stands in a finding. */
typedef struct cot_lint_finding {
    const char *file;  /* as given */
    char rule[8];      /* "R9" */
    char where[512];   /* position path and concept: `1.10.5.3 TEXT "Rationale"`, or "document", or "file" */
    char what[512], advice[512];
} cot_lint_finding;
typedef void (*cot_lint_visitor)(void *ctx, const cot_lint_finding *finding);
/* Checks the Structured Reports among the files, each by itself and beside one another; other DICOM files among them are the
 * images read, with which the reports' patient and study are compared. COT_OK: all were looked at, *findings = how many.
 * Every file goes through the guard first; call it where memory and time are limited. */
cot_status cot_report_lint(const char *const *paths, size_t n, cot_lint_visitor visit, void *ctx, size_t *findings,
                           cot_error *err);
/* Name-based UID (UUIDv5 as 2.25, or under root): same name, same UID. */
void cot_uid_derive(char uid[65], const char *root, const char *name);

#ifdef __cplusplus
}
#endif
#endif
