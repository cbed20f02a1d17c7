/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/link.h"

#include <zmq.h>

#include "common/net/events.h"

enum {
    REFUSED = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
              ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
    ENDED = ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED,
};

enum error link_open(struct link *link, void *socket, struct why *why)
{
    *link = (struct link){0};
    return net_events_open(&link->events, socket,
                           ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | REFUSED | ENDED,
                           why);
}

static enum link_refusal refusal_of(int kind)
{
    if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return REFUSAL_KEY;
    return kind == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? REFUSAL_MECHANISM : REFUSAL_SILENT;
}

void link_turn(struct link *link)
{
    struct net_event event;
    while (net_events_next(link->events, &event)) {
        if (event.kind == ZMQ_EVENT_CONNECTED) {
            link->accepted = true;
        } else if (event.kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            link->up = true;
            link->made++;
            link->refusal = REFUSAL_NONE;
        } else if (event.kind & REFUSED) {
            link->refusal = refusal_of(event.kind);
        } else if (event.kind & ENDED) {
            /* What the peer said last may be lost when it closes. */
            if (event.kind == ZMQ_EVENT_DISCONNECTED && !link->up && !link->refusal)
                link->refusal = REFUSAL_SILENT;
            link->up = link->accepted = false;
            link->failed++;
        }
    }
}

void link_close(struct link *link, void *socket)
{
    net_events_close(&link->events, socket);
    *link = (struct link){0};
}
