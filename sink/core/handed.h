/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HANDED_H
#define ZFARM_HANDED_H

#include "common/base/block.h"
#include "common/base/seqset.h"
#include "common/wire/wire.h"

/* For a sink that takes results only of tasks that their session was handed (docs/protocol.md, 19): what the
 * ventilator has said of that, and messages of results that wait until it has.
 *
 *     RESULTS, PIECE --> named: taken
 *                    --> early --- HANDED names all of it ----------------------> taken
 *                              --- ENDED, or the answer to a later HEARTBEAT ---> what is named is taken, the rest is
 *                                                                                 strange, and dropped
 *
 * The ventilator says HANDED before it answers a heartbeat. So whatever was handed out before a result came is known
 * when a heartbeat is answered that was sent after it came.
 *
 * What can grow is limited: the sets by what the ventilator has handed out and nobody has a result of, what waits by
 * a number and by bytes, at which the sink reads no more results. */
enum {
    HANDED_EARLY_MAX = 1024, /* messages that wait */
    HANDED_ENDED_MAX = 256,  /* sessions that are over and are still remembered */
    HANDED_PRUNE_MIN = 64    /* ranges of a session, from which on what has a result is left out */
};

struct handed_session {
    uint64_t session;
    uint64_t ended; /* a number that grows with each that ended; 0: it is not over */
    struct seqset tasks;
    size_t prune_at; /* so many ranges */
};

/* A message that waits. */
struct early_results {
    struct block *message;
    struct frame_head head;
    uint64_t came_ns;
    bool is_new; /* its batch had not come before */
};

/* Zero-initialised is empty; embed it by value. */
struct handed {
    struct handed_session *items; /* by session */
    size_t count;
    size_t capacity;
    size_t ended_count;
    uint64_t ends;
    struct early_results *early; /* oldest first */
    size_t early_count;
    size_t early_bytes;
    uint64_t early_ns; /* when the newest came */
};

void handed_free(struct handed *h);
/* The ventilator has another life: what it had said is of sessions that are over. */
void handed_forget(struct handed *h);
/* Of the tasks, those in `done` need not be remembered. */
void handed_add(struct handed *h, const struct session_tasks *m, const struct seqset *done);
/* The session is over: it is handed nothing more, but its results may be on their way. */
void handed_end(struct handed *h, uint64_t session, const struct seqset *done);
/* What the session was handed; NULL: nothing. Valid until the next call. */
const struct handed_session *handed_find(const struct handed *h, uint64_t session);
void handed_wait(struct handed *h, const struct early_results *early); /* takes over the message */
/* Takes out the i-th message that waits; it is the caller's. */
struct early_results handed_pop(struct handed *h, size_t i);
/* When a heartbeat is to be sent for what waits, besides the usual ones, if the last one was sent at `asked_ns`; NEVER:
 * nothing waits that the last one does not answer for. */
uint64_t handed_ask_due(const struct handed *h, uint64_t asked_ns);

#endif
