/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ENDING_H
#define ZFARM_ENDING_H

#include "sink/core/collector.h"
#include "sink/core/halting.h"
#include "sink/core/uplink.h"

/* The end of the job, as the sink goes through it:
 *
 *     OPEN --DONE--> WANTED --all of it stored--> FLUSHING --the output is whole--> CLOSED
 *
 * Owns: what of DONE is still to be stored, how the job of a store ended before. Decides: when the job is whole, its
 * exit status, when the sink leaves without BYE. Called by: collector.c, inbox.c. Calls: uplink.h, halting.h. */
enum ending_phase { ENDING_OPEN, ENDING_WANTED, ENDING_FLUSHING, ENDING_CLOSED };

/* Zero-initialised is OPEN; embed it by value. */
struct ending {
    enum ending_phase phase;
    uint64_t total; /* of DONE */
    struct seqset
        not_run; /* of DONE, inside 1..total; from FLUSHING on without those that have a result */
    struct seqset missing; /* what is still to be stored */
    uint64_t closed_ns;    /* since when CLOSED */
    bool is_interrupted;   /* an early end is wanted */
    bool was_closed;       /* in an earlier life, until a ventilator opens the job again */
    unsigned lacking;      /* DONEs in a row that named what never came */
};

void ending_free(struct ending *e);
/* How the job of a store ended: should no ventilator go on with it, that is how it still ends. */
void ending_remember(struct ending *e, const struct collector_past *past);
/* A ventilator goes on with it. */
void ending_forget(struct ending *e);
void ending_want(struct ending *e, const struct done *done, const struct seqset *stored);
/* A new ventilator decides anew what the job is. */
void ending_reopen(struct ending *e);
/* WANTED, and nothing is missing any more. */
bool ending_complete(struct ending *e, const struct seqset *stored);
/* Some of what is missing was not even accepted. */
bool ending_lacks(const struct ending *e, const struct seqset *accepted);
/* Nothing is accepted any more. `is_cut`: the input was not read to its end, and the ventilator may have
 * stopped while it read it again: then it does not know of all that is here, which raises the total. */
void ending_flush(struct ending *e, const struct seqset *accepted, bool is_cut);

/* Whether each task of the job is known to be ok, failed, lost or not run. */
bool ending_adds_up(const struct ending *e, const struct job_counts *counts);

/* The status to exit with: what halting.h says; 255, and why, if the job was interrupted or the counts
 * do not add up. */
int ending_status(const struct ending *e, const struct job_counts *counts,
                  const struct halting *halting, struct why *why);
/* Says CLOSED. */
void ending_say_closed(const struct ending *e, const struct job_counts *counts,
                       const struct halting *halting, struct uplink *uplink);
/* EXIT with that status; `is_told`: what interrupted the job has told users of it. */
void ending_exit(const struct ending *e, const struct job_counts *counts,
                 const struct halting *halting, bool is_told, struct uplink *uplink);
/* When the sink goes although the ventilator has not said BYE; NEVER before CLOSED. */
uint64_t ending_leave_ns(const struct ending *e, const struct membership *m);

#endif
