/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DISPATCHER_STATE_H
#define ZFARM_DISPATCHER_STATE_H

#include "common/base/endpoint.h"
#include "common/base/refusals.h"
#include "common/base/throttle.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/delays.h"
#include "ventilator/core/dispatcher.h"
#include "ventilator/core/index.h"
#include "ventilator/core/ledger.h"
#include "ventilator/core/ranking.h"
#include "ventilator/core/session.h"

/* The dispatcher's state, shared by the files that together are the dispatcher; each says in its header what it owns
 * of it. */

/* What was charged when a session ended, in case its worker comes back. */
struct charge_record {
    uint64_t session;
    struct seqset charged;
    uint64_t expires_ns;
};

/* A lane that nobody has claimed yet. */
struct opened_lane {
    uint64_t lane;
    struct token token;
    struct key key;
};

/* A worker's JOIN that waits for a sink. */
struct waiting_join {
    uint64_t connection;
    struct key key;
    struct block *message;
};

/* The sink, or the lack of one. */
struct sink_session {
    uint64_t connection; /* 0: none now */
    struct key key;
    uint64_t session;
    uint64_t known_session; /* the last that it has answered */
    uint64_t instance;
    uint64_t epoch;
    bool ready; /* its first note has come: it has committed the incarnation */
    bool order_full;
    bool wants_total;    /* the input is read ahead, until the queue is full */
    bool is_unread;      /* the reader of its output takes nothing */
    bool has_no_room;    /* to write */
    bool is_pausing;     /* takes no results, or cannot write them */
    bool is_holding;     /* takes no results at present */
    bool is_careful;     /* a session of it ended before what VERDICT had said was stored */
    bool tells_receipts; /* FEATURE_RECEIPTS */
    bool wants_handed;   /* FEATURE_HANDED */
    uint64_t ready_at_ns;
    struct seqset taken; /* tasks of which it has a result, from whomever, and has not stored it */
    bool is_volatile;
    uint64_t opening; /* of its store */
    uint64_t heard_at_ns;
    struct patience patience;
    uint64_t absent_since_ns;
    uint64_t wants;
    struct halt_rule halt;            /* for workers */
    struct throttle protests;         /* to it */
    unsigned astray;                  /* messages in a row that were not of its session */
    char results[ENDPOINT_TEXT_SIZE]; /* what workers are told: an endpoint, or a port */
};

/* Results that the sink has taken, of tasks that their session was never handed. */
struct strangeness {
    uint64_t tasks;            /* how many */
    uint64_t first;            /* the first of them, */
    struct whereabouts worker; /* and whose it was */
};

struct dispatcher {
    struct dispatcher_options options;
    char *lanes;
    char *endpoint;
    char *input;
    uint64_t job;
    uint64_t last_id; /* of sessions */
    uint64_t last_epoch;
    struct sink_session sink;
    struct audit audit;

    struct session **sessions;
    size_t session_count;
    size_t session_capacity;
    struct index by_connection;
    struct index by_id;
    struct index by_lane;
    struct index by_instance;
    struct index opened; /* lane -> struct opened_lane *, until it is claimed or closed */
    struct index opened_by_token;
    TAILQ_HEAD(, session) to_flush;
    uint64_t silent_from_ns;  /* before, no session can be found to be silent */
    struct patience patience; /* with all of them: how late this process and they are */
    struct refusals refusals;
    struct throttle joins;           /* that are looked at */
    struct throttle strange_lines;   /* about peers of another version */
    struct throttle silence_lines;   /* about workers that are silent */
    struct throttle senseless_lines; /* about messages that make no sense */
    struct strangeness strange;
    struct waiting_join *waiting;
    size_t waiting_count;
    size_t waiting_bytes;
    struct charge_record *charge_records;
    size_t charge_record_count;
    struct index deaths; /* task -> struct deaths of charges.c */
    struct index seen;   /* instances that got a task */
    uint64_t workers_seen;
    struct hash executor; /* of the worker that joined last */
    struct ranking takers[RANKINGS];
    double takers_rate;    /* tasks per ns of those who take what is queued, together */
    struct pace slot_pace; /* of a slot, over all workers */
    size_t succeeding;     /* workers whose last task did not fail */
    size_t giving;         /* workers that have tasks that they have not begun */
    size_t wanting;        /* workers that have a slot that idles, and take tasks */
    bool keeps_free;       /* a worker is `reserved` */
    uint64_t recall_again_ns;
    uint64_t recall_due_ns; /* a recall waits for that time; NEVER: none does */

    /* Every task in the ledger is in exactly one of these, or at one or more sessions. */
    struct ledger ledger;
    struct seqset queue;         /* to be handed out */
    struct seqset isolated;      /* to be handed out, alone */
    struct delays delayed;       /* to be handed out later: the last try failed */
    struct seqset loss_pending;  /* taken down too much, not final yet */
    struct seqset loss_reported; /* to be told by VERDICT, not stored yet */
    struct seqset unsaid;        /* of these: not told in this session of the sink */
    uint64_t random;             /* for delays and incarnations */

    struct buf room;         /* the batch that is being filled */
    struct session *target;  /* whom it is for */
    struct seqset transfers; /* sessions to which something is on its way in pieces */
    struct seqset handed;    /* sessions that have `handed` */
    bool asked;              /* tasks were asked for */
    bool dry;                /* and there were none */
    uint64_t dry_from_ns;    /* since when */
    uint64_t hedge_again_ns; /* not before, tasks to be run twice are looked for */
    bool turn_wanted;        /* the input told something that the next turn acts on */
    bool input_ended;
    uint64_t input_looks; /* enum status_flag */
    bool stopping;
    bool failed;         /* the job ends with 255 */
    uint64_t held_ns;    /* since when it is held; 0: it is not */
    uint64_t no_room_ns; /* since when the sink has no room, or since we are to stop */
    struct why stop_why;
    struct halt halt; /* when is HALT_NEVER: not that way */

    bool done_sent;
    bool
        settled; /* DONE has said what is not run: that is final, whichever worker comes back with it */
    bool closed;     /* CLOSED came: only goodbyes are left */
    bool stops_sent; /* to the workers */
    bool exited;
    struct closed counts;
    uint64_t leave_by_ns;

    uint64_t turned_at_ns;
    uint64_t flushed_at_ns; /* RELEASED and CANCEL were passed on */
    uint64_t waits_sent_ns; /* HEARTBEAT to those who wait for a sink */
    uint64_t moved_at_ns;
    uint64_t handed_at_ns;  /* tasks were handed out; 0: never */
    uint64_t stored_at_ns;  /* likewise stored */
    struct block *because;  /* the last answer to WHY */
    uint64_t explain_at_ns; /* its time */
    uint64_t dropped;

    struct dispatcher_action *actions; /* a ring */
    size_t action_head;
    size_t action_count;
    size_t action_capacity;
};

/* dispatcher.c */
struct frame_head dispatcher_head(const struct dispatcher *d, enum wire_kind kind,
                                  uint64_t session);
void dispatcher_send(struct dispatcher *d, uint64_t connection, struct buf *message);
/* The same message to several: takes over one hold of `block`. */
void dispatcher_send_block(struct dispatcher *d, uint64_t connection, struct block *block);
void dispatcher_send_lane(struct dispatcher *d, uint64_t lane, struct block *block);
void dispatcher_act(struct dispatcher *d, enum dispatcher_action_kind kind, uint64_t lane);
void dispatcher_cut(struct dispatcher *d, uint64_t connection);
void dispatcher_say(struct dispatcher *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dispatcher_exit(struct dispatcher *d, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dispatcher_refuse(struct dispatcher *d, uint64_t connection, enum refuse_reason reason,
                       const char *sentence);
void dispatcher_again(struct dispatcher *d, uint64_t connection, const struct again *m);
/* By how much this turn is late. */
uint64_t dispatcher_late_ns(const struct dispatcher *d, uint64_t now_ns);
void dispatcher_moved(struct dispatcher *d, uint64_t now_ns);
void dispatcher_begin_to_stop(struct dispatcher *d, uint64_t now_ns);
bool dispatcher_is_over(const struct dispatcher *d);  /* nothing more is handed out */
bool dispatcher_may_read(const struct dispatcher *d); /* input, if a worker would take it */
bool dispatcher_is_full(const struct dispatcher *d);  /* of tasks that are not stored */

#endif
