/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RECALL_H
#define ZFARM_RECALL_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Tasks that a worker has not begun are taken back for one that idles. It owns the time of its next look and
 * struct recall_state of each session, and decides how many tasks are asked of which worker, by pace. dispatcher.c
 * calls it when all else is handed out, workers with the answers; it calls standing, reading, liveness. */

struct recall {
    uint64_t again_ns;
    uint64_t due_ns; /* a recall waits for that time; NEVER: none does */
};

void recall_ask(struct dispatcher *d, struct session *s, uint64_t tasks, uint64_t now_ns);
void recall_answered(struct session *s, uint64_t tasks, uint64_t now_ns);
/* It lives, and should have answered long ago. */
bool recall_is_overdue(const struct dispatcher *d, const struct session *s, uint64_t now_ns);
bool recall_may_ask(const struct session *s, uint64_t now_ns);
void recall_turn(struct dispatcher *d, uint64_t now_ns);

#endif
