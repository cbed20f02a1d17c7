/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DISPATCHER_H
#define ZFARM_DISPATCHER_H

#include "common/wire/wire.h"

/* The ventilator's core: who is in the farm, who gets which task, what is stored, when the job is
 * over.
 *
 * It opens no socket and reads no clock. The shell tells it what happened and when; it answers with
 * actions. One turn of the shell:
 *
 *     all that was there when the turn began: control messages, closed connections, lanes
 *     dispatcher_turn (d, now_ns);
 *     while (dispatcher_wants_tasks (d, &tasks_max, &bytes_max))
 *         take tasks from the source into dispatcher_room (d); then dispatcher_add_tasks, or
 *         dispatcher_add_too_large, or dispatcher_input_ended, or stop asking because the source
 *         has nothing now
 *     while (dispatcher_next_action (d, &action))  do it
 *     sleep until something happens or dispatcher_deadline (d)
 *
 * Tasks are handed out, and deadlines acted on, in dispatcher_turn and dispatcher_add_tasks only:
 * after the inbox, so that what is late is not taken for dead. A connection of control is named by
 * a number that the shell makes up and never uses again; so is a lane.
 */
struct dispatcher;

struct dispatcher_options {
    uint64_t incarnation;
    unsigned retries;         /* tries in all, at least 1 */
    uint64_t retry_delay_ns;  /* before the second try, see delays.h; 0: none */
    bool hedge;               /* what runs long is run a second time where a slot idles */
    uint64_t random_seed;     /* of the delays' jitter, and of a life's distance to the last */
    uint64_t queue_max_bytes; /* of tasks that are not stored */
    uint64_t task_max_bytes;  /* --task-max, for sentences; the source enforces it */
    size_t task_inline_max;   /* a larger record goes in pieces; 0: TASK_INLINE_MAX */
    size_t task_piece_max;    /* 0: TASK_PIECE_MAX */
    uint64_t heartbeat_ns;    /* 500 ms */
    uint64_t limit_ns;        /* 3 s */
    uint64_t give_up_ns;      /* without a sink for so long: EXIT 255 */
    uint64_t
        kill_after_ns; /* interrupted, with a sink that cannot write, for so long: EXIT 255; 0: never */
    unsigned workers_max;
    const char *lanes;    /* told to workers: the gate's port, or an endpoint */
    const char *endpoint; /* of control, as others reach it; named in sentences for users who start
                                programs by hand. NULL: nobody does */
    const char *input;    /* likewise: "standard input" */
    struct hash fingerprint; /* of source and options */
    uint64_t total;          /* tasks in the input, if known; else 0 */
    bool supervised;         /* zfarm run tells the user why it is stopped */
    bool is_first;           /* no worker can be left of an earlier life: none is waited for */
    /* Whose key may join as what; the shell's, which tells of every change. NULL: a farm without
     * keys, which takes everybody. */
    const struct admitted *admitted;
};

enum dispatcher_action_kind {
    DISPATCHER_SEND_CONTROL, /* connection, block */
    DISPATCHER_SEND_LANE,    /* lane, block */
    DISPATCHER_CLAIM_LANE,   /* lane: it has an owner now */
    DISPATCHER_CLOSE_LANE,   /* lane */
    DISPATCHER_CUT_CONTROL,  /* connection: its key is not admitted any more */
    DISPATCHER_SAY,          /* why: a line for users (worker refused, task lost, ...) */
    DISPATCHER_EXIT          /* status, why; send what is queued first */
};

struct dispatcher_action {
    enum dispatcher_action_kind kind;
    uint64_t connection;
    uint64_t lane;
    struct block *block; /* the shell's: it holds or releases it */
    int status;
    struct why why;
};

struct dispatcher *dispatcher_new(const struct dispatcher_options *options, uint64_t now_ns);
void dispatcher_destroy(struct dispatcher **d); /* takes NULL */

/* Who says it. */
struct origin {
    uint64_t connection;
    const char *address; /* the host that it comes from, "" if unknown: used when a sink's endpoint
                            has no host */
    struct key key;      /* proven to be the peer's; none in a farm without keys */
};

/* What happened. WHY is answered to any peer that asks (docs/protocol.md, 12). Messages that are
 * malformed, unknown or out of place are dropped and counted. */
void dispatcher_control_message(struct dispatcher *d, const struct origin *from,
                                struct bytes message, uint64_t now_ns);
void dispatcher_control_closed(struct dispatcher *d, uint64_t connection, uint64_t now_ns);
/* What options.admitted says has changed: sessions whose key is not admitted any more are over. */
void dispatcher_admitted_changed(struct dispatcher *d, uint64_t now_ns);
/* The token is random; the core sends it down the lane in HELLO. `key` is whose the lane is: only a
 * session with the same one can claim it. */
void dispatcher_lane_opened(struct dispatcher *d, uint64_t lane, struct token token,
                            const struct key *key, uint64_t now_ns);
void dispatcher_lane_closed(struct dispatcher *d, uint64_t lane, uint64_t now_ns);

/* The input. dispatcher_wants_tasks says whether a worker would take tasks now, and how much.
 * dispatcher_room is an empty batch (with room for the message's head): append records to it. */
bool dispatcher_wants_tasks(struct dispatcher *d, size_t *tasks_max, size_t *bytes_max);
struct buf *dispatcher_room(struct dispatcher *d);
void dispatcher_add_tasks(struct dispatcher *d, size_t tasks,
                          uint64_t now_ns); /* what is in the room */
void dispatcher_add_too_large(struct dispatcher *d,
                              uint64_t now_ns); /* one task, failed for that */
/* What is known of how the input begins: STATUS_INPUT_CRLF, STATUS_INPUT_BOM; the sink is told. */
void dispatcher_input_looks(struct dispatcher *d, uint64_t looks);
void dispatcher_input_ended(struct dispatcher *d, uint64_t now_ns);
/* The input cannot be read on: like an interruption, and the job ends with 255. */
void dispatcher_input_failed(struct dispatcher *d, const char *why, uint64_t now_ns);

/* First signal: read no more, let run what runs, end with what is done. */
void dispatcher_stop(struct dispatcher *d, const char *why, uint64_t now_ns);

/* Until `dispatcher_go` nothing is handed out and no input asked for, and the times for which a sink and a lost
 * task's worker are waited for stand still. Heartbeats go on. */
void dispatcher_hold(struct dispatcher *d, uint64_t now_ns);
void dispatcher_go(struct dispatcher *d, uint64_t now_ns);

void dispatcher_turn(struct dispatcher *d, uint64_t now_ns);
uint64_t dispatcher_deadline(const struct dispatcher *d);
bool dispatcher_next_action(struct dispatcher *d, struct dispatcher_action *action);

uint64_t dispatcher_moved_at(const struct dispatcher *d);
/* The foremost of what WHY is answered with: what holds up the job, in one sentence. False when it is
 * over. */
bool dispatcher_waits_for(const struct dispatcher *d, uint64_t now_ns, struct why *why);

struct dispatcher_counts {
    uint64_t read; /* tasks numbered */
    uint64_t stored;
    uint64_t ledger_bytes; /* memory that tasks take now */
    uint64_t workers;      /* sessions now */
    uint64_t workers_seen; /* that ever got a task */
    uint64_t dropped;      /* messages that made no sense */
};
struct dispatcher_counts dispatcher_counts(const struct dispatcher *d);

#endif
