/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_TAP_H
#define ZFARM_SIM_TAP_H

#include "common/wire/wire.h"

/* Listens on all connections, and finds what the protocol forbids: more than was granted, "stored"
 * and "released" before it is true, talk while a JOIN is unanswered. */
struct cable;
struct node;

/* What a session was granted and has been sent. */
struct tap_session {
    struct credit granted;
    uint64_t tasks;
    uint64_t size_bytes;
    struct seqset out;    /* sent to it; not stored, returned or failed */
    struct piece piece;   /* the last that was sent to it; without its content */
    uint64_t piece_end;   /* up to where it had come with that */
    bool piece_was_first; /* when that task's first one was sent it had nothing */
};

/* The tries of a task that were said to have failed. */
struct tap_fails {
    unsigned count;
    uint64_t last_ns;
};

struct tap {
    struct tap_session *sessions; /* by number */
    size_t session_count;
    struct attempt *alone;   /* by task: the attempt that must run alone; number 0: none */
    uint64_t *died_with;     /* by task: the process that died while it ran; 0: none */
    bool *suspect;           /* by task: and the ventilator has seen both connections close */
    struct tap_fails *fails; /* by task */
    struct seqset told;      /* tasks that the sink said were stored */
    uint64_t joins;
};

void tap_init(struct tap *tap, size_t tasks);
void tap_free(struct tap *tap);
/* A new life of the ventilator: its sessions are counted anew, and it knows of no losses. */
void tap_forget(struct tap *tap, size_t tasks);
/* The ventilator sees at once that this process is gone. */
void tap_death_is_seen(struct tap *tap, uint64_t life, size_t tasks);
void tap_sent(struct cable *cable, const struct node *from, struct bytes message);

#endif
