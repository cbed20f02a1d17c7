/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/monitor.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <zmq.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/net/events.h"
#include "common/base/xalloc.h"

#define WEIGH_NS (100 * NS_PER_MS)

/* The connection that has a descriptor now. */
struct monitored {
    int descriptor;
    bool open;
    bool guest;
    bool shown_out;
    bool joined;
    struct net_sender sender; /* if joined */
    uint64_t since_ns;
    uint64_t weight; /* bytes that it has sent, as a guest */
    TAILQ_ENTRY(monitored) next_guest;
};

struct monitor {
    void *socket;
    void *events;
    struct monitor_limits limits;
    struct monitored **connections; /* by descriptor */
    size_t connections_count;
    TAILQ_HEAD(, monitored) guests; /* who came first is first */
    size_t guests_count;
    size_t open; /* and not shown out */
    uint64_t weigh_ns;
    struct buf closed; /* peers, uint32_t each */
};

enum error monitor_new(struct monitor **made, void *socket, struct monitor_limits limits,
                       struct why *why)
{
    struct monitor *monitor = xcalloc(1, sizeof *monitor);
    monitor->socket = socket;
    monitor->limits = limits;
    TAILQ_INIT(&monitor->guests);
    enum error error =
        net_events_open(&monitor->events, socket, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED, why);
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
    net_events_close(&monitor->events, monitor->socket);
    for (size_t i = 0; i < monitor->connections_count; i++)
        free(monitor->connections[i]);
    free(monitor->connections);
    buf_free(&monitor->closed);
    free(monitor);
}

void *monitor_socket(const struct monitor *monitor)
{
    return monitor->events;
}

/* When the guest that came first has to go. */
static uint64_t guest_deadline(const struct monitor *monitor)
{
    const struct monitored *first = TAILQ_FIRST(&monitor->guests);
    return first && monitor->limits.guest_ns ? first->since_ns + monitor->limits.guest_ns : NEVER;
}

uint64_t monitor_deadline(const struct monitor *monitor)
{
    uint64_t due_ns = guest_deadline(monitor);
    return !TAILQ_EMPTY(&monitor->guests) && monitor->weigh_ns < due_ns ? monitor->weigh_ns
                                                                        : due_ns;
}

size_t monitor_connections(const struct monitor *monitor)
{
    return monitor->open;
}

/* ---- connections ---- */

static struct monitored *at(struct monitor *monitor, int descriptor)
{
    size_t place = (size_t)descriptor;
    if (place >= monitor->connections_count) {
        size_t count = 2 * place + 64;
        monitor->connections = xrealloc(monitor->connections, count * sizeof(struct monitored *));
        for (size_t i = monitor->connections_count; i < count; i++)
            monitor->connections[i] = NULL;
        monitor->connections_count = count;
    }
    if (!monitor->connections[place]) {
        monitor->connections[place] = xcalloc(1, sizeof(struct monitored));
        monitor->connections[place]->descriptor = descriptor;
    }
    return monitor->connections[place];
}

static void put_closed(struct monitor *monitor, uint32_t peer)
{
    buf_put(&monitor->closed, &peer, sizeof peer);
}

static void make_member(struct monitor *monitor, struct monitored *connection)
{
    if (!connection->guest)
        return;
    TAILQ_REMOVE(&monitor->guests, connection, next_guest);
    monitor->guests_count--;
    connection->guest = false;
}

static void show_out(struct monitor *monitor, struct monitored *connection)
{
    make_member(monitor, connection);
    connection->shown_out = true;
    monitor->open--;
    net_cut_descriptor(monitor->socket, connection->descriptor);
}

static void monitor_came(struct monitor *monitor, struct monitored *connection, uint64_t now_ns)
{
    connection->open = connection->guest = true;
    connection->since_ns = now_ns;
    monitor->open++;
    monitor->guests_count++;
    TAILQ_INSERT_TAIL(&monitor->guests, connection, next_guest);
    if (monitor->open > monitor->limits.connections_max)
        show_out(monitor, TAILQ_FIRST(&monitor->guests)); /* perhaps the one that has just come */
}

static void went(struct monitor *monitor, struct monitored *connection)
{
    if (connection->joined)
        put_closed(monitor, connection->sender.peer);
    make_member(monitor, connection);
    if (connection->open && !connection->shown_out)
        monitor->open--;
    connection->open = connection->joined = connection->shown_out = false;
}

static void take_events(struct monitor *monitor, uint64_t now_ns)
{
    struct net_event event;
    while (net_events_next(monitor->events, &event)) {
        if (event.value < 0)
            continue;
        struct monitored *connection = at(monitor, event.value);
        went(monitor, connection);
        if (event.kind == ZMQ_EVENT_ACCEPTED)
            monitor_came(monitor, connection, now_ns);
    }
}

void monitor_turn(struct monitor *monitor, uint64_t now_ns)
{
    take_events(monitor, now_ns);
    while (guest_deadline(monitor) <= now_ns)
        show_out(monitor, TAILQ_FIRST(&monitor->guests));
}

/* What has come through the connection so far; 0 if the system does not tell. */
static uint64_t weight_of(const struct monitored *connection)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(connection->descriptor, IPPROTO_TCP, TCP_INFO, &info, &size)
               ? 0
               : info.tcpi_bytes_received;
}

void monitor_weigh(struct monitor *monitor, uint64_t bytes_max, uint64_t now_ns)
{
    struct monitored *guest, *next;
    uint64_t total = 0;
    if (now_ns < monitor->weigh_ns || TAILQ_EMPTY(&monitor->guests))
        return;
    monitor->weigh_ns = now_ns + WEIGH_NS;
    TAILQ_FOREACH(guest, &monitor->guests, next_guest)
    {
        guest->weight = weight_of(guest);
        total += guest->weight;
    }
    uint64_t share = bytes_max / monitor->guests_count;
    for (guest = TAILQ_FIRST(&monitor->guests); total > bytes_max && guest; guest = next) {
        next = TAILQ_NEXT(guest, next_guest);
        if (guest->weight > share)
            show_out(monitor, guest);
    }
}

void monitor_join(struct monitor *monitor, const struct net_sender *sender, uint64_t now_ns)
{
    take_events(monitor, now_ns);
    struct monitored *connection = sender->descriptor >= 0 ? at(monitor, sender->descriptor) : NULL;
    if (!connection || !connection->open) {
        put_closed(monitor, sender->peer);
        return;
    }
    if (connection->joined && connection->sender.peer != sender->peer)
        put_closed(monitor, connection->sender.peer);
    make_member(monitor, connection);
    connection->joined = true;
    connection->sender = *sender;
}

void monitor_vouch(struct monitor *monitor, const struct net_sender *sender, uint64_t now_ns)
{
    size_t place = (size_t)sender->descriptor;
    bool known = sender->descriptor >= 0 && place < monitor->connections_count &&
                 monitor->connections[place];
    if (!known || !monitor->connections[place]->open)
        take_events(monitor, now_ns);
    if (sender->descriptor >= 0)
        make_member(monitor, at(monitor, sender->descriptor));
}

void monitor_cut(struct monitor *monitor, uint32_t peer, uint64_t now_ns)
{
    take_events(monitor, now_ns);
    for (size_t i = 0; i < monitor->connections_count; i++) {
        const struct monitored *connection = monitor->connections[i];
        if (connection && connection->joined && connection->sender.peer == peer)
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
