/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHAOS_EFFECT_H
#define ZFARM_CHAOS_EFFECT_H

#include <stdint.h>

/* What a task of the chaos leaves behind when it begins to run: one record at the end of one file that
 * all slots of all workers append to. No program of the farm reads or writes it, so it tells what ran
 * whatever they say. */
struct effect {
    uint64_t seq;
    uint64_t begin_ns;  /* CLOCK_MONOTONIC, which all processes of a machine share */
    int32_t slot_pid;   /* the process that ran it */
    int32_t worker_pid; /* the one that had started that */
    uint32_t attempt;   /* which try the task was told that this is */
    uint32_t unused;
};

#endif
