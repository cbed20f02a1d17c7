/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RUNNING_H
#define ZFARM_RUNNING_H

#include "common/wire/wire.h"
#include "worker/core/backlog.h"

enum { HELD_COMMAND_SIZE = 32 };

/* What each slot is at: its assignment, how far it is, and which of its tasks nobody wants any
 * more.
 *
 * The tasks of an assignment end in order, as a rule; one that is cancelled may end out of it. */
struct slot {
    struct backlog_run run; /* the assignment; block NULL: the slot is free */
    uint64_t next;          /* all tasks below it have ended */
    struct bytes rest;      /* their records from `next` on */
    struct seqset ended;    /* above next, out of order */
    struct seqset unwanted; /* cancelled: they will have no result */
    uint64_t left;          /* tasks that have not ended */
    uint64_t started_ns;
    uint64_t since_ns;    /* since when it has been at `next` */
    uint64_t duration_ns; /* of the tasks that have finished, together */
    uint64_t finished;    /* how many these are */
    bool stopped;         /* its process is */
    bool held;            /* the process of `next` has ended, and its output is still held */
    uint64_t held_by;     /* by that process; 0: not known */
    char held_command[HELD_COMMAND_SIZE];
};

struct running {
    struct slot *slots;
    unsigned count;
    unsigned busy;
    bool alone;          /* what runs is to run alone */
    uint64_t size_bytes; /* of the records of what is assigned, as they count towards the credit */
};

void running_init(struct running *r, unsigned slots);
void running_free(struct running *r);

/* The slot must be free. The run's hold on its block is taken over. */
void running_start(struct running *r, unsigned slot, const struct backlog_run *run,
                   uint64_t now_ns);

/* Finds a task that has not ended in a slot. Returns false if it is not there. `task` is then a run
 * of one, without a hold on the block: valid until running_end. */
bool running_find(const struct running *r, unsigned slot, uint64_t seq, struct backlog_run *task,
                  bool *wanted);
/* The task, which running_find has found, has ended. Returns true when the slot is free now: what
 * is left in it is the account of the assignment. */
bool running_end(struct running *r, unsigned slot, uint64_t seq, uint64_t now_ns);

/* All of the `count` tasks from `first` on are the slot's next ones, and wanted. */
bool running_are_next(const struct running *r, unsigned slot, uint64_t first, uint64_t count);
/* They have ended; returns as running_end. */
bool running_end_next(struct running *r, unsigned slot, uint64_t count, uint64_t now_ns);

/* Marks one task as unwanted, if `attempt` is not NULL only of that attempt. Returns false if it is
 * at none of the slots from `*slot` on, or was marked before; else `*slot` says where it is. */
bool running_unwant(struct running *r, uint64_t seq, const struct attempt *attempt, unsigned *slot);
/* The first wanted task among first..last in the slots from `*slot` on, or 0. */
uint64_t running_wanted(const struct running *r, uint64_t first, uint64_t last, unsigned *slot);
/* In how many slots nothing runs that is wanted, and what is cancelled has not ended. */
unsigned running_unwanted(const struct running *r);
/* Adds all that is wanted to the list. */
void running_list(const struct running *r, struct attempt_list *list);
/* The task that has been at its slot for longest and is wanted, and since when; 0 if there is none.
 */
uint64_t running_longest(const struct running *r, uint64_t *since_ns);

#endif
