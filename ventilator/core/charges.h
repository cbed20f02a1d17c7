/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHARGES_H
#define ZFARM_CHARGES_H

#include "ventilator/core/index.h"
#include "ventilator/core/ledger.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Workers that died with tasks, or left (docs/protocol.md, 5). It owns the charge records and which workers each
 * task took down, and decides what is charged to which task and when a task is lost. session_end calls it when a
 * worker seems dead, joins when it turns out to live, dispatcher.c and workers in each turn; it calls pending,
 * transfer. */

/* What was charged when a session ended, in case its worker comes back. */
struct charge_record {
    uint64_t session;
    struct seqset charged;
    uint64_t expires_ns;
};

struct charges {
    struct charge_record *records;
    size_t record_count;
    struct index killed; /* task -> struct killed_workers of charges.c */
};

/* The task was begun at `s`, which is told to leave, and was ended by what made it leave: no budget is
 * charged, but a task that does that to its workers itself does not go on for ever. */
void charges_interrupted(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns);
/* Charges a loss for what must have been running; remembers whom, in case the worker comes back. */
void charges_add(struct dispatcher *d, struct session *s, uint64_t now_ns);
/* The worker is alive: what was charged when its session ended is taken back. */
void charges_refund(struct dispatcher *d, uint64_t session);
void charges_turn(struct dispatcher *d, uint64_t now_ns); /* verdicts that are due */
void charges_forget(struct dispatcher *d, uint64_t seq);  /* it is stored */
/* Words for users: whom it took down. */
void charges_put_words(const struct dispatcher *d, uint64_t seq, struct buf *to);
void charges_free(struct dispatcher *d);

#endif
