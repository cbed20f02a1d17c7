/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LINK_H
#define ZFARM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

/* How the last handshake of a socket ended, if it was not agreed on. */
enum link_refusal {
    REFUSAL_NONE,
    REFUSAL_KEY,       /* the peer does not admit our key */
    REFUSAL_MECHANISM, /* one has keys, the other has none; or the peer speaks no ZMTP */
    REFUSAL_SILENT, /* the peer left in the middle: any of these, or it has another key than we think */
};

/* Whether a connecting socket has its connection now, and how often that changed. Embed it by value
 * and read the fields after link_turn; poll `events` for ZMQ_POLLIN. */
struct link {
    void *events;
    bool up;         /* the handshake is done and the connection has not been closed */
    bool accepted;   /* the system has a connection, whether or not the handshake is done */
    uint64_t made;   /* connections so far; what was on its way in an older one may be lost */
    uint64_t failed; /* attempts and connections that ended. A lane's PULL is dead after one */
    enum link_refusal refusal; /* libzmq may never try again: make a new socket */
};

/* Watches `socket` from now on; call it before net_connect. Fails with ERR_LIMIT. */
enum error link_open(struct link *link, void *socket, struct why *why);
void link_turn(struct link *link); /* takes in what happened; never blocks */
/* Must come before net_close of `socket`. */
void link_close(struct link *link, void *socket);

#endif
