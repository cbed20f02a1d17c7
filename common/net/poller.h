/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_POLLER_H
#define ZFARM_POLLER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* Sleeping until something happens, on plain descriptors and on ZeroMQ sockets.
 *
 * A ZeroMQ socket has a descriptor that becomes readable when something may have changed, and stays
 * quiet about what an earlier call already took in (zmq_getsockopt(3), ZMQ_FD). So each socket has
 * a `look`: while it is true the socket must be read until it has nothing more, which makes it
 * false; the descriptor, and anything sent on that socket, makes it true again. That costs no
 * system call for a socket with nothing to say, where zmq_poll makes several for each. */
struct watch {
    int fd;
    bool look;
};

/* A socket's watch; it is to be looked at once. */
struct watch watch_of(void *socket);

enum { POLLER_MAX = 16 };

struct poller {
    struct pollfd items[POLLER_MAX];
    struct watch *watches[POLLER_MAX]; /* NULL: a plain descriptor */
    int count;
    bool at_once; /* a socket has to be looked at: do not sleep */
};

/* Made anew for each sleep: zero-initialised, then filled. */
void poller_add_fd(struct poller *p, int fd, short events);
void poller_add(struct poller *p, struct watch *watch);
/* Sleeps until something happens or `due_ns` (monotonic; NEVER for no end). */
void poller_wait(struct poller *p, uint64_t due_ns);

#endif
