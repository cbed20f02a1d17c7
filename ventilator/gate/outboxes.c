/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/outboxes.h"

#include <assert.h>
#include <stdlib.h>

#include "common/net/outbox.h"
#include "common/base/xalloc.h"

enum { MESSAGE_COST = 128 }; /* of a queued message, besides its bytes */

void outboxes_init(struct outboxes *o, void *router, size_t size_max_bytes)
{
    *o = (struct outboxes){.router = router, .size_max_bytes = size_max_bytes};
}

static void outboxes_drop(struct outboxes *o, uint64_t key)
{
    struct outbox *outbox = index_get(&o->by_peer, key);
    index_remove(&o->by_peer, key);
    outbox_free(outbox);
    free(outbox);
}

void outboxes_free(struct outboxes *o)
{
    for (size_t i = 0; i < o->by_peer.capacity; i++)
        if (o->by_peer.slots[i].key) {
            outbox_free(o->by_peer.slots[i].value);
            free(o->by_peer.slots[i].value);
        }
    index_free(&o->by_peer);
}

static size_t cost_of(const struct outbox *outbox)
{
    return outbox->size_bytes + outbox->count * MESSAGE_COST;
}

size_t outboxes_flush(struct outboxes *o)
{
    o->size_bytes = 0;
    for (size_t i = 0; i < o->by_peer.capacity;) {
        struct index_slot slot = o->by_peer.slots[i];
        if (slot.key && (outbox_flush(slot.value) || !outbox_pending(slot.value))) {
            outboxes_drop(o, slot.key); /* another one may have moved to this place: look again */
            continue;
        }
        o->size_bytes += slot.key ? cost_of(slot.value) : 0;
        i++;
    }
    return o->by_peer.count;
}

/* A peer's number plus 1, so that 0 stays free. */
static struct outbox *outbox_of(struct outboxes *o, uint32_t peer)
{
    uint64_t key = (uint64_t)peer + 1;
    struct outbox *outbox = index_get(&o->by_peer, key);
    if (outbox)
        return outbox;
    outbox = xmalloc(sizeof *outbox);
    outbox_init_peer(outbox, o->router, peer, SIZE_MAX);
    index_set(&o->by_peer, key, outbox);
    return outbox;
}

static uint32_t give_up_slowest(struct outboxes *o)
{
    struct index_slot most = {0};
    for (size_t i = 0; i < o->by_peer.capacity; i++) {
        struct index_slot slot = o->by_peer.slots[i];
        if (slot.key && (!most.key || cost_of(slot.value) > cost_of(most.value)))
            most = slot;
    }
    assert(most.value); /* what waits, waits for a peer */
    o->size_bytes -= cost_of(most.value);
    outboxes_drop(o, most.key);
    return (uint32_t)(most.key - 1);
}

bool outboxes_put(struct outboxes *o, uint32_t peer, struct block **message, uint32_t *given_up)
{
    struct outbox *outbox = outbox_of(o, peer);
    o->size_bytes += block_bytes(*message).size + MESSAGE_COST;
    outbox_put(outbox, message); /* which has no bound of its own */
    if (o->size_bytes <= o->size_max_bytes || outboxes_flush(o) == 0 ||
        o->size_bytes <= o->size_max_bytes)
        return false;
    *given_up = give_up_slowest(o);
    return true;
}
