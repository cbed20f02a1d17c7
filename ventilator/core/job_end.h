/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_JOB_END_H
#define ZFARM_JOB_END_H

#include "ventilator/core/dispatcher.h"

struct dispatcher;

/* How the job ends: stopped, complete (DONE), closed, left (STOP, EXIT). It owns struct job_end, and decides when
 * the job is over and with which status. sink_session and halt_order call it with what the sink says, dispatcher.c
 * in each turn; it calls verdicts, status, session_end. */

struct job_end {
    bool stopping;
    bool failed;         /* the job ends with 255 */
    uint64_t no_room_ns; /* since when the sink has no room, or since we are to stop */
    struct why stop_why;
    struct halt halt; /* when is HALT_NEVER: not that way */
    bool done_sent;
    bool
        settled; /* DONE has said what is not run: that is final, whichever worker comes back with it */
    bool closed;     /* CLOSED came: only goodbyes are left */
    bool stops_sent; /* to the workers */
    bool exited;
    struct closed counts;
    uint64_t leave_by_ns;
};

bool job_end_is_over(const struct dispatcher *d); /* nothing more is handed out */
/* Nothing more is read or handed out; what runs may end. */
void job_end_begin(struct dispatcher *d, uint64_t now_ns);
void job_end_closed(struct dispatcher *d, struct bytes body, uint64_t now_ns);
void job_end_turn(struct dispatcher *d, uint64_t now_ns);

#endif
