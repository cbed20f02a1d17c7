/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EXPLAIN_H
#define ZFARM_EXPLAIN_H

#include "common/base/block.h"

struct dispatcher;

/* What each unfinished task waits for: the answer to WHY, whose foremost sentence is the stall line
 * (docs/protocol.md, 12). It owns the last answer, and decides nothing but words. dispatcher.c calls it; it only
 * reads. */

/* The last answer to WHY. */
struct answer {
    struct block *block;
    uint64_t at_ns;
};

void explain_answer(struct dispatcher *d, uint64_t connection, uint64_t now_ns); /* to WHY */

#endif
