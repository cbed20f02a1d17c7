/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MONITOR_H
#define ZFARM_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/net/net.h"

/* The connections of a socket that listens: which peers have lost theirs, and no more of them than
 * may be.
 *
 * A connection is a guest until its peer has said something that only a member says. When there are
 * more connections than may be, the guest that has been there for longest is shown out, else the one
 * that has just come: so a peer that says who it is at once gets in, however many strangers hold
 * connections. Where guests have a time, each is shown out after it. (Connections of unix sockets are
 * only counted: what reaches those runs as the same user.)
 *
 * libzmq tells descriptors, and uses them again at once: a new peer may speak through the number of
 * a dead one before that one's end is read. So a connection is a descriptor and the count of what
 * was accepted so far, and a peer belongs to one connection. The calling loop, once a turn:
 *
 *     for each message: if it is a JOIN, monitor_join (monitor, &sender, now_ns);
 *     monitor_turn (monitor, now_ns);
 *     while (monitor_next (monitor, &peer))  that connection is closed
 *     monitor_weigh (monitor, guest_bytes_max, now_ns);
 *     poll monitor_socket, until monitor_deadline
 */
struct monitor;

struct monitor_limits {
    size_t connections_max;
    uint64_t guest_ns; /* 0: guests may stay */
};

/* Watches `socket`; call it before that is bound. Fails with ERR_LIMIT. */
enum error monitor_new(struct monitor **monitor, void *socket, struct monitor_limits limits,
                       struct why *why);
/* Must come before net_close of the socket. Sets *monitor to NULL; takes NULL. */
void monitor_free(struct monitor **monitor);

void *monitor_socket(const struct monitor *monitor); /* to be polled for ZMQ_POLLIN */
uint64_t monitor_deadline(
    const struct monitor
        *monitor); /* when a guest's time is over or guests are to be weighed; or NEVER */
/* Takes in what happened, all of it: libzmq must never find the queue unread for long. */
void monitor_turn(struct monitor *monitor, uint64_t now_ns);
/* When guests have sent more than `bytes_max` together, those that have sent more than their share of it are
 * shown out: libzmq keeps what it has got of a frame until all of it has come. Looks ten times a
 * second. */
void monitor_weigh(struct monitor *monitor, uint64_t bytes_max, uint64_t now_ns);
/* The sender just spoke (net_receive_from): its end will be told from now on. If its connection is
 * closed already, or another peer's had that place, that is told next. */
void monitor_join(struct monitor *monitor, const struct net_sender *sender, uint64_t now_ns);
/* The connection is no guest's (net_receive_signed). Its end is not told. */
void monitor_vouch(struct monitor *monitor, const struct net_sender *sender, uint64_t now_ns);
/* Closes the connection of a peer that joined, if it is open (net_cut). */
void monitor_cut(struct monitor *monitor, uint32_t peer, uint64_t now_ns);
/* The next peer that joined and whose connection is closed; false when there is none. */
bool monitor_next(struct monitor *monitor, uint32_t *peer);
/* Connections now, but for those that were shown out. */
size_t monitor_connections(const struct monitor *monitor);

#endif
