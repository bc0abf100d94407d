/* XML → plain structs. Only plugin/ includes this header; the rooms below receive structs, never XML.
 * Every file is bounded (1 MiB, depth 32), read without network, DTD or entities, checked against its
 * XSD (embedded in the program), then for meaning. Errors carry file:line and the remedy.
 * Threads: any thread; results are read-only after load.
 * SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#ifndef COT_CONFIG_H
#define COT_CONFIG_H
#include "config/base.h"
#include "config/steps.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct cot_config_accept { /* who may call us; both must match, "*" = any */
    char ae[17];
    char host[256]; /* IPv4/IPv6 address, CIDR block, or "*" */
} cot_config_accept;

typedef struct cot_config_destination {
    char name[33];       /* unique; [A-Za-z0-9_-]: used in the queue and in logs */
    char host[256];
    unsigned port;
    char ae[17];         /* called AE title */
    char calling_ae[17]; /* ours, default: listen ae */
    char report[17];     /* "reading", "measurement", "both" (the reading report alone where the peer takes no measurements) */
    char profile[17];    /* "air": Comprehensive 3D SR, else Comprehensive; "stone": Comprehensive SR; "legacy": Basic Text only */
    char references[17]; /* "value", "reference": how the measurement report names what an answer rests on */
    bool refusals;       /* send "not analysed" reports too */
    bool capture;        /* and a picture of each reading (Secondary Capture) */
    double retry_hours;  /* give up (dead letter) after this */
    unsigned retry_first_s, retry_max_s;
    unsigned timeout_s;  /* connect and each DIMSE answer */
    unsigned pdu;        /* max PDU bytes */
} cot_config_destination;

typedef struct cot_config {
    char path[1024];
    /* <listen> */
    char ae[17];
    char bind[64];
    unsigned port;               /* 0: any free port, logged as event=listen port=… */
    unsigned max_associations;
    unsigned pdu;
    unsigned acse_timeout_s, dimse_timeout_s;
    size_t n_accept;
    cot_config_accept *accept;
    /* <store> */
    char store[1024];            /* folder; relative paths start at the XML file; all paths are absolute after load */
    size_t watermark_mib;        /* less free space than this: 0xA700 */
    size_t max_object_mib;
    double settle_s;             /* study is complete after this much silence; 0 = per image at once */
    double keep_days;            /* finished jobs are purged after this */
    /* <reader> */
    char device[129];            /* part of a device or platform name, "" = best; or "cpu"/"gpu" */
    char package[1024];          /* model package folder, "" = embedded default */
    char reader[17];             /* "student", "teacher", "both" (the teacher as second reader); "" = student */
    char steps[1024];            /* step schema file, "" = embedded default, "de" = embedded, German */
    char gemm[17];               /* "auto", "tile", "clblast" */
    unsigned batch;
    char cache[1024];            /* program cache folder, "" = <store>/cache */
    unsigned decode_timeout_s;
    size_t decode_memory_mib;
    /* <report> */
    cot_code title;              /* root concept of the reading report, not 126000 */
    char manufacturer[65];
    char station[17];
    unsigned series_number;
    char uid_root[40];           /* "" = 2.25 */
    char per[17];                /* "image", "study": what a report is about; "" = image */
    /* <send> */
    size_t n_destinations;
    cot_config_destination *destinations;
    /* <log> */
    cot_level log_level;
} cot_config;

/* Loads and checks `path` (NULL: embedded default). All problems found are listed, one a line, in err->text
 * (as many as fit). Caller destroys. */
cot_status cot_config_load(cot_config **out, const char *path, cot_error *err);
void cot_config_destroy(cot_config *config);
/* Writes every problem as one "file:line: what. remedy" line to `stream`; *problems = how many. */
cot_status cot_config_check(const char *path, FILE *stream, size_t *problems, cot_error *err);
/* Effective values, defaults filled in, as XML. */
cot_status cot_config_print(const cot_config *config, FILE *stream, cot_error *err);

/* Step schema: NULL or "en" = the embedded config/steps.xml, "de" = the same in German (steps.de.xml). Caller destroys. */
cot_status cot_steps_load(cot_steps **out, const char *path, cot_error *err);
void cot_steps_destroy(cot_steps *steps);
bool cot_steps_embedded(const char *word); /* whether cot_steps_load takes it for one in the program, not for a path */

/* The annotated default configuration as it stands in config/stepcot.xml (borrowed, static). */
cot_blob cot_config_default_xml(void);

/* The grammars in the program (borrowed, static): "reading" (JSON Schema of a reading's JSON), "stepcot", "steps", "training",
 * "nih-rules" (XSD). names ends with NULL. Another name: no data. */
extern const char *const cot_schema_names[];
cot_blob cot_schema(const char *name);

#ifdef __cplusplus
}
#endif
#endif
