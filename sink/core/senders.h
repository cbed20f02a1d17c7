/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SENDERS_H
#define ZFARM_SENDERS_H

#include "common/wire/pieces.h"
#include "common/base/seqset.h"
#include "common/wire/wire.h"

/* What the sink knows of the sessions that send it results: which batches came, and the large
 * result that is on its way in pieces.
 *
 * None of it is needed for a result to count; it finds what is missing, and tells the senders that their
 * connections live. So a session that ended
 * leaves only a mark that what comes late from it is not to be kept, and when there are too many,
 * the one that was quiet for longest is forgotten. */
enum {
    SENDERS_MAX = 10000,
    SENDERS_SEEN_RANGES_MAX = 1000, /* of one session; the lowest are forgotten */
    SENDERS_ROUNDS_MAX = 10 /* a gap that stays after so many RESENDs is not asked for any more */
};

struct sender {
    uint64_t incarnation;
    uint64_t session;
    bool ended;
    uint64_t used;        /* when it was last looked up, by the senders' own count */
    uint64_t floor;       /* batches below it are not waited for */
    struct seqset seen;   /* batches from floor on */
    uint64_t told;        /* missing batches up to here have been told */
    uint64_t again;       /* the batch that came once more last: it sends again, in order */
    bool told_again;      /* since that began, what is missing below was told again */
    unsigned rounds;      /* so often in a row, and nothing of it came */
    struct seqset origin; /* tasks whose results were taken from it, and that is to be told */
    uint64_t highest;     /* batch that came */
    uint64_t offset;      /* bytes of pieces that came, all together */
    bool has_arrival;     /* these two have changed since they were told */
    struct pieces pieces;
};

/* Zero-initialised is empty; embed it by value. */
struct senders {
    struct sender *items; /* by incarnation and session */
    size_t count;
    size_t capacity;
    uint64_t uses;
    bool has_gaps;    /* some that have not been told */
    bool has_origins; /* likewise */
    bool has_arrivals;
};

void senders_free(struct senders *s);

/* A batch came. Returns false if it had come before. */
bool senders_add_batch(struct senders *s, uint64_t incarnation, uint64_t session, uint64_t batch,
                       uint64_t floor);
/* The assembly of the session's large result, or NULL if the session is over. Valid until the next
 * call. */
struct pieces *senders_pieces(struct senders *s, uint64_t incarnation, uint64_t session);
/* So many bytes of a piece came: it is done with, whether they were of use or not. */
void senders_add_piece(struct senders *s, uint64_t incarnation, uint64_t session,
                       size_t size_bytes);
/* The session is over: its assembly is dropped. */
void senders_end(struct senders *s, uint64_t incarnation, uint64_t session);
/* Forgets the sessions of lower incarnations. */
void senders_drop_before(struct senders *s, uint64_t incarnation);

/* Takes out the next gap that was not told yet; it counts as told. `*at` is 0 before the first and
 * is moved. Returns false after the last. */
bool senders_take_gap(struct senders *s, uint64_t incarnation, size_t *at, struct gap *gap);
/* Final results of the tasks first..last were taken from the session. */
void senders_take(struct senders *s, uint64_t incarnation, uint64_t session, uint64_t first,
                  uint64_t last);
/* Takes out what is to be told of the next session; `tasks` is empty, and the caller's then. What does not
 * fit in `*ranges` ranges, which it counts down, is left out for good. */
bool senders_take_origin(struct senders *s, uint64_t incarnation, size_t *at, size_t *ranges,
                         struct session_tasks *origin);
/* The same for what has arrived of a session, if that has changed since it was taken. */
bool senders_take_arrival(struct senders *s, uint64_t incarnation, size_t *at,
                          struct arrival *arrival);
/* Who was told is gone: all gaps and arrivals are to be told again. */
void senders_untell(struct senders *s);

#endif
