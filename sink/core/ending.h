/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ENDING_H
#define ZFARM_ENDING_H

#include "sink/core/collector.h"
#include "sink/core/halting.h"

/* The end of the job, as the sink goes through it:
 *
 *     OPEN --DONE--> WANTED --all of it stored--> FLUSHING --the output is whole--> CLOSED
 */
enum ending_phase { ENDING_OPEN, ENDING_WANTED, ENDING_FLUSHING, ENDING_CLOSED };

/* Zero-initialised is OPEN; embed it by value. */
struct ending {
    enum ending_phase phase;
    uint64_t total; /* of DONE */
    struct seqset
        not_run; /* of DONE, inside 1..total; from FLUSHING on without those that have a result */
    struct seqset missing; /* what is still to be stored */
    uint64_t closed_ns;    /* since when CLOSED */
};

void ending_free(struct ending *e);
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
bool ending_adds_up(const struct ending *e, const struct collector_counts *counts);

/* The status to exit with: what halting.h says; 255, and why, if the job was interrupted or the counts
 * do not add up. */
int ending_status(const struct ending *e, const struct collector_counts *counts,
                  const struct halting *halting, bool interrupted, struct why *why);

#endif
