/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHAOS_EVIDENCE_H
#define ZFARM_CHAOS_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/chaos/effect.h"

/* What is known of a run from outside: the side effects of its tasks, what was in the store at some
 * moments, and what store and output hold at the end. */
struct snapshot {
    uint8_t *stored; /* one octet for each task */
    uint64_t at_ns;  /* taken before this */
};

enum { SNAPSHOTS_MAX = 8 };

struct evidence {
    uint64_t tasks;
    int file; /* of the effects; -1: not there yet */
    struct effect *effects;
    size_t count, capacity;
    uint32_t *runs; /* how often each task ran so far */
    uint64_t ran;   /* how many tasks ran so far */
    struct snapshot snapshots[SNAPSHOTS_MAX];
    size_t snapshot_count;
};

void evidence_init(struct evidence *evidence, uint64_t tasks);
void evidence_free(struct evidence *evidence);
/* Reads the effects that came since. */
void evidence_read(struct evidence *evidence);
/* Notes what is stored now. */
void evidence_snapshot(struct evidence *evidence);
/* How many effects are of tasks that a snapshot had as stored before they began. */
size_t evidence_run_again(const struct evidence *evidence, const struct snapshot *snapshot);
/* Of the tasks that `worker` began within `around_ns` of `at_ns`, and another one after it: how long after
 * `at_ns` the last of them was begun there. False if there is none. */
bool evidence_elsewhere(const struct evidence *evidence, pid_t worker, uint64_t at_ns,
                        uint64_t around_ns, uint64_t *last_ns);

/* The final audit: each finding is a line in `words`. True if there is none. */
bool evidence_audit(const struct evidence *evidence, uint64_t fail_every, bool keep_order,
                    char *words, size_t size);

#endif
