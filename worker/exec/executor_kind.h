/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EXECUTOR_KIND_H
#define ZFARM_EXECUTOR_KIND_H

#include "worker/exec/executor.h"

/* What executor.c knows of a kind of executor: how to make one, and what to call for what executor.h promises. */
struct executor_class {
    uint32_t batch_max;
    void (*start)(struct executor *executor, const struct assignment *assignment, uint64_t now_ns);
    void (*cancel)(struct executor *executor, unsigned slot, uint64_t seq, uint64_t now_ns);
    void (*hurry)(struct executor *executor);
    int (*fd)(const struct executor *executor);
    void (*turn)(struct executor *executor, uint64_t now_ns);
    uint64_t (*deadline)(const struct executor *executor);
    bool (*child_exited)(struct executor *executor, pid_t pid, int status, uint64_t now_ns);
    void (*child_stopped)(struct executor *executor, pid_t pid, bool stopped);
    void (*hold)(struct executor *executor, uint64_t now_ns);
    void (*go)(struct executor *executor, uint64_t now_ns);
    uint64_t (*running)(const struct executor *executor, unsigned slot, uint64_t *since_ns);
    void (*destroy)(struct executor **executor);
};

/* The first member of each executor's own struct. */
struct executor {
    const struct executor_class *class;
};

struct executor_kind {
    enum error (*make)(const struct executor_options *options, const struct executor_events *events,
                       struct executor **executor, struct why *why);
};

static inline void executor_tell_stopped(const struct executor_events *events, unsigned slot,
                                         bool stopped)
{
    if (events->stopped)
        events->stopped(events->context, slot, stopped);
}

static inline void executor_tell_held(const struct executor_events *events, unsigned slot,
                                      pid_t pid, const char *name)
{
    if (events->held)
        events->held(events->context, slot, pid, name);
}

#endif
