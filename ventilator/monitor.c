/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/monitor.h"

#include <stdlib.h>
#include <zmq.h>

#include "common/bytes.h"
#include "common/events.h"
#include "common/xalloc.h"

/* The connection that has a descriptor now. */
struct connection {
    bool open;
    bool joined;
    struct net_sender sender; /* if joined */
};

struct monitor {
    void *router;
    void *events;
    struct connection *connections; /* by descriptor */
    size_t connections_count;
    struct buf closed; /* peers, uint32_t each */
};

enum error monitor_new(struct monitor **made, void *router, struct why *why)
{
    struct monitor *monitor = xcalloc(1, sizeof *monitor);
    monitor->router = router;
    enum error error =
        net_events_open(&monitor->events, router, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED, why);
    if (error)
        monitor_free(&monitor);
    *made = monitor;
    return error;
}

void monitor_free(struct monitor **pointer)
{
    struct monitor *monitor = *pointer;
    *pointer = NULL;
    if (!monitor)
        return;
    net_events_close(&monitor->events, monitor->router);
    free(monitor->connections);
    buf_free(&monitor->closed);
    free(monitor);
}

void *monitor_socket(const struct monitor *monitor)
{
    return monitor->events;
}

static struct connection *at(struct monitor *monitor, int descriptor)
{
    size_t place = (size_t)descriptor;
    if (place >= monitor->connections_count) {
        size_t count = 2 * place + 64;
        monitor->connections = xrealloc(monitor->connections, count * sizeof(struct connection));
        for (size_t i = monitor->connections_count; i < count; i++)
            monitor->connections[i] = (struct connection){0};
        monitor->connections_count = count;
    }
    return &monitor->connections[place];
}

static void put_closed(struct monitor *monitor, uint32_t peer)
{
    buf_put(&monitor->closed, &peer, sizeof peer);
}

static void set_open(struct monitor *monitor, int descriptor, bool open)
{
    struct connection *connection = at(monitor, descriptor);
    if (connection->joined)
        put_closed(monitor, connection->sender.peer);
    *connection = (struct connection){.open = open};
}

void monitor_turn(struct monitor *monitor)
{
    struct net_event event;
    while (net_events_next(monitor->events, &event))
        if (event.value >= 0)
            set_open(monitor, event.value, event.kind == ZMQ_EVENT_ACCEPTED);
}

void monitor_join(struct monitor *monitor, const struct net_sender *sender)
{
    monitor_turn(monitor);
    struct connection *connection =
        sender->descriptor >= 0 ? at(monitor, sender->descriptor) : NULL;
    if (!connection || !connection->open) {
        put_closed(monitor, sender->peer);
        return;
    }
    if (connection->joined && connection->sender.peer != sender->peer)
        put_closed(monitor, connection->sender.peer);
    connection->joined = true;
    connection->sender = *sender;
}

void monitor_cut(struct monitor *monitor, uint32_t peer)
{
    monitor_turn(monitor);
    for (size_t i = 0; i < monitor->connections_count; i++) {
        const struct connection *connection = &monitor->connections[i];
        if (connection->joined && connection->sender.peer == peer)
            net_cut(&connection->sender);
    }
}

bool monitor_next(struct monitor *monitor, uint32_t *peer)
{
    if (monitor->closed.size == 0)
        return false;
    *peer = *(uint32_t *)(void *)monitor->closed.data;
    buf_drop_front(&monitor->closed, sizeof *peer);
    return true;
}
