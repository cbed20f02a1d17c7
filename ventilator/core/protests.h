/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PROTESTS_H
#define ZFARM_PROTESTS_H

#include "ventilator/core/dispatcher.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Peers that err (docs/protocol.md, 15). It owns struct peer_errors of each session and the throttle of lines, and
 * decides who is told by PROTEST and who is refused in the end. Each file that decodes a message calls it; it
 * calls session_end when it refuses a worker. */

/* Results that the sink has taken, of tasks that their session was never handed. */
struct strangeness {
    uint64_t tasks;            /* how many */
    uint64_t first;            /* the first of them, */
    struct whereabouts worker; /* and whose it was */
};

struct protests {
    struct throttle lines; /* about messages that make no sense */
    struct strangeness strange;
    uint64_t dropped; /* messages that made no sense */
};

enum { SENSELESS_LINES_A_MINUTE = 10 };
/* A message of the worker makes no sense, from that octet of it on: it is told, and users are. */
void protests_worker(struct dispatcher *d, struct session *s, unsigned kind, size_t offset,
                     enum error error);
/* The sink has taken results of tasks that the session was never handed. */
void protests_strange(struct dispatcher *d, struct session *s, const struct seqset *tasks);
void protests_sink(struct dispatcher *d, unsigned kind, size_t offset, enum error error);
/* Whoever's message it is that is not even a frame. */
void protests_frame(struct dispatcher *d, uint64_t connection, struct bytes message,
                    enum error error);
void protests_from_sink(struct dispatcher *d, struct bytes body); /* about a worker's results */
void protests_from_worker(struct dispatcher *d, struct session *s,
                          struct bytes body); /* about ours */
void protests_join(struct dispatcher *d, const struct origin *from, enum error error); /* REFUSE */
/* A message of a session that is not, or not over this connection: its sender is to join again, or is
 * refused if it never goes on with what it is told. */
void protests_astray(struct dispatcher *d, uint64_t connection, struct frame_head head);

#endif
