/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_CABLE_H
#define ZFARM_SIM_CABLE_H

#include "tests/sim/node.h"

/* A connection: in order each way, used once. End 0 made it, end 1 accepted it.
 *
 * A direction can stall, of one connection or of a node's whole way to a server (struct way): what is
 * sent stays under way, in order, and arrives when the stall ends. As with TCP, the sender is not told;
 * the other direction goes on for as much as may be unacknowledged; a connection that is closed
 * abruptly in a stall loses what is under way, or delivers it late, by chance. Only the other side's
 * heartbeats and receipts show a stall. */
#define CABLE_UNACKNOWLEDGED_MAX ((size_t)14 << 10)

struct packet {
    struct block *block; /* NULL: the sender has closed */
    uint64_t at_ns;
};

struct cable_end {
    struct node *node;
    uint64_t life; /* the process whose end it is */
    bool shut;     /* closed here, or told that it is */
    uint64_t last_ns;
    struct packet *coming; /* a queue: to this end */
    size_t first;
    size_t count;
    size_t capacity;
    uint64_t hold_ns;      /* nothing arrives here before; NEVER: nothing does any more */
    size_t unacknowledged; /* bytes that have arrived here while the way back was stalled */
};

struct cable {
    struct sim *sim;
    uint64_t id; /* never 0 and never used again */
    enum cable_kind kind;
    uint64_t accepted_by; /* the process for whose port the system has accepted it; 0: none */
    bool made;
    bool cut;
    bool claimed;  /* a lane that has an owner */
    bool joining;  /* JOIN is not answered */
    size_t unread; /* results: sent and not read */
    struct cable_end ends[2];
};

/* From now on `client` hears NEWS_UP, or NEWS_CLOSED if it cannot be; before that NEWS_ACCEPTED, if the system of a
 * frozen server has accepted it. */
struct cable *cable_open(struct node *client, struct node *server, enum cable_kind kind);
void cable_free(struct cable *cable);
/* Takes over the hold. */
void cable_send(struct cable *cable, const struct node *from, struct block *block);
/* Nothing is heard of it any more; the other end is told. `abrupt`: what was sent last may be lost.
 */
void cable_close(struct cable *cable, const struct node *who, bool abrupt);
/* Breaks; each end notices so much later, NEVER: not at all. */
void cable_cut(struct cable *cable, uint64_t client_ns, uint64_t server_ns);
/* Nothing arrives at either end before; what is held already longer stays so. */
void cable_hold(struct cable *cable, uint64_t until_ns);
void cable_let_go(struct cable *cable); /* all that was to end some time */
/* The process at that end is still there and has not closed it. */
bool cable_end_lives(const struct cable *cable, const struct node *node);
bool cable_is_live(const struct cable *cable);
struct node *cable_other(const struct cable *cable, const struct node *node);

#endif
