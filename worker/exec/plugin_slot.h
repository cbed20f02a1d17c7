/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_SLOT_H
#define ZFARM_PLUGIN_SLOT_H

#include "worker/exec/slot_batch.h"
#include "worker/exec/plugin_child.h"
#include "worker/exec/time_limit.h"

struct environment;

/* Design notes.
 *
 * A slot's child and a slot's assignment have lives of their own. start only stores the assignment;
 * it is sent once the child waits for one. The last result may be taken from the area before the
 * child's DONE has come, and then the next assignment waits for that; and one that is not sent yet
 * outlives a child that dies.
 *
 * Results lie in the area until the child has something to say, usually DONE. So that those before
 * a long task do not wait for it, a slot with a batch is looked at every LOOK_EVERY_MS; a batch is
 * meant to be a millisecond of work, so most are never looked at. What stands behind a task that
 * has run for so long is taken back, since another slot or worker may be free for it. */

/* What the slots of one plugin executor share. Filled in by plugin.c. */
struct plugin_shared {
    struct executor_options options;
    struct executor_events events;
    struct children children;
    struct capture_limits limits;
    struct time_limit limit;
    uint64_t patience_ns;            /* plugin.h */
    int epoll;                       /* its data are the slots */
    const char *program;             /* of a child */
    char **argv;                     /* plugin_host.h; the slot's number is filled in here */
    struct environment *environment; /* worker/exec/environment.h */
    bool broken;                     /* that event was called */
};

enum plugin_slot_state {
    SLOT_DOWN,     /* no child; one is to be started at look_ns */
    SLOT_STARTING, /* not ready yet */
    SLOT_IDLE,     /* ready, and waiting for a batch */
    SLOT_BUSY,     /* has a batch, and has not said DONE */
    SLOT_KILLED,   /* was killed and is to be reaped */
    SLOT_BROKEN    /* given up */
};

enum plugin_kill { KILL_NONE, KILL_TIMEOUT, KILL_CANCEL, KILL_NONSENSE };

/* One slot: a child after the other, and an assignment after the other. Private but for `state`,
 * `look_ns`, `child` and `why`. Nothing blocks. */
struct plugin_slot {
    enum plugin_slot_state state;
    uint64_t look_ns; /* when plugin_slot_turn is due, or NEVER */
    struct plugin_child child;
    struct slot_batch batch;
    uint64_t wants;          /* enum result_want: what the child puts into results */
    uint64_t wall_offset_us; /* from the monotonic clock to the time since 1970 */
    enum plugin_kill killed;
    uint64_t killed_for; /* the task that the reason is about */
    unsigned failures;   /* deaths in a row of a child that had not ended a task */
    bool ended_any;      /* this child has ended a task */
    bool short_of;       /* something that it needs to be started, and that others have now */
    uint64_t
        put_off_for; /* the task that it was at when it was held last, and for how long in all */
    uint64_t put_off_ns;
    bool stopped;   /* what stands behind the task it was at was taken back */
    struct why why; /* what the last failure was */
};

/* `number` is from 0. `shared` must outlive the slot, which must not move. */
void plugin_slot_init(struct plugin_shared *shared, struct plugin_slot *slot, unsigned number);
void plugin_slot_free(struct plugin_slot *slot); /* kills; the process remains to be reaped */
/* The slot must be down. When that fails it is tried again: as if the child had died, or when others may have
 * ended, if it is short of something. */
void plugin_slot_start_child(struct plugin_shared *shared, struct plugin_slot *slot,
                             uint64_t now_ns);
/* Takes one report of the child. False when there is none. */
bool plugin_slot_hear(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns);
/* Sends on what did not fit into the link before. */
void plugin_slot_flush(struct plugin_shared *shared, struct plugin_slot *slot);
/* Does what is due. */
void plugin_slot_turn(struct plugin_shared *shared, struct plugin_slot *slot, uint64_t now_ns);
/* The child was held from `held_ns` until now: that does not count for the task that it is at. */
void plugin_slot_put_off(struct plugin_slot *slot, uint64_t held_ns, uint64_t now_ns);
/* The child was reaped: sorts out what it has done, and starts the next. */
void plugin_slot_exited(struct plugin_shared *shared, struct plugin_slot *slot, int status,
                        uint64_t now_ns);
/* These are start, cancel and running of executor.h. */
void plugin_slot_assign(struct plugin_shared *shared, struct plugin_slot *slot,
                        const struct assignment *assignment, uint64_t now_ns);
void plugin_slot_cancel(struct plugin_slot *slot, uint64_t seq, uint64_t now_ns);
uint64_t plugin_slot_running(const struct plugin_slot *slot, uint64_t *since_ns);

#endif
