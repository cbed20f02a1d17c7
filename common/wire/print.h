/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PRINT_H
#define ZFARM_PRINT_H

#include "common/wire/wire.h"

/* Messages as text: one line each, in the notation of docs/protocol.md, 20.
 *
 * Owns nothing. Decides how each kind of field is written, and what never is: keys, tokens, tasks and their output.
 * Called by trace.h, the simulator's trace and tests. Calls wire.h and layout.h, and shown.h for texts of peers.
 *
 *     CREDIT 77/1000/9 tasks=100 size_bytes=1000000 reserve=4 received_batch=7 received_offset=0 */

/* Appends the message, any octets at all, without a newline. What cannot be read is said to be so. */
void wire_print(struct buf *to, struct bytes message);
/* The same without job, incarnation and session. */
void wire_print_body(struct buf *to, enum wire_kind kind, struct bytes body);

#endif
