/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHAOS_PLAN_H
#define ZFARM_CHAOS_PLAN_H

#include "tests/chaos/farm.h"

/* What is done to a farm in one run: blows, in order. The seed decides. */
struct blow {
    enum role role;
    uint64_t at_ran;    /* when so many tasks have run, */
    uint64_t after_ns;  /* or so long after the blow before it, if that is not 0 */
    uint64_t freeze_ns; /* 0: it is killed */
    bool with_children; /* they freeze, too */
    uint64_t struck_ns; /* when it was done; 0: not yet */
    pid_t pid;          /* who it was */
    bool over;          /* who was frozen goes on */
};

enum { BLOWS_MAX = 8 };

struct plan {
    struct blow blows[BLOWS_MAX];
    size_t count;
    bool keep_order;
    uint64_t chance; /* for whatever else wants some */
};

/* One to three kills of anybody. Nobody is killed when more than 97 of 100 tasks have run. */
void plan_kills(struct plan *plan, uint64_t seed, uint64_t tasks);
/* The sink at about a third, the ventilator at about two thirds. */
void plan_restarts(struct plan *plan, uint64_t seed, uint64_t tasks);
/* One freeze of `role`, so early that the job is not over before it ends. */
void plan_freeze(struct plan *plan, uint64_t seed, uint64_t tasks, enum role role,
                 uint64_t freeze_ns);

#endif
