/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/outbox.h"

#include <stdlib.h>

#include "common/net/net.h"
#include "common/base/xalloc.h"

void outbox_init(struct outbox *outbox, void *socket, size_t size_max_bytes)
{
    *outbox = (struct outbox){.socket = socket, .size_max_bytes = size_max_bytes};
}

void outbox_init_peer(struct outbox *outbox, void *router, uint32_t peer, size_t size_max_bytes)
{
    outbox_init(outbox, router, size_max_bytes);
    outbox->peer = peer;
    outbox->routed = true;
}

static void drop_first(struct outbox *outbox)
{
    struct block **first = &outbox->queue[outbox->first];
    outbox->size_bytes -= block_bytes(*first).size;
    outbox->first = (outbox->first + 1) % outbox->capacity;
    outbox->count--;
    block_release(first);
}

static void drop_all(struct outbox *outbox)
{
    while (outbox->count > 0)
        drop_first(outbox);
}

void outbox_free(struct outbox *outbox)
{
    drop_all(outbox);
    free(outbox->queue);
    *outbox = (struct outbox){0};
}

static void outbox_grow(struct outbox *outbox)
{
    size_t capacity = outbox->capacity ? 2 * outbox->capacity : 8;
    struct block **queue = xcalloc(capacity, sizeof *queue);
    for (size_t i = 0; i < outbox->count; i++)
        queue[i] = outbox->queue[(outbox->first + i) % outbox->capacity];
    free(outbox->queue);
    outbox->queue = queue;
    outbox->first = 0;
    outbox->capacity = capacity;
}

enum error outbox_put(struct outbox *outbox, struct block **message)
{
    size_t size = block_bytes(*message).size;
    if (outbox->count > 0 && outbox->size_bytes + size > outbox->size_max_bytes)
        return ERR_LIMIT;
    if (outbox->count == outbox->capacity)
        outbox_grow(outbox);
    outbox->queue[(outbox->first + outbox->count) % outbox->capacity] = *message;
    outbox->count++;
    outbox->size_bytes += size;
    *message = NULL;
    return ERR_NONE;
}

static enum error send_first(struct outbox *outbox)
{
    struct block *message = outbox->queue[outbox->first];
    return outbox->routed ? net_send_to(outbox->socket, outbox->peer, message)
                          : net_send(outbox->socket, message);
}

enum error outbox_flush(struct outbox *outbox)
{
    while (outbox->count > 0) {
        enum error error = send_first(outbox);
        if (error == ERR_LIMIT)
            return ERR_NONE;
        if (error) {
            drop_all(outbox);
            return error;
        }
        drop_first(outbox);
    }
    return ERR_NONE;
}

bool outbox_pending(const struct outbox *outbox)
{
    return outbox->count > 0;
}
