/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ISOLATE_H
#define ZFARM_ISOLATE_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Tasks with a loss: each runs alone on a worker. It owns struct isolation of each session, and decides which
 * worker is kept free for the next such task. dispatcher.c calls it first of all that hands out; it calls
 * schedule, recall. */

void isolate_turn(struct dispatcher *d, uint64_t now_ns);

#endif
