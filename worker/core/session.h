/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_SESSION_H
#define ZFARM_WORKER_SESSION_H

#include "worker/core/slots.h"

/* The worker's session with the ventilator: JOIN and WELCOME, the lane's claim, heartbeats, credit.
 * It owns the control connection and the lane (struct control, worker_lane.h) and decides when both are opened and
 * closed; when they are late is member.h's. The inboxes and the turn call it. It calls the parts of which it tells in a
 * JOIN or a heartbeat. */

/* By how much this turn is late. */
uint64_t session_late_ns(const struct slots *s, uint64_t now_ns);

/* Starts a message in the current session; send it with say. */
struct buf say_begin(const struct slots *s, enum wire_kind kind);
void say(struct slots *s, struct buf *message);

/* Ends the session and closes both connections; comes back after a while. */
void session_leave(struct slots *s, uint64_t now_ns);
/* The same on the same control connection: the ventilator keeps what is named in the JOIN with this worker. */
void session_rejoin(struct slots *s, uint64_t now_ns);
void session_welcome(struct slots *s, const struct frame_head *head, const struct worker_welcome *m,
                     uint64_t now_ns);
/* The lane has said HELLO. */
void session_claim(struct slots *s, const struct token *token, uint64_t now_ns);

void session_say_credit(struct slots *s, struct credit credit);

void session_turn(struct slots *s, uint64_t now_ns);
uint64_t session_deadline(const struct slots *s);

#endif
