/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_SESSION_H
#define ZFARM_SINK_SESSION_H

#include "common/base/endpoint.h"
#include "ventilator/core/dispatcher.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* The sink, as the ventilator sees it (docs/protocol.md, 8 and 9). It owns struct sink_session, and decides which
 * sink is taken and what its messages mean. dispatcher.c calls it with messages; it calls stored, job_end, joins,
 * audit, promises, liveness, handed and all others to which a note of the sink matters. */

/* What its JOIN said. */
struct sink_terms {
    bool is_volatile;
    bool wants_total;    /* the input is read ahead, until the queue is full */
    bool tells_receipts; /* FEATURE_RECEIPTS */
    bool wants_handed;   /* FEATURE_HANDED */
    uint64_t opening;    /* of its store */
    uint64_t wants;
    struct halt_rule halt;            /* for workers */
    char results[ENDPOINT_TEXT_SIZE]; /* what workers are told: an endpoint, or a port */
};

/* What its last note (STORED) said. */
struct sink_says {
    bool order_full;
    bool is_unread;   /* the reader of its output takes nothing */
    bool has_no_room; /* to write */
    bool is_pausing;  /* takes no results, or cannot write them */
    bool is_holding;  /* takes no results at present */
};

/* The sink, or the lack of one. */
struct sink_session {
    uint64_t connection; /* 0: none now */
    struct key key;
    uint64_t session;
    uint64_t known_session; /* the last that it has answered */
    uint64_t instance;
    uint64_t epoch;
    uint64_t last_epoch;
    struct sink_terms terms;
    struct sink_says says;
    bool ready; /* its first note has come: it has committed the incarnation */
    uint64_t ready_at_ns;
    uint64_t absent_since_ns;
    struct heard heard;
    bool is_careful; /* a session of it ended before what VERDICT had said was stored */
    struct seqset
        taken; /* tasks of which it has a result, from whichever worker, and has not stored it */
    struct throttle protests; /* to it */
    unsigned astray;          /* messages in a row that were not of its session */
};

void sink_session_join(struct dispatcher *d, const struct origin *from, struct frame_head head,
                       struct bytes body, uint64_t now_ns);
void sink_session_message(struct dispatcher *d, enum wire_kind kind, struct bytes body,
                          uint64_t now_ns);
void sink_session_closed(struct dispatcher *d, uint64_t now_ns);

#endif
