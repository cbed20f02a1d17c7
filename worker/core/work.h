/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORK_H
#define ZFARM_WORK_H

#include "worker/core/slots.h"

/* Tasks to slots, and what becomes of a task's end: a result, a failed try, an interruption, nothing.
 * It owns what the slots are at (running.h) together with the backlog, and decides which task begins where. The turn,
 * the inboxes and the executor's events call it. It calls the parts of which a task's end is told: results, report,
 * interruptions, halt_pause, start_limit. */

bool work_may_start(const struct slots *s);
void work_start(struct slots *s, uint64_t now_ns);
/* Ends that wait to be judged are, if it is time; in a worker that is told to leave, all: they were interrupted. */
void work_judge(struct slots *s, uint64_t now_ns);

void work_cancel(struct slots *s, unsigned slot, uint64_t seq); /* what running_unwant has marked */
void work_cancel_range(struct slots *s, uint64_t first, uint64_t last);
/* Kills what runs, for --grace: it is given back when it has left its slot. */
void work_evict(struct slots *s);
/* The results are another job's, or nobody's: kills what runs and drops what is kept. */
void work_forget(struct slots *s);

#endif
