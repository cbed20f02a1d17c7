/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_SIM_H
#define ZFARM_SIM_SIM_H

#include "common/base/clock.h"
#include "tests/sim/agenda.h"
#include "tests/sim/model.h"
#include "tests/sim/plan.h"
#include "tests/sim/rng.h"
#include "tests/sim/tap.h"

/* One run of a whole farm: the real cores under a clock, a network and a fate that are made up. */
enum { SIM_MORE_WORKERS_MAX = 28 }; /* that come later, as a fault */

struct node;
struct cable;
struct supervision;

struct sim {
    uint64_t seed;
    bool traced;
    bool measured; /* nobody asks WHY, and the ventilator's time is taken */
    uint64_t began_ns;
    uint64_t now_ns;
    struct agenda agenda;
    struct rng network; /* delays, and what of a broken connection still gets through */
    struct rng fate;    /* when processes get their turns, and what goes wrong */
    struct plan plan;
    struct model model;
    struct tap tap;
    struct node *ventilator;
    struct node *sink;
    struct node **workers; /* also those that come later, as a fault */
    unsigned worker_count;
    unsigned worker_max;
    struct supervision *supervision; /* NULL: all three are started by hand */
    struct cable **cables;
    size_t cable_count;
    size_t cable_capacity;
    uint64_t last_id;       /* of connections and processes */
    uint64_t healed_ns;     /* from when on nothing goes wrong any more; 0: not yet */
    uint64_t disturbed_ns;  /* when something last was wrong */
    uint64_t late_ns;       /* until when answers of the ventilator may have come late */
    uint64_t slow_until_ns; /* the network is */
    uint64_t due_ns;        /* by when the job must have ended; 0: by the limit for all runs */
    bool interrupted;       /* or halted, or ended for what the store has lost */
    bool store_forgot;      /* its last commits are lost with the power */
    bool store_noticed;     /* and the ventilator has ended the job for it */
    bool halted;            /* by plan.halt */
    int halted_status; /* which is then the job's, unless the sink dies before it has told it */
    uint64_t events;
    uint64_t digest;       /* of all that was decided (digest.h) */
    uint64_t run_ended_ns; /* the last run of a task has */
    uint64_t ventilator_cpu_ns;
    char violation[512]; /* the first; empty if there is none */
};

struct sim_report {
    char violation[512]; /* empty: all is well */
    uint64_t tasks;
    uint64_t lost;
    uint64_t innocent; /* lost, though they kill nobody */
    uint64_t events;
    uint64_t digest; /* digest.h */
    double simulated_s;
    uint64_t makespan_ns;       /* in peace: from when the input comes to the end of the last run */
    uint64_t ventilator_cpu_ns; /* what its core has used, since the input came */
};

/* Runs the seed; `traced` prints what happens. */
void sim_run(uint64_t seed, bool traced, struct sim_report *report);

void sim_run_peace(const struct plan_peace *peace, bool traced, struct sim_report *report);

void sim_at(struct sim *sim, uint64_t delay_ns, agenda_function *run, void *context,
            uint64_t argument);
void sim_violation(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `who` may be NULL. */
void sim_trace(const struct sim *sim, const struct node *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something is wrong until so much later: no judging of who idles. */
void sim_disturb(struct sim *sim, uint64_t for_ns);
/* Answers of the ventilator may come late until then. */
void sim_slows(struct sim *sim, uint64_t for_ns);
/* Somebody waits for its answers, is not told that there will be none, and judges that by how late they came. */
void sim_falls_silent(struct sim *sim);
/* With the others' slots the job must be through so soon. */
void sim_stalls(struct sim *sim, const struct node *worker, bool only_large);
/* Nothing has been wrong for longer than it takes to get over it. */
bool sim_is_calm(const struct sim *sim);
/* A worker process more; NULL if there are too many. */
struct node *sim_add_worker(struct sim *sim, unsigned slots);

#endif
