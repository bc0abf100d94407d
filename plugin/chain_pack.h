/* Inside plugin/: a chain as one block of bytes for another process of this program image (structs travel as they are).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_CHAIN_PACK_H
#define COT_CHAIN_PACK_H
#include "config/chain.h"

/* Answers, then what they own (probabilities, regions, points, influences, opinions), each aligned. Relevance maps stay behind:
 * no report holds them. Caller frees *out. */
cot_status chain_pack(void **out, size_t *size, const cot_chain *chain, cot_error *err);
/* Lets chain->answers and what they own point into `bytes` (aligned like malloc's); false when they do not fit. */
bool chain_unpack(cot_chain *chain, void *bytes, size_t size);
#endif
