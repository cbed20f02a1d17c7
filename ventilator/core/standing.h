/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STANDING_H
#define ZFARM_STANDING_H

#include "ventilator/core/ranking.h"

struct dispatcher;

/* Which sessions take tasks, and which is the next. It owns struct standing of each session, the rankings and the
 * sums. Each file that changes what a session has calls standing_note; it calls ranking. */

struct standings {
    struct ranking takers[RANKINGS];
    double takers_rate;    /* tasks per ns of those who take what is queued, together */
    struct pace slot_pace; /* of a slot, over all workers */
    size_t succeeding;     /* workers whose last task did not fail */
    size_t victims;        /* workers that have tasks that they have not begun */
    size_t idle;           /* workers that have a slot that idles, and take tasks */
};

/* Both connections are there, and nothing forbids to hand it a task. */
bool standing_is_open(const struct session *s);
/* How many tasks it may get now: such as were handed out before, or new ones. */
uint64_t standing_room(const struct dispatcher *d, const struct session *s, enum ranking_kind kind);
/* Tasks per ns, as far as known. */
double standing_rate(const struct dispatcher *d, const struct session *s);
/* To be called whenever something has changed of what the session has, what it may be given, or what it
 * has done: from that the rankings and sums are kept. */
void standing_note(struct dispatcher *d, struct session *s);
void standing_note_end(struct dispatcher *d, struct session *s); /* it is over */

#endif
