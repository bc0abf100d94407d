/* Checks an A-ASSOCIATE-RQ (PS3.8 9.3.2, annex D; PS3.7 D.3.3) before DCMTK sees it: DCMTK 3.6.7 leaks memory for repeated
 * user-identity items and trusts more lengths than it should. Three small tables say which items may occur at each level,
 * how long they may be and how often they may occur; items not in the tables are only skipped, as the standard asks.
 * Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/internal.h"
#include <string.h>

enum { FIXED = 74, PDU_BYTES_MAX = 6 + 64 * 1024, CONTEXTS_MAX = 128, SYNTAXES_MAX = 64, KINDS = 8 };

typedef struct span {
    const unsigned char *at;
    size_t size;
} span;
/* What the items of one message have shown so far. */
typedef struct request {
    bool id_used[256];
    cot_error *err;
    association_reject *reject;
} request;
typedef struct kind {
    unsigned char type;
    size_t shortest, longest;
    unsigned fewest, most;
    const char *name;
    cot_status (*check)(request *r, span value); /* NULL: the length is all there is to check */
} kind;

static unsigned be16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

#define REFUSE(r, ...) cot_fail((r)->err, COT_E_INPUT, "A-ASSOCIATE-RQ: " __VA_ARGS__)

/* Walks the items that fill `all`, each `type, reserved, 16-bit length, value`, against a table that ends with type 0. */
static cot_status check_items(request *r, span all, const kind *kinds, const char *where)
{
    cot_status status = COT_OK;
    unsigned count[KINDS] = {0};
    for (size_t at = 0; at < all.size;) {
        if (all.size - at < 4) return REFUSE(r, "%zu stray bytes at the end of %s", all.size - at, where);
        const unsigned char type = all.at[at];
        const span value = {all.at + at + 4, be16(all.at + at + 2)};
        if (value.size > all.size - at - 4)
            return REFUSE(r, "item 0x%02x claims %zu bytes, %s has %zu left", type, value.size, where,
                          all.size - at - 4);
        at += 4 + value.size;
        size_t k = 0;
        while (kinds[k].type && kinds[k].type != type) k++;
        if (!kinds[k].type) continue;
        if (value.size < kinds[k].shortest || value.size > kinds[k].longest)
            return REFUSE(r, "%s item has %zu bytes, %zu to %zu are possible", kinds[k].name, value.size,
                          kinds[k].shortest, kinds[k].longest);
        if (++count[k] > kinds[k].most)
            return REFUSE(r, "more than %u %s items in %s", kinds[k].most, kinds[k].name, where);
        if (kinds[k].check) COT_TRY(kinds[k].check(r, value));
    }
    for (size_t k = 0; kinds[k].type; k++)
        if (count[k] < kinds[k].fewest) return REFUSE(r, "no %s item in %s", kinds[k].name, where);
done:
    return status;
}

/* ---- values ---- */
static bool uid_in(span value, char uid[65])
{
    while (value.size && value.at[value.size - 1] == 0) value.size--; /* padded by peers that take it for a UI value */
    if (value.size > 64 || memchr(value.at, 0, value.size)) return false;
    memcpy(uid, value.at, value.size);
    uid[value.size] = 0;
    return uid_valid(uid);
}

static cot_status check_uid(request *r, span value)
{
    char uid[65];
    return uid_in(value, uid) ? COT_OK : REFUSE(r, "a name in it is no UID");
}

static cot_status check_application(request *r, span value)
{
    char uid[65];
    if (uid_in(value, uid) && strcmp(uid, "1.2.840.10008.3.1.1.1") == 0) return COT_OK;
    *r->reject = (association_reject){1, 1, 2};
    return cot_fail(r->err, COT_E_REFUSED, "A-ASSOCIATE-RQ: application context is not DICOM's");
}

static cot_status check_context(request *r, span value)
{
    static const kind kinds[] = {
        {0x30, 1, 65, 1, 1, "abstract syntax", check_uid},
        {0x40, 1, 65, 1, SYNTAXES_MAX, "transfer syntax", check_uid},
        {0},
    };
    const unsigned char id = value.at[0];
    if (id % 2 == 0) return REFUSE(r, "presentation context id %u is even", id);
    if (r->id_used[id]) return REFUSE(r, "presentation context id %u occurs twice", id);
    r->id_used[id] = true;
    return check_items(r, (span){value.at + 4, value.size - 4}, kinds, "a presentation context");
}

/* SCP/SCU role selection: UID length, UID, two roles. */
static cot_status check_role(request *r, span value)
{
    const size_t n = be16(value.at);
    if (n + 4 != value.size)
        return REFUSE(r, "role selection item: its UID length %zu does not fit %zu bytes", n, value.size);
    return check_uid(r, (span){value.at + 2, n});
}

/* SOP class extended negotiation: UID length, UID, application information of any length. */
static cot_status check_extended(request *r, span value)
{
    const size_t n = be16(value.at);
    if (n + 2 > value.size)
        return REFUSE(r, "extended negotiation item: its UID length %zu exceeds %zu bytes", n, value.size);
    return check_uid(r, (span){value.at + 2, n});
}

/* Common extended negotiation: UID, service class UID, related UIDs, each with a 16-bit length. */
static cot_status check_common(request *r, span value)
{
    size_t at = 0;
    for (int part = 0; part < 3; part++) {
        if (value.size - at < 2) return REFUSE(r, "common extended negotiation item: too short");
        const size_t n = be16(value.at + at);
        if (n > value.size - at - 2)
            return REFUSE(r, "common extended negotiation item: a length of %zu exceeds it", n);
        at += 2 + n;
    }
    return COT_OK;
}

/* User identity: type, response wanted, primary field, secondary field, each with a 16-bit length. */
static cot_status check_identity(request *r, span value)
{
    const size_t primary = be16(value.at + 2);
    if (primary + 6 > value.size)
        return REFUSE(r, "user identity item: primary field of %zu bytes exceeds it", primary);
    const size_t secondary = be16(value.at + 4 + primary);
    if (primary + secondary + 6 != value.size)
        return REFUSE(r, "user identity item: secondary field of %zu bytes does not fit", secondary);
    return COT_OK;
}

static cot_status check_user(request *r, span value)
{
    static const kind kinds[] = {
        {0x51, 4, 4, 0, 1, "maximum length", NULL},
        {0x52, 1, 65, 0, 1, "implementation class UID", check_uid},
        {0x53, 4, 4, 0, 1, "asynchronous operations", NULL},
        {0x54, 5, 4 + 65, 0, CONTEXTS_MAX, "role selection", check_role},
        {0x55, 0, 16, 0, 1, "implementation version", NULL},
        {0x56, 3, 4096, 0, CONTEXTS_MAX, "extended negotiation", check_extended},
        {0x57, 6, 4096, 0, CONTEXTS_MAX, "common extended negotiation", check_common},
        {0x58, 6, 0xffff, 0, 1, "user identity", check_identity},
        {0},
    };
    _Static_assert(sizeof kinds / sizeof *kinds == KINDS + 1, "count[] in check_items holds every kind");
    return check_items(r, value, kinds, "the user information");
}

/* ---- what is not DICOM at all ---- */
static cot_status check_first_bytes(const unsigned char *pdu, size_t size, cot_error *err)
{
    static const char *const verbs[] = {"GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "CONN", "TRAC", "PATC", "PRI "};
    if (size >= 2 && pdu[0] == 0x16 && pdu[1] == 0x03)
        return cot_fail(
            err, COT_E_INPUT,
            "TLS bytes on the DICOM port: the peer starts TLS, this port speaks plain DICOM; switch TLS off at the "
            "peer or put a TLS proxy in front");
    for (size_t i = 0; size >= 4 && i < sizeof verbs / sizeof *verbs; i++)
        if (memcmp(pdu, verbs[i], 4) == 0)
            return cot_fail(
                err, COT_E_INPUT,
                "HTTP bytes on the DICOM port: a web client or scanner asks here; point it to another port");
    if (size >= 4 && memcmp(pdu, "SSH-", 4) == 0)
        return cot_fail(err, COT_E_INPUT, "SSH bytes on the DICOM port: point the client to another port");
    if (size >= 1 && pdu[0] != 1)
        return cot_fail(err, COT_E_INPUT, "not an A-ASSOCIATE-RQ: the first byte on the DICOM port is 0x%02x", pdu[0]);
    return COT_OK;
}

cot_status aarq_check(const unsigned char *pdu, size_t size, char calling[17], char called[17],
                      association_reject *reject, cot_error *err)
{
    static const kind kinds[] = {
        {0x10, 1, 65, 1, 1, "application context", check_application},
        {0x20, 4, 16384, 1, CONTEXTS_MAX, "presentation context", check_context},
        {0x50, 0, 0xffff, 1, 1, "user information", check_user},
        {0},
    };
    cot_status status;
    request r = {.err = err, .reject = reject};
    calling[0] = called[0] = 0;
    *reject = (association_reject){0};
    COT_TRY(check_first_bytes(pdu, size, err));
    if (size < 6) return REFUSE(&r, "%zu bytes are no PDU header", size);
    const size_t length = (size_t)be16(pdu + 2) << 16 | be16(pdu + 4);
    if (length > PDU_BYTES_MAX - 6 || size > PDU_BYTES_MAX)
        return REFUSE(&r, "its length field says %zu, 64 KiB are the most", length);
    if (size < FIXED) return REFUSE(&r, "%zu bytes, %d are the least", size, FIXED);
    if (length != size - 6) return REFUSE(&r, "its length field says %zu, %zu bytes follow", length, size - 6);
    if ((be16(pdu + 6) & 1) == 0) {
        *reject = (association_reject){1, 2, 2};
        return cot_fail(err, COT_E_REFUSED, "A-ASSOCIATE-RQ: protocol version 0x%04x, version 1 is spoken here",
                        be16(pdu + 6));
    }
    if (!ae_copy(called, pdu + 10, 16)) return REFUSE(&r, "called AE title is empty or not printable");
    if (!ae_copy(calling, pdu + 26, 16)) return REFUSE(&r, "calling AE title is empty or not printable");
    status = check_items(&r, (span){pdu + FIXED, size - FIXED}, kinds, "the request");
done:
    return status;
}

cot_status cot_aarq_check(const unsigned char *pdu, size_t size, char calling[17], char called[17], cot_error *err)
{
    association_reject reject;
    return aarq_check(pdu, size, calling, called, &reject, err);
}
