/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EVENTS_H
#define ZFARM_EVENTS_H

#include <stdbool.h>

#include "common/base/error.h"

/* What libzmq tells of the connections of one socket, event by event (zmq_socket_monitor).
 *
 * libzmq's own thread sends the events, and blocks when nobody reads them and their queue is full;
 * so the queue here has no limit, and its owner drains it in every turn. */

struct net_event {
    int kind;  /* ZMQ_EVENT_... */
    int value; /* the descriptor of the connection, or an error number, as zmq_socket_monitor(3)
                  says */
};

/* Opens the events of `kinds` (ZMQ_EVENT_... or-ed) of `socket`, before that binds or connects.
 * *events is a socket to be polled for ZMQ_POLLIN. Fails with ERR_LIMIT: out of descriptors or
 * sockets. */
enum error net_events_open(void **events, void *socket, int kinds, struct why *why);
/* The next event; false if there is none. */
bool net_events_next(void *events, struct net_event *event);
/* Must come before net_close of `socket`. Sets *events to NULL; takes NULL. */
void net_events_close(void **events, void *socket);

#endif
