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

/* The dispatcher's state, shared by the files that together are the dispatcher:
 *
 *     dispatcher.c     events in, actions out, the order of a turn
 *     admission.c      whose key may join as what
 *     joins.c          workers that come: JOIN, WELCOME
 *     workers.c        workers that are here: what they say; what a session's end means for its tasks
 *     schedule.c       who gets which task
 *     hedge.c          tasks that are run a second time
 *     transfer.c       tasks that are too large for one message
 *     recall.c         tasks that are taken back from who has not begun them, for who idles
 *     halt_order.c     a job that the sink ends early
 *     sink_session.c   the sink: JOIN, STORED, verdicts, the end of the job
 *     audit.c          a job that is taken up again: its input against what is stored
 *     protests.c       messages that make no sense
 *     promises.c       results that were not asked for, and results that do not come
 *     handed.c         who was handed what, for a sink that wants to know
 *     charges.c        workers that died, and what is charged to the tasks that they had
 *     explain.c        what each unfinished task waits for; the stall line (sentences.c: a list of such)
 */

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

/* admission.c */
/* Whether the peer's key may join so; if not, it is refused with words. */
bool admission_allows(struct dispatcher *d, const struct origin *from, enum wire_role role,
                      uint64_t now_ns);
bool admission_has(const struct dispatcher *d, const struct key *key, enum key_role role);
void admission_tell_sink(struct dispatcher *d); /* whose results it is to take */

/* joins.c */
void joins_take(struct dispatcher *d, const struct origin *from, struct frame_head head,
                struct bytes message, struct bytes body, uint64_t now_ns);
void joins_welcome_waiting(struct dispatcher *d, uint64_t now_ns);
void joins_forget(struct dispatcher *d, uint64_t connection); /* it does not wait any more */
void joins_admitted_changed(struct dispatcher *d);
void joins_free(struct dispatcher *d);

/* workers.c */
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

/* schedule.c */
/* To be called whenever something has changed of what the session has, what it may be given, or what it
 * has done: from that the dispatcher's rankings and sums are kept. */
void schedule_note(struct dispatcher *d, struct session *s);
void schedule_note_end(struct dispatcher *d, struct session *s); /* it is over */
/* How many tasks it may get now: such as were handed out before, or new ones. */
uint64_t schedule_room(const struct dispatcher *d, const struct session *s, enum ranking_kind kind);
double schedule_rate(const struct dispatcher *d,
                     const struct session *s); /* tasks per ns, as far as known */
/* Puts a task that nobody has where it belongs: queue, `isolated` or `loss_pending`; what is delayed stays so. */
void schedule_queue(struct dispatcher *d, const struct story *story);
void schedule_unqueue(struct dispatcher *d, uint64_t first, uint64_t last);
/* Takes the task away from the session; queued again if nobody else has it. Returns its story. */
struct story *schedule_take_back(struct dispatcher *d, struct session *s, uint64_t seq);
/* It failed there: one more in a row, if it failed nowhere else before. */
void schedule_count_fail(const struct dispatcher *d, struct session *s, uint64_t seq);
/* A try of it failed there, and was not the last. */
void schedule_failed(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns);
/* Rank of the session's worker among the last failures of the task: 0 never failed there, higher is more recent. */
size_t schedule_failed_lately(const struct story *story, const struct session *s);
uint64_t
schedule_waiting(const struct dispatcher *d); /* tasks that no worker has and one will get */
/* Sends it this task and nothing else; it must not be getting another one in pieces. */
void schedule_one(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t flags,
                  uint64_t now_ns);
void schedule_turn(struct dispatcher *d, uint64_t now_ns);
struct session *schedule_pick_for_input(struct dispatcher *d);
/* Numbers the tasks in d->room, notes them in the ledger and sends them to the session. */
void schedule_new_tasks(struct dispatcher *d, struct session *s, size_t tasks, uint64_t now_ns);

/* hedge.c */
void hedge_turn(struct dispatcher *d, uint64_t now_ns);

/* transfer.c */
/* `s` may be NULL: if it is nobody's special case. */
bool transfer_is_needed(const struct dispatcher *d, const struct session *s, size_t record_size);
/* Sends the record of run->first in pieces, as the lane takes them. Nothing else may be on its way to the
 * session in pieces. */
void transfer_begin(struct dispatcher *d, struct session *s, const struct entry *entry,
                    struct bytes record, const struct task_run *run, uint64_t now_ns);
/* What is on its way to the session is queued again, if there is something. */
void transfer_take_back(struct dispatcher *d, struct session *s);
/* The task goes on to nobody who has not got all of it: from now on it travels alone. */
void transfer_cut(struct dispatcher *d, const struct story *story);
void transfer_turn(struct dispatcher *d, uint64_t now_ns);

/* promises.c */
/* What the sink's note says of where results came from. To be called before what it stores is. */
void promises_note(struct dispatcher *d, const struct stored_note *m, uint64_t now_ns);
/* The worker is there, and whatever it had to say came before. Returns whether its session is over. */
bool promises_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns);

/* handed.c */
/* A sink has joined: from now on it is told who is handed what, if it wants to know; first all at once. */
void handed_begin(struct dispatcher *d);
/* The session is new: what its process had in others and has failed there counts as handed to it as well. */
void handed_note_tried(struct dispatcher *d, struct session *s);
/* Such a sink is told what it has not been told yet. Whatever it is told after that, it knows who had been handed
 * what before. */
void handed_tell(struct dispatcher *d);

/* protests.c */
enum { SENSELESS_LINES_A_MINUTE = 10 };
/* A message of the worker makes no sense, from that octet of it on: it is told, and users are. */
void protests_worker(struct dispatcher *d, struct session *s, unsigned kind, size_t offset,
                     enum error error);
/* The sink has taken results of tasks that the session was never handed. */
void protests_strange(struct dispatcher *d, struct session *s, const struct seqset *tasks);
void protests_sink(struct dispatcher *d, unsigned kind, size_t offset, enum error error);
/* Whoever's message it is that is not even a frame. */
void protests_frame(struct dispatcher *d, uint64_t connection, struct bytes message,
                    enum error error);
void protests_from_sink(struct dispatcher *d, struct bytes body); /* about a worker's results */
void protests_from_worker(struct dispatcher *d, struct session *s,
                          struct bytes body); /* about ours */
void protests_join(struct dispatcher *d, const struct origin *from, enum error error); /* REFUSE */
/* A message of a session that is not, or not over this connection: its sender is to join again, or is
 * refused if it never goes on with what it is told. */
void protests_astray(struct dispatcher *d, uint64_t connection, struct frame_head head);

/* liveness.c */
/* What the worker's heartbeat says of its connections, and by it is judged: its lane may be closed. */
void liveness_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns);
/* It has said something: how late it is. */
void liveness_heard(const struct dispatcher *d, struct session *s, uint64_t now_ns);
void liveness_sink_heard(struct dispatcher *d, uint64_t now_ns);
/* Once a heartbeat: how late all are. */
void liveness_look(struct dispatcher *d);
/* How long the worker may be silent. */
uint64_t liveness_limit(const struct dispatcher *d, const struct session *s);
/* CREDIT says what has arrived on the lane. */
void liveness_lane(struct session *s, const struct credit *m, uint64_t now_ns);
/* The sink's note says what of its results has. */
void liveness_results(struct dispatcher *d, const struct stored_note *m);
/* The worker goes on in another session. */
void liveness_go_on(struct session *s, const struct session *before);
/* The most bytes of tasks in one frame, where `usual` is that for others. `s` may be NULL. */
size_t liveness_frame_max(const struct session *s, size_t usual);
/* The most bytes of records in one VERDICT, likewise. */
size_t liveness_sink_frame_max(const struct dispatcher *d, size_t usual);
bool liveness_lane_is_busy(const struct session *s); /* something that was sent has not arrived */
/* For how long nothing has arrived on its lane though something is under way; 0: all is well. */
uint64_t liveness_lane_silence_ns(const struct dispatcher *d, const struct session *s,
                                  uint64_t now_ns);

/* recall.c */
void recall_ask(struct dispatcher *d, struct session *s, uint64_t tasks, uint64_t now_ns);
void recall_answered(struct session *s, uint64_t tasks, uint64_t now_ns);
/* It lives, and should have answered long ago. */
bool recall_is_overdue(const struct dispatcher *d, const struct session *s, uint64_t now_ns);
bool recall_may_ask(const struct session *s, uint64_t now_ns);
void recall_turn(struct dispatcher *d, uint64_t now_ns);

/* halt_order.c */
void halt_order_take(struct dispatcher *d, struct bytes body, uint64_t now_ns); /* HALT */
void halt_order_tell(
    struct dispatcher *d); /* a sink that has just joined, if that was decided before */

/* charges.c */
enum {
    LOSSES_MAX = 3,          /* of a task, then it is lost */
    INTERRUPTIONS_ALONE = 3, /* so many, and it travels alone, as with a loss */
    INTERRUPTIONS_MAX = 20,  /* then it is lost */
};
/* What is known of it may be its own doing: it is handed out alone, or not any more. */
bool charges_make_suspect(const struct story *story);
bool charges_are_too_many(const struct story *story);
/* The task was begun at `s`, which is told to leave, and was ended by what made it leave: no budget is
 * charged, but a task that does that to its workers itself does not go on for ever. */
void charges_interrupted(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns);
/* Charges a loss for what must have been running; remembers whom, in case the worker comes back. */
void charges_add(struct dispatcher *d, struct session *s, uint64_t now_ns);
/* The worker is alive: what was charged when its session ended is taken back. */
void charges_refund(struct dispatcher *d, uint64_t session);
void charges_turn(struct dispatcher *d, uint64_t now_ns); /* verdicts that are due */
void charges_forget(struct dispatcher *d, uint64_t seq);  /* it is stored */
/* Words for users: whom it took down. */
void charges_put_words(const struct dispatcher *d, uint64_t seq, struct buf *to);
void charges_free(struct dispatcher *d);

/* explain.c */
void explain_answer(struct dispatcher *d, uint64_t connection, uint64_t now_ns); /* to WHY */

/* sink_session.c */
void sink_session_join(struct dispatcher *d, const struct origin *from, struct frame_head head,
                       struct bytes body, uint64_t now_ns);
void sink_session_message(struct dispatcher *d, enum wire_kind kind, struct bytes body,
                          uint64_t now_ns);
void sink_session_closed(struct dispatcher *d, uint64_t now_ns);
/* The tasks are stored: out of queues and sessions, whose workers are told. */
void sink_session_stored(struct dispatcher *d, const struct seqset *tasks, uint64_t now_ns);
void sink_session_say_ended(struct dispatcher *d, uint64_t session);
void sink_session_tell_status(struct dispatcher *d); /* if there is a sink */
void sink_session_judge(struct dispatcher *d, uint64_t seq);
void sink_session_turn(struct dispatcher *d, uint64_t now_ns);

#endif
