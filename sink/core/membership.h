/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MEMBERSHIP_H
#define ZFARM_MEMBERSHIP_H

#include "common/base/backoff.h"
#include "common/base/patience.h"
#include "common/wire/wire.h"

/* The sink's place in the farm: its connection to the ventilator, whether it is welcome there, when
 * it has to say something, when the ventilator has been silent for too long.
 *
 *              turn: OPEN             up                  welcomed
 *     AWAY -----------------> CONNECTING ---> JOINING ------------------> JOINED
 *       ^                         |              |                           |
 *       +--- back-off 0.1 .. 2 s -+--------------+---------------------------+
 *                                   down, turn: SILENT, or leave it
 */
enum membership_state { AWAY, CONNECTING, JOINING, JOINED };

enum membership_due {
    DUE_NOTHING,
    DUE_OPEN,   /* open the connection; the state is CONNECTING */
    DUE_SILENT, /* close it: nothing was heard for the limit, or no heartbeat answered; now AWAY */
    DUE_HEARTBEAT, /* send one */
    DUE_GIVE_UP    /* nothing was heard for give_up */
};

struct membership {
    enum membership_state state;
    uint64_t incarnation; /* of the last WELCOME, as are the next two; 0: none yet */
    uint64_t session;
    uint64_t epoch;
    struct hash fingerprint;
    uint64_t incarnation_max;
    uint64_t heartbeat_ns;
    uint64_t limit_ns;
    struct patience patience;
    bool accepted; /* CONNECTING: the other end has accepted */
    uint64_t give_up_ns;
    uint64_t heard_ns;   /* since when the connection is silent */
    uint64_t answer_ns;  /* when a heartbeat was answered last, or since when one could be */
    uint64_t present_ns; /* when the ventilator was heard last, on any connection */
    bool refused;        /* the last attempt to connect found nobody, at once */
    uint64_t open_ns;    /* AWAY: when to try again */
    uint64_t beat_ns;    /* JOINED: the next own heartbeat */
    struct backoff backoff;
};

void membership_init(struct membership *m, uint64_t give_up_ns, uint64_t seed, uint64_t now_ns);
/* Somebody accepted the connection: from now on its handshake is waited for. */
void membership_accepted(struct membership *m, uint64_t now_ns);
/* It is made; this process was late by `own_ns` itself. */
void membership_up(struct membership *m, uint64_t own_ns, uint64_t now_ns);
/* The connection ended, or could not be made. */
void membership_down(struct membership *m, uint64_t now_ns);
/* It is given up by the caller, who closes it. */
void membership_leave(struct membership *m, uint64_t now_ns);
/* The connection is not silent: JOIN was answered, or anything was said to a sink that has joined. A ventilator that
 * takes this sink for welcomed says other things for ever, which end no wait for the answer. */
void membership_heard(struct membership *m, uint64_t own_ns, uint64_t now_ns);
void membership_present(struct membership *m, uint64_t now_ns); /* anything was said at all */
/* A HEARTBEAT has come: what was said here was heard there. */
void membership_answered(struct membership *m, uint64_t now_ns);
/* ERR_MALFORMED: a field has no sense. */
enum error membership_welcome(struct membership *m, const struct frame_head *head,
                              const struct sink_welcome *welcome, uint64_t now_ns);
/* The process itself did nothing for so long, so what is late is no reason to judge: the limit
 * begins anew. */
void membership_slept(struct membership *m, uint64_t slept_ns, uint64_t now_ns);
enum membership_due membership_turn(struct membership *m, uint64_t now_ns);
uint64_t membership_deadline(const struct membership *m);

#endif
