/* The receiving side of one association. DCMTK negotiates and splits PDUs; commands are parsed by dimse.c and data sets go
 * to a file as they come, so that nothing here parses what a peer sent before guard.c has bounded it. One object at a time:
 * place a file, receive, guard, compare with the command, store, answer. SIGTERM and SIGINT are held back while an object
 * is in hand and end the association before the next one; they are delivered when cot_scp_serve returns.
 * Threads: none; a process of its own (DCMTK takes the socket through a global). SPDX-License-Identifier: Apache-2.0 */
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dctk.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dimse.h"
#include "dicom/dimse.h"
#include "dicom/scp_front.h"
#include "dicom/scp_transport.h"
#include "dicom/translate.h"
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vector>

namespace
{
/* C-STORE statuses (PS3.4 B.2.3, PS3.7 C). */
enum : unsigned {
    STORED = 0x0000,
    PROCESSING_FAILURE = 0x0110,
    CLASS_NOT_SUPPORTED = 0x0122,
    OUT_OF_RESOURCES = 0xa700,
    CLASS_MISMATCH = 0xa900,
    CANNOT_UNDERSTAND = 0xc000
};
/* What ends an association, and what keeps it going. */
enum class event { pdv, released, aborted, closed, timeout, garbage, stop };

const char *name_of(event e)
{
    switch (e) {
    case event::pdv: return "fault";
    case event::released: return "released";
    case event::aborted: return "aborted";
    case event::closed: return "closed";
    case event::timeout: return "timeout";
    case event::garbage: return "garbage";
    case event::stop: return "stop";
    }
    return "";
}

const size_t drain_max = (size_t)64 << 20; /* bytes of a refused object that are read to keep the association */
const size_t slowest = 1024;               /* bytes a second below which a sender is not waited for */

struct session {
    const cot_scp_options *options;
    const cot_scp_handler *handler;
    const char *host;
    char calling[17];
    int fd, stop_fd;
    front in;
    T_ASC_Network *net;
    T_ASC_Association *assoc;
    size_t pdu_max;
    size_t stored, refused;
};
/* An object on its way: where it goes, and the status that is already certain. */
struct incoming {
    dimse_command command;
    T_ASC_PresentationContextID context;
    char syntax[65];
    char path[1024]; /* "" : nowhere */
    int fd;
    size_t bytes;
    unsigned status; /* STORED as long as nothing speaks against it */
    cot_error why;
};

/* ---- PDVs ---- */
event event_of(const OFCondition &cond)
{
    if (cond == DUL_PEERREQUESTEDRELEASE) return event::released;
    if (cond == DUL_PEERABORTEDASSOCIATION) return event::aborted;
    if (cond == DUL_NETWORKCLOSED) return event::closed;
    if (cond == DUL_READTIMEOUT) return event::timeout;
    return event::garbage;
}

event event_of(front_event e)
{
    return e == FRONT_TIMEOUT  ? event::timeout
           : e == FRONT_STOP   ? event::stop
           : e == FRONT_CLOSED ? event::closed
                               : event::garbage;
}

/* SIGALRM, which this process has for itself, ends it when nothing moves: every wait for the peer ends within a time-out, so
 * that what lasts longer, apart from a slow disk's time for the largest object, hangs in a library or in the store. */
void watch(const session &s)
{
    const size_t disk_slowest = (size_t)1 << 20, day_s = 86400; /* bytes a second */
    const size_t bound = 4 * (size_t)s.options->dimse_timeout_s + s.options->limits.max_bytes / disk_slowest;
    alarm(static_cast<unsigned>(bound < day_s ? bound : day_s));
}

/* The next PDV; between objects (`idle`) a stop ends the wait. */
event next_pdv(session &s, DUL_PDV *pdv, bool idle)
{
    const int timeout_s = (int)s.options->dimse_timeout_s;
    OFCondition cond = DUL_NextPDV(&s.assoc->DULassociation, pdv);
    if (cond.bad()) {
        const front_event e = front_next_pdu(&s.in, idle ? s.stop_fd : -1, timeout_s * 1000, s.pdu_max);
        if (e != FRONT_READY) return event_of(e);
        watch(s);
        cond = DUL_ReadPDVs(&s.assoc->DULassociation, nullptr, DUL_NOBLOCK, timeout_s);
        if (cond != DUL_PDATAPDUARRIVED) return event_of(cond);
        cond = DUL_NextPDV(&s.assoc->DULassociation, pdv);
    }
    const bool sound = cond.good() && pdv->data && pdv->fragmentLength <= s.pdu_max;
    return sound ? event::pdv : event::garbage;
}

event receive_command(session &s, dimse_command *command, T_ASC_PresentationContextID *context)
{
    std::vector<unsigned char> bytes;
    cot_error err = COT_ERROR_INIT;
    DUL_PDV pdv;
    for (bool first = true;; first = false) {
        const event e = next_pdv(s, &pdv, first);
        if (e != event::pdv) return e;
        if (first) *context = pdv.presentationContextID;
        if (pdv.pdvType != DUL_COMMANDPDV || pdv.presentationContextID != *context) return event::garbage;
        if (bytes.size() + pdv.fragmentLength > COMMAND_BYTES_MAX) return event::garbage;
        const auto *from = static_cast<const unsigned char *>(pdv.data);
        bytes.insert(bytes.end(), from, from + pdv.fragmentLength);
        if (pdv.lastPDV) break;
    }
    if (dimse_parse(command, bytes.data(), bytes.size(), &err) == COT_OK) return event::pdv;
    cot_log(COT_WARN, "dimse.malformed", nullptr, "host=%s text=\"%s\"", s.host, err.text);
    return event::garbage;
}

/* ---- one object ---- */
void decide(incoming &o, unsigned status, const char *why)
{
    if (o.status != STORED) return; /* the first reason counts */
    o.status = status;
    cot_fail(&o.why, COT_E_INPUT, "%s", why);
}
void decide_by(incoming &o, const cot_error &why)
{
    if (o.status != STORED) return;
    const cot_status s = why.status;
    o.status = s == COT_E_LIMIT                         ? OUT_OF_RESOURCES
               : s == COT_E_INPUT || s == COT_E_REFUSED ? CANNOT_UNDERSTAND
                                                        : PROCESSING_FAILURE;
    o.why = why;
}

bool write_all(int fd, const void *data, size_t size)
{
    const char *from = static_cast<const char *>(data);
    while (size > 0) {
        const ssize_t n = write(fd, from, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        from += n;
        size -= static_cast<size_t>(n);
    }
    return true;
}

void write_failed(incoming &o)
{
    const int why = errno;
    if (why == EFBIG) /* a bound of ours or of the file system: sent again, the object would be no smaller */
        decide(o, CANNOT_UNDERSTAND, "the object is larger than a file may be here");
    else if (why == ENOSPC || why == EDQUOT)
        decide(o, OUT_OF_RESOURCES, "no space for the object");
    else
        decide(o, PROCESSING_FAILURE, "the object cannot be written");
    cot_log(COT_ERROR_LEVEL, "store.write", nullptr, "error=\"%s\"", std::strerror(why));
}

/* Where the object goes, unless the command alone is enough to refuse it. */
void open_object(session &s, incoming &o)
{
    T_ASC_PresentationContext pc;
    cot_error err = COT_ERROR_INIT;
    unsigned char meta[META_BYTES_MAX_WRITTEN];
    const bool accepted = ASC_findAcceptedPresentationContext(s.assoc->params, o.context, &pc).good();
    if (!accepted || std::strcmp(pc.abstractSyntax, o.command.sop_class) != 0) {
        decide(o, CLASS_NOT_SUPPORTED, "SOP class of the command is not the presentation context's");
        return;
    }
    if (!o.command.sop_instance[0]) {
        decide(o, CANNOT_UNDERSTAND, "SOP Instance UID of the command is missing or malformed");
        return;
    }
    if (s.handler->place(s.handler->ctx, o.path, sizeof o.path, &err) != COT_OK) {
        o.path[0] = 0;
        decide_by(o, err);
        return;
    }
    snprintf(o.syntax, sizeof o.syntax, "%s", pc.acceptedTransferSyntax);
    o.fd = open(o.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    const size_t size = dimse_file_meta(meta, &o.command, o.syntax, s.calling);
    if (o.fd < 0 || !write_all(o.fd, meta, size)) write_failed(o);
    o.bytes = size;
}

/* All PDVs of the data set: into the file while the object is still welcome, else read and dropped, up to drain_max. */
event receive_dataset(session &s, incoming &o)
{
    DUL_PDV pdv;
    size_t dropped = 0;
    const std::time_t begun = std::time(nullptr);
    do {
        const event e = next_pdv(s, &pdv, false);
        if (e != event::pdv) return e;
        const std::time_t patience = static_cast<std::time_t>(s.options->dimse_timeout_s + o.bytes / slowest);
        if (std::time(nullptr) - begun > patience) return event::timeout;
        if (pdv.pdvType != DUL_DATASETPDV || pdv.presentationContextID != o.context) return event::garbage;
        const size_t n = pdv.fragmentLength;
        if (o.status == STORED && o.bytes + n > s.options->limits.max_bytes)
            decide(o, CANNOT_UNDERSTAND, "the object is larger than the limit (max-object-mib)");
        if (o.status == STORED && !write_all(o.fd, pdv.data, n)) write_failed(o);
        o.bytes += n;
        if (o.status != STORED) dropped += n;
    } while (!pdv.lastPDV && dropped <= drain_max);
    return pdv.lastPDV ? event::pdv : event::garbage;
}

/* The bytes are on disk: bound them, hold them against the command, hand them on. */
void judge_object(session &s, incoming &o)
{
    cot_error err = COT_ERROR_INIT;
    cot_dicom_head head;
    const cot_received object = {o.path, &head, s.calling, s.host};
    if (cot_dicom_guard(&head, o.path, &s.options->limits, &err) != COT_OK) {
        /* A bound of the guard is a property of the object: sent again, it would be no smaller. */
        if (err.status == COT_E_LIMIT)
            decide(o, CANNOT_UNDERSTAND, err.text);
        else
            decide_by(o, err);
    } else if (std::strcmp(head.sop_class, o.command.sop_class) != 0)
        decide(o, CLASS_MISMATCH, "(0008,0016) SOP Class UID of the data set is not the command's");
    else if (std::strcmp(head.sop_instance, o.command.sop_instance) != 0)
        decide(o, CANNOT_UNDERSTAND, "(0008,0018) SOP Instance UID of the data set is not the command's");
    else if (s.handler->store(s.handler->ctx, &object, &err) != COT_OK) {
        decide_by(o, err);
        return;
    }
    if (o.status != STORED && o.status != PROCESSING_FAILURE && s.handler->refused)
        s.handler->refused(s.handler->ctx, &object, &o.why);
}

/* Error Comment (0000,0902) is LO: 64 characters, no control characters or backslash. The path in front of the guard's
 * text says nothing to a peer. */
void comment_of(char comment[65], const incoming &o)
{
    const char *text = o.why.text;
    const size_t prefix = std::strlen(o.path);
    if (prefix && std::strncmp(text, o.path, prefix) == 0 && text[prefix] == ':')
        text += prefix + 1 + (text[prefix + 1] == ' ');
    size_t n = 0;
    for (; text[n] && n < 64; n++) comment[n] = text[n] < 0x20 || text[n] > 0x7e || text[n] == '\\' ? '?' : text[n];
    comment[n] = 0;
}

/* A refusal goes without the UIDs, which are optional here (PS3.7 9.3.1.2) and may be what is wrong. */
bool answer_store(session &s, const incoming &o)
{
    T_DIMSE_Message message;
    DcmDataset detail;
    char comment[65];
    std::memset(&message, 0, sizeof message);
    message.CommandField = DIMSE_C_STORE_RSP;
    T_DIMSE_C_StoreRSP &response = message.msg.CStoreRSP;
    response.MessageIDBeingRespondedTo = static_cast<DIC_US>(o.command.message_id);
    response.DimseStatus = static_cast<DIC_US>(o.status);
    response.DataSetType = DIMSE_DATASET_NULL;
    comment_of(comment, o);
    const bool refused = o.status != STORED;
    if (!refused) {
        snprintf(response.AffectedSOPClassUID, sizeof response.AffectedSOPClassUID, "%s", o.command.sop_class);
        snprintf(response.AffectedSOPInstanceUID, sizeof response.AffectedSOPInstanceUID, "%s", o.command.sop_instance);
        response.opts = O_STORE_AFFECTEDSOPCLASSUID | O_STORE_AFFECTEDSOPINSTANCEUID;
    } else
        detail.putAndInsertString(DCM_ErrorComment, comment);
    return DIMSE_sendMessageUsingMemoryData(s.assoc, o.context, &message, refused ? &detail : nullptr, nullptr, nullptr,
                                            nullptr)
        .good();
}

event serve_store(session &s, const dimse_command &command, T_ASC_PresentationContextID context)
{
    incoming o = {};
    o.command = command;
    o.context = context;
    o.fd = -1;
    open_object(s, o);
    event e = command.has_dataset ? receive_dataset(s, o) : event::pdv;
    if (!command.has_dataset) decide(o, CANNOT_UNDERSTAND, "C-STORE without a data set");
    if (o.fd >= 0 && close(o.fd) != 0) write_failed(o);
    const bool whole = e == event::pdv;
    if (whole && o.status == STORED) judge_object(s, o);
    if (o.path[0] && (!whole || o.status != STORED)) unlink(o.path);
    s.stored += whole && o.status == STORED;
    s.refused += o.status != STORED;
    if (!whole && o.status == STORED)
        cot_log(COT_WARN, "store.incomplete", nullptr, "reason=%s host=%s calling=\"%s\" bytes=%zu", name_of(e), s.host,
                s.calling, o.bytes);
    if (o.status != STORED)
        cot_log(o.status == PROCESSING_FAILURE ? COT_ERROR_LEVEL : COT_WARN, "object.refused", nullptr,
                "status=0x%04X host=%s calling=\"%s\" bytes=%zu reason=\"%s\"", o.status, s.host, s.calling, o.bytes,
                o.why.text);
    const bool cut = e == event::garbage && o.status != STORED; /* endless: told so, then aborted */
    if ((whole || cut) && !answer_store(s, o)) e = event::closed;
    return e;
}

bool answer_echo(session &s, const dimse_command &command, T_ASC_PresentationContextID context)
{
    T_DIMSE_C_EchoRQ request;
    std::memset(&request, 0, sizeof request);
    request.MessageID = static_cast<DIC_US>(command.message_id);
    snprintf(request.AffectedSOPClassUID, sizeof request.AffectedSOPClassUID, "%s", CLASS_VERIFICATION);
    return DIMSE_sendEchoResponse(s.assoc, context, &request, STATUS_Success, nullptr).good();
}

event serve_commands(session &s)
{
    for (;;) {
        dimse_command command;
        T_ASC_PresentationContextID context = 0;
        event e = receive_command(s, &command, &context);
        if (e != event::pdv) return e;
        if (command.field == DIMSE_C_STORE)
            e = serve_store(s, command, context);
        else if (command.field == DIMSE_C_ECHO && !command.has_dataset)
            e = answer_echo(s, command, context) ? event::pdv : event::closed;
        else if (command.field != DIMSE_C_CANCEL) {
            cot_log(COT_WARN, "dimse.unknown", nullptr, "host=%s command=0x%04x", s.host, command.field);
            e = event::garbage;
        }
        if (e != event::pdv) return e;
    }
}

/* ---- the association ---- */
/* Explicit little endian where it is offered (nothing to decode), else the first the peer offers that can be decoded. */
const char *choose_syntax(const T_ASC_PresentationContext &pc)
{
    const char *chosen = nullptr;
    for (int i = 0; i < pc.transferSyntaxCount; i++) {
        const char *offered = pc.proposedTransferSyntaxes[i];
        if (std::strcmp(offered, SYNTAX_EXPLICIT_LE) == 0) return offered;
        if (!chosen && uid_listed(cot_dicom_syntaxes(), offered)) chosen = offered;
    }
    return chosen;
}

OFCondition negotiate(session &s, int *accepted)
{
    OFCondition cond = EC_Normal;
    const int n = ASC_countPresentationContexts(s.assoc->params);
    *accepted = 0;
    for (int i = 0; i < n && cond.good(); i++) {
        T_ASC_PresentationContext pc;
        cond = ASC_getPresentationContext(s.assoc->params, i, &pc);
        if (cond.bad()) break;
        const T_ASC_PresentationContextID id = pc.presentationContextID;
        const bool known = std::strcmp(pc.abstractSyntax, CLASS_VERIFICATION) == 0 ||
                           uid_listed(cot_dicom_storage_classes(), pc.abstractSyntax);
        const char *syntax = known ? choose_syntax(pc) : nullptr;
        if (syntax) {
            cond = ASC_acceptPresentationContext(s.assoc->params, id, syntax);
            ++*accepted;
        } else
            cond = ASC_refusePresentationContext(
                s.assoc->params, id, known ? ASC_P_TRANSFERSYNTAXESNOTSUPPORTED : ASC_P_ABSTRACTSYNTAXNOTSUPPORTED);
    }
    if (*accepted)
        cot_log(COT_INFO, "association.accept", nullptr, "host=%s calling=\"%s\" contexts=%d of=%d", s.host, s.calling,
                *accepted, n);
    else
        cot_log(COT_WARN, "association.accept", nullptr,
                "host=%s calling=\"%s\" contexts=0 of=%d text=\"no class and transfer syntax in common\"", s.host,
                s.calling, n);
    return cond;
}

/* Gives the socket to DCMTK; *owned tells that it will close it. */
OFCondition open_association(session &s, front_layer *layer, bool *owned)
{
    const unsigned pdu = s.options->pdu;
    int accepted = 0;
    s.pdu_max = pdu < ASC_MINIMUMPDUSIZE ? ASC_MINIMUMPDUSIZE : pdu > FRONT_PDU_MAX ? (unsigned)FRONT_PDU_MAX : pdu;
    dcmSocketReceiveTimeout.set(static_cast<Sint32>(s.options->dimse_timeout_s));
    dcmSocketSendTimeout.set(static_cast<Sint32>(s.options->dimse_timeout_s));
    dcmExternalSocketHandle.set(s.fd);
    OFCondition cond = ASC_initializeNetwork(NET_ACCEPTOR, 0, static_cast<int>(s.options->acse_timeout_s), &s.net);
    if (cond.good()) {
        *owned = true;
        cond = ASC_setTransportLayer(s.net, layer, 0);
    }
    if (cond.good()) cond = ASC_receiveAssociation(s.net, &s.assoc, static_cast<long>(s.pdu_max));
    if (cond.good()) cond = negotiate(s, &accepted);
    if (cond.good()) cond = ASC_acknowledgeAssociation(s.assoc);
    return cond;
}

/* What is no release and no abort of the peer's ends with an A-ABORT of ours (DCMTK's own would wait ten seconds). */
void close_association(session &s, event e)
{
    static const unsigned char abort_pdu[10] = {7, 0, 0, 0, 0, 4};
    const int linger_s = 2;
    if (s.assoc && e == event::released)
        ASC_acknowledgeRelease(s.assoc);
    else if (s.assoc && e != event::aborted && e != event::closed)
        front_farewell(s.fd, abort_pdu);
    if (s.assoc) {
        ASC_dropSCPAssociation(s.assoc, e == event::released ? linger_s : 0);
        ASC_destroyAssociation(&s.assoc);
    }
    if (s.net) ASC_dropNetwork(&s.net);
    dcmExternalSocketHandle.set(DCMNET_INVALID_SOCKET);
}

cot_status serve(session &s, cot_error *err)
{
    bool pass = false, owned = false;
    event e = event::garbage;
    cot_status status = COT_OK;
    front_layer layer(&s.in);
    front_judge(&s.in, s.stop_fd, s.host, s.options, s.calling, &pass);
    if (!pass) {
        close(s.fd);
        return COT_OK;
    }
    watch(s);
    const OFCondition cond = open_association(s, &layer, &owned);
    if (cond.good())
        e = serve_commands(s);
    else
        status = fail_condition(err, COT_E_NETWORK, "accept the association", cond);
    close_association(s, e);
    if (!owned) close(s.fd);
    const bool orderly = e == event::released || e == event::aborted || e == event::stop;
    cot_log(orderly ? COT_INFO : COT_WARN, "association.end", nullptr,
            "reason=%s host=%s calling=\"%s\" stored=%zu refused=%zu", name_of(e), s.host, s.calling, s.stored,
            s.refused);
    if (status == COT_OK && !orderly)
        status = cot_fail(err, COT_E_NETWORK, "association with %s (%s): %s", s.host, s.calling, name_of(e));
    return status;
}
} // namespace

extern "C" cot_status cot_scp_serve(int fd, const char *host, const cot_scp_options *options,
                                    const cot_scp_handler *handler, cot_error *err)
{
    session s = {};
    sigset_t stop, before;
    cot_status status;
    s.options = options;
    s.handler = handler;
    s.host = host;
    s.fd = fd;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, &before);
    const auto pipe_before = std::signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error code */
    const auto size_before = std::signal(SIGXFSZ, SIG_IGN); /* so is a file-size limit */
    const auto alarm_before = std::signal(SIGALRM, SIG_DFL);
    s.stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    try {
        cot_dicom_init();
        status = front_open(&s.in, fd) ? serve(s, err) : cot_fail(err, COT_E_MEMORY, "serve an association: no memory");
    } catch (...) {
        status = fail_exception(err, "serve an association");
    }
    if (s.stop_fd >= 0) close(s.stop_fd);
    front_close(&s.in);
    alarm(0);
    std::signal(SIGALRM, alarm_before);
    std::signal(SIGPIPE, pipe_before);
    std::signal(SIGXFSZ, size_before);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return status;
}
