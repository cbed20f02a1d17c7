/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ZAP_H
#define ZFARM_ZAP_H

#include "common/base/error.h"
#include "common/base/key.h"
#include "common/net/poller.h"

/* Who is let in: the handler that libzmq asks (ZeroMQ RFC 27) when a CURVE handshake with one of
 * this process's server sockets is nearly done. There is one for the whole process.
 *
 * It is our own, and no thread: czmq's zauth ends at SIGTERM, knows one list for all sockets, and
 * without a handler libzmq lets everybody in. Sockets made by net_serve_keys let nobody in then.
 * The calling loop, each turn, and at least once in the 3 s that a connecting peer waits at first:
 *
 *     zap_turn (zap);
 *     poller_add (poller, zap_watch (zap)) */
struct zap;

struct zap_request {
    const char *domain;  /* of the socket, as net_serve_keys was told */
    struct key key;      /* proven to be the peer's */
    const char *address; /* the host that it comes from, numeric; "" for a unix socket */
};

/* Whether to admit the peer; it is told if not. */
typedef bool zap_decide_fn(void *context, const struct zap_request *request);

/* Before any server socket is bound. Fails with ERR_LIMIT, or ERR_IN_USE: there is one. */
enum error zap_new(struct zap **zap, zap_decide_fn *decide, void *context, struct why *why);
/* Sets *zap to NULL; takes NULL. Server sockets that are left let nobody in from now on. */
void zap_free(struct zap **zap);
void zap_turn(struct zap *zap); /* answers what was asked; takes NULL */
struct watch *zap_watch(struct zap *zap);

#endif
