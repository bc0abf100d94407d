/* The sending side: one association for a list of reports, with C-STORE statuses sorted into delivered, try again and give
 * up. Class and instance come from guard.c, so that a file is only parsed while it is sent. Texts name the peer and what to
 * check; a peer's own comment is left out, it may quote a patient. Every wait is bounded by the peer's timeout_s.
 * Threads: one at a time in a process (DCMTK's time-outs are globals). SPDX-License-Identifier: Apache-2.0 */
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dimse.h"
#include "dicom/internal.h"
#include "dicom/translate.h"
#include <arpa/inet.h>
#include <csignal>
#include <cstring>
#include <netdb.h>
#include <string>
#include <vector>

namespace
{
/* Both faces of one object. */
struct letter {
    cot_dicom_head head, fallback;
    bool has_head, has_fallback;
};
enum class ending { release, abort, drop };
struct connection {
    const cot_scu_peer *peer;
    T_ASC_Network *net = nullptr;
    T_ASC_Parameters *params = nullptr; /* until the association has it */
    T_ASC_Association *assoc = nullptr;
    ending end = ending::release;

    explicit connection(const cot_scu_peer *p) : peer(p) {}
    connection(const connection &) = delete;
    connection &operator=(const connection &) = delete;
    ~connection()
    {
        if (assoc && end == ending::release) ASC_releaseAssociation(assoc);
        if (assoc && end == ending::abort) ASC_abortAssociation(assoc);
        if (assoc && end == ending::drop) ASC_dropAssociation(assoc);
        if (assoc) ASC_destroyAssociation(&assoc);
        if (params) ASC_destroyAssociationParameters(&params);
        if (net) ASC_dropNetwork(&net);
    }
    /* A peer that is still there, but silent or talking nonsense, is told so. */
    void lose(const OFCondition &cond)
    {
        const bool gone =
            cond == DUL_PEERABORTEDASSOCIATION || cond == DUL_NETWORKCLOSED || cond == DUL_ASSOCIATIONREJECTED;
        end = gone ? ending::drop : ending::abort;
    }
};
/* A peer that went away is an error code, not a signal. */
class without_sigpipe
{
    void (*before)(int) = std::signal(SIGPIPE, SIG_IGN);

  public:
    ~without_sigpipe() { std::signal(SIGPIPE, before); }
};

cot_status fail_peer(cot_error *err, const cot_scu_peer *peer, const std::string &what)
{
    return cot_fail(err, COT_E_NETWORK, "%s:%u (called AE \"%s\", calling AE \"%s\"): %s", peer->host, peer->port,
                    peer->called_ae, peer->calling_ae, what.c_str());
}

/* ---- association ---- */
/* DCMTK 3.6.7 speaks IPv4 only; resolving here tells a wrong name from a peer that is down. */
cot_status resolve(char address[64], const cot_scu_peer *peer, cot_error *err)
{
    struct addrinfo hints = {}, *found = nullptr;
    char number[INET_ADDRSTRLEN] = "";
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    const int rc = getaddrinfo(peer->host, nullptr, &hints, &found);
    if (rc != 0)
        return fail_peer(err, peer,
                         std::string("the host name has no IPv4 address: ") + gai_strerror(rc) +
                             "; check host in the configuration and the name service");
    getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof number, nullptr, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    snprintf(address, 64, "%s:%u", number, peer->port);
    return COT_OK;
}

std::string rejection_text(T_ASC_Parameters *params)
{
    static const struct {
        unsigned source_reason;
        const char *text;
    } known[] = {
        {ASC_REASON_SU_NOREASON, "it gives no reason"},
        {ASC_REASON_SU_APPCONTEXTNAMENOTSUPPORTED, "application context name not supported"},
        {ASC_REASON_SU_CALLINGAETITLENOTRECOGNIZED, "calling AE title not recognised: make it known to the peer"},
        {ASC_REASON_SU_CALLEDAETITLENOTRECOGNIZED, "called AE title not recognised: check it in the configuration"},
        {ASC_REASON_SP_ACSE_NOREASON, "its service provider gives no reason"},
        {ASC_REASON_SP_ACSE_PROTOCOLVERSIONNOTSUPPORTED, "protocol version not supported"},
        {ASC_REASON_SP_PRES_TEMPORARYCONGESTION, "temporary congestion"},
        {ASC_REASON_SP_PRES_LOCALLIMITEXCEEDED, "its limit of associations is reached"},
    };
    T_ASC_RejectParameters why;
    if (ASC_getRejectParameters(params, &why).bad()) return "association rejected";
    const unsigned code = static_cast<unsigned>(why.reason);
    char text[160];
    const char *meaning = "unknown reason";
    for (const auto &k : known)
        if (k.source_reason == code) meaning = k.text;
    snprintf(text, sizeof text, "association rejected (%s, source %u, reason %u): %s",
             why.result == ASC_RESULT_REJECTEDTRANSIENT ? "transient" : "permanent", code >> 8, code & 0xff, meaning);
    return text;
}

std::string failure_text(const OFCondition &cond)
{
    if (cond == DUL_PEERABORTEDASSOCIATION) return "the peer aborted the association or closed the connection";
    if (cond == DUL_PEERREQUESTEDRELEASE) return "the peer released the association too early";
    if (cond == DUL_NETWORKCLOSED) return "the peer closed the connection";
    if (cond == DUL_READTIMEOUT || cond == DIMSE_NODATAAVAILABLE) return "no answer in time; is the peer overloaded?";
    if (cond == DUL_REQUESTASSOCIATIONFAILED || cond.code() == DULC_TCPINITERROR)
        return std::string("no connection: ") + cond.text() + "; check host, port and firewall";
    return cond.text();
}

cot_status open_association(connection &c, const std::vector<std::string> &classes, cot_error *err)
{
    const cot_scu_peer *peer = c.peer;
    const char *syntaxes[] = {SYNTAX_EXPLICIT_LE, SYNTAX_IMPLICIT_LE};
    const int timeout_s = static_cast<int>(peer->timeout_s ? peer->timeout_s : 1);
    const unsigned pdu = peer->pdu;
    const long most = pdu < ASC_MINIMUMPDUSIZE   ? ASC_MINIMUMPDUSIZE
                      : pdu > ASC_MAXIMUMPDUSIZE ? ASC_MAXIMUMPDUSIZE
                                                 : (long)pdu;
    char address[64];
    const cot_status status = resolve(address, peer, err);
    if (status != COT_OK) return status;
    dcmConnectionTimeout.set(timeout_s);
    dcmSocketReceiveTimeout.set(timeout_s);
    dcmSocketSendTimeout.set(timeout_s);
    OFCondition cond = ASC_initializeNetwork(NET_REQUESTOR, 0, timeout_s, &c.net);
    if (cond.good()) cond = ASC_createAssociationParameters(&c.params, most);
    if (cond.good()) cond = ASC_setAPTitles(c.params, peer->calling_ae, peer->called_ae, nullptr);
    if (cond.good()) cond = ASC_setPresentationAddresses(c.params, "localhost", address);
    for (size_t i = 0; i < classes.size() && cond.good(); i++)
        cond = ASC_addPresentationContext(c.params, static_cast<T_ASC_PresentationContextID>(2 * i + 1),
                                          classes[i].c_str(), syntaxes, 2);
    if (cond.bad()) return fail_condition(err, COT_E_BUG, "prepare an association", cond);
    cond = ASC_requestAssociation(c.net, c.params, &c.assoc, nullptr, nullptr, DUL_NOBLOCK, timeout_s);
    if (cond == DUL_ASSOCIATIONREJECTED) {
        c.lose(cond);
        const std::string why = rejection_text(c.params);
        if (c.assoc) c.params = nullptr;
        return fail_peer(err, peer, why);
    }
    if (c.assoc) c.params = nullptr;
    if (cond.good()) return COT_OK;
    c.end = ending::drop; /* there is no association to abort */
    return fail_peer(err, peer, failure_text(cond));
}

/* ---- objects ---- */
COT_PRINTF(3, 4) void settle(cot_scu_object *o, cot_sent sent, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    o->sent = sent;
    vsnprintf(o->text, sizeof o->text, format, args);
    va_end(args);
}

void add_class(std::vector<std::string> &classes, const char *uid)
{
    const size_t contexts_max = 128;
    for (const std::string &known : classes)
        if (known == uid) return;
    if (classes.size() < contexts_max) classes.push_back(uid);
}

/* Classes and instances of all files; one that cannot be read is settled at once. */
std::vector<letter> read_letters(cot_scu_object *objects, size_t n, std::vector<std::string> &classes)
{
    std::vector<letter> letters(n);
    for (size_t i = 0; i < n; i++) {
        letter &l = letters[i];
        cot_error err = COT_ERROR_INIT;
        objects[i].dimse = 0;
        objects[i].no_context = false;
        settle(&objects[i], COT_SENT_NOT_TRIED, "not tried");
        l.has_head = cot_dicom_guard(&l.head, objects[i].path, nullptr, &err) == COT_OK;
        if (!l.has_head) {
            settle(&objects[i], err.status == COT_E_IO ? COT_SENT_RETRY : COT_SENT_DEAD, "%s", err.text);
            continue;
        }
        add_class(classes, l.head.sop_class);
        l.has_fallback =
            objects[i].path_fallback && cot_dicom_guard(&l.fallback, objects[i].path_fallback, nullptr, &err) == COT_OK;
        if (l.has_fallback) add_class(classes, l.fallback.sop_class);
    }
    return letters;
}

void settle_by_status(const cot_scu_peer *peer, cot_scu_object *o, bool fallback)
{
    const unsigned s = o->dimse;
    const char *face = fallback ? " (as the fallback class)" : "";
    if (s == 0x0000)
        settle(o, COT_SENT_DELIVERED, "%s:%u accepted it%s", peer->host, peer->port, face);
    else if (s == 0x0111) /* sent again after a crash: its own UID says that it is the same object */
        settle(o, COT_SENT_DELIVERED, "%s:%u has it already%s (0x0111, duplicate SOP instance)", peer->host, peer->port,
               face);
    else if (s >> 12 == 0xb || s == 0x0001 || s == 0x0107 || s == 0x0116)
        settle(o, COT_SENT_DELIVERED, "%s:%u accepted it%s with warning 0x%04X", peer->host, peer->port, face, s);
    else if (s >> 8 == 0xa7 || s == 0x0110 || s == 0x0213)
        settle(o, COT_SENT_RETRY,
               "%s:%u (called AE \"%s\") answered 0x%04X: out of resources or a passing failure; try again", peer->host,
               peer->port, peer->called_ae, s);
    else
        settle(o, COT_SENT_DEAD, "%s:%u (called AE \"%s\") answered 0x%04X: %s; see the peer's log", peer->host,
               peer->port, peer->called_ae, s,
               s >> 8 == 0xa9   ? "the data set does not match its SOP class"
               : s >> 12 == 0xc ? "it cannot understand the object"
                                : "refused");
}

void send_one(connection &c, cot_scu_object *o, const letter &l)
{
    const cot_scu_peer *peer = c.peer;
    T_DIMSE_C_StoreRQ request;
    T_DIMSE_C_StoreRSP response;
    DcmDataset *detail = nullptr;
    T_ASC_PresentationContextID id = ASC_findAcceptedPresentationContextID(c.assoc, l.head.sop_class);
    const bool fallback = id == 0 && l.has_fallback;
    if (fallback) id = ASC_findAcceptedPresentationContextID(c.assoc, l.fallback.sop_class);
    if (id == 0) {
        o->no_context = true;
        settle(o, COT_SENT_DEAD,
               "%s:%u (called AE \"%s\") accepts no presentation context for class %s%s; enable it there", peer->host,
               peer->port, peer->called_ae, l.head.sop_class, l.has_fallback ? " or its fallback" : "");
        return;
    }
    const cot_dicom_head &head = fallback ? l.fallback : l.head;
    std::memset(&request, 0, sizeof request);
    std::memset(&response, 0, sizeof response);
    request.MessageID = c.assoc->nextMsgID++;
    request.DataSetType = DIMSE_DATASET_PRESENT;
    request.Priority = DIMSE_PRIORITY_MEDIUM;
    snprintf(request.AffectedSOPClassUID, sizeof request.AffectedSOPClassUID, "%s", head.sop_class);
    snprintf(request.AffectedSOPInstanceUID, sizeof request.AffectedSOPInstanceUID, "%s", head.sop_instance);
    const OFCondition cond =
        DIMSE_storeUser(c.assoc, id, &request, fallback ? o->path_fallback : o->path, nullptr, nullptr, nullptr,
                        DIMSE_NONBLOCKING, static_cast<int>(peer->timeout_s ? peer->timeout_s : 1), &response, &detail);
    delete detail;
    if (cond.good()) {
        o->dimse = response.DimseStatus;
        settle_by_status(peer, o, fallback);
        return;
    }
    c.lose(cond);
    settle(o, COT_SENT_RETRY, "%s:%u (called AE \"%s\"), waiting for the C-STORE response: %s", peer->host, peer->port,
           peer->called_ae, failure_text(cond).c_str());
}

cot_status send_all(const cot_scu_peer *peer, cot_scu_object *objects, size_t n, cot_error *err)
{
    std::vector<std::string> classes;
    const std::vector<letter> letters = read_letters(objects, n, classes);
    if (classes.empty()) return COT_OK; /* nothing that could be sent: each object says why */
    connection c(peer);
    const cot_status status = open_association(c, classes, err);
    for (size_t i = 0; i < n; i++) {
        if (!letters[i].has_head) continue;
        if (status != COT_OK)
            settle(&objects[i], COT_SENT_RETRY, "%s", err->text);
        else if (c.end == ending::release)
            send_one(c, &objects[i], letters[i]);
        else
            settle(&objects[i], COT_SENT_NOT_TRIED, "not tried: the association had ended before its turn");
    }
    return status;
}

cot_status echo(const cot_scu_peer *peer, cot_error *err)
{
    connection c(peer);
    DIC_US answer = 0;
    DcmDataset *detail = nullptr;
    const cot_status status = open_association(c, {CLASS_VERIFICATION}, err);
    if (status != COT_OK) return status;
    const OFCondition cond = DIMSE_echoUser(c.assoc, c.assoc->nextMsgID++, DIMSE_NONBLOCKING,
                                            static_cast<int>(peer->timeout_s ? peer->timeout_s : 1), &answer, &detail);
    delete detail;
    if (cond.bad() && cond != DIMSE_NOVALIDPRESENTATIONCONTEXTID) c.lose(cond);
    if (cond.bad()) return fail_peer(err, peer, failure_text(cond));
    if (answer == 0) return COT_OK;
    char text[64];
    snprintf(text, sizeof text, "C-ECHO answered with status 0x%04X", answer);
    return fail_peer(err, peer, text);
}
} // namespace

extern "C" cot_status cot_scu_send(const cot_scu_peer *peer, cot_scu_object *objects, size_t n, cot_error *err)
{
    cot_error local = COT_ERROR_INIT;
    if (!err) err = &local;
    try {
        const without_sigpipe guard;
        cot_dicom_init();
        return send_all(peer, objects, n, err);
    } catch (...) {
        return fail_exception(err, "send reports");
    }
}

extern "C" cot_status cot_scu_echo(const cot_scu_peer *peer, cot_error *err)
{
    try {
        const without_sigpipe guard;
        cot_dicom_init();
        return echo(peer, err);
    } catch (...) {
        return fail_exception(err, "verify a peer");
    }
}
