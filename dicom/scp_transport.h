/* DCMTK's transport over a front: it is served checked PDUs and never reads the socket (internal, C++).
 * Threads: one association. SPDX-License-Identifier: Apache-2.0 */
#ifndef COT_DICOM_SCP_TRANSPORT_H
#define COT_DICOM_SCP_TRANSPORT_H
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dicom/scp_front.h"

class front_layer : public DcmTransportLayer
{
    front *from;

  public:
    explicit front_layer(front *f) : from(f) {}
    DcmTransportConnection *createConnection(DcmNativeSocketType socket, OFBool secure) override;
};

#endif
