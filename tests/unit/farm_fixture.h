/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FARM_FIXTURE_H
#define ZFARM_FARM_FIXTURE_H

#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "ventilator/core/dispatcher_state.h"

/* A farm around the dispatcher: an input, workers and a sink that speak the wire's messages, and a
 * clock. What a peer is told is written down in words and compared by farm_expect:
 *
 *     "WELCOME epoch=1 kill=2 have=7-9; HELLO; TASKS 1: 1-4#1 last; CANCEL 3#1; RELEASED tasks=1-3"
 *
 * A run of tasks is written as first-last#attempt, then try (from 2), `last`, `alone` and `pieces`; a
 * piece as PIECE seq@offset, and one that says that no more will come as CUT seq. Answers
 * to heartbeats and STATUS are left out, and one to WHY is a line for each item: "1-3+0: sentence". Every batch is
 * checked against the credit of whom it reached.
 */

enum { FARM_PEERS = 24, FARM_WAITING_MAX = 64, JOB = 77, INCARNATION = 1000 };

struct farm_peer {
    uint64_t connection; /* 0: none */
    uint64_t lane;
    uint64_t session;
    uint64_t instance;
    uint64_t job;
    uint64_t slots;
    uint64_t flags; /* of JOIN */
    struct token token;
    struct key key; /* its own; none in a farm without keys */
    bool is_sink;
    bool silent;           /* sends no heartbeats */
    uint64_t stuck_ms;     /* said in heartbeats */
    uint64_t unusable;     /* the same */
    uint64_t lane_arrived; /* the batch that CREDIT says has arrived */
    struct buf heard;
    size_t verdict_bytes; /* of the records of the last VERDICT */
    struct buf pieces;    /* of the task that comes in pieces */
    struct seqset has;    /* tasks that came and are neither stored nor given back */
    struct credit granted;
    uint64_t got_tasks;
    uint64_t got_bytes;
};

struct farm {
    struct dispatcher *d;
    uint64_t now_ns;
    uint64_t last_number; /* of connections, lanes and instances */
    struct farm_peer peers[FARM_PEERS];
    struct farm_peer *sink;
    bool receipts; /* peers say in JOIN that they tell them */
    bool strict;   /* the sink says in JOIN that it wants HANDED */
    uint64_t epoch;
    struct seqset stored;

    uint64_t input;         /* tasks that are left in it */
    bool input_waits;       /* and then there is nothing for now */
    bool input_begins_late; /* not before a worker has given credit */
    size_t task_size;       /* of a record, 2 bytes or more */
    struct seqset large;    /* tasks with 10,000 bytes */
    struct seqset too_large;
    size_t room_capacity;

    bool exited;
    uint64_t cut; /* the connection that was cut last */
    int status;
    struct buf said; /* lines for people, and why it ended */

    bool slow_lanes; /* pieces are not taken before farm_lanes_take */
    struct block *waiting[FARM_WAITING_MAX];
    size_t waiting_count;
};

/* Options as decisions.md has them, with N tries; a sink that was told WELCOME and has answered. */
void farm_begin(struct farm *f, unsigned retries);
void farm_begin_bare(struct farm *f, const struct dispatcher_options *options);
struct dispatcher_options farm_options(unsigned retries);
void farm_end(struct farm *f);

/* One turn: deadlines, input, actions. */
void farm_turn(struct farm *f);
/* Time passes in turns of 100 ms, in which everybody who is not silent sends heartbeats. */
void farm_pass(struct farm *f, uint64_t ms);
/* The pieces that wait, the oldest `most` of them, are let go. */
void farm_lanes_take(struct farm *f, size_t most);
/* A turn, a time in which RELEASED and the like is passed on, another turn. */
void farm_settle(struct farm *f);
/* farm_settle; then what the peer has heard since the last time must be `words`. */
void farm_expect(struct farm *f, struct farm_peer *p, const char *words);
void farm_expect_said(struct farm *f, const char *part);
/* farm_check_dispatcher. */
void farm_check(const struct farm *f);

/* The sink. */
struct farm_peer *sink_connect(struct farm *f, uint64_t instance);
void sink_join(struct farm *f, struct farm_peer *p, uint64_t job, uint64_t flags,
               const char *stored);
void sink_join_opened(struct farm *f, struct farm_peer *p, uint64_t job, uint64_t flags,
                      const char *stored, uint64_t opening);
void sink_note(struct farm *f, const char *stored);
void sink_received(struct farm *f, const struct farm_peer *worker, uint64_t batch, uint64_t flags);
void sink_note_full(struct farm *f, const char *stored, bool order_full);
/* It has taken the results of `tasks` from the session, and `stored` is stored. */
void sink_took(struct farm *f, uint64_t session, const char *tasks, const char *stored,
               uint64_t flags);
void sink_halts(struct farm *f, enum halt_when when, uint64_t seq, uint64_t status);
void sink_closed(struct farm *f, uint64_t failed);

/* Workers. */
struct farm_peer *worker_connect(struct farm *f, uint64_t slots);
void worker_reconnect(struct farm *f, struct farm_peer *p); /* the same process; closes nothing */
void worker_join(struct farm *f, struct farm_peer *p, uint64_t job, const char *running,
                 const char *kept); /* running: each is an attempt 1 of this incarnation */
void worker_open_lane(struct farm *f, struct farm_peer *p);
void worker_claim(struct farm *f, struct farm_peer *p, struct token token);
void worker_credit(struct farm *f, struct farm_peer *p, uint64_t tasks, uint64_t size_bytes,
                   uint64_t reserve); /* beyond what it got */
/* connect, join, lane, claim, credit of so many tasks and plenty of bytes; nothing heard is left.
 */
struct farm_peer *worker_up(struct farm *f, uint64_t slots, uint64_t tasks);
void worker_finished(struct farm *f, struct farm_peer *p, const char *tasks, uint64_t not_ok);
void worker_failed(struct farm *f, struct farm_peer *p, uint64_t seq, uint32_t number);
void worker_returned(struct farm *f, struct farm_peer *p, const char *tasks,
                     enum returned_reason reason);
void worker_runs(struct farm *f, struct farm_peer *p, const char *tasks);   /* says a heartbeat */
void worker_says(struct farm *f, struct farm_peer *p, enum wire_kind kind); /* without a body */
void worker_lane_dies(struct farm *f, struct farm_peer *p);
void worker_control_dies(struct farm *f, struct farm_peer *p);
void worker_dies(struct farm *f, struct farm_peer *p); /* both */

/* A message of any peer, as it would be in its session. */
struct buf peer_message(const struct farm *f, const struct farm_peer *p, enum wire_kind kind);
void peer_send(struct farm *f, struct farm_peer *p, struct buf *message);

void ranges_of(const char *text, struct seqset *set); /* "1-3,5" */

#endif
