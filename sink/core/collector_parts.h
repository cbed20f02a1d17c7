/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COLLECTOR_PARTS_H
#define ZFARM_COLLECTOR_PARTS_H

#include "sink/core/backpressure.h"
#include "sink/core/ending.h"
#include "sink/core/halting.h"
#include "sink/core/inbox.h"
#include "sink/core/intake.h"
#include "sink/core/notes.h"
#include "sink/core/uplink.h"

/* The inside of the collector: its parts, each with a header that says what it owns, and what is of the whole.
 * collector.c puts them together and has the turn; no part includes this. Tests look into it.
 *
 *     uplink        membership, outgoing      the control connection, and what is said on it
 *     intake        senders, handed, marks    which results count, which are stored
 *     halting                                 whether the job ends early
 *     ending                                  DONE to CLOSED, the exit status
 *     backpressure                            what holds up the results
 *     notes                                   what the ventilator is told of all that
 *     inbox                                   what the ventilator says, for all of these
 */
struct collector {
    struct collector_options options;
    struct job_counts counts;
    struct uplink uplink;
    struct intake intake;
    struct halting halting;
    struct ending ending;
    struct backpressure backpressure;
    struct notes notes;
    struct inbox inbox;
    uint64_t opening;    /* of the store; 0: there is none */
    uint64_t retried_ns; /* when intake_retry was last called */
    uint64_t due_ns;     /* what collector_deadline was at the end of the last turn */
    uint64_t moved_ns;
};

#endif
