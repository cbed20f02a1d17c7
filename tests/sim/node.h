/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_NODE_H
#define ZFARM_SIM_NODE_H

#include "common/base/block.h"
#include "tests/sim/sim.h"

/* A place where a process runs: it can be started, frozen, thawed, killed and started again. What
 * reaches it waits in its inbox until its next turn, as in the poll loops of the real programs. */
enum cable_kind { CABLE_CONTROL, CABLE_LANE, CABLE_RESULTS, CABLE_KINDS };

/* A node's way to one of a server's ports, whatever connection uses it. */
struct way {
    uint64_t
        stalled_until_ns[2]; /* towards the node that connects, and away from it; NEVER: for ever */
    size_t large_max; /* a message that is larger stalls what follows it, too; 0: none does */
    uint64_t large_until_ns;
};

enum role { ROLE_NODE_VENTILATOR, ROLE_NODE_SINK, ROLE_NODE_WORKER };

enum news_kind { NEWS_ACCEPTED, NEWS_UP, NEWS_CLOSED, NEWS_OPENED, NEWS_MESSAGE };

struct news {
    enum news_kind kind;
    struct cable *cable;
    struct block *block; /* of a message */
};

struct node_class {
    void (*start)(struct node *node);
    void (*turn)(struct node *node);
    void (*stop)(struct node *node); /* the process is gone: frees the core */
};

struct node {
    struct sim *sim;
    const struct node_class *class;
    enum role role;
    char name[12];
    unsigned index;    /* of a worker */
    unsigned slowness; /* a task takes so many times its duration there */
    bool up;
    bool frozen;
    bool exited; /* by its own will; then with this status */
    int status;
    uint64_t life; /* which process it is; 0: none yet */
    uint64_t wake_ns;
    uint64_t frozen_until_ns;
    uint64_t dark_until_ns;       /* nothing gets in or out */
    uint64_t no_results_until_ns; /* cannot make a connection to the sink before */
    struct way ways[CABLE_KINDS];
    unsigned connections[CABLE_KINDS]; /* that it has made, in all its lives */
    uint64_t errs_until_ns;            /* it is a worker that errs, in this way (err.h) */
    unsigned err;
    uint64_t runs;          /* that it has begun; of a worker */
    uint64_t idle_runs;     /* how many these were when it began to idle */
    uint64_t idle_since_ns; /* with work elsewhere; 0: it does not */
    uint64_t killed_ns;     /* when it was, while all was calm */
    uint64_t reported_ns;   /* when it last told what became of its tasks */
    uint64_t leak;          /* a result that it should be freed of */
    uint64_t leak_since_ns;
    struct news *inbox;
    size_t inbox_count;
    size_t inbox_capacity;
};

struct node *ventilator_node_new(struct sim *sim);
struct node *sink_node_new(struct sim *sim);
struct node *worker_node_new(struct sim *sim, unsigned index, unsigned slots);
void node_free(struct node *node);

void node_start(struct node *node);
/* Ends the process. `silent`: as if the machine had lost its power, nobody is told. */
void node_kill(struct node *node, bool silent);
void node_exit(struct node *node, int status);
void node_freeze(struct node *node, uint64_t for_ns);
void node_darken(struct node *node, uint64_t for_ns);
void node_thaw(struct node *node); /* ends freezing and darkness */

/* Has its turn at `at_ns` at the latest. */
void node_wake(struct node *node, uint64_t at_ns);
void node_tell(struct node *node, struct news news);

/* The roles' own: */
void ventilator_node_stop_job(struct node *node);
void sink_node_stop_job(struct node *node);
void sink_node_free_disk(struct node *node);
/* The power was lost: with it, of what was committed since it was started, the last `count` results. */
void sink_node_forget(struct node *node, size_t count);
void worker_node_drain(struct node *node);
void worker_node_preempt(struct node *node);
void worker_node_abort(struct node *node); /* and kill what runs */
void worker_node_break(struct node *node); /* its executor cannot start anything any more */
/* What it runs when it is killed must be suspected. */
void worker_node_note_death(struct node *node);
struct seqset *worker_node_had(struct node *node); /* tasks that were sent to the process */
/* Whether it has a slot that idles, is willing and gets nothing; how many tasks it has not begun.
 */
bool worker_node_idles(struct node *node, uint64_t *unstarted);
void worker_node_check(struct node *node);
/* The lowest task of which it keeps a result although that is stored; 0: none. */
uint64_t worker_node_leak(struct node *node);
/* Whether tasks could be handed out and are not. */
bool ventilator_node_has_tasks(struct node *node);
/* Somebody is to have a worker of its own: others may wait. */
uint64_t ventilator_node_has_read(struct node *node); /* the number of the last task */
bool ventilator_node_holds_back(struct node *node);
void ventilator_node_check(struct node *node);
void sink_node_check_end(struct node *node);

#endif
