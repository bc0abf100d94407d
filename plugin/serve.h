/* What the supervisor and the commands around it share. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_SERVE_H
#define COT_SERVE_H
#include "plugin/node.h"

#define SERVE_ROLE_CONFIG "/proc/self/fd/0" /* where the supervisor puts a role's configuration */
/* Under which name a destination's sender claims deliveries. */
void serve_sender_owner(char *out, size_t size, const char *destination);
/* Tells each destination that waiting deliveries name and `config` does not. */
cot_status serve_strays(cot_store *store, const cot_config *config, cot_stray_visitor visit, void *ctx, cot_error *err);
void serve_stray_text(char *out, size_t size, const char *destination, size_t n); /* the warning and its remedy */
/* `serve --check`: everything the node will need, as a list for people on `out`. Returns an exit code. */
int serve_check(const char *config_path, FILE *out);
#endif
