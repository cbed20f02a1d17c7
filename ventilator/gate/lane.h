/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LANE_H
#define ZFARM_LANE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "common/base/error.h"
#include "common/base/key.h"
#include "common/wire/wire.h"

/* One lane: a PUSH, a worker's accepted connection, and the pump between them. The gate's own part;
 * the rest of the ventilator sees gate.h.
 *
 * The PUSH connects to a unix socket that listens for it alone and is gone as soon as it is there.
 * From then on bytes are moved both ways as they are, until either end closes. What one end does
 * not take is held, and as long as something is held the other end is not read, so a lane takes
 * LANE_CHUNK_BYTES each way at most. */
enum {
    LANE_CHUNK_BYTES = 64 * 1024, /* read at once; 256 KiB moved at most a tenth more */
    LANE_PEER_SIZE = 64,
};

struct lane_end {
    struct lane *lane;
    int fd;
    uint32_t interest; /* what epoll was told */
    struct buf held;   /* read from the other end, not yet written to this one */
};

struct lane {
    uint64_t id;
    struct token token;
    char peer[LANE_PEER_SIZE]; /* who connected, for users */
    void *push;
    struct lane_end worker;
    struct lane_end inner; /* listens until the PUSH is there, then its connection */
    bool joined;           /* the PUSH is there */
    bool authenticated;    /* it is known whose it is */
    bool shut;
    char path[ENDPOINT_PATH_MAX + 1]; /* of the listening socket; "" when it is gone */
    int epoll;
    uint64_t opened_ns;
    bool claimed;
    TAILQ_ENTRY(lane)
    unclaimed; /* in gate.unclaimed while neither claimed nor shut, oldest first */
    SLIST_ENTRY(lane) shut_next; /* in gate.shut until the batch of events is through */
};

/* Makes a lane for the accepted connection `fd`, which is the lane's from now on, also on failure.
 * Both ends are registered with `epoll`, with the lane_end as data. `own`: our keys, or NULL. NULL:
 * out of descriptors or the like, as `why` says. */
struct lane *lane_open(uint64_t id, int fd, int epoll, const char *private_dir,
                       const struct key_pair *own, struct why *why);
/* Acts on `events` of one of the ends. `chunk` is room for LANE_CHUNK_BYTES. False: the lane is
 * over; `why` is set if that is for want of descriptors or the like. */
bool lane_turn(struct lane_end *end, uint32_t events, uint8_t *chunk, struct why *why);
/* Closes everything at once; what was queued is lost. The struct stays until lane_free, because
 * events that name it may be waiting. */
void lane_shut(struct lane *lane);
void lane_free(struct lane *lane); /* shut before */

#endif
