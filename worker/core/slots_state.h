/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SLOTS_STATE_H
#define ZFARM_SLOTS_STATE_H

#include "common/base/throttle.h"
#include "worker/core/credit.h"
#include "worker/core/halt_pause.h"
#include "worker/core/interruptions.h"
#include "worker/core/worker_lane.h"
#include "worker/core/outlet.h"
#include "worker/core/running.h"
#include "worker/core/start_limit.h"

/* The worker's core as its upper files share it. Each part below is a struct of its own, whose header says what it owns
 * and decides, and which knows nothing of the whole. What takes several parts stands in these files, and each calls
 * only those above it here:
 *
 *     session.h        JOIN, WELCOME, heartbeats, credit: what is said on control
 *     reports.h        what the ventilator is told of tasks
 *     work.h           tasks to slots, and what becomes of a task's end
 *     leaving.h        the ways to end
 *     lane_inbox.h     what a message on the lane does
 *     control_inbox.h  what a message of the ventilator does
 *     waits.h          what is waited for, in words
 *     slots.c          the shell's calls, the order of a turn
 */

enum { AGAINS_MAX = 20 }; /* in a row: then nothing that this worker says is understood */

/* The control connection. */
struct control {
    struct member member;
    bool waiting;     /* JOIN was answered by HEARTBEAT: there is no sink yet */
    bool full;        /* the last JOIN was refused: too many workers, or a job that is over */
    unsigned agains;  /* sessions in a row that ended with AGAIN before a heartbeat was answered */
    uint64_t echo_ns; /* the last heartbeat that came back */
};

enum leaving { STAYING, DRAINING, BROKEN };

/* How far --grace has come. */
enum eviction { EVICT_LATER, EVICT_TERM, EVICT_KILL };

/* Whether and how the worker leaves (leaving.h). */
struct departure {
    enum leaving leaving;
    struct why why;    /* of BROKEN */
    bool told;         /* the operator told it to: DRAINING, or BROKEN before */
    bool said;         /* LEAVE was sent in this session */
    uint64_t idle_ns;  /* leaving: since when nothing has been running */
    uint64_t evict_ns; /* leaving: when the next step of --grace is due; NEVER: none is */
    enum eviction evicted;
    bool stopping; /* the job is over: EXIT with stop_status when nothing runs any more */
    int stop_status;
    struct why stop_why;
};

struct slots {
    struct slots_options options;
    struct actions actions;
    struct control control;
    struct worker_lane lane;
    struct outlet outlet;
    struct backlog backlog;
    struct running running;
    struct interruptions interruptions;
    struct results results;
    struct report report;
    struct meter meter;
    struct start_limit start_limit;
    struct halt_pause halt_pause;
    struct departure departure;
    struct throttle protest_lines;
    bool holds;           /* nothing is started */
    bool gone;            /* EXIT was given */
    uint64_t promised_ns; /* the deadline that the last turn ended with */
    uint64_t moved_ns;
    struct slots_counts counts;
};

#endif
