/* SPDX-License-Identifier: MPL-2.0 */
#include "common/connection.h"

enum { OUTBOX_MAX = 64 << 20 };

enum error connection_open(struct connection *c, enum net_role role, const char *endpoint,
                           struct why *why)
{
    *c = (struct connection){0};
    enum error error = net_open(&c->socket, role, why);
    if (error)
        return error;
    outbox_init(&c->outbox, c->socket, OUTBOX_MAX);
    error = link_open(&c->link, c->socket, why);
    if (!error) {
        c->watch = watch_of(c->socket);
        c->link_watch = watch_of(c->link.events);
    }
    error = error ? error : net_connect(c->socket, endpoint, why);
    if (error)
        connection_close(c, 0);
    return error;
}

void connection_close(struct connection *c, int linger_ms)
{
    if (!c->socket)
        return;
    outbox_free(&c->outbox);
    link_close(&c->link, c->socket);
    net_close(&c->socket, linger_ms);
}

enum connection_event connection_turn(struct connection *c)
{
    if (!c->socket)
        return CONNECTION_SAME;
    if (c->link_watch.look)
        link_turn(&c->link);
    c->link_watch.look = false;
    if (!c->told_up && c->link.made) {
        c->told_up = true;
        return CONNECTION_UP;
    }
    return c->link.failed || c->link.refused || c->overflowed ? CONNECTION_DOWN : CONNECTION_SAME;
}

struct block *connection_receive(struct connection *c)
{
    struct block *message = c->socket && c->watch.look ? net_receive(c->socket) : NULL;
    if (!message)
        c->watch.look = false;
    return message;
}

void connection_send(struct connection *c, struct block **block)
{
    if (c->socket && outbox_put(&c->outbox, block))
        c->overflowed = true;
    block_release(block);
}

void connection_flush(struct connection *c)
{
    if (!c->socket || !outbox_pending(&c->outbox))
        return;
    outbox_flush(&c->outbox);
    c->watch.look = true; /* it may have taken in that there is something to read */
}

size_t connection_pending_bytes(const struct connection *c)
{
    return c->socket ? c->outbox.size_bytes : 0;
}

void connection_poll(struct connection *c, struct poller *poller)
{
    if (!c->socket)
        return;
    poller_add(poller, &c->link_watch);
    poller_add(poller, &c->watch);
}
