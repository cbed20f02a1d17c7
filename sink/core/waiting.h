/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WAITING_H
#define ZFARM_WAITING_H

#include "sink/core/ending.h"
#include "sink/core/intake.h"
#include "common/member/member.h"

/* What the sink waits for, as a sentence for the stall line.
 * Owns: nothing; it only looks. Decides: which of several reasons is told: what keeps results from being taken, before
 * what keeps the job from its end, before who is not there. Called by: collector.c. Calls: nothing. */
struct waiting {
    const char *connect; /* the ventilator's endpoint; or NULL */
    const struct member *member;
    const struct intake *intake;
    const struct ending *ending;
    const struct status *status; /* as the ventilator told it */
    bool order_full;
};

/* False: nothing is wrong, tasks run. */
bool waiting_for(const struct waiting *w, uint64_t now_ns, struct why *why);

#endif
