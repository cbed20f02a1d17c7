/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DISPATCHER_STATE_H
#define ZFARM_DISPATCHER_STATE_H

#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/delays.h"
#include "ventilator/core/dispatcher.h"
#include "ventilator/core/explain.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/ledger.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/schedule.h"
#include "ventilator/core/sink_session.h"
#include "ventilator/core/workers.h"

/* The dispatcher's state: the parts' structs, each owned by the file in whose header it stands. */

/* Tasks that no worker has. Every task in the ledger is in exactly one of these, or at one or more sessions. */
struct pending_tasks {
    struct seqset queue;         /* to be handed out */
    struct seqset isolated;      /* to be handed out, alone */
    struct delays delayed;       /* to be handed out later: the last try failed */
    struct seqset loss_pending;  /* taken down too much, not final yet */
    struct seqset loss_reported; /* to be told by VERDICT, not stored yet */
    struct seqset unsaid;        /* of these: not told in this session of the sink */
};

/* The input. */
struct input_reading {
    char *name;
    struct buf batch;       /* that is being filled */
    struct session *target; /* for which it is */
    bool asked;             /* tasks were asked for */
    bool dry;               /* and there were none */
    uint64_t dry_from_ns;   /* since when */
    bool ended;
    uint64_t looks; /* enum status_flag */
};

/* How the job ends. */
struct job_end {
    bool stopping;
    bool failed;         /* the job ends with 255 */
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
};

/* What is decided and the shell has not taken yet: a ring. */
struct action_ring {
    struct dispatcher_action *items;
    size_t head;
    size_t count;
    size_t capacity;
};

struct dispatcher {
    struct dispatcher_options options;
    char *lanes;
    char *endpoint;
    uint64_t job;
    uint64_t random;      /* for delays and incarnations */
    struct hash executor; /* of the worker that joined last */

    struct sink_session sink;
    struct audit audit;
    struct admission admission;
    struct waiting_joins waiting;
    struct sessions sessions;
    struct liveness liveness;
    struct protests protests;
    struct ledger ledger;
    struct pending_tasks pending;
    struct charges charges;
    struct input_reading reading;
    struct schedule schedule;
    struct recall recall;
    uint64_t hedge_again_ns; /* not before, tasks to be run twice are looked for */
    struct seqset transfers; /* sessions to which something is on its way in pieces */
    struct seqset handed;    /* sessions that have `handed` */
    struct job_end end;
    struct answer answer;
    struct action_ring actions;

    bool turn_wanted; /* the input told something that the next turn acts on */
    uint64_t held_ns; /* since when it is held; 0: it is not */
    uint64_t turned_at_ns;
    uint64_t moved_at_ns;
    uint64_t stored_at_ns; /* tasks were stored; 0: never */
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
