/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_AUDIT_H
#define ZFARM_AUDIT_H

#include "common/wire/wire.h"

/* A job that is taken up again by a new life of the ventilator: the input is read again and compared,
 * hash by hash, with what is stored, before anything is handed out.
 *
 *     sink joins with results --> READING: CHECK, HASHES, a portion of input, CHECK ... up to the
 *     highest task that is stored, or that a worker says it has --> GRACE: for the heartbeat limit
 *     nothing is handed out, for workers that have run on may still join --> as usual
 *
 * Workers that join while it reads wait for it. What they bring from the earlier life was not handed
 * out by this one: when a result of it is stored, its hash is compared too, and only then is the task
 * out of the ledger. A task that differs ends the ventilator with words: that input is another. */
struct audit {
    struct seqset stored;       /* in the store, and not read so far in this life */
    uint64_t wanted;            /* the highest task that a waiting worker has */
    struct hashed_task *hashes; /* of the last answer */
    size_t hash_count;
    size_t hash_at; /* of these, the first that is not compared */
    uint64_t known; /* all stored tasks up to here are in the answer, or before it */
    uint64_t asked; /* CHECK from this task on is not answered; 0: none */
    uint64_t grace_until_ns;
    struct seqset unproven; /* brought by a worker from an earlier life */
    struct seqset to_prove; /* of these, what the sink has said is stored, in its session */
};

struct dispatcher;

void audit_free(struct audit *a);
/* The ventilator takes the sink's job up: nothing was read in this life. */
void audit_begin(struct dispatcher *d, const struct sink_join *join, uint64_t now_ns);
/* Notes what is stored and not read so far. */
void audit_note_stored(struct dispatcher *d, const struct seqset *tasks);
/* Input is to be read before anything is handed out, or a worker is taken in. */
bool audit_reads(const struct dispatcher *d);
/* Nothing is handed out. */
bool audit_holds(const struct dispatcher *d, uint64_t now_ns);
/* While audit_reads: how many tasks may be read now; 0: hashes are waited for. */
size_t audit_room(struct dispatcher *d);
/* While audit_reads: the tasks in the room, or one that is too large. */
void audit_take(struct dispatcher *d, size_t tasks, uint64_t now_ns);
void audit_take_too_large(struct dispatcher *d, uint64_t now_ns);
void audit_input_ended(struct dispatcher *d);
/* A worker waits that has tasks up to this one. */
void audit_want(struct dispatcher *d, uint64_t seq);
/* A worker has it from an earlier life. */
void audit_doubt(struct dispatcher *d, uint64_t seq);
/* Takes those out of `tasks` that have to be proven first. */
void audit_withhold(struct dispatcher *d, struct seqset *tasks);
void audit_hashes(struct dispatcher *d, struct bytes body, uint64_t now_ns);
/* The sink is another one, or joined anew: what was asked is asked again. What it said is stored, and is not proven,
 * counts no more: its first note says that again, unless a loss of power has taken it. */
void audit_ask_again(struct dispatcher *d);

#endif
