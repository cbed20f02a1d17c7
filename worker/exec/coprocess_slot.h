/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COPROCESS_SLOT_H
#define ZFARM_COPROCESS_SLOT_H

#include "common/base/error.h"
#include "worker/exec/child.h"
#include "worker/exec/slot_batch.h"
#include "worker/exec/time_limit.h"

struct environment;

/* What the slots of one coprocess executor share. Filled in by coprocess.c. */
struct coprocess_shared {
    struct executor_options options;
    struct executor_events events;
    struct children children;
    struct capture_limits limits;
    struct time_limit limit;
    uint64_t patience_ns; /* coprocess.h */
    int epoll;            /* its data are the slots */
    const char *path;     /* of COMMAND */
    char *const *argv;
    struct environment *environment; /* environment.h */
    uint8_t end;                     /* what ends a line */
    uint8_t *chunk;                  /* COPROCESS_CHUNK bytes: what one read takes */
    bool broken;                     /* that event was called */
    bool answered_ever;              /* a child of any slot has */
};

enum { COPROCESS_CHUNK = 1 << 16, COPROCESS_BATCH_MAX = 4096 };

enum coprocess_state {
    COPROCESS_DOWN,    /* no child; one is to be started at look_ns */
    COPROCESS_UP,      /* idle, or at a task */
    COPROCESS_KILLED,  /* to be reaped */
    COPROCESS_LINGERS, /* was reaped, and others still hold its output: they may answer */
    COPROCESS_BROKEN   /* given up */
};

enum coprocess_kill {
    COPROCESS_NOT_KILLED,
    COPROCESS_TIMEOUT,
    COPROCESS_CANCEL,
    COPROCESS_TOO_LARGE,
    COPROCESS_CLOSED, /* it closed its output */
    COPROCESS_UNASKED /* it wrote a line that nobody asked for */
};

/* One slot: a child after the other, and an assignment after the other. Private but for `state`,
 * `look_ns` and `process`. */
struct coprocess_slot {
    enum coprocess_state state;
    uint64_t look_ns; /* when coprocess_slot_turn is due, or NEVER */
    struct child process;
    int in, out;        /* our ends of its pipes; -1: none */
    bool waits;         /* for room in its input */
    bool short_of;      /* something that it needs to be started, and that others have now */
    bool wrote;         /* it has got something of the tasks that it has */
    uint64_t closed_ns; /* when it closed its input or output: as a rule it is ending; NEVER */
    struct slot_batch batch;
    uint32_t given;    /* tasks of the batch whose lines were made */
    struct bytes rest; /* the records of the others */
    struct buf lines;  /* made, and from `lines_at` on not written */
    size_t lines_at;
    struct capture answer; /* the beginning of one that has not ended */
    uint64_t since_ns;     /* when it began with the task that it is at */
    uint64_t mean_ns;      /* what a task took, of late */
    enum coprocess_kill killed;
    uint64_t killed_for; /* the task that the reason is about */
    int status;          /* of the child that was reaped */
    uint64_t until_ns;   /* when its linger ends */
    bool answered;       /* this child, a task */
    bool hinted;         /* users were told why there may be no answer */
    unsigned failures;   /* deaths in a row of children that had not answered */
    struct why why;      /* what the last failure was */
};

/* `number` is from 0. `shared` must outlive the slot, which must not move. */
void coprocess_slot_init(struct coprocess_shared *shared, struct coprocess_slot *slot,
                         unsigned number);
void coprocess_slot_free(struct coprocess_slot *slot); /* kills; the process remains to be reaped */
/* The slot must be down. When that fails it is tried again as if the child had died. */
void coprocess_slot_start_child(struct coprocess_shared *shared, struct coprocess_slot *slot,
                                uint64_t now_ns);
/* The child can be written to or read from, or one of its ends is closed. */
void coprocess_slot_serve(struct coprocess_shared *shared, struct coprocess_slot *slot,
                          uint64_t now_ns);
/* Does what is due. */
void coprocess_slot_turn(struct coprocess_shared *shared, struct coprocess_slot *slot,
                         uint64_t now_ns);
/* The child was reaped: sorts out what it has done, and starts the next. */
void coprocess_slot_exited(struct coprocess_shared *shared, struct coprocess_slot *slot, int status,
                           uint64_t now_ns);
/* The child was held from `held_ns` until now: that does not count for the task that it is at. */
void coprocess_slot_put_off(struct coprocess_slot *slot, uint64_t held_ns, uint64_t now_ns);
/* Closes the input of the child, which ends by itself if it is idle. */
void coprocess_slot_hang_up(struct coprocess_slot *slot);
/* These are start, cancel and running of executor.h. */
void coprocess_slot_assign(struct coprocess_shared *shared, struct coprocess_slot *slot,
                           const struct assignment *assignment, uint64_t now_ns);
void coprocess_slot_cancel(struct coprocess_slot *slot, uint64_t seq, uint64_t now_ns);
uint64_t coprocess_slot_running(const struct coprocess_slot *slot, uint64_t *since_ns);

#endif
