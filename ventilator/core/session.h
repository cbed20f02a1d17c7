/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SESSION_H
#define ZFARM_SESSION_H

#include <sys/queue.h>

#include "common/base/patience.h"
#include "common/base/throttle.h"
#include "common/wire/wire.h"

/* Tasks that run since about the same time. */
struct stint {
    struct range tasks;
    uint64_t since_ns;
};

/* A task that is on its way to a session in pieces, and is not there before the last (transfer.c). */
enum { TRANSFER_WINDOW = 4 /* pieces that may wait for the connection */ };
struct transfer {
    struct block *block; /* in which the record is; NULL: there is none */
    struct bytes record;
    struct task_run run;                 /* the task; without records */
    uint64_t offset;                     /* of what was sent */
    uint64_t cut;                        /* a task of which nothing more will come; 0: none */
    struct block *sent[TRANSFER_WINDOW]; /* the last pieces, of this task or the one before */
    size_t next;                         /* where in `sent` */
};

/* Time per task: that of many together counts for more than that of a single one, and what was long ago fades.
 * Zero-initialised is "not known yet". */
struct pace {
    double time_ns;
    double tasks;
    double window_ns; /* since the older part was faded last */
};

void pace_add(struct pace *p, uint64_t time_ns, uint64_t tasks, uint64_t window_ns);
double pace_of(const struct pace *p); /* ns; 0: not known yet */

/* Those who take tasks: new ones, and such as were handed out before. */
/* By whom the output of a task is held, as users may be told it. */
struct held_note {
    uint64_t seq;
    char by[64];
};

enum ranking_kind { TAKES_NEW, TAKES_QUEUED, RANKINGS };

/* How far something has come on a connection of the session: a batch's number, and bytes of pieces. */
struct reach {
    uint64_t batch;
    uint64_t offset;
};

/* When a peer was heard, and how late it may be (liveness.c). */
struct heard {
    uint64_t at_ns;
    struct patience patience;
};

/* What it may be sent: running totals (session.c). */
struct credit_use {
    struct credit granted;
    uint64_t sent_tasks;
    uint64_t sent_bytes;
};

/* What it was handed, as far as the sink wants to know and is not told yet (handed.c). */
struct handed_tasks {
    bool is_wanted;
    struct seqset tasks;
};

/* What its last heartbeat says of what runs for more than a second (session.c). */
struct running_notes {
    uint64_t
        unusable; /* so many slots can begin nothing, though nothing that is wanted runs there */
    struct stint *stints;
    size_t stint_count;
    struct seqset stopped;  /* of these, the process is */
    struct held_note *held; /* of these, the process has ended and the output is held */
    size_t held_count;
};

/* What is to be passed on to it (dispatcher.c). */
struct notices {
    struct seqset release; /* stored */
    struct buf cancel;     /* struct cancel_item */
    uint64_t resend_from;  /* results batch to ask for; 0: none */
    TAILQ_ENTRY(session) next;
    bool is_queued; /* there is something */
};

/* What was sent, in lane order; pruned as it is done (session.c). */
struct lane_order {
    struct range *items;
    size_t count;
    size_t capacity;
    uint64_t last; /* the highest number that was ever in it */
};

/* Tasks that run alone (schedule.c). */
struct isolation {
    uint64_t task;    /* runs alone here; 0: none */
    bool is_reserved; /* gets nothing until it is empty, for a task that runs alone */
};

/* What it was asked to give back (recall.c). */
struct recall_state {
    bool is_asked; /* RECALL is not answered yet */
    uint64_t asked_at_ns;
    uint64_t again_ns;
    bool holds_fast; /* it gave nothing back when it was last asked */
};

/* Results of what it reported finished (promises.c). */
struct promise {
    uint64_t kept_at_ns; /* a result of it came to the sink, or none was to */
    unsigned broken;     /* so often in a row, none did */
};

/* Its messages that made no sense (protests.c). */
struct peer_errors {
    uint64_t count;
    char last[280];
    struct throttle protests; /* to it */
    unsigned astray; /* messages in a row that came over its connection and were not its own */
};

/* Whether its lane lives (liveness.c). */
struct lane_state {
    uint64_t offset;         /* bytes of pieces that were sent down it */
    struct reach arrived;    /* of that, as its CREDIT says */
    uint64_t moved_at_ns;    /* that grew, or nothing was under way */
    uint64_t limit_ns;       /* for so long it may not; 0: the usual limit */
    uint64_t rest_ns;        /* so long it gets nothing when its lane is closed the next time */
    uint64_t rests_until_ns; /* it gets nothing before; 0: it does not rest */
    bool is_careful;         /* its lane was closed for silence: it gets small frames */
};

/* Whether its results connection lives (liveness.c). */
struct results_state {
    struct reach arrived; /* of its results, as the sink says */
    struct received told; /* of that, to the worker */
    bool was_told;
    uint64_t stuck_ms; /* for so long none of its results has arrived; 0: all is well */
    bool is_stripped;  /* what it had finished was taken back */
};

/* What standing_note has seen, for the rankings and sums (schedule.c). */
struct standing {
    uint64_t unfinished;
    double rate;           /* its part of the sum */
    bool succeeds;         /* its last task did not fail */
    bool is_victim;        /* has tasks that it has not begun */
    bool is_idle;          /* has a slot that idles, and takes tasks */
    uint64_t idle_from_ns; /* since when */
    double load;           /* by which it is ranked; less takes sooner */
    size_t rank[RANKINGS]; /* places in the rankings, from 1; 0: not there */
};

/* One worker's membership, as the ventilator knows it: its two connections, what it was sent, what
 * it may still be sent. `out` is what it has and is not stored; `finished` is the part of it that
 * it reported done. */
struct session {
    uint64_t id;
    uint64_t connection;        /* of control; 0 when closed */
    struct key key;             /* its worker's; none in a farm without keys */
    uint64_t lane;              /* 0 before it is claimed and after it is closed */
    bool lane_claimed;          /* once */
    uint64_t half_closed_at_ns; /* one of the two is closed; NEVER if not */
    uint64_t joined_at_ns;
    size_t at; /* place among all sessions */

    uint64_t instance;
    char *name;
    char *host;
    uint64_t slots;
    bool tells_receipts; /* FEATURE_RECEIPTS */

    struct seqset out;
    struct seqset finished;
    struct seqset had; /* taken back from it, and it may still have the result */
    uint64_t batch;    /* number of the lane's last batch */
    struct credit_use credit;
    struct lane_order order;
    struct transfer transfer;
    struct running_notes running;
    struct handed_tasks handed;
    struct notices notices;

    bool speaks;  /* it has said something since its JOIN */
    bool used;    /* it got a task */
    bool leaving; /* it said LEAVE */
    bool ended;   /* END was sent down the lane: no more tasks */
    uint64_t ended_at_ns;
    bool
        joins_anew; /* it was told to: until then it gets nothing, and is not dead without connections */
    uint64_t fails_in_a_row; /* tasks; without those that failed elsewhere, too */
    struct pace pace;        /* at which it reports tasks */
    uint64_t pace_from_ns;   /* it last reported, or got something to do */

    struct heard heard;
    struct lane_state lane_state;
    struct results_state results;
    struct promise promise;
    struct peer_errors errors;
    struct recall_state recall;
    struct isolation isolation;
    struct standing standing;
};

struct session *session_new(uint64_t id, uint64_t connection, const struct peer *peer,
                            uint64_t slots, uint64_t now_ns);
void session_free(struct session *s);

/* Notes a hand-out of first..last in a batch of so many bytes of records. */
void session_sent(struct session *s, uint64_t first, uint64_t last, size_t size_bytes);
/* It has them without having been sent them by this session: named in its JOIN. */
void session_has(struct session *s, uint64_t seq, bool finished);
/* A task is to be sent in pieces, of which nothing is sent yet: it is out, counts towards the credit, and
 * cannot have begun. No other may be on its way. */
void session_transfer(struct session *s, struct block *block, struct bytes record,
                      const struct task_run *run);
bool session_transfers(const struct session *s, uint64_t seq);
/* All of it was sent: from here on it is a task like others. */
void session_transferred(struct session *s);
/* Forgets first..last: stored, returned, failed or cancelled. What is on its way is cut off, and never
 * counted. */
void session_forget(struct session *s, uint64_t first, uint64_t last);

/* Its heartbeat names these as running for so long. */
void session_runs(struct session *s, const struct seqset *running, uint64_t long_ns,
                  uint64_t now_ns);
/* What it says besides. */
void session_notes(struct session *s, const struct heartbeat *m);
/* It is of the same process as `before`, and goes on with what ran there, and what was wrong. */
void session_runs_on(struct session *s, struct session *before);

/* Its worker by name, as users are told it. Names are made up by peers: no more of one is shown than
 * SESSION_NAME_SHOWN bytes. */
enum { SESSION_NAME_SHOWN = 60 };
struct whereabouts {
    char text[2 * SESSION_NAME_SHOWN + 2];
};
struct whereabouts session_whereabouts(const struct session *s);

uint64_t session_unfinished(const struct session *s);
/* How many slots can be at what it has. */
uint64_t session_usable_slots(const struct session *s);
/* It has a slot that could begin a task now. */
bool session_is_idle(const struct session *s);
/* Tasks that it has not begun, as far as one can tell. */
uint64_t session_unstarted(const struct session *s);
/* Adds the tasks that it must be taken to have begun: the oldest `slots` unfinished in lane order.
 */
void session_presume_started(const struct session *s, struct seqset *to);

/* How many tasks it may be sent by ordinary credit; and with the reserve, for tasks that were
 * handed out before. */
uint64_t session_ordinary_room(const struct session *s);
uint64_t session_reserve_room(const struct session *s);
/* Whether so many bytes of records fit its byte credit; a session that has nothing takes any. */
bool session_has_bytes(const struct session *s, size_t size_bytes);

#endif
