/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_NET_H
#define ZFARM_NET_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/block.h"
#include "common/base/endpoint.h"
#include "common/base/error.h"
#include "common/base/key.h"

/* zfarm's ZeroMQ sockets: each kind of socket with its rules, messages as blocks, and a clean end.
 *
 * All sockets live in czmq's one context (so one handler decides for all whose key is let in, zap.h),
 * but are made so that running out of descriptors is an error and not an abort. A socket is libzmq's own
 * `void *`: it goes into zmq_poll as it is. Nothing here blocks but net_bind (it may look a name
 * up) and net_end. The life of a process:
 *
 *     signals_open; net_start; net_open, net_bind or net_connect ...; loop; net_close ...; net_end
 */

enum {
    NET_FRAME_MAX = 2 * 1024 * 1024,            /* the protocol's largest frame */
    NET_MESSAGE_MAX = NET_FRAME_MAX + 4 * 1024, /* ZMQ_MAXMSGSIZE where frames come in */
    NET_END_LIMIT_MS = 5000,
};

/* libzmq's own, which it cannot do without. */
enum { NET_THREADS = 2 };

enum net_role {
    NET_CONTROL_SERVER,   /* ventilator: ROUTER, bound */
    NET_CONTROL_CLIENT,   /* worker, sink: DEALER, connects and connects again */
    NET_LANE_SENDER,      /* ventilator's gate: PUSH, connects once */
    NET_LANE_RECEIVER,    /* worker: PULL, connects once and is not to be used again after that */
    NET_RESULTS_SENDER,   /* worker: PUSH, connects and connects again */
    NET_RESULTS_RECEIVER, /* sink: PULL, bound */
    NET_ZAP,              /* what lets peers in by their keys: REP, bound (zap.h) */
};

/* What must come before the first socket: czmq leaves signals alone, the limit of open descriptors
 * is raised towards `descriptors` as far as the system lets us (never lowered), and as many sockets
 * are allowed. Returns the limit that holds now. Call once, with signals blocked (signals.h),
 * because the first socket starts a thread. Children inherit the raised limit. */
size_t net_start(size_t descriptors);

/* Makes a socket with the options of its role, neither bound nor connected. On success it is the
 * caller's, to be closed with net_close. Fails with ERR_LIMIT: out of descriptors or sockets. */
enum error net_open(void **socket, enum net_role role, struct why *why);

/* Encrypts what goes through the socket and proves who is at both ends (CURVE). Before net_bind or
 * net_connect; without it everything is in the clear. The one side serves: peers are let in if the
 * handler of zap.h admits their key to `domain`, and nobody if there is no handler. The other calls:
 * it talks to nobody but the owner of the key `server`. */
void net_serve_keys(void *socket, const struct key_pair *own, const char *domain);
void net_call_keys(void *socket, const struct key_pair *own, const struct key *server);

/* Listens at `endpoint`; a port of 0 or `*` takes one that is free, net_bound tells which. The host
 * may be `*`, an address, an interface, or a name, which is looked up. Fails with ERR_INVALID,
 * ERR_TOO_LARGE, ERR_IN_USE, ERR_ACCESS, ERR_NOT_FOUND (no such address here) or ERR_IO; `why`
 * names the endpoint and what to do. The socket stays as it was. A unix socket's path that exists
 * already is taken over. */
enum error net_bind(void *socket, const char *endpoint, struct why *why);
/* Where the socket listens now, numeric and with the port. */
void net_bound(void *socket, char endpoint[static ENDPOINT_TEXT_SIZE]);

/* Starts to connect; whether that works is told by a link (link.h). Names are looked up on libzmq's
 * thread. Fails with ERR_INVALID if `endpoint` is nonsense. */
enum error net_connect(void *socket, const char *endpoint, struct why *why);

/* The next message, or NULL if there is none. The caller holds the block. A message that is not
 * exactly one frame comes as an empty block, which no decoder takes. Large messages are not copied.
 */
struct block *net_receive(void *socket);
/* Whether a message can be sent now. Takes in what libzmq's own thread has to say, which receiving does not for a
 * socket that only sends: without it ZMQ_FD stays readable for ever. */
bool net_has_room(void *socket);
/* The same from a ROUTER, and who sent it. A peer that chose an identity of its own is none of
 * ours: what it sends comes as an empty block from peer 0. */
struct net_sender {
    uint32_t
        peer; /* libzmq's number for this connection, which is never used again; answers go to it */
    int descriptor;   /* of the connection, for the monitor; -1 if unknown */
    char address[64]; /* the host that it comes from, numeric; "" for a unix socket */
    struct key key;   /* its own, as the handshake proved; none on a socket without keys */
};
struct block *net_receive_from(void *router, struct net_sender *sender);
/* The same from a PULL: all but `peer` is filled. */
struct block *net_receive_signed(void *pull, struct net_sender *sender);
/* Closes the sender's connection, for which libzmq has no call: its own thread finds it at its end.
 * Of a connection that is closed already another one of the same host may be hit, never anything
 * else. Does nothing to a unix socket. */
void net_cut(const struct net_sender *sender);
/* The same for a descriptor of which libzmq has told that it is a connection of `socket`, which
 * listens. */
void net_cut_descriptor(void *socket, int descriptor);
/* An address of libzmq without the form of IPv6 around one of IPv4; "" for a unix socket. Valid as
 * long as `address`. */
const char *net_plain_address(const char *address);
enum {
    NET_USER_SIZE = 41
}; /* the text by which the handler of zap.h and net_receive_from name a key */

/* Gives a message to libzmq without copying it; the caller goes on holding its own reference.
 * ERR_LIMIT: the socket cannot take more now (or never had a connection), nothing was sent, try
 * again later. */
enum error net_send(void *socket, struct block *message);
/* The same to one peer of a ROUTER. ERR_CLOSED: that peer is gone for good. */
enum error net_send_to(void *router, uint32_t peer, struct block *message);

/* Closes the socket and sets *socket to NULL; takes NULL. What was sent and has not left yet is
 * still delivered in the background, during `linger_ms` at most; 0 throws it away. A monitor of the
 * socket is closed before (net_events_close). */
void net_close(void **socket, int linger_ms);

/* Ends ZeroMQ, waiting for what lingers; every socket must be closed. Looking up a name can hold
 * libzmq for 20 s: after `limit_ms` the process ends with _exit (status) from in here. */
void net_end(unsigned limit_ms, int status);

#endif
