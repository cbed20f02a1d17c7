/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BACKLOG_H
#define ZFARM_BACKLOG_H

#include "common/base/block.h"
#include "common/base/seqset.h"
#include "common/wire/wire.h"

/* Tasks that were received and not begun, in the order in which they came.
 *
 * They are held as runs of consecutive numbers that point into the lane's message, which each run
 * holds: a task's bytes are not copied again on their way to a slot. Zero-initialised is empty;
 * embed it by value. */
struct backlog_run {
    struct block *block; /* in which the records are */
    struct bytes records;
    uint64_t first;
    uint64_t count;
    struct attempt attempt;
    uint32_t tries;
    bool in_pieces; /* one task, that came so and may be in a file */
    bool last;      /* no tries left after this one */
    bool alone;     /* nothing else may run here while one of these does */
};

/* What it counts towards the credit. */
static inline uint64_t backlog_run_credit(const struct backlog_run *run)
{
    return run->in_pieces ? task_pieces_credit(run->records.size) : run->records.size;
}

struct backlog {
    struct backlog_run *runs;
    size_t head; /* the first run; those before it are gone */
    size_t end;  /* behind the last */
    size_t capacity;
    uint64_t tasks;
    uint64_t size_bytes; /* of their records, as they count towards the credit */
};

void backlog_free(struct backlog *b); /* empty afterwards, may be used again */
/* At the end. The run's block is held once more; its records are well-formed and as many as it
 * says. */
void backlog_add(struct backlog *b, const struct backlog_run *run);
/* In front: tasks that come back from a slot. As backlog_add. */
void backlog_put_back(struct backlog *b, const struct backlog_run *run);
/* Whether the first task is to run alone. */
bool backlog_alone(const struct backlog *b);
/* Takes up to `max` (at least 1) tasks that can travel together off the front. Returns false if
 * there is none; else the caller releases taken->block. */
bool backlog_take(struct backlog *b, uint64_t max, struct backlog_run *taken);
/* Throws away the tasks first..last, if `attempt` is not NULL only those of that attempt; returns
 * how many there were. */
uint64_t backlog_remove(struct backlog *b, uint64_t first, uint64_t last,
                        const struct attempt *attempt);
/* Throws away up to `max` tasks from the end and adds their numbers to `given` (which may be NULL).
 */
void backlog_give_back(struct backlog *b, uint64_t max, struct seqset *given);

#endif
