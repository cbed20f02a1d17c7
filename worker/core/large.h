/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LARGE_H
#define ZFARM_LARGE_H

#include "common/base/block.h"
#include "common/wire/wire.h"
#include "worker/exec/executor.h"

/* Results whose record is too large for one message. They travel as PIECEs, one result after the
 * other and each in order, read from memory or from the file that the executor left; and they are
 * kept until they are released. Zero-initialised is empty; embed it by value. */
struct large_result {
    uint64_t seq;
    struct attempt attempt;
    uint32_t tries;
    bool final;
    bool ok;
    bool reported;       /* by large_report */
    struct buf head;     /* of the record: all but the output, and but the task if `block` has it */
    struct block *block; /* NULL: the task is in the head */
    struct bytes task;
    size_t task_at;    /* where in the head it belongs */
    struct output out; /* memory or file, owned */
    struct output err;
    uint64_t total;      /* size of the record */
    uint64_t size_bytes; /* in memory */
};

struct large {
    struct large_result *results; /* oldest first */
    size_t count;
    size_t capacity;
    size_t next;         /* the one that travels, or `count` */
    uint64_t offset;     /* how far it is */
    size_t piece_max;    /* bytes in a piece; 0: PIECE_BYTES_MAX */
    struct seqset tasks; /* final results that are not released */
    uint64_t size_bytes; /* in memory */
    uint64_t file_bytes;
};

/* No more tasks are asked for above these: results in files take room on a disk, and a descriptor each or two. */
enum { LARGE_RESULTS_MAX = 64 };
#define LARGE_FILE_BYTES_MAX (UINT64_C(256) << 20)

/* What large_piece sent, and what it was the last piece of, if it was. */
struct large_sent {
    size_t size_bytes; /* of the record, in the piece */
    bool whole;
    uint64_t seq;
    bool final;
    bool ok;
};

void large_free(struct large *l);
bool large_full(const struct large *l);
/* Whether a result has to travel this way: its record is above `inline_max`, or in a file. */
bool large_fits(const struct result *result, const struct output *out, const struct output *err,
                size_t inline_max);
/* Takes over the files of `out` and `err` and copies what is in memory; `result` is everything
 * else. `block`: in which the task is, large itself, which is held and not copied; or NULL. */
void large_put(struct large *l, const struct result *result, const struct output *out,
               const struct output *err, struct block *block);
/* Makes the next piece. Returns ERR_NONE with *piece NULL when there is nothing to be sent; else
 * the caller releases *piece. ERR_IO: a file cannot be read back, and the result is lost. */
enum error large_piece(struct large *l, struct frame_head head, struct bytes worker,
                       struct block **piece, struct large_sent *sent, struct why *why);
void large_restart(struct large *l); /* all of them again, from their first byte */
/* Adds the final results that it has not added before, and how many of them are not ok. */
void large_report(struct large *l, struct seqset *finished, uint64_t *not_ok);
/* Returns how many results that frees. */
uint64_t large_release(struct large *l, const struct seqset *tasks);

/* Closes the files of an outcome that is not wanted. */
void outcome_discard(const struct outcome *outcome);

#endif
