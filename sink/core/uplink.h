/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_UPLINK_H
#define ZFARM_UPLINK_H

#include "common/base/throttle.h"
#include "sink/core/membership.h"
#include "sink/core/outgoing.h"

/* The sink's end of its control connection: its session, and what is said there.
 * Owns: the membership (membership.h) and the queue of actions (outgoing.h). Decides: when the connection is opened and
 * given up, how many protests are sent. Called by: collector.c, inbox.c, notes.c, ending.c. Calls: these two.
 * After EXIT nothing happens any more (uplink_is_over). */
struct uplink {
    uint64_t job;
    struct membership membership;
    struct outgoing outgoing;
    struct throttle protests;
    uint64_t asked_ns; /* when the last heartbeat was sent; 0: none in this session */
    bool is_careful; /* a session was given up for silence: what is large may have taken too long */
};

bool uplink_is_joined(const struct uplink *u);
bool uplink_is_over(const struct uplink *u); /* EXIT was said */

/* The connection is made, and JOIN is next; this process was late by `own_ns` itself. */
void uplink_up(struct uplink *u, uint64_t own_ns, uint64_t now_ns);
void uplink_down(struct uplink *u, uint64_t now_ns);
/* Closes the connection and makes a new one after the back-off. */
void uplink_rejoin(struct uplink *u, uint64_t now_ns);
/* ERR_MALFORMED: a field has no sense. */
enum error uplink_welcome(struct uplink *u, const struct frame_head *head,
                          const struct sink_welcome *welcome, uint64_t now_ns);
/* Opens, closes and sends a heartbeat, as is due; false: no ventilator was there for so long that the job is given
 * up. */
bool uplink_turn(struct uplink *u, uint64_t now_ns);

/* A message of this session: begin it, put its body, send it. */
void uplink_begin(const struct uplink *u, struct buf *message, enum wire_kind kind);
void uplink_send(struct uplink *u, struct buf *message);
void uplink_say_heartbeat(struct uplink *u, uint64_t now_ns);
void uplink_say_leave(struct uplink *u);
/* At most 20 a second, and only in a session. */
void uplink_say_protest(struct uplink *u, const struct protest *protest, uint64_t now_ns);
/* The same: results of the session were not taken, since it was never handed these tasks. */
void uplink_say_strange(struct uplink *u, const struct session_tasks *strange, uint64_t now_ns);

#endif
