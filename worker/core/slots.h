/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SLOTS_H
#define ZFARM_SLOTS_H

#include "common/base/error.h"
#include "common/wire/wire.h"
#include "worker/core/told_endpoint.h"
#include "worker/exec/executor.h"

/* The worker's core: membership, credit, which task goes to which slot, results until they are
 * released.
 *
 * It opens no socket and reads no clock. The shell tells it what happened and when; it answers with
 * actions. One turn of the shell:
 *
 *     for all that happened:  slots_control_message, slots_lane_message, slots_finished, ...
 *     slots_turn (s, now_ns);
 *     while (slots_next_action (s, &action))  do it
 *     sleep until something happens or slots_deadline (s)
 *
 * The three connections are used once each: after CLOSE the shell lets nothing of the old one
 * through, and after OPEN it tells up or down exactly once and then, if it was up, down at most
 * once. Every OPEN is followed by one CLOSE, also after a down; only EXIT leaves connections open,
 * since what was given to be sent is still to be sent. Nothing follows EXIT.
 *
 * A task's records, in an assignment, stay where they are until all its tasks have ended.
 *
 * States of the membership (docs/protocol.md, 4):
 *
 *     AWAY -> CONNECTING -> JOINING -> WELCOMED -> JOINED -> (AWAY with back-off, or GONE)
 */
struct slots;

struct slots_options {
    unsigned slots;
    uint32_t batch_max;   /* most tasks in an assignment; 1 for commands */
    struct peer peer;     /* its slices must outlive the core */
    struct hash executor; /* told in JOIN */
    uint64_t kept_max_bytes;
    const char *tmpdir;  /* where tasks that come in pieces are put together */
    uint64_t give_up_ns; /* without a ventilator for so long: EXIT */
    uint64_t grace_ns; /* a drain: after so long what still runs is killed and returned; 0: never */
    bool supervised;   /* zfarm run tells the user why it is stopped */
    bool stay;         /* wait for the next job after one is over */
    const char *lanes; /* endpoint that overrides WELCOME's, or NULL */
    const char *results;  /* the same for the sink's */
    const char *connect;  /* the ventilator's control endpoint: its host is used for lanes */
    uint64_t random_seed; /* of the back-off's jitter */
};

enum slots_action_kind {
    SLOTS_OPEN_CONTROL, /* endpoint */
    SLOTS_CLOSE_CONTROL,
    SLOTS_SEND_CONTROL, /* block */
    SLOTS_OPEN_LANE,    /* endpoint */
    SLOTS_CLOSE_LANE,
    SLOTS_OPEN_RESULTS, /* endpoint, sink */
    SLOTS_CLOSE_RESULTS,
    SLOTS_SEND_RESULTS, /* block */
    SLOTS_START,        /* assignment: executor start */
    SLOTS_CANCEL,       /* slot, seq: executor cancel */
    SLOTS_SAY,          /* why: a line for users */
    SLOTS_HURRY,        /* executor hurry */
    SLOTS_EXIT          /* status, why: what is queued for sending is still to be sent first */
};

struct slots_action {
    enum slots_action_kind kind;
    struct block *block; /* the shell's: it holds or releases it */
    char endpoint[ENDPOINT_MAX];
    struct key sink; /* of OPEN_RESULTS: the sink's; none in a farm without keys */
    struct assignment assignment;
    unsigned slot;
    uint64_t seq;
    int status;
    struct why why; /* of SAY; of EXIT: empty if there is nothing to say */
};

struct slots *slots_new(const struct slots_options *options, uint64_t now_ns);
void slots_destroy(struct slots **s); /* takes NULL */

/* What happened. Messages that are malformed, unknown or of another session are dropped and
 * counted. */
void slots_control_accepted(struct slots *s, uint64_t now_ns); /* its handshake is to come */
void slots_control_up(struct slots *s, uint64_t now_ns);
void slots_control_down(struct slots *s, uint64_t now_ns); /* or: could not be made */
void slots_control_message(struct slots *s, struct bytes message, uint64_t now_ns);
void slots_lane_accepted(struct slots *s, uint64_t now_ns); /* or: is up */
void slots_lane_down(struct slots *s, uint64_t now_ns);
void slots_lane_message(struct slots *s, struct bytes message, uint64_t now_ns);
void slots_results_accepted(struct slots *s, uint64_t now_ns);
void slots_results_up(struct slots *s, uint64_t now_ns);
void slots_results_down(struct slots *s, uint64_t now_ns);
/* How much of what SEND_RESULTS gave is not sent yet: pieces of a large result are made only while
 * it is little. */
void slots_results_pending(struct slots *s, uint64_t pending_bytes);

/* The executor's events. */
void slots_finished(struct slots *s, const struct outcome *outcome, uint64_t now_ns);
void slots_finished_run(struct slots *s, const struct outcome_run *run, uint64_t now_ns);
void slots_returned(struct slots *s, unsigned slot, uint64_t first, uint32_t count,
                    uint64_t now_ns);
void slots_cancelled(struct slots *s, unsigned slot, uint64_t seq, uint64_t now_ns);
void slots_broken(struct slots *s, const char *why, uint64_t now_ns);
/* What was just returned could not be started for a reason that passes. */
void slots_held_up(struct slots *s, const char *why, uint64_t now_ns);
/* What heartbeats and the stall line tell of it, as in executor.h. */
void slots_stopped(struct slots *s, unsigned slot, bool stopped);
void slots_held(struct slots *s, unsigned slot, uint64_t pid, const char *command);

/* The operator's wishes: leave when what runs is done, which from now on returns tasks that are ended
 * by signals; kill what runs and leave now (status 255). */
void slots_drain(struct slots *s, uint64_t now_ns);
void slots_abort(struct slots *s, uint64_t now_ns);

/* While `hold`, no task is started; what is here stays here. */
void slots_hold(struct slots *s, bool hold);

void slots_turn(struct slots *s, uint64_t now_ns);
uint64_t slots_deadline(const struct slots *s); /* NEVER if only an event can change something */
bool slots_next_action(struct slots *s, struct slots_action *action);

/* For the stall line: when something last moved, and a sentence about what is waited for. Returns
 * false when nothing is waited for (a task runs that has been running for less than a second). */
uint64_t slots_moved_at(const struct slots *s);
bool slots_waits_for(const struct slots *s, uint64_t now_ns, struct why *why);

/* What the sink wants back (enum result_want), as the last WELCOME or SINK said. */
uint64_t slots_wants(const struct slots *s);

struct slots_counts {
    uint64_t finished; /* final results made */
    uint64_t dropped;  /* messages that made no sense */
};
struct slots_counts slots_counts(const struct slots *s);

#endif
