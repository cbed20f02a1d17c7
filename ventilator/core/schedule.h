/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SCHEDULE_H
#define ZFARM_SCHEDULE_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Which task goes to which session, in which batch. It owns the batch that is being built, and decides who gets
 * how many of the queue, by the rankings of standing. dispatcher.c calls it in each turn and with new tasks,
 * isolate and hedge with one task; it calls transfer, standing, pending. */

/* Sends it this task and nothing else; it must not be getting another one in pieces. */
void schedule_one(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t flags,
                  uint64_t now_ns);
void schedule_turn(struct dispatcher *d, uint64_t now_ns); /* the queue */
struct session *schedule_pick_for_input(struct dispatcher *d);
/* Numbers the tasks in the batch, notes them in the ledger and sends them to the session. */
void schedule_new_tasks(struct dispatcher *d, struct session *s, size_t tasks, uint64_t now_ns);

#endif
