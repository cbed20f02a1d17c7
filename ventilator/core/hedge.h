/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HEDGE_H
#define ZFARM_HEDGE_H

#include "ventilator/core/session.h"

struct dispatcher;

/* --hedge: the tasks that have run longest are run a second time elsewhere. It owns the time of its next look, and
 * decides from what heartbeats name as running. dispatcher.c calls it when all else is handed out; it calls
 * schedule. */

void hedge_turn(struct dispatcher *d, uint64_t now_ns);

#endif
