/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MONITOR_H
#define ZFARM_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/net.h"

/* Which peers of the control ROUTER have lost their connection.
 *
 * libzmq tells descriptors, and uses them again at once: a new peer may speak through the number of
 * a dead one before that one's end is read. So a connection is a descriptor and the count of what
 * was accepted so far, and a peer belongs to one connection. The calling loop, once a turn:
 *
 *     for each message: if it is a JOIN, monitor_join (monitor, &sender);
 *     monitor_turn (monitor);
 *     while (monitor_next (monitor, &peer))  that connection is closed
 */
struct monitor;

/* Watches `router`; call it before that is bound. Fails with ERR_LIMIT. */
enum error monitor_new(struct monitor **monitor, void *router, struct why *why);
/* Must come before net_close of the ROUTER. Sets *monitor to NULL; takes NULL. */
void monitor_free(struct monitor **monitor);

void *monitor_socket(const struct monitor *monitor); /* to be polled for ZMQ_POLLIN */
/* Takes in what happened, all of it: libzmq must never find the queue unread for long. */
void monitor_turn(struct monitor *monitor);
/* The sender just spoke (net_receive_from): its end will be told from now on. If its connection is
 * closed already, or another peer's had that place, that is told next. */
void monitor_join(struct monitor *monitor, const struct net_sender *sender);
/* Closes the connection of a peer that joined, if it is open (net_cut). */
void monitor_cut(struct monitor *monitor, uint32_t peer);
/* The next peer that joined and whose connection is closed; false when there is none. */
bool monitor_next(struct monitor *monitor, uint32_t *peer);

#endif
