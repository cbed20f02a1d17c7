/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CONNECTION_H
#define ZFARM_CONNECTION_H

#include "common/net/link.h"
#include "common/net/net.h"
#include "common/net/outbox.h"
#include "common/net/poller.h"

/* A connecting socket that is used for one connection only (docs/protocol.md, 2): with its link,
 * which tells when it is up and when it is over, and an outbox, so that no send blocks.
 * Zero-initialised is closed; embed it by value. The owner, once a turn:
 *
 *     event = connection_turn (c);            ACCEPTED, UP: tell the core
 *     while ((message = connection_receive (c))) ...
 *     event DOWN: connection_close (c, 0); tell the core
 *     connection_flush (c);
 *     connection_poll (c, poller)
 */
struct connection {
    void *socket; /* NULL: closed */
    struct watch watch, link_watch;
    bool only_sends;
    bool full; /* took no more at the last flush: its descriptor tells when there may be room */
    struct link link;
    struct outbox outbox;
    bool told_accepted, told_up;
    bool overflowed;
};

/* ACCEPTED: the system has a connection, the handshake is still to come. */
enum connection_event { CONNECTION_SAME, CONNECTION_ACCEPTED, CONNECTION_UP, CONNECTION_DOWN };

/* With whose keys, and to whom: the caller's own and the server's public one. NULL stands for none. */
struct connection_keys {
    const struct key_pair *own;
    const struct key *server;
};

/* The connection must be closed. ERR_INVALID, ERR_LIMIT: it stays closed, `why` says why. */
enum error connection_open(struct connection *c, enum net_role role, const char *endpoint,
                           const struct connection_keys *keys, struct why *why);
/* Whether it is over because no handshake was agreed on, mostly because of keys; then `why` says so, in a
 * sentence that begins with `endpoint`. */
bool connection_refused(const struct connection *c, const char *endpoint,
                        const struct connection_keys *keys, struct why *why);
/* Takes a closed one. What was sent and has not left is still delivered during `linger_ms`. */
void connection_close(struct connection *c, int linger_ms);

/* What happened to it. ACCEPTED is left out if UP follows at once. DOWN is told after UP, in a call of its own, and
 * again until it is closed; what was received before can still be read. */
enum connection_event connection_turn(struct connection *c);
/* NULL: nothing there, or closed. Also to be called where nobody sends: see poller.h. */
struct block *connection_receive(struct connection *c);
/* Takes over the hold of *block and sets it to NULL. When nobody reads at the other end and more
 * than 64 MiB would wait, it is dropped, and connection_turn tells DOWN. */
void connection_send(struct connection *c, struct block **block);
void connection_flush(struct connection *c);
size_t connection_pending_bytes(const struct connection *c);

/* Adds what is to be waited for; nothing if it is closed. */
void connection_poll(struct connection *c, struct poller *poller);

#endif
