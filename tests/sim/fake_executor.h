/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_FAKE_EXECUTOR_H
#define ZFARM_SIM_FAKE_EXECUTOR_H

#include "tests/sim/node.h"
#include "worker/core/slots.h"

/* An executor as executor.h describes it, whose tasks only take simulated time. Its children go on
 * while the worker is frozen, and what they did waits for the worker's turn. */
struct fake_slot {
    bool busy;
    struct assignment assignment;
    struct bytes rest; /* records of what has not begun */
    uint32_t at;       /* which of its tasks runs */
    enum run_end end;  /* how that will end */
    bool killed;       /* it is being killed */
    bool lingers;      /* its first process has ended, and others hold its output */
    bool is_told;      /* that they do */
    uint64_t since_ns;
    uint64_t ended_ns; /* that process */
    uint64_t serial;   /* of the event that ends it */
    struct seqset out; /* taken out before they began */
};

struct fake_done {
    enum { DONE_FINISHED, DONE_CANCELLED, DONE_RETURNED } kind;
    unsigned slot;
    uint64_t seq;
    uint32_t count;
    enum run_end end;
    bool last; /* no try is left after it */
    uint64_t duration_ns;
};

struct fake_executor {
    struct node *node; /* the worker */
    struct slots **core;
    unsigned slot_count;
    struct fake_slot *slots;
    struct fake_done *done; /* what was not told yet */
    size_t done_count;
    size_t done_capacity;
    uint64_t last_serial;
    bool broken;
    uint64_t
        halting; /* a task of this process whose result must end the job (--halt); 0: none yet */
};

void fake_init(struct fake_executor *e, struct node *node, struct slots **core, unsigned slots);
void fake_free(struct fake_executor *e);
void fake_start(struct fake_executor *e, const struct assignment *assignment);
void fake_cancel(struct fake_executor *e, unsigned slot, uint64_t seq);
/* What runs is ended by a signal that is none of the worker's, each task within that time. */
#define FAKE_INTERRUPT_NS (200 * NS_PER_MS)
void fake_interrupt(struct fake_executor *e);
/* What is being killed ends now. */
void fake_hurry(struct fake_executor *e);
void fake_turn(struct fake_executor *e); /* tells the core */
/* It runs a task that must run alone, so that its other slots idle by right. */
bool fake_runs_alone(const struct fake_executor *e);
/* A task is being killed: one that must run alone waits for its end, which the ventilator cannot know. */
bool fake_is_dying(const struct fake_executor *e);

#endif
