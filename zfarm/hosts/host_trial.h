/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HOST_TRIAL_H
#define ZFARM_HOST_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "zfarm/hosts/host_runner.h"

/* Whether a worker on a host is still to be hoped for, and when the next try is made: judged by how the
 * tries end. No I/O; times are monotonic nanoseconds. A host is lost
 *
 *     when its worker could not work, because its COMMAND is not there, say
 *     when two tries in a row could not log in, for a reason that does not pass
 *     when it has had no worker for --give-up; a try that has logged in may go on
 *
 * A lost host is tried all the same as long as others work. Zero-initialised is a host that nobody has
 * tried; embed it by value. */
struct host_trial {
    uint64_t missing_ns; /* since when there is no worker; NEVER: there is one */
    uint64_t delay_ns;   /* before the last try */
    unsigned barred;     /* tries in a row that could not log in for good */
    bool refused;        /* by its worker */
    bool reached;        /* this try has logged in */
    bool runs;
    struct why why; /* the last one that failed; empty: nothing to say */
    uint64_t said_ns;
    unsigned unsaid; /* how often the same came again after it was said */
};

/* It is wanted, for the first time or again. */
void host_trial_begin(struct host_trial *t, uint64_t now_ns);
void host_trial_started(struct host_trial *t);
void host_trial_reached(struct host_trial *t);
void host_trial_ready(struct host_trial *t); /* its worker works */
/* The try is over. Returns after how long the next one is due. `why`: what the runner said, or "". */
uint64_t host_trial_failed(struct host_trial *t, enum host_runner_status status, const char *why,
                           uint64_t give_up_ns, uint64_t now_ns);
/* Whether to tell users why: a reason that they know is told again after a minute. */
bool host_trial_says(struct host_trial *t, uint64_t now_ns);

bool host_trial_is_lost(const struct host_trial *t, uint64_t give_up_ns, uint64_t now_ns);
/* When it is lost at the latest if nothing happens; NEVER: that is decided by an event. */
uint64_t host_trial_deadline(const struct host_trial *t, uint64_t give_up_ns);

#endif
