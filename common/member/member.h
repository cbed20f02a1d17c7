/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MEMBER_H
#define ZFARM_MEMBER_H

#include <stdbool.h>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/patience.h"
#include "common/wire/wire.h"

/* One program's membership in the farm (docs/protocol.md, 4): in which state its control connection is, when to
 * connect, when a heartbeat is due, when the ventilator has been silent for too long.
 *
 *             turn: OPEN           up               WELCOME              lane claimed
 *     AWAY ---------------> CONNECTING --> JOINING ---------> WELCOMED -------------> JOINED
 *       ^                        |            |                  |                      |
 *       +---- back-off 0.1..2 s -+------------+------------------+----------------------+
 *                                  down, turn: SILENT, or the caller leaves
 *
 * It owns the state, the session's head and the times of that connection. Its caller, the core of a worker or of a
 * sink, opens and closes, sends JOIN and heartbeats, and says what came. It calls nothing. A sink has no lane: it goes
 * from WELCOMED to JOINED at once.
 *
 * Embed it by value. Times are monotonic, in ns. */
enum member_state {
    MEMBER_AWAY,       /* no connection; the next attempt is at open_ns */
    MEMBER_CONNECTING, /* the connection is being made */
    MEMBER_JOINING,    /* JOIN is sent and not answered */
    MEMBER_WELCOMED,   /* in a session; the lane is not claimed */
    MEMBER_JOINED      /* in a session, with all that belongs to it */
};

enum member_due {
    MEMBER_DUE_NOTHING,
    MEMBER_DUE_OPEN,   /* open the connection; the state is CONNECTING */
    MEMBER_DUE_SILENT, /* end the session and close: the state's limit is over. Then member_leave */
    MEMBER_DUE_HEARTBEAT /* send one */
};

struct member {
    enum member_state state;
    struct frame_head
        head;            /* job, incarnation and session: the current ones, or those to continue */
    uint64_t since_ns;   /* when the state was entered */
    uint64_t heard_ns;   /* since when the connection is silent */
    uint64_t present_ns; /* when there last was a ventilator at all */
    uint64_t accepted_ns;
    uint64_t open_ns;      /* AWAY: when to try again */
    uint64_t beat_ns;      /* in a session: when the next heartbeat is due */
    uint64_t heartbeat_ns; /* as the last WELCOME said */
    uint64_t limit_ns;     /* of silence, likewise */
    bool accepted;         /* the other end has accepted the last attempt */
    struct backoff backoff;
    struct patience patience;
};

/* Before a WELCOME has told others; LIMIT also for each handshake. */
#define MEMBER_LIMIT_NS (3 * NS_PER_S)
#define MEMBER_HEARTBEAT_NS (500 * NS_PER_MS)

/* AWAY, and due to open at once. `random_seed` is of the back-off's jitter. */
void member_init(struct member *m, uint64_t random_seed, uint64_t now_ns);

bool member_in_session(const struct member *m);
/* True if the message with this head is of the current session. */
bool member_is_current(const struct member *m, const struct frame_head *head);
/* True if an answer is waited for of a peer that is there. */
bool member_is_trying(const struct member *m);

/* CONNECTING: the other end has accepted, and its handshake is waited for: until then no peer is there that could be
 * late. */
void member_accepted(struct member *m, uint64_t now_ns);
/* It is made, and JOIN is sent; the process itself was late by `own_ns`. */
void member_up(struct member *m, uint64_t own_ns, uint64_t now_ns);
/* JOIN is sent anew on a connection that is up. */
void member_joining(struct member *m, uint64_t now_ns);
/* True if WELCOME can mean these: of both 1 ms to 1 h, and the limit not below the heartbeat. */
bool member_periods_make_sense(uint64_t heartbeat_ms, uint64_t limit_ms);
/* WELCOME has come; a time of it that makes no sense is replaced by the usual one. */
void member_welcomed(struct member *m, const struct frame_head *head, uint64_t heartbeat_ms,
                     uint64_t limit_ms, uint64_t now_ns);
void member_joined(struct member *m, uint64_t now_ns);
/* A message of the ventilator that counts has come. */
void member_heard(struct member *m, uint64_t now_ns);
/* An answer has taken `took_ns`, of which the process itself was late by `own_ns`. */
void member_answered(struct member *m, uint64_t took_ns, uint64_t own_ns);
/* A heartbeat was answered: what was late before counts for less. */
void member_echoed(struct member *m);
/* What is waited for in this state will not come: the next attempt is waited for longer. */
void member_in_vain(struct member *m);
/* The connection is closed, or ended: AWAY, until the back-off is over. */
void member_leave(struct member *m, uint64_t now_ns);
/* The process did nothing for so long: what is late is waited for that much longer. */
void member_slept(struct member *m, uint64_t slept_ns, uint64_t now_ns);

/* How long the ventilator may be silent, which is as long as any answer may take. */
uint64_t member_limit(const struct member *m);
enum member_due member_turn(struct member *m, uint64_t now_ns);
uint64_t member_deadline(
    const struct member *m); /* when member_turn has something to say, if nothing comes */

#endif
