/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HALT_ORDER_H
#define ZFARM_HALT_ORDER_H

#include "common/wire/wire.h"

struct dispatcher;

/* The job ends early, since the sink has seen enough (docs/protocol.md, 9). It decides what is cancelled by the
 * order to halt. sink_session calls it with HALT and when a sink has joined; it calls job_end, pending. */

void halt_order_take(struct dispatcher *d, struct bytes body, uint64_t now_ns); /* HALT */
void halt_order_tell(
    struct dispatcher *d); /* a sink that has just joined, if that was decided before */

#endif
