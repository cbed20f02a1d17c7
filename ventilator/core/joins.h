/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_JOINS_H
#define ZFARM_JOINS_H

#include "ventilator/core/dispatcher.h"

struct dispatcher;

/* Workers that come, for the first time or back again (docs/protocol.md, 4). It owns the JOINs that wait for a
 * sink, decides what a JOIN means for the tasks that it names, and answers with WELCOME. dispatcher.c calls it
 * with JOINs, sink_session and workers when nothing is waited for any more; it calls sessions, session_end,
 * charges, handed, audit. */

/* A worker's JOIN that waits for a sink. */
struct waiting_join {
    uint64_t connection;
    struct key key;
    struct block *message;
};

struct waiting_joins {
    struct waiting_join *items;
    size_t count;
    size_t size_bytes;
    uint64_t told_at_ns; /* HEARTBEAT went to them */
};

void joins_take(struct dispatcher *d, const struct origin *from, struct frame_head head,
                struct bytes message, struct bytes body, uint64_t now_ns);
void joins_welcome_waiting(struct dispatcher *d, uint64_t now_ns);
void joins_forget(struct dispatcher *d, uint64_t connection); /* it does not wait any more */
void joins_admitted_changed(struct dispatcher *d);
void joins_free(struct dispatcher *d);

#endif
