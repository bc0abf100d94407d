/* The first PDU of a connection, looked at before DCMTK reads it (scp_front.c).
 * Threads: one per connection. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_SCP_FRONT_H
#define COT_DICOM_SCP_FRONT_H
#include "dicom/internal.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Larger PDUs are not negotiated: one with several PDVs must fit into the socket's receive buffer. */
enum { FRONT_PDU_MAX = 64 * 1024 };

/* What waiting on a connection ended with. */
typedef enum front_event { FRONT_READY, FRONT_TIMEOUT, FRONT_STOP, FRONT_CLOSED, FRONT_GARBAGE } front_event;

/* The next PDU of an association, unread in the socket, of a type and with lengths that DCMTK may be given: P-DATA-TF whose
 * PDVs add up (DCMTK 3.6.7 miscounts others), release or abort. One PDV that fills its PDU is judged by its header, others
 * are waited for whole. `scratch` holds pdu_max + 6 bytes; timeout_ms bounds each wait. stop_fd -1: no stop. */
front_event front_next_pdu(int fd, int stop_fd, int timeout_ms, unsigned char *scratch, size_t pdu_max);
/* Peeks at the request and judges it. *pass: it waits unread in the socket, DCMTK may have it. Otherwise it was answered,
 * logged and the connection is at its end. The caller closes fd. */
void front_judge(int fd, int stop_fd, const char *host, const cot_scp_options *options, char calling[17], bool *pass);
/* Sends a PDU of 10 bytes as the last word on `fd` and waits, a second at most, until the peer closes: closing with unread
 * bytes would reset the word away. The caller closes fd. */
void front_farewell(int fd, const unsigned char word[10]);
/* For logs: printable, without quotes. */
void front_printable(char out[17], const char *title);

#ifdef __cplusplus
}
#endif
#endif
