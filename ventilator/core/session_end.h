/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SESSION_END_H
#define ZFARM_SESSION_END_H

#include "ventilator/core/session.h"

struct dispatcher;

/* What the end of a session, or of its lane, means: all tasks of the session are taken back, and the sink is told.
 * It owns no struct. All that give a worker up call it; it calls charges, transfer, pending, handed, sessions. */

/* Takes back what it has, charges a loss for what must have run if `charge`, and frees it. */
void session_end(struct dispatcher *d, struct session *s, bool charge, uint64_t now_ns);
void session_end_all(struct dispatcher *d, uint64_t now_ns); /* each worker is to join again */
void session_end_say_again(struct dispatcher *d, uint64_t connection, uint64_t session);
void session_end_lane(struct dispatcher *d, struct session *s); /* END, once */

#endif
