/* Inside plugin/: what writing and reading a reading's JSON share. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CHAIN_JSON_H
#define COT_CHAIN_JSON_H
#include "plugin/node.h"

#include <cjson/cJSON.h>

/* In full, with units and limits: config/reading.schema.json, by which tests/readings.sh checks what is written. In short:
 * {"schema", "notice", "source", "state": complete|partial|refused, "refusal": {"id", "text"} (refused only), "summary", "calibrated" (else),
 *  "forced": {"id", "text"} (only when a gate was overruled), "rendering", "range_from_pixels" (only where known),
 *  "step_schema": {"id", "sha256"},
 *  "steps": [{"id", "title", "question", "code", "concept", "available",
 *             "reason"                                                    (not available), or
 *             "answer": option, "certainty", "calibrated", "second": option, "second_certainty", "rationale",
 *             "options": [option + "probability"],
 *             "evidence": {"place", "regions": [{"share", "points": [[column, row], …]}]}   (only where a map was made; no
 *                         region: whole image. Pixels of the source image, see cot_region),
 *             "influences": [{"step": id, "change"}]                      (only where they were computed);
 *             in either case, where a second reader answered:
 *             "second_reader": {"answer": option, "certainty", "probabilities": [in order of the options]},
 *             "disagreement": true|false                                  (only where the reading has a second reader)}],
 *  "image": {"rows", "columns"} (where known), "second_reader": as "reader" (where one read too),
 *  "reader": {"name", "version", "package_sha256", "notice", "training", "role", "device", "program"}}
 * option: {"id", "label", "code", "laterality" (if any)}; code: {"value", "scheme", "meaning"}. Members may be added, none
 * changes its meaning; a change that would makes it reading:2. */
#define CHAIN_SCHEMA    "urn:stepcot:reading:1"
#define CHAIN_JSON_MAX  ((size_t)4 << 20)
#define CHAIN_JSON_DEEP 8
enum { CHAIN_SIDE_MAX = 1 << 16, CHAIN_REGIONS_MAX = 64, CHAIN_POINTS_MAX = 4096 };

extern const char *const chain_state_names[]; /* indexed by cot_chain_state, NULL-terminated */
/* chain_check.c: the promises of chain.h: counts as in the schema, probabilities 0..1 that sum to 1, answer largest, state
 * true, regions inside the image, influences of earlier steps, disagreement as the answers say. */
cot_status chain_consistent(const cot_chain *chain, const cot_steps *steps, cot_error *err);
#endif
