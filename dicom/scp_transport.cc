/* What DCMTK reads comes from the front's buffer, what it writes goes to the socket; it closes the socket in the end.
 * Threads: one association. SPDX-License-Identifier: Apache-2.0 */
#include "dicom/scp_transport.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include <new>

namespace
{
class front_connection : public DcmTCPConnection
{
    front *from;

  public:
    front_connection(DcmNativeSocketType socket, front *f) : DcmTCPConnection(socket), from(f) {}
    /* 0 is the end of the connection to DCMTK: it asks for nothing but the PDU that was announced to it. */
    ssize_t read(void *to, size_t size) override { return static_cast<ssize_t>(front_take(from, to, size)); }
    /* With nothing to serve this is asked only after a release, to wait for the peer's closing the connection. */
    OFBool networkDataAvailable(int timeout) override
    {
        return from->left > 0 ? OFTrue : DcmTCPConnection::networkDataAvailable(timeout);
    }
};
} // namespace

DcmTransportConnection *front_layer::createConnection(DcmNativeSocketType socket, OFBool secure)
{
    return secure ? nullptr : new (std::nothrow) front_connection(socket, from);
}
