/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTLET_H
#define ZFARM_OUTLET_H

#include "common/member/member.h"
#include "worker/core/actions.h"
#include "worker/core/receipts.h"

/* The results connection: to which sink, in which state, and what is sent on it.
 * It owns the connection's state and decides when it is opened, given up and made anew. The core's turn drives it; the
 * inbox tells it which sink there is and what has arrived there. It sends from the results and reads the membership;
 * both are lent for its life, and it calls actions.h for what it wants done. Embed it by value. */
enum outlet_state { OUTLET_CLOSED, OUTLET_OPENING, OUTLET_UP, OUTLET_WAITING };

struct outlet {
    const struct slots_options *options;
    const struct member *member;
    struct results *results;
    struct actions *actions;
    enum outlet_state state;
    uint64_t incarnation; /* of the ventilator that named the sink: each counts epochs anew */
    uint64_t epoch;       /* 0: there is no sink */
    char endpoint[ENDPOINT_MAX];
    struct key sink;
    uint64_t since_ns; /* when the state was entered */
    uint64_t down_ns;  /* since when it has not been up */
    uint64_t retry_ns;
    bool accepted;            /* OPENING: the other end has accepted */
    struct patience patience; /* of attempts */
    struct backoff backoff;
    uint64_t wants;         /* of the sink (enum result_want) */
    uint64_t pending_bytes; /* given to the shell and not sent */
    uint64_t progress_ns;   /* when something last moved */
    struct receipts receipts;
};

void outlet_init(struct outlet *o, const struct slots_options *options, const struct member *member,
                 struct results *results, struct actions *actions, uint64_t now_ns);

/* Has a connection to this sink, unless there is one: epoch 0 for none. */
void outlet_aim(struct outlet *o, uint64_t epoch, struct bytes endpoint, const struct key *sink,
                uint64_t now_ns);
void outlet_accepted(struct outlet *o, uint64_t now_ns);
void outlet_up(struct outlet *o, uint64_t now_ns);
void outlet_down(struct outlet *o, uint64_t now_ns);
void outlet_slept(struct outlet *o, uint64_t slept_ns, uint64_t now_ns);

/* All that is kept is numbered anew and sent again: with a sink of this epoch, where what has arrived of history is not
 * sent again. */
void outlet_begin_session(struct outlet *o, uint64_t epoch, uint64_t now_ns);
void outlet_received(struct outlet *o, const struct received *m, uint64_t now_ns);
/* Sends what can be sent; what is sent whole is told to the report. ERR_IO: a result cannot be read back. */
enum error outlet_send(struct outlet *o, struct report *report, uint64_t now_ns, struct why *why);
/* True: nothing arrives, and the connection was given up. The session is to be joined anew: in the next one all that
 * is kept is numbered anew, so that what arrives of it can be told from what has arrived before. */
bool outlet_turn(struct outlet *o, uint64_t now_ns);
uint64_t outlet_deadline(const struct outlet *o);

bool outlet_is_down(const struct outlet *o, uint64_t now_ns); /* for the limit */
/* For how long no result has arrived at the sink; 0: all is well. */
uint64_t outlet_stuck_ms(const struct outlet *o, uint64_t now_ns);

#endif
