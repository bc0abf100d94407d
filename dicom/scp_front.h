/* The first PDU of a connection, looked at before DCMTK reads it (scp_front.c).
 * Threads: one per connection. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_SCP_FRONT_H
#define COT_DICOM_SCP_FRONT_H
#include "dicom/internal.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Waits until `fd` has bytes (at least its SO_RCVLOWAT) or has ended: 1; 0 when the time is over; -1 when a stop was asked. */
int front_wait(int fd, int stop_fd, int timeout_ms);
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
