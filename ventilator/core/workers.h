/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKERS_H
#define ZFARM_WORKERS_H

#include "ventilator/core/dispatcher.h"
#include "ventilator/core/index.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Workers that are here (docs/protocol.md, 4 and 5). It owns the list of sessions and its indexes, and the lanes
 * that nobody has claimed; it decides what a worker's message means, and what the end of its session means for its
 * tasks. dispatcher.c calls it with messages, each file that ends a session calls workers_end; it calls nearly all
 * others. */

/* A lane that nobody has claimed yet. */
struct opened_lane {
    uint64_t lane;
    struct token token;
    struct key key;
};

struct sessions {
    struct session **items;
    size_t count;
    size_t capacity;
    struct index by_connection;
    struct index by_id;
    struct index by_lane;
    struct index by_instance;
    struct index opened; /* lane -> struct opened_lane *, until it is claimed or closed */
    struct index opened_by_token;
    TAILQ_HEAD(, session) to_flush;
    uint64_t flushed_at_ns; /* RELEASED and CANCEL were passed on */
    struct index seen;      /* instances that got a task */
    uint64_t workers_seen;
    uint64_t last_id; /* of sessions, the sink's too */
};

enum { SILENCE_LINES_A_MINUTE = 60 }; /* about workers that are silent, or of which something is */
void workers_add(struct dispatcher *d, struct session *s);
void workers_admitted_changed(struct dispatcher *d, uint64_t now_ns);
void workers_message(struct dispatcher *d, struct session *s, enum wire_kind kind,
                     struct bytes body, uint64_t now_ns);
void workers_end(struct dispatcher *d, struct session *s, bool charge, uint64_t now_ns);
void workers_end_all(struct dispatcher *d, uint64_t now_ns);
void workers_lane_end(struct dispatcher *d, struct session *s); /* END, once */
/* It has one. The session is over, unless its worker joins again within the limit. */
void workers_close_lane(struct dispatcher *d, struct session *s, uint64_t now_ns);
void workers_note_use(struct dispatcher *d, struct session *s); /* it has a task */
void workers_turn(struct dispatcher *d, uint64_t now_ns);
void workers_free(struct dispatcher *d);

/* There is something to be passed on to it: RELEASED, CANCEL, RESEND. */
void dispatcher_want_flush(struct dispatcher *d, struct session *s);

#endif
