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
    link_turn(&c->link);
    if (!c->told_up && c->link.made) {
        c->told_up = true;
        return CONNECTION_UP;
    }
    return c->link.failed || c->link.refused ? CONNECTION_DOWN : CONNECTION_SAME;
}

struct block *connection_receive(struct connection *c)
{
    return c->socket ? net_receive(c->socket) : NULL;
}

void connection_send(struct connection *c, struct block **block)
{
    if (c->socket)
        outbox_put(&c->outbox, block);
    block_release(block);
}

void connection_flush(struct connection *c)
{
    if (c->socket)
        outbox_flush(&c->outbox);
}

size_t connection_pending_bytes(const struct connection *c)
{
    return c->socket ? c->outbox.size_bytes : 0;
}

int connection_poll_items(const struct connection *c, bool reading,
                          zmq_pollitem_t items[static CONNECTION_POLL_ITEMS])
{
    if (!c->socket)
        return 0;
    short events = (short)((reading ? ZMQ_POLLIN : 0) |
                           (c->told_up && outbox_pending(&c->outbox) ? ZMQ_POLLOUT : 0));
    items[0] = (zmq_pollitem_t){.socket = c->link.events, .events = ZMQ_POLLIN};
    items[1] = (zmq_pollitem_t){.socket = c->socket, .events = events};
    return events ? 2 : 1;
}
