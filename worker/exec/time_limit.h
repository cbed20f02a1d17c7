/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TIME_LIMIT_H
#define ZFARM_TIME_LIMIT_H

#include <stdbool.h>

#include "common/cli/timeout.h"

/* How long a task may run: always the same, or percent of the median of those of this worker that
 * were ok.
 *
 * Run times are counted by length: 64 lengths for each power of two nanoseconds. So the median is
 * that of all tasks ever, within one percent, in 30 KiB however many they were, and is brought up to
 * date in a step or two. Before there are LIMIT_TASKS_MIN of them there is no limit. Embed it by
 * value; starts as {.timeout = ...}.
 *
 * Owns the counts. Decides the limit; executor.c, which calls it, decides what happens at it. */
enum {
    LIMIT_TASKS_MIN = 3,
    LIMIT_PARTS = 64, /* of a power of two */
    LIMIT_LENGTHS = 59 * LIMIT_PARTS
};

struct time_limit {
    struct timeout timeout;
    uint64_t tasks;
    uint64_t counts[LIMIT_LENGTHS];
    unsigned median; /* the length where it is */
    uint64_t below;  /* tasks that were shorter than that */
};

/* A task was ok and ran so long. Returns whether other tasks have another limit now. */
bool time_limit_note(struct time_limit *limit, uint64_t duration_ns);
uint64_t time_limit_ns(const struct time_limit *limit); /* 0: none, or none yet */

#endif
