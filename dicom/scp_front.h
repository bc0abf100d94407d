/* What a peer sends, received and checked before DCMTK sees it (scp_front.c; scp_transport.cc serves it).
 * Threads: one per connection. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_SCP_FRONT_H
#define COT_DICOM_SCP_FRONT_H
#include "dicom/internal.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { FRONT_PDU_MAX = 128 * 1024, FRONT_HEADER = 6, FRONT_BUFFER = 2 * (FRONT_HEADER + FRONT_PDU_MAX) };

/* What waiting on a connection ended with. */
typedef enum front_event { FRONT_READY, FRONT_TIMEOUT, FRONT_STOP, FRONT_CLOSED, FRONT_GARBAGE } front_event;

/* A connection as DCMTK may see it: every byte is taken out of the socket into a buffer of ours as soon as it comes (left
 * in the socket, it would close the peer's window), and DCMTK is served one PDU at a time, whole and checked. */
typedef struct front {
    int fd;                /* borrowed */
    unsigned char *buffer; /* [FRONT_BUFFER] */
    size_t begin, end;     /* what was received and not served yet */
    size_t left;           /* of these, the rest of the PDU that is being served */
} front;
bool front_open(front *f, int fd); /* false: no memory; front_close all the same */
void front_close(front *f);

/* Receives the next PDU of an association: of a type and with lengths that DCMTK may be given, that is P-DATA-TF whose PDVs
 * add up (DCMTK 3.6.7 miscounts others), release or abort. timeout_ms bounds the wait for its header and, again, that for
 * the rest. stop_fd -1: no stop; else it ends the wait for the header. */
front_event front_next_pdu(front *f, int stop_fd, int timeout_ms, size_t pdu_max);
/* Serves up to `size` bytes of the PDU received last; 0 at its end. */
size_t front_take(front *f, void *to, size_t size);
/* Receives the request and judges it. *pass: it is ready to be served. Otherwise it was answered, logged and the
 * connection is at its end. The caller closes fd. */
void front_judge(front *f, int stop_fd, const char *host, const cot_scp_options *options, char calling[17], bool *pass);
/* Sends a PDU of 10 bytes as the last word on `fd` and waits, a second at most, until the peer closes: closing with unread
 * bytes would reset the word away. The caller closes fd. */
void front_farewell(int fd, const unsigned char word[10]);
/* For logs: printable, without quotes. */
void front_printable(char out[17], const char *title);

#ifdef __cplusplus
}
#endif
#endif
