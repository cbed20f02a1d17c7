/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SLOT_BATCH_H
#define ZFARM_SLOT_BATCH_H

#include "common/base/seqset.h"
#include "worker/exec/executor.h"

/* One slot's assignment and how far it has come. No child, no clock: each task ends here, in order,
 * in exactly one event. An event comes after the batch is as it should be, since the receiver
 * may give the next assignment from inside. Zero-initialised, with `slot` and `events` set, is
 * free. Read the fields, change them by the functions.
 *
 * Owns the tasks' state, not their records. Decides in which event each ends. executor.c and its kinds call it; it
 * calls the events of executor.h. */
struct slot_batch {
    unsigned slot;
    const struct executor_events *events;
    bool assigned; /* there are tasks that have not ended */
    struct assignment assignment;
    uint32_t given; /* of its tasks are with the child or have ended: the executor's to set */
    uint32_t done;  /* of them have ended */
    struct seqset cancelled; /* tasks of it that are to have no result */
};

void slot_batch_free(struct slot_batch *batch);
void slot_batch_assign(struct slot_batch *batch, const struct assignment *assignment);
/* The number of the first task that has not ended; one behind the last if all have. */
uint64_t slot_batch_next(const struct slot_batch *batch);
uint32_t slot_batch_left(const struct slot_batch *batch);   /* tasks that have not ended */
bool slot_batch_is_running(const struct slot_batch *batch); /* some of them are with the child */
/* The task `seq`, if it has not ended, will end in cancelled. Returns false if it is none of them.
 */
bool slot_batch_cancel(struct slot_batch *batch, uint64_t seq);
bool slot_batch_is_cancelled(const struct slot_batch *batch, uint64_t seq);
/* The next task has ended: finished with this outcome, whose slot and seq are filled in; or
 * cancelled, and then files in the outcome are closed. */
void slot_batch_finish(struct slot_batch *batch, struct outcome *outcome);
/* As many of the next tasks as `run` says have finished, and none of them is cancelled; run->slot and
 * run->first are filled in. */
void slot_batch_finish_run(struct slot_batch *batch, struct outcome_run *run);
/* All that have not ended are returned, or cancelled. */
void slot_batch_return(struct slot_batch *batch);
/* The same for those behind `last`, which is one of them. The others go on. */
void slot_batch_return_behind(struct slot_batch *batch, uint64_t last);

#endif
