/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INTERRUPTIONS_H
#define ZFARM_INTERRUPTIONS_H

#include "common/base/bytes.h"
#include "worker/exec/executor.h"

/* Ends of tasks that may be interruptions. Batch systems, supervisors and users send a signal to a worker and to its
 * tasks at once, and which of the two is noticed first is chance. So a task that was ended by such a signal, which was
 * not ours, is not judged for a moment, and its slot stays busy: a worker that is told to leave in that moment gives
 * the task back (docs/protocol.md, 5).
 * It owns these outcomes, one a slot, and decides which ends are of that kind and for how long they wait. The core's
 * work puts them in and takes them out. It calls nothing. Embed it by value. */
struct interruption {
    uint64_t seq; /* 0: the slot holds none */
    uint64_t due_ns;
    unsigned extended; /* how often a late turn has put it off */
    struct outcome outcome;
    struct buf bytes; /* of the outcome's slices */
};

struct interruptions {
    struct interruption *slots;
    unsigned slot_count;
    unsigned count;
};

void interruptions_init(struct interruptions *i, unsigned slots);
void interruptions_free(struct interruptions *i);

bool interruptions_may_be(const struct outcome *outcome);
/* Keeps it, and a copy of its slices, which are valid no longer than the call. False: the slot holds one already. */
bool interruptions_put(struct interruptions *i, const struct outcome *outcome, uint64_t now_ns);
bool interruptions_have(const struct interruptions *i, unsigned slot, uint64_t seq);
/* The turn is late by so much: what is in there waits anew, if the program may not have heard of the signal either. */
void interruptions_put_off(struct interruptions *i, uint64_t late_ns, uint64_t now_ns);
/* The one of this slot, or NULL. */
const struct interruption *interruptions_at(const struct interruptions *i, unsigned slot);
/* Takes it out. Its files are the caller's, and `bytes`, in which its slices are. */
struct outcome interruptions_take(struct interruptions *i, unsigned slot, struct buf *bytes);
uint64_t interruptions_deadline(const struct interruptions *i);

#endif
