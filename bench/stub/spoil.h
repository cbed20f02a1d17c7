/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BENCH_SPOIL_H
#define ZFARM_BENCH_SPOIL_H

#include "common/base/block.h"

/* Workers that err, for tests: what a sound core sends is spoilt on its way out. */
enum spoil_way {
    SPOIL_NOTHING,
    SPOIL_TRAILING_OCTET,  /* behind a RESULTS */
    SPOIL_TASK_ZERO,       /* in a RESULTS */
    SPOIL_WRONG_JOB,       /* in the head of a RESULTS */
    SPOIL_NO_RESULTS,      /* FINISHED is said, and they are not sent */
    SPOIL_NO_RETURNED,     /* nothing is finished behind task 200, and RECALL is not answered */
    SPOIL_OLD_INCARNATION, /* in the head of what is said on control */
    SPOIL_SENSELESS_JOIN,
    SPOIL_STRANGE /* a RESULTS has a result of one task more */
};

struct spoil {
    enum spoil_way way;
    uint64_t seq; /* SPOIL_STRANGE: of this task */
};

/* "trailing-octet", "task-0", "wrong-job", "no-results", "no-returned", "old-incarnation", "senseless-join", or
 * "strange=SEQ". False: it is none of these. */
bool spoil_parse(const char *word, struct spoil *spoil);
/* Takes over the hold; returns what is sent instead, or NULL. */
struct block *spoil_message(const struct spoil *spoil, struct block *block);

#endif
