/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHAOS_RUN_H
#define ZFARM_CHAOS_RUN_H

#include "tests/chaos/plan.h"

/* One run of a farm, from its start to the audit. */
struct run_options {
    struct farm_options farm;
    uint64_t tasks;
    uint64_t limit_ns; /* after which it hangs */
};

enum { WORDS_MAX = 4096 };

struct report {
    bool complete;         /* nothing of what follows was found */
    char words[WORDS_MAX]; /* a finding a line */
    double seconds;
    uint64_t effects;
    uint64_t doomed_again; /* stored tasks that ran again because two died at the same time */
    uint64_t
        elsewhere_ns; /* a killed or frozen worker's tasks began elsewhere after; 0: not measured */
    bool hung;
    bool late; /* a worker was started again when the job was over, and was told to end */
};

/* Runs the plan in the current directory, which is empty but for the file `tasks`. */
void run_plan(const struct run_options *options, struct plan *plan, struct report *report);

#endif
