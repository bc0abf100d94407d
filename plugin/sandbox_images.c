/* The images of a report order on their way into the sandbox: who they are, their chains, and what the chains own, as one block.
 * Packing and unpacking keep one layout: an entry per image, then each chain's answers (chain_pack.h) in the same order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plugin/chain_pack.h"
#include "plugin/sandbox_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct image_entry {
    _Alignas(16) char source[1200];
    char dataset_sha256[65];
    cot_chain chain; /* its pointers are set again in the child */
    size_t packed;   /* bytes of what it owns */
} image_entry;

static cot_report_image image_of(const cot_report_order *order, size_t i)
{
    if (i) return order->more[i - 1];
    return (cot_report_image){order->source, order->dataset_sha256, order->chain};
}

static cot_status entry_fill(image_entry *entry, const cot_report_image *image, cot_error *err)
{
    entry->chain = *image->chain;
    if (snprintf(entry->source, sizeof entry->source, "%s", image->source) >= (int)sizeof entry->source ||
        snprintf(entry->dataset_sha256, sizeof entry->dataset_sha256, "%s", image->dataset_sha256) >=
            (int)sizeof entry->dataset_sha256)
        return cot_fail(err, COT_E_INPUT, "write report on %.200s…: the path is too long", image->source);
    return COT_OK;
}

/* What a chain owns, behind what is there. */
static cot_status append(char **block, size_t *size, const cot_chain *chain, size_t *packed, cot_error *err)
{
    void *owned = NULL;
    const cot_status status = chain_pack(&owned, packed, chain, err);
    if (status != COT_OK) return status;
    char *more = realloc(*block, *size + *packed);
    if (more) {
        memcpy(more + *size, owned, *packed);
        *block = more;
        *size += *packed;
    }
    free(owned);
    return more ? COT_OK : cot_fail(err, COT_E_MEMORY, "write report: no memory to hand its readings over");
}

cot_status images_pack(void **out, size_t *size, const cot_report_order *order, cot_error *err)
{
    cot_status status = COT_OK;
    const size_t n = 1 + order->n_more;
    if (n > COT_REPORT_IMAGES)
        return cot_fail(err, COT_E_REFUSED,
                        "a study's report can be about %d images, this study has %zu: set per=\"image\"",
                        COT_REPORT_IMAGES, n);
    char *block = calloc(n, sizeof(image_entry));
    if (!block) return cot_fail(err, COT_E_MEMORY, "write report: no memory for %zu images", n);
    *size = n * sizeof(image_entry);
    for (size_t i = 0; i < n; i++) {
        const cot_report_image image = image_of(order, i);
        size_t packed = 0;
        COT_TRY(entry_fill((image_entry *)(void *)block + i, &image, err));
        COT_TRY(append(&block, size, image.chain, &packed, err));
        ((image_entry *)(void *)block + i)->packed = packed;
    }
    *out = block;
    block = NULL;
done:
    free(block);
    return status;
}

bool images_unpack(cot_report_image *images, size_t n, void *block, size_t size)
{
    image_entry *entries = block;
    if (n < 1 || n > COT_REPORT_IMAGES || size < n * sizeof *entries) return false;
    char *owned = (char *)block + n * sizeof *entries;
    size_t left = size - n * sizeof *entries;
    for (size_t i = 0; i < n; i++) {
        if (entries[i].packed > left || !chain_unpack(&entries[i].chain, owned, entries[i].packed)) return false;
        images[i] = (cot_report_image){entries[i].source, entries[i].dataset_sha256, &entries[i].chain};
        owned += entries[i].packed;
        left -= entries[i].packed;
    }
    return true;
}
