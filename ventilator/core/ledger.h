/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LEDGER_H
#define ZFARM_LEDGER_H

#include "common/base/block.h"
#include "common/base/seqset.h"
#include "common/wire/task.h"

/* The ledger: every task that was read and is not stored yet.
 *
 * Tasks are kept as they were handed out, a batch an entry, in the very bytes that were sent. A
 * task of which nothing more is known than "in that batch, at that session, first attempt" costs
 * nothing of its own; one with a history (handed out again, failed, lost) has a `story` in its
 * entry. What is stored is remembered by number only, in ranges; an entry of which little is alive
 * is copied into a smaller one.
 *
 * Memory is bounded by the caller, which reads no more input while ledger_bytes is above its limit.
 */
struct session;

enum { HOLDERS_MAX = 3, FAILED_AT_MAX = 4 };
enum {
    LOSSES_MAX = 3,          /* of a task, then it is lost */
    INTERRUPTIONS_ALONE = 3, /* so many, and it travels alone, as with a loss */
    INTERRUPTIONS_MAX = 20,  /* then it is lost */
};

/* A session that has an attempt of a task. */
struct holder {
    struct session *session;
    struct attempt attempt;
    uint64_t batch; /* of the lane; 0 when it was named in a JOIN */
};

struct story {
    uint64_t seq;
    uint32_t attempts; /* handed out so far */
    uint32_t fails;    /* tries that failed and were not final */
    uint32_t losses;
    uint32_t interruptions; /* begun, and given back by a worker that was told to leave */
    uint32_t hedge;         /* number of the attempt that doubled another (--hedge); 0: none */
    uint64_t failed_at[FAILED_AT_MAX]; /* instances of workers, the last one first; 0: none */
    uint64_t lost_at_ns;               /* while its loss is pending: when that becomes final */
    unsigned holder_count;
    struct holder holders[HOLDERS_MAX];
};

struct entry {
    uint64_t first;
    uint64_t count;
    uint64_t alive;      /* not stored */
    struct block *block; /* NULL: tasks without bytes (too large) */
    size_t records_at;   /* where the records begin in the block */
    struct seqset *kept; /* tasks that are in the block; NULL: all of first .. first + count - 1 */
    uint64_t next_seq;   /* of the record behind the one that was asked for last; 0: none was */
    struct bytes next;   /* from there on */
    struct session
        *home; /* has all tasks that have no story, by their first attempt; NULL: nobody */
    uint64_t home_batch;
    struct story *stories; /* sorted by seq; those of stored tasks may stay for a while */
    size_t story_count;
    size_t story_capacity;
};

/* The place of an entry. It keeps its numbers when the entry is gone, so that places can be
 * searched. */
struct place {
    uint64_t first;
    uint64_t last;
    struct entry *entry; /* NULL: all of it is stored */
};

struct ledger {
    struct place *places; /* sorted */
    size_t head;          /* places before it are empty */
    size_t end;
    size_t capacity;
    size_t entries; /* places that are not empty */
    size_t bytes;   /* memory that entries take */
    struct seqset stored;
    uint64_t read; /* highest number given out: the last task's */
};

void ledger_free(struct ledger *ledger);

/* Appends `count` tasks with the next numbers. Takes over one hold of `*block` (may be NULL). */
struct entry *ledger_append(struct ledger *ledger, uint64_t count, struct block **block,
                            size_t records_at);
/* Tasks up to `last` that were stored in an earlier life: they have numbers and no entry. */
void ledger_pass(struct ledger *ledger, uint64_t last);
/* The entry that has the task, or NULL when it is stored or was never read. */
struct entry *ledger_find(const struct ledger *ledger, uint64_t seq);
/* The first entry with a task in first..last that is alive, or NULL. */
struct entry *ledger_next(const struct ledger *ledger, uint64_t first, uint64_t last);
/* The task's record; empty if it has no bytes. Valid until something of its entry is stored. Records are
 * found from the last one that was asked for, so many are best asked for in ascending order. */
struct bytes ledger_record(struct entry *entry, uint64_t seq);
/* All tasks of first..last that are alive in the entry are stored now. With the last one the entry
 * goes. The range must lie inside the entry. */
void ledger_store(struct ledger *ledger, struct entry *entry, uint64_t first, uint64_t last);

/* Where in entry->stories those of `seq` and above begin. */
size_t entry_story_place(const struct entry *entry, uint64_t seq);
struct story *entry_story(const struct entry *entry, uint64_t seq); /* NULL if it has none */
/* The task's story; made if it has none, with its home as the holder of attempt 1. The pointer is
 * valid until the next story of the entry is made. */
struct story *ledger_make_story(struct ledger *ledger, struct entry *entry, uint64_t seq,
                                uint64_t incarnation);

struct holder *story_holder(struct story *story, const struct session *session); /* NULL if none */
/* Returns false when there are HOLDERS_MAX already. */
bool story_add_holder(struct story *story, struct holder holder);
void story_remove_holder(struct story *story, const struct session *session);

/* What is known of it may be its own doing: it is handed out alone, or not any more. */
bool story_is_suspect(const struct story *story);
bool story_is_lost(const struct story *story);

#endif
