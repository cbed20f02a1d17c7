/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SCHEDULE_H
#define ZFARM_SCHEDULE_H

#include "ventilator/core/ledger.h"
#include "ventilator/core/ranking.h"

struct dispatcher;

/* Who gets which task. It owns the queue and the rankings of those who take tasks, and decides to whom the next batch
 * goes. dispatcher.c calls it in each turn and with new tasks; each file that changes what a session has calls
 * schedule_note; it calls transfer, recall, hedge, charges. */

struct schedule {
    struct ranking takers[RANKINGS];
    double takers_rate;    /* tasks per ns of those who take what is queued, together */
    struct pace slot_pace; /* of a slot, over all workers */
    size_t succeeding;     /* workers whose last task did not fail */
    size_t giving;         /* workers that have tasks that they have not begun */
    size_t wanting;        /* workers that have a slot that idles, and take tasks */
    bool keeps_free;       /* a worker is `reserved` */
    uint64_t handed_at_ns; /* tasks were handed out; 0: never */
};

/* To be called whenever something has changed of what the session has, what it may be given, or what it
 * has done: from that the dispatcher's rankings and sums are kept. */
void schedule_note(struct dispatcher *d, struct session *s);
void schedule_note_end(struct dispatcher *d, struct session *s); /* it is over */
/* How many tasks it may get now: such as were handed out before, or new ones. */
uint64_t schedule_room(const struct dispatcher *d, const struct session *s, enum ranking_kind kind);
double schedule_rate(const struct dispatcher *d,
                     const struct session *s); /* tasks per ns, as far as known */
/* Puts a task that nobody has where it belongs: queue, `isolated` or `loss_pending`; what is delayed stays so. */
void schedule_queue(struct dispatcher *d, const struct story *story);
void schedule_unqueue(struct dispatcher *d, uint64_t first, uint64_t last);
/* Takes the task away from the session; queued again if nobody else has it. Returns its story. */
struct story *schedule_take_back(struct dispatcher *d, struct session *s, uint64_t seq);
/* It failed there: one more in a row, if it failed nowhere else before. */
void schedule_count_fail(const struct dispatcher *d, struct session *s, uint64_t seq);
/* A try of it failed there, and was not the last. */
void schedule_failed(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns);
/* Rank of the session's worker among the last failures of the task: 0 never failed there, higher is more recent. */
size_t schedule_failed_lately(const struct story *story, const struct session *s);
uint64_t
schedule_waiting(const struct dispatcher *d); /* tasks that no worker has and one will get */
/* Sends it this task and nothing else; it must not be getting another one in pieces. */
void schedule_one(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t flags,
                  uint64_t now_ns);
void schedule_turn(struct dispatcher *d, uint64_t now_ns);
struct session *schedule_pick_for_input(struct dispatcher *d);
/* Numbers the tasks in d->room, notes them in the ledger and sends them to the session. */
void schedule_new_tasks(struct dispatcher *d, struct session *s, size_t tasks, uint64_t now_ns);

#endif
