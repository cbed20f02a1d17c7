/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EXECUTOR_KIND_H
#define ZFARM_EXECUTOR_KIND_H

#include "worker/exec/child.h"
#include "worker/exec/executor.h"
#include "worker/exec/slot_batch.h"
#include "worker/exec/time_limit.h"

/* The other side of executor.h: what a kind of executor is, and what executor.c has for it.
 *
 * executor.c owns what the kinds have in common: the slots, their processes and batches, the environment, the time
 * limit. It decides when a child is started and started again, when the executor is broken, and which task is killed
 * for what, or has those behind it given back. A kind decides how a task gets to a process and how its result comes
 * back. executor.c calls the functions of struct executor_kind; they call the functions below. */

struct environment;

enum executor_state {
    EXECUTOR_DOWN, /* no child; one is started at look_ns, or if children do not stay for the next task */
    EXECUTOR_STARTING, /* `start` was called: executor_started or executor_start_failed is to come */
    EXECUTOR_UP,       /* idle, or at a task */
    EXECUTOR_KILLED,   /* not reaped yet */
    EXECUTOR_BROKEN    /* given up */
};

/* What is on its way to a child: first `bytes`, then `behind`, which are another's and stay where they are until they
 * are sent. */
struct slot_outbox {
    struct buf bytes;
    struct bytes behind;
    size_t sent; /* of both */
    bool waits;  /* for room */
};

/* A slot: one child after the other, and one batch after the other. The first member of a kind's own slot. A kind reads
 * it, and writes `outbox`, `why`, `hopeless` and batch.given. */
struct executor_slot {
    struct child_watch watch; /* of executor_watch */
    struct executor *executor;
    enum executor_state state;
    bool proven;         /* this child has ended a task */
    bool hopeless;       /* there is no use in starting another child: `why` says it */
    bool short_of;       /* something that a start needs, and that others have now */
    unsigned failures;   /* starts in a row of children that ended no task */
    uint64_t look_ns;    /* when the slot is to be looked at, or NEVER */
    uint64_t killed_for; /* the task that child.killed is about */
    int status;          /* waitpid's, of the last child */
    struct child child;
    struct slot_batch batch;
    struct slot_outbox outbox; /* empty when a child is started */
    struct why why;            /* what the last failure was; empty when a child is started */
};

/* An executor. The first member of a kind's own struct. */
struct executor {
    const struct executor_kind *kind;
    const struct executor_options *options;
    struct executor_events events;
    struct children children;
    struct environment *environment;
    struct time_limit limit;
    bool limit_changed; /* since the last turn */
    bool proven;        /* a child of any slot has ended a task */
    bool broken;        /* that event was called by executor.c */
    uint8_t *slots;     /* of kind->slot_size each */
};

/* Only the functions that are marked so may be NULL. A kind whose process is the task needs no more than open, close,
 * start and reap: what it wrote is captured as child.h says. */
struct executor_kind {
    size_t size;        /* of its own struct */
    size_t slot_size;   /* of its own slot; both are zeroed, but for what is the frame's */
    uint32_t batch_max; /* most tasks in an assignment */
    bool stays; /* a child is started with the executor and takes one batch after the other */
    bool keeps_trying; /* once a child has ended a task others are started for ever */
    /* Finds what is to be run and makes what all slots share. On failure `close` follows. */
    enum error (*open)(struct executor *executor, struct why *why);
    /* After all slots have begun to start: whether that can succeed at all. May be NULL. */
    enum error (*check)(struct executor *executor, struct why *why);
    /* Frees what is the kind's, of the slots too. No child is left. */
    void (*close)(struct executor *executor);
    /* Begins to start a child. Ends in executor_started or executor_start_failed, from inside or later, or in the death
     * of the child; of a kind that does not stay also in executor_refuse. */
    void (*start)(struct executor_slot *slot, uint64_t now_ns);
    /* Gives the child, which is up, what it may have of the batch. NULL: it got all by its start. */
    void (*feed)(struct executor_slot *slot, uint64_t now_ns);
    /* What executor_watch watches is ready, with these events of epoll. `feed` follows. NULL: nothing is. */
    void (*ready)(struct executor_slot *slot, uint32_t events, uint64_t now_ns);
    /* The task that the slot is at, and since when; 0: it is at none. NULL: the next of the batch, since the start. */
    uint64_t (*running)(const struct executor_slot *slot, uint64_t *since_ns);
    /* Looks at a child that is up, when `due` said. Both may be NULL. */
    void (*look)(struct executor_slot *slot, uint64_t now_ns);
    uint64_t (*due)(const struct executor_slot *slot, uint64_t now_ns);
    /* The task has run for longer than patience_ns: gives back those that can be. NULL: those that were not given. */
    void (*return_behind)(struct executor_slot *slot, uint64_t seq);
    /* Ends a child, whose `killed` is to be `reason`. NULL: child_kill. */
    void (*kill)(struct executor_slot *slot, enum child_kill reason, uint64_t now_ns);
    /* The process was reaped: takes what it left. Returns whether that was all; else executor_reap is called later.
     * NULL: child.h does it. */
    bool (*exited)(struct executor_slot *slot, uint64_t now_ns);
    /* Nothing more comes of the child: ends the task that it was at and gives back what it had got. */
    void (*reap)(struct executor_slot *slot, uint64_t now_ns);
    /* An idle child is to end by itself. NULL: it is killed at once. */
    void (*hang_up)(struct executor_slot *slot);
    /* All was held from `held_ns` until now. NULL: nothing but child.h's times is concerned. */
    void (*put_off)(struct executor_slot *slot, uint64_t held_ns, uint64_t now_ns);
};

static inline struct executor_slot *executor_slot_at(const struct executor *executor,
                                                     unsigned number)
{
    return (struct executor_slot *)(void *)(executor->slots + number * executor->kind->slot_size);
}

/* ---- what a kind tells ---- */

/* The child is up. */
void executor_started(struct executor_slot *slot, uint64_t now_ns);
/* There is no child: `why` is filled in. If it passes, the tasks are given again, to this slot or another. Else a child
 * that stays is started anew, with a growing delay, until there is no hope; one that does not makes the executor
 * broken. */
void executor_start_failed(struct executor_slot *slot, bool passes, uint64_t now_ns);
/* The next task has ended, by itself or with its child. `slot` and `seq` are filled in. */
void executor_finish(struct executor_slot *slot, struct outcome *outcome);
/* The child is one that ends tasks (executor_finish says so too). */
void executor_prove(struct executor_slot *slot);
/* The next task cannot be run, for these words. */
void executor_refuse(struct executor_slot *slot, enum result_status status, unsigned code,
                     const char *words, struct bytes command);
/* The slot's process has ended, and `holder` still has the output of the task that it is at. */
void executor_tell_held(const struct executor_slot *slot, struct output_holder holder);
/* A task was ok and took so long. */
void executor_note_time(struct executor *executor, uint64_t duration_ns);

/* ---- what a kind asks for ---- */

/* Watches `fd` for the slot, for these events of epoll; 0: no more. */
void executor_watch(struct executor_slot *slot, int fd, uint32_t events);
/* Writes what is in the outbox to `fd`, which does not block, and watches it for room if there is more, besides the
 * events `others`. Returns 0, or the errno if it is none that passes. */
int executor_send(struct executor_slot *slot, int fd, uint32_t others);
bool executor_is_sending(const struct executor_slot *slot); /* there is something in the outbox */
/* Empties the outbox, and gives large memory back. */
void executor_drop_outbox(struct executor_slot *slot);
/* Kills the child, unless that was done before. */
void executor_kill(struct executor_slot *slot, enum child_kill reason, uint64_t now_ns);
/* Nothing more comes of a child that has exited: its end, and the start of the next. */
void executor_reap(struct executor_slot *slot, uint64_t now_ns);
/* Fills in status, code and own_end as the child's end says. */
void executor_set_end(const struct executor_slot *slot, struct outcome *outcome);
/* The same of a child whose process was the task, with what was captured: ready for executor_finish. */
struct outcome executor_captured(struct executor_slot *slot);
/* The child was killed for a task that had ended by then: the one that it was at can run again. */
bool executor_is_overtaken(const struct executor_slot *slot);
/* Says in `why` how the child ended, which was `subject` and did so at the time `when`. */
void executor_say_end(struct executor_slot *slot, const char *subject, const char *when);

#endif
