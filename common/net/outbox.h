/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTBOX_H
#define ZFARM_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/block.h"
#include "common/base/error.h"

/* What waits to be sent on one socket, or to one peer of a ROUTER, in order.
 *
 * A send never blocks: what the socket does not take stays here, up to `size_max_bytes`. Embed it
 * by value. A PUSH or DEALER is polled for ZMQ_POLLOUT while outbox_pending; a ROUTER always says
 * that it is writable, so its outboxes are flushed once a turn instead. */
struct outbox {
    void *socket;
    uint32_t peer;
    bool routed;          /* to `peer` of a ROUTER */
    struct block **queue; /* a ring */
    size_t first;
    size_t count;
    size_t capacity;
    size_t size_bytes;
    size_t size_max_bytes;
};

void outbox_init(struct outbox *outbox, void *socket, size_t size_max_bytes);
void outbox_init_peer(struct outbox *outbox, void *router, uint32_t peer, size_t size_max_bytes);
void outbox_free(struct outbox *outbox); /* throws away what waits; the socket is the caller's */

/* Queues *message behind the others and takes over the caller's hold (*message becomes NULL).
 * ERR_LIMIT: more would wait than may; *message stays the caller's, who usually gives the peer up.
 * A message for an empty outbox is always taken. Nothing is sent before outbox_flush. */
enum error outbox_put(struct outbox *outbox, struct block **message);
/* Sends as much as the socket takes. ERR_CLOSED: the peer is gone, and what waited is thrown away.
 */
enum error outbox_flush(struct outbox *outbox);
bool outbox_pending(const struct outbox *outbox);

#endif
