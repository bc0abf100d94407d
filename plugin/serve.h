/* What the supervisor and the commands around it share. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_SERVE_H
#define COT_SERVE_H
#include "plugin/node.h"

/* Under which name a destination's sender claims deliveries. */
void serve_sender_owner(char *out, size_t size, const char *destination);
/* `serve --check`: everything the node will need, as a list for people on `out`. Returns an exit code. */
int serve_check(const char *config_path, FILE *out);
#endif
