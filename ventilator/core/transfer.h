/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TRANSFER_H
#define ZFARM_TRANSFER_H

#include "ventilator/core/ledger.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Tasks that are too large for one message (docs/protocol.md, 14). It owns struct transfer of each session and the
 * set of sessions to which a task is on its way in pieces, and decides when the next piece goes. schedule begins a
 * transfer, charges and session_end cut it, dispatcher.c calls it in each turn; it calls pending, standing. */

/* `s` may be NULL: if it is nobody's special case. */
bool transfer_is_needed(const struct dispatcher *d, const struct session *s, size_t record_size);
/* Sends the record of run->first in pieces, as the lane takes them. Nothing else may be on its way to the
 * session in pieces. */
void transfer_begin(struct dispatcher *d, struct session *s, const struct entry *entry,
                    struct bytes record, const struct task_run *run, uint64_t now_ns);
/* What is on its way to the session is queued again, if there is something. */
void transfer_take_back(struct dispatcher *d, struct session *s);
/* The task goes on to nobody who has not got all of it: from now on it travels alone. */
void transfer_cut(struct dispatcher *d, const struct story *story);
void transfer_turn(struct dispatcher *d, uint64_t now_ns);

#endif
