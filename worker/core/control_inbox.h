/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CONTROL_INBOX_H
#define ZFARM_CONTROL_INBOX_H

#include "worker/core/slots.h"

/* What a message of the ventilator does: a handler a kind. It owns nothing, and decides which messages make sense; the
 * others are dropped and counted. The shell's messages come in here. It calls session.h, work.h, reports.h, leaving.h
 * and the results connection. */
void control_inbox_message(struct slots *s, struct bytes message, uint64_t now_ns);

#endif
