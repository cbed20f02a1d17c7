/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SLOTS_STATE_H
#define ZFARM_SLOTS_STATE_H

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/patience.h"
#include "common/wire/pieces.h"
#include "common/base/throttle.h"
#include "worker/core/actions.h"
#include "worker/core/backlog.h"
#include "worker/core/credit.h"
#include "worker/core/kept.h"
#include "worker/core/large.h"
#include "worker/core/running.h"

/* The inside of the worker's core, shared by the files that make it up and by nobody else:
 *
 *     slots.c            the shell's calls, the order of a turn
 *     session.c          membership: control and lane, from AWAY to JOINED, heartbeats
 *     outlet.c           the results connection and what is sent on it
 *     control_inbox.c    what messages of the ventilator do
 *     lane_inbox.c       what comes on the lane
 *     work.c             tasks to slots, results of slots, reports, credit
 *     start_limit.c      what cannot be started for now: fewer at a time
 *     interruptions.c    tasks that were ended by a signal: failed, or interrupted
 *     leaving.c          the ways to end
 *     waits.c            what is waited for, for users
 */
enum {
    ENDPOINT_MAX = sizeof(((struct slots_action *)0)->endpoint),
    PIECES_MEMORY_MAX = 64 << 10, /* a task that is put together goes to a file above it */
    AGAINS_MAX = 20,              /* in a row: then nothing that this worker says is understood */
    EARLY_MAX = 4 * CREDIT_TASKS_MAX, /* cancellations that came before their tasks */
};

#define LIMIT_NS (3 * NS_PER_S) /* before WELCOME has told another, and for a handshake */
#define HEARTBEAT_NS (500 * NS_PER_MS)
#define FLUSH_NS (20 * NS_PER_MS) /* a busy worker reports fifty times a second */
/* And one that idles when its results are well on their way: the ventilator must not be in their way. */
#define IDLE_FLUSH_NS (200 * NS_PER_US)
#define LONG_RUNNING_NS (HEARTBEAT_RUNNING_MS * NS_PER_MS)
#define PIECES_PENDING_MAX (UINT64_C(4) << 20)

enum link_state {
    LINK_AWAY,       /* no connection; the next attempt is at retry_ns */
    LINK_CONNECTING, /* control is being made */
    LINK_JOINING,    /* JOIN is sent and not answered */
    LINK_WELCOMED,   /* in a session; the lane's HELLO has not come */
    LINK_JOINED      /* the lane is claimed */
};

/* Membership: one control connection and one lane. */
struct slots_link {
    enum link_state state;
    struct frame_head
        head;            /* job, incarnation and session: the current ones, or those to continue */
    uint64_t since_ns;   /* when the state was entered */
    uint64_t heard_ns;   /* the ventilator's last message, or when control came up */
    uint64_t present_ns; /* when there last was a ventilator at all */
    uint64_t retry_ns;
    struct backoff backoff;
    bool waiting; /* JOIN was answered by HEARTBEAT: there is no sink yet */
    bool full;    /* the last JOIN was refused: too many workers, or a job that is over */
    uint64_t heartbeat_ns;
    uint64_t limit_ns; /* of silence, as the ventilator tells */
    struct patience patience;
    bool accepted;        /* the last attempt was accepted */
    bool lane_accepted;   /* WELCOMED: the same on the lane */
    uint64_t accepted_ns; /* when, of the one that was accepted last */
    uint64_t beat_ns;     /* when the next heartbeat is due */
    uint64_t echo_ns;     /* the last that came back */
    char lane[ENDPOINT_MAX];
    uint64_t lane_batch;  /* last that came */
    bool lane_ended;      /* nothing more will come */
    uint64_t lane_offset; /* bytes of pieces that came */
    unsigned agains;   /* sessions in a row that ended with AGAIN before a heartbeat was answered */
    uint64_t received; /* tasks of this session, and their bytes */
    uint64_t received_bytes;
    struct credit credit; /* as told last */
};

enum outlet_state { OUTLET_CLOSED, OUTLET_OPENING, OUTLET_UP, OUTLET_WAITING };

/* The results connection. */
struct outlet {
    enum outlet_state state;
    uint64_t incarnation; /* of the ventilator that named the sink: each counts epochs anew */
    uint64_t epoch;       /* 0: there is no sink */
    char endpoint[ENDPOINT_MAX];
    struct key sink;
    uint64_t since_ns; /* when the state was entered */
    uint64_t down_ns;  /* since when it has not been up */
    uint64_t retry_ns;
    bool accepted;            /* OPENING: the other end has accepted */
    struct patience patience; /* of attempts */
    struct backoff backoff;
    uint64_t wants;
    uint64_t pending_bytes; /* given to the shell and not sent */

    /* Whether it lives, by what the sink has received of this session (docs/protocol.md, 18). */
    bool told;            /* what follows, in this session */
    bool reads;           /* the sink takes results at present, and is heard */
    uint64_t batch;       /* the highest that it has received */
    uint64_t offset;      /* bytes of pieces that it has received */
    uint64_t sent_offset; /* bytes of pieces that were sent */
    uint64_t probe;       /* the empty batch that was sent last; 0: none */
    uint64_t moved_ns;    /* when something last arrived there, or nothing was under way */
    uint64_t limit_ns;    /* for so long nothing may arrive; 0: the usual limit */
    uint64_t usual_ns;    /* twice what has lately been the longest time without movement */
    uint64_t
        stuck_ns; /* since when nothing has, since the connection was given up for that; else NEVER */
    bool is_careful; /* one was given up for that: frames are small */
};

/* What the ventilator is to be told in the next report. */
struct report {
    uint64_t idle_ns; /* since when no slot is busy; NEVER while one is */
    struct seqset finished;
    uint64_t not_ok; /* of these */
    struct attempt_list failed;
    struct seqset returned;    /* not begun */
    struct seqset interrupted; /* begun */
    uint64_t flushed_ns;
};

/* Cancellations that came before their tasks: control may overtake the lane. */
struct early_cancel {
    struct cancel_item *items;
    size_t count;
    size_t capacity;
};

/* An end that may be an interruption, in a slot that stays busy until it is judged (interruptions.c). */
struct held {
    uint64_t seq; /* 0: the slot holds none */
    uint64_t due_ns;
    unsigned extended; /* how often a late turn has put it off */
    struct outcome outcome;
    struct buf bytes; /* of the outcome's slices */
};

/* How many tasks can be started here at a time, as far as is known (start_limit.c). */
struct shortage {
    unsigned most;     /* slots that may be busy */
    uint64_t start_ns; /* nothing is started before; 0: it may be now */
    uint64_t more_ns;  /* when one more is tried; NEVER: all slots may be busy */
    uint64_t stuck_ns; /* since when nothing at all could be started; NEVER: something could */
    unsigned delays;   /* how often that was tried */
    unsigned said;     /* how many users were told of; 0: none */
    uint64_t say_ns;   /* when they are told next; NEVER */
    struct why why;
};

/* --halt with a count of 1, of which this worker sees the first: then it begins nothing more, and the
 * ventilator ends the job. Unless that result is not the one that counts: then it is released, the job
 * goes on, and so does this worker a while later. */
struct hold {
    struct halt_rule rule; /* of WELCOME */
    uint64_t seq;          /* of the result that did it; 0: none */
    uint64_t until_ns;     /* NEVER while the result is kept */
};

enum leaving { STAYING, DRAINING, BROKEN };

/* How far --grace has come. */
enum eviction { EVICT_LATER, EVICT_TERM, EVICT_KILL };

struct slots {
    struct slots_options options;
    struct slots_link link;
    struct outlet outlet;
    struct backlog backlog;
    struct running running;
    struct kept kept;
    struct large large;
    struct meter meter;
    struct report report;
    struct hold hold;
    struct early_cancel early;
    struct held *held; /* of each slot */
    struct shortage shortage;
    unsigned held_count;
    struct pieces pieces; /* of the task that comes in pieces */
    struct block *whole;  /* that task's record, when all have come; else NULL */
    struct actions actions;
    struct throttle protest_lines;
    enum leaving leaving;
    struct why leave_why; /* of BROKEN */
    bool told_to_leave;   /* by whom it may be that runs this worker: DRAINING, or BROKEN before */
    bool leave_told;      /* LEAVE was sent in this session */
    uint64_t idle_ns;     /* leaving: since when nothing has been running */
    uint64_t evict_ns;    /* leaving: when the next step of --grace is due; NEVER: none is */
    enum eviction evicted;
    bool stopping; /* the job is over: EXIT with stop_status when nothing runs any more */
    int stop_status;
    struct why stop_why;
    bool holds;           /* nothing is started */
    bool gone;            /* EXIT was given */
    uint64_t promised_ns; /* the deadline that the last turn ended with */
    uint64_t moved_ns;
    struct slots_counts counts;
};

/* slots.c */
/* By how much this turn is late. */
uint64_t slots_late_ns(const struct slots *s, uint64_t now_ns);

/* session.c */
bool slots_link_in_session(const struct slots *s);
/* The message is of the current session. */
bool slots_link_is_current(const struct slots *s, const struct frame_head *head);
void slots_link_begin(struct slots *s, uint64_t now_ns);
/* Starts a message in the current session; send it with say. */
struct buf say_begin(const struct slots *s, enum wire_kind kind);
void say(struct slots *s, struct buf *message);
/* Ends the session and closes both connections; comes back after a while. */
void slots_link_leave(struct slots *s, uint64_t now_ns);
/* The same on the same control connection: the ventilator keeps what is named in the JOIN with this worker. */
void slots_link_rejoin(struct slots *s, uint64_t now_ns);
void slots_link_welcome(struct slots *s, const struct frame_head *head,
                        const struct worker_welcome *m, uint64_t now_ns);
void slots_link_claim(struct slots *s, const struct token *token, uint64_t now_ns);
/* Where to connect: `instead` if the operator gave one, else what the ventilator told, of which a
 * bare port is one on the host by which the ventilator was reached. */
void slots_link_endpoint(const struct slots *s, const char *instead, struct bytes told,
                         char to[static ENDPOINT_MAX]);
/* An answer of the ventilator has taken so long. */
void slots_link_answered(struct slots *s, uint64_t took_ns, uint64_t now_ns);
/* How long the ventilator may be silent, which is as long as any answer may take. */
uint64_t slots_link_limit(const struct slots *s);
/* True if an answer of a peer is waited for in this state. */
bool slots_link_is_trying(const struct slots *s);
void slots_link_turn(struct slots *s, uint64_t now_ns);
void slots_link_forgive(struct slots *s, uint64_t late_ns, uint64_t now_ns);
uint64_t slots_link_deadline(const struct slots *s);

/* lane_inbox.c */
void lane_drop_pieces(struct slots *s); /* nothing more of them will come */

/* outlet.c */
/* Has a connection to this sink, unless there is one: epoch 0 for none. */
void outlet_aim(struct slots *s, uint64_t epoch, struct bytes endpoint, const struct key *sink,
                uint64_t now_ns);
bool outlet_ready(const struct slots *s); /* results can be sent now */
void outlet_send_again(struct slots *s);  /* all that is kept */
/* The same, and it is numbered anew: with a sink of this epoch, where what has arrived of history is not sent again. */
void outlet_begin_session(struct slots *s, uint64_t epoch, uint64_t now_ns);
void outlet_received(struct slots *s, const struct received *m, uint64_t now_ns);
/* For how long no result has arrived at the sink; 0: all is well. */
uint64_t outlet_stuck_ms(const struct slots *s, uint64_t now_ns);
void outlet_send(struct slots *s, uint64_t now_ns);
void outlet_turn(struct slots *s, uint64_t now_ns);
uint64_t outlet_deadline(const struct slots *s);

/* work.c */
bool work_kept_full(const struct slots *s);
bool work_all_stored(const struct slots *s); /* no result is here any more */
void work_start(struct slots *s, uint64_t now_ns);
bool work_report(struct slots *s, uint64_t now_ns); /* whether there was something */
void work_credit(struct slots *s, bool in_passing); /* next to a report */
void work_acknowledge(struct slots *s); /* what has come on the lane, unless that was told */
/* Returns the unstarted tasks, `max` at most; says so even if there are none. */
void work_return(struct slots *s, uint64_t max, enum returned_reason reason);
enum returned_reason work_return_reason(const struct slots *s);
void work_say_interrupted(struct slots *s);
void work_cancel(struct slots *s, unsigned slot, uint64_t seq); /* what running_unwant has marked */
void work_cancel_range(struct slots *s, uint64_t first, uint64_t last);
/* The results are another job's, or nobody's: kills what runs and drops what is kept. */
void work_forget(struct slots *s);
uint64_t work_deadline(const struct slots *s);
void work_let_go(struct slots *s, uint64_t now_ns); /* of a hold that halted nothing */

/* What a task's end means; the outcome's files are taken over. */
void work_finish(struct slots *s, const struct outcome *outcome, uint64_t now_ns);
/* The task was begun and is given back: it has left its slot, or is about to be killed in it. */
void work_interrupted(struct slots *s, uint64_t seq);
/* The task has left its slot without a result. */
void work_end_task(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns);
void work_discard(const struct outcome *outcome);
bool work_has_final(const struct slots *s, uint64_t first, uint64_t last);

/* start_limit.c */
void short_begin(struct slots *s);
void short_turn(struct slots *s, uint64_t now_ns);
bool short_may_start(const struct slots *s);
void short_note_end(struct slots *s); /* a task that could be started has ended */
uint64_t short_deadline(const struct slots *s);

/* interruptions.c */
/* Takes the outcome if it may be an interruption, and is not to be judged now. */
bool held_take(struct slots *s, const struct outcome *outcome, uint64_t now_ns);
bool held_has(const struct slots *s, unsigned slot, uint64_t seq);
void held_put_off(struct slots *s, uint64_t late_ns, uint64_t now_ns); /* the turn is late */
/* Judges what has been held for long enough; in a worker that is told to leave, all: it was interrupted. */
void held_turn(struct slots *s, uint64_t now_ns);
uint64_t held_deadline(const struct slots *s);
void held_free(struct slots *s);

/* leaving.c */
void leave_exit(struct slots *s, int status, const struct why *why);
void leave_stop(struct slots *s, int status, const struct why *why, uint64_t now_ns);
void leave_turn(struct slots *s, uint64_t now_ns);
uint64_t leave_deadline(const struct slots *s);

#endif
