/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTBOXES_H
#define ZFARM_OUTBOXES_H

#include "common/base/block.h"
#include "ventilator/core/index.h"

/* What waits to be sent to the peers of a ROUTER: an outbox for each to whom something waits, and one bound
 * for all of them together, because strangers are peers as well. When more waits than may, the one
 * who reads least is given up. Embed it by value. */
struct outboxes {
    void *router;
    size_t size_max_bytes;
    size_t size_bytes; /* with what each message costs besides its bytes */
    struct index by_peer;
};

void outboxes_init(struct outboxes *o, void *router, size_t size_max_bytes);
void outboxes_free(struct outboxes *o);

/* Queues *message for the peer and takes over the caller's hold (*message becomes NULL). Nothing is
 * sent before outboxes_flush, unless too much waits. True: *given_up is a peer that reads nothing,
 * and what waited for it has been thrown away. */
bool outboxes_put(struct outboxes *o, uint32_t peer, struct block **message, uint32_t *given_up);
/* Sends what goes; returns to how many peers something still waits. */
size_t outboxes_flush(struct outboxes *o);

#endif
