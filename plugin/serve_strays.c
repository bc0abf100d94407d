/* Deliveries to a destination that the configuration no longer names: no sender exists for them, so people must be told, at
 * the start of the node, by `serve --check` and by `queue list`. SPDX-License-Identifier: Apache-2.0 */
#include "plugin/serve.h"

#include <stdlib.h>

cot_status serve_strays(cot_store *store, const cot_config *config, cot_stray_visitor visit, void *ctx, cot_error *err)
{
    const char **known = calloc(config->n_destinations + 1, sizeof *known);
    if (!known) return cot_fail(err, COT_E_MEMORY, "destinations: no memory");
    for (size_t i = 0; i < config->n_destinations; i++) known[i] = config->destinations[i].name;
    const cot_status status = cot_store_strays(store, known, config->n_destinations, visit, ctx, err);
    free(known);
    return status;
}

void serve_stray_text(char *out, size_t size, const char *destination, size_t n)
{
    snprintf(
        out, size,
        "%zu deliveries wait for \"%s\", which the configuration does not name: give a <send> that name again, or end "
        "them with `stepcot queue drop ID`",
        n, destination);
}
