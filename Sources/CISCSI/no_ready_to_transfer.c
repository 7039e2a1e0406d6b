// SPDX-License-Identifier: GPL-3.0-or-later
//
// Nothing is ever written to a target, so none has a reason to ask for data: Ready To Transfer, RFC 7143, 11.8.
//
// libiscsi answers each with as many PDUs as the target names bytes for, all queued before one is sent: 48 bytes from a
// hostile target cost gigabytes here. The linker leads the library's own calls to this function instead (--wrap, which
// reaches into the static library that the agent has, not into a shared one). The connection is of no use then: shut down,
// it ends like any that breaks, with everything under way cancelled. An error would make the library forget the command
// that the target named, without a word to who waits for it.
#include "CISCSI.h"

#include <sys/socket.h>

struct iscsi_pdu;
struct iscsi_in_pdu;

int __wrap_iscsi_process_r2t(struct iscsi_context *iscsi, struct iscsi_pdu *pdu, struct iscsi_in_pdu *in);

int __wrap_iscsi_process_r2t(struct iscsi_context *iscsi, struct iscsi_pdu *pdu, struct iscsi_in_pdu *in) {
    (void)pdu, (void)in;
    shutdown(iscsi_get_fd(iscsi), SHUT_RDWR);
    return 0;
}
