/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_SESSION_H
#define ZFARM_SINK_SESSION_H

#include "ventilator/core/dispatcher_state.h"

/* The sink, as the ventilator sees it (docs/protocol.md, 8 and 9). It owns struct sink_session, and decides which
 * sink is taken, what is stored, which verdicts are told, and when the job is over. dispatcher.c calls it with
 * messages and in each turn; it calls nearly all others. */

void sink_session_join(struct dispatcher *d, const struct origin *from, struct frame_head head,
                       struct bytes body, uint64_t now_ns);
void sink_session_message(struct dispatcher *d, enum wire_kind kind, struct bytes body,
                          uint64_t now_ns);
void sink_session_closed(struct dispatcher *d, uint64_t now_ns);
/* The tasks are stored: out of queues and sessions, whose workers are told. */
void sink_session_stored(struct dispatcher *d, const struct seqset *tasks, uint64_t now_ns);
void sink_session_say_ended(struct dispatcher *d, uint64_t session);
void sink_session_tell_status(struct dispatcher *d); /* if there is a sink */
void sink_session_turn(struct dispatcher *d, uint64_t now_ns);

#endif
